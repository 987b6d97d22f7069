//! The connections of a recording: what the table shows of them, from their events.

use std::collections::HashMap;
use std::rc::Rc;

use crate::decode;
use crate::events::tcp_probe::copy;
use crate::limits::rules::CAUSES;
use crate::limits::twin::Twin;
use crate::live::rows::{Column, Limit, Missing, Row};
use crate::skel::{
    ConnSnapshot, Event, EventType, Head, Presence, ProbeFullRecord, StateRecord, Tcp,
};

const CLOSE: u8 = 7;
const LISTEN: u8 = 10;
/// Connections beyond these are not shown.
const MOST_CONNECTIONS: usize = 1 << 20;

/// By the cookie, or else by both ends.
type Key = (u64, [u8; 16], [u8; 16], u16, u16);

fn key(head: &Head) -> Key {
    match head.cookie {
        0 => (0, head.saddr, head.daddr, head.sport, head.dport),
        cookie => (cookie, [0; 16], [0; 16], 0, 0),
    }
}

struct Known {
    id: u64,
    last: Rc<ConnSnapshot>,
    /// The interval of its last event.
    interval: u64,
    /// Totals when that interval began, or as of the connection's first event.
    before: Option<[u64; 3]>,
    /// Nanoseconds of each cause of `limits` that were decided in that interval.
    causes: [u64; CAUSES],
}

/// Bytes acknowledged and received, and segments retransmitted.
fn totals(tcp: &Tcp) -> [u64; 3] {
    [tcp.bytes_acked, tcp.bytes_received, tcp.total_retrans.into()]
}

/// All connections so far.
#[derive(Default)]
pub struct Connections {
    known: HashMap<Key, Known>,
    /// Those that ended in this interval.
    ended: Vec<Key>,
    begun: u64,
    interval: u64,
    interval_ns: u64,
    missing: Missing,
    padded: Vec<u8>,
    twin: Option<Twin>,
}

impl Connections {
    #[must_use]
    pub fn new(missing: Missing, twin: Option<Twin>, start_ns: u64) -> Self {
        Connections { missing, twin, interval_ns: start_ns, ..Connections::default() }
    }

    /// Accounts for what limits the connection of a record, which was taken.
    pub fn classify(&mut self, record: &[u8]) {
        let Some(twin) = &mut self.twin else { return };
        twin.record(record);
        let (known, from_ns) = (&mut self.known, self.interval_ns);
        twin.drain(|cookie, segment| {
            let key = (cookie, [0; 16], [0; 16], 0, 0);
            if let Some(known) = known.get_mut(&key) {
                let ns = segment.to_ns.saturating_sub(segment.from_ns.max(from_ns));
                known.causes[segment.cause as usize] += ns;
            }
        });
    }

    /// Takes a record. Those of types that do not show a connection's state are skipped.
    pub fn record(&mut self, record: &[u8]) {
        let Some(number) = decode::event_type(record) else { return };
        let number = EventType(number as u32);
        match number {
            EventType::TCC_EVENT_PROBE => {
                let Some(probe) = self.probe(record) else { return };
                let missing = self.missing;
                if let Some(last) = self.of(&probe.head) {
                    sample(last, &probe, missing);
                    self.count_from(&probe.head);
                }
            }
            EventType::TCC_EVENT_STATE => {
                let Some(state) = read::<StateRecord>(record) else { return };
                if state.old_state == LISTEN || state.new_state == LISTEN {
                    return;
                }
                self.event(&state.event, Some(state.new_state));
            }
            EventType::TCC_EVENT_DESTROY => {
                if let Some(event) = read::<Event>(record) {
                    self.event(&event, Some(CLOSE));
                }
            }
            EventType::TCC_EVENT_RETRANSMIT
            | EventType::TCC_EVENT_CONG_STATE
            | EventType::TCC_EVENT_ZERO_WINDOW
            | EventType::TCC_EVENT_SPURIOUS
            | EventType::TCC_EVENT_RESET_RECEIVED
            | EventType::TCC_EVENT_ERROR
            | EventType::TCC_EVENT_SEND => {
                if let Some(event) = read::<Event>(record) {
                    self.event(&event, None);
                }
            }
            _ => {}
        }
    }

    /// A sample, whatever field groups it has.
    fn probe(&mut self, record: &[u8]) -> Option<ProbeFullRecord> {
        if record.len() >= size_of::<ProbeFullRecord>() {
            return read(record);
        }
        self.padded.clear();
        self.padded.extend_from_slice(record);
        self.padded.resize(size_of::<ProbeFullRecord>(), 0);
        read(&self.padded)
    }

