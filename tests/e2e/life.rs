//! `life`: one event when a connection ends, with its traffic, its duration and how it ended. Checked against what the
//! test processes sent and received, against `ss`, and against the clock.

use rustix::io::Errno;
use serde_json::Value;

use crate::support::{
    Expected, FAMILIES, FIN_WAIT2, Fixture, Hidden, OF_CONNECTIONS, Reader, SYN_RECV, Socket,
    SocketOption, Ss, Tcc, Trace, assert_event, assert_events, check_whole, is_root, mono_ns, null,
    turns, u64_of,
};

/// `life` on the fixture's connections.
pub fn life(reader: Reader, fixture: &Fixture) -> Tcc {
    Tcc::life().all_fields().reader(reader).ports(&[fixture.port, fixture.closed])
}

/// The end events of that connection, exactly one each: the client's, then the server's.
#[track_caller]
pub fn ends<'t>(trace: &'t Trace, fixture: &Fixture, client: Socket) -> [&'t Value; 2] {
    let port = client.local.port();
    [(port, fixture.port), (fixture.port, port)].map(|(sport, dport)| {
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
        fixture: &mut Fixture,
        family: &str,
        (up, down): (u64, u64),
        server_closes_first: bool,
    ) -> Self {
        let started = mono_ns();
        let (client, _) = fixture.connect("a", family);
        let opened = mono_ns();
        fixture.client.transfer("a", &mut fixture.server, up);
        fixture.server.transfer("a", &mut fixture.client, down);
        let ss = Ss::of(&fixture.ns, client.local.port(), fixture.port);
        let closing = mono_ns();
        fixture.close_in_order("a", client, server_closes_first);
        fixture.settle();
        let (shortest, longest) = ((closing - opened) / 1000, (mono_ns() - started) / 1000);
        Transfer { client, up, down, server_closes_first, ss, shortest, longest }
    }

    /// The client's end event and the server's.
    fn expected(&self, fixture: &Fixture) -> [Expected; 2] {
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
            .with("pid", fixture.client.pid)
            // SYN and FIN count as a byte each.
            .with("bytes_acked", self.up + 2)
            // After ss ran, the FIN may have been retransmitted, and its ACK may have been the fastest.
            .with("bytes_retrans", self.ss.count("bytes_retrans")..)
            .with("total_retrans", self.ss.total_retrans()..)
            .with("min_rtt_us", ..=min_rtt_us);
        let server = server.with("pid", fixture.server.pid).with("bytes_acked", self.down + 1);
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
        let mut fixture = Fixture::new();
        fixture.listen();
        let tracer = life(reader, &fixture).start();
        let [ipv4, ipv6, mapped] = FAMILIES;
        let transfers = [
            Transfer::run(&mut fixture, ipv4, (100_000, 3_000), false),
            Transfer::run(&mut fixture, ipv6, (200_000, 6_000), true),
            Transfer::run(&mut fixture, mapped, (300_000, 9_000), false),
        ];
        let trace = tracer.stop();
        trace.check_accounts(&["life"]);
        check_whole(&trace)?;
        assert_eq!(trace.events.len(), 2 * transfers.len(), "{:#?}", trace.events);
        for transfer in transfers {
            let ends = ends(&trace, &fixture, transfer.client);
            assert_events(ends, transfer.expected(&fixture));
            transfer.check_sent(ends);
            transfer.check_ss();
        }
        Ok(())
    });
}

