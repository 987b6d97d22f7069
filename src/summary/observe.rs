//! `observe`: complete totals of all connections, by key, counted in the kernel.

mod capped;
pub mod columns;
pub mod exported;
pub mod labels;
mod names;
mod rows;
mod ss_names;
mod tables;
pub mod top;

use anyhow::Result;

pub use self::columns::AGGREGATE;
use self::names::Names;
use self::rows::Rows;
use self::tables::{CountTable, ReasonTable};
use super::cong;
use super::histograms::HistogramTable;
use super::sums::SumTable;
use super::totals::{Intervals, SnapshotOf};
use super::{Aggregate, Span};
use crate::config::summary::Observe;
use crate::events::Types;
use crate::loader::Loaded;
use crate::table::summary::Summary;

/// Three tables of the kernel, which are printed as one.
pub struct Observed {
    options: Observe,
    names: Names,
    counts: Option<Intervals<CountTable>>,
    reasons: Option<Intervals<ReasonTable>>,
    distributions: Option<Intervals<HistogramTable>>,
    state_times: Option<Intervals<SumTable>>,
}

/// What the tables have of an interval.
struct Interval {
    counts: Option<SnapshotOf<CountTable>>,
    reasons: Option<SnapshotOf<ReasonTable>>,
    distributions: Option<SnapshotOf<HistogramTable>>,
    state_times: Option<SnapshotOf<SumTable>>,
}

impl Observed {
    /// `intervals`: each summary covers an interval; else one covers all.
    #[must_use]
    pub fn new(options: &Observe, intervals: bool, types: &Types) -> Self {
        let histograms = options.histograms();
        let distributions = (!histograms.fields.is_empty())
            .then(|| Intervals::new(HistogramTable::new(&AGGREGATE, &histograms), intervals));
        Observed {
            options: options.clone(),
            names: Names::new(types),
            counts: options
                .counts()
                .then(|| Intervals::new(CountTable::new(options.max_rows), intervals)),
            reasons: options
                .reasons()
                .then(|| Intervals::new(ReasonTable::new(options.max_rows), intervals)),
            distributions,
            state_times: options.state_times().map(|sums| {
                Intervals::new(SumTable::new(&cong::AGGREGATE, &cong::LAYOUT, &sums), intervals)
            }),
        }
    }
}

impl Aggregate for Observed {
    fn begin(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        if self.options.connections() { loaded.observe_scan() } else { Ok(()) }
    }

    fn poll(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        if self.options.connections() { loaded.observe_read(&mut Vec::new()) } else { Ok(()) }
    }

    fn print(
        &mut self,
        loaded: &Loaded<'_>,
        span: Span,
        print: &mut dyn FnMut(&Summary<'_>),
    ) -> Result<()> {
        let interval = Interval {
            counts: self.counts.as_mut().map(|table| table.rows(loaded)).transpose()?,
            reasons: self.reasons.as_mut().map(|table| table.rows(loaded)).transpose()?,
            state_times: self.state_times.as_mut().map(|table| table.rows(loaded)).transpose()?,
            distributions: self
                .distributions
                .as_mut()
                .map(|table| table.rows(loaded))
                .transpose()?,
        };
        self.names.update(&self.options);
        let rows = Rows::new(interval, &self.options);
        let schema = columns::schema(&self.options);
        print(&Summary {
            shape: &schema,
            time: span.time,
            interval_ns: span.interval_ns,
            title: rows.title(span.interval_ns),
            lines: rows.lines(&self.options, &self.names, &schema),
        });
        Ok(())
    }

    fn events_reported(&self) -> u64 {
        let tables = [
            self.counts.as_ref().map(Aggregate::events_reported),
            self.distributions.as_ref().map(Aggregate::events_reported),
            self.state_times.as_ref().map(Aggregate::events_reported),
        ];
        tables.iter().flatten().sum()
    }

    fn events_counted(&self) -> u64 {
        let tables = [
            self.counts.as_ref().map(Aggregate::events_counted),
            self.distributions.as_ref().map(Aggregate::events_counted),
            self.state_times.as_ref().map(Aggregate::events_counted),
        ];
        tables.iter().flatten().sum()
    }
}
