//! The command line: clap's types here, checking and resolving in the modules below; the rest sees [`Config`] only.

mod parse;
mod resolve;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;

use crate::config::{
    Config, Fields, Filters, Format, Limits, Output, Rate, Reader, Tap, TimeMode, Transport,
};

/// TCP congestion-control tracing: what every connection's congestion control does, and what limits it.
///
/// Without a command it is `tcc-trace probe`: one sample for each packet that an established connection receives.
#[derive(Debug, Parser)]
#[command(
    name = "tcc-trace",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Samples of the congestion control of every connection (the default command).
    Probe(Box<TraceArgs>),
    /// Any kinds of events in one stream, as they happened.
    Events(Box<EventsArgs>),
    /// Say what this kernel, these rights and this binary can do, and what would mend the rest.
    Check(CheckArgs),
    /// Print the JSON Schema of the records.
    Schema(SchemaArgs),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
    /// Print the reference page.
    #[command(hide = true)]
    Reference,
}

#[derive(Args, Debug)]
pub struct CheckArgs {
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Text)]
    pub output: ReportFormat,
    /// Types of the kernel, where it has none of its own.
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Text,
    Json,
}

#[derive(Args, Debug)]
pub struct SchemaArgs {
    /// Only this kind of record: a kind of event, stats or end.
    pub kind: Option<String>,
}

