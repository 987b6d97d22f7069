# shellcheck shell=bash
# (j) Recording: CPU time and bytes per event, beside perf record and JSONL; what it loses and takes; and CPU time of reading it;
# sourced by script/bench.
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
    record_perf measure "$exchanges"
  } >"$temporary/table"
  stop_meter
  table 'CPU time of recording an event' "$temporary/table"
  record_mixed
  record_loads
  record_replay
  record_find
  rm -f "$temporary"/record.*
}

# record_perf COMMAND…: perf record while the command makes traffic.
record_perf() {
  start_perf "$temporary/perf.data"
  begin_spent "$started"
  "$@"
  settle "$temporary/perf.data" "$started"
  end_spent "$started"
  stop_tool
  local events
  events=$(perf script -i "$temporary/perf.data" 2>"$temporary/script.err" | wc -l)
  if ((events == 0)); then
    say 'record: perf record has no events'
    return 0
  fi
  per_event "$spent" "$events" "$share"
  row 'perf record' standard "$whole" '' '' "$(calc "printf \"%.1f\", $(stat -c %s "$temporary/perf.data") / $events")" '' ''
  rm -f "$temporary/perf.data"
}

# The traffic of many connections, for run_traffic.
mixed=(pingpong --parallel 200 --interval 5ms ';' bulk --parallel 5)

# run_traffic CPU PORT TRAFFIC…: all traffic generators at the same time, on that CPU, or on any if it is empty. A generator is words
# of `traffic`, up to the next ';'.
run_traffic() {
  local cpu=$1 port=$2 words=() clients=() word
  shift 2
  for word in "$@" ';'; do
    if [[ $word != ';' ]]; then
      words+=("$word")
      continue
    fi
    ${cpu:+taskset -c "$cpu"} "$traffic" "${words[@]}" --to "127.0.0.1:$port" --seconds "$seconds" >/dev/null &
    clients+=($!)
    processes[$!]=1
    words=()
  done
  for word in "${clients[@]}"; do ended "$word" || die 'the traffic failed'; done
}

# record_mixed: the same of many connections, between which the tracer and its caches have to change.
record_mixed() {
  local seconds=6 repeat=3 server output=$temporary/record.mixed options round least bytes
  [[ -z $quick ]] || seconds=2 repeat=1
  start_server 6005
  server=$started
  taskset --all-tasks --cpu-list --pid "$traffic_cpu" "$server" >/dev/null
  {
    row format fields 'user+system ns' target '' 'bytes/event' target ''
    for options in '-w FILE --force --all-fields' '-o jsonl=FILE --all-fields'; do
      least=
      for ((round = 0; round < repeat; round++)); do
        # shellcheck disable=SC2086 # words
        pin=$tracer_cpu start_tracer /dev/null ${options//FILE/$output}
        begin_spent "$started"
        run_traffic "$traffic_cpu" 6005 "${mixed[@]}"
        settle "$output" "$started"
        end_spent "$started"
        stop_tracer
        per_event "$spent" "$emitted" "$share"
        least=$(least "$least" "$whole")
      done
      bytes=$(calc "printf \"%.1f\", $(stat -c %s "$output") / ${emitted:-1}")
      if [[ $options == -w* ]]; then
        row recording all "$least" 450 "$(against "$least" 450)" "$bytes" 55 "$(against "$bytes" 55)"
      else
        row jsonl all "$least" '' '' "$bytes" '' ''
      fi
      rm -f "$output"
    done
    record_perf run_traffic "$traffic_cpu" 6005 "${mixed[@]}"
  } >"$temporary/table"
  stop "$server"
  table 'CPU time of recording an event of 205 connections' "$temporary/table"
}

# cpu_seconds OPTION…: user and system time of a run that reads a recording.
cpu_seconds() {
  local TIMEFORMAT='%U %S'
  { time "$tcc_trace" "$@" 2>"$temporary/replay.err"; } 2>&1 | awk '{ print $1 + $2 }'
}

# record_encode FILE: its events are written again. What only reads them is taken off; what is left encodes, compresses and writes.
record_encode() {
  local file=$1 events reading='' writing='' round
  for ((round = 0; round < 7; round++)); do
    reading=$(least "$reading" "$(cpu_seconds -r "$file" --all-fields -o text=/dev/null --where 'snd_cwnd<0')")
    writing=$(least "$writing" "$(cpu_seconds convert "$file" --to tcc -w "$file.again" --force)")
  done
  events=$(sed -n 's/^tcc-trace: probe: \([0-9]*\) seen.*/\1/p' "$temporary/replay.err")
  {
    row events 'ns per event' target '' 'reading them' 'writing them again'
    row "$events" "$(calc "printf \"%.0f\", ($writing - $reading) * 1e9 / $events")" 450 \
      "$(against "$(calc "print ($writing - $reading) * 1e9 / $events")" 450)" \
      "$(calc "printf \"%.0f\", $reading * 1e9 / $events")" "$(calc "printf \"%.0f\", $writing * 1e9 / $events")"
  } >"$temporary/table"
  table 'Encoding, compressing and writing an event with all fields of the 205 connections' "$temporary/table"
}

