# shellcheck shell=bash
# (i) CPU time of reading and printing an event, without the kernel: replayed records, and a sink whose output is discarded; sourced
# by script/bench.
#
# The median of many short blocks, of all formats in turn. BASELINE names the `replay` of another build, which runs in the same turns.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

replay_cases=('jsonl|standard|150' 'jsonl|all|700' 'csv|standard|' 'csv|all|' 'text|standard|' 'text|all|')

# replay_block PROGRAM FORMAT FIELDS FILE: add the CPU ns per event of one block to the file.
replay_block() {
  local events=20000
  [[ $3 == standard ]] || events=5000
  taskset -c "$tracer_cpu" "$1" "$2" "$3" <<<"$events" >>"$4"
}

# middle FILE: its median; nothing if there is no file.
middle() {
  [[ ! -e $1 ]] || sort -n "$1" | awk '{ n[NR] = $1 } END { printf "%.0f", n[int((NR + 1) / 2)] }'
}

section_replay() {
  local rounds=41 round case format fields budget ns before
  [[ -z $quick ]] || rounds=9
  for ((round = 0; round < rounds; round++)); do
    for case in "${replay_cases[@]}"; do
      IFS='|' read -r format fields budget <<<"$case"
      replay_block "$replay" "$format" "$fields" "$temporary/replay.$format.$fields"
      [[ -z ${BASELINE-} ]] || replay_block "$BASELINE" "$format" "$fields" "$temporary/baseline.$format.$fields"
    done
  done
  {
    row format fields ns target '' 'baseline ns' ratio
    for case in "${replay_cases[@]}"; do
      IFS='|' read -r format fields budget <<<"$case"
      ns=$(middle "$temporary/replay.$format.$fields")
      before=$(middle "$temporary/baseline.$format.$fields")
      row "$format" "$fields" "$ns" "$budget" "$(against "$ns" "$budget")" "$before" \
        "${before:+$(calc "printf \"%.2f\", $ns / $before")}"
    done
  } >"$temporary/table"
  table 'CPU time of reading and printing an event, without the kernel' "$temporary/table"
}
