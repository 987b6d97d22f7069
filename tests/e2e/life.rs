//! `life`: one event when a connection ends, with its traffic, its duration and how it ended. Checked against what the
//! test processes sent and received, against `ss`, and against the clock.

use rustix::io::Errno;
use serde_json::Value;

use crate::support::{
    Expected, FAMILIES, FIN_WAIT2, Hidden, OF_CONNECTIONS, Reader, SYN_RECV, Scene, Socket,
    SocketOption, Ss, Tcc, Trace, assert_event, assert_events, check_whole, is_root, mono_ns, null,
    turns, u64_of,
};

/// `life` on the scene's connections.
pub fn life(reader: Reader, scene: &Scene) -> Tcc {
    Tcc::life().all_fields().reader(reader).ports(&[scene.port, scene.closed])
}

/// The end events of that connection, exactly one each: the client's, then the server's.
#[track_caller]
pub fn ends<'t>(trace: &'t Trace, scene: &Scene, client: Socket) -> [&'t Value; 2] {
    let port = client.local.port();
    [(port, scene.port), (scene.port, port)].map(|(sport, dport)| {
        let is_it = |e: &&Value| e["event"] == "end" && e["sport"] == sport && e["dport"] == dport;
        let found: Vec<&Value> = trace.events.iter().filter(is_it).collect();
        let [one] = found[..] else { panic!("{sport} {dport}: {found:#?}") };
        one
    })
}

/// The end events of the side that closed first and of the other side.
pub fn closed_by_fin() -> [Expected; 2] {
    ["local", "peer"]
        .map(|side| event!(life { event: "end", closed_by: side, reason: "fin", err: null() }))
}

/// A connection with data in both directions, closed by FINs.
struct Transfer {
    client: Socket,
    /// Bytes that the client sent, and that it received.
    up: u64,
    down: u64,
    server_closes_first: bool,
    /// The client's socket before either side closed.
    ss: Ss,
    /// In µs: from the return of connect() to the first close(), and from the call of connect() until both sockets were
    /// gone.
    shortest: u64,
    longest: u64,
}

impl Transfer {
    #[track_caller]
    fn run(
        scene: &mut Scene,
        family: &str,
        (up, down): (u64, u64),
        server_closes_first: bool,
    ) -> Self {
        let started = mono_ns();
        let (client, _) = scene.connect("a", family);
        let opened = mono_ns();
        scene.client.transfer("a", &mut scene.server, up);
        scene.server.transfer("a", &mut scene.client, down);
        let ss = Ss::of(&scene.ns, client.local.port(), scene.port);
        let closing = mono_ns();
        scene.close_in_order("a", client, server_closes_first);
        scene.settle();
        let (shortest, longest) = ((closing - opened) / 1000, (mono_ns() - started) / 1000);
        Transfer { client, up, down, server_closes_first, ss, shortest, longest }
    }

    /// The client's end event and the server's.
    fn expected(&self, scene: &Scene) -> [Expected; 2] {
        let [first, second] = closed_by_fin();
        // A FIN counts as a byte. The side that closes first may end before it receives the peer's FIN.
        let first = |received: u64| first.with("bytes_received", received..=received + 1);
        let second = |received: u64| second.with("bytes_received", received + 1);
        let (client, server) = if self.server_closes_first {
            (second(self.down), first(self.up))
        } else {
            (first(self.down), second(self.up))
        };
        let min_rtt_us = (self.ss.number("minrtt").expect("minrtt") * 1000.0).round() as u64;
        let client = client
            .with("pid", scene.client.pid)
            // SYN and FIN count as a byte each.
            .with("bytes_acked", self.up + 2)
            // After ss ran, the FIN may have been retransmitted, and its ACK may have been the fastest.
            .with("bytes_retrans", self.ss.count("bytes_retrans")..)
            .with("total_retrans", self.ss.total_retrans()..)
            .with("min_rtt_us", ..=min_rtt_us);
        let server = server.with("pid", scene.server.pid).with("bytes_acked", self.down + 1);
        [client, server].map(|event| {
            event
                .with("open_before", false)
                .with("duration_us", self.shortest..=self.longest)
                .with("handshake_us", 1..=self.longest)
        })
    }

