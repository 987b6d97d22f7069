//! Readings and ends in any order they can come.

use proptest::prelude::*;

use super::*;
use crate::summary::totals::Baseline;

fn snapshot(sk: u64, cookie: u64, acked: u64, born: u8, closed: u8) -> ConnSnapshot {
    let mut snapshot = ConnSnapshot { sk, born, closed, ..ConnSnapshot::default() };
    snapshot.event.head.cookie = cookie;
    snapshot.event.tcp.bytes_acked = acked;
    snapshot.event.tcp.bytes_received = 2 * acked;
    snapshot
}

/// After these readings: of each connection that moved something what it sent.
fn moved(snapshots: &[ConnSnapshot]) -> Vec<(u64, u64)> {
    let mut all = ConnectionTable::new(&Top { sort: Sort::All, rows: None, limits: false });
    snapshots.iter().for_each(|snapshot| all.take(*snapshot));
    let rows = all.all().rows.into_iter().map(|(_, row)| row);
    let mut moved: Vec<(u64, u64)> = rows
        .filter(super::moved)
        .map(|row| {
            let [rx, tx, ..] = row.counts.0;
            assert_eq!(rx, 2 * tx);
            (row.gauges.event.head.cookie, tx)
        })
        .collect();
    moved.sort_unstable();
    moved
}

#[test]
fn what_was_there_before_counts_from_its_first_reading_and_what_is_new_from_zero() {
    assert_eq!(moved(&[snapshot(1, 1, 500, 0, 0)]), []);
    assert_eq!(moved(&[snapshot(1, 1, 500, 0, 0), snapshot(1, 1, 700, 0, 0)]), [(1, 200)]);
    assert_eq!(moved(&[snapshot(1, 1, 500, 1, 0), snapshot(1, 1, 700, 1, 0)]), [(1, 700)]);
    assert_eq!(moved(&[snapshot(1, 1, 500, 0, 1)]), [], "not seen before, and gone");
    assert_eq!(moved(&[snapshot(1, 1, 500, 1, 1)]), [(1, 500)], "all of its life in one interval");
}

#[test]
fn several_holders_are_one_connection_and_an_address_that_is_used_again_is_another() {
    assert_eq!(moved(&[snapshot(1, 1, 5, 1, 0), snapshot(1, 1, 5, 1, 0)]), [(1, 5)]);
    let again = [snapshot(1, 1, 5, 1, 0), snapshot(1, 1, 9, 1, 1), snapshot(1, 2, 4, 1, 0)];
    assert_eq!(moved(&again), [(1, 9), (2, 4)]);
    let lost_end = [snapshot(1, 1, 5, 1, 0), snapshot(1, 2, 400, 1, 0), snapshot(1, 2, 500, 1, 0)];
    assert_eq!(moved(&lost_end), [(1, 5), (2, 500)]);
    let anew = [snapshot(1, 1, 50, 1, 0), snapshot(1, 1, 20, 1, 0)];
    assert_eq!(moved(&anew), [(1, 70)], "disconnected, and connected anew");
    let cookie_later = [snapshot(1, 0, 50, 0, 0), snapshot(1, 7, 60, 0, 0)];
    assert_eq!(moved(&cookie_later), [(7, 10)]);
}

/// Both have the socket's cookie; the end of the first may arrive when the second has been seen.
#[test]
fn a_socket_that_connects_again_begins_another_connection() {
    let again = |acked, closed| ConnSnapshot { generation: 1, ..snapshot(1, 1, acked, 1, closed) };
    let first = [snapshot(1, 1, 50, 1, 0), snapshot(1, 1, 60, 1, 1)];
    let late = [first[0], again(20, 0), first[1], again(70, 0)];
    assert_eq!(moved(&late), [(1, 60), (1, 70)]);
    let in_order = [first[0], first[1], again(20, 0), again(70, 1)];
    assert_eq!(moved(&in_order), [(1, 60), (1, 70)]);
}

/// The same, with a time each.
fn timed(snapshots: &[(u64, ConnSnapshot)]) -> Vec<(u64, u64)> {
    let at = |&(ns, mut snapshot): &(u64, ConnSnapshot)| {
        snapshot.event.head.mono_ns = ns;
        snapshot
    };
    moved(&snapshots.iter().map(at).collect::<Vec<_>>())
}

#[test]
fn an_end_that_arrives_after_the_next_connection_at_its_address_is_its_own() {
    let (first, end) = ((1, snapshot(1, 1, 5, 1, 0)), (2, snapshot(1, 1, 9, 1, 1)));
    let (next, next_end) = ((3, snapshot(1, 2, 400, 1, 0)), (4, snapshot(1, 2, 500, 1, 1)));
    assert_eq!(timed(&[first, next, end, next_end]), [(1, 9), (2, 500)]);
    assert_eq!(timed(&[first, next, next_end, end]), [(1, 9), (2, 500)]);
    assert_eq!(timed(&[next, end, next_end]), [(1, 9), (2, 500)], "never seen alive");
    assert_eq!(timed(&[first, next_end, end]), [(1, 9), (2, 500)]);
}

proptest! {
    /// Each connection's readings come in order, but ends late by as much as they like, over any number of intervals.
    #[test]
    fn every_byte_is_counted_once(
        lives in proptest::collection::vec((0..3_u64, 0..4_u64, 1..100_u64, 0..12_usize), 1..40),
        printed in proptest::collection::vec(any::<bool>(), 1..20),
    ) {
        let mut due: Vec<(usize, ConnSnapshot)> = Vec::new();
        let mut at = 0;
        for (cookie, &(sk, readings, bytes, late)) in (1..).zip(&lives) {
            for reading in 0..=readings {
                let closed = u8::from(reading == readings);
                let mut snapshot = snapshot(sk, cookie, bytes * (reading + 1), 1, closed);
                at += 1;
                snapshot.event.head.mono_ns = at as u64;
                due.push((at + late * usize::from(closed), snapshot));
            }
        }
        due.sort_by_key(|(at, _)| *at);
        let mut all = ConnectionTable::new(&Top { sort: Sort::All, rows: None, limits: false });
        let (mut sums, mut before) = (HashMap::new(), Baseline::new());
        let mut print = |all: &mut ConnectionTable| {
            let mut interval = all.all();
            before.advance(&mut interval);
            for (_, row) in interval.rows {
                *sums.entry(row.gauges.event.head.cookie).or_insert(0) += row.counts.0[TX];
            }
            all.next();
        };
        for (i, (_, snapshot)) in due.iter().enumerate() {
            all.take(*snapshot);
            if printed[i % printed.len()] {
                print(&mut all);
            }
        }
        print(&mut all);
        prop_assert!(all.living.is_empty() && all.displaced.values().all(Vec::is_empty));
        for (cookie, &(_, readings, bytes, _)) in (1..).zip(&lives) {
            prop_assert_eq!(sums.get(&cookie), Some(&(bytes * (readings + 1))));
        }
        let total: u64 = lives.iter().map(|(_, readings, bytes, _)| bytes * (readings + 1)).sum();
        let mut retired = Traffic::default();
        retired.0[..4].copy_from_slice(&[2 * total, total, 0, lives.len() as u64]);
        prop_assert_eq!(all.all().retired, [retired]);
    }
}
