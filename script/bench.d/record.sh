# shellcheck shell=bash
# (j) Recording: CPU time and bytes per event, beside perf record and JSONL; and CPU time of reading it; sourced by script/bench.
#
# The same ping-pong for each, as in section user. The targets are for user and system time.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

# name|fields|target ns|target bytes|options
record_cases=(
  'recording|standard|200|12|-w FILE --force'
  'recording|all|450|55|-w FILE --force --all-fields'
  'jsonl|standard|||-o jsonl=FILE'
  'jsonl|all|||-o jsonl=FILE --all-fields'
)

# name|fields|events/s|options
replay_file_cases=(
  'to text that nobody reads|standard|2000000|-r FILE -o text=/dev/null --where snd_cwnd<0'
  'to jsonl of six columns|standard|1000000|-r FILE -o jsonl=/dev/null --fields mono_ns,cookie,dport,snd_cwnd,srtt_us,snd_nxt'
  'to jsonl|standard||-r FILE -o jsonl=/dev/null'
  'to jsonl|all||-r FILE -o jsonl=/dev/null --all-fields'
)

section_record() {
  local repeat=3 exchanges=60000
  [[ -z $quick ]] || repeat=1 exchanges=20000
  local case name fields budget bytes_budget options whole user least_whole least_user bytes
  local ticks_user ticks_system spent_before spent share output
  start_meter
  {
    row format fields 'user+system ns' target '' 'bytes/event' target ''
    for case in "${record_cases[@]}"; do
      IFS='|' read -r name fields budget bytes_budget options <<<"$case"
      output=$temporary/record.$name.$fields
      # shellcheck disable=SC2086 # words
      user_tracer /dev/null ${options//FILE/$output}
      bytes=$(calc "printf \"%.1f\", $(stat -c %s "$output") / ${emitted:-1}")
      row "$name" "$fields" "$least_whole" "$budget" "$(against "$least_whole" "$budget")" "$bytes" "$bytes_budget" \
        "$(against "$bytes" "$bytes_budget")"
      [[ $name == recording ]] || rm -f "$output"
    done
    record_perf
  } >"$temporary/table"
  stop_meter
  table 'CPU time of recording an event' "$temporary/table"
  record_replay
  rm -f "$temporary"/record.*
}

record_perf() {
  start_perf "$temporary/perf.data"
  begin_spent "$started"
  measure "$exchanges"
  settle "$temporary/perf.data" "$started"
  end_spent "$started"
  stop_tool
  local events
  events=$(perf script -i "$temporary/perf.data" 2>"$temporary/script.err" | wc -l)
  per_event "$spent" "$events" "$share"
  row 'perf record' standard "$whole" '' '' "$(calc "printf \"%.1f\", $(stat -c %s "$temporary/perf.data") / $events")" '' ''
  rm -f "$temporary/perf.data"
}

# record_replay: reads the recordings again.
record_replay() {
  local case name fields budget options file events seconds best round
  {
    row output fields 'events/s' target ''
    for case in "${replay_file_cases[@]}"; do
      IFS='|' read -r name fields budget options <<<"$case"
      file=$temporary/record.recording.$fields
      best=
      for ((round = 0; round < 5; round++)); do
        TIMEFORMAT='%U %S'
        # shellcheck disable=SC2086 # words
        seconds=$({ time "$tcc_trace" ${options//FILE/$file} 2>"$temporary/replay.err"; } 2>&1 | awk '{ print $1 + $2 }')
        events=$(sed -n 's/^tcc-trace: probe: \([0-9]*\) seen.*/\1/p' "$temporary/replay.err")
        best=$(awk -v a="${best:-0}" -v n="$events" -v s="$seconds" 'BEGIN { r = n / (s ? s : 0.001); printf "%.0f", (r > a ? r : a) }')
      done
      row "$name" "$fields" "$best" "$budget" "${budget:+$(calc "print ($best >= $budget ? \"OK\" : \"under\")")}"
    done
  } >"$temporary/table"
  table 'Events read from a recording per second of CPU time' "$temporary/table"
}
