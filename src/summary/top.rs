//! `top`: traffic of each connection in the interval.

mod columns;
mod limits;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use anyhow::Result;

use self::columns::{COLUMNS, KEY, LIMITS_VIEW, OF_LIMITS, VIEW};
use self::limits::Reading;
use super::Span;
use super::totals::{CounterRow, RowCounts, RowTotals, RowsOf, Snapshot, SnapshotOf, TotalsTable};
use crate::config::summary::{Sort, Top};
use crate::events::ca::until_nul;
use crate::events::names::{TCP_STATES, name};
use crate::events::tcp_probe::copy;
use crate::limits::rules::CAUSES;
use crate::loader::Loaded;
use crate::skel::{ConnLimits, ConnSnapshot, Limits};
use crate::table::Value;
use crate::table::summary::{AggregateSource, AggregateType, Form, Line, Summary, SummarySchema};

pub static AGGREGATE: AggregateType = AggregateType {
    command: "top",
    doc: "Traffic of a connection in the interval. Idle connections have no record.",
    key: &KEY,
    columns: &COLUMNS,
    source: AggregateSource::Connections,
};

/// What is counted of a connection.
pub const RX: usize = 0;
pub const TX: usize = 1;
pub const RETRANS: usize = 2;
const ENDED: usize = 3;
/// Nanoseconds of each cause of `limits`.
const LIMITS: usize = 4;

type Traffic = CounterRow<{ LIMITS + CAUSES }>;
/// A connection's last snapshot, and its traffic.
pub type ConnectionRow = RowTotals<Rc<ConnSnapshot>, Traffic>;

/// A connection and its traffic since the trace began.
struct Connection {
    id: u64,
    last: Rc<ConnSnapshot>,
    traffic: Traffic,
    /// Its last account, with --limits.
    limits: Option<Box<Limits>>,
}

impl Connection {
    /// The first snapshot. Earlier traffic of a connection that existed before does not count.
    fn new(id: u64, Reading { snapshot, limits }: Reading) -> Self {
        let (last, traffic) = (Rc::new(snapshot), Traffic::default());
        let mut begun = Connection { id, last, traffic, limits: None };
        begun.add_limits(limits);
        if snapshot.born != 0 {
            begun.add(&ConnSnapshot::default(), &snapshot);
        }
        begun.traffic.0[ENDED] = snapshot.closed.into();
        begun
    }

    /// The next snapshot. CounterRow of a socket that was disconnected and connected again start from zero.
    fn next(&mut self, Reading { snapshot, limits }: Reading) {
        self.add_limits(limits);
        let before = self.last.clone();
        let (old, new) = (&before.event.tcp, &snapshot.event.tcp);
        if new.bytes_acked < old.bytes_acked || new.bytes_received < old.bytes_received {
            self.add(&ConnSnapshot::default(), &snapshot);
        } else {
            self.add(&before, &snapshot);
        }
        self.traffic.0[ENDED] += u64::from(snapshot.closed);
        let mut last = snapshot;
        // A closed socket keeps its last owner.
        let owner = before.event.owner;
        if last.event.owner.pid == 0 {
            (last.event.owner.pid, last.event.owner.comm) = (owner.pid, owner.comm);
        }
        self.last = Rc::new(last);
    }

    fn add(&mut self, from: &ConnSnapshot, to: &ConnSnapshot) {
        let (from, to) = (&from.event.tcp, &to.event.tcp);
        let traffic = &mut self.traffic.0;
        traffic[RX] += to.bytes_received.saturating_sub(from.bytes_received);
        traffic[TX] += to.bytes_acked.saturating_sub(from.bytes_acked);
        traffic[RETRANS] += u64::from(to.total_retrans.wrapping_sub(from.total_retrans));
    }

    fn add_limits(&mut self, limits: Option<Box<Limits>>) {
        if let Some(now) = limits {
            limits::add(&mut self.traffic.0[LIMITS..], self.limits.as_deref(), &now);
            self.limits = Some(now);
        }
    }

    fn row(&self) -> (u64, ConnectionRow) {
        (self.id, RowTotals { gauges: self.last.clone(), counts: self.traffic })
    }
}

fn moved(row: &ConnectionRow) -> bool {
    row.counts.0[..ENDED].iter().any(|n| *n > 0)
}

fn sorted_by(row: &ConnectionRow, sort: Sort) -> u64 {
    let traffic = &row.counts.0;
    match sort {
        Sort::All => traffic[RX] + traffic[TX],
        Sort::Tx => traffic[TX],
        Sort::Rx => traffic[RX],
        Sort::Retrans => traffic[RETRANS],
        Sort::Rtt => row.gauges.event.tcp.srtt_us.into(),
    }
}

