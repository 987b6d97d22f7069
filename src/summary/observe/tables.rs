//! The kernel's tables of `observe`.

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags};

use super::columns::{EVENTS, SUMS};
use crate::events::tcp_probe::copy;
use crate::loader::Loaded;
use crate::skel::{self, Key};
use crate::summary::Span;
use crate::summary::totals::{
    CounterRow, RowCounts, RowTotals, RowsOf, Snapshot, SnapshotOf, TotalsTable,
};
use crate::table::summary::Summary;

/// A row of sums, and the cookie of its connection.
pub type CountRow = RowTotals<Option<u64>, CounterRow<SUMS>>;
type ReasonRow = RowTotals<(), CounterRow<1>>;

/// The entries of `observed_rest`: keys without room, and events without a row.
const RESTS: u32 = 2;

fn count_row(bytes: Option<Vec<u8>>) -> CountRow {
    let row: skel::Observed = bytes.as_deref().and_then(copy).unwrap_or_default();
    let mut counts = CounterRow::default();
    counts.0.iter_mut().zip(row.n).for_each(|(count, n)| *count = n);
    RowTotals { gauges: Some(row.cookie).filter(|&cookie| cookie != 0), counts }
}

fn reason_row(bytes: Option<Vec<u8>>) -> ReasonRow {
    let count = bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes);
    RowTotals { gauges: (), counts: CounterRow([count]) }
}

/// Removes a row and returns its last value. In one step since 5.14 (3e87f192b405), else in two.
fn take(map: &impl MapCore, key: &[u8]) -> libbpf_rs::Result<Option<Vec<u8>>> {
    if let Ok(value) = map.lookup_and_delete(key) {
        return Ok(value);
    }
    let last = map.lookup(key, MapFlags::ANY)?;
    map.delete(key)?;
    Ok(last)
}

/// The map `observed`.
pub struct CountTable {
    max_rows: usize,
    retired: CounterRow<SUMS>,
}

impl CountTable {
    pub fn new(max_rows: u32) -> Self {
        CountTable { max_rows: max_rows as usize, retired: CounterRow::default() }
    }
}

impl TotalsTable for CountTable {
    type Key = Vec<u8>;
    type Gauges = Option<u64>;
    type Counts = CounterRow<SUMS>;

    fn totals(&mut self, loaded: &Loaded<'_>) -> Result<SnapshotOf<Self>> {
        const ERROR: &str = "cannot read the rows";
        let maps = &loaded.skel.maps;
        let mut rows = Vec::new();
        for key in maps.observed.keys() {
            let row = maps.observed.lookup(&key, MapFlags::ANY).context(ERROR)?;
            rows.push((key, count_row(row)));
        }
        let mut rest = Vec::new();
        for index in 0..RESTS {
            let row = maps.observed_rest.lookup(&index.to_ne_bytes(), MapFlags::ANY);
            rest.push(count_row(row.context(ERROR)?));
        }
        Ok(Snapshot { rows, rest, retired: vec![self.retired] })
    }

    /// Removes idle rows if room is scarce.
    fn retire(&mut self, loaded: &Loaded<'_>, interval: &SnapshotOf<Self>) -> Result<RowsOf<Self>> {
        let mut retired = Vec::new();
        if interval.rows.len() > self.max_rows / 2 {
            for (key, _) in interval.rows.iter().filter(|(_, row)| row.counts.is_empty()) {
                let last = take(&loaded.skel.maps.observed, key).context("cannot tidy the rows")?;
                let last = count_row(last);
                self.retired.add(&last.counts);
                retired.push((key.clone(), last));
            }
        }
        Ok(retired)
    }

    fn events(&self, _: usize, counts: &Self::Counts) -> u64 {
        counts.0[EVENTS]
    }

    /// Printed with the other tables.
    fn print(&self, _: SnapshotOf<Self>, _: Span, _: &mut dyn FnMut(&Summary<'_>)) {}
}

/// The map `observed_reasons`.
pub struct ReasonTable {
    max_rows: usize,
    retired: CounterRow<1>,
}

impl ReasonTable {
    pub fn new(max_rows: u32) -> Self {
        ReasonTable { max_rows: max_rows as usize, retired: CounterRow::default() }
    }
}

/// What a row's key says beside the columns: what has the reason, and its number.
pub fn reason_of(key: &[u8]) -> Option<(u32, u32)> {
    copy::<Key>(key).map(|key| (key.value, key.reason))
}

impl TotalsTable for ReasonTable {
    type Key = Vec<u8>;
    type Gauges = ();
    type Counts = CounterRow<1>;

    fn totals(&mut self, loaded: &Loaded<'_>) -> Result<SnapshotOf<Self>> {
        const ERROR: &str = "cannot read the reasons";
        let maps = &loaded.skel.maps;
        let mut rows = Vec::new();
        for key in maps.observed_reasons.keys() {
            let row = maps.observed_reasons.lookup(&key, MapFlags::ANY).context(ERROR)?;
            rows.push((key, reason_row(row)));
        }
        let mut rest = Vec::new();
        for of in 0..skel::ObserveReason::TCC_REASONS.0 {
            let row = maps.observed_reasons_rest.lookup(&of.to_ne_bytes(), MapFlags::ANY);
            rest.push(reason_row(row.context(ERROR)?));
        }
        Ok(Snapshot { rows, rest, retired: vec![self.retired] })
    }

    /// Removes idle rows if room is scarce.
    fn retire(&mut self, loaded: &Loaded<'_>, interval: &SnapshotOf<Self>) -> Result<RowsOf<Self>> {
        let mut retired = Vec::new();
        if interval.rows.len() > self.max_rows / 2 {
            for (key, _) in interval.rows.iter().filter(|(_, row)| row.counts.is_empty()) {
                let last = take(&loaded.skel.maps.observed_reasons, key);
                let last = reason_row(last.context("cannot tidy the reasons")?);
                self.retired.add(&last.counts);
                retired.push((key.clone(), last));
            }
        }
        Ok(retired)
    }

    /// By what has the reason.
    fn part(&self, key: &Vec<u8>) -> usize {
        reason_of(key).map_or(0, |(of, _)| of as usize)
    }

    /// Each is an event of the other table, too.
    fn events(&self, _: usize, _: &Self::Counts) -> u64 {
        0
    }

    /// Printed with the other tables.
    fn print(&self, _: SnapshotOf<Self>, _: Span, _: &mut dyn FnMut(&Summary<'_>)) {}
}
