//! What samples show of data on its way: when it was sent and acknowledged at one end, and when it arrived at the other. Sequence numbers
//! are distances from the sender's first `snd_una`.

use crate::report::connection::Connection;

/// The sender's samples: each has the state before its packet.
pub struct Sent {
    pub time_ns: Vec<u64>,
    pub una: Vec<i64>,
    pub nxt: Vec<i64>,
    /// The end of what the application has written; not before `nxt`.
    pub written: Vec<Option<i64>>,
    /// No other packet came between this sample's and the next one's.
    pub is_whole: Vec<bool>,
}

/// The raw number that the distances are from.
#[must_use]
pub fn base(connection: &Connection) -> Option<u32> {
    let (raw, offset) = connection.samples.sequence?;
    Some(raw.wrapping_sub(offset as u32))
}

/// Whether what the other end expects first can be data of this one. Of two connections it hardly ever is by chance.
#[must_use]
pub fn is_near(own: &Connection, their: &Connection) -> bool {
    const WINDOW: i64 = 1 << 24;
    let Some(base) = base(own) else { return false };
    let samples = &own.samples;
    let last = (0..samples.time_ns.len()).rev().find_map(|row| samples.column("snd_una").get(row));
    let last = last.and_then(|last| i64::try_from(last).ok()).unwrap_or_default();
    let next = their.samples.column("rcv_nxt");
    let first = (0..their.samples.time_ns.len()).find_map(|row| next.get(row));
    first.is_some_and(|first| {
        let distance = i64::from((first as u32).wrapping_sub(base).cast_signed());
        (-WINDOW..=last.saturating_add(WINDOW)).contains(&distance)
    })
}

impl Sent {
    /// `None`: the samples lack sequence numbers.
    #[must_use]
    pub fn of(connection: &Connection) -> Option<Self> {
        let samples = &connection.samples;
        let column = |name: &str| samples.column(name);
        let (una, flight) = (column("snd_una"), column("bytes_in_flight"));
        let (unsent, segs_in) = (column("notsent_bytes"), column("segs_in"));
        let mut sent = Sent {
            time_ns: Vec::new(),
            una: Vec::new(),
            nxt: Vec::new(),
            written: Vec::new(),
            is_whole: Vec::new(),
        };
        let mut before = None;
        for (row, time_ns) in samples.time_ns.iter().enumerate() {
            let (Some(acked), Some(flying)) = (una.get(row), flight.get(row)) else { continue };
            let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            let segs = segs_in.get(row);
            let is_next = matches!((before, segs), (Some(before), Some(now)) if now == before + 1);
            if let Some(last) = sent.is_whole.last_mut() {
                *last = is_next;
            }
            before = segs;
            let nxt = number(acked).saturating_add(number(flying));
            sent.time_ns.push(*time_ns);
            sent.una.push(number(acked));
            sent.nxt.push(nxt);
            let unsent = unsent.get(row).map(number);
            sent.written.push(unsent.map(|unsent| nxt.saturating_add(unsent)));
            sent.is_whole.push(false);
        }
        (sent.time_ns.len() > 1).then_some(sent)
    }

    /// The last time at which the data before that number was not sent completely.
    #[must_use]
    pub fn unsent_ns(&self, number: i64) -> Option<u64> {
        let sent = self.nxt.partition_point(|nxt| *nxt < number);
        self.time_ns.get(sent.checked_sub(1)?).copied()
    }

    /// The time of a sample that shows it as written.
    #[must_use]
    pub fn written_ns(&self, number: i64) -> Option<u64> {
        let row = self.written.partition_point(|end| end.is_some_and(|end| end < number));
        // Of what the first sample has already, nobody knows since when.
        row.checked_sub(1)?;
        self.written.get(row).copied().flatten()?;
        self.time_ns.get(row).copied()
    }
}

/// A packet in order, and the number behind its data.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub ns: u64,
    pub end: i64,
    /// The sample's own packet brought it, and nothing else.
    pub is_exact: bool,
}

/// Data as it arrived, by number.
pub struct Arrivals(pub Vec<Arrival>);

impl Arrivals {
    /// `base`: the raw number that the sender's are distances from.
    #[must_use]
    pub fn of(connection: &Connection, base: u32) -> Self {
        let samples = &connection.samples;
        let (next, length) = (samples.column("rcv_nxt"), samples.column("data_len"));
        let mut all = Vec::new();
        let mut before: Option<(u64, u32, i64, Option<u64>)> = None;
        for (row, time_ns) in samples.time_ns.iter().enumerate() {
            let Some(raw) = next.get(row) else { continue };
            let raw = raw as u32;
            let end = match before {
                Some((.., known, offset, _)) => {
                    offset.saturating_add(raw.wrapping_sub(known).cast_signed().into())
                }
                None => raw.wrapping_sub(base).cast_signed().into(),
            };
            if let Some((ns, _, start, len)) = before
                && end > start
            {
                let is_exact = len.is_some_and(|len| i64::try_from(len) == Ok(end - start));
                all.push(Arrival { ns, end, is_exact });
            }
            before = Some((*time_ns, raw, end, length.get(row)));
        }
        Arrivals(all)
    }

    /// When the data before that number was there.
    #[must_use]
    pub fn at(&self, number: i64) -> Option<u64> {
        let first = self.0.partition_point(|arrival| arrival.end < number);
        self.0.get(first).map(|arrival| arrival.ns)
    }
}
