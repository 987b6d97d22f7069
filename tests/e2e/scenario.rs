//! The scenario: scripted traffic of every sort, which each reader traces and records by each transport at the same time, beside
//! the kernel's own trace. It runs once in a process, when a test first asks for it. What is left of it is data, with which any
//! number of tests compare.

mod container;
mod drop_reasons;
mod drops;
mod events_tracefs;
mod info;
mod loads;
mod readers_agree;
mod recorded;
mod replay;
mod resets;
mod send;
mod tcp_info;
mod tracefs;
mod zero_window;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::thread;

use serde_json::Value;

use self::container::Container;
use self::drop_reasons::Mishaps;
use self::drops::Drops;
use self::recorded::{Recorded, Recorder};
use self::resets::Resets;
use self::send::Sends;
use self::zero_window::ZeroWindows;
use crate::support::{
    EVENTS, Fixture, FtraceEvents, Netns, Pingpong, Reader, Seen, Server, Timer, Told, again,
    drive, guest, has_cc, has_tracepoint, skip, traffic_in,
};

/// Those of which a test compares samples with what `TCP_INFO` told, and the samples of different readers.
const ALGORITHMS: [&str; 4] = ["cubic", "reno", "bbr", "dctcp"];

const RING: &str = "ringbuf";
const PERF: &str = "perfbuf";

/// All event types by the readers of the socket, samples by that of the tracepoint's record.
const RECORDERS: [(Reader, &str); 6] = [
    (Reader::Sock, RING),
    (Reader::Raw, RING),
    (Reader::Sock, PERF),
    (Reader::Raw, PERF),
    (Reader::Record, RING),
    (Reader::Record, PERF),
];

/// What makes events of each event type.
const DRIVES: [&str; 8] = [
    "retransmit",
    "synack_retransmit",
    "state",
    "reset_sent",
    "rcv_space",
    "error",
    "cong_state",
    "rcvbuf_grow",
];

/// Of the packets that clients send, and servers, in the act `mapped`.
const MARK_OF_CLIENTS: u32 = 0xdead_beef;
const MARK_OF_SERVERS: u32 = 0x4d;

/// How `TCP_INFO` is compared with the samples.
fn pingpong_with_tcp_info(cc: &'static str) -> Pingpong {
    Pingpong { cc, request: 100, response: 100, count: 100, interval: "10ms" }
}

struct Scenario {
    /// All that its acts have.
    ports: Vec<u16>,
    acts: Vec<Act>,
    /// Acts of which more is known than what tracefs shows.
    container: Option<Container>,
    drops: Played<Drops>,
    mishaps: Mishaps,
    resets: Played<Resets>,
    sends: Option<Played<Sends>>,
    zero_windows: Played<ZeroWindows>,
    recorded: Vec<Recorded>,
    /// The kernel's own trace of the event types that have a tracepoint.
    told: Told,
    /// The kernel's own trace of tcp_probe.
    seen: Vec<Seen>,
}

/// A part of it, with ports of its own.
struct Act {
    /// What a drive is of, or what is done and the algorithm: `pingpong cubic`.
    name: String,
    ports: Vec<u16>,
    /// What the traffic printed.
    lines: Vec<Value>,
}

/// How often an act is played at most.
const TURNS: u16 = 3;

/// What is known of an act whose events the host may have hidden from programs.
struct Played<T> {
    truth: T,
    /// Why events of it may be missing.
    hidden: Option<String>,
}

impl<T> Played<T> {
    /// Plays the act until nothing is hidden, or no more than so many times. A scenario that fails here would fail all its tests.
    fn play(mut turn: impl FnMut() -> (T, Result<(), String>)) -> Self {
        for _ in 1..TURNS {
            match turn() {
                (truth, Ok(())) => return Played { truth, hidden: None },
                (_, Err(reason)) => again(&reason),
            };
        }
        let (truth, whole) = turn();
        Played { truth, hidden: whole.err() }
    }

    /// Whether this is why something is missing. Then the test that asks is skipped.
    fn explains(&self, missing: bool) -> bool {
        let reason = self.hidden.as_ref().filter(|_| missing);
        reason.inspect(|reason| skip(reason, true)).is_some()
    }
}

