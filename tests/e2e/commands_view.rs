//! `retrans`, `reset` and `cong`: the events of their event types, in their own columns.

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Launch, Server, Tracer, cells, drive, has_tracepoint, is_root, text,
    traffic_in, u64_of, wait_until,
};

/// Uploads through losses: a packet in twenty, of 64 KB or less.
fn lossy(fixture: &mut Fixture) {
    let port = fixture.port;
    fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    fixture.rule(&format!("tcp dport {port} meta length > 100 numgen inc mod 20 == 7 drop"));
    let server = Server::start_in(&fixture.ns.launch(), &format!("[::]:{port}"), Some("cubic"));
    for family in FAMILIES {
        let to = fixture.addr(family).to_string();
        let args = ["bulk", "--to", &to, "--bytes", "3000000", "--cc", "cubic"];
        traffic_in(&fixture.ns.launch(), &args);
    }
    fixture.speak();
    fixture.settle();
    drop(server);
}

/// The lines of events; others are titles, and begin otherwise.
fn reported(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
}

/// What the command prints is what `events` prints of those event types, in that many of its columns.
#[track_caller]
fn check_same(command: &str, event_types: &str, titles: &[&str], traffic: impl Fn(&mut Fixture)) {
    let mut fixture = Fixture::new();
    let port = fixture.port.to_string();
    let events = Tracer::events_in(&Launch::here(), event_types, &["-a", "-P", &port]);
    let json = Tracer::command_in(&Launch::here(), &[command], &["-P", &port]);
    let mut lines = Tracer::spawn(&Launch::here(), &[command, "-P", &port, "-o", "text"]);
    lines.wait_ready();
    traffic(&mut fixture);
    fixture.settle();
    let events = events.stop().events;
    wait_until("as many events", || json.events().len() >= events.len());
    wait_until("as many lines", || reported(&lines.stdout()).count() >= events.len());
    let json = json.stop();
    json.check_account();
    // Each tracer reads the clock for itself, learns in its own time who holds a socket, and sees the two ends of a
    // connection in an order of its own.
    let own = ["time", "mono_ns", "pid", "comm"];
    let of = |events: &[Value], cookie: &Value| -> Vec<Value> {
        events.iter().filter(|event| event["cookie"] == *cookie).cloned().collect()
    };
    assert!(!events.is_empty() && events.len() == json.events.len());
    for event in &events {
        let (theirs, ours) = (of(&events, &event["cookie"]), of(&json.events, &event["cookie"]));
        assert_eq!(theirs.len(), ours.len());
        for (their, our) in theirs.iter().zip(&ours) {
            let their = cells(their);
            for (name, value) in cells(our) {
                if !own.contains(&&*name) && !name.ends_with("state_us") {
                    assert_eq!(their.get(&name), Some(&value), "{name} of {our}");
                }
            }
        }
    }
    let output = lines.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let header = output.stdout.lines().next();
    let header: Vec<&str> = header.expect("titles").split_whitespace().collect();
    assert_eq!(header, titles);
    assert_eq!(reported(&output.stdout).count(), events.len(), "{}", output.stdout);
    // What stands last, such as a reason's name, may stick out.
    let without_last =
        |line: &str| line.trim_end().rsplit_once(' ').map_or(0, |(rest, _)| rest.chars().count());
    let width = output.stdout.lines().map(without_last).max();
    assert!(width <= Some(100), "{}", output.stdout);
}

#[test]
fn retrans_is_what_is_sent_again() {
    need!(is_root(), "not root");
    let titles =
        ["TIME", "PID", "IP", "LADDR:LPORT", "T>", "RADDR:RPORT", "STATE", "segs", "len", "cwnd"];
    check_same("retrans", "retransmit,synack_retransmit", &titles, lossy);
}

#[test]
fn reset_is_both_directions() {
    need!(is_root(), "not root");
    let titles = ["TIME", "PID", "LOCAL", "EVENT", "PEER", "STATE", "REASON"];
    check_same("reset", "reset_sent,reset_received", &titles, |fixture| {
        drive(fixture, "reset_sent");
    });
}

/// The time in a state is the time between the events, and what was before a reduction is what the socket remembers.
#[test]
fn cong_shows_how_long_and_from_what() {
    need!(is_root(), "not root");
    need!(has_tracepoint("cong_state"), "no tcp_cong_state_set (5.19)", legitimate: true);
    let titles = ["TIME", "LOCAL", "PEER", "PID", "OLD", "NEW", "us", "cwnd", "ssthr", "flight"];
    check_same("cong", "cong_state", &titles, lossy);

    let mut fixture = Fixture::new();
    let port = fixture.port.to_string();
    let tracer = Tracer::events_in(&Launch::here(), "cong_state,probe", &["-a", "-P", &port]);
    lossy(&mut fixture);
    let trace = tracer.stop();
    let (mut timed, mut reduced) = (0, 0);
    for (_, events) in trace.by_cookie() {
        let mut last: Option<&Value> = None;
        for (i, event) in events.iter().enumerate() {
            if event["type"] != "cong_state" {
                continue;
            }
            if let Some(last) = last {
                let ns = u64_of(event, "mono_ns") - u64_of(last, "mono_ns");
                assert_eq!(u64_of(event, "old_ca_state_us"), ns / 1000, "{event}");
                assert_eq!(event["old_ca_state"], last["new_ca_state"]);
                timed += 1;
            } else {
                assert!(event["old_ca_state_us"].is_null(), "{event}");
            }
            last = Some(event);
            // The next sample has the same, if nothing came between.
            if let Some(next) = events.get(i + 1).filter(|next| next["type"] == "probe")
                && ["Recovery", "Loss"].contains(&text(event, "new_ca_state"))
            {
                assert_eq!(next["ca_state"], event["new_ca_state"]);
                assert_eq!(next["prior_cwnd"], event["prior_cwnd"], "{event} {next}");
                assert_eq!(next["prior_ssthresh"], event["prior_ssthresh"], "{event} {next}");
                assert!(u64_of(event, "prior_cwnd") > 0);
                reduced += 1;
            }
        }
    }
    assert!(timed > 10 && reduced > 5, "{timed} {reduced}");
}
