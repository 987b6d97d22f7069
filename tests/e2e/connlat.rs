//! `connlat`: the slow ones of either side, and no others.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Launch, Tracer, enough, is_root, is_whole, mono_ns, some_turn, text, u64_of,
    wait_until,
};

#[track_caller]
fn start(args: &[&str]) -> Tracer {
    let launch = Launch::here().with_tracefs();
    let mut tracer = Tracer::spawn(&launch, &[&["connlat", "-o", "jsonl"], args].concat());
    tracer.wait_ready();
    tracer
}

/// A SYN that is lost makes the client wait for a second; a server that does not accept makes the connection wait.
fn check_min(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let ports = fixture.ports();
    let args = ["--reader", reader, "--port", &ports];
    let all = start(&args);
    let slow = start(&[&args[..], &["--min", "300ms"]].concat());
    let server = start(&[&args[..], &["--side", "server"]].concat());
    let opened = mono_ns();
    for family in FAMILIES {
        fixture.connect("quick", family);
        fixture.client.close("quick");
        fixture.server.close("quick");
    }
    let quick_us = (mono_ns() - opened) / 1000;
    fixture.silence();
    let addr = fixture.addr(FAMILIES[0]);
    let late = fixture.client.start_connect("late", addr);
    fixture.speak();
    assert_eq!(fixture.client.outcome("late"), None);
    fixture.server.accept("late");
    let waiting = fixture.client.connect("waiting", addr);
    let connected = mono_ns();
    wait_until("some time", || mono_ns() - connected > 400_000_000);
    fixture.server.accept("waiting");
    let [all, slow, server] = [all, slow, server].map(Tracer::stop);
    for trace in [&all, &slow] {
        trace.check_accounts(&["accept", "connect"]);
    }
    server.check_accounts(&["accept"]);
    for event_type in ["connect", "accept"] {
        assert_eq!(
            all.of_type(event_type).len(),
            FAMILIES.len() + 2,
            "{event_type}: {:#?}",
            all.events
        );
    }
    assert_eq!(server.events.len(), FAMILIES.len() + 2, "{:#?}", server.events);
    // On a machine that is so slow nothing is quick.
    if quick_us < 300_000 {
        assert_eq!(slow.events.len(), 2, "{:#?}", slow.events);
    }
    let late_port = u64::from(late.local.port());
    let connects = slow.of_type("connect");
    let connect = connects.iter().find(|event| u64_of(event, "sport") == late_port);
    let connect = connect.expect("the late one");
    assert!(u64_of(connect, "latency_us") >= 300_000, "{connect}");
    assert_eq!(text(connect, "outcome"), "established", "{connect}");
    let accepts = slow.of_type("accept");
    let accept = accepts.iter().find(|event| event["dport"] == waiting.local.port());
    let accept = accept.expect("the one that waited");
    assert!(u64_of(accept, "wait_us") >= 400_000, "{accept}");
}

/// By the client's address and the server's.
fn by_ends<'e>(
    events: &[&'e Value],
    ends: [&str; 4],
) -> BTreeMap<(SocketAddr, SocketAddr), &'e Value> {
    let of = |event: &Value, ip: &str, port: &str| {
        SocketAddr::new(text(event, ip).parse().expect("an address"), u64_of(event, port) as u16)
    };
    let [ip, port, peer_ip, peer_port] = ends;
    let rows = events.iter().map(|e| ((of(e, ip, port), of(e, peer_ip, peer_port)), *e));
    let rows: BTreeMap<_, _> = rows.collect();
    assert_eq!(rows.len(), events.len(), "one twice: {events:#?}");
    rows
}

