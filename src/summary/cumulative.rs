//! Totals as counters that never fall, whatever happens to the rows that they are read from.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::totals::{RowCounts, RowTotals, Snapshot, SnapshotOf, TotalsTable};
use crate::loader::Loaded;

/// What of a row of the table is in its series.
struct Read<K, C> {
    counts: C,
    series: K,
    /// When it last grew.
    grew: Instant,
}

/// A table's totals. A row that is read a moment too early keeps its last values. Rows may share a series, which ends with the last
/// of them; what a row counted since it was last read is then added to the rest, so that each event is in the growth of exactly one
/// counter.
pub struct Cumulative<T: TotalsTable> {
    table: T,
    rows: HashMap<T::Key, Read<T::Key, T::Counts>>,
    series: HashMap<T::Key, RowTotals<T::Gauges, T::Counts>>,
    rest: Vec<T::Counts>,
    /// Rows that were removed.
    removed: u64,
    /// What the rest has of them, by part of the table.
    spilled: Vec<T::Counts>,
}

impl<T: TotalsTable<Gauges: Clone + Default>> Cumulative<T> {
    #[must_use]
    pub fn new(table: T) -> Self {
        Cumulative {
            table,
            rows: HashMap::new(),
            series: HashMap::new(),
            rest: Vec::new(),
            removed: 0,
            spilled: Vec::new(),
        }
    }

    /// Reads the table. `series_of`: the series of a row, which stays that of the row.
    pub fn read(
        &mut self,
        loaded: &Loaded<'_>,
        series_of: &mut dyn FnMut(&T::Key) -> T::Key,
    ) -> Result<SnapshotOf<T>> {
        let now = self.table.totals(loaded)?;
        self.raise(now, Instant::now(), series_of);
        Ok(self.snapshot())
    }

    pub(super) fn raise(
        &mut self,
        now: SnapshotOf<T>,
        at: Instant,
        series_of: &mut dyn FnMut(&T::Key) -> T::Key,
    ) {
        for (key, row) in now.rows {
            let read = self.rows.entry(key).or_insert_with_key(|key| Read {
                counts: T::Counts::default(),
                series: series_of(key),
                grew: at,
            });
            let grown = row.counts.since(&read.counts);
            let series = self.series.entry(read.series.clone()).or_default();
            series.gauges = row.gauges;
            if !grown.is_empty() {
                read.counts.add(&grown);
                read.grew = at;
                series.counts.add(&grown);
            }
        }
        if self.rest.len() < now.rest.len() {
            self.rest.resize_with(now.rest.len(), T::Counts::default);
        }
        for (known, row) in self.rest.iter_mut().zip(&now.rest) {
            let grown = row.counts.since(known);
            known.add(&grown);
        }
    }

    pub(super) fn snapshot(&self) -> SnapshotOf<T> {
        let rows = self.series.iter().map(|(key, row)| (key.clone(), row.clone())).collect();
        let rest = self.rest.iter().enumerate().map(|(part, counts)| {
            let mut counts = counts.clone();
            if let Some(spilled) = self.spilled.get(part) {
                counts.add(spilled);
            }
            RowTotals { gauges: T::Gauges::default(), counts }
        });
        Snapshot { rows, rest: rest.collect(), retired: Vec::new() }
    }

