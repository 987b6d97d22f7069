# shellcheck shell=bash
# (j) CPU time of a scrape of `export` by number of connections, of all threads; sourced by script/bench.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

# Two readings in a second are the most that the server makes.
scrape_pause=0.6

# threads_cpu PID: exact CPU time of all threads so far, in ns.
threads_cpu() { cat /proc/"$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f", sum }'; }

# scrape: fetch the metrics once; prints the number of bytes.
scrape() {
  local socket
  exec {socket}<>"/dev/tcp/127.0.0.1/$scrape_port"
  printf 'GET /metrics HTTP/1.1\r\nHost: bench\r\nAccept: %s\r\n\r\n' "$1" >&"$socket"
  wc -c <&"$socket"
  exec {socket}>&-
}

# scrape_row CONNECTIONS FORMAT ACCEPT [TARGET_MS]
scrape_row() {
  local before after bytes i times=${quick:+5}
  times=${times:-20}
  bytes=$(scrape "$3")
  ((bytes > 1000)) || die 'no metrics'
  wait_quiet "$started"
  before=$(threads_cpu "$started")
  for ((i = 0; i < times; i++)); do
    sleep "$scrape_pause"
    scrape "$3" >"$temporary/scraped"
  done
  after=$(threads_cpu "$started")
  local ms
  ms=$(calc "printf \"%.1f\", ($after - $before) / $times / 1e6")
  row "$1" "$2" "$bytes" "$ms" "${4-}" "$(against "$ms" "${4-}")"
}

# scrape_tracer OPTION…: starts an exporter; sets `started` and `scrape_port`.
scrape_tracer() {
  pin='' start_tracer /dev/null export --listen 127.0.0.1:0 "$@"
  scrape_port=$(sed -n 's|.*metrics at http://127.0.0.1:\([0-9]*\)/metrics|\1|p' "$temporary/tracer.err")
}

section_scrape() {
  local memory_port=8500 servers=() holders=() process tracer
  local text='application/openmetrics-text;version=1.0.0'
  local protobuf='application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'
  scrape_tracer --labels cc,lport
  tracer=$started
  {
    row connections format bytes 'CPU ms per scrape' target ''
    scrape_row 0 OpenMetrics "$text"
    memory_open 1000
    started=$tracer scrape_row '1 000' OpenMetrics "$text"
    if [[ -z $quick ]]; then
      memory_open 4000
      # Both ends of each are here.
      started=$tracer scrape_row '5 000, both ends' OpenMetrics "$text" 20
      started=$tracer scrape_row '5 000, both ends' protobuf "$protobuf" 20
      started=$tracer
      stop_tracer
      scrape_tracer --labels cc
      scrape_row '5 000, both ends, --labels cc' OpenMetrics "$text" 20
      stop_tracer
      scrape_tracer --labels cc --top 20
      tracer=$started
      scrape_row '5 000, both ends, --labels cc --top 20' OpenMetrics "$text" 20
    fi
    for process in "${holders[@]}" "${servers[@]}"; do
      stop "$process"
    done
  } >"$temporary/table"
  started=$tracer
  stop_tracer
  table 'CPU time of a scrape of export' "$temporary/table"
}
