//! Several recordings on one page: runs side by side, and repetitions of a label as one.

mod charts;
mod page;
mod score;

use std::path::Path;

use anyhow::{Result, bail};

pub use self::page::{page, score_table};
use self::score::Score;
use super::connection::Connection;
use super::join;
use super::run::Run;
use super::stats::Stats;
use crate::config::Usage;

/// Where the time of a run begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// At the start of the recording.
    Start,
    /// At the first sample that acknowledges data.
    #[default]
    FirstData,
}

/// How runs are compared.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// One for each file, or none: then the files' names.
    pub labels: Vec<String>,
    pub align: Align,
    /// Of the link that all runs share, in bits per second.
    pub bottleneck: Option<u64>,
}

/// Flows that moved less than this part of the run's bytes are not compared.
const LEAST_SHARE: u64 = 100;
/// Flows of a run that are compared.
const MOST_FLOWS: usize = 64;

/// One recording of a comparison.
pub struct Compared<'r> {
    pub label: String,
    pub run: &'r Run,
    pub flows: Vec<Flow<'r>>,
    /// Where its time begins.
    pub origin_ns: u64,
    pub score: Score,
}

/// A connection that is compared.
pub struct Flow<'r> {
    pub connection: &'r Connection,
    pub stats: Stats,
    /// Bytes up to each sample.
    pub delivered: Vec<u64>,
}

/// Brings the runs into order: those of a label stand together.
pub fn compare<'r>(
    runs: &'r [Run],
    files: &[std::path::PathBuf],
    options: &Comparison,
) -> Result<Vec<Compared<'r>>> {
    if !options.labels.is_empty() && options.labels.len() != runs.len() {
        bail!(Usage(format!(
            "--labels has {} names for {} files; give one for each",
            options.labels.len(),
            runs.len()
        )));
    }
    let name = |path: &Path| {
        let stem = path.file_stem().unwrap_or(path.as_os_str());
        crate::escape::path(Path::new(stem))
    };
    let mut compared = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        let label = options.labels.get(at).cloned().unwrap_or_else(|| name(&files[at]));
        let flows = flows(run);
        if flows.is_empty() {
            bail!("{}: no connection with at least two samples that moved data", run.file);
        }
        let origin_ns = origin(run, &flows, options.align);
        let score = Score::of(&flows, options.bottleneck);
        compared.push(Compared { label, run, flows, origin_ns, score });
    }
    let mut labels: Vec<String> = Vec::new();
    for one in &compared {
        if !labels.contains(&one.label) {
            labels.push(one.label.clone());
        }
    }
    compared.sort_by_key(|one| labels.iter().position(|label| *label == one.label));
    Ok(compared)
}

/// The connections of a run that moved most of its bytes, in the direction of the largest of them: others do not share its
/// bottleneck.
fn flows(run: &Run) -> Vec<Flow<'_>> {
    let connections = &run.collected.connections;
    let shown = (0..connections.len()).filter(|at| join::is_shown(connections, *at));
    let flow = |at: usize| {
        let connection = &connections[at];
        let (stats, delivered) = (Stats::of(connection), super::rates::delivered(connection));
        Flow { connection, stats, delivered }
    };
    let mut flows: Vec<Flow<'_>> = shown.map(flow).collect();
    let bytes = |flow: &Flow<'_>| flow.stats.moved_bytes().unwrap_or_default();
    let sender = |flow: &Flow<'_>| {
        let ends = flow.connection.ends?;
        Some(if flow.stats.is_receiver() { ends.peer.ip() } else { ends.local.ip() })
    };
    let largest = flows.iter().max_by_key(|flow| bytes(flow)).and_then(sender);
    flows.retain(|flow| sender(flow) == largest);
    let sum: u64 = flows.iter().map(bytes).sum();
    flows.retain(|flow| {
        flow.connection.samples.len() > 1
            && bytes(flow) > 0
            && bytes(flow).saturating_mul(LEAST_SHARE) >= sum
    });
    flows.sort_by_key(|flow| flow.connection.start_ns());
    flows.truncate(MOST_FLOWS);
    flows
}

/// Where the time of a run begins.
fn origin(run: &Run, flows: &[Flow<'_>], align: Align) -> u64 {
    if align == Align::Start {
        return run.start_ns;
    }
    let first_data = |flow: &Flow<'_>| {
        let row = flow.delivered.iter().position(|bytes| *bytes > 0)?;
        flow.connection.samples.time_ns.get(row).copied()
    };
    flows.iter().filter_map(first_data).min().unwrap_or(run.start_ns)
}