    /// Each side sent what its test process sent, apart from retransmissions, which occur on slow machines.
    #[track_caller]
    fn check_sent(&self, ends: [&Value; 2]) {
        for (event, sent) in ends.into_iter().zip([self.up, self.down]) {
            let once = u64_of(event, "bytes_sent") - u64_of(event, "bytes_retrans");
            assert_eq!(once, sent, "{event}");
        }
    }

    /// `ss` agrees with the test processes. Before the close only the SYN counts as an additional byte.
    #[track_caller]
    fn check_ss(&self) {
        let ss = &self.ss;
        assert_eq!(ss.count("bytes_sent"), self.up + ss.count("bytes_retrans"), "{}", ss.text);
        assert_eq!(ss.count("bytes_acked"), self.up + 1, "{}", ss.text);
        assert_eq!(ss.count("bytes_received"), self.down, "{}", ss.text);
    }
}

fn check_totals(reader: Reader) {
    need!(is_root(), "not root");
    turns(|| {
        let mut scene = Scene::new();
        scene.listen();
        let tracer = life(reader, &scene).start();
        let [ipv4, ipv6, mapped] = FAMILIES;
        let transfers = [
            Transfer::run(&mut scene, ipv4, (100_000, 3_000), false),
            Transfer::run(&mut scene, ipv6, (200_000, 6_000), true),
            Transfer::run(&mut scene, mapped, (300_000, 9_000), false),
        ];
        let trace = tracer.stop();
        trace.check_accounts(&["life"]);
        check_whole(&trace)?;
        assert_eq!(trace.events.len(), 2 * transfers.len(), "{:#?}", trace.events);
        for transfer in transfers {
            let ends = ends(&trace, &scene, transfer.client);
            assert_events(ends, transfer.expected(&scene));
            transfer.check_sent(ends);
            transfer.check_ss();
        }
        Ok(())
    });
}

/// Each side in turn resets the connection: by SO_LINGER, because it closes with unread data, and after its FIN.
fn check_resets(reader: Reader) {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    scene.listen();
    let tracer = life(reader, &scene).start();
    let sent = event!(life { closed_by: "local", reason: "reset_sent", err: null() });
    let received =
        |err: &str| event!(life { closed_by: "peer", reason: "reset_received", err: err });
    let mut expected = Vec::new();
    for family in FAMILIES {
        let (client, _) = scene.connect("a", family);
        scene.client.reset("a");
        scene.ns.wait_gone((scene.port, client.local.port()));
        scene.server.close("a");
        expected.push((client, [sent.clone(), received("ECONNRESET")]));

        let (client, _) = scene.connect("a", family);
        scene.client.send("a", 100);
        scene.server.close("a");
        scene.ns.wait_gone((client.local.port(), scene.port));
        scene.client.close("a");
        expected.push((client, [received("ECONNRESET"), sent.clone()]));

        let (client, _) = scene.connect("a", family);
        scene.client.shutdown("a");
        scene.server.send("a", 100);
        let ports = (client.local.port(), scene.port);
        scene.ns.wait_socket(ports, "unread data after a FIN", |socket| {
            socket.state == FIN_WAIT2 && socket.rx_queue == 100
        });
        scene.client.close("a");
        scene.ns.wait_gone((scene.port, client.local.port()));
        scene.server.close("a");
        expected.push((client, [sent.clone(), received("EPIPE")]));
    }
    scene.settle();
    let trace = tracer.stop();
    trace.check_account();
    assert_eq!(trace.events.len(), 2 * expected.len(), "{:#?}", trace.events);
    for (client, expected) in expected {
        assert_events(ends(&trace, &scene, client), expected);
    }
}

