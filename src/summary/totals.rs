//! Totals since the trace began, and the intervals between them.
//!
//! A [`TotalsTable`] reads totals; it takes no differences. [`Intervals`] does, for all of them: of a row's counts an interval has
//! what was added, of its gauges the newest values.

use std::collections::HashMap;
use std::hash::Hash;

use anyhow::Result;

use super::{Aggregate, Span};
use crate::loader::Loaded;
use crate::table::summary::Summary;

/// Counts of a row, which only grow.
pub trait RowCounts: Clone + Default {
    /// What was added since an earlier moment.
    #[must_use]
    fn since(&self, before: &Self) -> Self;

    /// Adds others: those of a row to a sum, or those of an interval to what was before.
    fn add(&mut self, other: &Self);

    /// True without any event.
    fn is_empty(&self) -> bool;
}

/// Counters. One that is read a moment too early may fall for an instant; its interval is empty then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterRow<const N: usize>(pub [u64; N]);

impl<const N: usize> Default for CounterRow<N> {
    fn default() -> Self {
        CounterRow([0; N])
    }
}

impl<const N: usize> RowCounts for CounterRow<N> {
    fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        since.0.iter_mut().zip(before.0).for_each(|(n, before)| *n = n.saturating_sub(before));
        since
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(n, other)| *n = n.saturating_add(other));
    }

    fn is_empty(&self) -> bool {
        self.0 == [0; N]
    }
}

/// A row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowTotals<G, C> {
    /// The newest values.
    pub gauges: G,
    /// Since the trace began, or of an interval.
    pub counts: C,
}

/// All rows at one moment, or what an interval added to them.
#[derive(Clone, Debug, Default)]
pub struct Snapshot<K, G, C> {
    /// In any order.
    pub rows: Vec<(K, RowTotals<G, C>)>,
    /// Keys that found no room, together: one row for each part of the table.
    pub rest: Vec<RowTotals<G, C>>,
    /// The last totals of rows that were removed, for each part. With these, totals are exact whatever was removed.
    pub retired: Vec<C>,
}

/// A snapshot of a table.
pub type SnapshotOf<T> =
    Snapshot<<T as TotalsTable>::Key, <T as TotalsTable>::Gauges, <T as TotalsTable>::Counts>;
/// Rows of a table.
pub type RowsOf<T> = Vec<(
    <T as TotalsTable>::Key,
    RowTotals<<T as TotalsTable>::Gauges, <T as TotalsTable>::Counts>,
)>;

/// An aggregate: totals of rows.
pub trait TotalsTable {
    type Key: Clone + Eq + Hash;
    type Gauges;
    type Counts: RowCounts;

    /// See [`Aggregate::begin`].
    fn begin(&mut self, _: &Loaded<'_>) -> Result<()> {
        Ok(())
    }

    /// See [`Aggregate::poll`].
    fn poll(&mut self, _: &Loaded<'_>) -> Result<()> {
        Ok(())
    }

    /// See [`Aggregate::record`].
    fn record(&mut self, _: &[u8]) -> bool {
        false
    }

    /// Totals since the trace began.
    fn totals(&mut self, loaded: &Loaded<'_>) -> Result<SnapshotOf<Self>>;

    /// Removes rows after an interval: those that ended, or idle ones if room is scarce. Their totals are in `retired` from now
    /// on. Returns those that may have grown since they were read.
    fn retire(&mut self, loaded: &Loaded<'_>, interval: &SnapshotOf<Self>) -> Result<RowsOf<Self>>;

    /// The part of the table that a row belongs to.
    fn part(&self, _: &Self::Key) -> usize {
        0
    }

    /// The number of events in counts of that part.
    fn events(&self, part: usize, counts: &Self::Counts) -> u64;

    /// Passes summaries of a snapshot or an interval to `print`.
    fn print(&self, rows: SnapshotOf<Self>, span: Span, print: &mut dyn FnMut(&Summary<'_>));
}

/// What earlier intervals had.
pub(super) struct Baseline<K, C> {
    rows: HashMap<K, C>,
    rest: Vec<C>,
}

impl<K: Clone + Eq + Hash, C: RowCounts> Baseline<K, C> {
    pub(super) fn new() -> Self {
        Baseline { rows: HashMap::new(), rest: Vec::new() }
    }

    /// Turns totals into an interval's counts.
    pub(super) fn advance<G>(&mut self, now: &mut Snapshot<K, G, C>) {
        let mut rows = HashMap::with_capacity(now.rows.len());
        for (key, row) in &mut now.rows {
            let mut before = self.rows.remove(key).unwrap_or_default();
            difference(&mut row.counts, &mut before);
            rows.insert(key.clone(), before);
        }
        self.rows = rows;
        self.rest.resize_with(now.rest.len(), C::default);
        for (row, before) in now.rest.iter_mut().zip(&mut self.rest) {
            difference(&mut row.counts, before);
        }
    }

    /// The same for a row that was removed; its key may come again, and counts from zero then.
    fn finish(&mut self, key: &K, counts: &mut C) {
        *counts = counts.since(&self.rows.remove(key).unwrap_or_default());
    }
}

fn difference<C: RowCounts>(counts: &mut C, before: &mut C) {
    *counts = counts.since(before);
    before.add(counts);
}

/// Prints a table's intervals, or its totals at the end.
pub struct Intervals<T: TotalsTable> {
    table: T,
    /// Each summary covers its interval; else there is one, of the whole run.
    intervals: bool,
    before: Baseline<T::Key, T::Counts>,
    reported: u64,
    counted: u64,
}

impl<T: TotalsTable> Intervals<T> {
    #[must_use]
    pub fn new(table: T, intervals: bool) -> Self {
        Intervals { table, intervals, before: Baseline::new(), reported: 0, counted: 0 }
    }

    /// The rows of the interval since the last call; without intervals, the totals so far.
    pub fn rows(&mut self, loaded: &Loaded<'_>) -> Result<SnapshotOf<T>> {
        let mut rows = self.table.totals(loaded)?;
        let retired = rows.retired.iter().enumerate();
        let retired: u64 = retired.map(|(part, counts)| self.table.events(part, counts)).sum();
        self.counted = self.events(&rows) + retired;
        if self.intervals {
            self.before.advance(&mut rows);
            for (key, mut last) in self.table.retire(loaded, &rows)? {
                self.before.finish(&key, &mut last.counts);
                rows.rows.push((key, last));
            }
        }
        self.reported += self.events(&rows);
        Ok(rows)
    }

    fn events(&self, rows: &SnapshotOf<T>) -> u64 {
        let of_rows =
            rows.rows.iter().map(|(key, row)| self.table.events(self.table.part(key), &row.counts));
        let rest = rows.rest.iter().map(|row| &row.counts).enumerate();
        of_rows.sum::<u64>() + rest.map(|(part, n)| self.table.events(part, n)).sum::<u64>()
    }
}

impl<T: TotalsTable> Aggregate for Intervals<T> {
    fn begin(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        self.table.begin(loaded)
    }

    fn poll(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        self.table.poll(loaded)
    }

    fn record(&mut self, bytes: &[u8]) -> bool {
        self.table.record(bytes)
    }

    fn print(
        &mut self,
        loaded: &Loaded<'_>,
        span: Span,
        print: &mut dyn FnMut(&Summary<'_>),
    ) -> Result<()> {
        let rows = self.rows(loaded)?;
        self.table.print(rows, span, print);
        Ok(())
    }

    fn events_reported(&self) -> u64 {
        self.reported
    }

    fn events_counted(&self) -> u64 {
        self.counted
    }
}

#[cfg(test)]
mod tests;
