//! Rows of `limits`: connections grouped by the key.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::columns::{CAUSES, SHARES};
use super::{
    BUSY, BYTES, ConnectionRow, Counts, Id, RECOVERIES, RETRANS, RTOS, SEEN, TLPS, evidence,
};
use crate::config::summary::{Limits, LimitsBy};
use crate::events::ca::until_nul;
use crate::skel::{Cause, LimitsSnapshot};
use crate::summary::totals::RowCounts;
use crate::table::Value;
use crate::table::summary::Line;

/// A value of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Null,
    Number(u64),
    Address(IpAddr),
    Name(Vec<u8>),
}

impl Part {
    fn unless_zero(number: u64) -> Self {
        if number == 0 { Part::Null } else { Part::Number(number) }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Part::Null => Value::Null,
            Part::Number(number) => Value::U64(*number),
            Part::Address(address) => Value::Ip(*address),
            Part::Name(name) => Value::Name(name),
        }
    }
}

/// In the order of the key's columns.
fn key(snapshot: &LimitsSnapshot, by: &[LimitsBy]) -> Vec<Part> {
    let (head, owner) = (&snapshot.event.head, &snapshot.event.owner);
    let address = |bytes: [u8; 16]| Part::Address(Ipv6Addr::from(bytes).to_canonical());
    let comm = until_nul(&owner.comm);
    let part = |name: &str| match name {
        "cookie" => Part::unless_zero(head.cookie),
        "saddr" => address(head.saddr),
        "sport" => Part::Number(head.sport.into()),
        "daddr" => address(head.daddr),
        "dport" => Part::Number(head.dport.into()),
        "netns" => Part::unless_zero(owner.netns.into()),
        "pid" => Part::unless_zero(owner.pid.into()),
        "comm" if owner.pid != 0 => Part::Name(comm.to_vec()),
        "cgroup_id" => Part::unless_zero(owner.cgroup_id),
        "ca_name" => Part::Name(until_nul(&snapshot.ca_name).to_vec()),
        _ => Part::Null,
    };
    let wanted = |name: &str| by.iter().any(|by| super::columns::parts(*by).contains(&name));
    super::columns::KEY
        .iter()
        .filter(|column| wanted(column.name))
        .map(|column| part(column.name))
        .collect()
}

/// One row of the output.
pub(super) struct Group {
    key: Vec<Part>,
    counts: Counts,
    evidence: Option<String>,
}

fn observed(counts: &Counts) -> u64 {
    counts.0[..CAUSES].iter().sum()
}

fn idle(counts: &Counts) -> u64 {
    counts.0[Cause::TCC_CAUSE_IDLE.0 as usize]
}

/// Causes with their time, those with the most first.
pub(super) fn by_time(counts: &Counts) -> Vec<(usize, u64)> {
    let mut causes: Vec<(usize, u64)> = counts.0[..CAUSES].iter().copied().enumerate().collect();
    causes.retain(|(_, ns)| *ns > 0);
    causes.sort_by_key(|(cause, ns)| (Reverse(*ns), *cause));
    causes
}

/// Groups with the most time in other states than idle come first.
pub(super) fn group(rows: Vec<(Id, ConnectionRow)>, options: &Limits) -> Vec<Group> {
    let each = options.by == [LimitsBy::Conn];
    // Two connections of a socket in one interval have the same key, and are two rows.
    let mut found: BTreeMap<(Vec<Part>, Option<Id>), Group> = BTreeMap::new();
    for (id, row) in rows {
        let key = key(&row.gauges, &options.by);
        let evidence = if each { evidence::of(&row.counts, &row.gauges) } else { None };
        let group = found.entry((key.clone(), each.then_some(id))).or_insert_with(|| Group {
            key,
            counts: Counts::default(),
            evidence,
        });
        group.counts.add(&row.counts);
        // A row of an interval counts its connection, whether it is new or not.
        group.counts.0[SEEN] += u64::from(row.counts.0[SEEN] == 0);
    }
    let mut groups: Vec<Group> = found.into_values().collect();
    groups.retain(|group| {
        let busy = observed(&group.counts) - idle(&group.counts);
        u128::from(busy) * 1000
            >= u128::from(observed(&group.counts)) * u128::from(options.min_share)
    });
    groups.sort_by_key(|group| Reverse(observed(&group.counts) - idle(&group.counts)));
    groups
}

/// `3 connections in 1.000 s: path 62 %, idle 30 %`.
pub(super) fn title(rows: &[(Id, ConnectionRow)], interval_ns: u64) -> String {
    let mut all = Counts::default();
    rows.iter().for_each(|(_, row)| all.add(&row.counts));
    let total = observed(&all).max(1);
    let share = |&(cause, ns): &(usize, u64)| {
        format!("{} {} %", SHARES[cause].name, (ns as f64 * 100.0 / total as f64).round())
    };
    let shares: Vec<String> = by_time(&all).iter().take(4).map(share).collect();
    let seconds = interval_ns as f64 / 1e9;
    let count = rows.len();
    let what = if count == 1 { "connection" } else { "connections" };
    if shares.is_empty() {
        return format!("{count} {what} in {seconds:.3} s");
    }
    format!("{count} {what} in {seconds:.3} s: {}", shares.join(", "))
}

/// Microseconds of each cause, which add up to those of the sum.
pub fn microseconds(ns: &[u64]) -> [u64; CAUSES] {
    let mut sum = 0_u64;
    std::array::from_fn(|cause| {
        let before = sum / 1000;
        sum += ns.get(cause).copied().unwrap_or(0);
        sum / 1000 - before
    })
}

impl Group {
    pub(super) fn line(&self) -> Line<'_> {
        let counts = &self.counts.0;
        let causes = microseconds(counts);
        let main = by_time(&self.counts)
            .first()
            .map_or(Value::Null, |(cause, _)| Value::Str(SHARES[*cause].name));
        let head = [Value::U64(counts[SEEN]), Value::U64(causes.iter().sum()), main];
        let facts = [BYTES, RETRANS, RTOS, TLPS, RECOVERIES, BUSY, BUSY + 1, BUSY + 2];
        let evidence = self.evidence.as_deref().map_or(Value::Null, Value::Str);
        Line {
            key: Some(self.key.iter().map(Part::value).collect()),
            values: head
                .into_iter()
                .chain(causes.map(Value::U64))
                .chain(facts.map(|at| Value::U64(counts[at])))
                .chain([evidence])
                .collect(),
            buckets: Vec::new(),
        }
    }
}
