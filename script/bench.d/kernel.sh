# shellcheck shell=bash
# (a) Kernel time per tcp_probe event; sourced by script/bench.
#
# Measured in two ways. "added": the increase in CPU time of a fixed loopback ping-pong on one CPU while the event is traced; the
# tracer's user side runs on another CPU. It includes the hook, the program, the buffer, wake-ups, and the programs that track
# owners. "in the programs": the kernel's run-time statistics of all programs of that tracer, per tcp_probe event, without the
# hooks, and less what the statistics themselves take, which the empty program shows. The same object loaded twice differs by up
# to a quarter, so each round loads it again, and the table has the medians. The buffer is large enough for all events, as a lost
# event costs less.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

six_fields=time,snd_cwnd,snd_ssthresh,srtt_us,bytes_in_flight,ca_state

# name|target of all programs in ns|target to perf record|command
kernel_cases=(
  'empty tp_btf|||attach TP_BTF'
  'empty raw_tp|||attach RAW_TP'
  'empty tp|||attach TP'
  'record, ring|||trace --reader record --transport ringbuf'
  'sock, ring|150|1|trace --reader sock --transport ringbuf'
  "sock, ring, six fields|180||trace --reader sock --transport ringbuf --fields $six_fields"
  'sock, ring, all fields|370|1.5|trace --reader sock --transport ringbuf --all-fields'
  'raw, ring|||trace --reader raw --transport ringbuf'
  "raw, ring, six fields|||trace --reader raw --transport ringbuf --fields $six_fields"
  'raw, ring, all fields|||trace --reader raw --transport ringbuf --all-fields'
  'record, perf buffer|||trace --reader record --transport perfbuf'
  'sock, perf buffer|||trace --reader sock --transport perfbuf'
  'sock, perf buffer, all fields|||trace --reader sock --transport perfbuf --all-fields'
  'bpftrace printf|||bpftrace'
  'perf record|||perf'
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

# program_times PID: ns of all its programs, and how often they ran, per run of the one at tcp_probe.
program_times() {
  programs_of "$1" |
    awk '
      { time += $2; runs += $3 }
      $1 ~ /^tcp_probe_(btf|raw|record)/ || !probes { probes = $3 }
      END { if (probes) printf "%.1f %.2f\n", time / probes, runs / probes; else print "- -" }'
}

section_kernel() { added_costs 'Kernel time per event' "${kernel_cases[@]}"; }

# added_costs TITLE CASE…: print the table. The first case is an empty program, the last one perf record.
added_costs() {
  local title=$1
  shift
  local cases=("$@")
  # Many short blocks, as disturbances come in bursts, and only add time.
  local rounds=5 blocks=16 exchanges=2000 settle=2000
  [[ -z $quick ]] || rounds=1 blocks=8
  local index name budget to_perf command round times how

  for how in TP_BTF RAW_TP TP; do
    clang -O2 -target bpf "-D$how" -c script/bench.d/empty.bpf.c -o "$temporary/empty_$how.o"
  done
  start_meter
  measure 20000
  : >"$temporary/kernel"
  # Fewer rounds on a busy machine: a full run should end within 12 minutes.
  for ((round = 0; round < rounds && (round == 0 || SECONDS - start < 150); round++)); do
    for index in "${!cases[@]}"; do
      IFS='|' read -r name budget to_perf command <<<"${cases[index]}"
      best "$blocks" "$exchanges"
      printf '%s %s ' "$index" "$least" >>"$temporary/kernel"
      start_case "$command"
      measure "$settle"
      best "$blocks" "$exchanges"
      count_run_time 10000
      times=$(program_times "$started")
      # It has no program that runs on packets.
      [[ $command != 'count top '* ]] || times='- -'
      lost=0
      stop_case "$command"
      ((lost == 0)) || say "$name: $lost events lost, so the measured cost is too low"
      rm -f "$temporary/perf.data" "$temporary/bpftrace.out"
      echo "$least $times" >>"$temporary/kernel"
    done
  done
  best "$blocks" "$exchanges"
  echo "end $least" >>"$temporary/kernel"
  stop_meter

  # The CPU's speed varies by a fifth over seconds or minutes. So each traced block is compared with the untraced blocks
  # before and after it, and the difference scaled to the best speed.
  awk '
    # Sorts list[case_, 1…count]; returns the median.
    function median(list, case_, count, i, j, t) {
      for (i = 1; i <= count; i++)
        for (j = i + 1; j <= count; j++)
          if (list[case_, j] < list[case_, i]) { t = list[case_, i]; list[case_, i] = list[case_, j]; list[case_, j] = t }
      return (list[case_, int((count + 1) / 2)] + list[case_, int(count / 2) + 1]) / 2
    }
    function keep(base) {
      base = $2 < before ? $2 : before
      difference[case_, ++n[case_]] = (with - base) / base
      if (time != "-") { programs[case_, ++m[case_]] = time; runs[case_] = per_probe }
    }
    { if (!best || $2 < best) best = $2 }
    NR > 1 { keep() }
    { case_ = $1; before = $2; with = $3; time = $4; per_probe = $5 }
    END {
      # The first case is the empty program.
      statistics = m[0] ? median(programs, 0, m[0]) : 0
      for (c in n) {
        added = median(difference, c, n[c])
        printf "%d %.0f %.0f…%.0f %s\n", c, added * best, difference[c, 1] * best, difference[c, n[c]] * best, m[c] ? sprintf("%.0f", median(programs, c, m[c]) - runs[c] * statistics) : "-"
      }
    }' "$temporary/kernel" | sort -n >"$temporary/kernel.added"

  local perf_added added spread programs ratio
  perf_added=$(awk -v case_="$((${#cases[@]} - 1))" '$1 == case_ { print $2 }' "$temporary/kernel.added")
  {
    row reader 'added ns' 'spread' 'to perf record' target '' 'in the programs ns' target ''
    while read -r index added spread programs; do
      IFS='|' read -r name budget to_perf command <<<"${cases[index]}"
      ratio=$(calc "printf \"%.2f\", $added / $perf_added")
      row "$name" "$added" "$spread" "$ratio" "$to_perf" "$(against "$ratio" "$to_perf")" \
        "$programs" "$budget" "$(against "$programs" "$budget")"
    done <"$temporary/kernel.added"
  } >"$temporary/table"
  table "$title" "$temporary/table"
  line
  line "One event of the untraced ping-pong takes $(awk '{ print $2 }' "$temporary/kernel" | sort -g | head -n 1) ns at best; medians of $round rounds."
}
