//! `--pid` and RSTs: `scenario/resets.rs` has whose they are.

use crate::support::{FAMILIES, Fixture, Reader, SocketOption, Tcc, assert_events, is_root};

/// `--pid` lets its RSTs through and nobody else's.
fn check_pid(reader: Reader) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = Tcc::events(&["reset_sent"]).reader(reader).ports(&[fixture.port, fixture.closed]);
    let tracer = tracer.option("--pid", &fixture.server.pid.to_string()).start();
    fixture.connect("a", FAMILIES[0]);
    fixture.client.set("a", SocketOption::LingerZero);
    fixture.client.close("a");
    fixture.server.close("a");
    let (client, _) = fixture.connect("b", FAMILIES[0]);
    fixture.client.send("b", 1);
    fixture.server.close("b");
    fixture.client.close("b");
    fixture.settle();
    let trace = tracer.stop();
    trace.check_account();
    let event = event!(reset_sent { dport: client.local.port(), pid: fixture.server.pid });
    assert_events(&trace.events, [event]);
}

by_sock_and_raw! {
    check_pid: by_pid_by_sock by_pid_by_raw;
}
