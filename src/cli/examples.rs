//! The examples of the help and the manual page. Their output is real, shortened.

/// Of `tcc-trace -h`.
pub const ROOT: &str = "\
Examples:
  tcc-trace -P 443 --every 1s                   Sample port 443 once a second
  tcc-trace events drop,retransmit,cong_state   Show losses and their effect
  tcc-trace -a -o jsonl -- curl -O example.org  Trace one command only";

/// Of `tcc-trace help options`.
pub const OPTIONS: &str = "\
Examples:
  One server's IPv4 clients, 100 samples per second per connection, for a minute:
    tcc-trace -4 -L 443 --every 10ms -d 1min
  Congestion windows as they change, as CSV:
    tcc-trace --cc bbr --on-change -o csv --fields time,cookie,snd_cwnd,bbr.bw
  One container, in its network namespace and as JSON:
    tcc-trace events all --netns pid:4711 -o jsonl
  Both ends of one connection, in a custom line format:
    tcc-trace --follow 10.0.0.1:443-10.0.0.2:50412 --format '{time} {sport:<5} {snd_cwnd:>6}'
  On the terminal, and all of it in a file:
    tcc-trace events all -o text -o jsonl=events.jsonl
  Retransmissions after a timeout to one network, while the window is small:
    tcc-trace retrans --where 'class == \"rto\" && raddr in 10.0.0.0/8 && snd_cwnd < 10'
  The connections of one command:
    tcc-trace life -- curl -sO https://example.org/file";

/// Of the commands: the first line is the command line.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "probe",
        "\
$ sudo tcc-trace probe -R 443 --every 1s \\
    --fields time,daddr,dport,snd_cwnd,srtt_us
time            daddr            dport snd_cwnd srtt_us
                                           segs      us
