//! `probe`: a packet enters `tcp_rcv_established()` (tcp:tcp_probe). The payload and how its columns are got.

use plain::Plain;

use super::common::{self, Field};
use super::{EventType, ca, ca_columns, tcp_columns};
use crate::skel::{Owner, ProbeFullRecord, ProbeRecord, ProbeStd, Sock};
use crate::table::{Column, Value};

/// The event type for the registry.
pub const EVENT_TYPE: EventType = EventType {
    name: "probe",
    number: crate::skel::EventType::TCC_EVENT_PROBE.0 as u8,
    doc: "A packet enters tcp_rcv_established(): the state before it is processed.",
    hook: "tcp:tcp_probe",
    extra_hooks: &[],
    fallback_hooks: &[],
    columns,
    // 100 columns with any IPv4 ends.
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
    state_trackers: &[],
    programs: &[],
    record: None,
};

/// One sample. Without `full`, owner and sock are zero and their columns null.
#[derive(Clone, Copy)]
pub struct Probe {
    pub std: ProbeStd,
    pub owner: Owner,
    pub sock: Sock,
    pub full: bool,
    /// See [`ca::algorithm`]; asked once, for dozens of columns.
    pub algorithm: Option<usize>,
}

/// Of the payload, without the algorithms' state.
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

/// The payload of the record's bytes; `None` where their number is not a record's.
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

/// A copy, because the perf buffer's records are only 4-aligned.
pub(crate) fn copy<T: Plain + Default>(bytes: &[u8]) -> Option<T> {
    let mut record = T::default();
    plain::copy_from_bytes(&mut record, bytes).ok()?;
    Some(record)
}

/// The payload's cell, counted from after the common columns.
#[must_use]
pub fn value<'a>(probe: &'a Probe, layouts: &ca::Layouts, index: usize) -> Value<'a> {
    // Three tables one after the other: an iterator's nth() would walk them for every cell.
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
