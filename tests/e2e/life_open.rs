//! `life`: connections that were open before the trace, short ones that `--min-duration` filters out, and thousands of them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::life::{closed_by_fin, ends, life};
use crate::support::{
    FAMILIES, Fixture, Reader, Tcc, assert_event, assert_events, enough, is_root, kernel, mono_ns,
    null, null_or, u64_of, wait_until,
};

/// Connections that are already open are listed first. Their end events have no duration.
fn check_open_before(reader: Reader) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let names = ["c0", "c1", "c2"];
    let connections: Vec<_> = names
        .into_iter()
        .zip(FAMILIES)
        .map(|(name, family)| {
            let sockets = fixture.connect(name, family);
            fixture.client.transfer(name, &mut fixture.server, 500);
            sockets
        })
        .collect();
    // A second process holds one of them.
    let child = fixture.server.fork_connection(names[0]);
    let tracer = life(reader, &fixture).start();
    let listed = tracer.events();
    assert_eq!(listed.len(), 2 * connections.len(), "{listed:#?}");
    for (client, server) in &connections {
        // The SYN counts as a byte.
        for (socket, pid, acked, received) in
            [(client, fixture.client.pid, 501, 0), (server, fixture.server.pid, 0, 500)]
        {
            assert_events(
                listed.iter().filter(|event| event["ino"] == socket.ino),
                [event!(life {
                    event: "open",
                    open_before: true,
                    pid: pid,
                    bytes_acked: acked,
                    bytes_received: received,
                    duration_us: null(),
                    handshake_us: null(),
                    closed_by: null(),
                    reason: null(),
                    err: null(),
                })],
            );
        }
    }
    drop(child);
    for (name, (client, _)) in names.into_iter().zip(&connections) {
        fixture.close_in_order(name, *client, false);
    }
    fixture.settle();
    let trace = tracer.stop();
    trace.check_accounts(&["life"]);
    assert_eq!(trace.events.len(), 4 * connections.len(), "{:#?}", trace.events);
    for (client, _) in connections {
        let of_before =
            closed_by_fin().map(|end| end.with("open_before", true).with("duration_us", null()));
        assert_events(ends(&trace, &fixture, client), of_before);
    }
}

/// Short connections are filtered out in the kernel. One that was open before the trace is not, as its duration is unknown.
fn check_min_duration(reader: Reader) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let (old, _) = fixture.connect("old", FAMILIES[0]);
    let tracer = life(reader, &fixture).option("--min-duration", "300ms").start();
    let (long, _) = fixture.connect("long", FAMILIES[0]);
    let opened = mono_ns();
    for _ in 0..5 {
        fixture.connect("short", FAMILIES[0]);
        fixture.client.close("short");
        fixture.server.close("short");
    }
    let short_ns = mono_ns() - opened;
    wait_until("400 ms", || mono_ns() - opened > 400_000_000);
    for name in ["old", "long"] {
        fixture.client.close(name);
        fixture.server.close(name);
    }
    fixture.settle();
    let trace = tracer.stop();
    trace.check_account();
    ends(&trace, &fixture, long);
    ends(&trace, &fixture, old);
    // On a slow machine the short ones may have lasted longer.
    if short_ns < 300_000_000 {
        assert_eq!(trace.events.iter().filter(|event| event["event"] == "end").count(), 4);
        assert!(u64_of(&trace.end, "filtered") >= 10, "{}", trace.end);
    }
}

/// Thousands of short connections of the same size: one event for each end, and none lasts longer than all together.
fn check_burst(reader: Reader) {
    need!(is_root(), "not root");
    const CONNECTIONS: usize = 3000;
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = life(reader, &fixture).start();
    // It looks through all files again and again, and so closes many of the sockets itself.
    let other = Tcc::command("listeners").option("--interval", "5ms").start();
    let started = mono_ns();
    let addr = fixture.addr(FAMILIES[0]);
    fixture.client.burst(&mut fixture.server, addr, CONNECTIONS, 777);
    fixture.settle();
    let longest = (mono_ns() - started) / 1000;
    let trace = tracer.stop();
    drop(other);
    trace.check_accounts(&["life"]);

    let [client, server] = closed_by_fin().map(|end| {
        end.with("duration_us", null_or(..=longest)).with("handshake_us", null_or(..=longest))
    });
    // SYN and FIN count as a byte each; the client may end before it has received the server's FIN.
    let client = client.with("pid", fixture.client.pid).with("bytes_acked", 779);
    let client = client.with("bytes_received", 0..=1);
    let server = server.with("pid", fixture.server.pid).with("bytes_acked", 1);
    let server = server.with("bytes_received", 778);
    let mut cookies = BTreeSet::new();
    for event in &trace.events {
        let of_client = event["dport"] == fixture.port;
        assert_event(event, if of_client { client.clone() } else { server.clone() });
        if kernel() >= (5, 12) && reader == Reader::Sock {
            assert!(cookies.insert(u64_of(event, "cookie")), "reported twice: {event}");
        }
    }
    let (reported, lost) = (trace.events.len(), u64_of(&trace.end, "lost") as usize);
    assert!(reported <= 2 * CONNECTIONS, "{reported}: {}", trace.end);
    assert!(reported + lost >= 2 * CONNECTIONS, "{reported}: {}", trace.end);
    // The counter is for the whole host.
    assert!(lost < CONNECTIONS / 100, "{}", trace.end);
    let has_duration = |event: &&Value| !event["duration_us"].is_null();
    let timed = trace.events.iter().filter(has_duration).count();
    assert!(enough(timed, reported, 99), "{timed} of {reported} have a duration");
}

by_sock_and_raw! {
    check_open_before: open_before_by_sock open_before_by_raw;
    check_min_duration: min_duration_by_sock min_duration_by_raw;
    check_burst: burst_by_sock burst_by_raw;
}
