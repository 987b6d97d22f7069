//! What the tests share: where programs are, running them, waiting, skipping.
//!
//! Nothing here sleeps for a fixed time: a wait ends with what it waits for, and fails after [`patience`].

#![allow(dead_code)]

mod align;
mod buckets;
mod cgroup;
mod checked;
mod drives;
mod drops;
#[macro_use]
mod expect;
mod exported;
mod fixture;
mod ftrace;
mod ftrace_events;
mod hidden;
mod launch;
mod link;
mod metrics;
mod moving;
mod netns;
mod one_cpu;
mod orders;
mod relay;
mod role;
pub mod run;
mod schema;
#[macro_use]
mod filtered;
mod flood;
mod socket_options;
mod sockets;
mod ss;
mod tcc;
mod tcp_options;
mod test_process;
#[path = "../support/mod.rs"]
pub mod texts;
mod times;
pub mod tmux;
mod tracer;
mod traffic;
mod uring;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use self::align::align;
pub use self::buckets::{Buckets, bucket_of, buckets, check_row, check_schema, network, printed};
pub use self::cgroup::Cgroup;
pub use self::checked::{CHECKED, CHECKED_TEXT};
pub use self::drives::drive;
pub use self::drops::{DropCalls, Lossy, RIGHT, Truth, check_addresses, counted};
pub use self::expect::{Expected, Wanted, assert_event, assert_events, null, null_or, one_of};
pub use self::exported::{Exported, analytics, drawn, exported, in_order, json_by_python, python};
pub use self::ftrace::{Ftrace, Instance, Seen, maybe_unseen, pairs, time_us};
pub use self::ftrace_events::{EVENTS, FtraceEvents, INFERRED, Told, has_tracepoint, hook, tells};
pub use self::hidden::{Hidden, OF_CONNECTIONS};
pub use self::launch::{Launch, Program};
pub use self::link::{Link, LinkPacket, tc_counted};
pub use self::metrics::{Exporter, Scrape, http};
pub use self::moving::{LEARNT, TICKS, UNLOCKED, tick};

pub use self::filtered::{
    FilteredTracers, QUICK, is_one_of, named, pingpong, unique_port, unique_ports,
};
pub use self::fixture::{FAMILIES, Fixture};
pub use self::flood::{Flood, flooding, overflow};
pub use self::netns::{Counters, MACS, Netns, Pair, counters as kernel_counters};
pub use self::one_cpu::OneCpu;
pub use self::orders::{AcceptCall, Pace, Socket, SocketOption};
pub use self::relay::{Relay, Way, has_tun};
pub use self::run::{ACCEPT, EPOLL_WAIT, Running, in_call, terminal};
pub use self::schema::{columns, invalid, record, schema};
pub use self::socket_options::tcp_info;
pub use self::sockets::{
    CLOSE_WAIT, ESTABLISHED, FIN_WAIT2, LAST_ACK, LISTEN, SYN_RECV, SocketEntry,
};
pub use self::ss::Ss;
pub use self::tcc::{Reader, Tcc};
pub use self::tcp_options::{TcpOption, set_tcp};
pub use self::test_process::TestProcess;
pub use self::times::{Timer, compared};
pub use self::tracer::{Output, PARTS, Trace, Tracer, cells, leaves, parse, text, u64_of};
pub use self::traffic::{Pingpong, Server, traffic, traffic_in};
pub use self::uring::Uring;

/// How long anything may take. An emulated machine on a busy host is slow: bpftrace alone has taken more than a minute to start.
pub fn patience() -> Duration {
    Duration::from_secs(if guest() { 180 } else { 60 })
}

/// Leaves the test if the condition does not hold, and says so. Where all must run (CI, the guests) that is a failure,
/// unless the third argument says that it is legitimate on this kernel. With TCC_NO_SKIP it never is.
macro_rules! need {
    ($condition:expr, $why:expr) => {
        need!($condition, $why, legitimate: false)
    };
    ($condition:expr, $why:expr, legitimate: $legitimate:expr) => {
        if !$condition {
            $crate::support::skip($why, $legitimate);
            return;
        }
    };
}

/// The end of [`need!`].
pub fn skip(why: &str, legitimate: bool) {
    let never = std::env::var_os("TCC_NO_SKIP").is_some();
    let strict = guest() || std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!never && (legitimate || !strict), "would be skipped: {why}");
    note(&format!("skipped: {}: {why}", test_name()));
}

