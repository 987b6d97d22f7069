//! Commands that count in the kernel: their options, and the shared options that they refuse.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::aggregated::{aggregated, in_kernel};
use super::args::TraceArgs;
use super::conflicts::{of_recordings, refuse};
use super::outputs::{OutputArg, OutputParser, tables_on_screen};
use super::{Side, parse};
use crate::config::Config;
use crate::config::summary::{
    By, Histograms, Keys, RowOptions, Sort, SummaryOptions, Sums, TimeField, Top,
};
use crate::summary::{cong, connlat, retrans, rtt, top};
use crate::table::summary::{AggregateType, Scale};

#[derive(Args, Debug)]
pub struct RttArgs {
    /// Group by these keys: raddr,rport.
    #[arg(long, value_enum, value_name = "KEYS", value_delimiter = ',', default_value = "all", help_heading = HEADING)]
    pub by: Vec<ByArg>,
    #[command(flatten)]
    pub rows: RowArgs,
    /// Time to count.
    #[arg(long, value_enum, default_value_t = FieldArg::Srtt, help_heading = HEADING)]
    pub field: FieldArg,
    /// Unit of text output, us by default; jsonl and csv use microseconds.
    #[arg(long, value_enum, help_heading = HEADING)]
    pub unit: Option<UnitArg>,
    #[command(flatten)]
    pub trace: TraceArgs,
}

pub(super) const HEADING: &str = "Summary";

#[derive(Args, Debug)]
pub struct RowArgs {
    /// Group IPv4 addresses by their first N bits: 24.
    #[arg(long, value_name = "N", value_parser = parse::within(0..=32_u8), help_heading = HEADING)]
    pub prefix: Option<u8>,
    /// Group IPv6 addresses by their first N bits: 64.
    #[arg(long, value_name = "N", value_parser = parse::within(0..=128_u8), help_heading = HEADING)]
    pub prefix6: Option<u8>,
    /// Print a summary of each interval, instead of one at the end: 5s.
    #[arg(short, long, value_name = "TIME", value_parser = parse::duration, help_heading = HEADING)]
    pub interval: Option<Duration>,
    /// Maximum number of rows; the rest is counted in one row.
    #[arg(long, value_name = "N", value_parser = parse::within(1..=1_000_000_u32), help_heading = HEADING)]
    pub max_rows: Option<u32>,
    /// Also print the events themselves, to another output than the summary: jsonl=events.jsonl.
    ///
    /// FORMAT or FORMAT=PATH as for --output; repeatable. Limits such as --rate or --sample, and --fields, are of these events:
    /// the summary counts all that match the filters.
    #[arg(long, value_name = "FORMAT", value_parser = OutputParser, help_heading = HEADING)]
    pub events: Vec<OutputArg>,
}

#[derive(Args, Debug)]
pub struct ConnlatArgs {
    /// Show only opens that took at least this long: 10ms.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub min: Option<Duration>,
    /// Side of the connection.
    #[arg(long, value_enum, default_value_t = Side::Both)]
    pub side: Side,
    /// Print histograms instead of events.
    #[arg(long, help_heading = HEADING)]
    pub histogram: bool,
    /// Print a histogram for each group by these keys: raddr,rport.
    #[arg(long, value_enum, value_name = "KEYS", value_delimiter = ',', help_heading = HEADING)]
    pub by: Vec<ByArg>,
    #[command(flatten)]
    pub rows: RowArgs,
    /// Unit of text output, us by default; jsonl and csv use microseconds.
    #[arg(long, value_enum, help_heading = HEADING)]
    pub unit: Option<UnitArg>,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Args, Debug)]
pub struct RetransArgs {
    /// Count instead of printing events, grouped by these keys: raddr,rport.
    #[arg(long, value_enum, value_name = "KEYS", value_delimiter = ',', help_heading = HEADING)]
    pub by: Vec<ByArg>,
    #[command(flatten)]
    pub rows: RowArgs,
    #[command(flatten)]
    pub trace: TraceArgs,
}

impl RetransArgs {
    pub fn into_config(self) -> Result<Config> {
        into_sums(self.by, &self.rows, self.trace, &retrans::AGGREGATE)
    }
}

