//! The validated options: all that the rest of the program sees of the command line.

mod export;
pub mod observe;
mod recording;
pub mod summary;
pub mod zone;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

pub use self::export::{Export, Given, Otlp, Reload, Targets};
pub use self::recording::{Flight, Keep, Parts, Point, Read, Recording};
use self::summary::SummaryOptions;
use self::zone::Net;
use crate::anonymize;
use crate::assertion::run::Assertions;
use crate::events::View;
use crate::predicate::Predicate;
use crate::sink::template::Piece;
use crate::sink::{Format, text};

/// How `probe` is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The tracepoint's own record.
    Record,
    /// `struct tcp_sock` with direct loads (tp_btf).
    Sock,
    /// `struct tcp_sock` with probe reads (raw_tp).
    Raw,
}

impl Reader {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reader::Record => "record",
            Reader::Sock => "sock",
            Reader::Raw => "raw",
        }
    }
}

/// How records travel to user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    RingBuf,
    PerfBuf,
}

impl Transport {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Transport::RingBuf => "ring buffer",
            Transport::PerfBuf => "perf buffers",
        }
    }
}

/// AND across fields, OR within a list; an empty list matches everything.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    pub port: Vec<RangeInclusive<u16>>,
    pub lport: Vec<RangeInclusive<u16>>,
    pub rport: Vec<RangeInclusive<u16>>,
    pub addr: Vec<Net>,
    pub laddr: Vec<Net>,
    pub raddr: Vec<Net>,
    pub ipv4_only: bool,
    pub ipv6_only: bool,
    pub pid: Vec<u32>,
    pub uid: Vec<u32>,
    /// As in the kernel: up to 15 bytes and a NUL.
    pub comm: Vec<[u8; 16]>,
    /// IDs of v2 cgroups.
    pub cgroup: Vec<u64>,
    /// Inodes.
    pub netns: Vec<u64>,
    /// Names that recordings know.
    pub netns_names: Vec<String>,
    pub ifindex: Vec<u32>,
    pub mark: Vec<u32>,
    pub cc: Vec<[u8; 16]>,
    pub cookie: Vec<u64>,
    /// The two ends of a connection; the zone of a link-local one is its scope.
    pub follow: Option<[SocketAddr; 2]>,
}

impl Filters {
    /// Whether any of them needs the owner.
    #[must_use]
    pub fn by_owner(&self) -> bool {
        !self.pid.is_empty() || !self.comm.is_empty()
    }

    /// The options that are given.
    #[must_use]
    pub fn any(&self) -> Vec<&'static str> {
        let given = [
            ("--port", !self.port.is_empty()),
            ("--lport", !self.lport.is_empty()),
            ("--rport", !self.rport.is_empty()),
            ("--addr", !self.addr.is_empty()),
            ("--laddr", !self.laddr.is_empty()),
            ("--raddr", !self.raddr.is_empty()),
            ("--ipv4", self.ipv4_only),
            ("--ipv6", self.ipv6_only),
            ("--pid", !self.pid.is_empty()),
            ("--uid", !self.uid.is_empty()),
            ("--comm", !self.comm.is_empty()),
            ("--cgroup", !self.cgroup.is_empty()),
            ("--netns", !self.netns.is_empty() || !self.netns_names.is_empty()),
            ("--iface", !self.ifindex.is_empty()),
            ("--mark", !self.mark.is_empty()),
            ("--cc", !self.cc.is_empty()),
            ("--cookie", !self.cookie.is_empty()),
            ("--follow", self.follow.is_some()),
        ];
        given.into_iter().filter_map(|(option, given)| given.then_some(option)).collect()
    }

    /// Whether any address has a zone.
    #[must_use]
    pub fn has_zones(&self) -> bool {
        let nets = [&self.addr, &self.laddr, &self.raddr];
        nets.into_iter().flatten().any(|net| net.ifindex != 0)
            || self.follow.into_iter().flatten().any(|end| zone::of_end(end) != 0)
    }

    /// The first option, if any, that needs `struct sock`.
    #[must_use]
    pub fn by_socket(&self) -> Option<&'static str> {
        [
            ("--pid", !self.pid.is_empty()),
            ("--comm", !self.comm.is_empty()),
            ("--uid", !self.uid.is_empty()),
            ("--cgroup", !self.cgroup.is_empty()),
            ("--netns", !self.netns.is_empty()),
            ("--iface", !self.ifindex.is_empty()),
            ("--mark", !self.mark.is_empty()),
            ("--cc", !self.cc.is_empty()),
            ("an address with a zone", self.has_zones()),
        ]
        .into_iter()
        .find_map(|(option, given)| given.then_some(option))
    }
}

/// Events per time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub interval_ns: u64,
    /// The largest burst: a tenth of a second's worth, at least one event.
    pub burst_ns: u64,
}

impl Rate {
    const BURST_NS: u64 = 100_000_000;

    #[must_use]
    pub fn new(events: u64, per: Duration) -> Self {
        let per_ns = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        let interval_ns = (per_ns / events.max(1)).max(1);
        Rate { interval_ns, burst_ns: Rate::BURST_NS }
    }
}

/// Limits on the events that match the filters.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub duration: Option<Duration>,
    pub count: Option<u64>,
    /// One in N events of each connection.
    pub sample: Option<u32>,
    pub every: Option<Duration>,
    pub on_change: bool,
    pub rate: Option<Rate>,
    pub rate_per_conn: Option<Rate>,
}

