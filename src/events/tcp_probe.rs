//! `probe`: tcp:tcp_probe, at the entry of `tcp_rcv_established()`.

use plain::Plain;

use super::common::{self, Field};
use super::{EventType, ca, ca_columns, tcp_columns};
use crate::skel::{Owner, ProbeFullRecord, ProbeRecord, ProbeStd, Sock};
use crate::table::{Column, Value};

/// The event type for the registry.
pub const EVENT_TYPE: EventType = EventType {
    name: "probe",
    number: crate::skel::EventType::TCC_EVENT_PROBE.0 as u8,
    doc: "A packet arrives on an established connection. Shows the connection before tcp_rcv_established() processes the packet.",
    hook: "tcp:tcp_probe",
    extra_hooks: &[],
    fallback_hooks: &[],
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
    trackers: &[],
    record: None,
};

/// One sample. Without `full`, owner and sock are zero.
#[derive(Clone, Copy)]
pub struct Probe {
    pub std: ProbeStd,
    pub owner: Owner,
    pub sock: Sock,
    pub full: bool,
    /// See [`ca::algorithm`]; looked up once for dozens of columns.
    pub algorithm: Option<usize>,
}

/// All but the common columns and the algorithms' state.
fn fields() -> impl Iterator<Item = &'static Field<Probe>> {
    tcp_columns::STANDARD.iter().chain(tcp_columns::OWNER).chain(tcp_columns::FULL)
}

fn columns() -> Vec<&'static Column> {
    common::FIELDS
        .iter()
        .map(|f| &f.column)
        .chain(fields().map(|f| &f.column))
        .chain(ca_columns::FIELDS.iter().map(|f| &f.column))
        .collect()
}

/// Reads a record; `None` if the bytes are too few.
#[must_use]
pub fn from_raw(bytes: &[u8], full: bool) -> Option<Probe> {
    if full {
        let ProbeFullRecord { std, owner, sock, .. } = copy(bytes)?;
        Some(Probe { std, owner, sock, full, algorithm: ca::algorithm(&sock) })
    } else {
        let ProbeRecord { std, .. } = copy(bytes)?;
        let (owner, sock) = (Owner::default(), Sock::default());
        Some(Probe { std, owner, sock, full, algorithm: None })
    }
}

/// Copies, because records of the perf buffer are only 4-aligned.
pub(crate) fn copy<T: Plain + Default>(bytes: &[u8]) -> Option<T> {
    let mut record = T::default();
    plain::copy_from_bytes(&mut record, bytes).ok()?;
    Some(record)
}

/// The value of a column, counted from after the common ones.
#[must_use]
pub fn value<'a>(probe: &'a Probe, layouts: &ca::Layouts, index: usize) -> Value<'a> {
    // By index: nth() on a chained iterator would walk the tables for every value.
    let (owner, full) =
        (tcp_columns::STANDARD.len(), tcp_columns::STANDARD.len() + tcp_columns::OWNER.len());
    let field = if index < owner {
        tcp_columns::STANDARD.get(index)
    } else if index < full {
        tcp_columns::OWNER.get(index - owner)
    } else {
        tcp_columns::FULL.get(index - full)
    };
    match field {
        Some(Field { get, .. }) => get(probe),
        None => layouts.value(index - full - tcp_columns::FULL.len(), probe.algorithm, &probe.sock),
    }
}
