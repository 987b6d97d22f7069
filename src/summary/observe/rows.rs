//! The rows of an interval, with everything that the tables have of a key.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::Interval;
use super::columns::{self, CA_STATES, DATA_SEGS_OUT, LIMITS, OPEN, RESETS_RECEIVED, SUMS, WEIGHT};
use super::names::Names;
use super::ss_names;
use super::tables::{CountRow, reason_of};
use crate::config::summary::{Metric, Names as Naming, Observe, TimeField};
use crate::events::ca::until_nul;
use crate::events::names::LIMIT_CAUSES;
use crate::events::tcp_probe::copy;
use crate::loader::summaries::number;
use crate::skel::{Key, ObserveReason, bytes};
use crate::summary::counted::Counted;
use crate::summary::limits::microseconds;
use crate::summary::totals::{CounterRow, RowCounts};
use crate::table::Value;
use crate::table::summary::{Line, SummarySchema};

/// Recovery states, whose times are the first sums of their rows.
const STATES: usize = CA_STATES.len();
const RESETS: u32 = ObserveReason::TCC_REASON_RESET_SENT.0;
const DROPS: u32 = ObserveReason::TCC_REASON_DROP.0;

/// Everything of one key.
#[derive(Default)]
pub(super) struct Row {
    /// `None`: keys that found no room.
    pub(super) key: Option<Key>,
    /// A bit for each label of `export` that is `other`.
    pub(super) folded: u8,
    networks: [Option<String>; 2],
    cookie: Option<u64>,
    pub(super) counts: CounterRow<SUMS>,
    /// What has the reason, the kernel's number, and how often. Without a number: reasons that found no room.
    pub(super) reasons: Vec<(u32, Option<u32>, u64)>,
    pub(super) distributions: Vec<(TimeField, Counted)>,
    /// ns in each recovery state.
    pub(super) state_times: [u64; STATES],
}

pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
}

/// The key without what distinguishes rows of one key.
fn own_key(key: &[u8]) -> Vec<u8> {
    let own: Key = copy(key).unwrap_or_default();
    [bytes(&Key { value: 0, reason: 0, ..own }), folded(key)].concat()
}

/// What `export` has added to a key.
fn folded(key: &[u8]) -> &[u8] {
    key.get(size_of::<Key>()..).unwrap_or_default()
}

fn network(address: [u8; 16], options: &Observe) -> Option<String> {
    let keys = &options.keys;
    match Ipv6Addr::from(address).to_canonical() {
        IpAddr::V4(ip) if keys.prefix < 32 => Some(format!("{ip}/{}", keys.prefix)),
        IpAddr::V6(ip) if keys.prefix6 < 128 => Some(format!("{ip}/{}", keys.prefix6)),
        _ => None,
    }
}

impl Row {
    fn is_empty(&self) -> bool {
        self.counts.is_empty()
            && self.reasons.is_empty()
            && self.distributions.is_empty()
            && self.state_times == [0; STATES]
    }

    fn add_times(&mut self, sums: &[u64]) {
        self.state_times.iter_mut().zip(sums).for_each(|(time, ns)| *time += ns);
    }

    /// The peer's address, or its network.
    pub(super) fn peer(&self) -> String {
        let address = || self.key.map(|key| Ipv6Addr::from(key.daddr).to_canonical().to_string());
        self.networks[1].clone().or_else(address).unwrap_or_default()
    }

    fn weight(&self) -> u64 {
        WEIGHT.iter().map(|at| self.counts.0[*at]).sum()
    }

    fn add_counts(&mut self, row: &CountRow) {
        self.counts.add(&row.counts);
        self.cookie = self.cookie.or(row.gauges);
    }
}