#[derive(Args, Debug)]
pub struct CongArgs {
    /// Add up the time in each state, grouped by these keys: raddr,rport.
    #[arg(long, value_enum, value_name = "KEYS", value_delimiter = ',', help_heading = HEADING)]
    pub by: Vec<ByArg>,
    #[command(flatten)]
    pub rows: RowArgs,
    /// Infer changes of state from packets, as on kernels without tcp:tcp_cong_state_set.
    #[arg(long, hide = true)]
    pub inferred: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

impl CongArgs {
    pub fn into_config(self) -> Result<Config> {
        let mut config = into_sums(self.by, &self.rows, self.trace, &cong::AGGREGATE)?;
        config.kernel_options.inferred = self.inferred;
        Ok(config)
    }
}

/// Sums with --by, else events.
fn into_sums(
    by: Vec<ByArg>,
    rows: &RowArgs,
    trace: TraceArgs,
    aggregate: &'static AggregateType,
) -> Result<Config> {
    if by.is_empty() {
        return match rows.given() {
            Some(option @ ("--prefix" | "--prefix6")) => {
                bail!("{option} needs --by laddr or --by raddr")
            }
            Some(option) => bail!("{option} needs --by"),
            None => trace.into_config(),
        };
    }
    let command = format!("{} --by", aggregate.command);
    let mut keys = rows.keys(&by)?;
    // A connection's last segments, and on some kernels its first, are retransmitted without a cookie.
    keys.by.iter_mut().filter(|by| **by == By::Conn).for_each(|by| *by = By::Ends);
    let sums = Sums { keys, max_rows: rows.max_rows.unwrap_or(ROWS) };
    let summarise =
        SummaryOptions { interval: rows.interval, aggregate, rows: RowOptions::Sums(sums) };
    in_kernel(trace, &command, summarise, &rows.events)
}

/// Default number of rows of sums.
const ROWS: u32 = 8192;

impl RowArgs {
    /// The first of these options that was given.
    fn given(&self) -> Option<&'static str> {
        let options = [
            ("--prefix", self.prefix.is_some()),
            ("--prefix6", self.prefix6.is_some()),
            ("--interval", self.interval.is_some()),
            ("--max-rows", self.max_rows.is_some()),
            ("--events", !self.events.is_empty()),
        ];
        options.iter().find(|(_, given)| *given).map(|(option, _)| *option)
    }

    fn keys(&self, by: &[ByArg]) -> Result<Keys> {
        if by.contains(&ByArg::All) && by.len() > 1 {
            bail!("--by all cannot be combined with other keys");
        }
        let by: Vec<By> = by.iter().filter_map(|by| key(*by)).collect();
        if by.contains(&By::Conn) && by.len() > 1 {
            bail!("--by conn cannot be combined with other keys");
        }
        let networks = by.contains(&By::Laddr) || by.contains(&By::Raddr);
        if (self.prefix.is_some() || self.prefix6.is_some()) && !networks {
            bail!("--prefix and --prefix6 need --by laddr or --by raddr");
        }
        Ok(Keys {
            by,
            iface: false,
            prefix: self.prefix.unwrap_or(32),
            prefix6: self.prefix6.unwrap_or(128),
        })
    }
}

