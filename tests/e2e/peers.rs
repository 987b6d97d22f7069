//! bcc's libbpf-tools beside ours, on the same connections: what they tell alike is alike.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    EPOLL_WAIT, FAMILIES, Fixture, Launch, Running, Trace, Tracer, in_call, patience, terminal,
    text, u64_of,
};

/// On a busy machine one of two programs at a hook may come so much later than the other.
const LATE_MS: f64 = 100.0;

/// A peer that waits for events this long after a signal has missed it.
const INTERRUPT_AGAIN: Duration = Duration::from_secs(1);

pub fn has_kprobes() -> bool {
    Path::new("/sys/bus/event_source/devices/kprobe").exists()
}

/// Is it installed? Debian 12 has them, in the package libbpf-tools.
pub fn installed(name: &str) -> bool {
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&dirs).collect();
    dirs.push("/usr/sbin".into());
    dirs.iter().any(|dir| dir.join(name).exists())
}

/// Ends the test where the other one cannot run.
macro_rules! need_peer {
    ($name:expr, kprobes) => {
        let in_guest = $crate::support::guest();
        need!($crate::peers::has_kprobes(), "this kernel has no kprobes", legitimate: !in_guest);
        need_peer!($name);
    };
    ($name:expr) => {
        need!($crate::support::is_root(), "not root");
        need!($crate::peers::installed($name), "libbpf-tools is not installed");
    };
}