/// The peer stops answering, and a timer ends the connection. A sandbox's kernel may hide that (see support/hidden.rs): then
/// there is a second turn.
fn check_timeout(reader: Reader) {
    need!(is_root(), "not root");
    turns(|| {
        let mut scene = Scene::new();
        scene.listen();
        let hidden = Hidden::watch(scene.port, OF_CONNECTIONS);
        let tracer = life(reader, &scene).start();
        let (client, _) = scene.connect("a", FAMILIES[0]);
        scene.silence();
        scene.client.set("a", SocketOption::UserTimeoutMs(300));
        scene.client.send("a", 1000);
        assert_eq!(scene.client.wait_error("a"), Some(Errno::TIMEDOUT));
        scene.client.close("a");
        scene.speak();
        scene.server.close("a");
        scene.settle();
        let trace = tracer.stop();
        trace.check_account();
        let of_client = |event: &&Value| event["sport"] == client.local.port();
        let Some(event) = trace.events.iter().find(of_client) else {
            hidden.check()?;
            panic!("the client's end is missing: {:#?}", trace.events);
        };
        // Each retransmission has all the data.
        let retransmitted = 1000 * u64_of(event, "total_retrans");
        assert_event(
            event,
            event!(life {
                event: "end",
                closed_by: null(),
                reason: "timeout",
                err: "ETIMEDOUT",
                duration_us: 300_000..,
                total_retrans: 1..,
                bytes_sent: 1000 + retransmitted,
                bytes_retrans: retransmitted,
                bytes_acked: 1,
            }),
        );
        Ok(())
    });
}

/// The handshake's last ACK is lost. The client's handshake is complete by then; the server's completes only after it has
/// retransmitted the SYN-ACK. A timer does that, so there may be a second turn as in `check_timeout`.
fn check_handshake(reader: Reader) {
    need!(is_root(), "not root");
    turns(|| {
        let mut scene = Scene::new();
        scene.listen();
        let hidden = Hidden::watch(scene.port, OF_CONNECTIONS);
        let tracer = life(reader, &scene).start();
        scene.rule(&format!("tcp dport {} tcp flags & (syn | ack) == ack drop", scene.port));
        let addr = scene.addr(FAMILIES[0]);
        let started = mono_ns();
        let client = scene.client.connect("a", addr);
        let connected = mono_ns();
        let ports = (scene.port, client.local.port());
        scene.ns.wait_socket(ports, "a second SYN-ACK", |request| {
            request.state == SYN_RECV && request.retransmits >= 1
        });
        let retransmitted = mono_ns();
        scene.speak();
        scene.client.send("a", 1);
        scene.server.accept("any");
        let accepted = mono_ns();
        scene.client.close("a");
        scene.server.close("any");
        scene.settle();
        let trace = tracer.stop();
        trace.check_account();
        let ends = ends(&trace, &scene, client);
        if ends[1]["handshake_us"].is_null() {
            hidden.check()?;
        }
        let us = |from: u64, to: u64| (to - from) / 1000;
        assert_events(
            ends,
            [
                event!(life { handshake_us: ..=us(started, connected) }),
                event!(life { handshake_us: us(connected, retransmitted)..=us(started, accepted) }),
            ],
        );
        Ok(())
    });
}

by_sock_and_raw! {
    check_totals: totals_by_sock totals_by_raw;
    check_resets: resets_by_sock resets_by_raw;
    check_timeout: timeout_by_sock timeout_by_raw;
    check_handshake: handshake_by_sock handshake_by_raw;
}

/// The default output has tcplife's columns, in at most 100 characters.
#[test]
fn a_line_has_what_tcplife_has() {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    scene.listen();
    let life = Tcc::life().default_output().ports(&[scene.port, scene.closed]);
    let tracer = life.option("--transport", "perfbuf").start();
    let (client, _) = scene.connect("a", FAMILIES[0]);
    scene.client.transfer("a", &mut scene.server, 1000);
    scene.client.close("a");
    scene.server.close("a");
    scene.settle();
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let (header, lines) = output.stdout.split_once('\n').expect("a header");
    assert!(header.chars().count() <= 100, "{header}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        words(header),
        ["TIME", "LOCAL", "PEER", "PID", "COMM", "TX", "RX", "us", "rtx", "rtt", "END"]
    );
    let local = client.local.to_string();
    let line = lines.lines().map(words).find(|words| words[1] == local).expect("the client's end");
    let [_, _, _, pid, _, tx, rx, _, rtx, _, end] = &line[..] else { panic!("{line:?}") };
    assert_eq!(*pid, scene.client.pid.to_string(), "{line:?}");
    // The SYN and the FIN count as a byte each; the peer's FIN may come after the end.
    assert_eq!((&**tx, &**end), ("1002", "fin"), "{line:?}");
    assert!(["0", "1"].contains(&&**rx), "{line:?}");
    assert!(rtx.parse::<u64>().is_ok(), "{line:?}");
}
