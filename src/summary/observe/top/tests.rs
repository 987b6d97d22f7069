//! Which connections have series, and that these neither flap nor fall.

use proptest::prelude::*;

use super::*;
use crate::skel::bytes;

const INTERVAL: Duration = Duration::from_secs(60);

fn top(count: usize) -> Top {
    Top::new(TopConnections { count, interval: INTERVAL })
}

/// A connection of a socket at that address, which has sent so many bytes.
fn connection(sk: u64, cookie: u64, sent: u64) -> TopConn {
    let mut read = TopConn { sk, cookie, sport: 80, dport: sk as u16, ..TopConn::default() };
    read.ca_name[..4].copy_from_slice(b"reno");
    read.totals.bytes_acked = sent;
    read.totals.bytes_sent = sent;
    read.min_rtt_us = u32::MAX;
    read
}

/// As the kernel writes them.
fn written(all: &[TopConn]) -> Vec<u8> {
    all.iter().flat_map(|read| bytes(read).to_vec()).collect()
}

/// The cookies of those that have series, and what they have sent.
fn named(top: &Top) -> Vec<(u64, u64)> {
    let cookie = |labels: &[String]| labels[0].parse().unwrap_or(0);
    top.connections().iter().map(|named| (cookie(&named.labels), named.acked)).collect()
}

fn read(top: &mut Top, all: &[TopConn], at: Instant) -> Vec<(u64, u64)> {
    top.read(&written(all), at);
    named(top)
}

#[test]
fn those_that_moved_most_are_chosen_at_intervals() {
    let (mut top, begin) = (top(2), Instant::now());
    let all = [
        connection(1, 11, 500),
        connection(2, 12, 0),
        connection(3, 13, 900),
        connection(4, 14, 700),
    ];
    assert_eq!(read(&mut top, &all, begin), [(13, 900), (14, 700)]);
    // Until the interval is over, only values change.
    let all = [connection(1, 11, 90_000), connection(3, 13, 901), connection(4, 14, 700)];
    assert_eq!(read(&mut top, &all, begin + INTERVAL / 2), [(13, 901), (14, 700)]);
    assert_eq!(read(&mut top, &all, begin + INTERVAL), [(11, 90_000), (13, 901)]);
    assert_eq!(top.joined(), 3);
    // One that has ended leaves at once, and its place is taken at the next interval.
    let all = [connection(3, 13, 902), connection(4, 14, 701)];
    assert_eq!(read(&mut top, &all, begin + INTERVAL * 3 / 2), [(13, 902)]);
    assert_eq!(read(&mut top, &all, begin + INTERVAL * 2), [(13, 902), (14, 701)]);
    assert_eq!(read(&mut top, &[], begin + INTERVAL * 3), []);
}

#[test]
fn labels_are_those_of_the_beginning() {
    let (mut top, begin) = (top(1), Instant::now());
    let mut one = connection(1, 11, 500);
    one.saddr[10..].copy_from_slice(&[255, 255, 10, 0, 0, 1]);
    one.comm[..4].copy_from_slice(b"a\"b\n");
    read(&mut top, &[one], begin);
    one.ca_name[..4].copy_from_slice(b"bbr\0");
    one.srtt_us = 70;
    (one.rate_delivered, one.rate_interval_us, one.mss) = (10, 2000, 1000);
    read(&mut top, &[one], begin + INTERVAL);
    let [named] = &top.connections()[..] else { panic!() };
    assert_eq!(named.labels, ["11", "", "10.0.0.1", "80", "::", "1", "reno", "a\"b\\x0a"]);
    assert_eq!((named.srtt_us, named.min_rtt_us), (Some(70), None));
    assert_eq!(named.delivery_rate, Some(5_000_000));
}

/// Two that are nearly equal change places at each interval, and the series stay.
#[test]
fn series_do_not_flap() {
    let (mut top, begin) = (top(1), Instant::now());
    let (mut a, mut b) = (1000, 900);
    for turn in 0..20 {
        let all = [connection(1, 11, a), connection(2, 12, b)];
        assert_eq!(read(&mut top, &all, begin + INTERVAL * turn), [(11, a)]);
        (a, b) = if turn % 2 == 0 { (a + 100, b + 150) } else { (a + 150, b + 100) };
    }
    assert_eq!(top.joined(), 1);
}

#[test]
fn counters_do_not_begin_again_under_the_same_labels() {
    let (mut top, begin) = (top(2), Instant::now());
    // Without cookies, an address and ports that are used again give the same labels.
    assert_eq!(read(&mut top, &[connection(1, 0, 500)], begin), [(0, 500)]);
    assert_eq!(read(&mut top, &[connection(1, 0, 400)], begin + INTERVAL), []);
    assert_eq!(read(&mut top, &[connection(1, 0, 450)], begin + INTERVAL * 2), []);
    // By then the reader has forgotten the first one.
    assert_eq!(read(&mut top, &[connection(1, 0, 460)], begin + INTERVAL * 7), [(0, 460)]);
    // With a cookie the labels are others.
    let all = [connection(1, 77, 3)];
    assert_eq!(read(&mut top, &[], begin + INTERVAL * 8), []);
    assert_eq!(read(&mut top, &all, begin + INTERVAL * 9), [(77, 3)]);
}

proptest! {
    /// Whatever connections do: never more series than allowed, never more new ones in an interval, and no counter falls while the
    /// reader knows its series.
    #[test]
    fn series_are_bounded_and_only_grow(
        turns in prop::collection::vec(
            prop::collection::vec((1..8_u64, 0..3_u64, 0..2000_u64, any::<bool>()), 0..12), 1..40),
        count in 1..4_usize,
    ) {
        let (mut top, begin) = (top(count), Instant::now());
        let mut sent: HashMap<u64, (u64, u64)> = HashMap::new();
        let mut exported: HashMap<Vec<String>, (Instant, NamedConnection)> = HashMap::new();
        for (turn, changes) in (0..).zip(turns) {
            let at = begin + INTERVAL * turn;
            for (sk, cookie, bytes, ends) in changes {
                let entry = sent.entry(sk).or_insert((cookie, 0));
                if ends {
                    *entry = (cookie, 0);
                }
                entry.1 += bytes;
            }
            let all: Vec<TopConn> =
                sent.iter().map(|(sk, (cookie, sent))| connection(*sk, *cookie, *sent)).collect();
            let joined = top.joined();
            top.read(&written(&all), at);
            prop_assert!(top.joined() - joined <= count as u64);
            let connections = top.connections();
            prop_assert!(connections.len() <= count);
            let mut labels: Vec<_> = connections.iter().map(|named| named.labels.clone()).collect();
            labels.dedup();
            prop_assert_eq!(labels.len(), connections.len());
            for named in connections {
                if let Some((last, before)) = exported.get(&named.labels) && at - *last < REMEMBERED {
                    prop_assert!(named.continues(before), "{before:?}, then {named:?}");
                }
                exported.insert(named.labels.clone(), (at, named));
            }
        }
    }
}

#[test]
fn bytes_that_are_no_records_are_ignored() {
    let mut top = top(1);
    let mut written = written(&[connection(1, 11, 5)]);
    written.extend([1; 100]);
    top.read(&written, Instant::now());
    assert_eq!(named(&top), [(11, 5)]);
}
