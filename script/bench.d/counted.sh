# shellcheck shell=bash
# (h) Aggregation in the kernel: kernel time per tcp_probe event, as in kernel.sh, and CPU time per snapshot of `top`, which is
# one pass over all open files of the machine; sourced by script/bench.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

counted_cases=(
  'empty tp_btf|||attach TP_BTF'
  'sock, ring: a record per event|||trace --reader sock --transport ringbuf'
  'rtt|||count rtt --reader sock'
  'rtt --by conn|||count rtt --reader sock --by conn'
  'rtt --by raddr,rport|||count rtt --reader sock --by raddr,rport'
  'limits|||count limits --reader sock'
  'top|||count top --reader sock'
  'perf record|||perf'
)

# counted_row CONNECTIONS: snapshots with that many idle connections.
counted_row() {
  local before after snapshots files seconds=3
  [[ -z $quick ]] || seconds=1
  start_tracer "$temporary/top" top --interval 100ms
  before=$(cpu_of "$started")
  sleep "$seconds"
  after=$(cpu_of "$started")
  snapshots=$(grep -c ' active connections' "$temporary/top")
  files=$(awk '{ print $1 }' /proc/sys/fs/file-nr)
  stop_tracer
  row "$1" "$files" "$snapshots" "$(calc "printf \"%.2f\", ($after - $before) / $snapshots / 1e6")"
}

section_counted() {
  added_costs 'Kernel time per event with aggregation in the kernel' "${counted_cases[@]}"
  local memory_port=7500 servers=() holders=() process
  {
    row connections 'open files' snapshots 'CPU ms per snapshot'
    counted_row 0
    memory_open 1000
    counted_row '1 000'
    if [[ -z $quick ]]; then
      memory_open 9000
      counted_row '10 000'
    fi
    for process in "${holders[@]}" "${servers[@]}"; do
      stop "$process"
    done
  } >"$temporary/snapshots"
  table 'CPU time of a snapshot of top' "$temporary/snapshots"
}
