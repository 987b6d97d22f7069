//! What tcp_disconnect() erases from a socket is in the events that come after it: the ends and the totals as `ss` had them.

use rustix::io::Errno;

use crate::support::{
    Expected, FAMILIES, Fixture, Reader, Socket, SocketOption, Ss, Tcc, assert_events,
    has_tracepoint, is_root, is_whole, null, some_turn, text, wait_until,
};

/// What `ss` shows of a connection just before its end.
struct Totals {
    bytes_sent: u64,
    bytes_acked: u64,
    data_segs_out: u64,
}

impl Totals {
    #[track_caller]
    fn of(fixture: &Fixture, socket: Socket) -> Self {
        let ss = Ss::of(&fixture.ns, socket.local.port(), fixture.port);
        let number =
            |name: &str| ss.number(name).unwrap_or_else(|| panic!("no {name}: {}", ss.text)) as u64;
        Totals {
            bytes_sent: number("bytes_sent"),
            bytes_acked: number("bytes_acked"),
            data_segs_out: number("data_segs_out"),
        }
    }
}

/// How a client ends its connection by a RST.
#[derive(Clone, Copy)]
enum End {
    LingerZero,
    Disconnect,
}

/// life, error and destroy of the client's side: all of them with the connection's ends.
fn client_events(fixture: &Fixture, socket: Socket, totals: &Totals) -> Vec<Expected> {
    let ends = |event: Expected| {
        event
            .with("sport", socket.local.port())
            .with("dport", fixture.port)
            .with("pid", fixture.client.pid)
            .with("bytes_acked", totals.bytes_acked)
    };
    let destroy = event!(destroy {
        state: "CLOSE",
        bytes_sent: totals.bytes_sent,
        data_segs_out: totals.data_segs_out,
    });
    let mut events = vec![ends(event!(life {
        event: "end",
        reason: "reset_sent",
        closed_by: "local",
        bytes_sent: totals.bytes_sent,
    }))];
    if has_tracepoint("error") {
        events.push(ends(event!(error { error: "ECONNRESET", state: "CLOSE" })));
    }
    events.push(ends(destroy));
    events
}

#[track_caller]
fn wait_acked(fixture: &Fixture) {
    wait_until("the last ACK", || {
        // A listener's is its limit.
        fixture.ns.sockets().iter().all(|socket| socket.is_over() || socket.tx_queue == 0)
    });
}

fn types() -> Vec<&'static str> {
    let error = has_tracepoint("error").then_some("error");
    ["life", "destroy", "cong_state"].into_iter().chain(error).collect()
}

fn check_ends(reader: Reader) {
    need!(is_root(), "not root");
    some_turn(|| shows_ends(reader));
}

#[track_caller]
fn shows_ends(reader: Reader) -> bool {
    let mut fixture = Fixture::new();
    fixture.listen();
    // The filter by ports knows them, too.
    let ports = [fixture.port, fixture.closed];
    let tracer = Tcc::events(&types()).all_fields().reader(reader).ports(&ports).start();
    let mut clients = Vec::new();
    for family in FAMILIES {
        for end in [End::LingerZero, End::Disconnect] {
            let (client, _) = fixture.connect("a", family);
            fixture.client.transfer("a", &mut fixture.server, 20_000);
            wait_acked(&fixture);
            let totals = Totals::of(&fixture, client);
            match end {
                End::LingerZero => fixture.client.set("a", SocketOption::LingerZero),
                End::Disconnect => fixture.client.disconnect("a"),
            }
            fixture.client.close("a");
            assert_eq!(fixture.server.wait_error("a"), Some(Errno::CONNRESET));
            fixture.server.close("a");
            clients.push((client, totals));
        }
        fixture.refused(family);
    }
    fixture.settle();
    let trace = tracer.stop();
    trace.check_account();
    if !is_whole(&trace) {
        return false;
    }
    for (client, totals) in &clients {
        let events = trace.of_cookie(client.cookie);
        assert_events(
            events.into_iter().filter(|event| event["type"] != "cong_state"),
            client_events(&fixture, *client, totals),
        );
    }
    let refused = trace.events.iter().filter(|event| event["dport"] == fixture.closed);
    let expected = FAMILIES.into_iter().flat_map(|_| {
        let error = event!(error { error: "ECONNREFUSED", pid: fixture.client.pid });
        let destroy = event!(destroy { bytes_sent: 0, segs_out: 1, pid: fixture.client.pid });
        has_tracepoint("error").then_some(error).into_iter().chain([destroy])
    });
    assert_events(refused, expected);
    for event in &trace.events {
        let known = ["127.0.0.1", "::1"].contains(&text(event, "saddr"));
        assert!(known && event["sport"] != 0 && event["dport"] != 0, "{event}");
        assert!(event["errno"] != 0, "no error: {event}");
        let change = event["old_ca_state"] != event["new_ca_state"];
        assert!(event["type"] != "cong_state" || change, "no change: {event}");
    }
    true
}

/// The connections that nobody has accepted end with their listener.
fn check_unaccepted(reader: Reader) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = Tcc::events(&["destroy", "life"]).reader(reader).ports(&[fixture.port]).start();
    let client = fixture.client.connect("a", fixture.addr(FAMILIES[0])).local.port();
    fixture.client.send("a", 700);
    let resets = fixture.ns.counters()["OutRsts"];
    fixture.server.unlisten();
    assert_eq!(fixture.client.wait_error("a"), Some(Errno::CONNRESET));
    assert_eq!(fixture.ns.counters()["OutRsts"], resets + 1);
    fixture.client.close("a");
    fixture.settle();
    let trace = tracer.stop();
    trace.check_account();
    let end = event!(life { reason: "reset_sent", bytes_received: 700, pid: null() });
    assert_events(
        trace.events.iter().filter(|event| event["dport"] == client),
        [end, event!(destroy { sport: fixture.port, saddr: "127.0.0.1", bytes_sent: 0 })],
    );
}

