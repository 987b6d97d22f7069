//! Options shared by all tracing commands, in groups.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::outputs::{OutputArg, OutputParser};
use super::template::LineTemplate;
use super::zone::Zoned;
use super::{parse, template};
use crate::config::{Point, Rate};

/// Options shared by all tracing commands.
#[derive(Args, Debug)]
pub struct TraceArgs {
    #[command(flatten)]
    pub filters: FilterArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub recordings: RecordingArgs,
    #[command(flatten)]
    pub kernel_options: KernelArgs,
    /// Run this command, trace only its own and its children's connections, and exit with its status.
    #[arg(last = true, value_name = "CMD", help_heading = "Command to run")]
    pub command: Vec<OsString>,
}

#[derive(Args, Debug)]
#[command(
    next_help_heading = "Filters (a connection must match every option, and one value of each list)"
)]
pub struct FilterArgs {
    /// Match either port: 80,443,8000-8999.
    #[arg(short = 'P', long, value_name = "PORTS", value_delimiter = ',', value_parser = parse::ports)]
    pub port: Vec<RangeInclusive<u16>>,
    /// Match the local port.
    #[arg(short = 'L', long, value_name = "PORTS", value_delimiter = ',', value_parser = parse::ports)]
    pub lport: Vec<RangeInclusive<u16>>,
    /// Match the peer's port.
    #[arg(short = 'R', long, value_name = "PORTS", value_delimiter = ',', value_parser = parse::ports)]
    pub rport: Vec<RangeInclusive<u16>>,
    /// Match either address: 10.0.0.1,192.0.2.0/24.
    ///
    /// A link-local IPv6 address may name its interface: fe80::1%eth0.
    #[arg(long, value_name = "NETS", value_delimiter = ',', value_parser = parse::net)]
    pub addr: Vec<Zoned<IpNet>>,
    /// Match the local address.
    #[arg(long, value_name = "NETS", value_delimiter = ',', value_parser = parse::net)]
    pub laddr: Vec<Zoned<IpNet>>,
    /// Match the peer's address.
    #[arg(long, value_name = "NETS", value_delimiter = ',', value_parser = parse::net)]
    pub raddr: Vec<Zoned<IpNet>>,
    /// IPv4 only, including IPv4-mapped connections.
    #[arg(short = '4', long = "ipv4", conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 only.
    #[arg(short = '6', long = "ipv6")]
    pub ipv6: bool,
    /// Match the owning process, which must already be running.
    #[arg(short, long, value_name = "PIDS", value_delimiter = ',', value_parser = parse::positive::<u32>)]
    pub pid: Vec<u32>,
    /// Match the UID of the socket's owner: 1000.
    #[arg(long, value_name = "UIDS", value_delimiter = ',', value_parser = parse::uid)]
    pub uid: Vec<u32>,
    /// Match the owning process's name: nginx; `\xNN` is the byte NN.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse::comm)]
    pub comm: Vec<[u8; 16]>,
    /// Match sockets created in this v2 cgroup or below: /system.slice/nginx.service.
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<PathBuf>,
    /// Match a network namespace: an inode, a path, pid:4711, or a name known to `ip netns`.
    #[arg(long, value_name = "NETNS")]
    pub netns: Vec<String>,
    /// Match the interface that a socket is bound to or a packet passes: eth0, or a number.
    ///
    /// Names are looked up in the namespace of --netns, or else in that of tcc-trace.
    #[arg(long, value_name = "IFACES", value_delimiter = ',')]
    pub iface: Vec<String>,
    /// Match the mark of the packet or socket: 77 or 0x4d.
    #[arg(long, value_name = "MARKS", value_delimiter = ',', value_parser = parse::number32)]
    pub mark: Vec<u32>,
    /// Match the congestion-control algorithm: cubic,bbr.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse::comm)]
    pub cc: Vec<[u8; 16]>,
    /// Match connections by socket cookie, as `ss -e` prints it: 0x2a.
    #[arg(long, value_name = "COOKIES", value_delimiter = ',', value_parser = parse::cookie)]
    pub cookie: Vec<u64>,
    /// Follow one connection, by cookie or by both ends: 10.0.0.1:80-10.0.0.2:4321, [::1]:80-[::1]:4321.
    ///
    /// Given both ends, the sockets of both are traced where they are on this machine.
    #[arg(long, value_name = "CONN", value_parser = parse::follow, conflicts_with = "cookie")]
    pub follow: Option<parse::Follow>,
    /// Match events by their fields: 'srtt_us > 100ms && cc == "bbr"'.
    ///
    /// Operators are ==, !=, <, <=, >, >=, in, has, is null, !, &&, ||, +, -, * and /. Numbers have the field's unit, or their own:
    /// 100ms, 1MB, 10Mbit/s. Lists and ranges follow `in`: lport in (80, 8000-8999), raddr in 10.0.0.0/8. A comparison with null is
    /// never true. Limits but --count apply before it. `tcc-trace check --where EXPR` shows what the kernel decides.
    #[arg(long = "where", value_name = "EXPR", allow_hyphen_values = true)]
    pub predicate: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Stop after this time: 10s, 5min.
    #[arg(short, long, value_name = "TIME", value_parser = parse::duration)]
    pub duration: Option<Duration>,
    /// Stop after this many events.
    #[arg(short, long, value_name = "N", value_parser = parse::positive::<u64>)]
    pub count: Option<u64>,
    /// Print one in N samples of each connection (`probe` only).
    #[arg(long, value_name = "N", value_parser = parse::positive::<u32>)]
    pub sample: Option<u32>,
    /// Sample each connection at most once in this time: 10ms.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub every: Option<Duration>,
    /// Print a sample only if snd_cwnd, snd_ssthresh or ca_state changed since the last one.
    #[arg(long)]
    pub on_change: bool,
    /// Limit the rate of events: 200/s, 6000/min.
    #[arg(long, value_name = "N/s", value_parser = parse::rate)]
    pub rate: Option<Rate>,
    /// Limit the rate of each connection's events: 10/s.
    #[arg(long, value_name = "N/s", value_parser = parse::rate)]
    pub rate_per_conn: Option<Rate>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Output format (text, jsonl, csv, …), or FORMAT=PATH.
    ///
    /// Repeatable, for several outputs at once.
    /// Text by default, and nothing with -w alone.
    /// With a path, the output goes to that file. At most one output goes to standard output. An existing file is overwritten; a
    /// new one can be read by its owner only. If a file cannot be written, that output ends and the others continue; if
    /// standard output or the only output cannot be written, the trace ends.
    #[arg(short, long, value_name = "FORMAT", value_parser = OutputParser)]
    pub output: Vec<OutputArg>,
    /// End the trace with status 1 if any output cannot be written.
    #[arg(long)]
    pub strict_output: bool,
    /// Print these fields, in this order: time,dport,snd_cwnd.
    ///
    /// `tcc-trace schema` lists them. A group's name, such as `bbr`, stands for all of its fields.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "all_fields")]
    pub fields: Vec<String>,
    /// Print all fields; in text, below each event.
    #[arg(short, long)]
    pub all_fields: bool,
    /// Print each event by this template: '{time} {type} {saddr}:{sport} {snd_cwnd:>6}'.
    ///
    /// Names are the fields of `tcc-trace schema`, and `type`. A width follows a colon: `<6` aligns left, `>6` right. Write `{{`
    /// and `}}` for braces, `\t` for a tab, `\n` for a new line.
    #[arg(long, value_name = "TEMPLATE", value_parser = template::template, conflicts_with_all = ["output", "fields", "all_fields"])]
    pub format: Option<LineTemplate>,
    /// Clock used for `time`.
    #[arg(long, value_enum, value_name = "CLOCK", default_value_t = TimeArg::Wall)]
    pub time: TimeArg,
    /// Omit column titles (text, csv).
    #[arg(long)]
    pub no_header: bool,
    /// Colour text output.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorArg::Auto)]
    pub color: ColorArg,
    /// Replace addresses by others with the same structure, and remove names.
    ///
    /// Two addresses keep the prefix that they have in common, so networks and connections stay apart; special addresses such as
    /// loopback stay. Names of processes and interfaces are empty, and the cgroup is null. Filters and --where use the original
    /// values. The key is random, unless --anonymize-key names a file. A recording (-w) has neither the host's name nor the command
    /// line.
    #[arg(long)]
    pub anonymize: bool,
    /// Use the key in this file, which is created if it does not exist: runs with the same key can be joined.
    #[arg(long, value_name = "FILE", requires = "anonymize")]
    pub anonymize_key: Option<PathBuf>,
    /// Replace ports, too.
    #[arg(long, requires = "anonymize")]
    pub anonymize_ports: bool,
    /// Print event counters at this interval: 10s.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub stats: Option<Duration>,
    /// Print only errors and warnings on standard error.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show the programs in use and libbpf and verifier messages.
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Recordings")]
pub struct RecordingArgs {
    /// Record the events in this file, to be read with -r.
    ///
    /// It has the fields that are printed: all of them with --all-fields. Without -o, nothing is printed. The file can be read by
    /// its owner only. If it cannot be written, the trace ends with status 1, and what was recorded can be read. `convert` writes its
    /// result there.
    #[arg(short, long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Overwrite an existing file.
    #[arg(long)]
    pub force: bool,
    /// Divide the recording into files of this size or time: 256MB, 10min.
    ///
    /// With -w NAME.tcc they are NAME-0001.tcc, NAME-0002.tcc and so on. Each can be read alone. Size and time are checked each second.
    #[arg(long, value_name = "SIZE|TIME", value_parser = parse::rotate)]
    pub rotate: Option<parse::Rotate>,
    /// With --rotate: keep only this many of the newest files.
    #[arg(long, value_name = "N", value_parser = parse::positive::<u32>)]
    pub keep: Option<u32>,
    /// Flight recorder: keep only this much of the newest time, until it is sealed.
    ///
    /// SIGUSR2 (`tcc-trace snap PID`), --trigger and --dump-on-exit each write what is kept into a file NAME-<UTC>-<reason>.tcc, beside
    /// the path of -w. The rest is removed at the end.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub flight: Option<Duration>,
    /// With --flight: seal when an event matches this expression, but not again within the time of --flight.
    ///
    /// Without --flight, `observe` records an event that matches, the samples of its connection before it (--before), and all events
    /// of the connection for the time of --after. The kernel has to decide all of it. `observe --list-presets` has expressions with names.
    #[arg(long, value_name = "EXPR")]
    pub trigger: Option<String>,
    /// With --trigger: go on recording for this long.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub after: Option<Duration>,
    /// With --flight: seal at the end of the trace.
    #[arg(long)]
    pub dump_on_exit: bool,
    /// With --flight: limit the size of all its files together: 512MB.
    ///
    /// Half of it is for what is kept, which is less time if there is more of it, and half for what was sealed, of which the oldest
    /// files are removed.
    #[arg(long, value_name = "SIZE", value_parser = parse::flight_size)]
    pub flight_size: Option<u64>,
    /// Read events from this recording instead of tracing; repeatable.
    ///
    /// Needs no privileges. Several files are merged by time. Filters, --where, limits, fields and formats are as for live events;
    /// --duration is that of the recording. A filter on a field that was not recorded is refused.
    #[arg(short, long, value_name = "FILE")]
    pub read: Vec<PathBuf>,
    /// With -r: at the end of a file that is still being written, wait for more.
    #[arg(long)]
    pub tail: bool,
    /// With -r: leave out events before this time: 10s after the start, 17:05:00, or 2026-11-29T17:05:00Z.
    ///
    /// Times of day are in UTC. What is not wanted is not read, so a time is found at once in a long recording.
    #[arg(long, value_name = "TIME", value_parser = parse::point)]
    pub since: Option<Point>,
    /// With -r: leave out events from this time on.
    #[arg(long, value_name = "TIME", value_parser = parse::point)]
    pub until: Option<Point>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Kernel")]
pub struct KernelArgs {
    /// How to read a connection's fields: from the tracepoint's record or from struct tcp_sock.
    #[arg(long, value_enum, default_value_t = ReaderArg::Auto)]
    pub reader: ReaderArg,
    /// How events reach user space.
    #[arg(long, value_enum, default_value_t = TransportArg::Auto)]
    pub transport: TransportArg,
    /// Size of the event buffer: 8M; rounded up to a power of two (perf buffers: per CPU).
    #[arg(long, value_name = "BYTES", value_parser = parse::size)]
    pub buffer_size: Option<u32>,
    /// Connections to keep state for, 65536 by default; with -- CMD, also the maximum number of its processes, 16384 by default.
    ///
    /// When the map is full, the connection that was idle longest is evicted. Processes beyond the limit are not traced, and a
    /// warning is printed.
    #[arg(long, value_name = "N", value_parser = parse::within(1..=16_777_216_u32))]
    pub max_conns: Option<u32>,
    /// The most kernel memory that all maps may take: 32M.
    ///
    /// If the defaults would take more, state is kept for fewer connections; with --max-conns, or where that is not enough, tcc-trace says
    /// which maps take how much.
    #[arg(long, value_name = "BYTES", value_parser = parse::size)]
    pub max_map_bytes: Option<u32>,
    /// Niceness of tcc-trace while tracing, -20 to 19; -10 by default where permitted and not already set by nice(1).
    #[arg(long, value_name = "N", value_parser = parse::within(-20..=19_i32), allow_negative_numbers = true)]
    pub nice: Option<i32>,
    /// Measure the time that the programs of the trace run, for its own cost in the accounting.
    ///
    /// Needs CAP_SYS_ADMIN. Meanwhile the kernel measures all BPF programs of the host, which adds some ten ns to each run.
    #[arg(long)]
    pub bpf_stats: bool,
    /// Read kernel types from this BTF file, for kernels without their own.
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimeArg {
    /// RFC 3339, UTC.
    Wall,
    /// Seconds, CLOCK_MONOTONIC.
    Mono,
    /// Seconds since the start of the trace.
    Rel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorArg {
    /// Only on a terminal, and if NO_COLOR is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReaderArg {
    /// The cheapest that has the requested fields.
    Auto,
    /// The tracepoint's record: standard fields only.
    Record,
    /// Direct loads of struct tcp_sock.
    Sock,
    /// Probe reads of struct tcp_sock, for old kernels.
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TransportArg {
    /// The ring buffer if the kernel has it, else perf buffers.
    Auto,
    /// One ring buffer (Linux 5.8).
    Ringbuf,
    /// Per-CPU perf buffers.
    Perfbuf,
}
