//! What makes events of each event type, in all families.

use super::fixture::{FAMILIES, Fixture};
use super::guest;
use super::orders::SocketOption;
use super::sockets::CLOSE_WAIT;
use super::traffic::{Server, traffic_in};

/// A name for the connection of that family.
fn name(i: usize) -> String {
    format!("c{i}")
}

/// Connections that end in either way, and one that does not come about.
fn open_and_close(fixture: &mut Fixture) {
    for (i, family) in FAMILIES.into_iter().enumerate() {
        fixture.connect("a", family);
        fixture.client.transfer("a", &mut fixture.server, 1000 * (1 + i as u64));
        let (first, second) = if i == 1 {
            (&mut fixture.server, &mut fixture.client)
        } else {
            (&mut fixture.client, &mut fixture.server)
        };
        first.close("a");
        second.close("a");
        fixture.refused(family);
    }
    fixture.server.unlisten();
}

/// What the client sends does not arrive, until it has been sent again and again.
fn lose_data(fixture: &mut Fixture) {
    let mut ports = Vec::new();
    for (i, family) in FAMILIES.into_iter().enumerate() {
        let end = fixture.connect(&name(i), family).0;
        ports.push((end.local.port(), fixture.port));
    }
    fixture.silence();
    for i in 0..FAMILIES.len() {
        fixture.client.send(&name(i), 3000);
    }
    for &ports in &ports {
        fixture.ns.wait_socket(ports, "timeouts", |entry| entry.retransmits >= 2);
    }
    fixture.speak();
    for (i, ports) in ports.into_iter().enumerate() {
        fixture.server.receive(&name(i), 3000);
        // tcp_probe is called only before the client closes.
        fixture.ns.wait_socket(ports, "acknowledgements", |entry| entry.tx_queue == 0);
        fixture.client.close(&name(i));
        fixture.server.close(&name(i));
    }
}

/// The last packet of the handshake does not arrive: the client is connected, the server is not.
fn lose_handshakes(fixture: &mut Fixture) {
    fixture.rule(&format!("tcp dport {} tcp flags & (syn | ack) == ack drop", fixture.port));
    let mut ports = Vec::new();
    for (i, family) in FAMILIES.into_iter().enumerate() {
        let addr = fixture.addr(family);
        ports.push(fixture.client.connect(&name(i), addr).local.port());
    }
    for port in ports {
        let ports = (fixture.port, port);
        fixture.ns.wait_socket(ports, "SYN-ACKs", |entry| entry.retransmits >= 2);
    }
    fixture.speak();
    for i in 0..FAMILIES.len() {
        fixture.client.send(&name(i), 1);
        fixture.server.accept("any");
        fixture.server.close("any");
        fixture.client.close(&name(i));
    }
}

/// By either side, with data that nobody took, in answer to data that nobody wants, and where nobody listens.
fn reset(fixture: &mut Fixture) {
    for family in FAMILIES {
        fixture.connect("a", family);
        fixture.client.reset("a");
        fixture.server.close("a");

        fixture.connect("a", family);
        fixture.server.reset("a");
        fixture.client.close("a");

        fixture.connect("a", family);
        fixture.client.send("a", 100);
        fixture.server.close("a");
        fixture.client.close("a");

        fixture.connect("a", family);
        fixture.server.close("a");
        fixture.client.send("a", 100);
        fixture.client.close("a");

        fixture.refused(family);
    }
}

/// Losses now and then, on the way there and back.
fn lose_some(fixture: &mut Fixture) {
    let port = fixture.port;
    // Not by chance: an emulated machine sends few packets.
    fixture.rule(&format!("tcp dport {port} tcp flags & syn == 0 numgen inc mod 20 == 7 drop"));
    fixture.rule(&format!("tcp sport {port} tcp flags & syn == 0 numgen random mod 100 < 5 drop"));
    fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    let server = Server::start_in(&fixture.ns.launch(), &format!("[::]:{port}"), None);
    let bytes = if guest() { "1000000" } else { "3000000" };
    for family in FAMILIES {
        let to = fixture.addr(family).to_string();
        let args = ["bulk", "--to", &to, "--bytes", bytes, "--cc", "cubic"];
        traffic_in(&fixture.ns.launch(), &args);
    }
    fixture.speak();
    fixture.settle();
    drop(server);
}

/// In pieces and at once.
fn receive(fixture: &mut Fixture) {
    for family in FAMILIES {
        fixture.connect("a", family);
        for bytes in [1, 100, 300_000] {
            fixture.client.transfer("a", &mut fixture.server, bytes);
        }
        fixture.server.send("a", 1000);
        fixture.client.receive("a", 400);
        fixture.client.receive("a", 600);
        fixture.client.close("a");
        fixture.server.close("a");
    }
}

/// So much is lost that at most times several packets are missing.
fn receive_with_gaps(fixture: &mut Fixture) {
    let port = fixture.port;
    fixture.rule(&format!("tcp dport {port} tcp flags & syn == 0 numgen random mod 100 < 10 drop"));
    fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500", "gso_max_segs", "2"]);
    let server = Server::start_in(&fixture.ns.launch(), &format!("[::]:{port}"), None);
    let parallel = if guest() { "3" } else { "8" };
    for family in FAMILIES {
        let to = fixture.addr(family).to_string();
        let args = ["bulk", "--to", &to, "--bytes", "300000", "--parallel", parallel];
        traffic_in(&fixture.ns.launch(), &args);
    }
    fixture.speak();
    fixture.settle();
    drop(server);
}

/// Reset; reset after the peer's end; no answer; refused.
fn fail(fixture: &mut Fixture) {
    let server = fixture.port;
    for family in FAMILIES {
        // A process that closes its socket before would not be told.
        let client = fixture.connect("a", family).0.local.port();
        fixture.server.reset("a");
        fixture.ns.wait_gone((client, server));
        fixture.client.close("a");

        let client = fixture.connect("a", family).0.local.port();
        fixture.server.close("a");
        fixture.ns.wait_socket((client, server), "the FIN", |entry| entry.state == CLOSE_WAIT);
        fixture.client.send("a", 1);
        fixture.ns.wait_gone((client, server));
        fixture.client.close("a");

        let client = fixture.connect("a", family).0.local.port();
        fixture.silence();
        fixture.client.set("a", SocketOption::UserTimeoutMs(300));
        fixture.client.send("a", 1);
        fixture.ns.wait_gone((client, server));
        fixture.speak();
        fixture.client.close("a");
        fixture.server.close("a");

        fixture.refused(family);
    }
}

/// Makes the event type's events.
#[track_caller]
pub fn drive(fixture: &mut Fixture, event_type: &str) {
    // There the listener is another.
    if event_type != "cong_state" {
        fixture.listen();
    }
    match event_type {
        "state" | "destroy" => open_and_close(fixture),
        "retransmit" => lose_data(fixture),
        "synack_retransmit" => lose_handshakes(fixture),
        "reset_sent" | "reset_received" => reset(fixture),
        "cong_state" => lose_some(fixture),
        "rcv_space" => receive(fixture),
        "rcvbuf_grow" => {
            receive(fixture);
            fixture.server.unlisten();
            receive_with_gaps(fixture);
        }
        "error" => fail(fixture),
        _ => panic!("{event_type}"),
    }
    fixture.settle();
}
