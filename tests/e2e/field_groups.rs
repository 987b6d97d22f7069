//! A record with only the field groups that were requested has the same values as one with all of them: for each set of groups
//! that a column needs, one trace of just these columns beside a trace of all fields, of the same packets, by each reader.

use std::collections::BTreeMap;

use serde_json::Value;
use tcc_trace::events::event_type;
use tcc_trace::events::fields::{FieldGroup, FieldGroups};

use crate::support::{
    LEARNT, Launch, Netns, Server, TICKS, Tracer, UNLOCKED, cells, compared, has_cc, is_root, tick,
    traffic_in, u64_of,
};

/// What a packet is recognised by: standard fields.
const IDENTITY: &str = "cookie,snd_nxt,snd_una,data_len";

/// The columns beyond the standard ones, by the groups that they need.
fn columns_by_groups() -> BTreeMap<String, Vec<&'static str>> {
    let mut sets: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for column in (event_type("probe").expect("probe").columns)() {
        let groups: Vec<&str> = FieldGroups::of([column]).iter().map(name).collect();
        if !groups.is_empty() {
            sets.entry(groups.join(" ")).or_default().push(column.name);
        }
    }
    sets
}

fn name(group: &'static FieldGroup) -> &'static str {
    group.name
}

/// A group of another algorithm is null as a whole.
fn cell<'c>(cells: &'c BTreeMap<String, Value>, column: &str) -> &'c Value {
    let group = column.split('.').next().unwrap_or_default();
    cells.get(column).or_else(|| cells.get(group)).unwrap_or_else(|| panic!("no {column}"))
}

/// Values that differ, and how many were compared.
fn compare(all: &[Value], some: &[Value], columns: &[&str]) -> (Vec<String>, usize) {
    let tick = tick();
    let (mut wrong, mut values, mut unlocked) = (Vec::new(), 0, 0);
    for (all, some) in all.iter().zip(some) {
        // On a busy machine a program may run long after the other one, and what goes on with time has gone on.
        let lag_us = u64_of(all, "mono_ns").abs_diff(u64_of(some, "mono_ns")) / 1000;
        let (all, some) = (cells(all), cells(some));
        for column in IDENTITY.split(',').chain(columns.iter().copied()) {
            let (a, b) = (cell(&all, column), cell(&some, column));
            let moved = a.as_i64().unwrap_or(0).abs_diff(b.as_i64().unwrap_or(0));
            let excused = (TICKS.contains(&column) && moved <= tick.unsigned_abs() + lag_us)
                || (LEARNT.contains(&column) && (a.is_null() || b.is_null()));
            values += 1;
            if a != b && UNLOCKED.contains(&column) {
                unlocked += 1;
            } else if a != b && !excused {
                wrong.push(format!("{column}: {a} of all fields, {b}"));
            }
        }
    }
    if unlocked * 10 > all.len() {
        wrong.push(format!("{unlocked} of {} differ in {UNLOCKED:?}", all.len()));
    }
    (wrong, values)
}

fn check(reader: &str, cc: &str) {
    let sets = columns_by_groups();
    let ns = Netns::new();
    ns.firewall("input", &["tcp flags != syn / syn,ack numgen random mod 100 < 2 drop"]);
    let launch = ns.launch().on_cpu(0);
    let server = Server::start_in(&launch, "127.0.0.1:9000", Some(cc));
    let inode = ns.inode().to_string();
    let start = |fields: &[&str]| {
        let args = ["-v", "--reader", reader, "--netns", &inode, "--buffer-size", "1048576"];
        Tracer::start_in(&Launch::here().with_tracefs(), &[&args, fields].concat())
    };
    let whole = start(&["--all-fields"]);
    let traces: Vec<_> = sets
        .iter()
        .map(|(groups, columns)| {
            let fields = format!("mono_ns,{IDENTITY},{}", columns.join(","));
            (groups, columns, start(&["--fields", &fields]))
        })
        .collect();
    let to = server.addr.to_string();
    traffic_in(&launch, &["bulk", "--to", &to, "--cc", cc, "--bytes", "1000000"]);
    let pingpong = ["pingpong", "--to", &to, "--cc", cc, "--count", "50", "--interval", "1ms"];
    traffic_in(&launch, &pingpong);
    server.settle();
    let whole = whole.stop();
    whole.check_account();
    assert!(whole.events.len() > 100, "{}", whole.events.len());
    for (groups, columns, tracer) in traces {
        let trace = tracer.stop();
        trace.check_account();
        // What was requested is loaded, and nothing else.
        let loaded = format!("tcc-trace: field groups of probe: {groups}");
        assert!(trace.stderr.lines().any(|line| line == loaded), "{groups}: {}", trace.stderr);
        assert_eq!(u64_of(&trace.end, "lost"), 0, "{groups}");
        assert_eq!(trace.events.len(), whole.events.len(), "{groups}");
        let (wrong, values) = compare(&whole.events, &trace.events, columns);
        assert!(wrong.is_empty(), "{reader}, {groups}: {}", wrong.join("\n"));
        compared(trace.events.len(), values);
    }
}

#[test]
fn sock_loads_the_same_values_group_by_group() {
    need!(is_root(), "not root");
    for cc in ["cubic", "bbr"].into_iter().filter(|cc| has_cc(cc)) {
        check("sock", cc);
    }
}

#[test]
fn raw_loads_the_same_values_group_by_group() {
    need!(is_root(), "not root");
    check("raw", "cubic");
}
