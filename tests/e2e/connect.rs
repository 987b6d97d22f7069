//! `connect`: every active open once, with the error that the program itself got, and its time between two readings of
//! the clock around it.

use serde_json::Value;

use crate::support::{
    FAMILIES, Launch, Pair, Puppet, Scene, Ss, Tracer, is_root, is_whole, mono_ns, some_turn, text,
    u64_of,
};

const REFUSED: &str = "111";
const TIMED_OUT: &str = "110";
const UNREACHABLE: &str = "113";

#[track_caller]
fn start(reader: &str, args: &[&str]) -> Tracer {
    let launch = Launch::here().with_tracefs();
    let args = [&["connect", "-o", "jsonl", "--all-fields", "--reader", reader], args].concat();
    let mut tracer = Tracer::spawn(&launch, &args);
    tracer.wait_ready();
    tracer
}

/// What the program saw of one attempt.
struct Attempt {
    outcome: &'static str,
    errno: &'static str,
    err: Option<&'static str>,
    started_ns: u64,
    ended_ns: u64,
}

impl Attempt {
    /// One that must end with that error.
    #[track_caller]
    fn run(
        outcome: &'static str,
        (errno, err): (&'static str, Option<&'static str>),
        run: impl FnOnce() -> String,
    ) -> Self {
        let started_ns = mono_ns();
        assert_eq!(run(), errno, "{outcome}");
        Attempt { outcome, errno, err, started_ns, ended_ns: mono_ns() }
    }

    #[track_caller]
    fn check(&self, event: &Value, pid: u32) {
        assert_eq!(text(event, "outcome"), self.outcome, "{event}");
        assert_eq!(event["err"].as_str(), self.err, "{event}");
        // What a process never hears of is not in the socket.
        let errno = self.err.map(|_| self.errno.parse().expect("a number"));
        assert_eq!(event["errno"].as_u64(), errno, "{event}");
        assert_eq!(event["pid"], pid, "{event}");
        let (end, took) = (u64_of(event, "mono_ns"), u64_of(event, "latency_us"));
        assert!(end <= self.ended_ns, "after the program knew: {event}");
        // Whole microseconds, and the clock is read once more for the record itself.
        assert!(end.saturating_sub(took * 1000) >= self.started_ns, "before connect(): {event}");
    }
}

fn check_outcomes(reader: &str) {
    need!(is_root(), "not root");
    some_turn(|| told_outcomes(reader));
}

/// False where not all was told.
#[track_caller]
fn told_outcomes(reader: &str) -> bool {
    let mut scene = Scene::new();
    scene.listen();
    let ports = scene.ports();
    let tracer = start(reader, &["--port", &ports]);
    let failed = start(reader, &["--port", &ports, "--failed"]);
    let mut attempts = Vec::new();
    for family in FAMILIES {
        let (addr, closed) = (scene.addr(family), format!("{family}:{}", scene.closed));
        attempts.push(Attempt::run("established", ("0", None), || {
            scene.client.ask(&format!("try {addr}"))
        }));
        attempts.push(Attempt::run("refused", (REFUSED, Some("ECONNREFUSED")), || {
            scene.client.ask(&format!("try {closed}"))
        }));
        attempts.push(Attempt::run("established", ("0", None), || {
            scene.client.ask(&format!("start a {addr}"));
            scene.client.ask("outcome a")
        }));
        attempts.push(Attempt::run("refused", (REFUSED, Some("ECONNREFUSED")), || {
            scene.client.ask(&format!("start b {closed}"));
            scene.client.ask("outcome b")
        }));
        scene.silence();
        attempts.push(Attempt::run("aborted", ("", None), || {
            scene.client.ask(&format!("start c {addr}"));
            scene.client.ask("close c")
        }));
        scene.speak();
    }
    // Only one port, and it is taken: connect() itself fails.
    let one = format!("echo {0} {0} > /proc/sys/net/ipv4/ip_local_port_range", 40000);
    scene.ns.run(&["sh", "-c", &one]);
    let addr = scene.addr(FAMILIES[0]);
    attempts.push(Attempt::run("established", ("0", None), || {
        scene.client.connect("d", addr);
        "0".into()
    }));
    attempts.push(Attempt::run("error", ("99", None), || scene.client.ask(&format!("try {addr}"))));
    // Where there is no way the kernel does not even begin, and there is nothing to tell.
    assert_eq!(scene.client.ask(&format!("try 192.0.2.1:{}", scene.port)), "101");

    let (trace, failed) = (tracer.stop(), failed.stop());
    trace.check_accounts(&["connect"]);
    failed.check_accounts(&["connect"]);
    if !is_whole(&trace) || !is_whole(&failed) {
        return false;
    }
    assert_eq!(trace.events.len(), attempts.len(), "{:#?}", trace.events);
    for (event, attempt) in trace.events.iter().zip(&attempts) {
        attempt.check(event, scene.client.pid);
        assert_eq!(event["syn_retrans"], 0, "{event}");
        let mapped_too = text(event, "daddr") == "::1" || text(event, "daddr") == "127.0.0.1";
        // The one that got no port has none.
        assert!(mapped_too && (u64_of(event, "sport") == 0) == (attempt.errno == "99"), "{event}");
    }
    let sketch = |event: &Value| {
        ["outcome", "err", "daddr", "dport", "sport"].map(|key| event[key].to_string()).join(" ")
    };
    let wanted: Vec<String> =
        trace.events.iter().filter(|e| e["outcome"] != "established").map(sketch).collect();
    assert_eq!(failed.events.iter().map(sketch).collect::<Vec<_>>(), wanted);
    let established = trace.events.len() - wanted.len();
    // Others connect meanwhile, too.
    assert!(u64_of(&failed.end, "filtered") >= established as u64, "{}", failed.end);
    true
}

