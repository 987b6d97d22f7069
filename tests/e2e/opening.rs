//! How long opening took, where the kernel does not measure it, or connect() does not send the SYN: against its counters,
//! `ss` and clocks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::net::SendFlags;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::support::{
    Netns, Reader, Ss, Tcc, TcpOption, Trace, assert_events, is_root, mono_ns, set_tcp, u64_of,
    wait_until,
};

const UNKNOWN: Option<u64> = None;
const MSG_FASTOPEN: SendFlags = SendFlags::from_bits_retain(0x2000_0000);

#[track_caller]
fn listen(ns: &Netns) -> (TcpListener, SocketAddr) {
    let listener = ns.inside(|| TcpListener::bind("127.0.0.1:0")).expect("a listener");
    let addr = listener.local_addr().expect("an address");
    (listener, addr)
}

#[track_caller]
fn connect(ns: &Netns, to: SocketAddr) -> TcpStream {
    ns.inside(|| TcpStream::connect(to)).expect("a connection")
}

fn port_of(stream: &TcpStream) -> u16 {
    stream.local_addr().expect("an address").port()
}

/// The only RTT sample so far, which is the handshake's.
#[track_caller]
fn rtt_us(ns: &Netns, server: &TcpStream) -> u64 {
    let peer = server.peer_addr().expect("an address");
    let ss = Ss::of(ns, port_of(server), peer.port());
    (ss.number("rtt").expect("rtt") * 1000.0).round() as u64
}

/// The options that a SYN cookie keeps in the timestamp, and without any.
const NEGOTIATED: [[(&str, &str); 3]; 4] = [
    [("window_scaling", "1"), ("sack", "1"), ("timestamps", "1")],
    [("window_scaling", "0"), ("sack", "1"), ("timestamps", "1")],
    [("window_scaling", "1"), ("sack", "0"), ("timestamps", "1")],
    [("window_scaling", "1"), ("sack", "1"), ("timestamps", "0")],
];

/// The kernel keeps nothing of a SYN that it answers with a cookie.
fn check_syn_cookies(reader: Reader) {
    need!(is_root(), "not root");
    let ns = Netns::new();
    let (listener, addr) = listen(&ns);
    let tcc = Tcc::events(&["accept", "life"]).reader(reader).ports(&[addr.port()]).start();
    let counted = Tcc::command("connlat")
        .option("--side", "server")
        .flag("--histogram")
        .reader(reader)
        .ports(&[addr.port()])
        .start();
    let (mut accepts, mut lives) = (Vec::new(), Vec::new());
    for options in NEGOTIATED {
        for (option, value) in options {
            ns.sysctl(&format!("ipv4/tcp_{option}"), value);
        }
        // 2: each SYN is answered so, and not only where the queue is full.
        for cookies in [1, 2] {
            ns.sysctl("ipv4/tcp_syncookies", &cookies.to_string());
            let before = ns.counters()["SyncookiesRecv"];
            let client = connect(&ns, addr);
            let (server, _) = listener.accept().expect("a connection");
            let by_cookie = ns.counters()["SyncookiesRecv"] - before;
            assert_eq!(by_cookie, cookies - 1);
            let handshake = (by_cookie == 0).then(|| rtt_us(&ns, &server));
            let dport = port_of(&client);
            accepts.push(event!(accept { dport: dport, handshake_us: handshake }));
            lives.push(event!(life { dport: dport, handshake_us: handshake }));
            drop((client, server));
            ns.settle();
        }
    }
    let trace = tcc.stop();
    trace.check_accounts(&["accept", "life"]);
    assert_events(trace.of_type("accept"), accepts);
    let ours = |life: &&Value| life["sport"] == addr.port();
    assert_events(trace.of_type("life").into_iter().filter(ours), lives);
    let counted = counted.stop();
    assert_eq!(counted.aggregated(), 8);
    let handshakes = counted.events.iter().find(|row| row["field"] == "handshake_us");
    let handshakes = handshakes.expect("handshake_us");
    assert_eq!([u64_of(handshakes, "count"), u64_of(handshakes, "unset")], [4, 4], "{handshakes}");
}

