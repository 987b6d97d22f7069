//! bpftrace's own `tcp*.bt`, as they are packaged, beside ours on the same connections. They are made of kprobes, so they run
//! in guests, which have them only if VM_TOOLS names them (see script/test).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::peers::{Peer, installed};
use crate::peers_trace::talk;
use crate::support::{
    FAMILIES, Fixture, Launch, OneCpu, TempDir, Trace, Tracer, guest, is_root, text, u64_of,
};

/// A script, what its heading has, and our event type.
const SCRIPTS: [(&str, &str, &str); 5] = [
    ("tcpconnect", "DPORT", "connect"),
    ("tcpaccept", "LPORT", "accept"),
    ("tcplife", "MS", "life"),
    ("tcpretrans", "STATE", "retransmit"),
    ("tcpdrop", "STATE", "drop"),
];

/// On a busy machine one of two programs at a hook may come so much later than the other.
const LATE_MS: u64 = 50;

/// The scripts are not changed. They include this for two numbers, and guests have no C library's headers.
const SOCKET_H: &str = "#define AF_INET 2\n#define AF_INET6 10\n";

/// How often each key came.
type Counts = BTreeMap<Vec<String>, u64>;

fn counts(keys: impl Iterator<Item = Vec<String>>) -> Counts {
    let mut counts = Counts::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn port(word: &str) -> String {
    word.rsplit_once(':').map_or(word, |(_, port)| port).to_owned()
}

/// A connection whose first data our own firewall drops.
#[track_caller]
fn drop_on_the_way_out(fixture: &mut Fixture) {
    fixture.connect("o", FAMILIES[0]);
    let first =
        format!("tcp dport {} tcp flags & psh == psh numgen inc mod 1000 == 0 drop", fixture.port);
    fixture.ns.firewall("output", &[&first]);
    fixture.client.transfer("o", &mut fixture.server, 100);
    fixture.speak();
    fixture.client.close("o");
    fixture.server.close("o");
    fixture.settle();
}

/// What the scripts and we have of the same connections.
struct Both {
    trace: Trace,
    lines: BTreeMap<&'static str, Vec<Vec<String>>>,
    ports: [String; 2],
}

impl Both {
    #[track_caller]
    fn record() -> Self {
        // The scripts print a line in several parts.
        let _cpu = OneCpu::new();
        let include = TempDir::new();
        std::fs::create_dir(include.path().join("sys")).expect("a directory");
        std::fs::write(include.path().join("sys/socket.h"), SOCKET_H).expect("a file");
        let dir = include.path().to_str().expect("UTF-8");
        let mut fixture = Fixture::new();
        let event_types = SCRIPTS.map(|(.., event_type)| event_type);
        let args = ["--all-fields", "--port", &fixture.ports()];
        let tracer =
            Tracer::events_in(&Launch::here().with_tracefs(), &event_types.join(","), &args);
        let peers = SCRIPTS.map(|(name, heading, _)| {
            let script = format!("/usr/sbin/{name}.bt");
            (name, Peer::start("bpftrace", &["-I", dir, &script], heading))
        });
        talk(&mut fixture);
        drop_on_the_way_out(&mut fixture);
        let trace = tracer.stop();
        let lines = peers.map(|(name, peer)| (name, peer.stop())).into();
        trace.check_accounts(&event_types);
        let ports = [fixture.port, fixture.closed].map(|port| port.to_string());
        Both { trace, lines, ports }
    }

    /// Of the script's lines, those of so many words with one of the fixture's ports among the ones that `ports` says.
    fn theirs(&self, script: &str, words: usize, ports: [usize; 2], key: &[usize]) -> Counts {
        let lines = self.lines[script].iter().filter(|line| line.len() == words);
        let own = |line: &&Vec<String>| ports.iter().any(|i| self.ports.contains(&port(&line[*i])));
        counts(lines.filter(own).map(|line| key.iter().map(|i| port(&line[*i])).collect()))
    }

    fn ours(&self, event_type: &str, concerns: fn(&Value) -> bool, key: &[&str]) -> Counts {
        let events = self.trace.of_type(event_type).into_iter().filter(|event| concerns(event));
        counts(events.map(|event| key.iter().map(|name| word(&event[*name])).collect()))
    }
}

#[test]
fn scripts_of_bpftrace_show_the_same() {
    need!(is_root(), "not root");
    need!(guest(), "they need kprobes", legitimate: true);
    need!(installed("tcplife.bt"), "bpftrace's scripts are not there", legitimate: true);
    let both = Both::record();
    // TIME PID COMM SADDR SPORT DADDR DPORT
    let theirs = both.theirs("tcpconnect", 7, [4, 6], &[1, 4, 6]);
    assert_eq!(both.ours("connect", |_| true, &["pid", "sport", "dport"]), theirs);
    // TIME PID COMM RADDR RPORT LADDR LPORT BL
    let theirs = both.theirs("tcpaccept", 8, [4, 6], &[1, 6, 4]);
    assert_eq!(both.ours("accept", |_| true, &["pid", "sport", "dport"]), theirs);
    // TIME PID LADDR:LPORT RADDR:RPORT STATE, where tcp_retransmit_skb() is called: loss probes go to __tcp_retransmit_skb().
    let theirs = both.theirs("tcpretrans", 5, [2, 3], &[2, 3, 4]);
    let ours =
        both.ours("retransmit", |event| event["class"] != "tlp", &["sport", "dport", "state"]);
    assert_eq!(ours, theirs);
    // TIME PID COMM SADDR:SPORT DADDR:DPORT STATE, of packets that belong to a socket, and if there is a reason. What TCP
    // drops of what it receives belongs to none yet; that is ours alone. The socket's port may be gone by then, which is 0
    // there; ours is the packet's.
    let theirs = both.theirs("tcpdrop", 6, [3, 4], &[4, 5]);
    let concerns = |event: &Value| {
        let reason = text(event, "reason");
        !event["cookie"].is_null() && reason != "NOT_SPECIFIED" && !reason.starts_with("TCP_")
    };
    let drops = both.trace.of_type("drop");
    assert_eq!(both.ours("drop", concerns, &["dport", "sk_state"]), theirs, "{drops:#?}");
    check_lives(&both);
}

/// PID COMM LADDR LPORT RADDR RPORT TX_KB RX_KB MS. A client's time begins with its SYN there, and apart from the handshake
/// here; those that never came about are `connect`'s here. The server's process is of no use there: whoever was current.
#[track_caller]
fn check_lives(both: &Both) {
    let mut lives = both.lines["tcplife"].iter().filter(|line| line.len() == 9);
    let mut ours = both.trace.of_type("life");
    for words in lives.by_ref().filter(|words| [3, 5].iter().any(|i| words[*i] == both.ports[0])) {
        let is = |event: &&Value| {
            [("sport", 3), ("dport", 5)].iter().all(|(key, i)| word(&event[*key]) == words[*i])
        };
        let at = ours.iter().position(is).unwrap_or_else(|| panic!("not ours: {words:?}"));
        let event = ours.swap_remove(at);
        for (column, i) in [("bytes_acked", 6), ("bytes_received", 7)] {
            assert_eq!((u64_of(event, column) / 1024).to_string(), words[i], "{column}: {event}");
        }
        let is_client = words[5] == both.ports[0];
        let before = if is_client { u64_of(event, "handshake_us") } else { 0 };
        let took = (u64_of(event, "duration_us") + before) / 1000;
        let theirs: u64 = words[8].parse().expect("ms");
        assert!(took.abs_diff(theirs) <= LATE_MS, "{words:?}: {event}");
        assert!(!is_client || words[0] == word(&event["pid"]), "{words:?}: {event}");
    }
    assert!(ours.is_empty(), "not theirs: {ours:?}");
}
