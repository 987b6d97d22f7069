//! `life`: each connection once, with what its programs moved and how they ended it, in the time that they took.

use std::collections::BTreeSet;

use rustix::io::Errno;
use serde_json::Value;

use crate::support::{
    FAMILIES, FIN_WAIT2, Launch, SYN_RECV, Scene, Socket, SocketEntry, SocketOption, Ss, Trace,
    Tracer, enough, is_root, is_whole, kernel, mono_ns, some_turn, text, u64_of, wait_until,
};

#[track_caller]
fn start(reader: &str, args: &[&str]) -> Tracer {
    let launch = Launch::here().with_tracefs();
    let args = [&["life", "-o", "jsonl", "--all-fields", "--reader", reader], args].concat();
    let mut tracer = Tracer::spawn(&launch, &args);
    tracer.wait_ready();
    tracer
}

/// The one end of the connection that has this local port and that peer's.
#[track_caller]
fn end_of(events: &[Value], local: u16, peer: u16) -> &Value {
    let is_it = |e: &&Value| e["event"] == "end" && e["sport"] == local && e["dport"] == peer;
    let found: Vec<&Value> = events.iter().filter(is_it).collect();
    let [one] = found[..] else { panic!("{local} {peer}: {found:#?}") };
    one
}

/// The client's and the server's record.
#[track_caller]
fn ends<'t>(trace: &'t Trace, scene: &Scene, client: Socket) -> [&'t Value; 2] {
    let port = client.local.port();
    [end_of(&trace.events, port, scene.port), end_of(&trace.events, scene.port, port)]
}

