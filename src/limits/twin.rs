//! The accounts of all connections of a recording.

use std::collections::HashMap;

use super::connection::{Connection, Context, Cut, Segment};
use super::observed;
use super::rules::{CAUSES, Sock};
use crate::decode;
use crate::events::EventType as EventTable;
use crate::events::tcp_probe::{self, copy};
use crate::skel::{
    CongStateRecord, Event, EventType, Head, LifeRecord, LimitsSnapshot, ProbeFullRecord,
    RetransmitRecord, SendRecord, Sender, StateRecord,
};
use crate::table::Column;

const SYN_SENT: u8 = 2;
const SYN_RECV: u8 = 3;
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;
/// Data may be sent, and tcp_probe does not fire: FIN_WAIT1, CLOSE_WAIT, LAST_ACK, CLOSING.
const CLOSING: u16 = 1 << 4 | 1 << 8 | 1 << 9 | 1 << 11;
/// Nothing is left to send: FIN_WAIT2, TIME_WAIT, CLOSE.
const OVER: u16 = 1 << 5 | 1 << 6 | 1 << CLOSE;
const CA_RECOVERY: u8 = 3;
const CA_LOSS: u8 = 4;

fn is_in(states: u16, state: u8) -> bool {
    states.checked_shr(state.into()).unwrap_or(0) & 1 == 1
}

/// What the records are like.
#[derive(Clone, Debug, Default)]
pub struct TwinOptions {
    /// Columns of `probe` that the records do not have, of [`observed::COLUMNS`]. Causes that need them are `undecided`.
    pub missing: Vec<&'static str>,
    /// There are no events when a process writes: idle time is what the kernel does not count as busy.
    pub no_sends: bool,
    /// BBR is not that of mainline: its state is not read.
    pub other_bbr: bool,
    /// Keep the segments of each connection.
    pub segments: bool,
    /// Keep no connection after its record of `life`, which [`Twin::life`] completes.
    pub lives: bool,
}

/// Connections whose record of `life` has not come; beyond them, it is taken to be missing.
const MOST_CLOSED: usize = 1 << 16;

