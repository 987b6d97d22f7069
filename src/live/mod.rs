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
pub mod number;
mod programs;
pub mod rows;
mod run;
mod terminal;
mod write;

use std::time::Duration;

pub use self::run::run;
use crate::config::{Filters, KernelOptions};

/// What is shown, and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub filters: Filters,
    /// --where: the expression at the start.
    pub predicate: Option<String>,
    pub kernel_options: KernelOptions,
    pub interval: Duration,
    pub sort: rows::Sort,
    pub quiet: bool,
}