/// A listener that waits for data drops the ACK that ends the handshake.
fn check_deferred(reader: Reader) {
    need!(is_root(), "not root");
    let ns = Netns::new();
    let (listener, addr) = listen(&ns);
    set_tcp(&listener, TcpOption::DeferAccept, 30).expect("TCP_DEFER_ACCEPT");
    let tcc = Tcc::events(&["accept", "life"]).reader(reader).ports(&[addr.port()]).start();
    let mut late = connect(&ns, addr);
    wait_until("the ACK without data", || ns.counters()["TCPDeferAcceptDrop"] == 1);
    late.write_all(b"request").expect("sent");
    let (late_server, _) = listener.accept().expect("a connection");
    set_tcp(&listener, TcpOption::DeferAccept, 0).expect("TCP_DEFER_ACCEPT");
    let soon = connect(&ns, addr);
    let (soon_server, _) = listener.accept().expect("a connection");
    let measured = rtt_us(&ns, &soon_server);
    let ports = [port_of(&late), port_of(&soon)];
    drop((late_server, late, soon_server, soon));
    ns.settle();
    let trace = tcc.stop();
    trace.check_accounts(&["accept", "life"]);
    assert_events(
        trace.of_type("accept"),
        [
            event!(accept { dport: ports[0], handshake_us: UNKNOWN }),
            event!(accept { dport: ports[1], handshake_us: measured }),
        ],
    );
    let of = |port: u16| {
        let lives = trace.of_type("life");
        lives.into_iter().filter(move |life| life["dport"] == port).collect::<Vec<_>>()
    };
    assert_events(of(ports[0]), [event!(life { handshake_us: UNKNOWN })]);
    assert_events(of(ports[1]), [event!(life { handshake_us: measured })]);
}

/// Connects by TCP_FASTOPEN_CONNECT: where there is a cookie of the peer's, the SYN goes with the first data.
#[track_caller]
fn fastopen(ns: &Netns, to: SocketAddr) -> TcpStream {
    ns.inside(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        set_tcp(&socket, TcpOption::FastOpenConnect, 1)?;
        socket.connect(&to.into()).map(|()| TcpStream::from(socket))
    })
    .expect("connect() succeeds")
}

/// Accepts a connection whose client has closed it, and takes the data: a close with data unread is a reset, after which the other
/// end may wait for a minute.
#[track_caller]
fn take(listener: &TcpListener, data: &[u8]) {
    let (mut server, _) = listener.accept().expect("a connection");
    let mut taken = Vec::new();
    server.read_to_end(&mut taken).expect("data");
    assert_eq!(taken, data);
}

/// A listener with TCP Fast Open, whose cookie the namespace has.
#[track_caller]
fn listen_fastopen(ns: &Netns) -> (TcpListener, SocketAddr) {
    ns.sysctl("ipv4/tcp_fastopen", "3");
    let (listener, addr) = listen(ns);
    set_tcp(&listener, TcpOption::FastOpen, 16).expect("TCP_FASTOPEN");
    fastopen(ns, addr).write_all(b"first").expect("sent");
    take(&listener, b"first");
    ns.settle();
    (listener, addr)
}

/// Clocks around connect() and the first write(), which waits for the handshake.
struct Times {
    opened: u64,
    connected: u64,
    writes: u64,
    written: u64,
    port: u16,
}

impl Times {
    /// What the end of write() was, and what was held back until then.
    #[track_caller]
    fn of(ns: &Netns, to: SocketAddr) -> (std::io::Result<TcpStream>, Self) {
        let opened = mono_ns();
        let mut client = fastopen(ns, to);
        let (connected, port) = (mono_ns(), port_of(&client));
        wait_until("some time", || mono_ns() - connected > 200_000_000);
        let writes = mono_ns();
        let result = client.write_all(b"request").map(|()| client);
        (result, Times { opened, connected, writes, written: mono_ns(), port })
    }

    fn latency_us(&self) -> u64 {
        (self.written - self.writes) / 1000
    }

    /// The least and the most that the SYN waited.
    fn wait_us(&self) -> (u64, u64) {
        ((self.writes - self.connected) / 1000, (self.written - self.opened) / 1000)
    }
}

fn of_port(trace: &Trace, event_type: &str, port: u16) -> Vec<Value> {
    let all = trace.of_type(event_type).into_iter();
    all.filter(|event| event["sport"] == port).cloned().collect()
}

