# shellcheck shell=bash
# Helpers for the sections of script/bench; sourced by it.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

# line TEXT: add a line to the report.
line() { printf '%s\n' "${1-}" | tee -a "$report"; }

# table TITLE FILE: print tab-separated rows, the first of them titles, as an aligned Markdown table. The first column is text,
# the others are numbers.
table() {
  line
  line "## $1"
  line
  awk -F '\t' '
    { for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } columns = NF > columns ? NF : columns }
    END {
      for (row = 1; row <= NR; row++) {
        text = "|"
        for (i = 1; i <= columns; i++) text = text sprintf(i == 1 ? " %-*s |" : " %*s |", width[i], cell[row, i])
        print text
        if (row > 1) continue
        text = "|"
        for (i = 1; i <= columns; i++) { rule = sprintf("%*s", width[i] + 1, ""); gsub(/ /, "-", rule); text = text (i == 1 ? rule "-|" : rule ":|") }
        print text
      }
    }' "$2" | tee -a "$report"
}

# row CELL…: a row of a table's file.
row() {
  local IFS=$'\t'
  printf '%s\n' "$*"
}

calc() { awk "BEGIN { $1 }"; }

# against VALUE TARGET: compare with an upper bound.
against() {
  [[ -n $2 ]] || return 0
  calc "print ($1 <= $2 ? \"OK\" : \"over\")"
}

# ended PID: wait for a child process; returns its exit status.
ended() {
  local status=0
  wait "$1" || status=$?
  unset "processes[$1]"
  return "$status"
}

# wait_for FILE PATTERN PID [SECONDS]: wait until the process has written the line.
wait_for() {
  local i
  for ((i = 0; i < ${4-30} * 50; i++)); do
    ! grep -qs -- "$2" "$1" || return 0
    if ! kill -0 "$3" 2>/dev/null; then
      cat "$1" >&2
      return 1
    fi
    sleep 0.02
  done
  say "no line \"$2\" within ${4-30} seconds"
  return 1
}

# The meter: `bench pingpong`, both ends on one CPU.
start_meter() {
  coproc meter { exec taskset -c "$traffic_cpu" "$bench" pingpong; }
  # shellcheck disable=SC2154 # set by coproc
  meter_process=$meter_PID
  processes[$meter_process]=1
}

stop_meter() {
  local input=${meter[1]}
  exec {input}>&-
  ended "$meter_process"
}

# measure EXCHANGES: sets `cpu` (ns) and `segments`.
measure() {
  echo "$1" >&"${meter[1]}"
  read -r _ cpu segments <&"${meter[0]}"
}

# best BLOCKS EXCHANGES: sets `least` to the minimum CPU time per segment, in ns.
best() {
  local i all=
  for ((i = 0; i < $1; i++)); do
    measure "$2"
    all+="$cpu $segments"$'\n'
  done
  least=$(awk 'NF { ns = $1 / $2; if (!least || ns < least) least = ns } END { printf "%.1f", least }' <<<"$all")
}

# start_tracer OUTPUT OPTION…: waits until it is ready, and sets `started` to its PID. `pin` is its CPU.
start_tracer() {
  local output=$1
  shift
  : >"$temporary/tracer.err"
  ${pin:+taskset -c "$pin"} "$tcc_trace" "$@" >"$output" 2>"$temporary/tracer.err" </dev/null &
  started=$!
  processes[$started]=1
  wait_for "$temporary/tracer.err" '^tcc-trace: tracing' "$started" || die "tcc-trace $* did not start"
}