/// closed_by, reason, err.
type Ending = (Option<&'static str>, &'static str, Option<&'static str>);

#[track_caller]
fn check_end(event: &Value, closed_by: Option<&str>, reason: &str, err: Option<&str>) {
    assert_eq!(event["closed_by"].as_str(), closed_by, "{event}");
    assert_eq!(text(event, "reason"), reason, "{event}");
    assert_eq!(event["err"].as_str(), err, "{event}");
}

/// What the programs sent and received, what `ss` says just before the end, and two readings of the clock around either
/// end of it.
fn check_totals(reader: &str) {
    need!(is_root(), "not root");
    some_turn(|| told_totals(reader));
}

fn told_totals(reader: &str) -> bool {
    let mut scene = Scene::new();
    scene.listen();
    let tracer = start(reader, &["--port", &scene.ports()]);
    let mut expected = Vec::new();
    for (i, family) in FAMILIES.into_iter().enumerate() {
        let (up, down) = (100_000 * (i as u64 + 1), 3_000 * (i as u64 + 1));
        let before = mono_ns();
        let (client, _) = scene.connect("a", family);
        let opened = mono_ns();
        scene.client.transfer("a", &mut scene.server, up);
        scene.server.transfer("a", &mut scene.client, down);
        let ss = Ss::of(&scene.ns, client.local.port(), scene.port);
        let closing = mono_ns();
        let by_server = i == 1;
        if by_server {
            scene.server.close("a");
            scene.client.close("a");
        } else {
            scene.client.close("a");
            scene.server.close("a");
        }
        scene.settle();
        let least = (closing - opened) / 1000;
        let most = (mono_ns() - before) / 1000;
        expected.push((client, up, down, by_server, ss, least, most));
    }
    let trace = tracer.stop();
    trace.check_accounts(&["life"]);
    let true = is_whole(&trace) else { return false };
    assert_eq!(trace.events.len(), 2 * FAMILIES.len(), "{:#?}", trace.events);
    for (client, up, down, by_server, ss, least, most) in expected {
        let [ours, theirs] = ends(&trace, &scene, client);
        let (first, second) = if by_server { (theirs, ours) } else { (ours, theirs) };
        check_end(first, Some("local"), "fin", None);
        check_end(second, Some("peer"), "fin", None);
        for (event, pid) in [(ours, scene.client.pid), (theirs, scene.server.pid)] {
            assert_eq!(event["pid"], pid, "{event}");
            assert_eq!(event["open_before"], false, "{event}");
            let took = u64_of(event, "duration_us");
            assert!((least..=most).contains(&took), "{least} to {most}: {event}");
            assert!((1..=most).contains(&u64_of(event, "handshake_us")), "{event}");
        }
        // Slow machines send some of it again.
        let first_time = |event| u64_of(event, "bytes_sent") - u64_of(event, "bytes_retrans");
        assert_eq!(first_time(ours), up, "{ours}");
        assert_eq!(first_time(theirs), down, "{theirs}");
        // SYN and FIN of who connected, FIN of who accepted.
        assert_eq!(u64_of(ours, "bytes_acked"), up + 2, "{ours}");
        assert_eq!(u64_of(theirs, "bytes_acked"), down + 1, "{theirs}");
        // Who closes first may be done before the peer's FIN is there.
        for (event, payload, is_first) in [(ours, down, !by_server), (theirs, up, by_server)] {
            let fin = u64_of(event, "bytes_received") - payload;
            assert!(fin == 1 || (fin == 0 && is_first), "{event}");
        }

        let said = |name: &str| ss.number(name).unwrap_or_else(|| panic!("{name}: {}", ss.text));
        let again = ss.number("bytes_retrans").map_or(0, |bytes| bytes as u64);
        assert_eq!(said("bytes_sent") as u64, up + again, "{}", ss.text);
        let ever = ss.numbers("retrans").map_or(0, |numbers| numbers[1] as u64);
        // More may have been sent again by the end, such as the FIN.
        assert!(u64_of(ours, "bytes_retrans") >= again, "{ours}\n{}", ss.text);
        assert!(u64_of(ours, "total_retrans") >= ever, "{ours}\n{}", ss.text);
        assert_eq!(said("bytes_acked") as u64, up + 1, "{}", ss.text);
        assert_eq!(said("bytes_received") as u64, down, "{}", ss.text);
        // The FIN's ACK may be quicker still.
        let min_rtt = (said("minrtt") * 1000.0).round() as u64;
        assert!(u64_of(ours, "min_rtt_us") <= min_rtt, "{ours}\n{}", ss.text);
    }
    true
}

/// By a RST of either side, with or without data that nobody took, and by `ss --kill`.
fn check_resets(reader: &str) {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    scene.listen();
    let tracer = start(reader, &["--port", &scene.ports()]);
    let reset = Some("ECONNRESET");
    let mut expected: Vec<(Socket, [Ending; 2])> = Vec::new();
    let (ours, theirs) =
        ((Some("local"), "reset_sent", None), (Some("peer"), "reset_received", reset));
    for family in FAMILIES {
        let (client, _) = scene.connect("a", family);
        scene.client.reset("a");
        scene.server.close("a");
        expected.push((client, [ours, theirs]));

        let (client, _) = scene.connect("a", family);
        scene.client.send("a", 100);
        scene.server.close("a");
        scene.client.close("a");
        expected.push((client, [theirs, ours]));

        // A FIN, and then a RST in place of the other.
        let (client, _) = scene.connect("a", family);
        scene.client.shutdown("a");
        scene.server.send("a", 100);
        wait_until("the data", || {
            let ours = |entry: &SocketEntry| entry.is_of(client.local.port(), scene.port);
            let half_closed = scene.ns.sockets().into_iter().find(ours);
            half_closed.is_some_and(|entry| entry.state == FIN_WAIT2 && entry.rx_queue == 100)
        });
        scene.client.close("a");
        scene.server.close("a");
        let late = (Some("peer"), "reset_received", Some("EPIPE"));
        expected.push((client, [ours, late]));
    }
    scene.settle();
    let trace = tracer.stop();
    trace.check_account();
    assert_eq!(trace.events.len(), 2 * expected.len(), "{:#?}", trace.events);
    for (client, sides) in expected {
        for (event, (closed_by, reason, err)) in ends(&trace, &scene, client).into_iter().zip(sides)
        {
            check_end(event, closed_by, reason, err);
        }
    }
}

/// The peer answers no more: a timer ends it. Where a kernel runs no program for some timers (see `connect`), again.
fn check_timeout(reader: &str) {
    need!(is_root(), "not root");
    let once = || {
        let mut scene = Scene::new();
        scene.listen();
        let tracer = start(reader, &["--port", &scene.ports()]);
        let (client, _) = scene.connect("a", FAMILIES[0]);
        scene.silence();
        scene.client.set("a", SocketOption::UserTimeoutMs(300));
        scene.client.send("a", 1000);
        assert_eq!(scene.client.wait_error("a"), Some(Errno::TIMEDOUT));
        scene.client.close("a");
        scene.speak();
        scene.server.close("a");
        scene.settle();
        let trace = tracer.stop();
        trace.check_account();
        let port = client.local.port();
        let found = trace.events.iter().find(|event| event["sport"] == port);
        let Some(event) = found else { return false };
        check_end(event, None, "timeout", Some("ETIMEDOUT"));
        assert!(u64_of(event, "duration_us") >= 300_000, "{event}");
        // Some of the retransmissions are the timer's, too; their sum is the kernel's.
        assert!(u64_of(event, "total_retrans") >= 1, "{event}");
        let again = u64_of(event, "total_retrans") * 1000;
        assert_eq!(u64_of(event, "bytes_retrans"), again, "{event}");
        assert_eq!(u64_of(event, "bytes_sent"), 1000 + again, "{event}");
        assert_eq!(u64_of(event, "bytes_acked"), 1, "{event}");
        true
    };
    assert!((0..3).any(|_| once()), "never seen");
}

/// Where the last packet of the handshake is lost, the server's takes until the SYN-ACK has been sent again; the client's
/// does not.
fn check_handshake(reader: &str) {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    scene.listen();
    let tracer = start(reader, &["--port", &scene.ports()]);
    scene.rule(&format!("tcp dport {} tcp flags & (syn | ack) == ack drop", scene.port));
    let addr = scene.addr(FAMILIES[0]);
    let before = mono_ns();
    let client = scene.client.connect("a", addr);
    let connected = mono_ns();
    wait_until("the SYN-ACK once more", || {
        let theirs = |entry: &SocketEntry| entry.is_of(scene.port, client.local.port());
        let request = scene.ns.sockets().into_iter().find(theirs);
        request.is_some_and(|entry| entry.state == SYN_RECV && entry.retransmits >= 1)
    });
    let lost = mono_ns();
    scene.speak();
    scene.client.send("a", 1);
    scene.server.accept("any");
    let accepted = mono_ns();
    scene.client.close("a");
    scene.server.close("any");
    scene.settle();
    let trace = tracer.stop();
    trace.check_account();
    let [ours, theirs] = ends(&trace, &scene, client);
    assert!(u64_of(ours, "handshake_us") <= (connected - before) / 1000, "{ours}");
    let took = u64_of(theirs, "handshake_us");
    assert!(took <= (accepted - before) / 1000, "{theirs}");
    assert!(took >= (lost - connected) / 1000, "{theirs}");
}

/// What is there already is listed, and its end has no duration.
fn check_open_before(reader: &str) {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    scene.listen();
    let mut before = Vec::new();
    for (i, family) in FAMILIES.into_iter().enumerate() {
        before.push(scene.connect(&format!("c{i}"), family));
        scene.client.send(&format!("c{i}"), 500);
        scene.server.receive(&format!("c{i}"), 500);
    }
    // Two holders of one connection.
    let child = scene.server.fork_connection("c0");
    let tracer = start(reader, &["--port", &scene.ports()]);
    let listed = tracer.events();
    assert_eq!(listed.len(), 2 * before.len(), "{listed:#?}");
    for (client, server) in &before {
        for (socket, pid) in [(client, scene.client.pid), (server, scene.server.pid)] {
            let found: Vec<_> = listed.iter().filter(|e| e["ino"] == socket.ino).collect();
            let [event] = found[..] else { panic!("{socket:?}: {found:#?}") };
            assert_eq!(event["event"], "open", "{event}");
            assert_eq!(event["open_before"], true, "{event}");
            assert_eq!(event["pid"], pid, "{event}");
            for column in ["duration_us", "closed_by", "reason", "err", "handshake_us"] {
                assert!(event[column].is_null(), "{column}: {event}");
            }
            let bytes = u64_of(event, "bytes_acked") + u64_of(event, "bytes_received");
            assert_eq!(bytes, if socket.ino == client.ino { 501 } else { 500 }, "{event}");
        }
    }
    drop(child);
    for i in 0..before.len() {
        scene.client.close(&format!("c{i}"));
        scene.server.close(&format!("c{i}"));
    }
    scene.settle();
    let trace = tracer.stop();
    trace.check_accounts(&["life"]);
    assert_eq!(trace.events.len(), 4 * before.len(), "{:#?}", trace.events);
    for (client, _) in before {
        for (event, side) in ends(&trace, &scene, client).into_iter().zip(["local", "peer"]) {
            assert!(event["duration_us"].is_null() && event["open_before"] == true, "{event}");
            check_end(event, Some(side), "fin", None);
        }
    }
}

/// Thousands of short ones: each end once, all of one size, none longer than all of them together.
fn check_burst(reader: &str) {
    need!(is_root(), "not root");
    const CONNECTIONS: usize = 3000;
    let mut scene = Scene::new();
    scene.listen();
    let tracer = start(reader, &["--port", &scene.ports()]);
    let before = mono_ns();
    let addr = scene.addr(FAMILIES[0]);
    scene.client.burst(&mut scene.server, addr, CONNECTIONS, 777);
    scene.settle();
    let most = (mono_ns() - before) / 1000;
    let trace = tracer.stop();
    trace.check_accounts(&["life"]);
    let lost = u64_of(&trace.end, "lost") as usize;
    // Of the whole host; hardly ever one.
    assert!(lost < CONNECTIONS / 100, "{}", trace.end);
    let (mut seen, mut unseen) = (BTreeSet::new(), 0);
    for event in &trace.events {
        unseen += usize::from(event["duration_us"].is_null());
        let within = |name: &str| event[name].as_u64().is_none_or(|took| took <= most);
        assert!(within("duration_us") && within("handshake_us"), "{most}: {event}");
        let of_client = event["dport"] == scene.port;
        check_end(event, Some(if of_client { "local" } else { "peer" }), "fin", None);
        let bytes = ["bytes_acked", "bytes_received"].map(|name| u64_of(event, name));
        if of_client {
            assert!(bytes == [779, 0] || bytes == [779, 1], "the peer's FIN or not: {event}");
        } else {
            assert_eq!(bytes, [1, 778], "{event}");
        }
        let pid = if of_client { scene.client.pid } else { scene.server.pid };
        assert_eq!(event["pid"], pid, "{event}");
        if kernel() >= (5, 12) && reader == "sock" {
            assert!(seen.insert(u64_of(event, "cookie")), "twice: {event}");
        }
    }
    let told = trace.events.len();
    assert!(enough(told - unseen, told, 99), "{unseen} of {told}");
    assert!(told <= 2 * CONNECTIONS && told + lost >= 2 * CONNECTIONS, "{told}: {}", trace.end);
}

/// Short ones are filtered in the kernel; one that was open before may have been long.
fn check_min_duration(reader: &str) {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    scene.listen();
    let (old, _) = scene.connect("old", FAMILIES[0]);
    let tracer = start(reader, &["--port", &scene.ports(), "--min-duration", "300ms"]);
    let opened = mono_ns();
    let (long, _) = scene.connect("long", FAMILIES[0]);
    for _ in 0..5 {
        scene.connect("short", FAMILIES[0]);
        scene.client.close("short");
        scene.server.close("short");
    }
    let so_far = mono_ns() - opened;
    wait_until("some time", || mono_ns() - opened > 400_000_000);
    for name in ["old", "long"] {
        scene.client.close(name);
        scene.server.close(name);
    }
    scene.settle();
    let trace = tracer.stop();
    trace.check_account();
    ends(&trace, &scene, long);
    ends(&trace, &scene, old);
    if so_far < 300_000_000 {
        assert_eq!(trace.events.iter().filter(|e| e["event"] == "end").count(), 4);
        assert!(u64_of(&trace.end, "filtered") >= 10, "{}", trace.end);
    }
}

by_sock_and_raw! {
    check_totals: totals_by_sock totals_by_raw;
    check_resets: resets_by_sock resets_by_raw;
    check_timeout: timeout_by_sock timeout_by_raw;
    check_handshake: handshake_by_sock handshake_by_raw;
    check_open_before: open_before_by_sock open_before_by_raw;
    check_burst: burst_by_sock burst_by_raw;
    check_min_duration: min_duration_by_sock min_duration_by_raw;
}

#[test]
fn a_line_has_what_tcplife_has() {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    scene.listen();
    let launch = Launch::here().with_tracefs();
    let args = ["life", "--port", &scene.ports(), "--transport", "perfbuf"];
    let mut tracer = Tracer::spawn(&launch, &args);
    tracer.wait_ready();
    let (client, _) = scene.connect("a", FAMILIES[0]);
    scene.client.transfer("a", &mut scene.server, 1000);
    scene.client.close("a");
    scene.server.close("a");
    scene.settle();
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let mut lines = output.stdout.lines();
    let titles = lines.next().expect("titles");
    assert!(titles.chars().count() <= 100, "{titles}");
    let titles: Vec<&str> = titles.split_whitespace().collect();
    let wanted = ["TIME", "LOCAL", "PEER", "PID", "COMM", "TX", "RX", "us", "rtx", "rtt", "END"];
    assert_eq!(titles, wanted);
    let local = client.local.to_string();
    let line = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = line.into_iter().find(|words| words[1] == local).expect("its end");
    let pid = scene.client.pid.to_string();
    assert_eq!((line[3], line[5], line[10]), (&*pid, "1002", "fin"), "{line:?}");
    assert!(["0", "1"].contains(&line[6]), "{line:?}");
    assert!(line[8].parse::<u64>().is_ok(), "{line:?}");
}
