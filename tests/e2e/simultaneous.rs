//! Both ends open a connection at once, and a socket connects to itself: no listener has a part in either.

use crate::support::{
    CLOSE_WAIT, Hidden, OF_CONNECTIONS, Pair, Reader, Tcc, TestProcess, assert_events, counted,
    is_root, mono_ns, null, text, turns, unique_port, wait_until,
};

/// The next connections of that namespace come from this port.
fn connect_from(pair: &Pair, left: bool, port: u16) {
    let ns = if left { &pair.left } else { &pair.right };
    ns.sysctl("ipv4/ip_local_port_range", &format!("{port} {port}"));
}

fn check_both_ends(reader: Reader) {
    need!(is_root(), "not root");
    turns(|| both_ends(reader));
}

fn both_ends(reader: Reader) -> Result<(), String> {
    let pair = Pair::new();
    let (mut left, mut right) =
        (TestProcess::start_in(&pair.left.launch()), TestProcess::start_in(&pair.right.launch()));
    let [left_port, right_port] = [unique_port(), unique_port()];
    connect_from(&pair, true, left_port);
    connect_from(&pair, false, right_port);
    let hidden = Hidden::watch(left_port, OF_CONNECTIONS);
    let types = ["state", "connect", "life"];
    // Until it has a port of its own, a socket is known by its peer's.
    let ports = [left_port, right_port];
    let tracer = Tcc::events(&types).all_fields().reader(reader).ports(&ports).start();

    // The left one's SYN is lost, and before the next one the right one's comes.
    pair.right.firewall("input", &[&format!("tcp dport {right_port} counter drop")]);
    let started = mono_ns();
    left.start_connect("a", format!("10.0.0.2:{right_port}").parse().expect("an address"));
    wait_until("the SYN to be dropped", || counted(&pair.right).0 > 0);
    let sent = mono_ns();
    pair.right.nft("add table inet t; flush table inet t");
    let crossed = mono_ns();
    right.start_connect("a", format!("10.0.0.1:{left_port}").parse().expect("an address"));
    assert_eq!((left.outcome("a"), right.outcome("a")), (None, None));
    let ended = mono_ns();
    left.send("a", 5);
    let end = (right_port, left_port);
    pair.right.wait_socket(end, "the data", |entry| entry.rx_queue == 5);
    right.receive("a", 5);
    left.close("a");
    pair.right.wait_socket(end, "the FIN", |entry| entry.state == CLOSE_WAIT);
    right.close("a");
    pair.settle();
    let trace = tracer.stop();
    trace.check_account();

    // By the peer's port: some programs cannot make a cookie, so that a socket's first events have none.
    let of = |dport: u16| trace.events.iter().filter(move |event| event["dport"] == dport);
    let events: Vec<_> = of(right_port).collect();
    let states = events.iter().filter(|event| event["type"] == "state");
    let path: Vec<&str> = states.map(|event| text(event, "new_state")).take(3).collect();
    if path != ["SYN_SENT", "SYN_RECV", "ESTABLISHED"] {
        hidden.check()?;
        panic!("{path:?}: {events:#?}");
    }
    let us = |from: u64, to: u64| (to - from) / 1000;
    let connected = event!(connect { outcome: "established", err: null() });
    let ended_by = event!(life { event: "end", reason: "fin", err: null() });
    for (dport, latency_us, closed_by, acked, received) in [
        // SYN and FIN count as a byte each, and whose FIN is the first may end before it has the other.
        (right_port, us(sent, crossed)..=us(started, ended), "local", 5 + 2, 0..=1),
        (left_port, 1..=us(crossed, ended), "peer", 2, 5 + 1..=5 + 1),
    ] {
        assert_events(
            of(dport).filter(|event| event["type"] != "state"),
            [
                connected.clone().with("latency_us", latency_us),
                ended_by
                    .clone()
                    .with("closed_by", closed_by)
                    .with("bytes_acked", acked)
                    .with("bytes_received", received),
            ],
        );
    }
    Ok(())
}

fn check_itself(reader: Reader) {
    need!(is_root(), "not root");
    let pair = Pair::new();
    let mut process = TestProcess::start_in(&pair.left.launch());
    let port = unique_port();
    connect_from(&pair, true, port);
    let types = ["connect", "life"];
    let tracer = Tcc::events(&types).all_fields().reader(reader).ports(&[port]).start();
    let socket = process.connect("a", format!("127.0.0.1:{port}").parse().expect("an address"));
    assert_eq!(socket.local.port(), port);
    process.send("a", 100);
    process.receive("a", 100);
    process.close("a");
    pair.settle();
    let trace = tracer.stop();
    trace.check_account();
    assert_events(
        &trace.events,
        [
            event!(connect { outcome: "established", ino: socket.ino, sport: port, dport: port }),
            // It has received its own FIN.
            event!(life {
                cookie: socket.cookie,
                event: "end",
                closed_by: "local",
                reason: "fin",
                pid: process.pid,
                bytes_acked: 102,
                bytes_received: 101,
            }),
        ],
    );
}

by_sock_and_raw! {
    check_both_ends: both_ends_by_sock both_ends_by_raw;
    check_itself: itself_by_sock itself_by_raw;
}
