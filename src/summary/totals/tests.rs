//! Intervals of totals, with rows that come, go and come again.

use proptest::prelude::*;

use super::*;
use crate::summary::counted::Counted;

/// A map with little room, as in the kernel: what finds none is counted in the rest.
struct Map<C> {
    room: usize,
    rows: HashMap<u8, C>,
    rest: C,
    retired: C,
}

impl<C: RowCounts> Map<C> {
    fn count(&mut self, key: u8, event: &C) {
        if self.rows.contains_key(&key) || self.rows.len() < self.room {
            self.rows.entry(key).or_default().add(event);
        } else {
            self.rest.add(event);
        }
    }

    fn totals(&self) -> Snapshot<u8, (), C> {
        let entry = |counts: &C| RowTotals { gauges: (), counts: counts.clone() };
        Snapshot {
            rows: self.rows.iter().map(|(key, counts)| (*key, entry(counts))).collect(),
            rest: vec![entry(&self.rest)],
            retired: vec![self.retired.clone()],
        }
    }
}

fn sum<C: RowCounts>(rows: &Snapshot<u8, (), C>) -> C {
    let mut sum = C::default();
    rows.rows.iter().for_each(|(_, row)| sum.add(&row.counts));
    rows.rest.iter().for_each(|row| sum.add(&row.counts));
    sum
}

/// Counts events of those keys. After each batch an interval ends, in which idle rows are removed, each after one more event.
/// Returns the sum of the intervals and that of the last totals.
fn intervals<C: RowCounts>(room: usize, batches: &[Vec<u8>], event: impl Fn(u8) -> C) -> (C, C) {
    let empty = || (C::default(), C::default());
    let ((rest, retired), mut reported) = (empty(), C::default());
    let mut map = Map { room, rows: HashMap::new(), rest, retired };
    let mut before = Baseline::new();
    for batch in batches {
        batch.iter().for_each(|&key| map.count(key, &event(key)));
        let mut interval = map.totals();
        before.advance(&mut interval);
        reported.add(&sum(&interval));
        let idle = interval.rows.iter().filter(|(_, row)| row.counts.is_empty());
        for (key, _) in idle {
            map.count(*key, &event(*key));
            let mut last = map.rows.remove(key).unwrap();
            map.retired.add(&last);
            before.finish(key, &mut last);
            reported.add(&last);
        }
    }
    let totals = map.totals();
    let mut all = sum(&totals);
    totals.retired.iter().for_each(|counts| all.add(counts));
    (reported, all)
}

/// Events that `intervals` counts for them, those while rows are removed included.
fn truth(room: usize, batches: &[Vec<u8>]) -> u64 {
    let mut rows: HashMap<u8, bool> = HashMap::new();
    let mut events = 0;
    for batch in batches {
        rows.values_mut().for_each(|active| *active = false);
        for &key in batch {
            events += 1;
            if rows.contains_key(&key) || rows.len() < room {
                rows.insert(key, true);
            }
        }
        events += rows.values().filter(|active| !**active).count() as u64;
        rows.retain(|_, active| *active);
    }
    events
}

proptest! {
    #[test]
    fn intervals_and_totals_have_every_event_whatever_is_removed(
        room in 1..6_usize,
        batches in proptest::collection::vec(proptest::collection::vec(0..8_u8, 0..20), 1..30),
    ) {
        let events = truth(room, &batches);
        let (reported, all) = intervals(room, &batches, |key| CounterRow([1, key.into()]));
        prop_assert_eq!(reported, all);
        prop_assert_eq!(all.0[0], events);
        let histogram = |key: u8| Counted {
            sum: key.into(),
            min: Some(key.into()),
            max: key.into(),
            buckets: vec![(key.into(), 1)],
            ..Counted::default()
        };
        let (reported, all) = intervals(room, &batches, histogram);
        prop_assert_eq!(reported.count(), events);
        prop_assert_eq!(&reported, &all);
    }
}

fn snapshot(rows: &[(u8, u64)], rest: u64) -> Snapshot<u8, u64, CounterRow<1>> {
    let row = |&(key, n): &(u8, u64)| (key, RowTotals { gauges: n, counts: CounterRow([n]) });
    let rest = vec![RowTotals { gauges: 0, counts: CounterRow([rest]) }];
    Snapshot { rows: rows.iter().map(row).collect(), rest, retired: Vec::new() }
}

fn advanced(
    before: &mut Baseline<u8, CounterRow<1>>,
    mut now: Snapshot<u8, u64, CounterRow<1>>,
) -> Vec<(u64, u64)> {
    before.advance(&mut now);
    let rows = now.rows.iter().map(|(_, row)| row).chain(&now.rest);
    rows.map(|row| (row.gauges, row.counts.0[0])).collect()
}

#[test]
fn an_interval_has_differences_of_counts_and_the_newest_gauges() {
    let mut before = Baseline::new();
    assert_eq!(advanced(&mut before, snapshot(&[(1, 5)], 2)), [(5, 5), (0, 2)]);
    assert_eq!(advanced(&mut before, snapshot(&[(1, 9), (2, 3)], 2)), [(9, 4), (3, 3), (0, 0)]);
    assert_eq!(advanced(&mut before, snapshot(&[(2, 3)], 7)), [(3, 0), (0, 5)]);
    assert_eq!(advanced(&mut before, snapshot(&[(1, 2)], 7)), [(2, 2), (0, 0)], "1 began again");
}

/// As the time in a current state, which ends between two reads of the kernel's maps.
#[test]
fn a_count_that_falls_for_an_instant_is_not_counted_twice() {
    let mut before = Baseline::new();
    assert_eq!(advanced(&mut before, snapshot(&[(1, 10)], 0)), [(10, 10), (0, 0)]);
    assert_eq!(advanced(&mut before, snapshot(&[(1, 7)], 0)), [(7, 0), (0, 0)]);
    assert_eq!(advanced(&mut before, snapshot(&[(1, 12)], 0)), [(12, 2), (0, 0)]);
}