07:03:12.219000 192.0.2.2          443       22   13013
07:03:12.220211 192.0.2.2          443       20   12843
07:03:13.280005 192.0.2.2          443       10   13382",
    ),
    (
        "events",
        "\
$ sudo tcc-trace events cong_state,retransmit --format \\
    '{time} {type:<10} {dport} {class:<10} {new_ca_state:<8} {snd_cwnd}'
07:04:25.625340 cong_state 443 -          Recovery 25
07:04:25.664117 retransmit 443 fast       -        17
07:04:25.672598 cong_state 443 -          Open     17",
    ),
    (
        "record",
        "\
$ sudo tcc-trace record -w run.tcc -P 443 -d 10s",
    ),
    (
        "convert",
        "\
$ tcc-trace convert client.tcc server.tcc --to csv -w both.csv \\
    --fields time,sport,snd_cwnd,srtt_us --where 'srtt_us > 50ms'
$ tcc-trace convert client.tcc --to tcc --anonymize -w public.tcc",
    ),
    (
        "states",
        "\
$ sudo tcc-trace states -R 443 \\
    --fields time,comm,dport,old_state,new_state,old_state_us
time            comm  dport old_state new_state old_state_us
                                                          us
07:03:53.480022 traffic    443 CLOSE     SYN_SENT             -
07:03:53.490636 traffic    443 SYN_SENT  ESTABLISHED        10614
07:03:53.530856 traffic    443 ESTABLISHED FIN_WAIT1          40219",
    ),
    (
        "connect",
        "\
$ sudo tcc-trace connect --failed \\
    --format '{time} {comm} {daddr}:{dport} {outcome} {err}'
07:04:33.416847 traffic 192.0.2.2:99 refused ECONNREFUSED",
    ),
    (
        "accept",
        "\
$ sudo tcc-trace accept -L 8099 \\
    --fields time,comm,daddr,dport,handshake_us,wait_us,backlog
time            comm daddr            dport handshake_us wait_us backlog
                                                      us      us   count
07:09:54.142641 traffic 127.0.0.1        40698           22     166       1
07:09:54.142683 traffic 127.0.0.1        40710           11     129       0",
    ),
    (
        "life",
        "\
$ sudo tcc-trace life \\
    --fields time,comm,duration_us,bytes_acked,bytes_received,closed_by
time            comm duration_us bytes_acked bytes_received closed_by
                              us       bytes          bytes
07:09:57.532498 traffic       20478         301            310 peer
07:09:57.532880 traffic       20613         301            310 peer",
    ),
    (
        "retrans",
        "\
$ sudo tcc-trace retrans --by raddr,rport -d 5s
07:03:28.832768 83 retransmissions of 120 segments in 5.005 s
RADDR           RPORT EVENTS   SEGS   FAST  RTO SLOW TLP SYN SYNACK OTHER
192.0.2.2         443     81    118     67    6   45   0   0      0     0
198.51.100.1     8083      2      2      0    0    0   0   2      0     0",
    ),
    (
        "reset",
        "\
$ sudo tcc-trace reset \\
    --format '{time} {type:<14} {saddr}:{sport} {sk_state} {reason}'
07:30:46.028056 reset_received 192.0.2.1:51226 SYN_SENT -
07:30:47.039969 reset_sent     192.0.2.2:99 - NO_SOCKET",
    ),
    (
        "drop",
        "\
$ sudo tcc-trace drop --fields time,daddr,dport,flags,reason
time            daddr            dport flags reason
07:03:44.285508 192.0.2.2          443 PSH|ACK QDISC_DROP
07:03:44.331593 192.0.2.2          443 PSH|ACK QDISC_DROP",
    ),
    (
        "cong",
        "\
$ sudo tcc-trace cong --by cc -d 5s
07:03:34.714828 129 changes of state in 5.065 s
CC       OPEN_MS DOD_MS CWR_MS RCOV_MS LOSS_MS CHGS UNKN
bbr         1876      7      0    2367     653   84    1
cubic       4171      1    344      58       0   45    1",
    ),
    (
        "rtt",
        "\
$ sudo tcc-trace rtt -R 443 --by raddr --unit ms -d 3s
07:03:40.568182 srtt_us: 2795 samples in 3.004 s; percentiles are at most 3.2 % off

daddr=192.0.2.2
                  ms               : count     distribution
…
         4.096 -> 8.191            : 208      |***                                     |
         8.192 -> 16.383           : 2565     |****************************************|
        16.384 -> 32.767           : 22       |                                        |
field:srtt_us count:2795 unset:0 sum_ms:35026.690 avg_ms:12.532 min_ms:4.184 p50_ms:13.055
p90_ms:14.591 p99_ms:15.615 p999_ms:26.111 max_ms:28.924",
    ),
    (
        "connlat",
        "\
$ sudo tcc-trace connlat --side client --min 1ms \\
    --fields time,comm,daddr,dport,latency_us
time            comm daddr            dport latency_us
                                                    us
07:04:00.242827 traffic 192.0.2.2          443      11669
07:04:00.329187 traffic 192.0.2.2          443      12015",
    ),
    (
        "queue",
        "\
$ sudo tcc-trace queue --min 5ms \\
    --fields time,dport,dev,qdisc,skb_len,qlen,queue_us
time             dport dev  qdisc skb_len   qlen queue_us
                                    bytes  count       us
07:12:47.135847    443 eth0 tbf      1514      4     6991
07:12:47.135880    443 eth0 tbf      1514      4     6401
07:12:47.135882    443 eth0 tbf      1514      4     5818",
    ),
    (
        "observe",
        "\
$ sudo tcc-trace observe -i 10s --by cc --metrics bytes,rtt
00:16:43.278290 2 connections open, 39594 kB sent, 38217 kB received in 10.001 s
ca_name=cubic
  bytes            sent 40544321  retrans 1409175  acked 39134933  received 39134951
  segments         out 24931  in 23112  data_out 19105  data_in 18227
  srtt_us          6386 values  avg 1066.3  min 13  p50 179  p90 943  p99 26908  p999 26908
                   max 26908",
    ),
    (
        "export",
        "\
$ sudo tcc-trace export --labels cc,lport --max-series 5000
tcc-trace: metrics at http://127.0.0.1:9435/metrics

$ curl -s 127.0.0.1:9435/metrics | grep ^tcctrace_acked
tcctrace_acked_bytes_total{cc=\"cubic\",lport=\"443\"} 39134933",
    ),
    (
        "limits",
        "\
$ sudo tcc-trace limits --rport 7000 -i 5s
17:53:59.218838 1 connection in 5.002 s: path 96 %, recovery 3 %, application 2 %, idle 0 %
10.77.1.1:48760  10.77.2.1:7000  python3  pid 28954  cubic  acked_kB 18612
  a======================================r  path 96 %  recovery 3 %  application 2 %
  path: 48.4 Mbit/s acknowledged; RTT at least 44 ms, 44 ms above the smallest: a queue stands at
  the bottleneck",
    ),
    (
        "assert",
        "\
$ tcc-trace assert -r service.tcc 'p99(srtt_us) < 20ms' 'rate(retransmit) < 0.1%'
pass: p99(srtt_us) < 20ms: 13.185ms of 5023 values
fail: rate(retransmit) < 0.1%: 0.312% of 3846 segments, 12 retransmitted",
    ),
    (
        "top",
        "\
$ sudo tcc-trace top --rows 2
07:04:28.346031 2 active connections, RX 0 kB, TX 2303 kB, 12 retransmitted in 1.003 s
   PID COMM       LADDR:LPORT        RADDR:RPORT           RX_KB    TX_KB  CWND SRTT_US RETR
 26698 traffic    192.0.2.1:36264    192.0.2.2:443             0     1366    16   13185    9
 26697 traffic    192.0.2.1:36254    192.0.2.2:443             0      938    11   13859    3",
    ),
    (
        "live",
        "\
$ sudo tcc-trace live -P 5201
6 connections, 6 active   TX 17.2Mbit/s   RX 17.2Mbit/s   14 retransmitted
PROCESS       LPORT PEER                  CC    TX b/s RX b/s  CWND   SRTT  RETR
python3 4736  51854 10.99.7.2:5201        bbr    7.97M      0    24 19.8ms    14
python3 4732  51852 10.99.7.2:5201        cubic  5.36M      0     8 21.1ms     0",
    ),
    (
        "listeners",
        "\
$ sudo tcc-trace listeners
19:44:48.587798 Listening sockets: 2, drops: 33 in 1.001 s
   PID COMM       ADDR:PORT          QUEUE   MAX  SYNQ COOKIES  DROPS  TOTAL
   658 python3    10.9.0.2:8500          6     5     0   false     33     34
   658 python3    10.9.0.2:9100          0   128     0   false      0      0",
    ),
    (
        "check",
        "\
$ tcc-trace check
tcc-trace 1.0.0-rc.1 on Linux 6.18.44: ready

System
  ok   binary               libbpf 1.7, static binary; features: static
  ok   privileges           sufficient to load and attach BPF programs
  ok   btf                  /sys/kernel/btf/vmlinux",
    ),
    (
        "info",
        "\
$ tcc-trace info run.tcc",
    ),
    (
        "report",
        "\
$ tcc-trace report run.tcc -w run.html
tcc-trace: wrote run.html: 4 connections, 260 kB",
    ),
    (
        "snap",
        "\
$ sudo tcc-trace record -w net.tcc --flight 1min &
$ sudo tcc-trace snap $(pidof tcc-trace)",
    ),
    ("schema", "$ tcc-trace schema probe | jq '.oneOf[0].properties.srtt_us'"),
    ("completions", "$ tcc-trace completions bash > /etc/bash_completion.d/tcc-trace"),
    ("man", "$ tcc-trace man | man -l -"),
    ("help", "$ tcc-trace help options"),
];