/// Its output is a terminal, as into anything else they write nothing until they end.
pub struct Peer {
    running: Running,
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Peer {
    /// Ready where it has written its heading.
    #[track_caller]
    pub fn start(name: &str, args: &[&str], heading: &str) -> Self {
        let (ours, theirs) = terminal();
        let mut command = Launch::here().with_tracefs().command(Path::new(name));
        command.args(args).stdout(theirs).stdin(Stdio::null());
        let running = Running::spawn(&mut command);
        let text = Arc::new(Mutex::new(String::new()));
        let reader = std::thread::spawn({
            let text = text.clone();
            move || read(ours, &text)
        });
        let mut peer = Peer { running, text, reader };
        drop(command);
        peer.wait_until(name, "its heading", |peer| {
            assert!(!peer.running.ended(), "{name} ended: {}", peer.running.stderr());
            peer.text.lock().expect("no panic").contains(heading)
        });
        if name == "bpftrace" {
            // What it prints at its beginning comes before its other probes are there.
            let task = PathBuf::from(format!("/proc/{}", peer.running.pid()));
            peer.wait_until(name, "its wait for events", |_| in_call(&task, EPOLL_WAIT));
        }
        peer
    }

    /// Fails with all that is known of it.
    #[track_caller]
    fn wait_until(&mut self, name: &str, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(
                start.elapsed() < patience(),
                "{name}: waited {} s for {what}; it has printed {:?} and {:?}{}",
                patience().as_secs(),
                self.text.lock().expect("no panic"),
                self.running.stderr(),
                self.running.where_it_is()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Until it ends: bpftrace notices a signal only where that interrupts its wait for events, and goes on waiting after one that
    /// comes between two of them.
    #[track_caller]
    fn interrupt(&mut self) {
        let task = PathBuf::from(format!("/proc/{}", self.running.pid()));
        let mut interrupted = None::<Instant>;
        self.wait_until("the interrupted peer", "its end", |peer| {
            let again = |at: Instant| at.elapsed() > INTERRUPT_AGAIN && in_call(&task, EPOLL_WAIT);
            if interrupted.is_none_or(again) {
                peer.running.signal(Signal::INT);
                interrupted = Some(Instant::now());
            }
            peer.running.ended()
        });
    }

    /// How often the kernel has skipped one of its programs, which it counts from 5.12 on, and does not do before.
    pub fn skipped(&self) -> u64 {
        let dir = format!("/proc/{}/fdinfo", self.running.pid());
        let files = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{dir}: {error}"));
        // One may be closed meanwhile.
        let texts = files.flatten().map(|file| std::fs::read_to_string(file.path()));
        let count = |line: &str| line.strip_prefix("recursion_misses:")?.trim().parse::<u64>().ok();
        texts.flatten().map(|text| text.lines().filter_map(count).sum::<u64>()).sum()
    }

    /// The words of each line.
    #[track_caller]
    pub fn stop(mut self) -> Vec<Vec<String>> {
        self.interrupt();
        self.running.wait();
        self.reader.join().expect("no panic");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        self.text.lock().expect("no panic").lines().map(words).collect()
    }
}

/// Until nobody holds the other end any more, which is an error of its own.
fn read(mut ours: File, text: &Mutex<String>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = ours.read(&mut bytes) {
        text.lock().expect("no panic").push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
}

#[track_caller]
fn start(command: &str, fixture: &Fixture) -> Tracer {
    let args = [command, "-o", "jsonl", "--all-fields", "--port", &fixture.ports()];
    let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &args);
    tracer.wait_ready();
    tracer
}

/// Connections in all families that move some, one that waits a bit, and one that is refused.
fn talk(fixture: &mut Fixture) {
    fixture.exchange();
    fixture.refused(FAMILIES[0]);
    fixture.settle();
}

#[track_caller]
pub fn number(word: &str) -> f64 {
    word.parse().unwrap_or_else(|error| panic!("{word}: {error}"))
}

/// Both, sorted: the same.
#[track_caller]
fn same<T: Ord + std::fmt::Debug>(mut ours: Vec<T>, mut theirs: Vec<T>) {
    assert!(!theirs.is_empty());
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
}

/// The end that an event is of.
fn ends(event: &Value) -> [String; 4] {
    let port = |key: &str| u64_of(event, key).to_string();
    [text(event, "saddr").into(), port("sport"), text(event, "daddr").into(), port("dport")]
}

/// An IPv4 address also where its socket is an IPv6 one.
pub fn address(word: &str) -> String {
    word.strip_prefix("::ffff:").unwrap_or(word).to_owned()
}

fn is_of(fixture: &Fixture, port: &str) -> bool {
    port == fixture.port.to_string() || port == fixture.closed.to_string()
}

#[test]
fn tcpstates_has_the_same_states_and_times() {
    need_peer!("tcpstates");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = start("states", &fixture);
    let peer = Peer::start("tcpstates", &["-w"], "OLDSTATE");
    talk(&mut fixture);
    let (trace, lines) = (tracer.stop(), peer.stop());
    trace.check_accounts(&["state"]);
    assert_eq!(trace.end["lost"], 0, "{}", trace.end);
    let mut theirs: BTreeMap<Vec<String>, f64> = BTreeMap::new();
    for words in &lines {
        // SKADDR PID COMM [IP] LADDR LPORT RADDR RPORT OLDSTATE -> NEWSTATE MS
        let [.., saddr, sport, daddr, dport, old, _, new, ms] = &words[..] else { continue };
        if is_of(&fixture, sport) || is_of(&fixture, dport) {
            let key = [&address(saddr), sport, &address(daddr), dport, old, new];
            theirs.insert(key.map(String::clone).to_vec(), number(ms));
        }
    }
    let ours: BTreeMap<Vec<String>, &Value> = trace
        .events
        .iter()
        .map(|event| {
            let states = ["old_state", "new_state"].map(|key| text(event, key).to_owned());
            ([&ends(event)[..], &states[..]].concat(), event)
        })
        .collect();
    same(ours.keys().collect(), theirs.keys().collect());
    for (key, event) in ours {
        // What it has not seen the beginning of is 0 there.
        let (reported, known) = (theirs[&key], event["old_state_us"].as_f64());
        if let Some(us) = known
            && reported > 0.0
        {
            assert!((us / 1000.0 - reported).abs() < LATE_MS, "{reported}: {event}");
        }
    }
}

/// The ends of connections by their ports.
fn by_ports(trace: &Trace) -> BTreeMap<(u64, u64), &Value> {
    let key = |event: &Value| (u64_of(event, "sport"), u64_of(event, "dport"));
    trace.events.iter().map(|event| (key(event), event)).collect()
}

#[test]
fn tcplife_has_the_same_connections_bytes_and_times() {
    need_peer!("tcplife");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = start("life", &fixture);
    let peer = Peer::start("tcplife", &["-w"], "TX_KB");
    talk(&mut fixture);
    let (trace, lines) = (tracer.stop(), peer.stop());
    trace.check_accounts(&["life"]);
    let ours = by_ports(&trace);
    let mut theirs = Vec::new();
    for words in &lines {
        // PID COMM LADDR LPORT RADDR RPORT TX_KB RX_KB MS
        let [.., _, sport, _, dport, tx_kb, rx_kb, ms] = &words[..] else { continue };
        // It also has those that were never established.
        if sport != &fixture.port.to_string() && dport != &fixture.port.to_string() {
            continue;
        }
        let key = (number(sport) as u64, number(dport) as u64);
        theirs.push(key);
        let event = ours.get(&key).unwrap_or_else(|| panic!("not ours: {words:?}"));
        for (column, kb) in [("bytes_acked", tx_kb), ("bytes_received", rx_kb)] {
            let kib = u64_of(event, column) as f64 / 1024.0;
            assert!((kib - number(kb)).abs() < 0.006, "{column} {kb}: {event}");
        }
        let took = u64_of(event, "duration_us") as f64 / 1000.0;
        assert!((took - number(ms)).abs() < LATE_MS, "{ms}: {event}");
    }
    same(ours.into_keys().collect(), theirs);
}

#[test]
fn tcpconnect_has_the_same_connections() {
    need_peer!("tcpconnect", kprobes);
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = start("connect", &fixture);
    let peer = Peer::start("tcpconnect", &["-P", &fixture.ports()], "DPORT");
    talk(&mut fixture);
    let (trace, lines) = (tracer.stop(), peer.stop());
    trace.check_accounts(&["connect"]);
    let theirs = lines
        .iter()
        .filter(|words| is_of(&fixture, words.last().map_or("", |word| word)))
        .map(|words| {
            // PID COMM IP SADDR DADDR DPORT
            let [saddr, daddr, dport] = &words[words.len() - 3..] else { unreachable!() };
            vec![words[0].clone(), address(saddr), address(daddr), dport.clone()]
        });
    let ours = trace.events.iter().map(|event| {
        let [saddr, _, daddr, dport] = ends(event);
        vec![event["pid"].to_string(), saddr, daddr, dport]
    });
    same(ours.collect(), theirs.collect());
}

#[test]
fn tcpconnlat_has_the_same_latencies() {
    need_peer!("tcpconnlat", kprobes);
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = start("connlat", &fixture);
    let peer = Peer::start("tcpconnlat", &["-L"], "LAT(ms)");
    talk(&mut fixture);
    let (trace, lines) = (tracer.stop(), peer.stop());
    trace.check_accounts(&["connect", "accept"]);
    let connects = trace.of_type("connect");
    let mut theirs = Vec::new();
    for words in &lines {
        // PID COMM IP SADDR LPORT DADDR DPORT LAT(ms)
        let [pid, .., sport, _, dport, ms] = &words[..] else { continue };
        if !is_of(&fixture, dport) {
            continue;
        }
        theirs.push(sport.clone());
        let event = connects.iter().find(|event| event["sport"] == number(sport) as u64);
        let event = event.unwrap_or_else(|| panic!("not ours: {words:?}"));
        assert_eq!(&event["pid"].to_string(), pid, "{event}");
        let took = u64_of(event, "latency_us") as f64 / 1000.0;
        assert!((took - number(ms)).abs() < LATE_MS, "{ms}: {event}");
    }
    same(connects.iter().map(|event| event["sport"].to_string()).collect(), theirs);
}

#[test]
fn tcptop_has_the_same_bytes() {
    need_peer!("tcptop", kprobes);
    let mut fixture = Fixture::new();
    fixture.listen();
    let args = ["top", "-o", "jsonl", "--port", &fixture.ports()];
    let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &args);
    tracer.wait_ready();
    // It is ready when its first table is out, and prints one more when it is told to end.
    let peer = Peer::start("tcptop", &["-C", "-S", "-r", "1000", "1"], "RX_KB");
    talk(&mut fixture);
    let trace = tracer.stop();
    let lines = peer.stop();
    let mut theirs: BTreeMap<(u64, u64), (f64, f64)> = BTreeMap::new();
    for words in &lines {
        // PID COMM LADDR:LPORT RADDR:RPORT RX_KB TX_KB
        let [.., local, remote, rx_kb, tx_kb] = &words[..] else { continue };
        let port = |word: &str| word.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let (Some(sport), Some(dport)) = (port(local), port(remote)) else { continue };
        if sport == u64::from(fixture.port) || dport == u64::from(fixture.port) {
            let sum = theirs.entry((sport, dport)).or_default();
            *sum = (sum.0 + number(rx_kb), sum.1 + number(tx_kb));
        }
    }
    let mut ours: BTreeMap<(u64, u64), (u64, u64)> = BTreeMap::new();
    for row in &trace.events {
        let key = &row["key"];
        let sum = ours.entry((u64_of(key, "sport"), u64_of(key, "dport"))).or_default();
        *sum = (sum.0 + u64_of(row, "rx_bytes"), sum.1 + u64_of(row, "tx_bytes"));
    }
    same(ours.keys().collect(), theirs.keys().collect());
    for (key, (rx, tx)) in &ours {
        let (rx_kib, tx_kib) = theirs[key];
        // It rounds each table's down; the kernel counts SYN and FIN as a byte each.
        let at_most = |kib: f64| (kib + lines.len() as f64) * 1024.0 + 2.0;
        let (rx, tx) = (*rx as f64, *tx as f64);
        // It counts the calls of tcp_cleanup_rbuf(), which older kernels call again with the same bytes while they receive more.
        assert!(rx <= at_most(rx_kib), "{key:?}: {rx} {rx_kib}");
        // It counts what sendmsg() was asked for, which may be more than there was room for.
        assert!(tx <= at_most(tx_kib), "{key:?}: {tx} {tx_kib}");
    }
}
