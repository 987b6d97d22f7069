# shellcheck shell=bash
# (f) Memory by number of connections; sourced by script/bench.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

# Some machines limit a process to 20 000 open files.
memory_per_process=15000

# memory_row TITLE [TARGET_MB]: print the tracer's current memory.
memory_row() {
  local rss peak maps
  # It processes the events, and scans for owners.
  wait_quiet "$tracer"
  rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$tracer/status")
  peak=$(awk '/^VmHWM/ { print $2 }' "/proc/$tracer/status")
  maps=$(awk '
    FNR == 1 { id = "" }
    $1 == "memlock:" { bytes = $2 }
    $1 == "map_id:" && !($2 in done) { done[$2]; sum += bytes }
    END { printf "%.1f", sum / 1048576 }' /proc/"$tracer"/fdinfo/* 2>/dev/null)
  row "$1" "$(calc "printf \"%.1f\", $rss / 1024")" "$(calc "printf \"%.1f\", $peak / 1024")" "$maps" \
    "$(calc "printf \"%.1f\", $(cpu_of "$tracer") / 1e9")" "${2-}" "$(against "$((rss / 1024))" "${2-}")"
}

# memory_open COUNT: open more connections, each with two or more events.
memory_open() {
  local left=$1 count holder
  while ((left > 0)); do
    count=$((left < memory_per_process ? left : memory_per_process))
    memory_port=$((memory_port + 1))
    start_server "$memory_port"
    servers+=("$started")
    "$traffic" hold --to "127.0.0.1:$memory_port" --connections "$count" --bind-list 127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5,127.0.0.6,127.0.0.7 \
      >"$temporary/hold.$memory_port" 2>&1 </dev/null &
    holder=$!
    processes[$holder]=1
    holders+=("$holder")
    wait_for "$temporary/hold.$memory_port" '^holding' "$holder" 120 || die "cannot open the connections"
    left=$((left - count))
  done
}

section_memory() {
  local memory_port=7000 servers=() holders=() tracer process
  pin='' start_tracer /dev/null --all-fields -o jsonl
  tracer=$started
  {
    row connections 'RSS MB' 'peak RSS MB' 'BPF maps MB' 'CPU s so far' target ''
    memory_row 0
    memory_open 1
    memory_row 1
    memory_open 999
    memory_row '1 000' 30
    if [[ -z $quick ]]; then
      memory_open 99000
      memory_row '100 000'
    fi
    for process in "${holders[@]}" "${servers[@]}"; do
      stop "$process"
    done
    memory_row 'all closed'
  } >"$temporary/table"
  started=$tracer
  stop_tracer
  table 'Memory by number of connections (--all-fields)' "$temporary/table"
  line
  line "Accounting: $seen seen, $emitted emitted, $lost lost; sum: $sum."
}
