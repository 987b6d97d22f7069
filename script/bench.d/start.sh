# shellcheck shell=bash
# (e) Time from exec to the first event; sourced by script/bench.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

start_cases=(
  'standard fields, text|-o text --no-header'
  'standard fields, --reader sock, jsonl|-o jsonl --reader sock'
  'all fields, jsonl|-o jsonl --all-fields'
)

section_start() {
  local runs=20 budget=150 case name options run server client begin pipe process first
  [[ -z $quick ]] || runs=5
  start_server 6003
  server=$started
  # A steady flow of events with little load.
  "$traffic" pingpong --to 127.0.0.1:6003 --interval 1ms --seconds 600 >/dev/null &
  client=$!
  processes[$client]=1
  {
    row '' 'median ms' 'worst ms' target ''
    for case in "${start_cases[@]}"; do
      IFS='|' read -r name options <<<"$case"
      : >"$temporary/start"
      for ((run = 0; run < runs; run++)); do
        begin=${EPOCHREALTIME/[.,]/}
        # shellcheck disable=SC2086 # words
        exec {pipe}< <(exec "$tcc_trace" -q $options)
        process=$!
        processes[$process]=1
        read -r -u "$pipe" first || die "no event"
        echo "$((${EPOCHREALTIME/[.,]/} - begin))" >>"$temporary/start"
        : "$first"
        kill -INT "$process"
        cat <&"$pipe" >/dev/null
        exec {pipe}<&-
        ended "$process" || die "tcc-trace failed"
      done
      sort -n "$temporary/start" | awk -v name="$name" -v budget="$budget" '
        { us[NR] = $1 }
        END {
          median = (us[int((NR + 1) / 2)] + us[int(NR / 2) + 1]) / 2
          printf "%s\t%.0f\t%.0f\t%d\t%s\n", name, median / 1000, us[NR] / 1000, budget, median <= budget * 1000 ? "OK" : "over"
        }'
    done
  } >"$temporary/table"
  stop "$client"
  stop "$server"
  table "From exec to the first event ($runs runs)" "$temporary/table"
}
