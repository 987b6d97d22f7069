//! `accept` without a system call: by io_uring, against clocks, `ss` and by construction.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::support::{
    Netns, Reader, Tcc, Uring, assert_events, is_root, kernel, mono_ns, wait_until,
};

const UNKNOWN: Option<u64> = None;

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

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the completion gave a new descriptor, which nobody else has.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// One request for a connection, one for all, and one without a descriptor.
fn check_uring(reader: Reader) {
    need!(is_root(), "not root");
    let ring = Uring::new();
    need!(ring.is_ok(), "no io_uring here", legitimate: true);
    let mut ring = ring.expect("a ring");
    let ns = Netns::new();
    let (listener, addr) = listen(&ns);
    let tcc = Tcc::command("accept").reader(reader).ports(&[addr.port()]).all_fields().start();

    let begun = mono_ns();
    let clients = [(); 4].map(|()| connect(&ns, addr));
    let ports = clients.each_ref().map(|client| client.local_addr().expect("an address").port());
    let queued = || ns.sockets().iter().any(|s| s.local == addr && s.rx_queue == 4);
    wait_until("the queue", queued);
    let single = owned(ring.accept(&listener).expect("a connection"));
    let waited = (mono_ns() - begun) / 1000;
    // By a call, among them: each is reported once.
    let (called, _) = listener.accept().expect("a connection");
    // Multishot since 5.19.
    let multishot = kernel() >= (5, 19);
    let many = if multishot {
        ring.accept_all(&listener).expect("a request");
        [(); 2].map(|()| owned(ring.next_accepted().expect("a connection")))
    } else {
        [(); 2].map(|()| owned(ring.accept(&listener).expect("a connection")))
    };
    let pid = std::process::id();
    let trace = tcc.stop();
    trace.check_account();
    drop((single, called, many, clients));
    let by_ring = |dport: u16, backlog: Option<u64>| {
        let event =
            event!(accept { dport: dport, pid: pid, handshake_us: 1.., wait_us: ..=u64::MAX });
        event.with("backlog", backlog)
    };
    // Which listener it was the kernel says since 5.18, and of multishot not.
    let first = (kernel() >= (5, 18)).then_some(3);
    let rest = if multishot || kernel() < (5, 18) { [UNKNOWN; 2] } else { [Some(1), Some(0)] };
    assert_events(
        &trace.events,
        [
            by_ring(ports[0], first).with("wait_us", ..=waited),
            event!(accept { dport: ports[1], pid: pid, backlog: 2 }),
            by_ring(ports[2], rest[0]),
            by_ring(ports[3], rest[1]),
        ],
    );
}

/// A direct descriptor is in no table of files: it shows when the connection is used.
fn check_direct(reader: Reader) {
    need!(is_root(), "not root");
    // Since 5.15.
    need!(kernel() >= (5, 15), "no direct descriptors before 5.15", legitimate: true);
    let ring = Uring::new();
    need!(ring.is_ok(), "no io_uring here", legitimate: true);
    let mut ring = ring.expect("a ring");
    let ns = Netns::new();
    let (listener, addr) = listen(&ns);
    ring.make_slot().expect("a slot");
    let tcc = Tcc::events(&["accept", "life"]).reader(reader).ports(&[addr.port()]).start();
    // One that is read from, and one that never is.
    let mut expected = Vec::new();
    for reads in [true, false] {
        let mut client = connect(&ns, addr);
        let dport = client.local_addr().expect("an address").port();
        ring.accept_direct(&listener).expect("a connection");
        if reads {
            client.write_all(b"request").expect("sent");
            assert_eq!(ring.receive_direct(&mut [0; 7]).expect("received"), 7);
        }
        ring.close_direct().expect("closed");
        let event = event!(accept { dport: dport, wait_us: UNKNOWN, backlog: UNKNOWN });
        // Who closes a direct descriptor may be a thread of the kernel's.
        let event = if reads { event.with("pid", std::process::id()) } else { event };
        expected.push(event.with("handshake_us", 1..));
    }
    drop(listener);
    ns.settle();
    let trace = tcc.stop();
    trace.check_accounts(&["accept", "life"]);
    assert_events(trace.of_type("accept"), expected);
}

by_sock_and_raw! {
    check_uring: uring_by_sock uring_by_raw;
    check_direct: direct_by_sock direct_by_raw;
}
