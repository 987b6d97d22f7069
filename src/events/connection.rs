//! A connection as `live` lists it. It is not an event of the kernel and has no number among them: only expressions see it, through
//! its columns.

use super::EventType;
use super::common::{self, full, of, text};
use super::names::LIMIT_CAUSES;
use super::socket::{connection_columns, owner_columns};
use crate::skel::{ConnSnapshot, bytes};
use crate::slot::Names::List;
use crate::table::Column;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{self, BytesPerSecond, Segments};

/// A snapshot, and what was added to it in the interval.
#[repr(C)]
pub struct ConnectionRecord {
    pub snapshot: ConnSnapshot,
    /// Bytes per second.
    pub tx_rate: u64,
    pub rx_rate: u64,
    /// Segments.
    pub retrans_segs: u64,
    /// Number of a cause of `limits`; `u64::MAX`: not known.
    pub limit: u64,
}

impl ConnectionRecord {
    /// As the columns read it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let added = [self.tx_rate, self.rx_rate, self.retrans_segs, self.limit];
        let mut record = bytes(&self.snapshot).to_vec();
        record.extend(added.iter().flat_map(|number| number.to_ne_bytes()));
        record
    }
}

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    full("ca_name", (Text, Unit::None), "icsk_ca_ops->name", "Congestion-control algorithm.", text!(ConnectionRecord, snapshot.ca_name)),
    full("tx_rate", (Unsigned, BytesPerSecond), "tp->bytes_acked", "Bytes sent and acknowledged in the interval, per second.", of!(ConnectionRecord, tx_rate)),
    full("rx_rate", (Unsigned, BytesPerSecond), "tp->bytes_received", "Bytes received in order in the interval, per second.", of!(ConnectionRecord, rx_rate)),
    full("retrans_segs", (Unsigned, Segments), "tp->total_retrans", "Segments retransmitted in the interval.", of!(ConnectionRecord, retrans_segs)),
    full("limit", (Text, Unit::None), "classified at each event", "The cause of `limits` with the most time in the interval.", of!(ConnectionRecord, limit).unset(u64::MAX).named(List(LIMIT_CAUSES))),
];

/// The type of its records, for expressions.
pub static CONNECTION: EventType = EventType {
    name: "connection",
    number: u8::MAX,
    doc: "A connection at the end of an interval.",
    columns: || {
        let common = common::COLUMNS.iter().filter(|column| column.name != "time");
        common.chain(COLUMNS).chain(owner_columns()).chain(connection_columns()).collect()
    },
    ..EventType::of::<ConnectionRecord>()
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_bytes_are_laid_out_as_the_columns_read_them() {
        let record = ConnectionRecord {
            snapshot: ConnSnapshot::default(),
            tx_rate: 1,
            rx_rate: 2,
            retrans_segs: 3,
            limit: 4,
        };
        let bytes = record.to_bytes();
        assert_eq!(bytes.len(), CONNECTION.record.size);
        let at = std::mem::offset_of!(ConnectionRecord, rx_rate);
        assert_eq!(bytes[at..at + 8], 2_u64.to_ne_bytes());
    }
}
