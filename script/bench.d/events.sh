# shellcheck shell=bash
# (g) Kernel time per event of each program of `events all`, and of summaries of rare events; sourced by script/bench.
#
# Measured with the kernel's run-time statistics, as most event types are too rare to affect the time of any traffic. Each value
# includes the cost of the statistics, which is the value of an empty program.
# shellcheck disable=SC2154,SC2034,SC2004 # variables of script/bench; keys of associative arrays

# Retransmitted SYNs and SYN-ACKs in this namespace.
syn_retransmits() { nstat -a -s -z TcpExtTCPSynRetrans | awk '/SynRetrans/ { print $2 }'; }

# A bulk transfer with losses, requests, refused connections, and handshakes whose last packet is lost: for some of them, all
# packets of the client until the SYN-ACK is retransmitted.
events_traffic() {
  local i before holder holders=()
  nft add table inet bench
  nft add chain inet bench in '{ type filter hook input priority 0; }'
  nft add rule inet bench in tcp dport 6001 meta length '>' 100 numgen inc mod 20 == 7 drop
  nft add rule inet bench in tcp dport 6002 tcp flags '& (syn | ack) == ack' numgen inc mod 3 == 0 drop
  "$traffic" bulk --to 127.0.0.1:6001 --cc cubic --bytes 20000000 --parallel 4 >/dev/null
  for ((i = 0; i < 100; i++)); do
    "$traffic" pingpong --to 127.0.0.1:6002 --count 3 --interval 0ms >/dev/null
    "$traffic" pingpong --to 127.0.0.1:6003 --count 1 >/dev/null 2>&1 || true
  done
  nft add rule inet bench in tcp dport 6004 tcp flags '& (syn | ack) == ack' drop
  before=$(syn_retransmits)
  for ((i = 0; i < 20; i++)); do
    "$traffic" hold --to 127.0.0.1:6004 --connections 1 >/dev/null 2>&1 </dev/null &
    holders+=("$!")
    processes[$!]=1
  done
  for ((i = 0; i < 100 && $(syn_retransmits) - before < 20; i++)); do sleep 0.1; done
  nft delete table inet bench
  for holder in "${holders[@]}"; do stop "$holder"; done
}

section_events() {
  local servers=() counting process tracer command
  local -A tracers=()
  start_server 6001
  servers+=("$started")
  start_server 6002
  servers+=("$started")
  start_server 6004
  servers+=("$started")
  exec {counting}> >(exec "$bench" stats >"$temporary/stats")
  process=$!
  processes[$process]=1
  wait_for "$temporary/stats" '^counting' "$process" || die "cannot enable the BPF run-time statistics"
  # The last two print rows instead of events.
  for command in 'events all' 'cong --by conn' 'retrans --by conn'; do
    # shellcheck disable=SC2086 # words
    start_tracer /dev/null $command -o jsonl
    tracers[$started]=$command
  done
  events_traffic
  for tracer in "${!tracers[@]}"; do
    command=${tracers[$tracer]}
    [[ $command != 'events all' ]] || command=
    programs_of "$tracer" |
      awk -F '\t' -v of="${command:+$command: }" '$3 { printf "%s%s\t%d\t%d\n", of, $1, $3, $2 / $3 }'
  done | sort >"$temporary/programs"
  for tracer in "${!tracers[@]}"; do
    kill -INT "$tracer"
    ended "$tracer" || true
  done
  exec {counting}>&-
  ended "$process" || true
  for process in "${servers[@]}"; do stop "$process"; done
  { row program runs 'ns per run'; cat "$temporary/programs"; } >"$temporary/table"
  table 'Kernel time of each program of events all, and of two summaries' "$temporary/table"
}
