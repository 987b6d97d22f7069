# shellcheck shell=bash
# (a) Kernel time per tcp_probe event; sourced by script/bench.
#
# Measured in two ways. "added": the increase in CPU time of a fixed loopback ping-pong on one CPU while the event is traced; the
# tracer's user side runs on another CPU. It includes the hook, the program, the buffer, wake-ups, and the programs that track
# owners. "program": the kernel's run-time statistics of the program, without the hook; "all programs": of all programs of that
# tracer, per tcp_probe event. The buffer is large enough for all events, as a lost event costs less.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

kernel_cases=(
  'empty tp_btf||attach TP_BTF'
  'empty raw_tp||attach RAW_TP'
  'empty tp||attach TP'
  'record, ring|180|trace --reader record --transport ringbuf'
  'sock, ring|180|trace --reader sock --transport ringbuf'
  'raw, ring||trace --reader raw --transport ringbuf'
  'sock, ring, all fields|260|trace --reader sock --transport ringbuf --all-fields'
  'raw, ring, all fields||trace --reader raw --transport ringbuf --all-fields'
  'record, perf buffer||trace --reader record --transport perfbuf'
  'sock, perf buffer||trace --reader sock --transport perfbuf'
  'raw, perf buffer||trace --reader raw --transport perfbuf'
  'sock, perf buffer, all fields||trace --reader sock --transport perfbuf --all-fields'
  'raw, perf buffer, all fields||trace --reader raw --transport perfbuf --all-fields'
  'bpftrace printf||bpftrace'
  'perf record||perf'
)

# shellcheck disable=SC2086 # words
start_case() {
  case $1 in
    attach\ *)
      # Ends at the end of its standard input.
      exec {attached}> >(exec "$bench" attach "$temporary/empty_${1#* }.o" >"$temporary/attach")
      started=$!
      processes[$started]=1
      wait_for "$temporary/attach" '^attached' "$started" || die "cannot attach the empty program"
      ;;
    trace\ *) pin=$tracer_cpu start_tracer /dev/null ${1#* } --buffer-size 67108864 -o jsonl ;;
    count\ *) pin=$tracer_cpu start_tracer /dev/null ${1#* } -o jsonl ;;
    perf) start_perf "$temporary/perf.data" ;;
    bpftrace) start_bpftrace "$temporary/bpftrace.out" ;;
  esac
}

stop_case() {
  case $1 in
    attach\ *)
      exec {attached}>&-
      ended "$started" || true
      ;;
    trace\ * | count\ *) stop_tracer ;;
    *) stop_tool ;;
  esac
}

# count_run_time EXCHANGES: separately, as the run-time statistics cost time.
count_run_time() {
  local counting process
  exec {counting}> >(exec "$bench" stats >"$temporary/stats")
  process=$!
  processes[$process]=1
  wait_for "$temporary/stats" '^counting' "$process" || die "cannot enable the BPF run-time statistics"
  measure "$1"
  exec {counting}>&-
  ended "$process" || true
}

# program_times PID: ns per run of the probe program, and ns of all programs per run of it.
program_times() {
  programs_of "$1" |
    awk '
      $3 { all += $2 }
      $3 && ($1 ~ /^probe_(record|sock|raw)$/ || !one) { one = $2 / $3; count = $3 }
      END { if (count) printf "%.0f %.0f\n", one, all / count; else print "- -" }'
}

section_kernel() {
  local how
  for how in TP_BTF RAW_TP TP; do
    clang -O2 -target bpf "-D$how" -c script/bench.d/empty.bpf.c -o "$temporary/empty_$how.o"
  done
  added_costs 'Kernel time per event' "${kernel_cases[@]}"
}

# added_costs TITLE CASE…: print the table. The last case is perf record.
added_costs() {
  local title=$1
  shift
  local cases=("$@")
  # Many short blocks, as disturbances come in bursts, and only add time.
  local rounds=5 blocks=16 exchanges=2000 settle=2000
  [[ -z $quick ]] || rounds=1 blocks=8
  local index name budget command round program all

  start_meter
  measure 20000
  : >"$temporary/kernel"
  # Fewer rounds on a busy machine: a full run should end within 12 minutes.
  for ((round = 0; round < rounds && (round == 0 || SECONDS - start < 150); round++)); do
    for index in "${!cases[@]}"; do
      IFS='|' read -r name budget command <<<"${cases[index]}"
      best "$blocks" "$exchanges"
      printf '%s %s ' "$index" "$least" >>"$temporary/kernel"
      start_case "$command"
      measure "$settle"
      best "$blocks" "$exchanges"
      count_run_time 10000
      read -r program all < <(program_times "$started")
      # It has no program that runs on packets.
      [[ $command != 'count top '* ]] || program=- all=-
      lost=0
      stop_case "$command"
      ((lost == 0)) || say "$name: $lost events lost, so the measured cost is too low"
      rm -f "$temporary/perf.data" "$temporary/bpftrace.out"
      echo "$least $program $all" >>"$temporary/kernel"
    done
  done
  best "$blocks" "$exchanges"
  echo "end $least" >>"$temporary/kernel"
  stop_meter

  # The CPU's speed varies by a fifth over seconds or minutes. So each traced block is compared with the untraced blocks
  # before and after it, and the difference scaled to the best speed.
  awk '
    function keep() {
      base = least[NR] < before ? least[NR] : before
      difference[case_, ++n[case_]] = (with - base) / base
      if (program != "-" && (!(case_ in one) || program + 0 < one[case_])) { one[case_] = program; all[case_] = programs }
    }
    { least[NR] = $2; if (!best || $2 < best) best = $2 }
    NR > 1 { keep() }
    { case_ = $1; before = $2; with = $3; program = $4; programs = $5 }
    END {
      for (c in n) {
        for (i = 1; i <= n[c]; i++)
          for (j = i + 1; j <= n[c]; j++)
            if (difference[c, j] < difference[c, i]) { t = difference[c, i]; difference[c, i] = difference[c, j]; difference[c, j] = t }
        median = (difference[c, int((n[c] + 1) / 2)] + difference[c, int(n[c] / 2) + 1]) / 2
        printf "%d %.0f %.0f…%.0f %s %s\n", c, median * best, difference[c, 1] * best, difference[c, n[c]] * best, c in one ? one[c] : "-", c in one ? all[c] : "-"
      }
    }' "$temporary/kernel" | sort -n >"$temporary/kernel.added"

  local perf_added added spread
  perf_added=$(awk -v case_="$((${#cases[@]} - 1))" '$1 == case_ { print $2 }' "$temporary/kernel.added")
  {
    row reader 'added ns' 'spread' 'to perf record' 'program ns' 'all programs ns' 'target' ''
    while read -r index added spread program all; do
      IFS='|' read -r name budget command <<<"${cases[index]}"
      row "$name" "$added" "$spread" "$(calc "printf \"%.2f\", $added / $perf_added")" \
        "$program" "$all" "$budget" "$(against "$added" "$budget")"
    done <"$temporary/kernel.added"
  } >"$temporary/table"
  table "$title" "$temporary/table"
  line
  line "One event of the untraced ping-pong takes $(awk '{ print $2 }' "$temporary/kernel" | sort -g | head -n 1) ns at best; $round rounds. The run-time statistics include their own cost: the value of an empty program."
}
