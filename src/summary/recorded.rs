//! Aggregates of recorded events: the rows that the programs would have made of them, made here.

use std::collections::HashMap;

use super::Span;
use super::counted::Counted;
use super::histograms::HistogramTable;
use super::sums::{SUMS, SumTable};
use super::totals::{CounterRow, RowTotals, Snapshot, TotalsTable};
use crate::config::summary::{By, Histograms, Keys, RowOptions, SummaryOptions, TimeField};
use crate::decode;
use crate::events::{EVENT_TYPES, EventType};
use crate::loader::summaries::number;
use crate::recording::schema;
use crate::skel::{Head, Key, RetransSum, bytes};
use crate::slot::Slot;
use crate::table::summary::{AggregateSource, Summary};
use crate::table::{Column, Origin};

type SumRow = RowTotals<Option<u64>, CounterRow<SUMS>>;

/// An aggregate of a command.
pub struct RecordedAggregate {
    rows: Rows,
    keys: Keys,
    /// What is read beside the head, by number of the event type.
    members: Vec<Members>,
    max_rows: usize,
}

enum Rows {
    Histograms {
        table: HistogramTable,
        fields: Vec<TimeField>,
        rows: HashMap<Vec<u8>, Counted>,
        /// Keys that found no room, by field.
        rest: Vec<Counted>,
    },
    Sums {
        table: SumTable,
        rows: HashMap<Vec<u8>, SumRow>,
        rest: SumRow,
    },
}

/// Members of one event type's records, by name.
struct Members {
    event_type: &'static EventType,
    slots: HashMap<&'static str, Slot>,
}

/// Those that keys and values are made of.
const PATHS: [&str; 13] = [
    "head.cookie",
    "owner.pid",
    "owner.cgroup_id",
    "owner.netns",
    "std.srtt_us",
    "rtt.min_rtt_us",
    "rtt.rttvar_us",
    "rtt.mdev_us",
    "latency_ns",
    "handshake_us",
    "wait_ns",
    "class",
    "segs",
];
/// Columns that are no numbers, or whose numbers have names.
const COLUMNS: [&str; 3] = ["ca_name", "comm", "outcome"];

impl Members {
    fn new(event_type: &'static EventType) -> Self {
        let member = |path| Some((path, schema::member(event_type, path)?));
        let column = |name| Some((name, slot_of(event_type, name)?));
        let members = PATHS.into_iter().filter_map(member);
        let slots = members.chain(COLUMNS.into_iter().filter_map(column)).collect();
        Members { event_type, slots }
    }

    /// Its number in a record.
    fn get(&self, name: &str, record: &[u8]) -> Option<u64> {
        self.slots.get(name)?.stored(record)
    }
}

/// The columns that rows by that need, beside the head.
fn column_of(by: By) -> Option<&'static str> {
    match by {
        By::Cgroup => Some("cgroup_id"),
        By::Netns | By::Ends => Some("netns"),
        By::Cc => Some("ca_name"),
        By::Pid | By::Comm => Some("pid"),
        By::Conn | By::Laddr | By::Raddr | By::Lport | By::Rport => None,
    }
}

impl RecordedAggregate {
    /// `None`: what the command counts is not in events.
    #[must_use]
    pub fn new(options: &SummaryOptions) -> Option<Self> {
        let (keys, max_rows, rows) = match (&options.aggregate.source, &options.rows) {
            (AggregateSource::Histograms, RowOptions::Histograms(histograms)) => {
                let Histograms { keys, fields, .. } = histograms;
                let rows = Rows::Histograms {
                    table: HistogramTable::new(options.aggregate, histograms),
                    fields: fields.clone(),
                    rows: HashMap::new(),
                    rest: vec![Counted::default(); fields.len()],
                };
                (keys, histograms.rows(), rows)
            }
            (AggregateSource::Sums(layout), RowOptions::Sums(sums)) if !layout.state_times => {
                let rows = Rows::Sums {
                    table: SumTable::new(options.aggregate, layout, sums),
                    rows: HashMap::new(),
                    rest: SumRow::default(),
                };
                (&sums.keys, sums.max_rows, rows)
            }
            _ => return None,
        };
        let members = EVENT_TYPES.iter().map(Members::new).collect();
        Some(RecordedAggregate { rows, keys: keys.clone(), members, max_rows: max_rows as usize })
    }

    /// The columns of an event type that it is made from, beside those of the head. Each has to be in the records.
    #[must_use]
    pub fn columns(&self, event_type: &EventType) -> Vec<&'static str> {
        let of_keys = self.keys.by.iter().filter_map(|by| column_of(*by));
        let fields = match &self.rows {
            Rows::Histograms { fields, .. } if event_type.is_probe() => &fields[..],
            _ => &[],
        };
        of_keys.chain(fields.iter().map(|field| field.name())).collect()
    }

    /// Counts a record; false if it is not valid.
    pub fn record(&mut self, record: &[u8]) -> bool {
        let members = decode::event_type(record).and_then(|number| self.members.get(number));
        let Some(members) = members else {
            return false;
        };
        let Some(mut key) = key(&self.keys, members, record) else { return false };
        match &mut self.rows {
            Rows::Histograms { fields, rows, rest, .. } => {
                for (part, field) in fields.iter().enumerate() {
                    let Some(value) = value(*field, members, record) else { continue };
                    key.value = number(*field);
                    let key = bytes(&key);
                    let room = rows.len() < self.max_rows || rows.contains_key(key);
                    match (room, rest.get_mut(part)) {
                        (true, _) => rows.entry(key.to_vec()).or_default().count_value(value),
                        (false, Some(rest)) => rest.count_value(value),
                        (false, None) => {}
                    }
                }
            }
            Rows::Sums { rows, rest, .. } => {
                let key = bytes(&key);
                let room = rows.len() < self.max_rows || rows.contains_key(key);
                let row = if room { rows.entry(key.to_vec()).or_default() } else { rest };
                add(row, members, record);
            }
        }
        true
    }

    /// Passes the rows since the last call to `print`.
    pub fn print(&mut self, span: Span, print: &mut dyn FnMut(&Summary<'_>)) {
        match &mut self.rows {
            Rows::Histograms { table, rows, rest, .. } => {
                let entry = |counts| RowTotals { gauges: (), counts };
                let rows = rows.drain().map(|(key, counts)| (key, entry(counts))).collect();
                let rest = rest.iter_mut().map(std::mem::take).map(entry).collect();
                table.print(Snapshot { rows, rest, retired: Vec::new() }, span, print);
            }
            Rows::Sums { table, rows, rest } => {
                let rows = rows.drain().collect();
                let rest = vec![std::mem::take(rest)];
                table.print(Snapshot { rows, rest, retired: Vec::new() }, span, print);
            }
        }
    }
}

