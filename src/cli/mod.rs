//! The command line: clap's types here, shared options in `args`, help in `help`, checks and lookups in the other modules. The
//! rest of the program sees [`Config`](crate::config::Config) only.

mod aggregated;
mod args;
mod assert;
pub mod config_file;
mod conflicts;
mod conversion;
mod convert;
pub mod errors;
pub mod examples;
mod export;
pub mod help;
mod labels;
mod limits;
mod listeners;
mod live;
mod observe;
mod otlp;
mod outputs;
mod parse;
mod parts;
pub mod presets;
mod recordings;
pub mod refused;
mod report;
mod resolve;
mod summary;
mod template;
mod zone;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use self::aggregated::only_counted;
pub use self::args::TraceArgs;
pub use self::assert::AssertArgs;
pub use self::conversion::ConvertArgs;
pub use self::export::ExportArgs;
pub use self::limits::LimitsArgs;
pub use self::listeners::ListenersArgs;
pub use self::live::LiveArgs;
pub use self::observe::ObserveArgs;
pub use self::recordings::{RecordArgs, command_first};
pub use self::report::ReportArgs;
pub use self::summary::{CongArgs, ConnlatArgs, RetransArgs, RttArgs, TopArgs};
use crate::config::Config;
use crate::events::EVENT_TYPES;

/// TCP congestion-control tracing for Linux.
///
/// Shows what the congestion control of each TCP connection does and what limits its sender. Without a command, tcc-trace runs
/// `probe`: one sample for each packet that an established connection receives. Tracing needs root, or CAP_BPF and
/// CAP_PERFMON; `tcc-trace check` shows what works here.
#[derive(Debug, Parser)]
#[command(
    name = "tcc-trace",
    bin_name = "tcc-trace",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub trace: TraceArgs,
}

impl Cli {
    /// Does this command trace? The others print something and exit.
    #[must_use]
    pub fn traces(&self) -> bool {
        !matches!(
            self.command,
            Some(
                Command::Check(_)
                    | Command::Schema(_)
                    | Command::Info(_)
                    | Command::Report(_)
                    | Command::Completions { .. }
                    | Command::Man
                    | Command::Help { .. }
                    | Command::Reference
            )
        )
    }
}

