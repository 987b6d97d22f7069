//! Options of `listeners`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::aggregated::aggregated;
use super::args::TraceArgs;
use super::conflicts::{of_recordings, refuse};
use super::outputs::tables_on_screen;
use super::parse;
use super::summary::{HEADING, SCREEN};
use crate::config::Config;
use crate::config::summary::{Listeners, RowOptions, SummaryOptions};
use crate::summary::listeners;

#[derive(Args, Debug)]
pub struct ListenersArgs {
    /// Time between two tables.
    #[arg(short, long, value_name = "TIME", value_parser = parse::duration, default_value = "1s", help_heading = HEADING)]
    pub interval: Duration,
    /// Maximum number of sockets per table; in text, 20 by default.
    #[arg(long, value_name = "N", value_parser = parse::positive::<u32>, help_heading = HEADING)]
    pub rows: Option<u32>,
    /// Do not clear the screen between tables.
    #[arg(long, help_heading = HEADING)]
    pub no_clear: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

impl ListenersArgs {
    pub fn into_config(self) -> Result<Config> {
        let rows = self.rows.map(|rows| rows as usize);
        let summarise = SummaryOptions {
            interval: Some(self.interval),
            aggregate: &listeners::AGGREGATE,
            rows: RowOptions::Listeners(Listeners { rows }),
        };
        refuse("listeners", &of_recordings(&self.trace))?;
        let mut config = aggregated(self.trace, "listeners", summarise, &[])?;
        tables_on_screen(&mut config, rows.or(Some(SCREEN)), !self.no_clear);
        Ok(config)
    }
}
