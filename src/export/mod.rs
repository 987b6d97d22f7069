//! Metrics for Prometheus: what they are called, how they are encoded, and how they are served.

mod accept;
mod collector;
pub mod families;
mod histogram;
#[cfg(feature = "otlp")]
mod otlp;
mod output;
#[cfg_attr(not(feature = "otlp"), path = "push_none.rs")]
mod push;
mod series;
pub mod server;
pub mod textfile;

pub use self::output::{Exposition, Format};
pub use self::push::Pusher;

use std::time::{Duration, SystemTime};

use crate::accounting::{AggregateCounts, Evicted};
use crate::config::summary::Observe;
use crate::summary::observe::exported::LabelledTotals;
use crate::summary::observe::top::NamedConnection;

/// How to get what another build has.
pub const WITHOUT_OTLP: &str =
    "this tcc-trace is built without it; build one with `cargo build --release --features otlp`";

/// Everything that a scrape shows, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub time: SystemTime,
    pub options: Observe,
    /// Of the labels of `totals`.
    pub label_names: Vec<&'static str>,
    pub totals: Vec<LabelledTotals>,
    /// With --top: connections by name, and how many there have been.
    pub named: Vec<NamedConnection>,
    pub named_so_far: u64,
    /// The accounting of each event type.
    pub event_types: Vec<(&'static str, AggregateCounts)>,
    pub evicted: Evicted,
    /// Series that ended to make room for others.
    pub dropped: u64,
    /// By label, values that are counted as `other`.
    pub folded: Vec<(&'static str, u64)>,
    /// Release of the kernel.
    pub kernel: String,
    /// How long it took to read all this.
    pub read: Duration,
}
