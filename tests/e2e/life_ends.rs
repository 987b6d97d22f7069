//! The reasons that `life` gives, against the RSTs that the namespace counts; and who closed first, where the trace began
//! between that and the end.

use rustix::io::Errno;

use crate::support::{
    CLOSE_WAIT, FAMILIES, FIN_WAIT2, Fixture, Hidden, LAST_ACK, OF_CONNECTIONS, Reader,
    SocketOption, Tcc, assert_events, check_whole, is_root, is_whole, null, some_turn, turns,
};

/// How the client ends a connection.
#[derive(Clone, Copy, Debug)]
enum End {
    Fin,
    /// TCP_LINGER2 below 0: closed in FIN_WAIT2.
    OrphanInFinWait2,
    /// The same, closed before the peer has acknowledged the FIN.
    OrphanInFinWait1,
    /// connect(AF_UNSPEC) in FIN_WAIT2.
    DisconnectInFinWait2,
    /// SO_LINGER 0 when both FINs are sent, and ours is not acknowledged.
    LingerZeroInLastAck,
    /// Closed under TCP_REPAIR.
    Repair,
}

const ENDS: [(End, &str, Option<&str>); 6] = [
    (End::Fin, "fin", Some("local")),
    (End::OrphanInFinWait2, "reset_sent", Some("local")),
    (End::OrphanInFinWait1, "reset_sent", Some("local")),
    (End::DisconnectInFinWait2, "reset_sent", Some("local")),
    (End::LingerZeroInLastAck, "silent", Some("peer")),
    (End::Repair, "silent", None),
];

#[track_caller]
fn wait_state(fixture: &Fixture, client: u16, state: u8) {
    let client = (client, fixture.port);
    fixture.ns.wait_socket(client, "the client's state", |socket| socket.state == state);
}

#[track_caller]
fn end(fixture: &mut Fixture, end: End, client: u16) {
    let lose_answers = |fixture: &Fixture| fixture.rule(&format!("tcp dport {client} drop"));
    match end {
        End::Fin => {
            fixture.client.close("a");
            // Whoever looks through all files just then holds a closed socket for so long.
            let server = (fixture.port, client);
            fixture.ns.wait_socket(server, "the FIN", |entry| entry.state == CLOSE_WAIT);
        }
        End::OrphanInFinWait2 => {
            fixture.client.set("a", SocketOption::Linger2(-1));
            fixture.client.shutdown("a");
            wait_state(fixture, client, FIN_WAIT2);
            fixture.client.close("a");
        }
        End::OrphanInFinWait1 => {
            fixture.client.set("a", SocketOption::Linger2(-1));
            lose_answers(fixture);
            fixture.client.close("a");
            fixture.speak();
            // The FIN is sent again, and acknowledged.
            fixture.ns.wait_gone((client, fixture.port));
        }
        End::DisconnectInFinWait2 => {
            fixture.client.shutdown("a");
            wait_state(fixture, client, FIN_WAIT2);
            fixture.client.disconnect("a");
            fixture.client.close("a");
        }
        End::LingerZeroInLastAck => {
            fixture.server.shutdown("a");
            wait_state(fixture, client, CLOSE_WAIT);
            // The client's FIN does not come through.
            fixture.silence();
            fixture.client.shutdown("a");
            wait_state(fixture, client, LAST_ACK);
            fixture.client.reset("a");
            fixture.ns.wait_gone((client, fixture.port));
            fixture.speak();
        }
        End::Repair => {
            fixture.client.set("a", SocketOption::Repair(true));
            fixture.client.close("a");
        }
    }
}

fn check_reasons(reader: Reader) {
    need!(is_root(), "not root");
    turns(|| shows_reasons(reader));
}

