//! `live`: connections on a terminal. The table is read each interval, as that of `top`; only the connection on the screen has
//! its events recorded.

pub mod app;
pub mod collect;
pub mod draw;
pub mod filter;
mod follow;
pub mod history;
mod jobs;
mod keys;
mod limits;
pub mod number;
pub mod past;
mod programs;
pub mod replay;
pub mod rows;
mod run;
mod terminal;
mod write;

use std::time::Duration;

use anyhow::Result;

use crate::config::{Filters, KernelOptions, Read};

/// What is shown, and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub filters: Filters,
    /// --where: the expression at the start.
    pub predicate: Option<String>,
    pub kernel_options: KernelOptions,
    pub interval: Duration,
    /// Account for what limits each connection.
    pub limits: bool,
    pub sort: rows::Sort,
    pub quiet: bool,
    /// -r: the recordings to replay.
    pub read: Read,
    /// Seconds of them per second.
    pub speed: f64,
}

/// Shows connections until the end; returns the exit status.
pub fn run(options: &Options) -> Result<u8> {
    if options.read.is_wanted() { replay::run(options) } else { run::run(options) }
}
