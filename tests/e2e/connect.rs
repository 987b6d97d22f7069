//! `connect`: each active open once, with the error that the program itself got, and its time between two readings of the
//! clock around it.

use std::net::SocketAddr;

use rustix::io::Errno;
use serde_json::Value;

use crate::support::{
    Expected, FAMILIES, Fixture, Hidden, OF_CONNECTIONS, Pair, Reader, Ss, Tcc, TestProcess,
    assert_events, is_root, is_whole, mono_ns, some_turn, text, turns, u64_of, unique_port,
};

/// What the program saw of one attempt.
struct Attempt {
    outcome: &'static str,
    /// What connect() or SO_ERROR gave.
    error: Option<Errno>,
    started_ns: u64,
    ended_ns: u64,
}

impl Attempt {
    /// Runs one, which ends like that.
    #[track_caller]
    fn run(
        outcome: &'static str,
        wanted: Option<Errno>,
        run: impl FnOnce() -> Option<Errno>,
    ) -> Self {
        let started_ns = mono_ns();
        let error = run();
        assert_eq!(error, wanted, "{outcome}");
        Attempt { outcome, error, started_ns, ended_ns: mono_ns() }
    }

    /// Its event, for which the socket had that error.
    fn event(&self, client: &TestProcess, err: Option<&str>) -> Expected {
        let errno = err.and(self.error).map(Errno::raw_os_error);
        event!(connect {
            outcome: self.outcome,
            err: err,
            errno: errno,
            pid: client.pid,
            mono_ns: ..=self.ended_ns,
        })
    }

    /// It begins no earlier than the program did. Times are whole microseconds. Where connect() itself fails there is no SYN.
    #[track_caller]
    fn check_start(&self, event: &Value) {
        if self.error == Some(Errno::ADDRNOTAVAIL) {
            assert!(event["latency_us"].is_null(), "{event}");
            return;
        }
        let start = u64_of(event, "mono_ns").saturating_sub(u64_of(event, "latency_us") * 1000);
        assert!(start >= self.started_ns, "before connect(): {event}");
    }
}

fn check_outcomes(reader: Reader) {
    need!(is_root(), "not root");
    some_turn(|| reports_outcomes(reader));
}

/// False where events were lost.
#[track_caller]
fn reports_outcomes(reader: Reader) -> bool {
    let mut fixture = Fixture::new();
    fixture.listen();
    let connect = Tcc::connect().all_fields().reader(reader).ports(&[fixture.port, fixture.closed]);
    let (all, failed) = (connect.start(), connect.flag("--failed").start());
    let mut attempts = Vec::new();
    for family in FAMILIES {
        let (addr, closed) = (fixture.addr(family), fixture.closed(family));
        let client = &mut fixture.client;
        let refused = (Some(Errno::CONNREFUSED), Some("ECONNREFUSED"));
        attempts.push((Attempt::run("established", None, || client.try_connect(addr)), None));
        attempts
            .push((Attempt::run("refused", refused.0, || client.try_connect(closed)), refused.1));
        let in_background = |client: &mut TestProcess, addr| {
            client.start_connect("a", addr);
            client.outcome("a")
        };
        let established = Attempt::run("established", None, || in_background(client, addr));
        attempts.push((established, None));
        let attempt = Attempt::run("refused", refused.0, || in_background(client, closed));
        attempts.push((attempt, refused.1));
        fixture.silence();
        let aborted = Attempt::run("aborted", None, || {
            fixture.client.start_connect("b", addr);
            fixture.client.close("b");
            None
        });
        attempts.push((aborted, None));
        fixture.speak();
    }
    // There is only one port, and it is taken: connect() itself fails.
    fixture.ns.sysctl("ipv4/ip_local_port_range", "40000 40000");
    let addr = fixture.addr(FAMILIES[0]);
    let taken = Attempt::run("established", None, || {
        fixture.client.connect("c", addr);
        None
    });
    attempts.push((taken, None));
    let no_port = Some(Errno::ADDRNOTAVAIL);
    let attempt = Attempt::run("error", no_port, || fixture.client.try_connect(addr));
    attempts.push((attempt, Some("EADDRNOTAVAIL")));
    // Without a route the kernel does not even begin, and there is no event.
    let unreachable = SocketAddr::from(([192, 0, 2, 1], fixture.port));
    assert_eq!(fixture.client.try_connect(unreachable), Some(Errno::NETUNREACH));

    let (all, failed) = (all.stop(), failed.stop());
    all.check_accounts(&["connect"]);
    failed.check_accounts(&["connect"]);
    if !is_whole(&all) || !is_whole(&failed) {
        return false;
    }
    let expected = |wanted: fn(&Attempt) -> bool| {
        attempts.iter().filter(move |(attempt, _)| wanted(attempt)).map(|(attempt, err)| {
            let event = attempt.event(&fixture.client, *err).with("syn_retrans", 0);
            // The one that got no port has none.
            let ports = if attempt.error == no_port { 0..=0 } else { 1..=65535 };
            event.with("sport", ports)
        })
    };
    assert_events(&all.events, expected(|_| true));
    assert_events(&failed.events, expected(|attempt| attempt.outcome != "established"));
    for (event, (attempt, _)) in all.events.iter().zip(&attempts) {
        attempt.check_start(event);
        // An IPv4 peer is IPv4 also where the socket is IPv6.
        assert!(["::1", "127.0.0.1"].contains(&text(event, "daddr")), "{event}");
    }
    let failures = all.events.iter().filter(|event| event["outcome"] != "established");
    for (event, other) in failures.zip(&failed.events) {
        assert_eq!((&event["sport"], &event["daddr"]), (&other["sport"], &other["daddr"]));
    }
    let established = all.events.len() - failed.events.len();
    // Others connect meanwhile, too.
    assert!(u64_of(&failed.end, "filtered") >= established as u64, "{}", failed.end);
    true
}