/// The scenario of this process.
fn scenario() -> &'static Scenario {
    static SCENARIO: LazyLock<Scenario> = LazyLock::new(Scenario::run);
    &SCENARIO
}

impl Scenario {
    fn run() -> Self {
        let mut ports = Ports::new();
        let all = ports.all();
        let there = |event_type: &&str| {
            !["drop", "send"].contains(event_type) && has_tracepoint(event_type)
        };
        let event_types: Vec<&str> = EVENTS.iter().copied().filter(there).collect();
        let ftrace = FtraceEvents::start(&event_types, &all);
        // Those that print, too, make the machine busy, which an emulated one is anyway.
        let printing = |recorder| match recorder {
            (Reader::Sock, RING) => true,
            (Reader::Raw, PERF) => !guest(),
            _ => false,
        };
        let start = |recorder: (Reader, _)| {
            Recorder::start(recorder.0, recorder.1, &all, printing(recorder))
        };
        let recorders: Vec<Recorder> =
            timed("the starts", || RECORDERS.into_iter().map(start).collect());

        let mut waiting = ports.part(2 * TURNS);
        let mut acts = Vec::new();
        let closed = ports.next();
        let (zero_windows, drops, mishaps, resets, sends, container) = thread::scope(|scope| {
            // Beside the others, as it mostly waits for probes.
            let play = move || timed("zero_window", || zero_window::play(&mut waiting));
            let zero_windows = scope.spawn(play);
            for name in DRIVES.iter().filter(|name| has_tracepoint(name)) {
                let mut fixture = Fixture::at(ports.next(), ports.next());
                timed(name, || drive(&mut fixture, name));
                let ports = vec![fixture.port, fixture.closed];
                acts.push(Act { name: (*name).to_owned(), ports, lines: Vec::new() });
            }
            for cc in ALGORITHMS.into_iter().filter(|cc| has_cc(cc)) {
                acts.push(timed("pingpong", || pingpong(cc, ports.next())));
                acts.push(timed("transfers", || transfers(cc, ports.next())));
            }
            acts.push(timed("mapped", || mapped(ports.next())));
            let drops = timed("drops", || drops::play(&mut ports, closed));
            let mishaps = timed("drop_reasons", || drop_reasons::play(&mut ports));
            let resets = timed("resets", || resets::play(&mut ports, closed));
            let sends = has_tracepoint("send").then(|| timed("sends", || send::play(&mut ports)));
            let container = timed("container", || container::play(ports.next()));
            (zero_windows.join().expect("no panic"), drops, mishaps, resets, sends, container)
        });

        let recorded = timed("the ends", || recorders.into_iter().map(Recorder::stop).collect());
        let (told, seen) = timed("the kernel's trace", || ftrace.stop());
        Scenario {
            ports: all,
            acts,
            container,
            drops,
            mishaps,
            resets,
            sends,
            zero_windows,
            recorded,
            told,
            seen,
        }
    }

    /// The act of that name; `None` where this kernel cannot play it.
    fn act(&self, name: &str) -> Option<&Act> {
        self.acts.iter().find(|act| act.name == name)
    }

    /// The server's port in the act of that name, which every kernel can play.
    #[track_caller]
    fn port_of(&self, name: &str) -> u16 {
        self.act(name).unwrap_or_else(|| panic!("no act {name}")).ports[0]
    }

    /// What that reader recorded by that transport.
    fn by(&self, reader: &str, transport: &str) -> &Recorded {
        let wanted = |recorded: &&Recorded| recorded.is_by(reader, transport);
        self.recorded.iter().find(wanted).unwrap_or_else(|| panic!("no {reader} by {transport}"))
    }

    /// The programs that its recorders have loaded.
    fn programs(&self) -> BTreeSet<String> {
        self.recorded.iter().flat_map(|recorded| recorded.programs()).collect()
    }
}

/// Plays a part of it, and logs how long that takes.
fn timed<T>(part: &str, play: impl FnOnce() -> T) -> T {
    let timer = Timer::start("act");
    let played = play();
    timer.log(part);
    played
}

