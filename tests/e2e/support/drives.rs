//! What makes events of each kind, in all families.

use super::orders::SocketOption;
use super::scene::{FAMILIES, Scene};
use super::sockets::CLOSE_WAIT;
use super::tracer::Tracer;
use super::traffic::{Server, traffic_in};

/// A name for the connection of that family.
fn name(i: usize) -> String {
    format!("c{i}")
}

/// Connections that end in either way, and one that does not come about.
fn open_and_close(scene: &mut Scene) {
    for (i, family) in FAMILIES.into_iter().enumerate() {
        scene.connect("a", family);
        scene.client.transfer("a", &mut scene.server, 1000 * (1 + i as u64));
        let (first, second) = if i == 1 {
            (&mut scene.server, &mut scene.client)
        } else {
            (&mut scene.client, &mut scene.server)
        };
        first.close("a");
        second.close("a");
        scene.refused(family);
    }
    scene.server.unlisten();
}

/// What the client sends does not arrive, until it has been sent again and again.
fn lose_data(scene: &mut Scene, tracer: &Tracer) {
    let mut ends = Vec::new();
    for (i, family) in FAMILIES.into_iter().enumerate() {
        ends.push(scene.connect(&name(i), family).0);
    }
    scene.silence();
    for i in 0..FAMILIES.len() {
        scene.client.send(&name(i), 3000);
    }
    tracer.wait_events("retransmissions", |events| {
        ends.iter().all(|end| {
            let of =
                events.iter().filter(|e| e["type"] == "retransmit" && e["cookie"] == end.cookie);
            of.count() >= 3
        })
    });
    scene.speak();
    for i in 0..FAMILIES.len() {
        scene.server.receive(&name(i), 3000);
        scene.client.close(&name(i));
        scene.server.close(&name(i));
    }
}

/// The last packet of the handshake does not arrive: the client is connected, the server is not.
fn lose_handshakes(scene: &mut Scene, tracer: &Tracer) {
    scene.rule(&format!("tcp dport {} tcp flags & (syn | ack) == ack drop", scene.port));
    let mut ports = Vec::new();
    for (i, family) in FAMILIES.into_iter().enumerate() {
        let addr = scene.addr(family);
        ports.push(scene.client.connect(&name(i), addr).local.port());
    }
    tracer.wait_events("SYN-ACKs", |events| {
        let of = |port| {
            events.iter().filter(move |e| e["type"] == "synack_retransmit" && e["dport"] == port)
        };
        ports.iter().all(|&port| of(port).count() >= 2)
    });
    scene.speak();
    for i in 0..FAMILIES.len() {
        scene.client.send(&name(i), 1);
        scene.server.accept("any");
        scene.server.close("any");
        scene.client.close(&name(i));
    }
}

/// By either side, with data that nobody took, in answer to data that nobody wants, and where nobody listens.
fn reset(scene: &mut Scene) {
    for family in FAMILIES {
        scene.connect("a", family);
        scene.client.reset("a");
        scene.server.close("a");

        scene.connect("a", family);
        scene.server.reset("a");
        scene.client.close("a");

        scene.connect("a", family);
        scene.client.send("a", 100);
        scene.server.close("a");
        scene.client.close("a");

        scene.connect("a", family);
        scene.server.close("a");
        scene.client.send("a", 100);
        scene.client.close("a");

        scene.refused(family);
    }
}

/// Losses now and then, on the way there and back.
fn lose_some(scene: &mut Scene) {
    let port = scene.port;
    scene.rule(&format!("tcp dport {port} tcp flags & syn == 0 numgen random mod 100 < 3 drop"));
    scene.rule(&format!("tcp sport {port} tcp flags & syn == 0 numgen random mod 100 < 5 drop"));
    scene.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    let server = Server::start_in(&scene.ns.launch(), &format!("[::]:{port}"), None);
    for family in FAMILIES {
        let to = scene.addr(family).to_string();
        let args = ["bulk", "--to", &to, "--bytes", "3000000", "--cc", "cubic"];
        traffic_in(&scene.ns.launch(), &args);
    }
    scene.speak();
    scene.settle();
    drop(server);
}

/// In pieces and at once.
fn receive(scene: &mut Scene) {
    for family in FAMILIES {
        scene.connect("a", family);
        for bytes in [1, 100, 300_000] {
            scene.client.transfer("a", &mut scene.server, bytes);
        }
        scene.server.send("a", 1000);
        scene.client.receive("a", 400);
        scene.client.receive("a", 600);
        scene.client.close("a");
        scene.server.close("a");
    }
}

/// So much is lost that at most times several packets are missing.
fn receive_with_gaps(scene: &mut Scene) {
    let port = scene.port;
    scene.rule(&format!("tcp dport {port} tcp flags & syn == 0 numgen random mod 100 < 10 drop"));
    scene.ns.run(&["ip", "link", "set", "lo", "mtu", "1500", "gso_max_segs", "2"]);
    let server = Server::start_in(&scene.ns.launch(), &format!("[::]:{port}"), None);
    for family in FAMILIES {
        let to = scene.addr(family).to_string();
        let args = ["bulk", "--to", &to, "--bytes", "300000", "--parallel", "8"];
        traffic_in(&scene.ns.launch(), &args);
    }
    scene.speak();
    scene.settle();
    drop(server);
}

/// Reset; reset after the peer's end; no answer; refused.
fn fail(scene: &mut Scene) {
    let server = scene.port;
    for family in FAMILIES {
        // A process that closes its socket before would not be told.
        let client = scene.connect("a", family).0.local.port();
        scene.server.reset("a");
        scene.ns.wait_gone((client, server));
        scene.client.close("a");

        let client = scene.connect("a", family).0.local.port();
        scene.server.close("a");
        scene.ns.wait_socket((client, server), "the FIN", |entry| entry.state == CLOSE_WAIT);
        scene.client.send("a", 1);
        scene.ns.wait_gone((client, server));
        scene.client.close("a");

        let client = scene.connect("a", family).0.local.port();
        scene.silence();
        scene.client.set("a", SocketOption::UserTimeoutMs(300));
        scene.client.send("a", 1);
        scene.ns.wait_gone((client, server));
        scene.speak();
        scene.client.close("a");
        scene.server.close("a");

        scene.refused(family);
    }
}

/// Makes the kind's events; the tracer tells when there are some, where that takes its time.
#[track_caller]
pub fn drive(scene: &mut Scene, kind: &str, tracer: &Tracer) {
    // There the listener is another.
    if kind != "cong_state" {
        scene.listen();
    }
    match kind {
        "state" | "destroy" => open_and_close(scene),
        "retransmit" => lose_data(scene, tracer),
        "synack_retransmit" => lose_handshakes(scene, tracer),
        "reset_sent" | "reset_received" => reset(scene),
        "cong_state" => lose_some(scene),
        "rcv_space" => receive(scene),
        "rcvbuf_grow" => {
            receive(scene);
            scene.server.unlisten();
            receive_with_gaps(scene);
        }
        "error" => fail(scene),
        _ => panic!("{kind}"),
    }
    scene.settle();
}
