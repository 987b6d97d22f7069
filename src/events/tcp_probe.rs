//! `probe`: tcp:tcp_probe, at the entry of `tcp_rcv_established()`.

use plain::Plain;

use super::{EventType, Record, ca_columns, common, tcp_columns};
use crate::skel::{ProbeFullRecord, ProbeRecord};
use crate::table::Column;

/// The event type for the registry.
pub const EVENT_TYPE: EventType = EventType {
    name: "probe",
    number: crate::skel::EventType::TCC_EVENT_PROBE.0 as u8,
    doc: "A packet arrives on an established connection. Shows the connection before tcp_rcv_established() processes the packet.",
    hook: "tcp:tcp_probe",
    columns,
    // Fits 100 columns with any IPv4 addresses.
    view: &[
        ("TIME", "time", 15),
        ("LOCAL", "saddr:sport", 21),
        ("PEER", "daddr:dport", 21),
        ("cwnd", "snd_cwnd", 4),
        ("ssthr", "ssthresh", 5),
        ("srtt", "srtt_us", 6),
        ("snd_wnd", "snd_wnd", 7),
        ("inflight", "bytes_in_flight", 8),
        ("len", "data_len", 5),
    ],
    record: Record { size: size_of::<ProbeRecord>(), longest: size_of::<ProbeFullRecord>() },
    ..EventType::of::<ProbeRecord>()
};

fn columns() -> Vec<&'static Column> {
    let tables = [
        common::COLUMNS,
        tcp_columns::STANDARD,
        tcp_columns::OWNER,
        tcp_columns::FULL,
        ca_columns::COLUMNS,
    ];
    tables.into_iter().flatten().collect()
}

/// Copies, because records of the perf buffer are only 4-aligned.
pub(crate) fn copy<T: Plain + Default>(bytes: &[u8]) -> Option<T> {
    let mut record = T::default();
    plain::copy_from_bytes(&mut record, bytes).ok()?;
    Some(record)
}