/// Starts a connection to each, and waits for the end of all; each attempt lasts from the first start.
#[track_caller]
fn fail_together(
    client: &mut TestProcess,
    addrs: &[SocketAddr],
    (outcome, error): (&'static str, Errno),
) -> Attempt {
    let started_ns = mono_ns();
    for (i, addr) in addrs.iter().enumerate() {
        client.start_connect(&format!("c{i}"), *addr);
    }
    for i in 0..addrs.len() {
        assert_eq!(client.outcome(&format!("c{i}")), Some(error));
    }
    Attempt { outcome, error: Some(error), started_ns, ended_ns: mono_ns() }
}

fn check_timeout(reader: Reader) {
    need!(is_root(), "not root");
    turns(|| {
        let mut fixture = Fixture::new();
        fixture.ns.sysctl("ipv4/tcp_syn_retries", "1");
        fixture.silence();
        let hidden = Hidden::watch(fixture.port, OF_CONNECTIONS);
        let tracer = Tcc::connect().all_fields().reader(reader).ports(&[fixture.port]).start();
        let addrs = FAMILIES.map(|family| fixture.addr(family));
        let end = ("timeout", Errno::TIMEDOUT);
        let attempts = fail_together(&mut fixture.client, &addrs, end);
        let trace = tracer.stop();
        trace.check_account();
        if trace.events.len() < addrs.len() {
            return hidden.explains("an attempt is missing");
        }
        // Two timeouts, the first of one second.
        let event =
            attempts.event(&fixture.client, Some("ETIMEDOUT")).with("latency_us", 1_900_000..);
        assert_events(&trace.events, addrs.map(|_| event.clone()));
        trace.events.iter().for_each(|event| attempts.check_start(event));
        let sent_again: u64 = trace.events.iter().map(|event| u64_of(event, "syn_retrans")).sum();
        assert_eq!(sent_again, fixture.ns.counters()["TCPSynRetrans"], "{:#?}", trace.events);
        assert!(sent_again >= FAMILIES.len() as u64);
        Ok(())
    });
}

/// No neighbour answers there: the kernel gives up, and sends itself an ICMP error.
fn check_unreachable(reader: Reader) {
    need!(is_root(), "not root");
    turns(|| {
        let pair = Pair::new();
        let mut client = TestProcess::start_in(&pair.left.launch());
        let netns = pair.left.inode().to_string();
        let port = unique_port();
        let hidden = Hidden::watch(port, OF_CONNECTIONS);
        let connect = Tcc::connect().all_fields().reader(reader).option("--netns", &netns);
        let tracer = connect.start();
        let addrs = ["10.0.0.99", "[fd00::99]", "[::ffff:10.0.0.98]"];
        let addrs = addrs.map(|addr| format!("{addr}:{port}").parse().expect("an address"));
        let end = ("error", Errno::HOSTUNREACH);
        let attempts = fail_together(&mut client, &addrs, end);
        let trace = tracer.stop();
        trace.check_account();
        // The process may ask for its error, and so take it, before the state changes.
        if trace.events.iter().any(|event| event["err"].is_null()) {
            return Err("the process took the error first".to_owned());
        }
        if trace.events.len() < addrs.len() {
            return hidden.explains("an attempt is missing");
        }
        let event = attempts.event(&client, Some("EHOSTUNREACH"));
        assert_events(&trace.events, addrs.map(|_| event.clone()));
        trace.events.iter().for_each(|event| attempts.check_start(event));
        Ok(())
    });
}

/// The first SYN is lost: one more, a second later, as ss has it too.
fn check_retransmitted(reader: Reader) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = Tcc::connect().all_fields().reader(reader).ports(&[fixture.port]).start();
    fixture.silence();
    let addr = fixture.addr(FAMILIES[0]);
    let client = fixture.client.start_connect("a", addr);
    // The SYN is gone: on the loopback interface it was received before connect() returned.
    fixture.speak();
    assert_eq!(fixture.client.outcome("a"), None);
    let ss = Ss::of(&fixture.ns, client.local.port(), fixture.port);
    tracer.wait_events("the end", |events| !events.is_empty());
    let trace = tracer.stop();
    trace.check_account();
    // ss prints it as now/ever. Once, unless taking the rule away took longer than a second.
    let ever = ss.numbers("retrans").map_or(0, |numbers| numbers[1] as u64);
    assert!(ever >= 1, "{}", ss.text);
    assert_events(
        &trace.events,
        [event!(connect {
            outcome: "established",
            cookie: client.cookie,
            syn_retrans: ever,
            latency_us: 900_000..,
        })],
    );
}

by_sock_and_raw! {
    check_outcomes: outcomes_by_sock outcomes_by_raw;
    check_timeout: timeout_by_sock timeout_by_raw;
    check_unreachable: unreachable_by_sock unreachable_by_raw;
    check_retransmitted: retransmitted_by_sock retransmitted_by_raw;
}
