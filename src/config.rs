//! What the user asked for, checked: the only thing the rest of the program sees of the command line.

pub mod summary;
pub mod zone;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use self::summary::SummaryOptions;
use self::zone::Net;
use crate::events::View;
use crate::sink::template::Piece;

/// How the kernel's tcp_probe is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The tracepoint's own record.
    Record,
    /// `struct tcp_sock`, by direct loads (tp_btf).
    Sock,
    /// `struct tcp_sock`, by probe reads (raw_tp).
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

/// AND across fields, OR within a list; an empty list lets everything through.
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
    /// As the kernel keeps names: 15 bytes and a NUL.
    pub comm: Vec<[u8; 16]>,
    /// Ids of v2 groups.
    pub cgroup: Vec<u64>,
    /// Inodes.
    pub netns: Vec<u64>,
    pub ifindex: Vec<u32>,
    pub mark: Vec<u32>,
    pub cc: Vec<[u8; 16]>,
    pub cookie: Vec<u64>,
    /// The two ends of a connection; the zone of a link-local one is its scope.
    pub follow: Option<[SocketAddr; 2]>,
}

impl Filters {
    /// Those that need the owner to be known.
    #[must_use]
    pub fn by_owner(&self) -> bool {
        !self.pid.is_empty() || !self.comm.is_empty()
    }

    /// Is an address of one interface only?
    #[must_use]
    pub fn has_zones(&self) -> bool {
        let nets = [&self.addr, &self.laddr, &self.raddr];
        nets.into_iter().flatten().any(|net| net.ifindex != 0)
            || self.follow.into_iter().flatten().any(|end| zone::of_end(end) != 0)
    }

    /// Those that need `struct sock`; named by option for the message.
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
    /// What may be saved up: a tenth of a second's worth, at least one event.
    pub burst_ns: u64,
}

impl Rate {
    const BURST_NS: u64 = 100_000_000;

    /// `events` per `per`.
    #[must_use]
    pub fn new(events: u64, per: Duration) -> Self {
        let per_ns = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        let interval_ns = (per_ns / events.max(1)).max(1);
        Rate { interval_ns, burst_ns: Rate::BURST_NS }
    }
}

/// Less of what the filters let through.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub duration: Option<Duration>,
    pub count: Option<u64>,
    /// 1 in N of a connection.
    pub sample: Option<u32>,
    pub every: Option<Duration>,
    pub on_change: bool,
    pub rate: Option<Rate>,
    pub rate_per_conn: Option<Rate>,
}

impl Limits {
    /// Those that keep state per connection.
    #[must_use]
    pub fn per_connection(&self) -> bool {
        self.sample.is_some()
            || self.every.is_some()
            || self.on_change
            || self.rate_per_conn.is_some()
    }
}

/// What a command shows of its event type.
#[derive(Clone, Debug, Default)]
pub struct EventFilters {
    /// Connections that did not come about.
    pub failed: bool,
    /// What took at least so long.
    pub least: Option<Duration>,
    /// Before all else the connections that are open already.
    pub list_open: bool,
}

/// How events are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Text,
    Jsonl,
    Csv,
}

/// What `time` holds.
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
    /// By name, in that order.
    Named(Vec<String>),
}

#[derive(Clone, Debug, Default)]
pub struct Output {
    pub format: Format,
    pub fields: Fields,
    /// Lines of the user's own making, instead of the format; `fields` are then what it names.
    pub template: Option<Vec<Piece>>,
    /// The command's own columns in the text format, instead of those of the event type.
    pub view: Option<View>,
    pub time: TimeMode,
    pub header: bool,
    pub color: bool,
    pub quiet: bool,
    pub verbose: bool,
    pub stats: Option<Duration>,
    /// A summary takes the place of the one before it on the screen.
    pub redraw: bool,
    /// Of `drop`: the kernel's stack.
    pub stack: bool,
}

/// How the kernel is tapped; `None`: what fits best.
#[derive(Clone, Debug, Default)]
pub struct KernelOptions {
    pub reader: Option<Reader>,
    pub transport: Option<Transport>,
    pub buffer_size: Option<u32>,
    /// Connections that are remembered at a time.
    pub max_conns: Option<u32>,
    pub btf: Option<PathBuf>,
    /// As if the kernel lacked the tracepoint of an event type that can do without.
    pub inferred: bool,
    /// Our own niceness while we trace.
    pub nice: Option<i32>,
}

/// One trace; by default of everything, as text.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub filters: Filters,
    pub limits: Limits,
    pub event_filters: EventFilters,
    pub output: Output,
    pub kernel_options: KernelOptions,
    /// Trace only the connections of this command.
    pub command: Vec<OsString>,
    /// Count, and print no events.
    pub summary: Option<SummaryOptions>,
}

/// A mistake in what was asked, in one line.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}
