//! `limits`: where the time of each connection goes.

pub mod columns;
mod evidence;
pub mod recorded;
mod rows;

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::Result;

use self::columns::{CAUSES, COLUMNS, KEY, SHARES};
use self::rows::Group;
pub use self::rows::microseconds;
use super::Span;
use super::totals::{CounterRow, RowCounts, RowTotals, RowsOf, Snapshot, SnapshotOf, TotalsTable};
use crate::config::summary::Limits;
use crate::events::tcp_probe::copy;
use crate::loader::Loaded;
use crate::skel::LimitsSnapshot;
use crate::table::summary::{
    AggregateSource, AggregateType, Form, Line, Shares, Summary, SummarySchema,
};

pub static AGGREGATE: AggregateType = AggregateType {
    command: "limits",
    doc: "Where the time of connections went in the interval, by cause. The causes are disjoint and add up to `observed_us`.",
    key: &KEY,
    columns: &COLUMNS,
    source: AggregateSource::Limits,
};

/// What is counted of a connection: nanoseconds of each cause, bytes acknowledged in some of them, and evidence.
const ACKED: usize = CAUSES;
const RTOS: usize = ACKED + 9;
const TLPS: usize = RTOS + 1;
const RECOVERIES: usize = TLPS + 1;
const ZERO_WINDOWS: usize = RECOVERIES + 1;
const IDLES: usize = ZERO_WINDOWS + 1;
const WRITES: usize = IDLES + 1;
const BUSY: usize = WRITES + 1;
const BYTES: usize = BUSY + 3;
const RETRANS: usize = BYTES + 1;
const SEEN: usize = RETRANS + 1;
const ENDED: usize = SEEN + 1;

pub type Counts = CounterRow<{ ENDED + 1 }>;
/// A connection's last snapshot, and its counts.
pub type ConnectionRow = RowTotals<Rc<LimitsSnapshot>, Counts>;
/// The socket's address and the time at which its account began.
type Id = (u64, u64);

/// The sentences that explain the causes of a connection, over all its time.
#[must_use]
pub fn evidence_of(snapshot: &LimitsSnapshot) -> Option<String> {
    evidence::of(&counts(snapshot, &Counts::default()), snapshot)
}

/// The account at that moment. Counters of the socket, and not of the account, count from `before` on.
fn counts(snapshot: &LimitsSnapshot, before: &Counts) -> Counts {
    let limits = &snapshot.limits;
    let mut row = Counts::default();
    let tcp = &snapshot.event.tcp;
    let evidence = [
        limits.rtos,
        limits.tlps,
        limits.recoveries,
        limits.zero_windows,
        limits.idles,
        limits.writes,
    ];
    let of_account = limits.ns.iter().chain(&limits.acked).copied();
    let of_socket = [
        snapshot.busy_us,
        snapshot.rwnd_limited_us,
        snapshot.sndbuf_limited_us,
        tcp.bytes_acked,
        tcp.total_retrans.into(),
    ];
    let values = of_account.chain(evidence.map(u64::from)).chain(of_socket);
    row.0.iter_mut().zip(values).for_each(|(count, value)| *count = value);
    for at in BUSY..SEEN {
        row.0[at] = row.0[at].saturating_sub(before.0[at]);
    }
    row.0[SEEN] = 1;
    row.0[ENDED] = snapshot.closed.into();
    row
}

/// False for a copy that was made during an update of the account.
fn is_whole(snapshot: &LimitsSnapshot) -> bool {
    let limits = &snapshot.limits;
    let sum = limits.ns.iter().fold(0_u64, |sum, ns| sum.wrapping_add(*ns));
    sum == limits.t0_ns.wrapping_sub(limits.begin_ns)
}

struct Connection {
    last: Rc<LimitsSnapshot>,
    counts: Counts,
    /// The socket's counters when its account began.
    before: Counts,
}

impl Connection {
    /// A connection whose handshake was observed began with its account, and so did the socket's counters.
    fn new(snapshot: &LimitsSnapshot) -> Self {
        let before = if snapshot.limits.ns.first().is_some_and(|handshake| *handshake > 0) {
            Counts::default()
        } else {
            counts(snapshot, &Counts::default())
        };
        let mut new = Connection { last: Rc::new(*snapshot), counts: Counts::default(), before };
        new.next(snapshot);
        new
    }

    fn next(&mut self, snapshot: &LimitsSnapshot) {
        let mut last = *snapshot;
        // A closed socket keeps its last owner.
        let owner = self.last.event.owner;
        if last.event.owner.pid == 0 {
            (last.event.owner.pid, last.event.owner.comm) = (owner.pid, owner.comm);
        }
        self.counts = counts(&last, &self.before);
        self.last = Rc::new(last);
    }
}

