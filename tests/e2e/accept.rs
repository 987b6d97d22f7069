//! `accept`: who accepted, how long the connection had waited, how many still wait: against clocks, `ss` and by
//! construction.

use serde_json::Value;

use crate::support::{
    AcceptCall, FAMILIES, Fixture, Launch, Ss, Tracer, is_root, mono_ns, u64_of, wait_until,
};

fn launch() -> Launch {
    Launch::here().with_tracefs()
}

#[track_caller]
fn start(reader: &str, args: &[&str]) -> Tracer {
    let args = [&["accept", "-o", "jsonl", "--all-fields", "--reader", reader], args].concat();
    let mut tracer = Tracer::spawn(&launch(), &args);
    tracer.wait_ready();
    tracer
}

/// Recv-Q and Send-Q of the listener.
fn queue(fixture: &Fixture) -> [u64; 2] {
    let text = fixture.ns.run(&["ss", "-tlnH", &format!("sport = :{}", fixture.port)]);
    let words: Vec<&str> = text.split_whitespace().collect();
    [1, 2].map(|i| words[i].parse().unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// One that waits while others come, accepted by both system calls, in all families.
fn check_waiting(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = start(reader, &["--port", &fixture.ports()]);
    let mut expected = Vec::new();
    for (i, family) in FAMILIES.into_iter().enumerate() {
        let addr = fixture.addr(family);
        let before = mono_ns();
        let client = fixture.client.connect(&format!("c{i}"), addr);
        expected.push((client, before, mono_ns()));
    }
    // connect() may return before the server has the ACK.
    wait_until("the queue", || queue(&fixture)[0] == FAMILIES.len() as u64);
    let mut accepted = Vec::new();
    for i in 0..FAMILIES.len() {
        let requested = mono_ns();
        let call = if i == 1 { AcceptCall::Accept } else { AcceptCall::Accept4 };
        fixture.server.accept_by(call, &format!("c{i}"));
        accepted.push((requested, mono_ns(), queue(&fixture)));
    }
    // Nothing has been sent: the only RTT sample is that of the handshake.
    let port = fixture.port;
    let rtt: Vec<f64> = expected
        .iter()
        .map(|(client, ..)| {
            Ss::of(&fixture.ns, port, client.local.port()).number("rtt").expect("rtt")
        })
        .collect();
    let trace = tracer.stop();
    trace.check_accounts(&["accept"]);
    assert_eq!(trace.events.len(), FAMILIES.len(), "{:#?}", trace.events);
    for (i, event) in trace.events.iter().enumerate() {
        let (client, before, connected) = expected[i];
        let (requested, done, [waiting, most]) = accepted[i];
        assert_eq!(event["dport"], client.local.port(), "{event}");
        assert_eq!(event["pid"], fixture.server.pid, "{event}");
        assert_eq!(
            [u64_of(event, "backlog"), u64_of(event, "max_backlog")],
            [waiting, most],
            "{event}"
        );
        let wait = u64_of(event, "wait_us");
        assert!(wait <= (done - before) / 1000, "{event}");
        // Not quite so long as the last connect() is the server's, whose ACK may come later.
        assert!(
            i + 1 == FAMILIES.len() || wait >= (requested - expected[i + 1].2) / 1000,
            "{event}"
        );
        let now = u64_of(event, "mono_ns");
        assert!((requested..=done).contains(&now), "{event}");
        assert!(connected < now);
        assert_eq!(u64_of(event, "handshake_us"), (rtt[i] * 1000.0).round() as u64, "{event}");
    }
}

/// By who waits in accept() already, in a child that has the listener from its parent.
fn check_blocked(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = start(reader, &["--port", &fixture.ports()]);
    let mut child = fixture.server.fork_listener();
    let addr = fixture.addr(FAMILIES[0]);
    let before = mono_ns();
    child.accept_during("a", || fixture.client.connect("a", addr));
    let most = (mono_ns() - before) / 1000;
    let trace = tracer.stop();
    trace.check_account();
    let [event] = &trace.events[..] else { panic!("{:#?}", trace.events) };
    assert_eq!(event["pid"], child.pid, "{event}");
    assert_eq!(event["backlog"], 0, "{event}");
    assert!(u64_of(event, "wait_us") <= most, "{event}");
}

/// Only what one process accepts.
fn check_pid(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let mut child = fixture.server.fork_listener();
    let pid = child.pid.to_string();
    let tracer = start(reader, &["--port", &fixture.ports(), "--pid", &pid]);
    let addr = fixture.addr(FAMILIES[1]);
    fixture.client.connect("a", addr);
    fixture.server.accept("a");
    let theirs = fixture.client.connect("b", addr);
    child.accept("b");
    let trace = tracer.stop();
    trace.check_account();
    let [event] = &trace.events[..] else { panic!("{:#?}", trace.events) };
    assert_eq!(event["dport"], theirs.local.port(), "{event}");
}

by_sock_and_raw! {
    check_waiting: waiting_by_sock waiting_by_raw;
    check_blocked: blocked_by_sock blocked_by_raw;
    check_pid: pid_by_sock pid_by_raw;
}

/// Without tracefs there are no such events; by name they are refused, and `all` is all the others.
#[test]
fn without_tracefs_it_is_refused_by_name() {
    need!(is_root(), "not root");
    let script = "for dir in /sys/kernel/tracing /sys/kernel/debug; do \
        while grep -q \" $dir[ /]\" /proc/self/mounts; do umount -l $dir || exit; done; done 2>/dev/null; \
        exec \"$0\" \"$@\"";
    let launch = Launch::here().within(&["unshare", "-m", "sh", "-c", script]);
    let output = Tracer::spawn(&launch, &["accept"]).wait_raw();
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(output.stderr.contains("accept: tracefs is not mounted"), "{}", output.stderr);

    let trace = Tracer::events_in(&launch, "all", &["--port", "1"]).stop();
    trace.check_account();
    assert!(trace.end["event_types"]["accept"].is_null(), "{}", trace.end);
    assert!(!trace.end["event_types"]["life"].is_null(), "{}", trace.end);
    let note = trace
        .stderr
        .lines()
        .find(|line| line.contains("note: accept is not traced"))
        .expect("a note");
    assert!(note.contains("not traced: tracefs is not mounted"), "{note}");

    let report = Tracer::spawn(&launch, &["check", "-o", "json"]).wait_raw();
    let report: Value = serde_json::from_str(&report.stdout).expect("JSON");
    let mut events = report["events"].as_array().expect("events").iter();
    let accept = events.find(|event| event["name"] == "accept").expect("accept");
    let why = accept["requests"][0]["reason"].as_str().expect("a reason");
    assert!(why.contains("tracefs is not mounted"), "{why}");
}
