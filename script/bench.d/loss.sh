# shellcheck shell=bash
# (c) Events lost while loopback traffic saturates all CPUs; sourced by script/bench.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

# loss_run TITLE TARGET TRAFFIC SECONDS OUTPUT OPTION…: print a row.
loss_run() {
  local title=$1 budget=$2 traffic_type=$3 seconds=$4 output=$5 i clients=() peak size free
  shift 5
  free=$(df --output=avail -B1 "$temporary" | tail -n 1)
  # A safe estimate: 200 000 events of 3 kB a second.
  if [[ $output != /dev/null ]] && ((free < seconds * 600000000)); then
    say "loss: $title left out: not enough disk space in target"
    return 0
  fi
  pin='' start_tracer "$output" --all-fields -o jsonl --stats 1s "$@"
  if [[ $traffic_type == bulk ]]; then
    "$traffic" bulk --to 127.0.0.1:6001 --parallel "$((2 * $(nproc)))" --seconds "$seconds" >"$temporary/bulk" &
    clients+=($!)
  else
    for ((i = 0; i < 2 * $(nproc); i++)); do
      "$traffic" pingpong --to 127.0.0.1:6001 --interval 0s --seconds "$seconds" >/dev/null &
      clients+=($!)
    done
  fi
  for i in "${clients[@]}"; do processes[$i]=1; done
  for i in "${clients[@]}"; do ended "$i" || die "the traffic failed"; done
  stop_tracer
  # The counters are printed once a second.
  peak=$(awk '/^tcc-trace: probe: / { if ($3 - seen > peak) peak = $3 - seen; seen = $3 } END { print peak + 0 }' "$temporary/tracer.err")
  size=$(stat -L -c %s "$output")
  row "$title" "$seen" "$emitted" "$lost" "$misses" "$sum" "$peak" "$((size >> 20))" "$budget" \
    "$(against "$lost" "$budget")"
  rm -f "$temporary/loss.out"
}

section_loss() {
  local long=30 short=10 server file=$temporary/loss.out
  [[ -z $quick ]] || long=5 short=3
  start_server 6001
  server=$started
  {
    row traffic seen emitted lost 'recursion misses' 'sum' 'peak events/s' 'file MiB' target ''
    loss_run "bulk, $long s" 0 bulk "$long" "$file"
    loss_run "bulk, $short s, --buffer-size 4096" '' bulk "$short" "$file" --buffer-size 4096
    loss_run "bulk, $short s, perf buffers" '' bulk "$short" "$file" --transport perfbuf
    loss_run "ping-pong, $short s" '' pingpong "$short" "$file"
    loss_run "ping-pong, $short s, to /dev/null" 0 pingpong "$short" /dev/null
  } >"$temporary/table"
  stop "$server"
  table 'Events lost on saturated CPUs (--all-fields -o jsonl)' "$temporary/table"
  line
  line "Recursion misses: lost events for which the kernel skipped the program, as it was already running on that CPU."
}