impl TwinOptions {
    /// For records of these event types; `has` decides about columns of `probe`, by their place among all.
    #[must_use]
    pub fn of(
        present: &[&'static EventTable],
        has: impl Fn(usize, &'static Column) -> bool,
        mainline_bbr: bool,
    ) -> Self {
        let columns = (tcp_probe::EVENT_TYPE.columns)();
        let has = |name: &str| {
            let index = columns.iter().position(|column| column.name == name);
            index.is_some_and(|index| has(index, columns[index]))
        };
        let mut missing: Vec<&'static str> =
            observed::COLUMNS.into_iter().filter(|name| !has(name)).collect();
        let no_sends = !present.iter().any(|event_type| event_type.name == "send");
        if no_sends && !has("busy_us") {
            missing.push("busy_us");
        }
        let other_bbr = !has("bbr.mode") || !mainline_bbr;
        TwinOptions { missing, no_sends, other_bbr, segments: true, lives: false }
    }

    pub(super) fn counts_busy(&self) -> bool {
        self.no_sends && !self.missing.contains(&"busy_us")
    }
}

/// By the cookie, if there is one. The local port is not known as a connection begins.
type Key = (u64, [u8; 16], [u8; 16], u16, u16);

fn key(head: &Head) -> Key {
    let port = if head.cookie == 0 { head.sport } else { 0 };
    (head.cookie, head.saddr, head.daddr, head.dport, port)
}

/// Takes records in order, each as long as its type wants.
#[derive(Debug, Default)]
pub struct Twin {
    options: TwinOptions,
    open: HashMap<Key, Connection>,
    over: Vec<Connection>,
    /// The time of each cause of those that are closed, up to their records of `life`.
    closed: HashMap<Key, [u64; CAUSES]>,
    /// So far.
    begun: u64,
    resolved: Vec<Cut>,
    /// The connection of the last record.
    touched: Option<Key>,
}

impl Twin {
    #[must_use]
    pub fn new(options: TwinOptions) -> Self {
        Twin { options, ..Twin::default() }
    }

    /// Takes a record; false if it is malformed. Types that show nothing of a sender are skipped.
    pub fn record(&mut self, record: &[u8]) -> bool {
        let Some(number) = decode::event_type(record) else { return false };
        let number = EventType(number as u32);
        self.touched = read::<Head>(record).map(|head| key(&head));
        let taken = match number {
            EventType::TCC_EVENT_PROBE => read(record).map(|record| self.sample(&record)),
            EventType::TCC_EVENT_SEND => {
                read(record).map(|SendRecord { event, sender, .. }| {
                    self.event(&event, Some(&sender), false, |sock| {
                        // Who can write does not wait for room.
                        sock.nospace = 0;
                    });
                })
            }
            EventType::TCC_EVENT_STATE => read(record).map(|record| self.state(&record)),
            EventType::TCC_EVENT_RETRANSMIT => read(record).map(|record| self.retransmit(&record)),
            EventType::TCC_EVENT_CONG_STATE => read(record).map(|record| self.cong_state(&record)),
            _ => Some(()),
        };
        taken.is_some()
    }

    /// Hands on the segments that the last record ended, with the connection's cookie, and forgets them. For who calls it after each record,
    /// those of connections that are over are forgotten, too.
    pub fn drain(&mut self, mut take: impl FnMut(u64, Segment)) {
        let mut hand_on = |connection: &mut Connection| {
            let cookie = connection.last.event.head.cookie;
            connection.segments.drain(..).for_each(|segment| take(cookie, segment));
        };
        self.over.drain(..).for_each(|mut connection| hand_on(&mut connection));
        if let Some(connection) = self.touched.and_then(|key| self.open.get_mut(&key)) {
            hand_on(connection);
        }
    }

    /// Completes a record of `life`. `None`: it is complete, or nothing is known of the connection.
    pub fn life(&mut self, record: &[u8]) -> Option<LifeRecord> {
        let mut life: LifeRecord = read(record)?;
        let key = key(&life.event.head);
        if life.reason == 0 {
            return None;
        }
        let mut totals = self.closed.remove(&key);
        // Without records of `state` it ends here.
        if totals.is_none() && self.open.contains_key(&key) {
            self.event(&life.event, None, false, |_| {});
            totals = self.open.remove(&key).map(|connection| connection.totals());
        }
        let totals = totals.filter(|_| life.limits_observed_ns == 0)?;
        life.limits_observed_ns = totals.iter().fold(0, |sum, ns| ns.wrapping_add(sum));
        for (cause, ns) in (1..).zip(totals) {
            if ns > life.limits_main_ns {
                (life.limits_main, life.limits_main_ns) = (cause, ns);
            }
        }
        Some(life)
    }

    /// An interval of the output ends then, of that number; how many connections it is not decided for yet. It is, for each, with its next
    /// event.
    pub fn cut(&mut self, number: usize, now_ns: u64) -> usize {
        let open = self.open.values_mut().filter(|connection| !connection.is_over());
        open.map(|connection| connection.cut(number, now_ns)).count()
    }

    /// The cuts that have been decided since the last call.
    pub fn take_resolved(&mut self) -> Vec<Cut> {
        std::mem::take(&mut self.resolved)
    }

    /// The recording ends. What nothing has ended by then is not decided.
    pub fn finish(&mut self, now_ns: u64) {
        let mut context = Context { options: &self.options, resolved: &mut self.resolved };
        for connection in self.open.values_mut().filter(|connection| !connection.is_over()) {
            connection.finish(&mut context, now_ns);
        }
        self.over.extend(self.open.drain().map(|(_, connection)| connection));
    }

    /// All connections so far.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.over.iter().chain(self.open.values())
    }

    /// The last snapshots of those that have ended since the last call.
    pub fn take_ended(&mut self) -> Vec<LimitsSnapshot> {
        let all = self.over.iter_mut().chain(self.open.values_mut());
        let ended = all.filter_map(Connection::take_end).collect();
        if !self.options.segments {
            self.over.clear();
        }
        ended
    }

    fn sample(&mut self, record: &ProbeFullRecord) {
        let bbr = observed::is_bbr(record, !self.options.other_bbr);
        let mut sock = Sock::default();
        observed::sample(&mut sock, record, bbr);
        let connection = self.open.entry(key(&record.head)).or_insert_with(|| {
            self.begun += 1;
            Connection::begin(self.begun, sock, false)
        });
        if connection.is_over() {
            return;
        }
        connection.account.memory.bbr = bbr;
        let busy = observed::busy(record);
        let mut context = Context { options: &self.options, resolved: &mut self.resolved };
        connection.advance(&mut context, sock, false, Some(busy));
        observed::explain_sample(&mut connection.last, record);
        connection.retransmits = record.timer.retransmits;
    }

    /// An event of another type; `adjust` sets what it shows beyond its record.
    fn event(
        &mut self,
        event: &Event,
        sender: Option<&Sender>,
        rto: bool,
        adjust: impl FnOnce(&mut Sock),
    ) -> Option<&mut Connection> {
        let connection = self.open.entry(key(&event.head)).or_insert_with(|| {
            self.begun += 1;
            let mut sock = Sock::default();
            observed::event(&mut sock, event, sender);
            Connection::begin(self.begun, sock, is_in(CLOSING, sock.state))
        });
        if connection.is_over() {
            return None;
        }
        let mut sock = connection.sock;
        observed::event(&mut sock, event, sender);
        adjust(&mut sock);
        let mut context = Context { options: &self.options, resolved: &mut self.resolved };
        connection.advance(&mut context, sock, rto, None);
        observed::explain_event(&mut connection.last, event);
        Some(connection)
    }

    fn state(&mut self, record: &StateRecord) {
        let StateRecord { event, old_state, new_state, .. } = record;
        let (old, new) = (*old_state, *new_state);
        if new == LISTEN || (old == LISTEN && new != SYN_RECV) {
            return;
        }
        if old == CLOSE || old == LISTEN {
            self.begun += 1;
            let mut sock = Sock { min_rtt_us: u32::MAX, ..Sock::default() };
            observed::event(&mut sock, event, Some(&record.sender));
            let mut new = Connection::begin(self.begun, sock, false);
            observed::explain_event(&mut new.last, event);
            let before = self.open.insert(key(&event.head), new);
            self.over.extend(before.filter(|_| !self.options.lives));
            return;
        }
        let connection = self.event(event, Some(&record.sender), false, |sock| sock.state = old);
        match connection {
            Some(connection) if is_in(OVER, new) => connection.end(),
            Some(connection) if is_in(CLOSING, new) => connection.hold(),
            _ => {}
        }
        if new == CLOSE
            && let Some(connection) = self.open.remove(&key(&event.head))
        {
            self.close(key(&event.head), connection, old);
        }
    }

    fn close(&mut self, key: Key, connection: Connection, state: u8) {
        if !self.options.lives {
            self.over.push(connection);
            return;
        }
        // One that was not established has no record.
        if state == SYN_SENT || state == SYN_RECV {
            return;
        }
        if self.closed.len() >= MOST_CLOSED {
            self.closed.clear();
        }
        self.closed.insert(key, connection.totals());
    }

    /// Of an open connection in Open or Disorder it is a tail loss probe. A timeout in Loss changes no state: it is seen here.
    fn retransmit(&mut self, record: &RetransmitRecord) {
        let RetransmitRecord { event, sender, .. } = record;
        let probe = event.tcp.ca_state < 2;
        let opening = event.tcp.state == SYN_SENT || event.tcp.state == SYN_RECV;
        if opening || (!probe && event.tcp.ca_state != CA_LOSS) {
            return;
        }
        if let Some(connection) = self.event(event, Some(sender), probe, |_| {}) {
            connection.last.limits.tlps += u32::from(probe);
            let again = !probe && event.tcp.retransmits > connection.retransmits;
            if again && !std::mem::take(&mut connection.enters_loss) {
                connection.last.limits.rtos += 1;
            }
            connection.retransmits = event.tcp.retransmits;
        }
    }

    fn cong_state(&mut self, record: &CongStateRecord) {
        let CongStateRecord { event, sender, old_ca_state, new_ca_state, .. } = record;
        let (old, new) = (*old_ca_state, *new_ca_state);
        if new == CA_LOSS {
            // The record may have the new state already.
            let before = |sock: &mut Sock| sock.ca_state = old;
            if let Some(connection) = self.event(event, Some(sender), true, before) {
                connection.last.limits.rtos += 1;
                connection.enters_loss = true;
            }
        } else if new == CA_RECOVERY && old != CA_RECOVERY {
            let known = self.open.get_mut(&key(&event.head));
            if let Some(connection) = known.filter(|connection| !connection.is_over()) {
                connection.last.limits.recoveries += 1;
            }
        }
    }
}

/// Bytes behind it are padding.
fn read<T: plain::Plain + Default>(record: &[u8]) -> Option<T> {
    record.get(..size_of::<T>()).and_then(copy)
}
