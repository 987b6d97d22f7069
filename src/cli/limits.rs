//! Options of `limits`.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::aggregated::aggregated;
use super::args::TraceArgs;
use super::outputs::tables_on_screen;
use super::parse;
use super::summary::{HEADING, SCREEN};
use crate::config::Config;
use crate::config::summary::{Limits, LimitsBy, RowOptions, SummaryOptions};
use crate::summary::limits;

#[derive(Args, Debug)]
pub struct LimitsArgs {
    /// Group by these keys: pid,rport.
    #[arg(long, value_enum, value_name = "KEYS", value_delimiter = ',', default_value = "conn", help_heading = HEADING)]
    pub by: Vec<LimitsByArg>,
    /// Time between two summaries.
    #[arg(short, long, value_name = "TIME", value_parser = parse::duration, default_value = "1s", help_heading = HEADING)]
    pub interval: Duration,
    /// Show only rows that spent at least this share of their time in other states than idle: 5%.
    #[arg(long, value_name = "PERCENT", value_parser = share, default_value = "0%", help_heading = HEADING)]
    pub min_share: u64,
    /// Maximum number of rows; in text, 20 by default.
    #[arg(long, value_name = "N", value_parser = parse::positive::<u32>, help_heading = HEADING)]
    pub rows: Option<u32>,
    /// Do not clear the screen between summaries.
    #[arg(long, help_heading = HEADING)]
    pub no_clear: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LimitsByArg {
    /// Everything in one row.
    All,
    /// Each connection.
    Conn,
    /// Process that holds the socket.
    Pid,
    /// Name of that process.
    Comm,
    /// The socket's v2 cgroup.
    Cgroup,
    /// Local address.
    Laddr,
    /// The peer's address.
    Raddr,
    /// Local port.
    Lport,
    /// The peer's port.
    Rport,
    /// Network namespace.
    Netns,
    /// Congestion-control algorithm.
    Cc,
}

/// `5%` or `0.5%`, in thousandths.
fn share(text: &str) -> Result<u64, String> {
    let number: f64 = text
        .trim_end_matches('%')
        .trim_end()
        .parse()
        .map_err(|_| "not a percentage such as 5%".to_owned())?;
    if !(0.0..=100.0).contains(&number) {
        return Err("must be between 0% and 100%".to_owned());
    }
    Ok((number * 10.0).round() as u64)
}

fn key(by: LimitsByArg) -> Option<LimitsBy> {
    Some(match by {
        LimitsByArg::All => return None,
        LimitsByArg::Conn => LimitsBy::Conn,
        LimitsByArg::Pid => LimitsBy::Pid,
        LimitsByArg::Comm => LimitsBy::Comm,
        LimitsByArg::Cgroup => LimitsBy::Cgroup,
        LimitsByArg::Laddr => LimitsBy::Laddr,
        LimitsByArg::Raddr => LimitsBy::Raddr,
        LimitsByArg::Lport => LimitsBy::Lport,
        LimitsByArg::Rport => LimitsBy::Rport,
        LimitsByArg::Netns => LimitsBy::Netns,
        LimitsByArg::Cc => LimitsBy::Cc,
    })
}

impl LimitsArgs {
    pub fn into_config(self) -> Result<Config> {
        for (alone, name) in [(LimitsByArg::All, "all"), (LimitsByArg::Conn, "conn")] {
            if self.by.contains(&alone) && self.by.len() > 1 {
                bail!("--by {name} cannot be combined with other keys");
            }
        }
        let rows = self.rows.map(|rows| rows as usize);
        let options = Limits {
            by: self.by.iter().filter_map(|by| key(*by)).collect(),
            min_share: self.min_share,
            rows,
        };
        let summarise = SummaryOptions {
            interval: Some(self.interval),
            aggregate: &limits::AGGREGATE,
            rows: RowOptions::Limits(options),
        };
        let mut config = aggregated(self.trace, "limits", summarise, &[])?;
        tables_on_screen(&mut config, rows.or(Some(SCREEN)), !self.no_clear);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage() {
        assert_eq!((share("5%"), share("0.5"), share("100 %")), (Ok(50), Ok(5), Ok(1000)));
        for wrong in ["", "%", "five", "101%", "-1%", "NaN", "inf"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