impl Limits {
    /// Whether any of them keeps state per connection.
    #[must_use]
    pub fn per_connection(&self) -> bool {
        self.sample.is_some()
            || self.every.is_some()
            || self.on_change
            || self.rate_per_conn.is_some()
    }
}

/// The events of its type that a command shows.
#[derive(Clone, Debug, Default)]
pub struct EventFilters {
    /// Only failed connections.
    pub failed: bool,
    /// The minimum duration.
    pub min_duration: Option<Duration>,
    /// List the connections that are open at the start.
    pub list_open: bool,
}

/// The clock used for `time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeMode {
    #[default]
    Wall,
    Mono,
    Relative,
}

/// Which columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fields {
    #[default]
    Standard,
    All,
    /// By name, in this order.
    Named(Vec<String>),
}

/// What the programs do with the events that match the filters; any of these together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions {
    /// Count them.
    pub count: bool,
    /// Aggregate them, by `Config::summary`.
    pub aggregate: bool,
    /// Send each to the reader. Limits are of these only.
    pub record: bool,
}

impl Default for Actions {
    fn default() -> Self {
        Actions { count: false, aggregate: false, record: true }
    }
}

/// What an output has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    #[default]
    Events,
    Summaries,
}

/// One output: a format, and where it goes.
#[derive(Clone, Debug)]
pub struct Destination {
    pub content: Content,
    pub format: &'static Format,
    /// `None`: standard output.
    pub path: Option<PathBuf>,
    pub color: bool,
    /// Each summary replaces the previous one on the screen.
    pub redraw: bool,
    /// The maximum number of rows of a summary.
    pub rows: Option<usize>,
}

impl Destination {
    #[must_use]
    pub fn new(format: &'static Format, path: Option<PathBuf>) -> Self {
        let content = Content::default();
        Destination { content, format, path, color: false, redraw: false, rows: None }
    }
}

/// What is printed, and where.
#[derive(Clone, Debug)]
pub struct Output {
    /// At least one, unless events are only recorded.
    pub destinations: Vec<Destination>,
    pub recording: Option<Recording>,
    /// A failure of any of them ends the trace.
    pub strict: bool,
    pub fields: Fields,
    /// The line template of --format, instead of a format; `fields` are those that it names.
    pub template: Option<Vec<Piece>>,
    /// The command's columns in the text format, instead of those of the event type.
    pub view: Option<View>,
    pub time: TimeMode,
    pub header: bool,
    pub quiet: bool,
    pub verbose: bool,
    pub stats: Option<Duration>,
    /// Record the kernel stack with `drop`.
    pub stack: bool,
    /// Show what limits connections with `life` and `top`.
    pub limits: bool,
}

impl Output {
    /// --trigger
    #[must_use]
    pub fn trigger(&self) -> Option<&Predicate> {
        self.recording.as_ref()?.parts.as_ref()?.flight.as_ref()?.trigger.as_ref()
    }
}

/// Text on standard output.
impl Default for Output {
    fn default() -> Self {
        Output {
            destinations: vec![Destination::new(&text::FORMAT, None)],
            recording: None,
            strict: false,
            fields: Fields::default(),
            template: None,
            view: None,
            time: TimeMode::default(),
            header: false,
            quiet: false,
            verbose: false,
            stats: None,
            stack: false,
            limits: false,
        }
    }
}

/// How the kernel is traced; `None`: chosen automatically.
#[derive(Clone, Debug, Default)]
pub struct KernelOptions {
    pub reader: Option<Reader>,
    pub transport: Option<Transport>,
    pub buffer_size: Option<u32>,
    /// Connections tracked at a time.
    pub max_conns: Option<u32>,
    /// Of the kernel's memory for all maps.
    pub max_map_bytes: Option<u64>,
    /// Have the kernel measure the run time of programs.
    pub bpf_stats: bool,
    pub btf: Option<PathBuf>,
    /// Infer event types from other tracepoints even if the kernel has their own.
    pub inferred: bool,
    /// Read the connections of `observe` one by one, as on a kernel that refuses iterators over maps.
    pub one_by_one: bool,
    /// Niceness of the tracer.
    pub nice: Option<i32>,
}

/// One trace; by default, of everything, as text.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub filters: Filters,
    pub limits: Limits,
    pub event_filters: EventFilters,
    /// The condition that events must match.
    pub predicate: Option<Predicate>,
    /// What must hold at the end of the run.
    pub assertions: Option<Assertions>,
    pub output: Output,
    pub read: Read,
    pub kernel_options: KernelOptions,
    /// What identifies hosts and people is not printed.
    pub anonymize: Option<anonymize::Options>,
    /// Trace only the connections of this command.
    pub command: Vec<OsString>,
    pub actions: Actions,
    /// Which aggregates are made, by the programs or from records.
    pub summary: Option<SummaryOptions>,
    /// Where its totals go as metrics, instead of being printed.
    pub export: Option<Export>,
    /// Only connections in the gate are recorded, which has room for that many: see `loader::Gate`.
    pub gate: Option<u32>,
}

/// A usage error, in one line.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A run that cannot answer what was asserted, in one line.
#[derive(Debug)]
pub struct NoAnswer(pub String);

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAnswer {}
