//! `zero_window` of a trace that begins while a window is closed, and of one that a RST ends. `scenario/zero_window.rs` has the rest.

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Launch, Socket, Ss, Tracer, is_root, text, u64_of, wait_until,
};

fn start(fixture: &Fixture, reader: &str) -> Tracer {
    let port = fixture.port.to_string();
    let args = ["--all-fields", "--reader", reader, "--port", &port];
    Tracer::events_in(&Launch::here().with_tracefs(), "zero_window", &args)
}

/// Waits until both ends have that event.
#[track_caller]
fn wait_both(tracer: &Tracer, ends: (Socket, Socket), phase: &str) {
    let has = |events: &[Value], end: Socket| {
        events.iter().any(|event| event["cookie"] == end.cookie && event["phase"] == phase)
    };
    tracer.wait_events(phase, |events| has(events, ends.0) && has(events, ends.1));
}

/// Since when is not known.
fn check_late(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let early = start(&fixture, reader);
    let ends = fixture.connect("a", FAMILIES[0]);
    let bytes = fixture.client.fill("a");
    wait_both(&early, ends, "begin");
    let late = start(&fixture, reader);
    // The next probe shows it.
    wait_both(&late, ends, "begin");
    fixture.server.receive("a", bytes);
    wait_both(&late, ends, "end");
    fixture.client.close("a");
    fixture.server.close("a");
    fixture.settle();
    drop(early);
    let trace = late.stop();
    trace.check_accounts(&["zero_window"]);
    for (end, side) in [(ends.0, "peer"), (ends.1, "local")] {
        let events = trace.of_cookie(end.cookie);
        let [begin, end, ..] = &events[..] else { panic!("no episode: {events:?}") };
        assert_eq!((text(begin, "side"), text(begin, "phase")), (side, "begin"), "{begin}");
        assert_eq!((text(end, "side"), text(end, "phase")), (side, "end"), "{end}");
        assert!(begin["ago_us"].is_null() && end["duration_us"].is_null(), "{begin} {end}");
        assert!(end["ago_us"].is_u64(), "{end}");
    }
}

/// A probe that nobody answered is counted once where a RST ends the connection.
fn check_reset(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = start(&fixture, reader);
    let ends = fixture.connect("a", FAMILIES[0]);
    fixture.client.fill("a");
    wait_both(&tracer, ends, "begin");
    let probes = |fixture: &Fixture| fixture.ns.counters()["TCPWinProbe"];
    // What is in flight would be sent again instead of a probe.
    let local = ends.0.local.port();
    wait_until("all to be acknowledged", || {
        !Ss::of(&fixture.ns, local, fixture.port).has("unacked")
    });
    fixture.silence();
    let before = probes(&fixture);
    wait_until("a probe that is lost", || probes(&fixture) > before);
    fixture.speak();
    fixture.server.reset("a");
    tracer.wait_events("the end", |events| {
        events.iter().any(|event| event["cookie"] == ends.0.cookie && event["phase"] == "end")
    });
    let sent = probes(&fixture);
    let trace = tracer.stop();
    let events = trace.of_cookie(ends.0.cookie);
    let end = events.last().expect("the end");
    assert_eq!(end["closed"], true, "{end}");
    assert_eq!(u64_of(end, "probes"), sent, "{end}");
}

by_sock_and_raw! {
    check_reset: counted_once_by_sock counted_once_by_raw;
    check_late: late_by_sock late_by_raw;
}
