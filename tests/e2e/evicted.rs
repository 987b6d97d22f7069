//! What is remembered between events when there is no room for all of it: the idle go, and are counted.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use crate::support::{
    ACCEPT, FAMILIES, Fixture, Launch, Pair, RIGHT, Socket, TestProcess, Trace, Tracer, has_qdisc,
    has_tracepoint, in_call, is_root, text, u64_of, unique_port, wait_until,
};

const OPEN: u64 = 150;
const ROOM: u64 = 100;

fn start(command: &[&str], port: &str, room: u64) -> Tracer {
    let room = room.to_string();
    let args = [command, &["-o", "jsonl", "--port", port, "--max-conns", &room]].concat();
    let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &args);
    tracer.wait_ready();
    tracer
}

/// Of so many that were to be remembered, at least those for which there was no room: one may be learnt again, and evicted
/// again, and there are others' on this machine.
#[track_caller]
fn check(trace: &Trace, what: &str, all: u64, room: u64) {
    let evicted = u64_of(&trace.end["evicted"], what);
    // What a nested run would have put in is in the books as lost.
    let misses = u64_of(trace.counters(), "recursion_misses");
    let least = all.saturating_sub(room).saturating_sub(misses);
    assert!(if least > 0 { evicted >= least } else { evicted == 0 }, "{}", trace.end);
    let reported = trace.stderr.contains("evicted from full maps (raise --max-conns): ");
    assert_eq!(reported, least > 0, "{}", trace.stderr);
}

fn connect(fixture: &mut Fixture, count: u64) -> Vec<(Socket, Socket)> {
    fixture.listen();
    (0..count).map(|i| fixture.connect(&format!("c{i}"), FAMILIES[0])).collect()
}

/// All are open at the end, so nothing but want of room makes one go.
#[test]
fn connections_are_counted() {
    need!(is_root(), "not root");
    for room in [ROOM, 10_000] {
        let mut fixture = Fixture::new();
        let tracer = start(&["life"], &fixture.ports(), room);
        connect(&mut fixture, OPEN);
        check(&tracer.stop(), "conns", 2 * OPEN, room);
    }
}

/// Connections in Loss, each by one segment that nobody takes.
#[test]
fn connections_with_retransmissions_are_counted() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    connect(&mut fixture, OPEN);
    let port = fixture.ports();
    let tracers = [ROOM, 10_000].map(|room| {
        (
            room,
            start(&["events", "spurious"], &port, room),
            start(&["cong", "--by", "conn"], &port, room),
        )
    });
    fixture.silence();
    let before = fixture.ns.counters()["TCPTimeouts"];
    for i in 0..OPEN {
        fixture.client.send(&format!("c{i}"), 1);
    }
    wait_until("timeouts", || fixture.ns.counters()["TCPTimeouts"] >= before + OPEN);
    for (room, spurious, cong) in tracers {
        check(&spurious.stop(), "spurious_states", OPEN, room);
        let cong = cong.stop();
        // Where changes of state are worked out from looks, a connection that is evicted has none to tell.
        if has_tracepoint("cong_state") || room > OPEN {
            check(&cong, "ca_state_times", OPEN, room);
        }
    }
}

/// Both ends of each remember that the server does not read.
#[test]
fn closed_windows_are_counted() {
    need!(is_root(), "not root");
    const FULL: u64 = 15;
    let mut fixture = Fixture::new();
    fixture.ns.run(&["sysctl", "-qw", "net.ipv4.tcp_rmem=4096 8192 8192"]);
    fixture.ns.run(&["sysctl", "-qw", "net.ipv4.tcp_wmem=4096 16384 16384"]);
    let ends = connect(&mut fixture, FULL);
    let port = fixture.ports();
    let tracers = [FULL, 10_000].map(|room| (room, start(&["events", "zero_window"], &port, room)));
    for i in 0..FULL {
        fixture.client.fill(&format!("c{i}"));
    }
    tracers[1].1.wait_events("all beginnings", |events| {
        let begun = |end: &Socket| {
            events.iter().any(|e| e["cookie"] == end.cookie && text(e, "phase") == "begin")
        };
        ends.iter().all(|(client, server)| begun(client) && begun(server))
    });
    for (room, tracer) in tracers {
        check(&tracer.stop(), "zero_windows", 2 * FULL, room);
    }
}

