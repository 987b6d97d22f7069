//! Where the time of data went: from the application that writes it to the one that reads it, and back to its ACK.

use super::observed::{Arrivals, Sent, base};
use crate::report::connection::Connection;
use crate::report::series;
use crate::report::stats::percentile;

/// The parts, in order of time: the column of the samples, the name, and what it is from.
pub const PARTS: [(&str, &str); 5] = [
    ("delay.unsent_us", "unsent"),
    ("delay.qdisc_us", "qdisc and driver"),
    ("delay.path_us", "path"),
    ("delay.read_us", "receiver's queue"),
    ("delay.return_us", "ACK's way back"),
];

/// The delay of a connection's data.
#[derive(Clone, Debug, Default)]
pub struct Delay {
    /// Median and 95th percentile of each part, in µs; `None`: the recordings do not have it.
    pub parts: [Option<[u64; 2]>; PARTS.len()],
    /// The path and the ACK's way back may be longer by this, and the other one shorter.
    pub half_width_ns: u64,
    /// What the recordings lack.
    pub lacks: Vec<&'static str>,
}

/// The parts of each sample's data, in µs.
pub type Columns = [Vec<Option<u64>>; PARTS.len()];

/// The delay of what one end sent: of the newest data that each of its samples' packets acknowledged. `None`: none is in both.
#[must_use]
pub fn of(
    sender: &Connection,
    receiver: &Connection,
    half_width_ns: u64,
) -> Option<(Delay, Columns)> {
    let sent = Sent::of(sender)?;
    let arrivals = Arrivals::of(receiver, base(sender)?);
    if arrivals.0.is_empty() {
        return None;
    }
    let una = sender.samples.column("snd_una");
    let rows = sender.samples.len();
    let mut columns: Columns = std::array::from_fn(|_| vec![None; rows]);
    let mut count = 0;
    for row in 1..rows {
        let (Some(before), Some(now)) = (una.get(row - 1), una.get(row)) else { continue };
        let Ok(number) = i64::try_from(now) else { continue };
        if now <= before {
            continue;
        }
        // The packet of the sample before acknowledged it.
        let acked_ns = sender.samples.time_ns[row - 1];
        let Some(arrived_ns) =
            arrivals.at(number).filter(|ns| *ns <= acked_ns.saturating_add(half_width_ns))
        else {
            continue;
        };
        let queued = handed_over(sender, number, arrived_ns.saturating_add(half_width_ns));
        let Some(sent_ns) = queued.map(|(from_ns, _)| from_ns).or(sent.unsent_ns(number)) else {
            continue;
        };
        let left_ns = queued.map_or(sent_ns, |(_, ns)| ns);
        let read_ns = read(receiver, arrived_ns);
        let written_ns = sent.written_ns(number);
        let span = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?) / 1000);
        let parts = [
            span(written_ns, Some(sent_ns)),
            queued.and_then(|(from_ns, ns)| span(Some(from_ns), Some(ns))),
            span(Some(left_ns), Some(arrived_ns)),
            span(Some(arrived_ns), read_ns),
            span(Some(arrived_ns), Some(acked_ns)),
        ];
        count += 1;
        for (column, part) in columns.iter_mut().zip(parts) {
            column[row - 1] = part;
        }
    }
    if count == 0 {
        return None;
    }
    let share = |column: &Vec<Option<u64>>| {
        let mut known: Vec<u64> = column.iter().copied().flatten().collect();
        known.sort_unstable();
        Some([percentile(&known, 0.5)?, percentile(&known, 0.95)?])
    };
    let mut delay = Delay { half_width_ns, ..Delay::default() };
    delay.parts.iter_mut().zip(&columns).for_each(|(part, column)| *part = share(column));
    let lacking = [
        (
            delay.parts[0].is_none(),
            "`notsent_bytes` of the sender's samples: when data was written",
        ),
        (
            sender.queued.is_empty(),
            "`queue` events of the sender: its qdisc and driver are part of the path",
        ),
        (
            receiver.reads_ns.is_empty(),
            "`rcv_space` events of the receiver: when its application read",
        ),
    ];
    delay.lacks = lacking.into_iter().filter(|(lacks, _)| *lacks).map(|(_, what)| what).collect();
    Some((delay, columns))
}

/// When the packet with the byte before that number was handed to the device, and to its driver: the last time before it arrived.
fn handed_over(sender: &Connection, number: i64, before_ns: u64) -> Option<(u64, u64)> {
    // Events are in order of time, and of those at most a few thousand bytes ahead of the ACK.
    let end = sender.queued.partition_point(|queued| queued.time_ns <= before_ns);
    let packets = sender.queued[..end].iter().rev().take(MOST_LOOKED_AT);
    let found =
        packets.into_iter().find(|queued| (queued.start + 1..=queued.end).contains(&number))?;
    let from_ns = found.time_ns.saturating_sub(found.queue_ns.unwrap_or_default());
    Some((from_ns, found.time_ns))
}

/// Packets that are looked through for one byte.
const MOST_LOOKED_AT: usize = 4096;

/// When the application read next.
fn read(receiver: &Connection, ns: u64) -> Option<u64> {
    let first = receiver.reads_ns.partition_point(|read_ns| *read_ns < ns);
    receiver.reads_ns.get(first).copied()
}

/// Gives the samples these columns.
pub fn set(connection: &mut Connection, columns: &Columns) {
    for ((name, _), values) in PARTS.iter().zip(columns) {
        let Some(column) = connection.samples.columns.get_mut(series::at(name)) else { continue };
        values.iter().enumerate().for_each(|(row, value)| column.set(row, *value));
    }
}