impl Rows {
    pub fn new(interval: Interval, options: &Observe) -> Self {
        let mut rows: BTreeMap<Vec<u8>, Row> = BTreeMap::new();
        let mut rest = Row::default();
        if let Some(counts) = interval.counts {
            for (key, row) in counts.rows.iter().filter(|(_, row)| !row.counts.is_empty()) {
                rows.entry(own_key(key)).or_default().add_counts(row);
            }
            counts.rest.first().iter().for_each(|row| rest.add_counts(row));
        }
        if let Some(reasons) = interval.reasons {
            for (key, row) in reasons.rows.iter().filter(|(_, row)| !row.counts.is_empty()) {
                if let Some((of, reason)) = reason_of(key) {
                    let own = rows.entry(own_key(key)).or_default();
                    own.reasons.push((of, Some(reason), row.counts.0[0]));
                }
            }
            for (of, row) in (0_u32..).zip(&reasons.rest).filter(|(_, row)| !row.counts.is_empty())
            {
                rest.reasons.push((of, None, row.counts.0[0]));
            }
        }
        if let Some(distributions) = interval.distributions {
            let fields = options.histograms().fields;
            for (key, row) in distributions.rows.iter().filter(|(_, row)| !row.counts.is_empty()) {
                let value = copy::<Key>(key).map(|key| key.value);
                let field = fields.iter().find(|field| Some(number(**field)) == value);
                if let Some(field) = field {
                    let own = rows.entry(own_key(key)).or_default();
                    own.distributions.push((*field, row.counts.clone()));
                }
            }
            for (field, row) in fields.iter().zip(&distributions.rest) {
                if !row.counts.is_empty() {
                    rest.distributions.push((*field, row.counts.clone()));
                }
            }
        }
        if let Some(times) = interval.state_times {
            for (key, row) in times.rows.iter().filter(|(_, row)| !row.counts.is_empty()) {
                rows.entry(own_key(key)).or_default().add_times(&row.counts.0);
            }
            times.rest.first().iter().for_each(|row| rest.add_times(&row.counts.0));
        }
        if options.is_one_row() {
            // Without keys, every label is printed, whatever has happened.
            rows.entry(bytes(&Key::default()).to_vec()).or_default();
        }
        let mut rows: Vec<Row> = rows
            .into_iter()
            .map(|(key, row)| {
                let folded = folded(&key).first().copied().unwrap_or(0);
                let key: Key = copy(&key).unwrap_or_default();
                let networks = [network(key.saddr, options), network(key.daddr, options)];
                Row { key: Some(key), folded, networks, ..row }
            })
            .collect();
        rows.sort_by_key(|row| Reverse(row.weight()));
        if !rest.is_empty() {
            rows.push(rest);
        }
        rows.iter_mut().for_each(|row| {
            row.reasons.sort_by_key(|(of, reason, count)| (*of, Reverse(*count), *reason));
        });
        Rows { rows }
    }

    pub fn title(&self, interval_ns: u64) -> String {
        let sum = |at: usize| self.rows.iter().map(|row| row.counts.0[at]).sum::<u64>();
        let [sent, received] = WEIGHT.map(sum);
        format!(
            "{} connections open, {} kB sent, {} kB received in {:.3} s",
            sum(OPEN),
            sent / 1024,
            received / 1024,
            interval_ns as f64 / 1e9
        )
    }

    pub fn lines<'a>(
        &'a self,
        options: &Observe,
        names: &'a Names,
        schema: &SummarySchema,
    ) -> Vec<Line<'a>> {
        let mut lines = Vec::new();
        for row in &self.rows {
            let key = row.key.as_ref().map(|_| row.key_values(names, schema));
            let every = options.is_one_row() && row.key.is_some();
            for metric in &options.metrics {
                row.lines(*metric, every, names, &key, &mut lines);
            }
        }
        if options.names == Naming::Ss {
            lines.iter_mut().for_each(ss_names::rename);
        }
        lines
    }
}

/// The columns that only distributions have.
const EMPTY: usize = 9;

fn scalar<'a>(
    key: &Option<Vec<Value<'a>>>,
    (metric, label): (&'static str, Value<'a>),
    value: u64,
    per_data_seg: Value<'a>,
) -> Line<'a> {
    let mut values = vec![Value::Str(metric), label, Value::U64(value), per_data_seg];
    values.extend([Value::Null; EMPTY]);
    Line { key: key.clone(), values, buckets: Vec::new() }
}

fn distribution<'a>(
    key: &Option<Vec<Value<'a>>>,
    metric: &'static str,
    counted: &Counted,
) -> Line<'a> {
    let number = |value: Option<u64>| value.map_or(Value::Null, Value::U64);
    let values = vec![
        Value::Str(metric),
        Value::Null,
        Value::U64(counted.count()),
        Value::Null,
        Value::U64(counted.unset),
        Value::U64(counted.sum),
        counted.average().map_or(Value::Null, Value::F64),
        number(counted.least()),
        number(counted.quantile(500)),
        number(counted.quantile(900)),
        number(counted.quantile(990)),
        number(counted.quantile(999)),
        number(counted.most()),
    ];
    Line { key: key.clone(), values, buckets: counted.printed() }
}

