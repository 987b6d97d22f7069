//! `perf` and others that count events see those at which a program of a trace runs: classic tracepoints, of which a program can keep
//! them away.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};

use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};

use crate::support::{
    Instance, Launch, Netns, Pingpong, Reader, Server, Tcc, Tracer, Uring, is_root, u64_of,
};

#[track_caller]
fn tracepoint(name: &str) -> Builder<'static> {
    let id = Instance::start(64).read(&format!("events/{name}/id")).expect(name);
    let mut builder = Builder::new(Tracepoint::with_id(id.trim().parse().expect("an ID")));
    builder.include_kernel();
    builder
}

/// A counter of the whole machine's events.
struct OfAll(Vec<Counter>);

impl OfAll {
    #[track_caller]
    fn start(name: &str) -> Self {
        let online = fs::read_to_string("/sys/devices/system/cpu/online").expect("CPUs");
        let cpus = online.trim().split(',').flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse::<usize>().expect("a CPU")..=last.parse().expect("a CPU")
        });
        let mut builder = tracepoint(name);
        let counters = cpus.map(|cpu| {
            let mut counter = builder.any_pid().one_cpu(cpu).build().expect("a perf event");
            counter.enable().expect("a perf event");
            counter
        });
        OfAll(counters.collect())
    }

    fn stop(self) -> u64 {
        self.0.into_iter().map(|mut counter| counter.read().expect("a count")).sum()
    }
}

/// A counter of this thread's events.
#[track_caller]
fn of_us(name: &str) -> Counter {
    let mut counter = tracepoint(name).observe_self().any_cpu().build().expect("a perf event");
    counter.enable().expect("a perf event");
    counter
}

/// As many as the trace has seen. Each may be missing where the other saw it, when a program was interrupted, but not many are.
fn check_probe(reader: &str) {
    need!(is_root(), "not root");
    let counter = OfAll::start("tcp/tcp_probe");
    let server = Server::start("127.0.0.1:0", None);
    let args = ["--reader", reader, "--fields", "snd_cwnd", "--port", &server.port_text()];
    let tracer = Tracer::start_in(&Launch::here().with_tracefs(), &args);
    let exchange = Pingpong { cc: "reno", request: 100, response: 100, count: 100, interval: "0s" };
    exchange.run_in(&Launch::here(), server.addr);
    let trace = tracer.stop();
    let (counted, seen) = (counter.stop(), u64_of(trace.counters(), "seen"));
    assert!(seen >= 200, "{seen}");
    assert!(counted + seen / 20 >= seen, "perf counted {counted} of {seen}");
}

#[test]
fn probe_by_sock() {
    check_probe("sock");
}

#[test]
fn probe_by_raw() {
    check_probe("raw");
}

#[test]
fn probe_by_record() {
    check_probe("record");
}

const OF_ACCEPT: [&str; 5] = [
    "syscalls/sys_enter_accept",
    "syscalls/sys_exit_accept",
    "syscalls/sys_enter_accept4",
    "syscalls/sys_exit_accept4",
    "io_uring/io_uring_complete",
];

/// One call of accept(), two of accept4(), and three requests of io_uring.
fn check_accept(reader: Reader) {
    need!(is_root(), "not root");
    let ring = Uring::new();
    need!(ring.is_ok(), "no io_uring here", legitimate: true);
    let mut ring = ring.expect("a ring");
    let ns = Netns::new();
    let listener = ns.inside(|| TcpListener::bind("127.0.0.1:0")).expect("a listener");
    let addr: SocketAddr = listener.local_addr().expect("an address");
    let tcc = Tcc::command("accept").reader(reader).ports(&[addr.port()]).start();
    let mut counters = OF_ACCEPT.map(of_us);
    let clients = [(); 6].map(|()| ns.inside(|| TcpStream::connect(addr)).expect("a connection"));
    let by_accept = rustix::net::accept(&listener).expect("a connection");
    let by_accept4 = [(); 2].map(|()| listener.accept().expect("a connection"));
    let by_uring = [(); 3].map(|()| {
        let fd = ring.accept(&listener).expect("a connection");
        // SAFETY: the completion gave a new descriptor, which nobody else has.
        unsafe { OwnedFd::from_raw_fd(fd) }
    });
    let counted = counters.each_mut().map(|counter| counter.read().expect("a count"));
    let trace = tcc.stop();
    drop((clients, by_accept, by_accept4, by_uring));
    trace.check_account();
    assert_eq!(trace.events.len(), 6, "{:#?}", trace.events);
    assert_eq!(counted, [1, 1, 2, 2, 3], "{OF_ACCEPT:?}");
}

by_sock_and_raw! {
    check_accept: accept_by_sock accept_by_raw;
}