#[derive(Args, Debug)]
pub struct EventsArgs {
    /// Kinds of events, or `all` that this kernel has; see docs/reference.md.
    #[arg(required = true, value_name = "KINDS", value_delimiter = ',')]
    pub kinds: Vec<String>,
    #[command(flatten)]
    pub trace: TraceArgs,
}

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
    pub tap: TapArgs,
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
    /// Either address is in one of these: 10.0.0.1,192.0.2.0/24,2001:db8::/32.
    #[arg(long, value_name = "NETS", value_delimiter = ',', value_parser = parse::net)]
    pub addr: Vec<IpNet>,
    /// The local address is in one of these.
    #[arg(long, value_name = "NETS", value_delimiter = ',', value_parser = parse::net)]
    pub laddr: Vec<IpNet>,
    /// The peer's address is in one of these.
    #[arg(long, value_name = "NETS", value_delimiter = ',', value_parser = parse::net)]
    pub raddr: Vec<IpNet>,
    /// IPv4 only, IPv4-mapped connections too.
    #[arg(short = '4', long = "ipv4", conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 only.
    #[arg(short = '6', long = "ipv6")]
    pub ipv6: bool,
    /// Held by one of these processes.
    #[arg(short, long, value_name = "PIDS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Vec<u32>,
    /// Owned by one of these users, by number.
    #[arg(long, value_name = "UIDS", value_delimiter = ',')]
    pub uid: Vec<u32>,
    /// Held by a process of one of these names.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse::comm)]
    pub comm: Vec<String>,
    /// Made in this v2 cgroup or below; a path, also relative to the cgroup2 mount.
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<PathBuf>,
    /// In this network namespace: inode, path, pid:N or a name of ip-netns.
    #[arg(long, value_name = "NETNS")]
    pub netns: Vec<String>,
    /// Bound to this interface or received on it; a name is looked up in --netns, else in our namespace.
    #[arg(long, value_name = "IFACES", value_delimiter = ',')]
    pub iface: Vec<String>,
    /// With this mark, of the packet or the socket: 77 or 0x4d.
    #[arg(long, value_name = "MARKS", value_delimiter = ',', value_parser = parse::number32)]
    pub mark: Vec<u32>,
    /// Under one of these congestion-control algorithms.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse::comm)]
    pub cc: Vec<String>,
    /// These connections (SO_COOKIE; 0x… as ss prints them).
    #[arg(long, value_name = "COOKIES", value_delimiter = ',', value_parser = parse::number64)]
    pub cookie: Vec<u64>,
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
    /// Everything that the kernel knows of the connection.
    #[arg(short, long)]
    pub all_fields: bool,
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
    /// Nothing on stderr but errors.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say how it is done, and what libbpf and the verifier say.
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Kernel")]
pub struct TapArgs {
    /// How tcp_probe is read: the tracepoint's record, or struct tcp_sock.
    #[arg(long, value_enum, default_value_t = ReaderArg::Auto)]
    pub reader: ReaderArg,
    /// How events reach us.
    #[arg(long, value_enum, default_value_t = TransportArg::Auto)]
    pub transport: TransportArg,
    /// Size of the event buffer: 8M; rounded up to a power of two.
    #[arg(long, value_name = "BYTES", value_parser = parse::size)]
    pub buffer_size: Option<u32>,
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

impl TraceArgs {
    /// Checks what clap cannot, and looks up names.
    pub fn into_config(self) -> Result<Config> {
        let fields = match (self.output.all_fields, self.output.fields) {
            (true, _) => Fields::All,
            (false, names) if names.is_empty() => Fields::Standard,
            (false, names) if names.iter().any(String::is_empty) => {
                bail!("--fields: a name is empty")
            }
            (false, names) => Fields::Named(names),
        };
        let color = match self.output.color {
            ColorArg::Always => true,
            ColorArg::Never => false,
            ColorArg::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Ok(Config {
            filters: self.filters.resolve()?,
            limits: Limits {
                duration: self.limits.duration,
                count: self.limits.count,
                sample: self.limits.sample,
                every: self.limits.every,
                on_change: self.limits.on_change,
                rate: self.limits.rate,
                rate_per_conn: self.limits.rate_per_conn,
            },
            output: Output {
                format: match self.output.output {
                    OutputFormat::Text => Format::Text,
                    OutputFormat::Jsonl => Format::Jsonl,
                    OutputFormat::Csv => Format::Csv,
                },
                fields,
                time: match self.output.time {
                    TimeArg::Wall => TimeMode::Wall,
                    TimeArg::Mono => TimeMode::Mono,
                    TimeArg::Rel => TimeMode::Relative,
                },
                header: !self.output.no_header,
                color,
                quiet: self.output.quiet,
                verbose: self.output.verbose,
                stats: self.output.stats,
            },
            tap: Tap {
                reader: match self.tap.reader {
                    ReaderArg::Auto => None,
                    ReaderArg::Record => Some(Reader::Record),
                    ReaderArg::Sock => Some(Reader::Sock),
                    ReaderArg::Raw => Some(Reader::Raw),
                },
                transport: match self.tap.transport {
                    TransportArg::Auto => None,
                    TransportArg::Ringbuf => Some(Transport::RingBuf),
                    TransportArg::Perfbuf => Some(Transport::PerfBuf),
                },
                buffer_size: self.tap.buffer_size,
                btf: self.tap.btf,
                nice: self.tap.nice,
            },
            command: self.command,
        })
    }
}

impl FilterArgs {
    fn resolve(self) -> Result<Filters> {
        let mut netns = Vec::new();
        for name in &self.netns {
            netns.push(resolve::netns(name)?);
        }
        let mut cgroup = Vec::new();
        for path in &self.cgroup {
            cgroup.push(resolve::cgroup(path)?);
        }
        let ifindex = resolve::ifaces(&self.iface, &mut netns)?;
        Ok(Filters {
            port: self.port,
            lport: self.lport,
            rport: self.rport,
            addr: self.addr,
            laddr: self.laddr,
            raddr: self.raddr,
            ipv4_only: self.ipv4,
            ipv6_only: self.ipv6,
            pid: self.pid,
            uid: self.uid,
            comm: self.comm,
            cgroup,
            netns: netns.into_iter().map(|netns| netns.inode).collect(),
            ifindex,
            mark: self.mark,
            cc: self.cc,
            cookie: self.cookie,
        })
    }
}
