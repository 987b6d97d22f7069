//! bpftrace and perf beside ours, at the same tracepoints on the same connections: as many events of each, and the same
//! bytes. Guests have the two only if VM_TOOLS names them (`VM_TOOLS='bpftrace perf' VM_MEMORY=2048 script/vm …`): they are
//! large.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::peers::{Peer, installed};
use crate::support::run::output;
use crate::support::{
    FAMILIES, Fixture, Launch, Running, TempDir, Trace, Tracer, drive, guest, is_root, kernel,
    u64_of,
};

/// Maps by the packet's or the connection's ports; a connection's end with its bytes, if it was established.
const SCRIPT: &str = "
BEGIN { printf(\"ready\\n\"); }
tracepoint:tcp:tcp_retransmit_skb { @retransmit[args->sport, args->dport] = count(); }
tracepoint:sock:inet_sock_set_state
/args->protocol == 6 && args->newstate == 7 && args->oldstate != 2 && args->oldstate != 10/ {
  $tp = (struct tcp_sock *)args->skaddr;
  @life[args->sport, args->dport, $tp->bytes_acked, $tp->bytes_received] = count();
}
tracepoint:skb:kfree_skb /args->protocol == 0x800 || args->protocol == 0x86dd/ {
  $skb = (struct sk_buff *)args->skbaddr;
  $ip = $skb->head + $skb->network_header;
  $four = args->protocol == 0x800;
  $next = $four ? ((struct iphdr *)$ip)->protocol : ((struct ipv6hdr *)$ip)->nexthdr;
  $tcp = (struct tcphdr *)($ip + ($four ? 20 : 40));
  if ($next == 6) {
    $from = $tcp->source; $to = $tcp->dest;
    @drop[($from & 255) << 8 | $from >> 8, ($to & 255) << 8 | $to >> 8] = count();
  }
}";

/// How often each key came.
type Counts = BTreeMap<Vec<u64>, u64>;

fn counts(keys: impl Iterator<Item = Vec<u64>>) -> Counts {
    let mut counts = Counts::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

fn ports(event: &Value) -> Vec<u64> {
    vec![u64_of(event, "sport"), u64_of(event, "dport")]
}

/// Data that is lost and sent again, connections that move some, one that is refused, one that is reset.
pub fn talk(fixture: &mut Fixture) {
    drive(fixture, "retransmit");
    fixture.exchange();
    fixture.refused(FAMILIES[0]);
    fixture.connect("b", FAMILIES[0]);
    fixture.client.reset("b");
    fixture.server.close("b");
    fixture.settle();
}

#[track_caller]
fn start(fixture: &Fixture, event_types: &str) -> Tracer {
    let args = ["--all-fields", "--port", &fixture.ports()];
    Tracer::events_in(&Launch::here().with_tracefs(), event_types, &args)
}

fn is_of(fixture: &Fixture, key: &[u64]) -> bool {
    key[..2].iter().any(|port| [fixture.port, fixture.closed].map(u64::from).contains(port))
}

#[test]
fn bpftrace_counts_the_same() {
    need!(is_root(), "not root");
    need!(installed("bpftrace"), "bpftrace is not installed", legitimate: guest());
    need!(kernel() >= (5, 11), "there bpftrace asks for the kernel's headers", legitimate: true);
    let mut fixture = Fixture::new();
    let tracer = start(&fixture, "retransmit,life,drop");
    let peer = Peer::start("bpftrace", &["-e", SCRIPT], "ready");
    talk(&mut fixture);
    let (trace, lines) = (tracer.stop(), peer.stop());
    trace.check_accounts(&["retransmit", "life", "drop"]);
    assert_eq!(trace.end["lost"], 0, "{}", trace.end);
    let theirs = |event_type: &str| -> Counts {
        let of_type = lines.iter().filter_map(|words| {
            let line = words.concat();
            let (key, count) = line.strip_prefix(&format!("@{event_type}["))?.split_once("]:")?;
            let key: Vec<u64> = key.split(',').map(|word| word.parse().expect(word)).collect();
            Some((key, count.parse().expect("a count")))
        });
        of_type.filter(|(key, _)| is_of(&fixture, key)).collect()
    };
    let ours = |event_type: &str, key: fn(&Value) -> Vec<u64>| {
        counts(trace.of_type(event_type).into_iter().map(key))
    };
    let life = |event: &Value| {
        let bytes = ["bytes_acked", "bytes_received"].map(|key| u64_of(event, key));
        [ports(event), bytes.to_vec()].concat()
    };
    // Theirs are the packet's.
    let dropped = |event: &Value| {
        let mut ports = ports(event);
        if event["direction"] == "in" {
            ports.reverse();
        }
        ports
    };
    for (event_type, ours) in [
        ("retransmit", ours("retransmit", ports)),
        ("life", ours("life", life)),
        ("drop", ours("drop", dropped)),
    ] {
        assert!(!ours.is_empty(), "no {event_type}");
        assert_eq!(ours, theirs(event_type), "{event_type}: {lines:#?}");
    }
}

/// What perf, told so, writes of these tracepoints on all CPUs, and the trace of the same time.
fn perf(
    fixture: &mut Fixture,
    tracer: Tracer,
    args: &[&str],
    events: &[Event],
) -> (TempDir, Trace) {
    let dir = TempDir::new();
    let mut command = Launch::here().with_tracefs().command(Path::new("perf"));
    command.args(args).args(["-a", "-o"]).arg(dir.path().join("perf"));
    command.args(events.iter().flat_map(|(_, event)| ["-e", event]));
    // It is at work when that runs, and ends with it.
    command.args(["--", "sh", "-c", "echo ready && read -r _"]);
    let mut perf = Running::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut line = String::new();
    let stdout = perf.child().stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n", "{}", perf.stderr());
    talk(fixture);
    let trace = tracer.stop();
    drop(perf.child().stdin.take());
    perf.wait();
    (dir, trace)
}

/// Our event type, and perf's name of the tracepoint.
type Event = (&'static str, &'static str);

/// As many lines of each event as we have records, by the ports; of all but one in `hidden` of ours.
#[track_caller]
fn compare_lines(fixture: &Fixture, trace: &Trace, text: &str, events: &[Event], hidden: u64) {
    for (event_type, event) in events {
        let lines = text.lines().filter_map(|line| Some(line.split_once(event)?.1));
        let keys = lines.map(|line| {
            // `perf script` has sport=80, or src=127.0.0.1:80, and `perf trace` (sport: 80, …), where that is not 0.
            let line = line.replace(": ", "=");
            let value = |key: &str| {
                let mut words = line.split([' ', ',', '(', ')']);
                words.find_map(|word| word.strip_prefix(key))
            };
            let port = |alone: &str, end: &str| -> u64 {
                let port = value(alone).or_else(|| Some(value(end)?.rsplit_once(':')?.1));
                port.map_or(0, |port| port.parse().unwrap_or_else(|_| panic!("{line}")))
            };
            vec![port("sport=", "src="), port("dport=", "dest=")]
        });
        let theirs = counts(keys.filter(|key| is_of(fixture, key)));
        let ours = counts(trace.of_type(event_type).into_iter().map(ports));
        let of = |counts: &Counts, key| counts.get(key).copied().unwrap_or(0);
        let keys = || ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>().into_iter();
        let missing: u64 = keys().map(|key| of(&theirs, key).saturating_sub(of(&ours, key))).sum();
        let more: u64 = keys().map(|key| of(&ours, key).saturating_sub(of(&theirs, key))).sum();
        let lost = u64_of(&trace.end["event_types"][event_type], "lost");
        let all: u64 = ours.values().sum();
        let is_alike = all > 0 && missing <= lost && more.saturating_mul(hidden) <= all;
        assert!(is_alike, "{event_type}: {ours:?}: {theirs:?}: {}\n{text}", trace.end);
    }
}

/// There are hosts (sandboxes) where perf records next to nothing of one of the CPUs.
macro_rules! need_perf {
    () => {
        need!(is_root(), "not root");
        need!(guest(), "perf is compared in guests, where it records all", legitimate: true);
        need!(installed("perf"), "perf is not installed", legitimate: true);
    };
}

#[test]
fn perf_records_the_same() {
    need_perf!();
    const EVENTS: [Event; 3] = [
        ("retransmit", "tcp:tcp_retransmit_skb"),
        ("state", "sock:inet_sock_set_state"),
        ("reset_sent", "tcp:tcp_send_reset"),
    ];
    let mut fixture = Fixture::new();
    let event_types = EVENTS.map(|(event_type, _)| event_type);
    let tracer = start(&fixture, &event_types.join(","));
    let (dir, trace) = perf(&mut fixture, tracer, &["record", "-q"], &EVENTS);
    trace.check_accounts(&event_types);
    let mut command = Launch::here().with_tracefs().command(Path::new("perf"));
    command.args(["script", "-F", "event,trace", "-i"]).arg(dir.path().join("perf"));
    compare_lines(&fixture, &trace, &output(command).expect("perf script"), &EVENTS, u64::MAX);
}

#[test]
fn perf_trace_prints_the_same() {
    need_perf!();
    const EVENTS: [Event; 2] =
        [("retransmit", "tcp:tcp_retransmit_skb"), ("state", "sock:inet_sock_set_state")];
    let mut fixture = Fixture::new();
    let event_types = EVENTS.map(|(event_type, _)| event_type);
    let tracer = start(&fixture, &event_types.join(","));
    let (dir, trace) = perf(&mut fixture, tracer, &["trace", "--no-syscalls"], &EVENTS);
    trace.check_accounts(&event_types);
    let text = std::fs::read_to_string(dir.path().join("perf")).expect("what it printed");
    // It filters out what happens while itself is on the CPU (trace__set_filter_loop_pids), and so what timers and packets
    // do then: one in four at most, and none that we have not.
    compare_lines(&fixture, &trace, &text, &EVENTS, 4);
}