# least A B: the smaller number; A may be empty.
least() {
  awk -v a="$1" -v b="$2" 'BEGIN { print (a == "" || b + 0 < a + 0 ? b : a) }'
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
        # shellcheck disable=SC2086 # words
        seconds=$(cpu_seconds ${options//FILE/$file})
        events=$(sed -n 's/^tcc-trace: probe: \([0-9]*\) seen.*/\1/p' "$temporary/replay.err")
        best=$(awk -v a="${best:-0}" -v n="$events" -v s="$seconds" 'BEGIN { r = n / (s ? s : 0.001); printf "%.0f", (r > a ? r : a) }')
      done
      row "$name" "$fields" "$best" "$budget" "${budget:+$(calc "print ($best >= $budget ? \"OK\" : \"under\")")}"
    done
  } >"$temporary/table"
  table 'Events read from a recording per second of CPU time' "$temporary/table"
}

# record_load TITLE NS_TARGET BYTES_TARGET LOST_TARGET TRAFFIC…: `record probe` with defaults, while the traffic runs on all CPUs.
record_load() {
  local title=$1 ns_target=$2 bytes_target=$3 lost_target=$4 output=$temporary/record.load memory
  shift 4
  pin='' start_tracer /dev/null record -w "$output" --force probe
  begin_spent "$started"
  run_traffic '' 6004 "$@"
  settle "$output" "$started"
  end_spent "$started"
  memory=$(awk '/^VmHWM/ { hwm = $2 } /^RssFile/ { file = $2 } END { printf "%.1f %.1f", hwm / 1024, file / 1024 }' "/proc/$started/status")
  stop_tracer
  per_event "$spent" "$emitted" "$share"
  local bytes
  bytes=$(calc "printf \"%.1f\", $(stat -c %s "$output") / ${emitted:-1}")
  row "$title" "$emitted" "$lost" "$lost_target" "$(against "$lost" "$lost_target")" "$whole" "$ns_target" "$(against "$whole" "$ns_target")" \
    "$bytes" "$bytes_target" "$(against "$bytes" "$bytes_target")" "${memory% *}" 40 "$(against "${memory% *}" 40)" "${memory#* }"
}

record_loads() {
  local seconds=10 server ticks_user ticks_system spent_before spent share whole user
  [[ -z $quick ]] || seconds=3
  start_server 6004
  server=$started
  {
    row traffic events lost target '' 'user+system ns' target '' 'bytes/event' target '' 'peak RSS MB' target '' 'of it mapped files MB'
    record_load 'ping-pong at full rate' '' '' 0 pingpong --interval 0s
    record_load '200 ping-pongs, 5 bulk' 450 55 '' "${mixed[@]}"
  } >"$temporary/table"
  stop "$server"
  table 'Recording all fields with defaults, while the traffic runs on all CPUs' "$temporary/table"
  line
  line 'The ring buffer of 8 MiB is mapped twice, and counted as mapped files, as the program itself is.'
  # Of the last traffic.
  record_encode "$temporary/record.load"
}

# milliseconds OPTION…: the least of several runs, from exec to exit.
milliseconds() {
  local round begin end
  for ((round = 0; round < 7; round++)); do
    begin=${EPOCHREALTIME/[.,]/}
    "$tcc_trace" -q "$@" -o csv=/dev/null
    end=${EPOCHREALTIME/[.,]/}
    echo "$((end - begin))"
  done | sort -n | awk 'NR == 1 { printf "%.1f", $1 / 1000 }'
}

# record_find: a long recording is opened, and a time in it is found.
record_find() {
  local events=6500000 file=$temporary/record.long bytes ms free
  [[ -z $quick ]] || events=650000
  free=$(df --output=avail -B1 "$temporary" | tail -n 1)
  if ((free < events * 400)); then
    say 'record: a long recording left out: not enough disk space in target'
    return 0
  fi
  bytes=$("$replay" "tcc=$file" all <<<"$events")
  {
    row "of a recording of $((bytes / 1000000)) MB" ms target ''
    ms=$(milliseconds -r "$file" -c 1)
    row 'its first event' "$ms" 100 "$(against "$ms" 100)"
    # An event is 7.9 µs later than the one before.
    ms=$(milliseconds -r "$file" -c 1 --since "$((events * 7 / 1000))ms")
    row 'an event near its end' "$ms" 50 "$(against "$ms" 50)"
    truncate -s "$((bytes - 1000))" "$file"
    ms=$(milliseconds -r "$file" -c 1 --since "$((events * 7 / 1000))ms")
    row 'the same without an index' "$ms"
  } >"$temporary/table"
  table 'From exec to exit' "$temporary/table"
  rm -f "$file"
}