/// The key of a record's row.
fn key(keys: &Keys, members: &Members, record: &[u8]) -> Option<Key> {
    let head: Head = crate::events::tcp_probe::copy(record.get(..size_of::<Head>())?)?;
    let get = |name| members.get(name, record).unwrap_or_default();
    let mut key = Key::default();
    for by in &keys.by {
        let ends = matches!(by, By::Conn | By::Ends);
        if *by == By::Conn {
            key.cookie = head.cookie;
        }
        if ends || *by == By::Laddr {
            key.saddr = net(head.saddr, keys);
        }
        if ends || *by == By::Raddr {
            key.daddr = net(head.daddr, keys);
        }
        if ends || *by == By::Lport {
            key.sport = head.sport;
        }
        if ends || *by == By::Rport {
            key.dport = head.dport;
        }
        match by {
            By::Cgroup => key.cgroup_id = get("owner.cgroup_id"),
            By::Netns | By::Ends => key.netns = get("owner.netns") as u32,
            By::Cc => {
                let slot = members.slots.get("ca_name");
                let name = slot.and_then(|slot| slot.text(record)).unwrap_or_default();
                key.ca_name.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
            }
            By::Pid | By::Comm if get("owner.pid") != 0 => {
                if *by == By::Pid {
                    key.pid = get("owner.pid") as u32;
                }
                let slot = members.slots.get("comm");
                let name = slot.and_then(|slot| slot.text(record)).unwrap_or_default();
                key.comm.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
            }
            _ => {}
        }
    }
    Some(key)
}

/// The network of an address.
fn net(address: [u8; 16], keys: &Keys) -> [u8; 16] {
    let bits = u128::from_be_bytes(address);
    let prefix = if bits >> 32 == 0xffff { 96 + keys.prefix } else { keys.prefix6 };
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
    (bits & mask).to_be_bytes()
}

fn slot_of(event_type: &EventType, name: &str) -> Option<Slot> {
    let column: &'static Column =
        (event_type.columns)().into_iter().find(|column| column.name == name)?;
    match column.origin {
        Origin::Slot(slot) => Some(slot),
        _ => None,
    }
}

/// What an event adds to the histogram of a field: nothing, a value, or one that is not known.
fn value(field: TimeField, members: &Members, record: &[u8]) -> Option<Option<u64>> {
    let get = |name| members.get(name, record);
    // A time that is 0 where it is not known.
    let time = |ns: Option<u64>| Some(ns.filter(|ns| *ns > 0).map(|ns| ns / 1000));
    let probe = members.event_type.is_probe();
    // The three are set by the first sample of the RTT.
    let after_sample = |name| get("std.srtt_us").filter(|us| *us > 0).and_then(|_| get(name));
    match (field, members.event_type.name) {
        (TimeField::Srtt, _) if probe => Some(after_sample("std.srtt_us")),
        (TimeField::Rttvar, _) if probe => Some(after_sample("rtt.rttvar_us")),
        (TimeField::Mdev, _) if probe => Some(after_sample("rtt.mdev_us")),
        (TimeField::MinRtt, _) if probe => {
            Some(get("rtt.min_rtt_us").filter(|us| *us != u64::from(u32::MAX)))
        }
        (TimeField::Latency | TimeField::Failed, "connect") => {
            let outcome = members.slots.get("outcome")?;
            let name = outcome.stored(record).and_then(|number| outcome.names?.name(number));
            let established = name == Some("established");
            let wanted = established == (field == TimeField::Latency);
            if wanted { time(get("latency_ns")) } else { None }
        }
        (TimeField::Handshake, "accept") => {
            time(get("handshake_us").map(|us| us.saturating_mul(1000)))
        }
        (TimeField::Wait, "accept") => time(get("wait_ns")),
        _ => None,
    }
}

/// What an event adds to a row of `retrans --by`.
fn add(row: &mut SumRow, members: &Members, record: &[u8]) {
    let get = |name| members.get(name, record).unwrap_or_default();
    let retransmit = members.event_type.name == "retransmit";
    let (sum, count) = match retransmit {
        true => (get("class"), get("segs")),
        false => (RetransSum::TCC_SUM_SYNACK.0.into(), 1),
    };
    let events = RetransSum::TCC_SUM_EVENTS.0 as usize;
    for (index, count) in [(sum as usize, count), (events, 1)] {
        if let Some(total) = row.counts.0.get_mut(index) {
            *total = total.saturating_add(count);
        }
    }
    let cookie = get("head.cookie");
    if retransmit && cookie != 0 {
        row.gauges = Some(cookie);
    }
}