/// Do the arguments end with a `--` that no command follows? `-- $CMD` with an empty CMD would otherwise trace everything, as
/// clap does not distinguish it from no `--` at all.
pub fn missing_command(args: impl IntoIterator<Item = OsString>) -> bool {
    let mut args = args.into_iter().skip_while(|arg| arg != "--");
    args.next().is_some() && args.next().is_none()
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sample each connection's congestion control (the default).
    ///
    /// Prints one sample for each packet that an established connection receives: congestion window, slow-start threshold, RTT,
    /// send window, and with --all-fields the whole state of the connection. Use --every, --sample or --on-change to thin them.
    Probe(Box<TraceArgs>),
    /// Print any event types in one stream, in order of time.
    ///
    /// Events of different types are merged in the order in which they happened; the field `cookie` identifies the connection.
    Events(Box<EventsArgs>),
    /// Record events in a file, to be read with -r.
    ///
    /// Records all fields, unless --fields names some, of samples, losses, resets and changes of state; --profile full adds the
    /// queues of devices and the receive window's growth. A recording takes a few bytes an event, and nothing is printed. Any command
    /// that prints events reads it: `tcc-trace retrans -r FILE`.
    Record(Box<RecordArgs>),
    /// Convert recordings to other formats, or to a recording.
    ///
    /// Formats are those of --output, with the same fields: the standard ones, unless --all-fields or --fields is given. To `tcc`,
    /// the events that match are written into a recording again, with all that is known of them; with --anonymize, it can be given
    /// away. Needs no privileges.
    Convert(Box<ConvertArgs>),
    /// Seal what a flight recorder keeps (record --flight).
    ///
    /// Sends SIGUSR2 to a running tcc-trace with --flight, which then writes the newest time of its recording into a file of its own
    /// and prints the file's name.
    Snap {
        /// Process ID of the flight recorder.
        #[arg(value_name = "PID")]
        pid: i32,
    },
    /// Show retransmissions and why they were sent (tcpretrans).
    ///
    /// With --by, counts them in the kernel by class, SYN-ACKs included, and prints one row per key instead of events; with
    /// --events, the events go to another output. Without that, options of printed events cannot be used: --where, limits such as --rate,
    /// --fields, --all-fields, --transport, --buffer-size. A row takes 0.2 kB; there are 8192 unless --max-rows says otherwise. With --interval, rows that were idle for one interval are removed once
    /// half of the rows are in use. Keys that find no row share one.
    Retrans(Box<RetransArgs>),
    /// Show RSTs sent and received, and why.
    Reset(Box<TraceArgs>),
    /// Show congestion state changes and the time in each (tcpcong).
    ///
    /// With --by, adds up the time in each state in the kernel and prints one row per key instead of events. A connection's time
    /// runs from its start to its end, or to the end of the interval printed. If it was open before the trace, the time in its first state
    /// is unknown: it is counted in UNKN and not in the sums. With --interval, rows are printed only for connections that
    /// changed state or were not in Open. With --events, the events go to another output. Without that, options of printed events
    /// cannot be used with --by: --where, limits such as --rate, --fields, --all-fields, --transport, --buffer-size.
    Cong(Box<CongArgs>),
    /// Print histograms of round-trip times, with percentiles (tcprtt).
    ///
    /// Counts in the kernel the samples that `probe` would print without limits, with the same filters. With --interval, each
    /// histogram covers one interval. With --events, the samples go to another output. Without that, options of printed events
    /// cannot be used: --where, limits such as --rate or --sample, --fields, --all-fields, --transport, --buffer-size. A row takes 3.7 kB; there are 8192 for --by conn, ports and peers, else 256 per CPU. Rows that were idle
    /// for one interval are removed once half of the rows are in use. Keys that find no row share one.
    Rtt(Box<RttArgs>),
    /// Show the busiest connections in each interval (tcptop).
    ///
    /// Byte counts are the kernel's bytes_received and bytes_acked, as in ss, for all processes and network namespaces. They
    /// include connections that opened and closed within the interval. On a terminal, each table replaces the one before. The
    /// options --where, --count, --rate, --rate-per-conn, --fields, --all-fields and --format cannot be used.
    Top(Box<TopArgs>),
    /// Show what limits each connection, and for how long.
    ///
    /// At each event of a connection, the kernel's own state shows what its sender waits for: the application, a buffer, a window,
    /// pacing, a queue on this host, the path, a timer. Each interval shows how much of the time went to which cause; the causes add up to the time
    /// observed. For the main causes, the numbers that show them follow. On a terminal, each summary replaces the one before. The
    /// options --where, --count, --rate, --rate-per-conn, --fields, --all-fields and --format cannot be used.
    Limits(Box<LimitsArgs>),
    /// Show totals of all connections, counted in the kernel.
    ///
    /// Adds up in the kernel, by key: connections opened, closed, failed and open; bytes and segments; the distribution of the
    /// RTT; retransmitted segments by class; resets and drops by reason. No event is sent to user space, so it can always run. With
    /// --interval, each page covers one interval. Keys that find no row share one. See docs/observe.md for the
    /// metrics and their cost. Options of printed events cannot be used: --where, limits such as --rate, --fields, --all-fields.
    Observe(Box<ObserveArgs>),
    /// Serve totals of all connections as metrics for Prometheus.
    ///
    /// Counts what `observe` counts, and serves it over HTTP as counters, gauges and histograms: OpenMetrics text, or protobuf with
    /// native histograms for a reader that takes them. With --textfile, writes a file for node_exporter instead. Nothing is printed;
    /// with -w, the events are recorded beside it, and with --flight the newest of them are kept. See docs/export.md for
    /// the metrics, the labels and what they cost.
    Export(Box<ExportArgs>),
    /// Watch connections on the terminal; open one to see its charts.
    ///
    /// A table of all TCP connections, read each interval as by `top`: sorted by any column, filtered by an expression as it is typed.
    /// Enter opens a connection: congestion window, RTT and rates as charts, states, losses and its last events. Only that
    /// connection's events are recorded, and only while it is open. `?` lists the keys.
    Live(Box<LiveArgs>),
    /// Show listening sockets: accept queues, SYN queues, drops.
    ///
    /// Covers all processes and network namespaces. Shows, at the end of each interval, the accept queue and its limit, the SYN
    /// queue, whether SYN cookies are in use, and the drops of the interval (sk_drops, as in ss -m). The event `listen_drop`
    /// reports the same as drops occur. On a terminal, each table replaces the one before. The options --where, --count, --rate,
    /// --rate-per-conn, --fields, --all-fields and --format cannot be used.
    Listeners(Box<ListenersArgs>),
    /// Check what must hold over a whole run, as a test.
    ///
    /// Each assertion compares a measure of all events with a limit: count(reset_sent) == 0, rate(retransmit) < 0.1%,
    /// rate(drop) < 5/s, p99(srtt_us) < 20ms; also min, max, mean, sum and any percentile of a field. Inside the parentheses, `where`
    /// and a condition (see --where) choose the events. The run ends with -d, the end of a recording (-r), the end of a command (-- CMD), or Ctrl-C. A line for each
    /// assertion has its result and its value. Exit status: 0 if all hold, 1 if one fails, 3 if one cannot be decided, as events were lost or there were
    /// none; of a command, its own status if no assertion fails. The options that leave out events (--count, --rate, --every …) and those of
    /// fields cannot be used.
    Assert(Box<AssertArgs>),
    /// Show TCP state changes and the time in each state (tcpstates).
    States(Box<TraceArgs>),
    /// Show active opens: latency, outcome, error (tcpconnect).
    Connect(Box<ConnectArgs>),
    /// Show passive opens: handshake and queueing time (tcpaccept).
    Accept(Box<TraceArgs>),
    /// Show connections as they end, with totals (tcplife).
    ///
    /// Connections that are already open are listed at the start.
    Life(Box<LifeArgs>),
    /// Show how long opening a connection takes (tcpconnlat).
    ///
    /// Measures connect() on the client, and the handshake and the wait in the accept queue on the server. With --histogram
    /// or --by, counts connections in the kernel and prints histograms with percentiles instead of events; failed opens have
    /// their own. With --events, the events go to another output. Without that, options of printed events cannot be used then:
    /// --where, limits such as --rate, --fields, --all-fields, --transport, --buffer-size. A row takes 3.7 kB; with --by there are 8192.
    Connlat(Box<ConnlatArgs>),
    /// Show TCP packets dropped by the kernel, and why (tcpdrop).
    Drop(Box<DropArgs>),
    /// Show how long packets wait between TCP and the driver.
    ///
    /// Covers packets sent by the sockets of open connections, each time one is handed to a device driver: once for a VLAN,
    /// tunnel or bond, and again for the device below. SYN-ACKs, packets sent without a socket (RSTs, ACKs in TIME_WAIT) and
    /// forwarded packets are not included.
    Queue(Box<QueueArgs>),
    /// Show what works on this machine and how to fix the rest.
    Check(CheckArgs),
    /// Print the JSON Schema of the output.
    Schema(SchemaArgs),
    /// Draw recorded connections in one HTML file.
    ///
    /// The page needs nothing but a browser: no network, no other files. For each connection it has panels with one time axis:
    /// congestion window, round-trip time, rates, sequence numbers, queues, and the states and losses above them. A table of all
    /// connections, findings and summaries can be read without scripts. What is missing in the recording is shown as missing.
    Report(ReportArgs),
    /// Show what is in recordings, and what is missing.
    Info(InfoArgs),
    /// Print a shell completion script.
    Completions {
        /// Shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page: tcc-trace man | man -l -.
    Man,
    /// Print help on a command, or on the shared options.
    Help {
        /// A command, or `options` for the options shared by all tracing commands.
        #[arg(value_parser = PossibleValuesParser::new(help::topics()), hide_possible_values = true)]
        topic: Option<String>,
    },
    /// Print the reference page.
    #[command(hide = true)]
    Reference,
}

#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Show in place of the report which conditions of --where the kernel decides, and which user space.
    #[arg(long = "where", value_name = "EXPR", allow_hyphen_values = true)]
    pub predicate: Option<String>,
    /// With --where: a command that prints events, or event types as for `events`.
    #[arg(
        value_name = "COMMAND",
        value_delimiter = ',',
        requires = "predicate",
        default_value = "probe",
        hide_default_value = true
    )]
    pub events: Vec<String>,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = ReportFormat::Text)]
    pub output: ReportFormat,
    /// Read kernel types from this BTF file, for kernels without their own.
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Text, for people.
    Text,
    /// One JSON document.
    Json,
}