#[test]
fn listeners_are_counted() {
    need!(is_root(), "not root");
    for room in [ROOM, 10_000] {
        let tracer = start(&["probe", "--all-fields"], "1", room);
        let listeners: Vec<_> =
            (0..OPEN).map(|_| TcpListener::bind("127.0.0.1:0").expect("a listener")).collect();
        check(&tracer.stop(), "listeners", OPEN, room);
        drop(listeners);
    }
}

/// Threads of this program of that name that wait in accept().
fn in_accept(name: &str) -> usize {
    let threads = std::fs::read_dir("/proc/self/task").expect("threads").flatten();
    let named = |task: &Path| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    threads.map(|task| task.path()).filter(|task| named(task) && in_call(task, ACCEPT)).count()
}

#[test]
fn calls_of_accept_are_counted() {
    need!(is_root(), "not root");
    const CALLS: u64 = 20;
    const NAME: &str = "evicted-calls";
    for room in [4, 10_000] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let addr = listener.local_addr().expect("its address");
        let tracer = start(&["accept"], &addr.port().to_string(), room);
        thread::scope(|scope| {
            let call = |_| {
                thread::Builder::new().name(NAME.into()).spawn_scoped(scope, || listener.accept())
            };
            let calls: Vec<_> = (0..CALLS).map(|i| call(i).expect("a thread")).collect();
            wait_until("all calls", || in_accept(NAME) as u64 == CALLS);
            let clients: Vec<_> = (0..CALLS).map(|_| TcpStream::connect(addr)).collect();
            for call in calls {
                call.join().expect("a thread").expect("a connection");
            }
            drop(clients);
        });
        check(&tracer.stop(), "accepting", CALLS, room);
    }
}

/// The client takes them for open; to the server the last packet of each handshake is missing.
#[test]
fn handshakes_are_counted() {
    need!(is_root(), "not root");
    const HALF: u64 = 20;
    let mut fixture = Fixture::new();
    fixture.listen();
    let port = fixture.ports();
    let tracers = [4, 10_000].map(|room| (room, start(&["life"], &port, room)));
    fixture.rule(&format!("tcp dport {} tcp flags & (syn | ack) == ack drop", fixture.port));
    let before = fixture.ns.counters()["TCPSynRetrans"];
    for i in 0..HALF {
        fixture.client.connect(&format!("c{i}"), fixture.addr(FAMILIES[0]));
    }
    wait_until("SYN-ACKs", || fixture.ns.counters()["TCPSynRetrans"] >= before + HALF);
    for (room, tracer) in tracers {
        let end = tracer.stop().end;
        let evicted = u64_of(&end["evicted"], "synacks");
        assert!(if room < HALF { evicted >= HALF - room } else { evicted == 0 }, "{end}");
    }
}

/// A packet of each connection waits in a qdisc that lets next to nothing through.
#[test]
fn packets_in_queues_are_counted() {
    need!(is_root(), "not root");
    const CONNECTIONS: u64 = 60;
    const SLOW: &[&str] = &["tbf", "rate", "8kbit", "burst", "2kb", "limit", "1mb"];
    need!(has_qdisc(SLOW), "no tbf");
    let pair = Pair::new();
    let (mut client, mut server) =
        (TestProcess::start_in(&pair.left.launch()), TestProcess::start_in(&pair.right.launch()));
    let port = unique_port();
    server.listen(&format!("[::]:{port}"));
    for i in 0..CONNECTIONS {
        let to = format!("{}:{port}", RIGHT[0]).parse().expect("an address");
        client.connect(&format!("c{i}"), to);
    }
    pair.left.run(&[&["tc", "qdisc", "add", "dev", &pair.dev, "root"], SLOW].concat());
    // 16 packets for each of so many connections.
    let tracers = [1, 10_000].map(|room| (room, start(&["queue"], &port.to_string(), room)));
    for i in 0..CONNECTIONS {
        client.send(&format!("c{i}"), 1000);
    }
    let backlog = || {
        let reported =
            pair.left.run(&["tc", "-s", "-j", "qdisc", "show", "dev", &pair.dev, "root"]);
        let reported: serde_json::Value = serde_json::from_str(&reported).expect("JSON");
        u64_of(&reported[0], "qlen")
    };
    let queued = backlog();
    assert!(queued > CONNECTIONS / 2, "{queued}");
    for (room, tracer) in tracers {
        let end = tracer.stop().end;
        let evicted = u64_of(&end["evicted"], "queued_packets");
        let least = queued.saturating_sub(16 * room);
        assert!(if room == 1 { evicted >= least } else { evicted == 0 }, "{end}");
    }
}
