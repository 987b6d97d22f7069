//! `cong --by`: time of connections in each recovery state.

use std::collections::HashMap;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags};

use super::key::{self, OwnKey, column};
use super::sums::{SumRow, SumsReader};
use super::{Aggregate, Span};
use crate::config::summary::{Keys, Sums};
use crate::events::tcp_probe::copy;
use crate::loader::Loaded;
use crate::pipeline::clock::mono_ns;
use crate::skel::{self, CaStateTime, CongSum, TccTraceSkel};
use crate::table::Type::Unsigned;
use crate::table::Unit::{self, Count, Microseconds};
use crate::table::summary::{Form, Line, Summary, SummarySchema, ViewColumn, view};
use crate::table::{Column, Value};

/// For the schema and the reference.
pub const DOC: &str = "Time in each recovery state, one record per key (`cong --by`).";

#[rustfmt::skip]
pub static COLUMNS: [Column; 8] = [
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "Socket cookie of the connection, of the last one if there were several. Null if the kernel has not generated one."),
    column("open_us", (Unsigned, Microseconds), "between tcp:tcp_cong_state_set", "Time in Open, from the start of the connection, if that was observed."),
    column("disorder_us", (Unsigned, Microseconds), "between tcp:tcp_cong_state_set", "Time in Disorder."),
    column("cwr_us", (Unsigned, Microseconds), "between tcp:tcp_cong_state_set", "Time in CWR."),
    column("recovery_us", (Unsigned, Microseconds), "between tcp:tcp_cong_state_set", "Time in Recovery."),
    column("loss_us", (Unsigned, Microseconds), "between tcp:tcp_cong_state_set", "Time in Loss."),
    column("changes", (Unsigned, Count), "counted", "State changes."),
    column("unknown", (Unsigned, Count), "counted", "Changes from a state whose start was not observed, and whose time is in no column."),
];

const VIEW: &[ViewColumn] = &[
    view("OPEN_MS", "open_us", 7, 1000),
    view("DOD_MS", "disorder_us", 6, 1000),
    view("CWR_MS", "cwr_us", 6, 1000),
    view("RCOV_MS", "recovery_us", 7, 1000),
    view("LOSS_MS", "loss_us", 7, 1000),
    view("CHGS", "changes", 4, 1),
    view("UNKN", "unknown", 4, 1),
];

const STATES: usize = CongSum::TCC_SUM_CHANGES.0 as usize;
const CHANGES: usize = STATES;
const UNKNOWN: usize = CongSum::TCC_SUM_UNKNOWN.0 as usize;

/// Nanoseconds in other states than Open.
fn troubled(row: &SumRow) -> u64 {
    row.n[1..STATES].iter().sum()
}

/// Sums by key, and what of them was printed.
pub struct CaStateTimes {
    keys: Keys,
    shape: SummarySchema,
    table: SumsReader,
    reported: u64,
}

impl CaStateTimes {
    #[must_use]
    pub fn new(options: &Sums, intervals: bool) -> Self {
        let by = &options.keys.by;
        CaStateTimes {
            keys: options.keys.clone(),
            shape: SummarySchema {
                command: "cong",
                key: key::columns(by),
                columns: COLUMNS.iter().collect(),
                form: Form::Lines([&key::views(by)[..], VIEW].concat()),
            },
            table: SumsReader::new(options, intervals),
            reported: 0,
        }
    }
}

/// Adds the time of current states. Those without a row of their own are left out.
fn add_running(skel: &TccTraceSkel<'_>, rows: &mut HashMap<Vec<u8>, SumRow>) -> Result<()> {
    let map = &skel.maps.ca_state_times;
    let now = mono_ns();
    for key in map.keys() {
        let bytes = map.lookup(&key, MapFlags::ANY).context("cannot read the states")?;
        let Some(running) = bytes.as_deref().and_then(copy::<CaStateTime>) else { continue };
        let row = rows.get_mut(skel::bytes(&running.key));
        let sum = row.and_then(|row| row.n[..STATES].get_mut(usize::from(running.ca_state)));
        if let Some(ns) = sum {
            *ns += now.saturating_sub(running.since_ns);
        }
    }
    Ok(())
}

impl Aggregate for CaStateTimes {
    fn print(
        &mut self,
        loaded: &Loaded<'_>,
        span: Span,
        print: &mut dyn FnMut(&Summary<'_>),
    ) -> Result<()> {
        let skel = &loaded.skel;
        let (mut rows, rest) = self.table.read(skel, &|rows| add_running(skel, rows))?;
        // Connections that were in Open all the time have no row.
        rows.retain(|(_, row)| row.n[CHANGES] + troubled(row) > 0);
        rows.sort_by(|a, b| troubled(&b.1).cmp(&troubled(&a.1)).then_with(|| a.0.cmp(&b.0)));
        let all = rows.iter().map(|(_, row)| row).chain([&rest]);
        let changes: u64 = all.map(|row| row.n[CHANGES]).sum();
        self.reported += changes;
        let keys: Vec<OwnKey> = rows.iter().map(|(key, _)| OwnKey::new(key, &self.keys)).collect();
        let mut lines: Vec<Line<'_>> = rows
            .iter()
            .zip(&keys)
            .map(|((_, row), key)| line(Some(key.values(&self.shape)), row))
            .collect();
        if rest.n[CHANGES] + troubled(&rest) > 0 {
            lines.push(line(None, &rest));
        }
        print(&Summary {
            shape: &self.shape,
            time: span.time,
            interval_ns: span.interval_ns,
            title: format!("{changes} state changes in {:.3} s", span.interval_ns as f64 / 1e9),
            lines,
        });
        Ok(())
    }

    fn events_reported(&self) -> u64 {
        self.reported
    }
}

fn line<'a>(key: Option<Vec<Value<'a>>>, row: &SumRow) -> Line<'a> {
    let mut values = vec![row.cookie.map_or(Value::Null, Value::U64)];
    values.extend(row.n[..STATES].iter().map(|ns| Value::U64(ns / 1000)));
    values.extend([CHANGES, UNKNOWN].map(|index| Value::U64(row.n[index])));
    Line { key, values, buckets: Vec::new() }
}