/// Each handshake is told by both sides, each with its own owner. A SYN that is lost only the client waits for; a SYN-ACK
/// that is lost, both.
fn check_sides(reader: &str) {
    need!(is_root(), "not root");
    some_turn(|| {
        let mut fixture = Fixture::new();
        fixture.listen();
        let port = fixture.port;
        let tracer = start(&["--reader", reader, "--port", &port.to_string()]);
        let mut opened = Vec::new();
        for family in FAMILIES {
            for _ in 0..3 {
                opened.push(fixture.connect("quick", family).0.local);
            }
        }
        let addr = fixture.addr(FAMILIES[1]);
        for (name, rule) in [("syn-ack", "tcp sport"), ("syn", "tcp dport")] {
            fixture.rule(&format!("{rule} {port} counter drop"));
            opened.push(fixture.client.start_connect(name, addr).local);
            wait_until("the loss", || {
                !fixture.ns.run(&["nft", "list ruleset"]).contains("packets 0")
            });
            fixture.speak();
        }
        for name in ["syn-ack", "syn"] {
            assert_eq!(fixture.client.outcome(name), None);
            fixture.server.accept(name);
        }
        let trace = tracer.stop();
        trace.check_accounts(&["accept", "connect"]);
        if !is_whole(&trace) {
            return false;
        }
        let canonical = |addr: &SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let to = |addr: &SocketAddr| match canonical(addr) {
            local @ SocketAddr::V4(_) => (local, canonical(&fixture.addr(FAMILIES[0]))),
            local @ SocketAddr::V6(_) => (local, fixture.addr(FAMILIES[1])),
        };
        let wanted: Vec<_> = opened.iter().map(to).collect();
        let clients = by_ends(&trace.of_type("connect"), ["saddr", "sport", "daddr", "dport"]);
        let servers = by_ends(&trace.of_type("accept"), ["daddr", "dport", "saddr", "sport"]);
        // Where programs are hidden from, one side may be.
        if clients.len() < wanted.len() || servers.len() < wanted.len() {
            assert!(enough(clients.len(), wanted.len(), 50), "{clients:#?}");
            return false;
        }
        for side in [&clients, &servers] {
            assert_eq!(side.len(), wanted.len(), "{side:#?}");
        }
        let mut times = Vec::new();
        for ends in &wanted {
            let (client, server) = (clients[ends], servers[ends]);
            assert_eq!(
                (client["pid"].as_u64(), server["pid"].as_u64()),
                (Some(fixture.client.pid.into()), Some(fixture.server.pid.into())),
                "{client} {server}"
            );
            times.push((u64_of(client, "latency_us"), u64_of(server, "handshake_us")));
        }
        let [quick @ .., both, one] = &times[..] else { panic!("{times:?}") };
        assert!(both.0 >= 900_000 && both.1 >= 900_000, "{times:?}");
        assert!(one.0 >= 900_000 && one.1 + 500_000 < one.0, "{times:?}");
        // On a machine that is slow one or another is late.
        let soon = quick.iter().filter(|(client, server)| client.max(server) < &900_000);
        assert!(soon.count() * 2 > quick.len(), "{times:?}");
        true
    });
}

by_sock_and_raw! {
    check_min: min_by_sock min_by_raw;
    check_sides: both_sides_by_sock both_sides_by_raw;
}

#[test]
fn without_tracefs_it_is_the_clients_side() {
    need!(is_root(), "not root");
    let script = "for dir in /sys/kernel/tracing /sys/kernel/debug; do \
        while grep -q \" $dir[ /]\" /proc/self/mounts; do umount -l $dir || exit; done; done 2>/dev/null; \
        exec \"$0\" \"$@\"";
    let launch = Launch::here().within(&["unshare", "-m", "sh", "-c", script]);
    let mut tracer = Tracer::spawn(&launch, &["connlat", "-o", "jsonl", "--port", "1"]);
    tracer.wait_ready();
    let trace = tracer.stop();
    trace.check_accounts(&["connect"]);
    assert!(trace.stderr.contains("the server's side is not traced: tracefs"), "{}", trace.stderr);
    let output = Tracer::spawn(&launch, &["connlat", "--side", "server"]).wait_raw();
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("accept: tracefs is not mounted"), "{}", output.stderr);
}