/// Each side in turn resets the connection: by SO_LINGER, because it closes with unread data, and after its FIN.
fn check_resets(reader: Reader) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = life(reader, &fixture).start();
    let sent = event!(life { closed_by: "local", reason: "reset_sent", err: null() });
    let received =
        |err: &str| event!(life { closed_by: "peer", reason: "reset_received", err: err });
    let mut expected = Vec::new();
    for family in FAMILIES {
        let (client, _) = fixture.connect("a", family);
        fixture.client.reset("a");
        fixture.ns.wait_gone((fixture.port, client.local.port()));
        fixture.server.close("a");
        expected.push((client, [sent.clone(), received("ECONNRESET")]));

        let (client, _) = fixture.connect("a", family);
        fixture.client.send("a", 100);
        fixture.server.close("a");
        fixture.ns.wait_gone((client.local.port(), fixture.port));
        fixture.client.close("a");
        expected.push((client, [received("ECONNRESET"), sent.clone()]));

        let (client, _) = fixture.connect("a", family);
        fixture.client.shutdown("a");
        fixture.server.send("a", 100);
        let ports = (client.local.port(), fixture.port);
        fixture.ns.wait_socket(ports, "unread data after a FIN", |socket| {
            socket.state == FIN_WAIT2 && socket.rx_queue == 100
        });
        fixture.client.close("a");
        fixture.ns.wait_gone((fixture.port, client.local.port()));
        fixture.server.close("a");
        expected.push((client, [sent.clone(), received("EPIPE")]));
    }
    fixture.settle();
    let trace = tracer.stop();
    trace.check_account();
    assert_eq!(trace.events.len(), 2 * expected.len(), "{:#?}", trace.events);
    for (client, expected) in expected {
        assert_events(ends(&trace, &fixture, client), expected);
    }
}

/// The peer stops answering, and a timer ends the connection. A sandbox's kernel may hide that (see support/hidden.rs): then
/// there is a second turn.
fn check_timeout(reader: Reader) {
    need!(is_root(), "not root");
    turns(|| {
        let mut fixture = Fixture::new();
        fixture.listen();
        let hidden = Hidden::watch(fixture.port, OF_CONNECTIONS);
        let tracer = life(reader, &fixture).start();
        let (client, _) = fixture.connect("a", FAMILIES[0]);
        fixture.silence();
        fixture.client.set("a", SocketOption::UserTimeoutMs(300));
        fixture.client.send("a", 1000);
        assert_eq!(fixture.client.wait_error("a"), Some(Errno::TIMEDOUT));
        fixture.client.close("a");
        fixture.speak();
        fixture.server.close("a");
        fixture.settle();
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
        let mut fixture = Fixture::new();
        fixture.listen();
        let hidden = Hidden::watch(fixture.port, OF_CONNECTIONS);
        let tracer = life(reader, &fixture).start();
        fixture.rule(&format!("tcp dport {} tcp flags & (syn | ack) == ack drop", fixture.port));
        let addr = fixture.addr(FAMILIES[0]);
        let started = mono_ns();
        let client = fixture.client.connect("a", addr);
        let connected = mono_ns();
        let ports = (fixture.port, client.local.port());
        fixture.ns.wait_socket(ports, "a second SYN-ACK", |request| {
            request.state == SYN_RECV && request.retransmits >= 1
        });
        let retransmitted = mono_ns();
        fixture.speak();
        fixture.client.send("a", 1);
        fixture.server.accept("any");
        let accepted = mono_ns();
        fixture.client.close("a");
        fixture.server.close("any");
        fixture.settle();
        let trace = tracer.stop();
        trace.check_account();
        let ends = ends(&trace, &fixture, client);
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
    let mut fixture = Fixture::new();
    fixture.listen();
    let life = Tcc::life().default_output().ports(&[fixture.port, fixture.closed]);
    let tracer = life.option("--transport", "perfbuf").start();
    let (client, _) = fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 1000);
    fixture.client.close("a");
    fixture.server.close("a");
    fixture.settle();
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
    assert_eq!(*pid, fixture.client.pid.to_string(), "{line:?}");
    // The SYN and the FIN count as a byte each; the peer's FIN may come after the end.
    assert_eq!((&**tx, &**end), ("1002", "fin"), "{line:?}");
    assert!(["0", "1"].contains(&&**rx), "{line:?}");
    assert!(rtx.parse::<u64>().is_ok(), "{line:?}");
}
