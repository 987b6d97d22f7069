//! The command line: clap's types here, the options in `args`, checking and resolving in the others; the rest sees [`Config`] only.

mod args;
mod convert;
mod listeners;
mod parse;
pub mod refused;
mod resolve;
mod summary;
mod template;
mod zone;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::args::TraceArgs;
pub use self::listeners::ListenersArgs;
pub use self::summary::{CongArgs, ConnlatArgs, RetransArgs, RttArgs, TopArgs};
use crate::events::EVENT_TYPES;

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

impl Cli {
    /// Does it trace? The other commands print something and end.
    #[must_use]
    pub fn traces(&self) -> bool {
        !matches!(
            self.command,
            Some(
                Command::Check(_)
                    | Command::Schema(_)
                    | Command::Completions { .. }
                    | Command::Man
                    | Command::Reference
            )
        )
    }
}

/// Do the arguments end with the `--` that a command should follow? That is `-- $CMD` with an empty CMD, and would trace
/// everything; clap does not tell it from no `--` at all.
pub fn missing_command(args: impl IntoIterator<Item = OsString>) -> bool {
    let mut args = args.into_iter().skip_while(|arg| arg != "--");
    args.next().is_some() && args.next().is_none()
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Samples of the congestion control of every connection (the default command).
    Probe(Box<TraceArgs>),
    /// Any event types in one stream, as they happened.
    Events(Box<EventsArgs>),
    /// Segments that are sent again, and why (bcc's tcpretrans).
    ///
    /// With --by they are counted in the kernel and not printed: how many by which class, for each connection, peer, port …;
    /// SYN-ACKs, too. Options of printed events are refused with it: --count, --fields, --all-fields, --transport,
    /// --buffer-size. Memory: 0.2 kB a row, 8192 rows. Where intervals are printed, rows that were idle for one make room;
    /// what finds none is counted in a row for all others.
    Retrans(Box<RetransArgs>),
    /// RSTs that are sent and received, and why.
    Reset(Box<TraceArgs>),
    /// The senders' recovery states, and how long each lasted (tcpcong).
    ///
    /// With --by the time in each is added up in the kernel, and no change is printed, for each connection that changed,
    /// peer, port …: a connection's from its beginning to its end or to the reading. Of a state that a connection was in
    /// when the trace began it is not known how long it has been in it: that is counted as unknown and in no sum. By interval
    /// there are rows of those that changed or were not Open. Options of printed events are refused with it: --count,
    /// --rate, --rate-per-conn, --fields, --all-fields, --transport, --buffer-size.
    Cong(Box<CongArgs>),
    /// Histograms of round-trip times, counted in the kernel, with percentiles.
    ///
    /// Of the samples that `probe` would print, with its filters and limits. With --interval each one shows what came since
    /// the one before. Memory: 3.7 kB a row, 8192 rows where there may be many (connections, ports, peers), else 256 for
    /// each CPU. Of the many, those that were idle for an interval make room; what finds none is counted in a row for all
    /// others.
    /// Options of printed events are refused: --count, --fields, --all-fields, --transport, --buffer-size.
    Rtt(Box<RttArgs>),
    /// Which connections move how much: received and acknowledged bytes of each interval.
    ///
    /// As the kernel counts them (ss: bytes_received, bytes_acked), of the sockets of all processes in all network
    /// namespaces, and of those that came and went in the interval. Each table is of its interval only. A connection that
    /// was there before begins with its first reading. On a terminal a table takes the place of the one before.
    /// Options of printed events are refused: --count, --rate, --rate-per-conn, --fields, --all-fields.
    Top(Box<TopArgs>),
    /// Listening sockets: whose accept queue is full, and who drops how much.
    ///
    /// Of the sockets of all processes in all network namespaces, at the end of each interval: the accept queue and its limit,
    /// the SYN queue, SYN cookies in use, and what the socket has dropped in the interval (sk_drops, as ss -m shows it). The
    /// event `listen_drop` reports the same where something is dropped. On a terminal a table takes the place of the one
    /// before. Options of printed events are refused: --count, --rate, --rate-per-conn, --fields, --all-fields.
    Listeners(Box<ListenersArgs>),
    /// Connections from state to state, and how long they were in each.
    States(Box<TraceArgs>),
    /// Active opens: who connects where, how long it took, and why it failed.
    Connect(Box<ConnectArgs>),
    /// Passive opens: who accepts from whom, and how long that waited.
    Accept(Box<TraceArgs>),
    /// Connections as they end, with their totals, and those that are open at the start.
    Life(Box<LifeArgs>),
    /// How long opening took: connect() on the client's side, handshake and queue on the server's.
    ///
    /// With --histogram, or --by, connections are counted in the kernel and not printed: how many took how long, with
    /// percentiles. What failed has a histogram of its own. Options of printed events are refused with it: --count,
    /// --fields, --all-fields, --transport, --buffer-size. Memory: 3.7 kB a row, 8192 rows with --by.
    Connlat(Box<ConnlatArgs>),
    /// TCP packets that the kernel drops: why, where in its code, and whose they were.
    Drop(Box<DropArgs>),
    /// Packets between TCP and the network card: how long each waited, in which queue of which interface.
    ///
    /// Of the packets that an open connection's own socket sends, each time that one is handed to a device's driver: once on
    /// its way through a VLAN, a tunnel or a bond, and again at the device below. Not of SYN-ACKs, of what is sent without a
    /// socket (RSTs to nobody, ACKs in TIME_WAIT), or of what is forwarded.
    Queue(Box<QueueArgs>),
    /// Say what this kernel, these rights and this binary can do, and what would fix the rest.
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
    /// Only this type of record: an event type, stats or end.
    pub event_type: Option<String>,
}

fn event_types() -> String {
    let names: Vec<&str> = EVENT_TYPES.iter().map(|event_type| event_type.name).collect();
    format!("Event types, or `all` for every one that this kernel has: {}", names.join(", "))
}

#[derive(Args, Debug)]
pub struct EventsArgs {
    #[arg(required = true, value_name = "EVENT_TYPES", value_delimiter = ',', help = event_types())]
    pub event_types: Vec<String>,
    /// Of `drop`: the way through the kernel's code, too.
    #[arg(long, help_heading = "Output")]
    pub stack: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Args, Debug)]
pub struct DropArgs {
    /// The way through the kernel's code, too.
    #[arg(long, help_heading = "Output")]
    pub stack: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Args, Debug)]
pub struct QueueArgs {
    /// Only what waited at least so long, and what it is not known of: 1ms.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub min: Option<Duration>,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Args, Debug)]
pub struct ConnectArgs {
    /// Only those that failed.
    #[arg(long)]
    pub failed: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Args, Debug)]
pub struct LifeArgs {
    /// Only those that were established for so long, and those of which it is not known: 10ms.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub min_duration: Option<Duration>,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    Both,
    /// Active opens (`connect`).
    Client,
    /// Passive opens (`accept`).
    Server,
}