/// Replies one after the other; after each, what `TCP_INFO` tells of the client's socket.
fn pingpong(cc: &'static str, port: u16) -> Act {
    let ns = Netns::new();
    let server = Server::start_in(&ns.launch(), &format!("127.0.0.1:{port}"), Some(cc));
    let lines = pingpong_with_tcp_info(cc).run_in(&ns.launch(), server.addr);
    server.settle();
    drop(server);
    ns.settle();
    Act { name: format!("pingpong {cc}"), ports: vec![port], lines }
}

/// Many packets, some of which get lost, so that not all is zero that could be. All on one CPU: so between the programs of one
/// event, which run one after the other, nothing moves but the clocks, and what a packet that interrupts them does before it has
/// the socket's lock.
fn transfers(cc: &str, port: u16) -> Act {
    let ns = Netns::new();
    ns.run(&["ip", "link", "set", "lo", "mtu", "3000"]);
    // An emulated machine takes long for it: less is sent, and as much lost.
    let (percent, large, small, count) =
        if guest() { (2, "500000", "500000", "50") } else { (1, "3000000", "1000000", "100") };
    let lossy = format!("tcp flags != syn / syn,ack numgen random mod 100 < {percent} drop");
    ns.firewall("input", &[&lossy]);
    let launch = ns.launch().on_cpu(0);
    let server = Server::start_in(&launch, &format!("[::]:{port}"), Some(cc));
    for to in ["127.0.0.1", "[::1]"] {
        let to = format!("{to}:{port}");
        traffic_in(&launch, &["bulk", "--to", &to, "--cc", cc, "--bytes", large]);
        traffic_in(&launch, &["bulk", "--to", &to, "--cc", cc, "--bytes", small, "--download"]);
        traffic_in(
            &launch,
            &["pingpong", "--to", &to, "--cc", cc, "--count", count, "--interval", "1ms"],
        );
    }
    server.settle();
    drop(server);
    ns.settle();
    Act { name: format!("transfers {cc}"), ports: vec![port], lines: Vec::new() }
}

/// IPv4 by IPv6 sockets, on both CPUs, by several connections, each side's packets with a mark.
fn mapped(port: u16) -> Act {
    let ns = Netns::new();
    ns.firewall(
        "output",
        &[
            &format!("tcp sport 1-32767 meta mark set {MARK_OF_SERVERS}"),
            &format!("tcp sport 32768-65535 meta mark set {MARK_OF_CLIENTS}"),
        ],
    );
    let server = Server::start_in(&ns.launch(), &format!("[::]:{port}"), None);
    let to = format!("[::ffff:127.0.0.1]:{port}");
    traffic_in(&ns.launch(), &["bulk", "--to", &to, "--bytes", "3000000", "--parallel", "2"]);
    traffic_in(&ns.launch(), &["bulk", "--to", &to, "--bytes", "1000000", "--download"]);
    let sizes = ["--request", "100", "--response", "3000"];
    let args = ["pingpong", "--to", &to, "--count", "100", "--interval", "1ms"];
    traffic_in(&ns.launch(), &[&args[..], &sizes[..]].concat());
    server.settle();
    drop(server);
    ns.settle();
    Act { name: "mapped".to_owned(), ports: vec![port], lines: Vec::new() }
}

/// Ports that no other test uses, and no other run of the tests but by accident.
struct Ports {
    first: u16,
    taken: u16,
    count: u16,
}

impl Ports {
    const COUNT: u16 = 64;

    fn new() -> Self {
        // Between those of single tests and those that the kernel gives to clients.
        Ports {
            first: 30_000 + (std::process::id() % 40) as u16 * Self::COUNT,
            taken: 0,
            count: Self::COUNT,
        }
    }

    fn all(&self) -> Vec<u16> {
        (self.first..self.first + Self::COUNT).collect()
    }

    fn next(&mut self) -> u16 {
        self.part(1).first
    }

    /// The next ones, for an act that is played beside others.
    fn part(&mut self, count: u16) -> Ports {
        self.taken += count;
        assert!(self.taken <= self.count, "more acts than ports");
        Ports { first: self.first + self.taken - count, taken: 0, count }
    }
}