# stop_tracer: sets `seen`, `emitted`, `lost`, `misses` (recursion misses among the lost), and `sum`: whether the counters add up.
# They are those of probe, if it is among several event types.
stop_tracer() {
  local status=0 counters
  kill -INT "$started"
  ended "$started" || status=$?
  ((status == 0)) || die "tcc-trace failed with status $status: $(tail -n 3 "$temporary/tracer.err")"
  counters=$(grep '^tcc-trace: [a-z_]*: [0-9]* seen = ' "$temporary/tracer.err" |
    awk '{ last = $0 } $2 == "probe:" { probe = $0 } END { print probe ? probe : last }')
  read -r seen emitted lost sum misses < <(awk '{
    # N seen = N emitted + N filtered …
    sub(/^tcc-trace: [a-z_]*: /, "")
    misses = match($0, /; [0-9]+/) ? substr($0, RSTART + 2, RLENGTH - 2) : 0
    sub(/;.*/, "")
    for (i = 4; i < NF; i += 3) { sum += $i; by[$(i + 1)] = $i }
    print $1, by["emitted"] + 0, by["lost"] + 0, sum == $1 ? "OK" : "WRONG", misses
  }' <<<"$counters")
}

# start_perf OUTPUT: starts `perf record` of the event on all CPUs; sets `started` to its PID.
start_perf() {
  rm -f "$temporary/control" "$temporary/ack"
  mkfifo "$temporary/control" "$temporary/ack"
  taskset -c "$tracer_cpu" perf record -a -e tcp:tcp_probe -D -1 \
    --control "fifo:$temporary/control,$temporary/ack" -o "$1" >/dev/null 2>"$temporary/perf.err" </dev/null &
  started=$!
  processes[$started]=1
  local answer
  echo enable | timeout 10 tee "$temporary/control" >/dev/null || die "perf record did not start"
  read -r -t 10 answer <"$temporary/ack" || die "perf record did not answer"
  [[ $answer == ack* ]] || die "unexpected answer from perf record: $answer"
}

# start_bpftrace OUTPUT: starts a script that prints the standard fields; sets `started` to its PID.
start_bpftrace() {
  taskset -c "$tracer_cpu" bpftrace script/bench.d/standard.bt >"$1" 2>"$temporary/bpftrace.err" </dev/null &
  started=$!
  processes[$started]=1
  wait_attached "$started" || die "bpftrace did not start"
}

# wait_attached PID: wait until the process has loaded a BPF program, and has nothing left to do.
wait_attached() {
  local i
  for ((i = 0; i < 1500; i++)); do
    if grep -qs '^prog_type:' /proc/"$1"/fdinfo/*; then
      wait_quiet "$1"
      return
    fi
    kill -0 "$1" 2>/dev/null || return 1
    sleep 0.02
  done
  return 1
}

# wait_quiet PID: wait until the process uses no CPU time any more.
wait_quiet() {
  local i now before=
  for ((i = 0; i < 100; i++)); do
    now=$(cpu_of "$1")
    [[ $now != "$before" ]] || return 0
    before=$now
    sleep 0.3
  done
}

# stop_tool: stop perf or bpftrace by SIGINT, repeatedly, as bpftrace misses it while printing.
stop_tool() {
  local i
  for ((i = 0; i < 50; i++)); do
    kill -INT "$started" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$started" 2>/dev/null || true
  ended "$started" || true
}

# cpu_of PID: exact CPU time so far, in ns.
cpu_of() { awk '{ print $1 }' "/proc/$1/schedstat"; }

# programs_of PID: each of its BPF programs: name, run time in ns and runs, from the kernel's run-time statistics.
programs_of() {
  local id time count
  while read -r id time count; do
    row "$(bpftool prog show id "$id" 2>/dev/null | sed -n 's/.* name \([^ ]*\).*/\1/p')" "$time" "$count"
  done < <(awk '
    FNR == 1 { id = "" }
    $1 == "prog_id:" { id = $2 }
    $1 == "run_time_ns:" { time = $2 }
    $1 == "run_cnt:" && id != "" && !(id in done) { done[id]; print id, time, $2 }' /proc/"$1"/fdinfo/* 2>/dev/null)
}

# start_server PORT: sets `started` to its PID.
start_server() {
  "$traffic" server --listen "127.0.0.1:$1" >"$temporary/server.$1" 2>&1 </dev/null &
  started=$!
  processes[$started]=1
  wait_for "$temporary/server.$1" '^listening' "$started" || die "the server did not start"
}

stop() {
  kill "$1" 2>/dev/null || true
  ended "$1" || true
}
