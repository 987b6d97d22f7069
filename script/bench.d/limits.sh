# shellcheck shell=bash
# (k) Kernel time of limits at an ACK (tcp:tcp_probe), and of a write that finds data unsent (tcp:tcp_sendmsg_locked, 6.16), each in
# the one program that runs there, by the kernel's run-time statistics; sourced by script/bench. Most of the time is the statistics
# themselves: what counts is the difference to an empty program, which runs beside it.
# shellcheck disable=SC2154,SC2034 # variables of script/bench

# tracepoint|name|target|command
limits_cases=(
  'tcp_probe|limits|200|limits --reader sock'
  'tcp_sendmsg_locked|limits|40|limits --reader sock'
  'tcp_sendmsg_locked|observe --metrics limits|40|observe --metrics limits --reader sock'
  'tcp_sendmsg_locked|top|40|top --reader sock'
)

# time_at PID TRACEPOINT: run time in ns and runs of its first program there.
time_at() { programs_of "$1" | awk -v name="^(empty|$2_(btf|raw))\$" '$1 ~ name { print $2, $3 }'; }

# limits_load TRACEPOINT: a block of what runs the programs there.
limits_load() {
  case $1 in
    tcp_probe) measure 1000 ;;
    *) echo 1000 >&"${writer[1]}" && read -r <&"${writer[0]}" ;;
  esac
}

# limits_row TRACEPOINT NAME TARGET COMMAND: the best of many blocks, of each program.
limits_row() {
  local blocks=80 block empty process empty_before empty_after before after empty_least=0 least=0
  [[ -z $quick ]] || blocks=20
  clang -O2 -target bpf -DTP_BTF "-DTRACEPOINT=\"$1\"" -c script/bench.d/empty.bpf.c -o "$temporary/empty_LIMITS.o"
  start_case 'attach LIMITS'
  empty=$started
  # shellcheck disable=SC2086 # words
  pin=$tracer_cpu start_tracer /dev/null $4
  process=$started
  for ((block = 0; block < blocks; block++)); do
    read -r -a before <<<"$(time_at "$process" "$1")"
    read -r -a empty_before <<<"$(time_at "$empty" "$1")"
    limits_load "$1"
    read -r -a after <<<"$(time_at "$process" "$1")"
    read -r -a empty_after <<<"$(time_at "$empty" "$1")"
    read -r least empty_least < <(calc "
      a = (${after[0]} - ${before[0]}) / (${after[1]} - ${before[1]}); b = (${empty_after[0]} - ${empty_before[0]}) / (${empty_after[1]} - ${empty_before[1]})
      printf \"%.1f %.1f\\n\", $least && $least < a ? $least : a, $empty_least && $empty_least < b ? $empty_least : b")
  done
  started=$process
  stop_tracer
  started=$empty
  stop_case 'attach LIMITS'
  least=$(calc "printf \"%.1f\", $least - $empty_least")
  row "$1" "$2" "$empty_least" "$least" "$3" "$(against "$least" "$3")"
}

section_limits() {
  local tracepoint name target command case_
  exec {counting}> >(exec "$bench" stats >"$temporary/stats")
  local counter=$!
  processes[counter]=1
  wait_for "$temporary/stats" '^counting' "$counter" || die 'cannot enable the BPF run-time statistics'
  start_meter
  coproc writer { exec taskset -c "$traffic_cpu" "$bench" writes; }
  # shellcheck disable=SC2154 # set by coproc
  local writing=$writer_PID
  processes[writing]=1
  {
    row 'at' 'program' 'an empty one' 'more' target ''
    for case_ in "${limits_cases[@]}"; do
      IFS='|' read -r tracepoint name target command <<<"$case_"
      if [[ -e /sys/kernel/tracing/events/tcp/$tracepoint ]]; then
        limits_row "$tracepoint" "$name" "$target" "$command"
      else
        say "limits: this kernel has no tracepoint tcp:$tracepoint"
      fi
    done
  } >"$temporary/limits"
  # Those first that have inherited the other's input.
  local input=${writer[1]}
  exec {input}>&-
  ended "$writing" || true
  stop_meter
  exec {counting}>&-
  ended "$counter" || true
  table 'Time at an ACK, and at a write that finds data unsent, in ns' "$temporary/limits"
}