/// The timer ends these. There are hosts (sandboxes) whose kernel runs no BPF program while a thread of init is current:
/// what a timer then does on top of that thread no program sees. So it may need another turn.
#[track_caller]
fn by_timer(reader: &str, mut once: impl FnMut(&str) -> bool) {
    assert!((0..3).any(|_| once(reader)), "never seen");
}

fn check_timeout(reader: &str) {
    need!(is_root(), "not root");
    by_timer(reader, |reader| {
        let mut scene = Scene::new();
        scene.ns.run(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_syn_retries"]);
        scene.silence();
        let tracer = start(reader, &["--port", &scene.ports()]);
        let started_ns = mono_ns();
        for (i, family) in FAMILIES.into_iter().enumerate() {
            let addr = scene.addr(family);
            scene.client.ask(&format!("start c{i} {addr}"));
        }
        let mut attempts = Vec::new();
        for i in 0..FAMILIES.len() {
            let error = (TIMED_OUT, Some("ETIMEDOUT"));
            let run = || scene.client.ask(&format!("outcome c{i}"));
            attempts.push(Attempt { started_ns, ..Attempt::run("timeout", error, run) });
        }
        let trace = tracer.stop();
        trace.check_account();
        assert!(trace.events.len() <= attempts.len(), "{:#?}", trace.events);
        if trace.events.len() < attempts.len() {
            return false;
        }
        // In whichever order.
        let last = attempts.last().expect("three");
        for event in &trace.events {
            last.check(event, scene.client.pid);
            assert!(u64_of(event, "latency_us") >= 1_900_000, "two timeouts: {event}");
        }
        let sent_again: u64 = trace.events.iter().map(|event| u64_of(event, "syn_retrans")).sum();
        assert_eq!(sent_again, scene.ns.counters()["TCPSynRetrans"], "{:#?}", trace.events);
        assert!(sent_again >= FAMILIES.len() as u64);
        true
    });
}

/// No neighbour answers there: the kernel gives up, and sends itself an ICMP error.
fn check_unreachable(reader: &str) {
    need!(is_root(), "not root");
    by_timer(reader, |reader| {
        let pair = Pair::new();
        let mut client = Puppet::start_in(&pair.left.launch());
        let netns = pair.left.inode().to_string();
        let tracer = start(reader, &["--netns", &netns]);
        let addrs = ["10.0.0.99:80", "[fd00::99]:80", "[::ffff:10.0.0.98]:80"];
        let started_ns = mono_ns();
        for (i, addr) in addrs.into_iter().enumerate() {
            client.ask(&format!("start c{i} {addr}"));
        }
        let mut attempts = Vec::new();
        for i in 0..addrs.len() {
            let error = (UNREACHABLE, Some("EHOSTUNREACH"));
            let run = || client.ask(&format!("outcome c{i}"));
            attempts.push(Attempt { started_ns, ..Attempt::run("error", error, run) });
        }
        let trace = tracer.stop();
        trace.check_account();
        // The process may ask for its error, and so take it, before the state changes.
        if trace.events.iter().any(|event| event["err"].is_null()) {
            return false;
        }
        let last = attempts.last().expect("three");
        trace.events.iter().for_each(|event| last.check(event, client.pid));
        trace.events.len() == addrs.len()
    });
}

/// The first SYN is lost: one more, a second later, as ss has it too.
fn check_retransmitted(reader: &str) {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    scene.listen();
    let tracer = start(reader, &["--port", &scene.ports()]);
    scene.silence();
    let addr = scene.addr(FAMILIES[0]);
    let local = scene.client.ask(&format!("start a {addr}"));
    let port: u16 = local.rsplit_once(':').expect("a port").1.parse().expect("a number");
    // The SYN is gone: on the loopback interface it was received before connect() returned.
    scene.speak();
    assert_eq!(scene.client.ask("outcome a"), "0");
    let ss = Ss::of(&scene.ns, port, scene.port);
    tracer.wait_events("the end", |events| !events.is_empty());
    let trace = tracer.stop();
    trace.check_account();
    let [event] = &trace.events[..] else { panic!("{:#?}", trace.events) };
    assert_eq!(text(event, "outcome"), "established");
    // ss prints it as now/ever. Once, unless taking the rule away took longer than a second.
    let ever = ss.numbers("retrans").map_or(0, |numbers| numbers[1] as u64);
    assert!(ever >= 1 && u64_of(event, "syn_retrans") == ever, "{event}\n{}", ss.text);
    assert!(u64_of(event, "latency_us") >= 900_000, "{event}");
}

by_sock_and_raw! {
    check_outcomes: outcomes_by_sock outcomes_by_raw;
    check_timeout: timeout_by_sock timeout_by_raw;
    check_unreachable: unreachable_by_sock unreachable_by_raw;
    check_retransmitted: retransmitted_by_sock retransmitted_by_raw;
}
