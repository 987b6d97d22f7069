//! All totals of `observe` since the trace began, by the labels of `export`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::columns::OPEN;
use super::labels::{Labels, OTHER};
use super::rows::{Row, Rows};
use super::tables::{CountTable, ReasonTable};
use super::top::{NamedConnection, Top};
use super::{AGGREGATE, Interval};
use crate::config::summary::{Observe, TimeField};
use crate::events::Types;
use crate::loader::Loaded;
use crate::summary::cong;
use crate::summary::counted::Counted;
use crate::summary::cumulative::Cumulative;
use crate::summary::histograms::HistogramTable;
use crate::summary::sums::SumTable;
use crate::summary::totals::{SnapshotOf, TotalsTable};

/// Rows that have not grown for this long make room for others: longer than Prometheus looks back for a sample.
const IDLE: Duration = Duration::from_secs(600);

/// Everything of one label set.
#[derive(Clone, Debug, Default)]
pub struct LabelledTotals {
    /// The labels' values, in their order. `None`: label sets that found no room.
    pub labels: Option<Vec<String>>,
    /// As in `columns`; at `OPEN`, the connections that are open now.
    pub counts: Vec<u64>,
    /// What has the reason, its name, and how often.
    pub reasons: Vec<(u32, Option<String>, u64)>,
    pub distributions: Vec<(TimeField, Counted)>,
    /// ns in each recovery state.
    pub state_times: Vec<u64>,
}

/// The tables.
pub struct ExportedTables {
    options: Observe,
    labels: Labels,
    counts: Option<Cumulative<CountTable>>,
    reasons: Option<Cumulative<ReasonTable>>,
    distributions: Option<Cumulative<HistogramTable>>,
    state_times: Option<Cumulative<SumTable>>,
    /// By key, what `OPEN` was: it grows each time that connections are read.
    opens: HashMap<Option<Vec<u8>>, u64>,
    top: Option<Top>,
    /// As the kernel wrote them last; kept for its memory.
    connections: Vec<u8>,
}

impl ExportedTables {
    #[must_use]
    pub fn new(options: &Observe, types: &Types) -> Self {
        let histograms = options.histograms();
        let distributions = (!histograms.fields.is_empty())
            .then(|| Cumulative::new(HistogramTable::new(&AGGREGATE, &histograms)));
        let state_times = options
            .state_times()
            .map(|sums| Cumulative::new(SumTable::new(&cong::AGGREGATE, &cong::LAYOUT, &sums)));
        ExportedTables {
            options: options.clone(),
            labels: Labels::new(types, options),
            counts: options.counts().then(|| Cumulative::new(CountTable::new(options.max_rows))),
            reasons: options.reasons().then(|| Cumulative::new(ReasonTable::new(options.max_rows))),
            distributions,
            state_times,
            opens: HashMap::new(),
            top: options.top.map(Top::new),
            connections: Vec::new(),
        }
    }

    /// Called once the programs are attached: finds the connections that are open.
    pub fn begin(&self, loaded: &Loaded<'_>) -> Result<()> {
        if self.options.connections() { loaded.observe_scan() } else { Ok(()) }
    }

    /// Reads all connections and all rows.
    pub fn read(&mut self, loaded: &Loaded<'_>) -> Result<Vec<LabelledTotals>> {
        if self.options.connections() {
            loaded.observe_read(&mut self.connections)?;
            if let Some(top) = &mut self.top {
                top.read(&self.connections, Instant::now());
            }
        }
        self.labels.names_are_new = false;
        let (options, labels) = (&self.options, &mut self.labels);
        let series_of = &mut |key: &Vec<u8>| labels.series_of(options, key);
        let mut totals = Interval {
            counts: read(&mut self.counts, loaded, series_of)?,
            reasons: read(&mut self.reasons, loaded, series_of)?,
            distributions: read(&mut self.distributions, loaded, series_of)?,
            state_times: read(&mut self.state_times, loaded, series_of)?,
        };
        if let Some(counts) = &mut totals.counts {
            let before = std::mem::take(&mut self.opens);
            let rows = counts.rows.iter_mut().map(|(key, row)| (Some(&*key), row));
            let rest = counts.rest.iter_mut().take(1).map(|row| (None, row));
            for (key, row) in rows.chain(rest) {
                let key = key.cloned();
                let found = row.counts.0[OPEN];
                row.counts.0[OPEN] = found.saturating_sub(before.get(&key).copied().unwrap_or(0));
                self.opens.insert(key, found);
            }
        }
        let rows = Rows::new(totals, &self.options);
        Ok(rows.rows.iter().map(|row| self.labelled(row)).collect())
    }

    fn labelled(&self, row: &Row) -> LabelledTotals {
        let reason = |(of, reason, count): &(u32, Option<u32>, u64)| {
            let name = match reason {
                Some(reason) => self.labels.names.reason(*of, *reason).map(str::to_owned),
                None => Some(OTHER.to_owned()),
            };
            (*of, name, *count)
        };
        LabelledTotals {
            labels: row
                .key
                .as_ref()
                .map(|key| self.labels.values(&self.options, key, row.folded, row.peer())),
            counts: row.counts.0.to_vec(),
            reasons: row.reasons.iter().map(reason).collect(),
            distributions: row.distributions.clone(),
            state_times: row.state_times.to_vec(),
        }
    }

    /// Makes room for new label sets.
    pub fn retire(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        if let Some(counts) = &mut self.counts {
            counts.retire(loaded, IDLE)?;
        }
        if let Some(reasons) = &mut self.reasons {
            reasons.retire(loaded, IDLE)?;
        }
        if let Some(distributions) = &mut self.distributions {
            distributions.retire(loaded, IDLE)?;
        }
        if let Some(times) = &mut self.state_times {
            times.retire(loaded, IDLE)?;
        }
        let keys = self.counts.iter().flat_map(Cumulative::keys);
        let keys = keys.chain(self.reasons.iter().flat_map(Cumulative::keys));
        let keys = keys.chain(self.distributions.iter().flat_map(Cumulative::keys));
        let keys = keys.chain(self.state_times.iter().flat_map(Cumulative::keys));
        self.labels.keep(&self.options, keys);
        Ok(())
    }

    /// Those of --top, as they were last read.
    #[must_use]
    pub fn named(&self) -> Vec<NamedConnection> {
        self.top.as_ref().map(Top::connections).unwrap_or_default()
    }

    /// How many connections were named so far.
    #[must_use]
    pub fn named_so_far(&self) -> u64 {
        self.top.as_ref().map_or(0, Top::joined)
    }

    /// By label with a cap, how many of its values are counted as `other`.
    #[must_use]
    pub fn folded(&self) -> Vec<(&'static str, u64)> {
        self.labels.folded(&self.options)
    }

    /// Rows that were removed so far, in all tables.
    #[must_use]
    pub fn removed(&self) -> u64 {
        let removed = [
            self.counts.as_ref().map(Cumulative::removed),
            self.reasons.as_ref().map(Cumulative::removed),
            self.distributions.as_ref().map(Cumulative::removed),
            self.state_times.as_ref().map(Cumulative::removed),
        ];
        removed.iter().flatten().sum()
    }
}

fn read<T: TotalsTable<Key = Vec<u8>, Gauges: Clone + Default>>(
    table: &mut Option<Cumulative<T>>,
    loaded: &Loaded<'_>,
    series_of: &mut dyn FnMut(&Vec<u8>) -> Vec<u8>,
) -> Result<Option<SnapshotOf<T>>> {
    table.as_mut().map(|table| table.read(loaded, series_of)).transpose()
}
