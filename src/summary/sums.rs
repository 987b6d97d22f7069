//! Rows of sums added up in the kernel.

use std::collections::HashMap;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags};

use super::Span;
use super::key::{self, OwnKey};
use super::totals::{CounterRow, RowCounts, RowTotals, RowsOf, SnapshotOf, TotalsTable};
use crate::config::summary::{self, Keys};
use crate::events::tcp_probe::copy;
use crate::loader::Loaded;
use crate::pipeline::clock::mono_ns;
use crate::skel::{self, CaStateTime, CongSum, TccTraceSkel};
use crate::table::Value;
use crate::table::summary::{
    AggregateType, Form, Line, SumValue, Summary, SummarySchema, SumsLayout,
};

/// Number of sums in a row.
pub const SUMS: usize = skel::Sums::COUNT;
/// Number of sums that are times in recovery states.
const STATES: usize = CongSum::TCC_SUM_CHANGES.0 as usize;

/// A row, and the cookie of its connection.
type SumRow = RowTotals<Option<u64>, CounterRow<SUMS>>;

fn row_of(bytes: Option<Vec<u8>>) -> SumRow {
    let row: skel::Sums = bytes.as_deref().and_then(copy).unwrap_or_default();
    RowTotals { gauges: Some(row.cookie).filter(|&cookie| cookie != 0), counts: CounterRow(row.n) }
}

/// The map `sums`.
pub struct SumTable {
    layout: &'static SumsLayout,
    keys: Keys,
    max_rows: usize,
    shape: SummarySchema,
    retired: CounterRow<SUMS>,
}

impl SumTable {
    #[must_use]
    pub fn new(
        aggregate: &'static AggregateType,
        layout: &'static SumsLayout,
        options: &summary::Sums,
    ) -> Self {
        let by = &options.keys.by;
        SumTable {
            layout,
            keys: options.keys.clone(),
            max_rows: options.max_rows as usize,
            shape: SummarySchema {
                command: aggregate.command,
                key: key::columns(by),
                columns: aggregate.columns.iter().collect(),
                form: Form::Lines([&key::views(by)[..], layout.view].concat()),
            },
            retired: CounterRow::default(),
        }
    }

    fn weight(&self, row: &SumRow) -> u64 {
        row.counts.0.get(self.layout.weight.clone()).unwrap_or_default().iter().sum()
    }

    fn is_shown(&self, row: &SumRow) -> bool {
        self.weight(row) + self.events(0, &row.counts) > 0
    }

    fn line<'a>(&self, key: Option<Vec<Value<'a>>>, row: &SumRow) -> Line<'a> {
        let sums = &row.counts.0;
        let sum = |index: usize| sums.get(index).copied().unwrap_or_default();
        let value = |value: &SumValue| match value {
            SumValue::Cookie => row.gauges.map_or(Value::Null, Value::U64),
            SumValue::Sum(index) => Value::U64(sum(*index)),
            SumValue::Microseconds(index) => Value::U64(sum(*index) / 1000),
            SumValue::All(range) => Value::U64(range.clone().map(sum).sum()),
        };
        Line { key, values: self.layout.values.iter().map(value).collect(), buckets: Vec::new() }
    }
}

impl TotalsTable for SumTable {
    type Key = Vec<u8>;
    type Gauges = Option<u64>;
    type Counts = CounterRow<SUMS>;

    fn totals(&mut self, loaded: &Loaded<'_>) -> Result<SnapshotOf<Self>> {
        let maps = &loaded.skel.maps;
        let mut rows = HashMap::new();
        for key in maps.sums.keys() {
            let row = maps.sums.lookup(&key, MapFlags::ANY).context("cannot read the sums")?;
            rows.insert(key, row_of(row));
        }
        // In this order, states that end in between are in neither, and counted the next time. Before, they would be in both.
        if self.layout.state_times {
            add_running(&loaded.skel, &mut rows)?;
        }
        let rest = maps.sums_rest.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY);
        Ok(SnapshotOf::<Self> {
            rows: rows.into_iter().collect(),
            rest: vec![row_of(rest.context("cannot read the sums")?)],
            retired: vec![self.retired],
        })
    }

    /// Removes idle rows if room is scarce.
    fn retire(&mut self, loaded: &Loaded<'_>, interval: &SnapshotOf<Self>) -> Result<RowsOf<Self>> {
        let mut retired = Vec::new();
        if interval.rows.len() > self.max_rows / 2 {
            for (key, _) in interval.rows.iter().filter(|(_, row)| row.counts.is_empty()) {
                let last = take(&loaded.skel.maps.sums, key).context("cannot tidy the sums")?;
                self.retired.add(&last.counts);
                retired.push((key.clone(), last));
            }
        }
        Ok(retired)
    }

    fn events(&self, _: usize, counts: &CounterRow<SUMS>) -> u64 {
        counts.0.get(self.layout.events).copied().unwrap_or_default()
    }

    fn print(&self, rows: SnapshotOf<Self>, span: Span, print: &mut dyn FnMut(&Summary<'_>)) {
        let rest = rows.rest.into_iter().next().unwrap_or_default();
        let mut rows = rows.rows;
        // Without state changes, connections were in Open all the time.
        rows.retain(|(_, row)| self.is_shown(row));
        rows.sort_by(|(a_key, a), (b_key, b)| {
            self.weight(b).cmp(&self.weight(a)).then_with(|| a_key.cmp(b_key))
        });
        let all = || rows.iter().map(|(_, row)| row).chain([&rest]);
        let events = all().map(|row| self.events(0, &row.counts)).sum();
        let title = (self.layout.title)(events, all().map(|row| self.weight(row)).sum());
        let keys: Vec<OwnKey> = rows.iter().map(|(key, _)| OwnKey::new(key, &self.keys)).collect();
        let mut lines: Vec<Line<'_>> = rows
            .iter()
            .zip(&keys)
            .map(|((_, row), key)| self.line(Some(key.values(&self.shape)), row))
            .collect();
        if self.is_shown(&rest) {
            lines.push(self.line(None, &rest));
        }
        print(&Summary {
            shape: &self.shape,
            time: span.time,
            interval_ns: span.interval_ns,
            title: format!("{title} in {:.3} s", span.interval_ns as f64 / 1e9),
            lines,
        });
    }
}

/// Adds the time of current states. Those without a row are left out.
fn add_running(skel: &TccTraceSkel<'_>, rows: &mut HashMap<Vec<u8>, SumRow>) -> Result<()> {
    let map = &skel.maps.ca_state_times;
    let now = mono_ns();
    for key in map.keys() {
        let bytes = map.lookup(&key, MapFlags::ANY).context("cannot read the states")?;
        let Some(running) = bytes.as_deref().and_then(copy::<CaStateTime>) else { continue };
        let row = rows.get_mut(skel::bytes(&running.key));
        let times = row.and_then(|row| row.counts.0.get_mut(..STATES));
        if let Some(ns) = times.and_then(|times| times.get_mut(usize::from(running.ca_state))) {
            *ns += now.saturating_sub(running.since_ns);
        }
    }
    Ok(())
}

/// Removes a row and returns its last sums. In one step since 5.14 (3e87f192b405), else in two.
fn take(map: &impl MapCore, key: &[u8]) -> libbpf_rs::Result<SumRow> {
    if let Ok(value) = map.lookup_and_delete(key) {
        return Ok(row_of(value));
    }
    let last = row_of(map.lookup(key, MapFlags::ANY)?);
    map.delete(key)?;
    Ok(last)
}
