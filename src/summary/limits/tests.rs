use super::*;
use crate::config::summary::LimitsBy;
use crate::skel::Cause;
use crate::table::Value;

const MS: u64 = 1_000_000;

/// The account of a socket that began then, with that much time of each cause.
fn snapshot(sk: u64, begin_ns: u64, times: &[(Cause, u64)]) -> LimitsSnapshot {
    let mut snapshot = LimitsSnapshot { sk, ..Default::default() };
    let limits = &mut snapshot.limits;
    (limits.begin_ns, limits.t0_ns) = (begin_ns, begin_ns);
    for (cause, ns) in times {
        limits.ns[cause.0 as usize] += ns;
        limits.t0_ns += ns;
    }
    snapshot.min_rtt_us = u32::MAX;
    snapshot
}

fn table(by: Vec<LimitsBy>) -> LimitsTable {
    LimitsTable::new(&Limits { by, min_share: 0, rows: None })
}

/// Of each row: the number of connections, the main cause, the time observed.
fn rows(table: &LimitsTable) -> Vec<(u64, String, u64)> {
    let all = table.all();
    let rows: Vec<(Id, ConnectionRow)> = all.rows;
    let groups = rows::group(rows, &table.options);
    let row = |group: &Group| {
        let line = group.line();
        let number = |value: Value<'_>| match value {
            Value::U64(number) => number,
            other => panic!("{other:?}"),
        };
        let main = match line.values[2] {
            Value::Str(name) => name.to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(line.values.len(), COLUMNS.len());
        let sum: u64 = line.values[3..3 + CAUSES].iter().map(|value| number(*value)).sum();
        assert_eq!(number(line.values[1]), sum, "the causes add up");
        (number(line.values[0]), main, sum)
    };
    groups.iter().map(row).collect()
}

#[test]
fn connections_of_one_socket_are_two_rows_and_a_group_adds_them() {
    let path = Cause::TCC_CAUSE_PATH;
    for (by, wanted) in [
        (vec![LimitsBy::Conn], vec![(1, "path", 3000), (1, "path", 2000), (1, "idle", 1000)]),
        (vec![LimitsBy::Pid], vec![(3, "path", 6000)]),
        (vec![], vec![(3, "path", 6000)]),
    ] {
        let mut all = table(by);
        all.take(&snapshot(1, 10, &[(path, 2 * MS)]));
        all.take(&LimitsSnapshot { closed: 1, ..snapshot(1, 10, &[(path, 3 * MS)]) });
        all.take(&snapshot(1, 20 * MS, &[(path, 2 * MS)]));
        all.take(&snapshot(2, 10, &[(Cause::TCC_CAUSE_IDLE, MS)]));
        let wanted: Vec<(u64, String, u64)> =
            wanted.into_iter().map(|(n, main, us)| (n, main.to_owned(), us)).collect();
        assert_eq!(rows(&all), wanted);
    }
}

#[test]
fn a_copy_made_during_an_update_is_left_out() {
    let mut all = table(vec![LimitsBy::Conn]);
    let good = snapshot(1, 0, &[(Cause::TCC_CAUSE_CWND, 5 * MS)]);
    all.take(&good);
    let mut torn = snapshot(1, 0, &[(Cause::TCC_CAUSE_CWND, 9 * MS)]);
    torn.limits.t0_ns -= MS;
    all.take(&torn);
    assert_eq!(rows(&all), [(1, "cwnd".to_owned(), 5000)]);
}

#[test]
fn counters_from_before_the_trace_do_not_count() {
    let mut all = table(vec![LimitsBy::Conn]);
    let mut old = snapshot(1, 0, &[(Cause::TCC_CAUSE_IDLE, MS)]);
    old.event.tcp.bytes_acked = 1_000_000;
    all.take(&old);
    let mut next = snapshot(1, 0, &[(Cause::TCC_CAUSE_IDLE, 2 * MS)]);
    next.event.tcp.bytes_acked = 1_000_500;
    all.take(&next);
    // Its handshake was observed, so its counters began at zero.
    let mut new = snapshot(2, 0, &[(Cause::TCC_CAUSE_HANDSHAKE, MS)]);
    new.event.tcp.bytes_acked = 700;
    all.take(&new);
    let mut bytes: Vec<u64> = all.all().rows.iter().map(|(_, row)| row.counts.0[BYTES]).collect();
    bytes.sort_unstable();
    assert_eq!(bytes, [500, 700]);
}

#[test]
fn rows_below_the_share_are_left_out_and_those_with_most_to_do_come_first() {
    let mut all = table(vec![LimitsBy::Conn]);
    all.options.min_share = 50;
    let (idle, path) = (Cause::TCC_CAUSE_IDLE, Cause::TCC_CAUSE_PATH);
    all.take(&snapshot(1, 0, &[(idle, 95 * MS), (path, 5 * MS)]));
    all.take(&snapshot(2, 0, &[(idle, 96 * MS), (path, 4 * MS)]));
    all.take(&snapshot(3, 0, &[(idle, MS), (path, 9 * MS)]));
    let wanted = [(1, "path".to_owned(), 10_000), (1, "idle".to_owned(), 100_000)];
    assert_eq!(rows(&all), wanted);
}

/// Rounded together, so that no microsecond is lost or made up.
#[test]
fn microseconds_add_up() {
    let mut counts = Counts::default();
    counts.0[..CAUSES].iter_mut().for_each(|ns| *ns = 1_999);
    let causes = rows::microseconds(&counts.0);
    assert_eq!(causes.iter().sum::<u64>(), 1_999 * CAUSES as u64 / 1000);
}