#[track_caller]
fn shows_reasons(reader: Reader) -> Result<(), String> {
    let mut fixture = Fixture::new();
    fixture.listen();
    let hidden = Hidden::watch(fixture.port, OF_CONNECTIONS);
    let tracer = Tcc::life().all_fields().reader(reader).ports(&[fixture.port]).start();
    let mut clients = Vec::new();
    for (how, reason, closed_by) in ENDS {
        let client = fixture.connect("a", FAMILIES[0]).0.local.port();
        let before = fixture.ns.counters()["OutRsts"];
        end(&mut fixture, how, client);
        let resets = fixture.ns.counters()["OutRsts"] - before;
        // What comes for a connection that is gone is answered by more of them.
        assert_eq!(resets > 0, reason == "reset_sent", "{how:?}: {resets}");
        // Whatever this one makes of the rest of the connection.
        fixture.server.set("a", SocketOption::Repair(true));
        fixture.server.close("a");
        clients.push((client, reason, closed_by));
    }
    let trace = tracer.stop();
    trace.check_account();
    let ends: Vec<_> = trace.events.iter().filter(|e| e["dport"] == fixture.port).collect();
    check_whole(&trace)?;
    if ends.len() < ENDS.len() {
        return hidden.explains("an end is missing");
    }
    assert_events(
        ends,
        clients.into_iter().map(|(client, reason, closed_by)| {
            event!(life { event: "end", sport: client, reason: reason, closed_by: closed_by })
        }),
    );
    Ok(())
}

/// A connection that is made under TCP_REPAIR has had no handshake.
fn check_repaired(reader: Reader) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let types = ["connect", "life"];
    let tracer = Tcc::events(&types).all_fields().reader(reader).ports(&[fixture.port]).start();
    fixture.connect("a", FAMILIES[0]);
    fixture.client.set("a", SocketOption::Repair(true));
    fixture.client.disconnect("a");
    assert_eq!(fixture.client.wait_error("a"), Some(Errno::CONNABORTED));
    let addr = fixture.addr(FAMILIES[0]);
    let before = fixture.ns.counters();
    fixture.client.reconnect("a", addr);
    fixture.client.close("a");
    assert_eq!(fixture.ns.counters()["OutSegs"], before["OutSegs"]);
    let trace = tracer.stop();
    trace.check_account();
    let of_client = trace.events.iter().filter(|event| event["dport"] == fixture.port);
    let silent = event!(life { reason: "silent", closed_by: null() });
    assert_events(
        of_client,
        [
            event!(connect { outcome: "established", latency_us: 1.. }),
            silent.clone().with("handshake_us", 1..),
            event!(connect { outcome: "established", latency_us: null() }),
            silent.with("handshake_us", null()),
        ],
    );
}

/// Half closed before the trace; the state says by whom.
fn check_half_closed_before(reader: Reader) {
    need!(is_root(), "not root");
    some_turn(|| {
        let mut fixture = Fixture::new();
        fixture.listen();
        let mut clients = Vec::new();
        for name in ["first", "second"] {
            let client = fixture.connect(name, FAMILIES[0]).0.local.port();
            fixture.client.shutdown(name);
            wait_state(&fixture, client, FIN_WAIT2);
            clients.push(client);
        }
        let tracer = Tcc::life().all_fields().reader(reader).ports(&[fixture.port]).start();
        // By a FIN; and by a RST, which does not change who was first.
        fixture.server.close("first");
        fixture.client.close("first");
        fixture.server.reset("second");
        fixture.client.close("second");
        let trace = tracer.stop();
        trace.check_account();
        if !is_whole(&trace) {
            return false;
        }
        for client in clients {
            let side = |port: &str| {
                let events = trace.events.iter().filter(|event| event[port] == client);
                events.cloned().collect::<Vec<_>>()
            };
            let both = |state: &str, closed_by: &str| {
                let open = event!(life { event: "open", state: state, closed_by: closed_by });
                [open, event!(life { event: "end", closed_by: closed_by })]
            };
            assert_events(&side("sport"), both("FIN_WAIT2", "local"));
            assert_events(&side("dport"), both("CLOSE_WAIT", "peer"));
        }
        true
    });
}

by_sock_and_raw! {
    check_reasons: reasons_by_sock reasons_by_raw;
    check_repaired: repaired_by_sock repaired_by_raw;
    check_half_closed_before: half_closed_before_by_sock half_closed_before_by_raw;
}
