# shellcheck shell=bash
# (h) What is counted in the kernel: its kernel time per tcp_probe event, as in kernel.sh, and the CPU time that one reading of
# `top` takes, which is one pass over all open files of the machine; sourced by script/bench.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

counted_cases=(
  'sock, ring: a record each||trace --reader sock --transport ringbuf'
  'rtt||count rtt --reader sock'
  'rtt --by conn||count rtt --reader sock --by conn'
  'rtt --by raddr,rport||count rtt --reader sock --by raddr,rport'
  'top||count top --reader sock'
  'perf record||perf'
)

# counted_row CONNECTIONS: readings of so many, each of which the kernel has and nobody uses.
counted_row() {
  local before after readings files seconds=3
  [[ -z $quick ]] || seconds=1
  start_tracer "$temporary/top" top --interval 100ms
  before=$(cpu_of "$started")
  sleep "$seconds"
  after=$(cpu_of "$started")
  readings=$(grep -c ' active connections' "$temporary/top")
  files=$(awk '{ print $1 }' /proc/sys/fs/file-nr)
  stop_tracer
  row "$1" "$files" "$readings" "$(calc "printf \"%.2f\", ($after - $before) / $readings / 1e6")"
}

section_counted() {
  added_costs 'Kernel time per event of what is counted' "${counted_cases[@]}"
  local memory_port=7500 servers=() holders=() process
  {
    row connections 'open files' readings 'CPU ms per reading'
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
  } >"$temporary/readings"
  table 'A reading of top' "$temporary/readings"
}
