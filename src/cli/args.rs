//! The options that every tracing command has, in their groups.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::template::LineTemplate;
use super::zone::Zoned;
use super::{parse, template};
use crate::config::Rate;

/// The options of every tracing command.
#[derive(Args, Debug)]
pub struct TraceArgs {
    #[command(flatten)]
    pub filters: FilterArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub kernel_options: KernelArgs,
    /// Run this command and trace only the connections of it and its children; ends with it, with its status.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Filters (in the kernel; AND between options, OR within a list)")]
pub struct FilterArgs {
    /// Either port is one of these: 80,443,8000-8999.
    #[arg(short = 'P', long, value_name = "PORTS", value_delimiter = ',', value_parser = parse::ports)]
    pub port: Vec<RangeInclusive<u16>>,
    /// The local port is one of these.
    #[arg(short = 'L', long, value_name = "PORTS", value_delimiter = ',', value_parser = parse::ports)]
    pub lport: Vec<RangeInclusive<u16>>,
    /// The peer's port is one of these.
    #[arg(short = 'R', long, value_name = "PORTS", value_delimiter = ',', value_parser = parse::ports)]
    pub rport: Vec<RangeInclusive<u16>>,
    /// Either address is in one of these: 10.0.0.1,192.0.2.0/24,2001:db8::/32, fe80::1%eth0 with the interface.
    #[arg(long, value_name = "NETS", value_delimiter = ',', value_parser = parse::net)]
    pub addr: Vec<Zoned<IpNet>>,
    /// The local address is in one of these.
    #[arg(long, value_name = "NETS", value_delimiter = ',', value_parser = parse::net)]
    pub laddr: Vec<Zoned<IpNet>>,
    /// The peer's address is in one of these.
    #[arg(long, value_name = "NETS", value_delimiter = ',', value_parser = parse::net)]
    pub raddr: Vec<Zoned<IpNet>>,
    /// IPv4 only, IPv4-mapped connections too.
    #[arg(short = '4', long = "ipv4", conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 only.
    #[arg(short = '6', long = "ipv6")]
    pub ipv6: bool,
    /// Held by one of these processes, which must be there at the start.
    #[arg(short, long, value_name = "PIDS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Vec<u32>,
    /// Owned by one of these users, by number.
    #[arg(long, value_name = "UIDS", value_delimiter = ',', value_parser = parse::uid)]
    pub uid: Vec<u32>,
    /// Held by a process of one of these names, as they are printed: `\xNN` is the byte NN.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse::comm)]
    pub comm: Vec<[u8; 16]>,
    /// Made in this v2 cgroup or below; a path, also relative to the cgroup2 mount.
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<PathBuf>,
    /// In this network namespace: inode, path, pid:N or a name of ip-netns.
    #[arg(long, value_name = "NETNS")]
    pub netns: Vec<String>,
    /// Bound to this interface, or received or sent on it; a name is looked up in --netns, else in our namespace.
    #[arg(long, value_name = "IFACES", value_delimiter = ',')]
    pub iface: Vec<String>,
    /// With this mark, of the packet or the socket: 77 or 0x4d.
    #[arg(long, value_name = "MARKS", value_delimiter = ',', value_parser = parse::number32)]
    pub mark: Vec<u32>,
    /// Under one of these congestion-control algorithms.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse::comm)]
    pub cc: Vec<[u8; 16]>,
    /// These connections (SO_COOKIE; 0x… as ss prints them).
    #[arg(long, value_name = "COOKIES", value_delimiter = ',', value_parser = parse::cookie)]
    pub cookie: Vec<u64>,
    /// One connection: its cookie, or both of its ends, which shows either: 10.0.0.1:80-10.0.0.2:4321, [::1]:80-[::1]:4321.
    #[arg(long, value_name = "CONN", value_parser = parse::follow, conflicts_with = "cookie")]
    pub follow: Option<parse::Follow>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// End after this time: 10s, 5min.
    #[arg(short, long, value_name = "TIME", value_parser = parse::duration)]
    pub duration: Option<Duration>,
    /// End after this many events.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// One of N samples (`probe`) of each connection.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: Option<u32>,
    /// At most one sample of each connection in this time: 10ms.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub every: Option<Duration>,
    /// Only where snd_cwnd, snd_ssthresh or ca_state moved since the connection's last sample.
    #[arg(long)]
    pub on_change: bool,
    /// At most so many events: 200/s.
    #[arg(long, value_name = "N/s", value_parser = parse::rate)]
    pub rate: Option<Rate>,
    /// At most so many events of each connection: 10/s.
    #[arg(long, value_name = "N/s", value_parser = parse::rate)]
    pub rate_per_conn: Option<Rate>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// The format.
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Text)]
    pub output: OutputFormat,
    /// These fields in this order; `bbr` means all of bbr's. See tcc-trace schema.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "all_fields")]
    pub fields: Vec<String>,
    /// Everything that the kernel knows of the connection; as text on lines below the event's own.
    #[arg(short, long)]
    pub all_fields: bool,
    /// A line for each event: '{time} {saddr}:{sport} {snd_cwnd:>6}'. Columns as in tcc-trace schema, and `type`.
    #[arg(long, value_name = "TEMPLATE", value_parser = template::template, conflicts_with_all = ["output", "fields", "all_fields"])]
    pub format: Option<LineTemplate>,
    /// What `time` holds.
    #[arg(long, value_enum, default_value_t = TimeArg::Wall)]
    pub time: TimeArg,
    /// No titles (text, csv).
    #[arg(long)]
    pub no_header: bool,
    /// Colours in the text format.
    #[arg(long, value_enum, default_value_t = ColorArg::Auto)]
    pub color: ColorArg,
    /// What became of the events so far, this often.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub stats: Option<Duration>,
    /// Nothing on stderr but errors and warnings.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say how it is done, and what libbpf and the verifier say.
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Kernel")]
pub struct KernelArgs {
    /// How tcp_probe is read: the tracepoint's record, or struct tcp_sock.
    #[arg(long, value_enum, default_value_t = ReaderArg::Auto)]
    pub reader: ReaderArg,
    /// How events reach us.
    #[arg(long, value_enum, default_value_t = TransportArg::Auto)]
    pub transport: TransportArg,
    /// Size of the event buffer: 8M; rounded up to a power of two, of perf buffers to one for each CPU.
    #[arg(long, value_name = "BYTES", value_parser = parse::size)]
    pub buffer_size: Option<u32>,
    /// Connections that are remembered at a time, for owners, limits and times: 65536; those that are idle longest make room.
    /// And processes of a command: 16384; the others are not traced, and a warning is printed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub max_conns: Option<u32>,
    /// Niceness of tcc-trace itself while it traces; -10 if it may and none was chosen (nice).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(-20..=19), allow_negative_numbers = true)]
    pub nice: Option<i32>,
    /// Types of the kernel, where it has none of its own.
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns for people.
    Text,
    /// One JSON object a line.
    Jsonl,
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimeArg {
    /// RFC 3339, UTC.
    Wall,
    /// Seconds of CLOCK_MONOTONIC.
    Mono,
    /// Seconds since the start of the trace.
    Rel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorArg {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReaderArg {
    /// What costs least and has what is asked.
    Auto,
    /// The tracepoint's record: standard fields.
    Record,
    /// Direct loads of struct tcp_sock.
    Sock,
    /// Probe reads of struct tcp_sock, for old kernels.
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TransportArg {
    /// The ring buffer where there is one.
    Auto,
    Ringbuf,
    /// Per-CPU perf buffers.
    Perfbuf,
}