/// The SYN of an established, a refused and an abandoned connection.
fn check_fastopen(reader: Reader) {
    need!(is_root(), "not root");
    let ns = Netns::new();
    let (listener, addr) = listen_fastopen(&ns);
    let tcc = Tcc::events(&["connect", "life"]).reader(reader).ports(&[addr.port()]).start();
    let slow = Tcc::command("connlat")
        .option("--side", "client")
        .option("--min", "150ms")
        .reader(reader)
        .ports(&[addr.port()])
        .start();
    let before = ns.counters()["TCPFastOpenActive"];
    let (client, open) = Times::of(&ns, addr);
    assert_eq!(ns.counters()["TCPFastOpenActive"], before + 1, "the data went with the SYN");
    drop(client.expect("sent"));
    take(&listener, b"request");
    ns.settle();

    // sendto() connects and sends the SYN at once.
    let at_once = ns.inside(|| Socket::new(Domain::IPV4, Type::STREAM, None)).expect("a socket");
    let begun = mono_ns();
    rustix::net::sendto(&at_once, b"request", MSG_FASTOPEN, &addr).expect("sent");
    let at_once_us = (mono_ns() - begun) / 1000;
    let at_once = TcpStream::from(at_once);
    let at_once_port = port_of(&at_once);
    drop(at_once);
    take(&listener, b"request");
    ns.settle();

    let abandoned = fastopen(&ns, addr);
    let (abandoned_port, connected) = (port_of(&abandoned), mono_ns());
    wait_until("some time", || mono_ns() - connected > 200_000_000);
    let held_us = (mono_ns() - connected) / 1000;
    drop(abandoned);

    drop(listener);
    let (error, refused) = Times::of(&ns, addr);
    let error = error.expect_err("nobody listens");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);

    let (trace, slow) = (tcc.stop(), slow.stop());
    trace.check_accounts(&["connect", "life"]);
    slow.check_account();
    assert!(open.latency_us().max(refused.latency_us()) > 150_000 || slow.events.is_empty());
    let (least, most) = open.wait_us();
    assert_events(
        &of_port(&trace, "connect", open.port),
        [event!(connect {
            outcome: "established",
            latency_us: ..=open.latency_us(),
            syn_wait_us: least..=most
        })],
    );
    assert_events(
        &of_port(&trace, "life", open.port),
        [event!(life { handshake_us: ..=open.latency_us() })],
    );
    assert_events(
        &of_port(&trace, "connect", at_once_port),
        [event!(connect {
            outcome: "established",
            latency_us: ..=at_once_us,
            syn_wait_us: UNKNOWN
        })],
    );
    assert_events(
        &of_port(&trace, "connect", abandoned_port),
        [event!(connect { outcome: "aborted", latency_us: UNKNOWN, syn_wait_us: held_us.. })],
    );
    let (least, most) = refused.wait_us();
    assert_events(
        &of_port(&trace, "connect", refused.port),
        [event!(connect {
            outcome: "refused",
            latency_us: ..=refused.latency_us(),
            syn_wait_us: least..=most
        })],
    );
}

/// One that is lost: the time counts from the first.
fn check_lost_syn(reader: Reader) {
    need!(is_root(), "not root");
    let ns = Netns::new();
    let (listener, addr) = listen_fastopen(&ns);
    let tcc = Tcc::events(&["connect", "life"]).reader(reader).ports(&[addr.port()]).start();
    ns.firewall("input", &[&format!("tcp dport {} counter drop", addr.port())]);
    let (client, times) = std::thread::scope(|scope| {
        let opening = scope.spawn(|| Times::of(&ns, addr));
        wait_until("the loss", || !ns.run(&["nft", "list", "ruleset"]).contains("packets 0"));
        ns.nft("flush table inet t");
        opening.join().expect("it connects")
    });
    drop((client.expect("sent"), listener.accept().expect("a connection")));
    ns.settle();
    let trace = tcc.stop();
    trace.check_accounts(&["connect", "life"]);
    // Of the first of several SYNs the kernel keeps the millisecond.
    let (least, most) = times.wait_us();
    let latency = 900_000..=times.latency_us() + 1000;
    assert_events(
        &of_port(&trace, "connect", times.port),
        [event!(connect {
            outcome: "established",
            latency_us: latency.clone(),
            syn_wait_us: least - 1000..=most - 900_000,
            syn_retrans: 1..,
        })],
    );
    assert_events(&of_port(&trace, "life", times.port), [event!(life { handshake_us: latency })]);
}

by_sock_and_raw! {
    check_syn_cookies: syn_cookies_by_sock syn_cookies_by_raw;
    check_deferred: deferred_by_sock deferred_by_raw;
    check_fastopen: fastopen_by_sock fastopen_by_raw;
    check_lost_syn: lost_syn_by_sock lost_syn_by_raw;
}
