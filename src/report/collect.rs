//! Reads a recording: connections, their samples and their events.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::connection::{Connection, Ends, Queued};
use super::describe::describe;
use super::fields::{Fields, Reader};
use super::series::{self, SERIES, Store};
use crate::decode::Event;
use crate::limits::twin::Twin;
use crate::recording::frames::Bytes;
use crate::recording::reader::{Recording, Step};
use crate::table::{Moment, Value};

/// Events of a connection beyond this many are only counted.
const MOST_EVENTS: usize = 100_000;
/// Packets and reads of a connection beyond this many are not kept one by one.
const MOST_PACKETS: usize = 1 << 19;
/// Connections beyond this many are only counted.
const MOST_CONNECTIONS: usize = 1 << 20;
/// A connection's samples are thinned when they are this many.
const MOST_SAMPLES: usize = 1 << 21;

/// What a recording has of connections.
#[derive(Debug, Default)]
pub struct Collected {
    pub connections: Vec<Connection>,
    /// Events that belong to no connection in the recording.
    pub unassigned: u64,
    pub more_connections: u64,
    by_cookie: HashMap<u64, usize>,
    by_ends: HashMap<Ends, usize>,
}

/// Event types that make a connection known. Others may have a listener's cookie, or none.
const OPENING: &[&str] = &[
    "probe",
    "state",
    "retransmit",
    "cong_state",
    "zero_window",
    "spurious",
    "connect",
    "accept",
    "life",
    "send",
    "queue",
    "rcv_space",
    "reset_received",
    "destroy",
    "error",
];
/// Events that are not shown one by one: they are as many as packets.
const NOT_SHOWN: &[&str] = &["probe", "send", "queue", "rcv_space", "rcvbuf_grow"];

impl Collected {
    /// Reads all records, which `twin` takes, too.
    pub fn read<B: Bytes>(
        recording: &mut Recording<B>,
        mut twin: Option<&mut Twin>,
    ) -> std::io::Result<(Self, Step)> {
        let mut collected = Collected::default();
        let mut reader = Reader::default();
        loop {
            let step = recording.advance()?;
            if step != Step::Record {
                return Ok((collected, step));
            }
            reader.prepare(recording);
            let time_ns = recording.time_ns();
            let record = recording.record();
            if let Some(twin) = &mut twin {
                twin.record(record);
            }
            let moment = |ns: u64| Moment::Elapsed(ns.cast_signed());
            if let Ok(event) = Event::decode(record, reader.types(), moment)
                && let Some(fields) = reader.fields(event.event_type())
            {
                collected.add(&event, fields, time_ns);
            }
        }
    }

    fn add(&mut self, event: &Event<'_>, fields: &Fields, time_ns: u64) {
        let event_type = event.event_type();
        let Some(at) = self.find(event, fields) else {
            self.unassigned += u64::from(!NOT_SHOWN.contains(&event_type.name));
            return;
        };
        let connection = &mut self.connections[at];
        if event_type.name != "drop" && connection.ends.is_none() {
            connection.ends = fields.ends(event);
            connection.ends.map(|ends| self.by_ends.insert(ends, at));
        }
        connection.learn(event, fields);
        if event_type.is_probe() {
            connection.sample(event, fields, time_ns);
        }
        match event_type.name {
            "queue" => connection.queue(event, fields, time_ns),
            "rcv_space" if connection.reads_ns.len() < MOST_PACKETS => {
                connection.reads_ns.push(time_ns);
            }
            _ => {}
        }
        if NOT_SHOWN.contains(&event_type.name) {
            return;
        }
        if connection.events.len() >= MOST_EVENTS {
            connection.more_events += 1;
            return;
        }
        let described = describe(event, fields, connection);
        connection.events.push(described.at(time_ns));
    }

    /// The connection of an event.
    fn find(&mut self, event: &Event<'_>, fields: &Fields) -> Option<usize> {
        let (cookie, ends) = (fields.number(event, "cookie"), fields.ends(event));
        let name = event.event_type().name;
        if name == "drop" {
            return self.of_drop(event, fields, cookie, ends);
        }
        let known = cookie.and_then(|cookie| self.by_cookie.get(&cookie).copied());
        let known = known.or_else(|| {
            let same = *self.by_ends.get(&ends?)?;
            (cookie.is_none() || self.connections[same].cookie.is_none()).then_some(same)
        });
        if known.is_some() || !OPENING.contains(&name) || is_listener(event, fields) {
            return known;
        }
        if self.connections.len() >= MOST_CONNECTIONS {
            self.more_connections += 1;
            return None;
        }
        let at = self.connections.len();
        self.connections.push(Connection { cookie, ends, ..Connection::default() });
        cookie.map(|cookie| self.by_cookie.insert(cookie, at));
        ends.map(|ends| self.by_ends.insert(ends, at));
        Some(at)
    }