/// True if both are of one connection, and not of another one of the same socket or address.
fn same(a: &ConnSnapshot, b: &ConnSnapshot) -> bool {
    let generation = a.generation == b.generation;
    let (a, b) = (&a.event.head, &b.event.head);
    let ends = |h: &crate::skel::Head| (h.saddr, h.sport, h.daddr, h.dport);
    let socket =
        if a.cookie != 0 && b.cookie != 0 { a.cookie == b.cookie } else { ends(a) == ends(b) };
    socket && generation
}

fn time(snapshot: &ConnSnapshot) -> u64 {
    snapshot.event.head.mono_ns
}

/// A connection's end may arrive after the next connection at its address was found, behind a record that another CPU had
/// not finished yet.
const LATE_NS: u64 = 1_000_000_000;

/// Open connections, by the socket's address, and those that ended in the interval.
pub struct ConnectionTable {
    options: Top,
    shape: SummarySchema,
    living: HashMap<u64, Connection>,
    /// Connections whose end had not arrived when another one was found at their address, and the time of that.
    displaced: HashMap<u64, Vec<(u64, Connection)>>,
    ended: Vec<Connection>,
    newest_ns: u64,
    next_id: u64,
    /// The traffic of connections that ended in earlier intervals.
    retired: Traffic,
}

impl ConnectionTable {
    #[must_use]
    pub fn new(options: &Top) -> Self {
        let (view, left_out) = if options.limits { (LIMITS_VIEW, 0) } else { (VIEW, OF_LIMITS) };
        let columns = COLUMNS.iter().take(COLUMNS.len() - left_out);
        ConnectionTable {
            options: options.clone(),
            shape: SummarySchema {
                command: AGGREGATE.command,
                key: KEY.iter().collect(),
                columns: columns.collect(),
                form: Form::Lines(view.to_vec()),
            },
            living: HashMap::new(),
            displaced: HashMap::new(),
            ended: Vec::new(),
            newest_ns: 0,
            next_id: 0,
            retired: Traffic::default(),
        }
    }

    /// A snapshot belongs to the connection with its cookie, even if another one is at that address by now.
    fn take(&mut self, reading: impl Into<Reading>) {
        let reading = reading.into();
        let snapshot = reading.snapshot;
        self.newest_ns = self.newest_ns.max(time(&snapshot));
        let Some(reading) = self.take_displaced(reading) else { return };
        self.next_id += 1;
        let id = self.next_id;
        match self.living.get_mut(&snapshot.sk) {
            Some(known) if same(&known.last, &snapshot) => known.next(reading),
            // The end of an earlier connection, in no snapshot.
            Some(known) if snapshot.closed != 0 && time(&snapshot) < time(&known.last) => {
                self.ended.push(Connection::new(id, reading));
                return;
            }
            _ => {
                let begun = Connection::new(id, reading);
                if let Some(other) = self.living.insert(snapshot.sk, begun) {
                    self.displaced.entry(snapshot.sk).or_default().push((time(&snapshot), other));
                }
            }
        }
        if snapshot.closed != 0 {
            self.ended.extend(self.living.remove(&snapshot.sk));
        }
    }

    /// For displaced connections only an end can arrive: no file had them when their address was used again. Gives back what is not of one.
    fn take_displaced(&mut self, reading: Reading) -> Option<Reading> {
        let snapshot = &reading.snapshot;
        let here = self.displaced.get_mut(&snapshot.sk).filter(|_| snapshot.closed != 0);
        let found = here.and_then(|here| {
            let at = here.iter().position(|(_, other)| same(&other.last, snapshot))?;
            Some(here.swap_remove(at).1)
        });
        let Some(mut late) = found else { return Some(reading) };
        late.next(reading);
        self.ended.push(late);
        None
    }

    fn reading(&self, bytes: &[u8]) -> Option<Reading> {
        if self.options.limits {
            return copy::<ConnLimits>(bytes.get(..size_of::<ConnLimits>())?).map(Reading::from);
        }
        copy::<ConnSnapshot>(bytes.get(..size_of::<ConnSnapshot>())?).map(Reading::from)
    }

    /// All connections, and the traffic of those that are gone.
    fn all(&self) -> SnapshotOf<Self> {
        let displaced = self.displaced.values().flatten().map(|(_, connection)| connection);
        let all = self.ended.iter().chain(self.living.values()).chain(displaced);
        Snapshot {
            rows: all.map(Connection::row).collect(),
            rest: Vec::new(),
            retired: vec![self.retired],
        }
    }

