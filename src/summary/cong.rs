//! `cong --by`: how long connections were in each recovery state.

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

/// What the command's records are, in one sentence.
pub const DOC: &str = "How long connections were in each recovery state (`--by`); of one row.";

#[rustfmt::skip]
pub static COLUMNS: [Column; 8] = [
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "By connection: its cookie, of several with these ends the last one's; null where the kernel has made none."),
    column("open_us", (Unsigned, Microseconds), "between tcp:tcp_cong_state_set", "Time in Open, from a connection's beginning on, if that was seen; to its end, or to the reading."),
    column("disorder_us", (Unsigned, Microseconds), "between tcp:tcp_cong_state_set", "Time in Disorder."),
    column("cwr_us", (Unsigned, Microseconds), "between tcp:tcp_cong_state_set", "Time in CWR."),
    column("recovery_us", (Unsigned, Microseconds), "between tcp:tcp_cong_state_set", "Time in Recovery."),
    column("loss_us", (Unsigned, Microseconds), "between tcp:tcp_cong_state_set", "Time in Loss."),
    column("changes", (Unsigned, Count), "counted", "How often the state was set; from Loss to Loss by each timeout, too."),
    column("unknown", (Unsigned, Count), "counted", "Of those, changes from a state whose beginning was not seen: its time is in nothing here."),
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

/// ns in another state than Open.
fn troubled(row: &SumRow) -> u64 {
    row.n[1..STATES].iter().sum()
}

/// What was read last.
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

/// The states that are not over; of rows that there was no room for they are in no row.
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
        // Of an interval: who was Open all the time has no row.
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
            title: format!("{changes} changes of state in {:.3} s", span.interval_ns as f64 / 1e9),
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