/// The end came before the trace: nobody knows the ends and totals any more.
fn check_unknown(reader: Reader) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    for (i, family) in FAMILIES.into_iter().enumerate() {
        let closed = fixture.closed(family);
        fixture.client.fail_connect(&format!("c{i}"), closed);
    }
    let netns = fixture.ns.inode().to_string();
    let destroy = Tcc::events(&["destroy"]).all_fields().reader(reader);
    let (all, by_port) = (
        destroy.clone().option("--netns", &netns).start(),
        destroy.ports(&[fixture.closed]).start(),
    );
    for i in 0..FAMILIES.len() {
        fixture.client.close(&format!("c{i}"));
    }
    let (all, by_port) = (all.stop(), by_port.stop());
    all.check_account();
    let event = event!(destroy {
        saddr: null(),
        sport: 1..=65535,
        daddr: null(),
        dport: null(),
        bytes_sent: null(),
        bytes_acked: null(),
        segs_out: null(),
        min_rtt_us: null(),
        state: "CLOSE",
        pid: fixture.client.pid,
    });
    assert_events(&all.events, FAMILIES.map(|_| event.clone()));
    assert_events(&by_port.events, []);
}

/// What comes into the error queue without an error in the socket is no `error`.
fn check_no_error(reader: Reader) {
    need!(is_root(), "not root");
    need!(has_tracepoint("error"), "no inet_sk_error_report (5.14)", legitimate: true);
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer =
        Tcc::events(&["error"]).reader(reader).ports(&[fixture.port, fixture.closed]).start();
    let (_, _) = fixture.connect("a", FAMILIES[0]);
    fixture.client.set("a", SocketOption::AckTimestamps);
    fixture.client.transfer("a", &mut fixture.server, 100);
    // The poll ends with the message in the queue; there is no error.
    assert_eq!(fixture.client.wait_error("a"), None);
    fixture.ns.firewall("output", &[&format!("tcp dport {} reject", fixture.closed)]);
    let closed = fixture.closed(FAMILIES[0]);
    fixture.client.start_connect("b", closed);
    assert_eq!(fixture.client.outcome("b"), Some(Errno::CONNREFUSED));
    fixture.client.close("b");
    fixture.speak();
    fixture.refused(FAMILIES[0]);
    let trace = tracer.stop();
    trace.check_account();
    // A softirq that is put off delivers the ICMP message when connect() waits already: the kernel reports that error as well.
    let put_off = trace.events.len() == 2 && trace.events[0]["sport"] != trace.events[1]["sport"];
    let refused = event!(error { errno: 111, dport: fixture.closed });
    assert_events(&trace.events, vec![refused; 1 + usize::from(put_off)]);
}

by_sock_and_raw! {
    check_port: port_by_sock port_by_raw;
    check_ends: ends_by_sock ends_by_raw;
    check_unaccepted: unaccepted_by_sock unaccepted_by_raw;
    check_unknown: unknown_by_sock unknown_by_raw;
    check_no_error: no_error_by_sock no_error_by_raw;
}

/// Each of the connections that a socket has had is a row of its own, with all that it moved.
/// The kernel leaves the port of the connection before in a socket that connects again, until that has one of its own.
fn check_port(reader: Reader) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = Tcc::events(&["state"]).all_fields().reader(reader).ports(&[fixture.port]).start();
    fixture.connect("a", FAMILIES[0]);
    fixture.client.disconnect("a");
    fixture.server.close("a");
    let addr = fixture.addr(FAMILIES[0]);
    fixture.client.reconnect("a", addr);
    fixture.server.accept("b");
    let trace = tracer.stop();
    trace.check_account();
    let begins = trace.events.iter().filter(|event| event["new_state"] == "SYN_SENT");
    let without_port = event!(state { old_state: "CLOSE", sport: 0_u16, dport: fixture.port });
    assert_events(begins, [without_port.clone(), without_port]);
}

#[test]
fn top_has_every_connection_of_a_socket() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = Tcc::command("top").ports(&[fixture.port]).option("--interval", "1h").start();
    let (first, _) = fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 30_000);
    wait_acked(&fixture);
    fixture.client.disconnect("a");
    fixture.server.close("a");
    let addr = fixture.addr(FAMILIES[0]);
    fixture.client.reconnect("a", addr);
    fixture.server.accept("b");
    fixture.client.send("a", 500);
    fixture.server.receive("b", 500);
    wait_acked(&fixture);
    fixture.client.disconnect("a");
    let trace = tracer.stop();
    let rows = trace.events.iter().filter(|row| row["key"]["dport"] == fixture.port);
    // A SYN counts as one.
    let row = |bytes: u64| event!(summary { tx_bytes: bytes, rx_bytes: 0, state: "CLOSE" });
    let rows: Vec<_> = rows.collect();
    assert_events(
        rows.iter().copied(),
        [row(30_001).with("closed", true), row(501).with("closed", false)],
    );
    assert_eq!(rows[0]["key"]["sport"], first.local.port(), "{}", rows[0]);
    assert!(rows.iter().all(|row| row["key"]["saddr"] == "127.0.0.1"), "{rows:?}");
}