#[derive(Args, Debug)]
pub struct SchemaArgs {
    /// Print only this record: an event type, a summary command, `stats` or `end`.
    pub event_type: Option<String>,
}

#[derive(Args, Debug)]
pub struct InfoArgs {
    /// Recordings.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = InfoFormat::Text)]
    pub output: InfoFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InfoFormat {
    /// Text, for people.
    Text,
    /// JSON objects: one for each file, event type, and part that is missing.
    Jsonl,
}

fn event_types() -> String {
    let names: Vec<&str> = EVENT_TYPES.iter().map(|event_type| event_type.name).collect();
    format!("Event types, or `all` for those that this kernel has: {}", names.join(", "))
}

#[derive(Args, Debug)]
pub struct EventsArgs {
    #[arg(required = true, value_name = "EVENT_TYPES", value_delimiter = ',', help = event_types())]
    pub event_types: Vec<String>,
    /// Include the kernel stack (`drop` only).
    #[arg(long, help_heading = "Output")]
    pub stack: bool,
    /// Count the events in the kernel and print only their counters.
    ///
    /// They are printed at the end, at each --stats, and on SIGUSR1. This costs least: no event is read or sent to user space.
    #[arg(long, help_heading = "Output")]
    pub counters_only: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

impl EventsArgs {
    pub fn into_config(self) -> Result<Config> {
        if self.counters_only {
            only_counted(self.trace, self.stack)
        } else {
            self.trace.into_config()
        }
    }
}

#[derive(Args, Debug)]
pub struct DropArgs {
    /// Include the kernel stack.
    #[arg(long, help_heading = "Output")]
    pub stack: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Args, Debug)]
pub struct QueueArgs {
    /// Show only packets that waited at least this long (1ms), or for an unknown time.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub min: Option<Duration>,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Args, Debug)]
pub struct ConnectArgs {
    /// Show only failed opens.
    #[arg(long)]
    pub failed: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Args, Debug)]
pub struct LifeArgs {
    /// Show only connections that were established at least this long (10ms), or for an unknown time.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub min_duration: Option<Duration>,
    /// Show what limited each sender for most of the time (adds the fields limits_*).
    #[arg(long)]
    pub limits: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// Both.
    Both,
    /// Active opens (`connect`).
    Client,
    /// Passive opens (`accept`).
    Server,
}
