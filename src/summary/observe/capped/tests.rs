//! Labels with a limit, from rows to series.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Result;
use proptest::prelude::*;

use super::*;
use crate::config::summary::{Keys, Metric, Names};
use crate::events::Types;
use crate::events::tcp_probe::copy;
use crate::loader::Loaded;
use crate::skel::bytes;
use crate::summary::Span;
use crate::summary::cumulative::Cumulative;
use crate::summary::observe::labels::{Labels, OTHER};
use crate::summary::totals::{CounterRow, RowTotals, RowsOf, Snapshot, SnapshotOf, TotalsTable};
use crate::table::summary::Summary;

fn options(by: &[By], iface: bool, caps: &[Option<u32>]) -> Observe {
    Observe {
        keys: Keys { by: by.to_vec(), iface, prefix: 32, prefix6: 128 },
        condition: None,
        trigger: None,
        names: Names::Own,
        metrics: vec![Metric::Bytes],
        max_rows: 100,
        top: None,
        caps: caps.to_vec(),
    }
}

fn key(sport: u16, comm: &str) -> Key {
    let mut key = Key { sport, ..Key::default() };
    key.comm[..comm.len()].copy_from_slice(comm.as_bytes());
    key
}

/// The labels of the series of that row.
fn labels_of(labels: &mut Labels, options: &Observe, row: &Key) -> Vec<String> {
    let series = labels.series_of(options, bytes(row));
    shown(labels, options, &series)
}

fn shown(labels: &Labels, options: &Observe, series: &[u8]) -> Vec<String> {
    let folded = series.get(size_of::<Key>()).copied().unwrap_or(0);
    labels.values(options, &copy::<Key>(series).unwrap(), folded, String::new())
}

#[test]
fn only_the_label_that_is_full_is_other() {
    let options = options(&[By::Lport, By::Comm], false, &[Some(2), None]);
    let mut labels = Labels::new(&Types::default(), &options);
    let mut of = |sport, comm: &str| labels_of(&mut labels, &options, &key(sport, comm)).join(" ");
    assert_eq!([of(80, "a"), of(443, "b"), of(22, "a")], ["80 a", "443 b", "other a"]);
    assert_eq!([of(22, "b"), of(80, "b"), of(0, "c")], ["other b", "80 b", " c"]);
    assert_eq!(of(80, OTHER), "80 \\x6fther", "it is not one that was folded");
    assert_eq!(labels.folded(&options), [("lport", 1)]);
    // A value whose rows are gone makes room; one that is other stays so.
    let rows = [key(443, "b"), key(22, "a"), key(22, "b")];
    labels.keep(&options, rows.map(|row| bytes(&row).to_vec()).iter());
    let mut of = |sport, comm: &str| labels_of(&mut labels, &options, &key(sport, comm)).join(" ");
    assert_eq!([of(22, "c"), of(8080, "a"), of(80, "a")], ["other c", "8080 a", "other a"]);
    assert_eq!(labels.folded(&options), [("lport", 2)]);
}

#[test]
fn a_namespace_is_in_two_labels() {
    let row = |netns, ifindex| Key { netns, ifindex, ..Key::default() };
    let options = options(&[By::Netns], true, &[Some(1), Some(2)]);
    let mut labels = Labels::new(&Types::default(), &options);
    let mut of = |netns, ifindex| labels_of(&mut labels, &options, &row(netns, ifindex)).join(" ");
    assert_eq!([of(1, 9999), of(2, 9999)], ["1 1 9999", "other 2 9999"]);
    assert_eq!([of(3, 9999), of(1, 9998)], ["other other other", "1 other other"]);
    let both = [row(3, 9999), row(4, 9999)];
    let both = both.map(|row| labels.series_of(&options, bytes(&row)));
    assert_eq!(both[0], both[1], "what looks the same is one series");
    assert_eq!(labels.folded(&options), [("netns", 3), ("iface", 3)]);
}

/// Read from nothing: the tests pass what it would have read.
struct Table;

impl TotalsTable for Table {
    type Key = Vec<u8>;
    type Gauges = ();
    type Counts = CounterRow<1>;

    fn totals(&mut self, _: &Loaded<'_>) -> Result<SnapshotOf<Self>> {
        Ok(Snapshot::default())
    }

    fn retire(&mut self, _: &Loaded<'_>, _: &SnapshotOf<Self>) -> Result<RowsOf<Self>> {
        Ok(Vec::new())
    }

    fn events(&self, _: usize, counts: &CounterRow<1>) -> u64 {
        counts.0[0]
    }

    fn print(&self, _: SnapshotOf<Self>, _: Span, _: &mut dyn FnMut(&Summary<'_>)) {}
}

fn row(count: u64) -> RowTotals<(), CounterRow<1>> {
    RowTotals { gauges: (), counts: CounterRow([count]) }
}

proptest! {
    /// Whatever rows come and go: a label has no more values than it may, no two series look the same, no counter falls while it
    /// is there, and all that they have grown by is what was counted.
    #[test]
    fn series_of_capped_labels_only_grow(
        steps in prop::collection::vec((0..7_u16, 0..4_u8, 1..9_u64, 0..8_u8), 1..150),
        caps in (1..4_u32, prop::option::of(1..3_u32)),
    ) {
        let options = options(&[By::Lport, By::Comm], false, &[Some(caps.0), caps.1]);
        let mut labels = Labels::new(&Types::default(), &options);
        let mut table = Cumulative::new(Table);
        let mut map: HashMap<Vec<u8>, u64> = HashMap::new();
        let mut before: HashMap<Vec<String>, u64> = HashMap::new();
        let (mut counted, mut grown) = (0, 0);
        for (sport, comm, count, what) in steps {
            let own = bytes(&key(sport, ["", "x", "y", "other"][usize::from(comm)])).to_vec();
            if what == 0 {
                // Only what was read before is idle.
                if let Some(last) = map.remove(&own) {
                    table.remove(&own, 0, &CounterRow([last]));
                    let keys: Vec<Vec<u8>> = table.keys().cloned().collect();
                    labels.keep(&options, keys.iter());
                }
            } else {
                *map.entry(own).or_default() += count;
                counted += count;
            }
            let rows = map.iter().map(|(key, n)| (key.clone(), row(*n))).collect();
            let read = Snapshot { rows, rest: vec![row(0)], retired: Vec::new() };
            table.raise(read, Instant::now(), &mut |row| labels.series_of(&options, row));
            let snapshot = table.snapshot();
            let now = snapshot.rows.iter().map(|(series, row)| (shown(&labels, &options, series), row.counts.0[0]));
            let now: Vec<(Vec<String>, u64)> = now.collect();
            let now_by_labels: HashMap<Vec<String>, u64> = now.iter().cloned().collect();
            prop_assert_eq!(now_by_labels.len(), now.len());
            for (at, cap) in options.caps.iter().enumerate() {
                let values: HashSet<&str> = now.iter().map(|(labels, _)| labels[at].as_str()).collect();
                let own = values.iter().filter(|value| !value.is_empty() && **value != OTHER).count();
                prop_assert!(cap.is_none_or(|cap| own <= cap as usize), "{values:?}");
            }
            for (labels, value) in &now_by_labels {
                let earlier = before.get(labels).copied().unwrap_or(0);
                prop_assert!(*value >= earlier, "{labels:?}: {earlier}, then {value}");
                grown += value - earlier;
            }
            before = now_by_labels;
        }
        prop_assert_eq!(grown, counted);
    }
}
