//! MPTCP: its subflows are TCP connections, which belong to the process of the MPTCP socket; against
//! MPTCP_INFO, `ss` and the sockets.

use std::ffi::{c_int, c_void};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use serde_json::Value;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::support::{
    ESTABLISHED, Netns, Reader, Ss, Tcc, Trace, assert_events, is_root, u64_of, wait_until,
};

const UNKNOWN: Option<u64> = None;

fn socket() -> std::io::Result<Socket> {
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP))
}

/// A namespace with MPTCP, and a listener at 127.0.0.1; `None` where the kernel has none.
fn listen() -> Option<(Netns, TcpListener, SocketAddr)> {
    let ns = Netns::new();
    let listener = ns.inside(socket).ok()?;
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    listener.bind(&any.into()).expect("bind()");
    listener.listen(8).expect("listen()");
    let listener = TcpListener::from(listener);
    let addr = listener.local_addr().expect("an address");
    Some((ns, listener, addr))
}

/// A connection of which both sides speak MPTCP.
#[track_caller]
fn open(ns: &Netns, listener: &TcpListener) -> [TcpStream; 2] {
    let addr = listener.local_addr().expect("an address");
    let client = ns.inside(socket).expect("a socket");
    client.connect(&addr.into()).expect("a connection");
    let (server, _) = listener.accept().expect("a connection");
    let protocol = SockRef::from(&server).protocol().expect("SO_PROTOCOL");
    assert_eq!(protocol, Some(Protocol::MPTCP), "it has fallen back");
    [client.into(), server]
}

fn port_of(stream: &TcpStream) -> u16 {
    stream.local_addr().expect("an address").port()
}

/// MPTCP_INFO of the process's own socket, as `ss -M` prints it.
#[track_caller]
fn token(stream: &TcpStream) -> u64 {
    const SOL_MPTCP: c_int = 284;
    const MPTCP_INFO: c_int = 1;
    /// In bytes, of struct mptcp_info.
    const TOKEN: usize = 12;
    unsafe extern "C" {
        fn getsockopt(
            fd: c_int,
            level: c_int,
            name: c_int,
            value: *mut c_void,
            length: *mut u32,
        ) -> c_int;
    }
    let (mut info, mut length) = ([0_u8; 64], 64);
    // SAFETY: the kernel writes no more than `length` bytes.
    let result = unsafe {
        getsockopt(
            stream.as_raw_fd(),
            SOL_MPTCP,
            MPTCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0, "MPTCP_INFO: {}", std::io::Error::last_os_error());
    let token = info[TOKEN..TOKEN + 4].try_into().expect("four bytes");
    u32::from_ne_bytes(token).into()
}

#[track_caller]
fn transfer([from, to]: [&mut TcpStream; 2], bytes: usize) {
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(&vec![b'x'; bytes]).expect("sent"));
        to.read_exact(&mut vec![0; bytes]).expect("received");
    });
}

/// Those of the connection's local end with that port.
fn of_port<'t>(trace: &'t Trace, event_type: &str, port: u16) -> Vec<&'t Value> {
    trace.of_type(event_type).into_iter().filter(|event| event["sport"] == port).collect()
}

/// Each side is of its own connection, which has a token, and of the process.
fn check_ends(reader: Reader) {
    need!(is_root(), "not root");
    let listening = listen();
    need!(listening.is_some(), "no MPTCP here", legitimate: true);
    let (ns, listener, addr) = listening.expect("MPTCP");
    let tcc = Tcc::events(&["connect", "accept", "life"]);
    let tcc = tcc.reader(reader).ports(&[addr.port()]).all_fields().start();
    let [client, server] = open(&ns, &listener);
    let tokens = [&client, &server].map(token);
    let port = port_of(&client);
    drop((client, server));
    ns.settle();
    let trace = tcc.stop();
    trace.check_accounts(&["accept", "connect", "life"]);
    let pid = std::process::id();
    let [theirs, ours] = tokens;
    assert_events(
        trace.of_type("connect"),
        [event!(connect { sport: port, pid: pid, outcome: "established", mptcp_token: theirs })],
    );
    assert_events(
        trace.of_type("accept"),
        [event!(accept {
            sport: addr.port(),
            dport: port,
            pid: pid,
            backlog: 0,
            max_backlog: 8,
            wait_us: ..=u64::MAX,
            mptcp_token: ours,
        })],
    );
    for (port, token) in [(port, theirs), (addr.port(), ours)] {
        assert_events(
            of_port(&trace, "life", port),
            [event!(life { pid: pid, mptcp_token: token })],
        );
    }
}

/// A second subflow is opened by the kernel itself, and nobody accepts it.
fn check_joined(reader: Reader) {
    need!(is_root(), "not root");
    joined(reader, false);
}

/// That may happen in the context of whoever configures the endpoint.
fn check_joined_later(reader: Reader) {
    need!(is_root(), "not root");
    joined(reader, true);
}