#[derive(Args, Debug)]
pub struct TopArgs {
    /// Time between two tables.
    #[arg(short, long, value_name = "TIME", value_parser = parse::duration, default_value = "1s", help_heading = HEADING)]
    pub interval: Duration,
    /// Sort key.
    #[arg(long, value_enum, default_value_t = SortArg::All, help_heading = HEADING)]
    pub sort: SortArg,
    /// Maximum number of connections per table; in text, 20 by default.
    #[arg(long, value_name = "N", value_parser = parse::positive::<u32>, help_heading = HEADING)]
    pub rows: Option<u32>,
    /// Do not clear the screen between tables.
    #[arg(long, help_heading = HEADING)]
    pub no_clear: bool,
    /// Show what limited each sender for most of the interval (adds the columns limits_*).
    #[arg(long, help_heading = HEADING)]
    pub limits: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortArg {
    /// Bytes in both directions.
    All,
    /// Bytes sent and acknowledged.
    Tx,
    /// Bytes received.
    Rx,
    /// Retransmitted segments.
    Retrans,
    /// Round-trip time.
    Rtt,
}

impl TopArgs {
    pub fn into_config(self) -> Result<Config> {
        let sort = match self.sort {
            SortArg::All => Sort::All,
            SortArg::Tx => Sort::Tx,
            SortArg::Rx => Sort::Rx,
            SortArg::Retrans => Sort::Retrans,
            SortArg::Rtt => Sort::Rtt,
        };
        let rows = self.rows.map(|rows| rows as usize);
        let summarise = SummaryOptions {
            interval: Some(self.interval),
            aggregate: &top::AGGREGATE,
            rows: RowOptions::Connections(Top { sort, rows, limits: self.limits }),
        };
        refuse("top", &of_recordings(&self.trace))?;
        let mut config = aggregated(self.trace, "top", summarise, &[])?;
        config.output.limits = self.limits;
        tables_on_screen(&mut config, rows.or(Some(SCREEN)), !self.no_clear);
        Ok(config)
    }
}

/// Rows that fit on most terminals.
pub(super) const SCREEN: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ByArg {
    /// Everything in one row.
    All,
    /// Each connection.
    Conn,
    /// Local address.
    Laddr,
    /// The peer's address.
    Raddr,
    /// Local port.
    Lport,
    /// The peer's port.
    Rport,
    /// The socket's v2 cgroup.
    Cgroup,
    /// Network namespace.
    Netns,
    /// Congestion-control algorithm.
    Cc,
    /// Process that holds the socket.
    Pid,
    /// Name of that process.
    Comm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FieldArg {
    /// Smoothed RTT.
    #[value(name = "srtt_us")]
    Srtt,
    /// Minimum RTT in the window of tcp_min_rtt_wlen.
    #[value(name = "min_rtt_us")]
    MinRtt,
    /// RTT variation, used for the retransmission timeout.
    #[value(name = "rttvar_us")]
    Rttvar,
    /// Mean deviation (rttvar in ss).
    #[value(name = "mdev_us")]
    Mdev,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UnitArg {
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
}

impl RttArgs {
    pub fn into_config(self) -> Result<Config> {
        let field = match self.field {
            FieldArg::Srtt => TimeField::Srtt,
            FieldArg::MinRtt => TimeField::MinRtt,
            FieldArg::Rttvar => TimeField::Rttvar,
            FieldArg::Mdev => TimeField::Mdev,
        };
        let histograms = Histograms {
            fields: vec![field],
            busy: true,
            keys: self.rows.keys(&self.by)?,
            scale: scale(self.unit, &self.trace)?,
            max_rows: self.rows.max_rows,
        };
        let summarise = SummaryOptions {
            interval: self.rows.interval,
            aggregate: &rtt::AGGREGATE,
            rows: RowOptions::Histograms(histograms),
        };
        in_kernel(self.trace, "rtt", summarise, &self.rows.events)
    }
}

impl ConnlatArgs {
    pub fn into_config(self) -> Result<Config> {
        if !self.histogram && self.by.is_empty() {
            return match self.rows.given().or(self.unit.map(|_| "--unit")) {
                Some(option) => bail!("{option} needs --histogram or --by"),
                None => self.trace.into_config(),
            };
        }
        if self.by.contains(&ByArg::Conn) {
            bail!(
                "--by conn: a connection opens only once; omit --histogram and --by to print each"
            );
        }
        let histograms = Histograms {
            // Filled in by the command, for the sides that this kernel supports.
            fields: Vec::new(),
            busy: false,
            keys: self.rows.keys(&self.by)?,
            scale: scale(self.unit, &self.trace)?,
            max_rows: self.rows.max_rows,
        };
        let summarise = SummaryOptions {
            interval: self.rows.interval,
            aggregate: &connlat::AGGREGATE,
            rows: RowOptions::Histograms(histograms),
        };
        in_kernel(self.trace, "connlat --histogram", summarise, &self.rows.events)
    }
}

fn scale(unit: Option<UnitArg>, trace: &TraceArgs) -> Result<Scale> {
    if unit.is_some() && !trace.output.has_text() {
        bail!("--unit can only be used with text output; jsonl and csv use microseconds");
    }
    Ok(match unit {
        Some(UnitArg::Ms) => Scale::Milliseconds,
        Some(UnitArg::Us) | None => Scale::Microseconds,
    })
}

fn key(by: ByArg) -> Option<By> {
    Some(match by {
        ByArg::All => return None,
        ByArg::Conn => By::Conn,
        ByArg::Laddr => By::Laddr,
        ByArg::Raddr => By::Raddr,
        ByArg::Lport => By::Lport,
        ByArg::Rport => By::Rport,
        ByArg::Cgroup => By::Cgroup,
        ByArg::Netns => By::Netns,
        ByArg::Cc => By::Cc,
        ByArg::Pid => By::Pid,
        ByArg::Comm => By::Comm,
    })
}
