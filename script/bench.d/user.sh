# shellcheck shell=bash
# (b) CPU time of the tracer per event, by format; sourced by script/bench.
#
# The same ping-pong for each, with the tracer on another CPU. The target is for user time. The total is exact (from the
# scheduler), its user share an estimate from timer ticks.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

user_cases=(
  'text|standard||-o text'
  'jsonl|standard|150|-o jsonl'
  'csv|standard||-o csv'
  'text|all||-o text --all-fields'
  'jsonl|all|700|-o jsonl --all-fields'
  'csv|all||-o csv --all-fields'
)

# ticks_of PID: user and system ticks so far.
ticks_of() { awk '{ sub(/.*\) /, ""); print $12, $13 }' "/proc/$1/stat"; }

# begin_spent PID, end_spent PID: set `spent` to the CPU time between the two in ns, and `share` to its user share.
begin_spent() {
  read -r ticks_user ticks_system < <(ticks_of "$1")
  spent_before=$(cpu_of "$1")
}
end_spent() {
  local u s
  spent=$(($(cpu_of "$1") - spent_before))
  read -r u s < <(ticks_of "$1")
  share=$(awk -v u="$((u - ticks_user))" -v s="$((s - ticks_system))" 'BEGIN { print u + s ? u / (u + s) : 0 }')
}

# settle FILE PID: wait until a tool has processed everything: its output and CPU time no longer change.
settle() {
  local i now before=
  for ((i = 0; i < 100; i++)); do
    now="$(stat -c %s "$1") $(cpu_of "$2")"
    [[ $now != "$before" ]] || return 0
    before=$now
    sleep 0.3
  done
}

# request_stats: requests the accounting from the tracer; sets `printed` to the events printed so far.
request_stats() {
  local i before
  before=$(grep -c '^tcc-trace: probe: ' "$temporary/tracer.err") || true
  kill -USR1 "$started"
  for ((i = 0; i < 1000; i++)); do
    (($(grep -c '^tcc-trace: probe: ' "$temporary/tracer.err") == before)) || break
    sleep 0.01
  done
  printed=$(sed -n 's/^tcc-trace: probe: .* = \([0-9]*\) emitted.*/\1/p' "$temporary/tracer.err" | tail -n 1)
}

# per_event NS EVENTS SHARE: sets `whole` and `user`, per event that arrived: lost events cost the tracer nothing, and other
# traffic on the machine adds events.
per_event() {
  read -r whole user < <(awk -v ns="$1" -v n="$2" -v share="$3" 'BEGIN { ns /= n ? n : 1; printf "%.0f %.0f\n", ns, ns * share }')
}

# user_tracer OUTPUT OPTION…: sets `least_whole` and `least_user` to the best of several runs.
user_tracer() {
  local output=$1 i wait first printed
  shift
  least_whole='' least_user=''
  # Fewer runs on a busy machine.
  for ((i = 0; i < repeat && (i == 0 || SECONDS - start < 60); i++)); do
    pin=$tracer_cpu start_tracer "$output" --buffer-size 67108864 "$@"
    request_stats
    first=$printed
    begin_spent "$started"
    measure "$exchanges"
    # It may be late on a busy machine.
    for ((wait = 0; wait < 100; wait++)); do
      request_stats
      end_spent "$started"
      ((printed - first < segments)) || break
      sleep 0.1
    done
    per_event "$spent" "$((printed - first))" "$share"
    stop_tracer
    if [[ -z $least_whole ]] || ((whole < least_whole)); then
      least_whole=$whole least_user=$user
    fi
  done
}

# user_output NAME: the path of the output.
user_output() {
  if [[ $1 == null ]]; then echo /dev/null; else echo "$temporary/user.out"; fi
}

section_user() {
  local repeat=3 exchanges=60000
  [[ -z $quick ]] || repeat=1 exchanges=20000
  local to name fields budget options whole user least_whole least_user output bytes
  local ticks_user ticks_system spent_before spent share
  start_meter
  {
    row format fields to 'user ns' 'user+system ns' 'bytes/event' target ''
    for to in null file; do
      output=$(user_output "$to")
      for case in "${user_cases[@]}"; do
        IFS='|' read -r name fields budget options <<<"$case"
        # shellcheck disable=SC2086 # words
        user_tracer "$output" $options
        bytes=
        [[ $to == null ]] || bytes=$(($(stat -c %s "$output") / (emitted ? emitted : 1)))
        row "$name" "$fields" "$to" "$least_user" "$least_whole" "$bytes" "$budget" "$(against "$least_user" "$budget")"
      done
      rm -f "$temporary/user.out"
    done
    user_bpftrace
    user_perf
    rm -f "$temporary/user.out"
  } >"$temporary/table"
  stop_meter
  table 'CPU time of the tracer per event' "$temporary/table"
  line
  line 'perf: record and script together. The target is for user time.'
}

user_bpftrace() {
  local output=$temporary/bpftrace.out lost_events
  start_bpftrace "$output"
  : >"$output"
  begin_spent "$started"
  measure "$((exchanges / 3))"
  settle "$output" "$started"
  end_spent "$started"
  stop_tool
  lost_events=$(awk '/^Lost/ { n += $2 } END { print n + 0 }' "$output" "$temporary/bpftrace.err")
  bytes=$(awk '/^[0-9]/ { n++; bytes += length($0) + 1 } END { print n ? int(bytes / n) : "-" }' "$output")
  per_event "$spent" "$(grep -c '^[0-9]' "$output")" "$share"
  row "bpftrace printf ($lost_events lost)" standard file "$user" "$whole" "$bytes" '' ''
  rm -f "$output"
}

user_perf() {
  local record_user record_whole script events times
  start_perf "$temporary/perf.data"
  begin_spent "$started"
  measure "$exchanges"
  settle "$temporary/perf.data" "$started"
  end_spent "$started"
  stop_tool
  TIMEFORMAT='%U %S'
  times=$({ time perf script -i "$temporary/perf.data" >"$temporary/user.out" 2>"$temporary/script.err"; } 2>&1)
  events=$(wc -l <"$temporary/user.out")
  per_event "$spent" "$events" "$share"
  record_user=$user record_whole=$whole
  read -r user script <<<"$times"
  row 'perf record, perf script' standard file \
    "$(calc "printf \"%.0f\", $record_user + $user * 1e9 / $events")" \
    "$(calc "printf \"%.0f\", $record_whole + ($user + $script) * 1e9 / $events")" \
    "$(($(stat -c %s "$temporary/user.out") / events))" '' ''
  rm -f "$temporary/perf.data"
}