    /// The next interval begins.
    fn next(&mut self) {
        let retired = &mut self.retired;
        self.ended.drain(..).for_each(|connection| retired.add(&connection.traffic));
        let kept = self.newest_ns.saturating_sub(LATE_NS);
        self.displaced.retain(|_, here| {
            here.extract_if(.., |(since, _)| *since < kept)
                .for_each(|(_, connection)| retired.add(&connection.traffic));
            !here.is_empty()
        });
    }
}

impl TotalsTable for ConnectionTable {
    type Key = u64;
    type Gauges = Rc<ConnSnapshot>;
    type Counts = Traffic;

    fn begin(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        self.poll(loaded)
    }

    fn poll(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        let snapshots = loaded.conn_snapshots()?;
        let size =
            if self.options.limits { size_of::<ConnLimits>() } else { size_of::<ConnSnapshot>() };
        for bytes in snapshots.chunks_exact(size) {
            self.reading(bytes).into_iter().for_each(|reading| self.take(reading));
        }
        Ok(())
    }

    fn record(&mut self, bytes: &[u8]) -> bool {
        // The perf buffer pads records.
        let Some(reading) = self.reading(bytes) else { return false };
        self.take(reading);
        true
    }

    fn totals(&mut self, _: &Loaded<'_>) -> Result<SnapshotOf<Self>> {
        Ok(self.all())
    }

    fn retire(&mut self, _: &Loaded<'_>, _: &SnapshotOf<Self>) -> Result<RowsOf<Self>> {
        self.next();
        Ok(Vec::new())
    }

    /// Each connection's end.
    fn events(&self, _: usize, traffic: &Traffic) -> u64 {
        traffic.0[ENDED]
    }

    fn print(&self, rows: SnapshotOf<Self>, span: Span, print: &mut dyn FnMut(&Summary<'_>)) {
        let mut rows: Vec<ConnectionRow> = rows.rows.into_iter().map(|(_, row)| row).collect();
        rows.retain(moved);
        let sum = |part: usize| rows.iter().map(|row| row.counts.0[part]).sum::<u64>();
        let title = format!(
            "{} active connections, RX {} kB, TX {} kB, {} retransmitted in {:.3} s",
            rows.len(),
            sum(RX) / 1024,
            sum(TX) / 1024,
            sum(RETRANS),
            span.interval_ns as f64 / 1e9
        );
        let ends = |row: &ConnectionRow| {
            let head = &row.gauges.event.head;
            (head.sport, head.dport, row.gauges.sk)
        };
        rows.sort_by_key(|row| (u64::MAX - sorted_by(row, self.options.sort), ends(row)));
        rows.truncate(self.options.rows.unwrap_or(usize::MAX));
        print(&Summary {
            shape: &self.shape,
            time: span.time,
            interval_ns: span.interval_ns,
            title,
            lines: rows.iter().map(|row| line(row, self.options.limits)).collect(),
        });
    }
}

fn line(row: &ConnectionRow, with_limits: bool) -> Line<'_> {
    let causes = row.counts.0[LIMITS..].first_chunk().filter(|_| with_limits);
    let last = &*row.gauges;
    let (head, owner, tcp) = (&last.event.head, &last.event.owner, &last.event.tcp);
    let address = |bytes: [u8; 16]| Ipv6Addr::from(bytes).to_canonical();
    let family = match address(head.daddr) {
        IpAddr::V4(_) => "ipv4",
        IpAddr::V6(_) => "ipv6",
    };
    let known = owner.pid != 0;
    Line {
        key: Some(vec![
            Value::unless(head.cookie, 0),
            Value::Str(family),
            Value::Ip(address(head.saddr)),
            Value::U64(head.sport.into()),
            Value::Ip(address(head.daddr)),
            Value::U64(head.dport.into()),
            Value::unless(owner.netns.into(), 0),
        ]),
        values: [
            Value::unless(owner.pid.into(), 0),
            if known { Value::Name(until_nul(&owner.comm)) } else { Value::Null },
            Value::U64(owner.uid.into()),
            Value::unless(owner.cgroup_id, 0),
            name(TCP_STATES, tcp.state),
            Value::Bool(last.closed != 0),
            Value::U64(row.counts.0[RX]),
            Value::U64(row.counts.0[TX]),
            Value::U64(row.counts.0[RETRANS]),
            Value::U64(tcp.snd_cwnd.into()),
            Value::unless(tcp.srtt_us.into(), 0),
            Value::unless(tcp.mptcp_token.into(), 0),
        ]
        .into_iter()
        .chain(causes.map(limits::values).into_iter().flatten())
        .collect(),
        buckets: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
