# shellcheck shell=bash
# (k) Kernel time of a write that finds data unsent, in the program that runs at each (tcp:tcp_sendmsg_locked, 6.16), by the
# kernel's run-time statistics; sourced by script/bench. Most of it is the statistics themselves: what counts is the difference
# to an empty program, which runs at the same writes.
# shellcheck disable=SC2154,SC2034 # variables of script/bench

writes_cases=(
  'limits|40|limits --reader sock'
  'observe --metrics limits|40|observe --metrics limits --reader sock'
  'top|40|top --reader sock'
)

# write_time PID: run time in ns and runs of the program at that tracepoint.
write_time() { programs_of "$1" | awk '$1 ~ /^(empty|tcp_sendmsg_locked_.*)$/ { print $2, $3 }'; }

# writes_row NAME TARGET COMMAND: the best of many blocks, of each program.
writes_row() {
  local blocks=80 block empty process empty_before empty_after before after empty_least=0 least=0
  [[ -z $quick ]] || blocks=20
  start_case 'attach WRITES'
  empty=$started
  # shellcheck disable=SC2086 # words
  pin=$tracer_cpu start_tracer /dev/null $3
  process=$started
  for ((block = 0; block < blocks; block++)); do
    read -r -a before <<<"$(write_time "$process")"
    read -r -a empty_before <<<"$(write_time "$empty")"
    echo 1000 >&"${writer[1]}"
    read -r <&"${writer[0]}"
    read -r -a after <<<"$(write_time "$process")"
    read -r -a empty_after <<<"$(write_time "$empty")"
    read -r least empty_least < <(calc "
      a = (${after[0]} - ${before[0]}) / (${after[1]} - ${before[1]}); b = (${empty_after[0]} - ${empty_before[0]}) / (${empty_after[1]} - ${empty_before[1]})
      printf \"%.1f %.1f\\n\", $least && $least < a ? $least : a, $empty_least && $empty_least < b ? $empty_least : b")
  done
  started=$process
  stop_tracer
  started=$empty
  stop_case 'attach WRITES'
  least=$(calc "printf \"%.1f\", $least - $empty_least")
  row "$1" "$empty_least" "$least" "$2" "$(against "$least" "$2")"
}

section_writes() {
  if [[ ! -e /sys/kernel/tracing/events/tcp/tcp_sendmsg_locked ]]; then
    say 'writes: this kernel has no tracepoint tcp:tcp_sendmsg_locked (6.16)'
    return
  fi
  local name target command
  clang -O2 -target bpf -DTP_BTF '-DTRACEPOINT="tcp_sendmsg_locked"' -c script/bench.d/empty.bpf.c -o "$temporary/empty_WRITES.o"
  exec {counting}> >(exec "$bench" stats >"$temporary/stats")
  local counter=$!
  processes[counter]=1
  wait_for "$temporary/stats" '^counting' "$counter" || die 'cannot enable the BPF run-time statistics'
  coproc writer { exec taskset -c "$traffic_cpu" "$bench" writes; }
  # shellcheck disable=SC2154 # set by coproc
  local writing=$writer_PID
  processes[writing]=1
  {
    row 'program' 'an empty one' 'more' target ''
    for case_ in "${writes_cases[@]}"; do
      IFS='|' read -r name target command <<<"$case_"
      writes_row "$name" "$target" "$command"
    done
  } >"$temporary/writes"
  # The writer first, which has inherited the other's input.
  local input=${writer[1]}
  exec {input}>&-
  ended "$writing" || true
  exec {counting}>&-
  ended "$counter" || true
  table 'Time of a write that finds data unsent, in ns' "$temporary/writes"
}