/// Do we run in a guest of `script/vm`?
pub fn guest() -> bool {
    std::env::var_os("TCC_GUEST").is_some()
}

/// Emulated machines are interrupted at every turn, and the kernel skips a program that it has interrupted: a turn in which
/// that happened is taken again. Anything else that is lost is an error.
#[track_caller]
pub fn is_whole(trace: &Trace) -> bool {
    let counters = trace.counters();
    assert_eq!(counters["lost"], counters["recursion_misses"], "{}", trace.end);
    counters["lost"] == 0
}

/// How often a turn may be taken. What makes one turn in ten incomplete does so to four in a row once in 10 000 times.
const TURNS: usize = 4;

/// The turns: one of them tells all.
#[track_caller]
pub fn some_turn(mut turn: impl FnMut() -> bool) {
    turns(|| turn().then_some(()).ok_or_else(|| "not every event was seen".to_owned()));
}

/// Runs the turn; if that could not see all events, prints the reason and runs it again.
#[track_caller]
pub fn turns<T>(mut turn: impl FnMut() -> Result<T, String>) -> T {
    for _ in 1..TURNS {
        match turn() {
            Ok(whole) => return whole,
            Err(reason) => again(&reason),
        };
    }
    turn().unwrap_or_else(|reason| panic!("in each of {TURNS} turns: {reason}"))
}

/// Prints why a turn is repeated; script/test counts these lines. Returns false.
pub fn again(reason: &str) -> bool {
    note(&format!("turn repeated: {}: {reason}", test_name()));
    false
}

/// Not by eprintln, which the test harness keeps to itself.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn test_name() -> String {
    std::thread::current().name().unwrap_or("?").to_owned()
}

/// [`is_whole`] with the reason, for [`turns`].
#[track_caller]
pub fn check_whole(trace: &Trace) -> Result<(), String> {
    if is_whole(trace) { Ok(()) } else { Err(format!("lost to recursion: {}", trace.end)) }
}

/// Are those seen enough of all? In a guest only all are; elsewhere some may be hidden (see support/ftrace.rs, maybe_unseen), but
/// that many percent are not.
pub fn enough(seen: usize, all: usize, percent: usize) -> bool {
    seen <= all && if guest() { seen == all } else { seen * 100 >= all * percent }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The running kernel, for what tests expect; the program itself never asks.
pub fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Can sockets run that congestion control here?
pub fn has_cc(name: &str) -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")
        .is_ok_and(|text| text.split_whitespace().any(|word| word == name))
}

/// Can this kernel make that qdisc? Tried on an interface of a namespace of its own.
pub fn has_qdisc(args: &[&str]) -> bool {
    let ns = Netns::new();
    ns.try_run(&[&["tc", "qdisc", "add", "dev", "lo", "root"], args].concat()).is_ok()
}

/// A name that no other test, and no other run of the tests, uses.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// CLOCK_MONOTONIC, which all records have.
pub fn mono_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Asks again and again, until there is an answer. What is waited for has at least half of a CPU: asking may run a program.
#[track_caller]
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        let asked = Instant::now();
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < patience(), "waited {} s for {what}", patience().as_secs());
        std::thread::sleep(asked.elapsed().max(Duration::from_millis(5)));
    }
}

/// `wait_for` a condition.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// A directory that goes with its owner.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(unique("tcc-e2e-"));
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        TempDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// tcc-trace, as built with these tests or as the guest has it.
pub fn tcc_trace() -> PathBuf {
    std::env::var_os("TCC_TRACE_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_tcc-trace").into(), PathBuf::from)
}

/// The example `traffic`, beside tcc-trace.
pub fn traffic_program() -> PathBuf {
    let path = std::env::var_os("TCC_TRAFFIC_BIN")
        .map_or_else(|| tcc_trace().with_file_name("examples").join("traffic"), PathBuf::from);
    assert!(path.exists(), "no {}: cargo build --example traffic", path.display());
    path
}

/// Hashes that the kernel makes of the instructions of the programs that a process holds, as relocated.
pub fn tags_of_programs(pid: u32) -> Vec<String> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("its files");
    let texts = files.flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok());
    let tag = |text: String| {
        text.lines().find_map(|line| line.strip_prefix("prog_tag:").map(str::to_owned))
    };
    let mut tags: Vec<String> = texts.filter_map(tag).collect();
    tags.sort();
    tags
}

/// Where cgroup v2 is mounted.
pub fn cgroup2() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|m| m[2] == "cgroup2")
        .map(|m| m[1].into())
}