    /// A dropped packet belongs to the end that sent it. In a router it has no socket, and its ends may be the other way round.
    fn of_drop(
        &self,
        event: &Event<'_>,
        fields: &Fields,
        cookie: Option<u64>,
        ends: Option<Ends>,
    ) -> Option<usize> {
        let is_outgoing = fields.word(event, "direction") == Some("out");
        let sender = ends.map(|ends| if is_outgoing { ends } else { ends.mirrored() });
        let by_ends = |ends: Ends| self.by_ends.get(&ends).copied();
        let has_data = fields.number(event, "data_len").is_some_and(|len| len > 0);
        // A lost ACK concerns the end that waits for it.
        let first = if has_data { sender } else { sender.map(Ends::mirrored) };
        first
            .and_then(by_ends)
            .or_else(|| sender.and_then(by_ends))
            .or_else(|| sender.map(Ends::mirrored).and_then(by_ends))
            .or_else(|| self.by_cookie.get(&cookie?).copied())
    }
}

/// Changes of state of a socket that listens.
fn is_listener(event: &Event<'_>, fields: &Fields) -> bool {
    ["old_state", "new_state"].iter().any(|name| fields.word(event, name) == Some("LISTEN"))
}

impl Connection {
    /// Process and algorithm, as they become known.
    fn learn(&mut self, event: &Event<'_>, fields: &Fields) {
        // The packet may be one in a router.
        if event.event_type().name == "drop" {
            return;
        }
        if let Value::Name(name) = fields.value(event, "comm")
            && let Some(pid) = fields.number(event, "pid")
            && self.process.as_ref().is_none_or(|(_, known)| *known != pid)
        {
            self.process = Some((shown(name), pid));
        }
        if let Value::Name(name) = fields.value(event, "ca_name")
            && !name.is_empty()
            && self.ca_names.last().is_none_or(|known| known.as_bytes() != name)
        {
            let name = shown(name);
            if self.ca_names.last() != Some(&name) && self.ca_names.len() < 16 {
                self.ca_names.push(name);
            }
        }
    }

    /// A packet was handed to a driver.
    fn queue(&mut self, event: &Event<'_>, fields: &Fields, time_ns: u64) {
        let number = |name: &str| fields.number(event, name);
        let largest = |known: &mut Option<u64>, value: Option<u64>| *known = (*known).max(value);
        let queueing = &mut self.samples.queueing;
        largest(&mut queueing.queue_us, number("queue_us"));
        largest(&mut queueing.qdisc_us, number("qdisc_us"));
        largest(&mut queueing.backlog_bytes, number("backlog_bytes"));
        let data = number("seq").zip(number("data_len")).filter(|(_, len)| *len > 0);
        let start = data.and_then(|(seq, _)| self.samples.offset(seq as u32));
        if let (Some((_, len)), Some(start)) = (data, start)
            && self.queued.len() < MOST_PACKETS
        {
            let end = start.saturating_add_unsigned(len);
            let queue_ns = number("queue_us").map(|us| us.saturating_mul(1000));
            self.queued.push(Queued { time_ns, start, end, queue_ns });
        }
    }

    fn sample(&mut self, event: &Event<'_>, fields: &Fields, time_ns: u64) {
        let samples = &mut self.samples;
        samples.read += 1;
        if let Some(una) = fields.number(event, "snd_una") {
            let una = una as u32;
            let offset = samples.offset(una).unwrap_or_default();
            samples.sequence = Some((una, offset));
        }
        let row = samples.len();
        // Records are in order of printing, which is that of time but for those that came late.
        let last = samples.time_ns.last().copied().unwrap_or_default();
        samples.time_ns.push(time_ns.max(last));
        for (at, (_, store)) in SERIES.iter().enumerate() {
            let value = match (store, fields.series(event, at)) {
                (Store::Offset, _) => {
                    let offset = samples.sequence.map(|(_, offset)| offset);
                    offset.and_then(|offset| u64::try_from(offset).ok())
                }
                (_, Value::U64(number)) => Some(number),
                (_, Value::I64(number)) => Some(u64::try_from(number).unwrap_or_default()),
                (_, Value::Bool(flag)) => Some(flag.into()),
                (Store::Millionths, Value::F64(number)) => {
                    (number >= 0.0).then_some((number * 1e6).round() as u64)
                }
                (_, Value::Str(word)) => samples.words[at].number(word),
                _ => None,
            };
            samples.columns[at].set(row, value);
        }
        let queueing = std::mem::take(&mut samples.queueing);
        let of_queue = [
            ("queue.queue_us", queueing.queue_us),
            ("queue.qdisc_us", queueing.qdisc_us),
            ("queue.backlog_bytes", queueing.backlog_bytes),
        ];
        for (name, value) in of_queue.into_iter().filter(|(_, value)| value.is_some()) {
            samples.columns[series::at(name)].set(row, value);
        }
        if samples.len() >= MOST_SAMPLES {
            super::thin::thin(samples);
        }
    }
}

/// A name of any bytes, as it is printed.
fn shown(name: &[u8]) -> String {
    let mut text = Vec::new();
    crate::escape::name(name, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Where a packet came from and went to.
#[must_use]
pub fn ends(values: [Value<'_>; 4]) -> Option<Ends> {
    let [Value::Ip(local), Value::U64(sport), Value::Ip(peer), Value::U64(dport)] = values else {
        return None;
    };
    // A socket has no port before it is bound.
    let port = |port: u64| u16::try_from(port).ok().filter(|port| *port > 0);
    Some(Ends {
        local: SocketAddr::new(local, port(sport)?),
        peer: SocketAddr::new(peer, port(dport)?),
    })
}