fn joined(reader: Reader, later: bool) {
    let listening = listen();
    need!(listening.is_some(), "no MPTCP here", legitimate: true);
    let (ns, listener, addr) = listening.expect("MPTCP");
    ns.run(&["ip", "mptcp", "limits", "set", "subflows", "2", "add_addr_accepted", "2"]);
    let add_endpoint = || {
        ns.run(&["ip", "mptcp", "endpoint", "add", "127.0.0.2", "dev", "lo", "subflow"]);
    };
    if !later {
        add_endpoint();
    }
    let tcc = Tcc::events(&["connect", "accept", "life"]).reader(reader).ports(&[addr.port()]);
    let tcc = tcc.start();
    let mut ends = open(&ns, &listener);
    let [client, server] = &mut ends;
    // Joining begins when the other side has shown that it has the keys.
    transfer([client, server], 1000);
    transfer([server, client], 1000);
    if later {
        add_endpoint();
    }
    wait_until("the second subflow", || {
        ns.sockets().iter().any(|s| {
            s.state == ESTABLISHED
                && s.local.ip() == Ipv4Addr::new(127, 0, 0, 2)
                && s.peer.port() == addr.port()
        })
    });
    let tokens = [&*client, &*server].map(token);
    drop(ends);
    ns.settle();
    let trace = tcc.stop();
    trace.check_accounts(&["accept", "connect", "life"]);
    let pid = std::process::id();
    let both = |token: u64| [(); 2].map(|()| event!(connect { pid: pid, mptcp_token: token }));
    assert_events(trace.of_type("connect"), both(tokens[0]));
    assert_events(trace.of_type("accept"), [event!(accept { pid: pid, mptcp_token: tokens[1] })]);
    let servers = of_port(&trace, "life", addr.port());
    assert_events(servers, [(); 2].map(|()| event!(life { pid: pid, mptcp_token: tokens[1] })));
}

/// Connects the socket in a child, which ends then; the child's number.
#[track_caller]
fn connect_in_child(socket: &Socket, addr: SocketAddr) -> u32 {
    let (addr, fd) = (SockAddr::from(addr), socket.as_raw_fd());
    // SAFETY: the child makes system calls only, which are allowed between fork() and _exit().
    let child = unsafe {
        match libc::fork() {
            0 => libc::_exit(libc::connect(fd, addr.as_ptr().cast(), addr.len())),
            child => child,
        }
    };
    let mut status = 0;
    // SAFETY: `status` is an int, which waitpid() fills in.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((ended, status), (child, 0), "{}", std::io::Error::last_os_error());
    child.cast_unsigned()
}

/// The socket's second connection is another process's.
fn check_again(reader: Reader) {
    need!(is_root(), "not root");
    let listening = listen();
    need!(listening.is_some(), "no MPTCP here", legitimate: true);
    let (ns, listener, addr) = listening.expect("MPTCP");
    let client = ns.inside(socket).expect("a socket");
    let tcc = Tcc::connect().all_fields().reader(reader).ports(&[addr.port()]).start();
    client.connect(&addr.into()).expect("a connection");
    drop(listener.accept().expect("a connection"));
    rustix::net::connect_unspec(&client).expect("connect(AF_UNSPEC)");
    let child = connect_in_child(&client, addr);
    drop(listener.accept().expect("a connection"));
    drop(client);
    ns.settle();
    let trace = tcc.stop();
    trace.check_account();
    let pids = [std::process::id(), child];
    assert_events(
        &trace.events,
        pids.map(|pid| event!(connect { outcome: "established", pid: pid })),
    );
}

/// Another test may start a program meanwhile: until it runs, a child of this process holds the same files.
fn of_this_process(row: &Value) -> Value {
    let mut row = row.clone();
    let pid = u64_of(&row, "pid");
    if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
        row["pid"] = std::process::id().into();
    }
    row
}

/// What was there before the trace, whose owner is found among the open files, and what `top` reads.
fn check_open(reader: Reader) {
    need!(is_root(), "not root");
    let listening = listen();
    need!(listening.is_some(), "no MPTCP here", legitimate: true);
    let (ns, listener, addr) = listening.expect("MPTCP");
    let mut ends = open(&ns, &listener);
    let pid = std::process::id();
    let tokens = [&ends[0], &ends[1]].map(token);
    let ports = [&ends[0], &ends[1]].map(port_of);
    let life = Tcc::life().reader(reader).ports(&[addr.port()]).start();
    let top = Tcc::command("top").reader(reader).ports(&[addr.port()]).start();
    let acked = |at: usize| {
        let ss = Ss::of(&ns, ports[at], ports[1 - at]);
        ss.number("bytes_acked").unwrap_or(0.0) as u64
    };
    let before = [0, 1].map(acked);
    let [client, server] = &mut ends;
    transfer([client, server], 5000);
    transfer([server, client], 300_000);
    wait_until("the ACKs", || {
        ns.sockets().iter().filter(|s| s.state == ESTABLISHED).all(|s| s.tx_queue == 0)
    });
    let moved = [0, 1].map(|at| acked(at) - before[at]);
    assert!(moved[1] >= 300_000, "{moved:?}");
    let (top, life) = (top.stop(), life.stop());
    // On a slow machine MPTCP sends again what the subflow has delivered, and the last reading is between these two.
    let later = [0, 1].map(|at| acked(at) - before[at]);
    drop(ends);
    for at in [0, 1] {
        let rows = top.events.iter().filter(|row| row["key"]["sport"] == ports[at]);
        let rows: Vec<Value> = rows.map(of_this_process).collect();
        let lives: Vec<Value> =
            of_port(&life, "life", ports[at]).into_iter().map(of_this_process).collect();
        assert_events(
            &rows,
            [event!(summary {
                pid: pid,
                mptcp_token: tokens[at],
                tx_bytes: moved[at]..=later[at],
                rx_bytes: moved[1 - at]..=later[1 - at],
            })],
        );
        assert_events(
            &lives,
            [event!(life { pid: pid, mptcp_token: tokens[at], reason: UNKNOWN })],
        );
        assert!(u64_of(&rows[0], "snd_cwnd") > 0);
    }
}

by_sock_and_raw! {
    check_joined_later: joined_later_by_sock joined_later_by_raw;
    check_ends: ends_by_sock ends_by_raw;
    check_joined: joined_by_sock joined_by_raw;
    check_open: open_by_sock open_by_raw;
    check_again: connected_again_by_sock connected_again_by_raw;
}