impl Row {
    fn key_values<'a>(&'a self, names: &'a Names, schema: &SummarySchema) -> Vec<Value<'a>> {
        let Some(key) = &self.key else { return Vec::new() };
        let address = |bytes: [u8; 16], network: &'a Option<String>| match network {
            Some(network) => Value::Str(network),
            None => Value::Ip(Ipv6Addr::from(bytes).to_canonical()),
        };
        let name = |bytes: &'a [u8]| match until_nul(bytes) {
            [] => Value::Null,
            name => Value::Name(name),
        };
        let text = |text: Option<&'a str>| text.map_or(Value::Null, Value::Str);
        let value = |column: &&crate::table::Column| match ss_names::own_name(column.name) {
            "netns" => Value::unless(key.netns.into(), 0),
            "saddr" => address(key.saddr, &self.networks[0]),
            "sport" => Value::U64(key.sport.into()),
            "daddr" => address(key.daddr, &self.networks[1]),
            "dport" => Value::U64(key.dport.into()),
            "cookie" => self.cookie.map_or(Value::Null, Value::U64),
            "cgroup_id" => Value::unless(key.cgroup_id, 0),
            "cgroup" => text(names.cgroup(key.cgroup_id)),
            "ca_name" => name(&key.ca_name),
            "pid" => Value::unless(key.pid.into(), 0),
            "comm" => name(&key.comm),
            "ifindex" => Value::unless(key.ifindex.into(), 0),
            "ifname" => text(names.interface(key.netns, key.ifindex)),
            _ => Value::Null,
        };
        schema.key.iter().map(value).collect()
    }

    /// Those of a metric. `every`: also labels that are 0.
    fn lines<'a>(
        &'a self,
        metric: Metric,
        every: bool,
        names: &'a Names,
        key: &Option<Vec<Value<'a>>>,
        lines: &mut Vec<Line<'a>>,
    ) {
        let data_segs = self.counts.0[DATA_SEGS_OUT];
        for (name, labels) in columns::sums(metric) {
            for (label, at) in *labels {
                let value = self.counts.0[*at];
                let ratio = match metric {
                    Metric::Retransmits if data_segs > 0 => {
                        Value::F64(value as f64 / data_segs as f64)
                    }
                    _ => Value::Null,
                };
                if every || value > 0 {
                    lines.push(scalar(key, (name, Value::Str(label)), value, ratio));
                }
            }
        }
        let reasons = |of: u32| self.reasons.iter().filter(move |(found, ..)| *found == of);
        let mut by_reason = |name: &'static str, of: u32| {
            for (_, reason, count) in reasons(of) {
                let label = reason.and_then(|reason| names.reason(of, reason));
                let label = label.map_or(Value::Null, Value::Str);
                lines.push(scalar(key, (name, label), *count, Value::Null));
            }
        };
        match metric {
            Metric::CaStates => {
                for ((label, _), ns) in CA_STATES.iter().zip(self.state_times) {
                    if every || ns > 0 {
                        let labelled = ("ca_state_time_us", Value::Str(label));
                        lines.push(scalar(key, labelled, ns / 1000, Value::Null));
                    }
                }
            }
            Metric::Limits => {
                let ns = self.counts.0.get(LIMITS..).unwrap_or_default();
                for (label, us) in LIMIT_CAUSES.iter().zip(microseconds(ns)) {
                    if every || us > 0 {
                        let labelled = ("limit_time_us", Value::Str(label));
                        lines.push(scalar(key, labelled, us, Value::Null));
                    }
                }
            }
            Metric::Resets => {
                by_reason("resets_sent", RESETS);
                let received = self.counts.0[RESETS_RECEIVED];
                if every || received > 0 {
                    let labelled = ("resets_received", Value::Null);
                    lines.push(scalar(key, labelled, received, Value::Null));
                }
            }
            Metric::Drops => by_reason("drops", DROPS),
            _ => {}
        }
        for field in metric.fields() {
            let found = self.distributions.iter().find(|(of, _)| of == field);
            match found {
                Some((_, counted)) => {
                    lines.push(distribution(key, columns::distribution(*field), counted));
                }
                None if every => lines.push(distribution(
                    key,
                    columns::distribution(*field),
                    &Counted::default(),
                )),
                None => {}
            }
        }
    }
}