/// The accounts of open connections, and of those that ended in the interval.
pub struct LimitsTable {
    options: Limits,
    shape: SummarySchema,
    living: HashMap<Id, Connection>,
    ended: Vec<(Id, Connection)>,
    retired: Counts,
}

impl LimitsTable {
    #[must_use]
    pub fn new(options: &Limits) -> Self {
        let by = &options.by;
        let wanted = |name: &str| by.iter().any(|by| columns::parts(*by).contains(&name));
        LimitsTable {
            options: options.clone(),
            shape: SummarySchema {
                command: AGGREGATE.command,
                key: KEY.iter().filter(|column| wanted(column.name)).collect(),
                columns: COLUMNS.iter().collect(),
                form: Form::Shares(Shares {
                    heading: columns::heading(by),
                    parts: &SHARES,
                    notes: "evidence",
                }),
            },
            living: HashMap::new(),
            ended: Vec::new(),
            retired: Counts::default(),
        }
    }

    fn take(&mut self, snapshot: &LimitsSnapshot) {
        let id = (snapshot.sk, snapshot.limits.begin_ns);
        if !is_whole(snapshot) {
            // Its end counts all the same, with what was known of it.
            if snapshot.closed == 0 {
                return;
            }
        }
        let connection = match self.living.remove(&id) {
            Some(mut known) => {
                known.next(snapshot);
                known
            }
            None => Connection::new(snapshot),
        };
        if snapshot.closed == 0 {
            self.living.insert(id, connection);
        } else {
            self.ended.push((id, connection));
        }
    }

    fn retire_ended(&mut self) {
        let retired = &mut self.retired;
        self.ended.drain(..).for_each(|(_, connection)| retired.add(&connection.counts));
    }

    fn all(&self) -> SnapshotOf<Self> {
        let row = |id: &Id, connection: &Connection| {
            (*id, RowTotals { gauges: connection.last.clone(), counts: connection.counts })
        };
        let ended = self.ended.iter().map(|(id, connection)| row(id, connection));
        let living = self.living.iter().map(|(id, connection)| row(id, connection));
        Snapshot {
            rows: ended.chain(living).collect(),
            rest: Vec::new(),
            retired: vec![self.retired],
        }
    }
}

impl TotalsTable for LimitsTable {
    type Key = Id;
    type Gauges = Rc<LimitsSnapshot>;
    type Counts = Counts;

    /// Begins the accounts of connections that are open.
    fn begin(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        self.poll(loaded)
    }

    fn poll(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        let snapshots = loaded.limits_snapshots()?;
        let size = size_of::<LimitsSnapshot>();
        snapshots.chunks_exact(size).filter_map(copy).for_each(|snapshot| self.take(&snapshot));
        Ok(())
    }

    fn record(&mut self, bytes: &[u8]) -> bool {
        // The perf buffer pads records.
        let Some(snapshot) = bytes.get(..size_of::<LimitsSnapshot>()).and_then(copy) else {
            return false;
        };
        self.take(&snapshot);
        true
    }

    fn totals(&mut self, _: &Loaded<'_>) -> Result<SnapshotOf<Self>> {
        Ok(self.all())
    }

    fn retire(&mut self, _: &Loaded<'_>, _: &SnapshotOf<Self>) -> Result<RowsOf<Self>> {
        self.retire_ended();
        Ok(Vec::new())
    }

    /// Each connection's end.
    fn events(&self, _: usize, counts: &Counts) -> u64 {
        counts.0[ENDED]
    }

    fn print(&self, rows: SnapshotOf<Self>, span: Span, print: &mut dyn FnMut(&Summary<'_>)) {
        let observed = |row: &ConnectionRow| row.counts.0[..CAUSES].iter().any(|ns| *ns > 0);
        let rows: Vec<(Id, ConnectionRow)> =
            rows.rows.into_iter().filter(|(_, row)| observed(row)).collect();
        let title = rows::title(&rows, span.interval_ns);
        let mut groups = rows::group(rows, &self.options);
        groups.truncate(self.options.rows.unwrap_or(usize::MAX));
        let lines: Vec<Line<'_>> = groups.iter().map(Group::line).collect();
        print(&Summary {
            shape: &self.shape,
            time: span.time,
            interval_ns: span.interval_ns,
            title,
            lines,
        });
    }
}

#[cfg(test)]
mod tests;