    /// Removes rows that have not grown for that long, if more than half of the table is in use.
    pub fn retire(&mut self, loaded: &Loaded<'_>, idle: Duration) -> Result<()> {
        let now = Instant::now();
        // What the table takes for idle are rows without counts.
        let row = |(key, read): (&T::Key, &Read<T::Key, T::Counts>)| {
            let is_idle = now.saturating_duration_since(read.grew) >= idle;
            let counts = if is_idle { T::Counts::default() } else { read.counts.clone() };
            (key.clone(), RowTotals { gauges: T::Gauges::default(), counts })
        };
        let rows = self.rows.iter().map(row).collect();
        let interval = Snapshot { rows, rest: Vec::new(), retired: Vec::new() };
        for (key, last) in self.table.retire(loaded, &interval)? {
            let part = self.table.part(&key);
            self.remove(&key, part, &last.counts);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &T::Key, part: usize, last: &T::Counts) {
        let Some(read) = self.rows.remove(key) else { return };
        self.removed += 1;
        let grown = last.since(&read.counts);
        if self.rows.values().any(|other| other.series == read.series) {
            if let Some(series) = self.series.get_mut(&read.series) {
                series.counts.add(&grown);
            }
            return;
        }
        self.series.remove(&read.series);
        self.spilled.resize_with(self.rest.len(), T::Counts::default);
        if let Some(spilled) = self.spilled.get_mut(part) {
            spilled.add(&grown);
        }
    }

    /// Rows of the table.
    pub fn keys(&self) -> impl Iterator<Item = &T::Key> {
        self.rows.keys()
    }

    /// Rows that were removed so far.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.removed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Span;
    use super::super::totals::{CounterRow, RowsOf};
    use super::*;
    use crate::table::summary::Summary;

    /// Read from nothing: the tests pass what it would have read.
    struct Table;

    impl TotalsTable for Table {
        type Key = u8;
        type Gauges = ();
        type Counts = CounterRow<2>;

        fn totals(&mut self, _: &Loaded<'_>) -> Result<SnapshotOf<Self>> {
            Ok(Snapshot::default())
        }

        fn retire(&mut self, _: &Loaded<'_>, _: &SnapshotOf<Self>) -> Result<RowsOf<Self>> {
            Ok(Vec::new())
        }

        fn events(&self, _: usize, counts: &CounterRow<2>) -> u64 {
            counts.0[0]
        }

        fn print(&self, _: SnapshotOf<Self>, _: Span, _: &mut dyn FnMut(&Summary<'_>)) {}
    }

    type Rows = Vec<(u8, RowTotals<(), CounterRow<2>>)>;

    fn row(counts: [u64; 2]) -> RowTotals<(), CounterRow<2>> {
        RowTotals { gauges: (), counts: CounterRow(counts) }
    }

    fn read(rows: Rows, rest: [u64; 2]) -> SnapshotOf<Table> {
        Snapshot { rows, rest: vec![row(rest)], retired: Vec::new() }
    }

    /// Each row is its own series.
    fn own(key: &u8) -> u8 {
        *key
    }

    #[test]
    fn a_row_that_falls_keeps_its_value_and_its_age() {
        let mut table = Cumulative::new(Table);
        let begin = Instant::now();
        let later = begin + Duration::from_secs(1);
        table.raise(read(vec![(1, row([5, 5]))], [0, 0]), begin, &mut own);
        table.raise(read(vec![(1, row([4, 5]))], [0, 0]), later, &mut own);
        assert_eq!(table.series[&1].counts, CounterRow([5, 5]));
        assert_eq!(table.rows[&1].grew, begin);
        table.raise(read(vec![(1, row([4, 6]))], [0, 0]), later, &mut own);
        assert_eq!(table.series[&1].counts, CounterRow([5, 6]));
        assert_eq!(table.rows[&1].grew, later);
    }

    #[test]
    fn what_a_removed_row_counted_last_is_in_the_rest() {
        let mut table = Cumulative::new(Table);
        table.raise(
            read(vec![(1, row([5, 0])), (2, row([1, 1]))], [7, 7]),
            Instant::now(),
            &mut own,
        );
        table.remove(&1, 0, &CounterRow([8, 1]));
        let snapshot = table.snapshot();
        assert_eq!(snapshot.rows, [(2, row([1, 1]))]);
        assert_eq!(snapshot.rest, [row([10, 8])]);
        assert_eq!(table.removed(), 1);
        // Its key comes again and counts from zero.
        table.raise(
            read(vec![(1, row([2, 0])), (2, row([1, 1]))], [7, 9]),
            Instant::now(),
            &mut own,
        );
        let snapshot = table.snapshot();
        assert!(snapshot.rows.contains(&(1, row([2, 0]))), "{snapshot:?}");
        assert_eq!(snapshot.rest, [row([10, 10])]);
    }

    #[test]
    fn rows_that_share_a_series_are_added_and_the_series_goes_on_without_the_first() {
        let mut table = Cumulative::new(Table);
        let mut odd_or_even = |key: &u8| key % 2;
        let now = Instant::now();
        table.raise(read(vec![(1, row([5, 0])), (3, row([2, 0]))], [0, 0]), now, &mut odd_or_even);
        assert_eq!(table.snapshot().rows, [(1, row([7, 0]))]);
        table.remove(&1, 0, &CounterRow([6, 0]));
        table.raise(read(vec![(3, row([3, 0]))], [0, 0]), now, &mut odd_or_even);
        assert_eq!(table.snapshot().rows, [(1, row([9, 0]))]);
        assert_eq!(table.snapshot().rest, [row([0, 0])]);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Count(u8),
        Remove(u8),
        Read,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..8_u8).prop_map(Step::Count),
            1 => (0..8_u8).prop_map(Step::Remove),
            2 => Just(Step::Read),
        ]
    }

    proptest! {
        /// What all counters have grown by is the number of events, whatever is removed and when it is read.
        #[test]
        fn each_event_is_in_the_growth_of_one_counter(steps in prop::collection::vec(step(), 1..200)) {
            const ROOM: usize = 4;
            let mut table = Cumulative::new(Table);
            let mut map: HashMap<u8, u64> = HashMap::new();
            let (mut rest, mut events, mut grown) = (0, 0, 0);
            let mut before: HashMap<Option<u8>, u64> = HashMap::new();
            for step in steps.into_iter().chain([Step::Read]) {
                match step {
                    Step::Count(key) => {
                        events += 1;
                        if map.contains_key(&key) || map.len() < ROOM {
                            *map.entry(key).or_default() += 1;
                        } else {
                            rest += 1;
                        }
                    }
                    // Only what was read before is idle.
                    Step::Remove(key) => {
                        if table.rows.contains_key(&key) {
                            let last = map.remove(&key).unwrap_or_default();
                            table.remove(&key, 0, &CounterRow([last, 0]));
                        }
                    }
                    Step::Read => {}
                }
                // A series that ends is absent once, so that its next one is a reset.
                if matches!(step, Step::Count(_)) {
                    continue;
                }
                let rows = map.iter().map(|(key, n)| (*key, row([*n, 0]))).collect();
                table.raise(read(rows, [rest, 0]), Instant::now(), &mut own);
                let snapshot = table.snapshot();
                let rows = snapshot.rows.iter().map(|(key, row)| (Some(*key), row.counts.0[0]));
                let now: HashMap<Option<u8>, u64> =
                    rows.chain([(None, snapshot.rest[0].counts.0[0])]).collect();
                for (key, value) in &now {
                    // As rate() takes it: a counter that is smaller was reset.
                    let earlier = before.get(key).copied().unwrap_or(0);
                    grown += if *value < earlier { *value } else { value - earlier };
                    prop_assert!(key.is_some() || *value >= earlier);
                }
                before = now;
            }
            prop_assert_eq!(grown, events);
        }
    }
}