    /// The connection with that head, in this interval.
    fn of(&mut self, head: &Head) -> Option<&mut ConnSnapshot> {
        let key = key(head);
        if !self.known.contains_key(&key) {
            if self.known.len() >= MOST_CONNECTIONS {
                return None;
            }
            self.begun += 1;
            let known = Known {
                id: self.begun,
                last: Rc::default(),
                interval: self.interval,
                before: None,
                causes: [0; CAUSES],
            };
            self.known.insert(key, known);
        }
        let interval = self.interval;
        let known = self.known.get_mut(&key)?;
        if known.interval != interval {
            known.interval = interval;
            known.before = Some(totals(&known.last.event.tcp));
            known.causes = [0; CAUSES];
        }
        let last = Rc::make_mut(&mut known.last);
        // The ends of a socket that tcp_disconnect() has cleared are no longer known.
        if head.sport != 0 && head.dport != 0 {
            last.event.head = *head;
        }
        Some(last)
    }

    fn event(&mut self, event: &Event, state: Option<u8>) {
        let is_new = !self.known.contains_key(&key(&event.head));
        // The end of a socket that was never seen, such as a listener's.
        if is_new && state == Some(CLOSE) {
            return;
        }
        let Some(last) = self.of(&event.head) else { return };
        if event.owner.pid != 0 || last.event.owner.pid == 0 {
            last.event.owner = event.owner;
        }
        if u32::from(event.tcp.present) == Presence::TCC_SOCK_PRESENT.0 {
            last.event.tcp = event.tcp;
        }
        if let Some(state) = state {
            last.event.tcp.state = state;
            if state == CLOSE && last.closed == 0 {
                last.closed = 1;
                self.ended.push(key(&event.head));
            }
        }
        self.count_from(&event.head);
    }

    /// Traffic before the first event does not count.
    fn count_from(&mut self, head: &Head) {
        if let Some(known) = self.known.get_mut(&key(head)) {
            known.before.get_or_insert_with(|| totals(&known.last.event.tcp));
        }
    }

    /// The rows of the interval, which was that long.
    #[must_use]
    pub fn rows(&self, interval_ns: u64) -> Vec<Row> {
        let row = |known: &Known| {
            let now = totals(&known.last.event.tcp);
            let counts = match known.before {
                Some(before) if known.interval == self.interval => {
                    std::array::from_fn(|at| now[at].saturating_sub(before[at]))
                }
                _ => [0; 3],
            };
            let row = Row::of(known.id, Rc::clone(&known.last), counts, interval_ns);
            let is_of_interval = known.interval == self.interval;
            let limit = Limit::main(&known.causes).filter(|_| is_of_interval);
            Row { missing: self.missing, limit, ..row }
        };
        let mut rows: Vec<Row> = self.known.values().map(row).collect();
        rows.sort_by_key(|row| row.id);
        rows
    }

    /// The next interval begins then.
    pub fn next_interval(&mut self, from_ns: u64) {
        self.interval += 1;
        self.interval_ns = from_ns;
        for key in self.ended.drain(..) {
            self.known.remove(&key);
        }
    }
}

fn sample(last: &mut ConnSnapshot, probe: &ProbeFullRecord, missing: Missing) {
    let ProbeFullRecord { std, cong, flight, loss, data, owner, .. } = probe;
    if owner.pid != 0 || last.event.owner.pid == 0 {
        last.event.owner = *owner;
    }
    if probe.ca.name[0] != 0 {
        last.ca_name = probe.ca.name;
    }
    let tcp = &mut last.event.tcp;
    tcp.present = Presence::TCC_SOCK_PRESENT.0 as u8;
    (tcp.snd_cwnd, tcp.srtt_us) = (std.snd_cwnd, std.srtt_us);
    (tcp.snd_nxt, tcp.snd_una) = (std.snd_nxt, std.snd_una);
    (tcp.snd_wnd, tcp.rcv_wnd) = (std.snd_wnd, std.rcv_wnd);
    // Other events have what samples of a recording may lack.
    let has = |column| !missing.has(column);
    if has(Column::Tx) {
        (tcp.bytes_acked, tcp.write_seq) = (data.bytes_acked, data.write_seq);
    }
    if has(Column::Rx) {
        tcp.bytes_received = data.bytes_received;
    }
    if has(Column::Flight) {
        (tcp.packets_out, tcp.retrans_out) = (flight.packets_out, flight.retrans_out);
        (tcp.sacked_out, tcp.lost_out) = (flight.sacked_out, flight.lost_out);
    }
    if has(Column::Ssthresh) {
        tcp.snd_ssthresh = cong.snd_ssthresh;
    }
    if has(Column::CaState) {
        tcp.ca_state = cong.ca_state;
    }
    if has(Column::State) {
        tcp.state = cong.state;
    }
    if has(Column::Total) {
        tcp.total_retrans = loss.total_retrans;
    }
    tcp.retransmits = probe.timer.retransmits;
    tcp.mptcp_token = probe.options.mptcp_token;
}

/// Bytes behind it are padding.
fn read<T: plain::Plain + Default>(record: &[u8]) -> Option<T> {
    record.get(..size_of::<T>()).and_then(copy)
}
