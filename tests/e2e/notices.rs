//! What is left out is said where it would have been.

use serde_json::Value;

use crate::support::{Launch, Server, Tracer, is_root, overflow, traffic, u64_of, wait_until};

/// What the notices say of samples.
fn told(notices: &[Value], count: &str) -> u64 {
    let probes = notices.iter().filter_map(|notice| notice["event_types"].get("probe"));
    probes.map(|left_out| u64_of(left_out, count)).sum()
}

/// Stops a tracer once its notices have been silent for a while after they began; checks that they have all that the account has.
#[track_caller]
fn check_told(tracer: Tracer, count: &str) {
    // The counters are told each second, and nothing is left out any more: the last notice is there if an account in between has no
    // more than the notices have.
    wait_until("all is told", || {
        let (stats, notices) = (tracer.stats(), tracer.notices());
        let last = stats.last().map_or(0, |stats| u64_of(stats, count));
        !notices.is_empty() && last == told(&notices, count)
    });
    let trace = tracer.stop();
    trace.check_account();
    assert_eq!(told(&trace.notices, count), u64_of(&trace.end, count), "{:?}", trace.notices);
    for notice in &trace.notices {
        assert!(u64_of(notice, "interval_ns") > 0, "{notice}");
        let types = notice["event_types"].as_object().expect("event types");
        assert!(types.values().all(|of| u64_of(of, "lost") + u64_of(of, "rate_limited") > 0));
    }
}

#[test]
fn what_is_over_the_rate_is_told() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let tracer = Tracer::start(&["-P", &server.port_text(), "--rate", "10/s", "--stats", "100ms"]);
    let to = server.addr.to_string();
    traffic(&["pingpong", "--to", &to, "--count", "200", "--interval", "1ms"]);
    check_told(tracer, "rate_limited");
}

#[test]
fn what_is_lost_is_told() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let args = ["-P", &server.port_text(), "--buffer-size", "4096", "--stats", "100ms"];
    let tracer = Tracer::start(&args);
    overflow(&tracer, &server);
    wait_until("a notice", || told(&tracer.notices(), "lost") > 0);
    check_told(tracer, "lost");
}

/// Between events, in a line of its own; nothing else is there that is not an event.
#[test]
fn text_has_it_in_a_line() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let port = server.port_text();
    let args = ["-o", "text", "--no-header", "-P", &port, "--rate", "10/s"];
    let tracer = Tracer::spawn(&Launch::here(), &args);
    let mut tracer = tracer;
    tracer.wait_ready();
    let to = server.addr.to_string();
    traffic(&["pingpong", "--to", &to, "--count", "200", "--interval", "1ms"]);
    wait_until("a notice", || tracer.stdout().contains("-- in "));
    let output = tracer.stop_raw();
    let notices: Vec<&str> =
        output.stdout.lines().filter(|line| line.starts_with("-- in ")).collect();
    assert!(!notices.is_empty() && notices.iter().all(|line| line.ends_with(" rate limited")));
    let events = output.stdout.lines().filter(|line| line.contains("127.0.0.1:")).count();
    assert_eq!(events + notices.len(), output.stdout.lines().count(), "{}", output.stdout);
}
