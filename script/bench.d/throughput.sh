# shellcheck shell=bash
# (d) Throughput of a traced loopback bulk transfer; sourced by script/bench. Events of probe per second.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

# name|target to untraced|options
throughput_cases=(
  'untraced||'
  'standard fields, text||-o text'
  'all fields, jsonl||-o jsonl --all-fields'
  'events all, jsonl|0.85|events all -o jsonl'
)

section_throughput() {
  # With a congestion control that does not pace, so that the CPU is the limit.
  local rounds=8 seconds=1 round case name budget options server client
  [[ -z $quick ]] || rounds=3 seconds=0.5
  start_server 6002
  server=$started
  "$traffic" bulk --to 127.0.0.1:6002 --cc cubic --seconds 1 >/dev/null
  : >"$temporary/throughput"
  for ((round = 0; round < rounds; round++)); do
    for case in "${!throughput_cases[@]}"; do
      IFS='|' read -r name budget options <<<"${throughput_cases[case]}"
      # shellcheck disable=SC2086 # words
      [[ -z $options ]] || pin='' start_tracer /dev/null $options
      "$traffic" bulk --to 127.0.0.1:6002 --cc cubic --seconds "$seconds" >"$temporary/bulk" &
      client=$!
      processes[$client]=1
      ended "$client" || die "the transfer failed"
      [[ -z $options ]] || stop_tracer
      sed "s/.*\"bytes\":\([0-9]*\),\"seconds\":\([0-9.]*\).*/$case \1 \2/" "$temporary/bulk" |
        awk -v events="${options:+$seen}" '{ printf "%d %.3f %.0f\n", $1, $2 * 8 / $3 / 1e9, events / $3 }' >>"$temporary/throughput"
    done
  done
  stop "$server"
  {
    row '' 'best Gbit/s' 'median Gbit/s' 'median to untraced' 'probe events/s' target ''
    for case in "${!throughput_cases[@]}"; do
      IFS='|' read -r name budget options <<<"${throughput_cases[case]}"
      awk -v case_="$case" '$1 == case_ || !$1 { print }' "$temporary/throughput" | sort -k2,2g | awk -v case_="$case" -v name="$name" -v budget="$budget" '
        $1 == case_ { value[++n] = $2; if ($3 > events) events = $3 }
        $1 == 0 { untraced[++m] = $2 }
        function median(list, count) { return (list[int((count + 1) / 2)] + list[int(count / 2) + 1]) / 2 }
        END {
          ratio = median(value, n) / median(untraced, m)
          printf "%s\t%.2f\t%.2f\t%.3f\t%s\t%s\t%s\n", name, value[n], median(value, n), ratio, (events ? events : ""),
            budget, budget == "" ? "" : (ratio >= budget ? "OK" : "under")
        }'
    done
  } >"$temporary/table"
  table 'Throughput of one loopback transfer' "$temporary/table"
}
