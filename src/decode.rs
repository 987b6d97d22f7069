//! From the kernel's bytes to a typed event: the border. Nothing above it sees a record or a generated type.

use crate::events::ca::ALGORITHMS;
use crate::events::common::{self, Common};
use crate::events::tcp_probe::{self, Probe};
use crate::events::{EVENT_TYPES, EventType, Record, Types};
use crate::skel::{Head, HeadFlag};
use crate::table::{Moment, Row, Value};

/// Why bytes are not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Too short for a head, or not as long as the head says.
    Length,
    /// An event type that this program does not know.
    EventType(u8),
}

/// One event, and what it takes to print it.
pub struct Event<'c> {
    common: Common,
    payload: Payload,
    types: &'c Types,
}

/// No record but `probe`'s is larger.
const LARGEST: usize = 768;

/// A record's bytes at the alignment that its type wants.
#[repr(C, align(8))]
struct Aligned([u8; LARGEST]);

// Probe is by far the most frequent one, and an event lives on the stack for as long as it takes to print it.
#[allow(clippy::large_enum_variant)]
enum Payload {
    Probe(Probe),
    Record(&'static Record, Aligned, usize),
}

impl Payload {
    fn of(event_type: &'static EventType, bytes: &[u8], full: bool) -> Option<Self> {
        let Some(record) = &event_type.record else {
            return tcp_probe::from_raw(bytes, full).map(Payload::Probe);
        };
        let mut aligned = Aligned([0; LARGEST]);
        let len = bytes.len();
        if len != record.size && len != record.longest {
            return None;
        }
        aligned.0.get_mut(..len)?.copy_from_slice(bytes);
        Some(Payload::Record(record, aligned, len))
    }
}

impl<'c> Event<'c> {
    /// Reads a record. `moment` turns the kernel's time into the clock that was asked for. Any bytes are safe.
    pub fn decode(
        bytes: &[u8],
        types: &'c Types,
        moment: impl FnOnce(u64) -> Moment,
    ) -> Result<Self, Malformed> {
        let head: Head =
            bytes.get(..size_of::<Head>()).and_then(tcp_probe::copy).ok_or(Malformed::Length)?;
        // The perf buffer pads records, so there may be more bytes than the record has.
        let record = bytes.get(..usize::from(head.len)).ok_or(Malformed::Length)?;
        let event_type = EVENT_TYPES
            .get(usize::from(head.event_type))
            .ok_or(Malformed::EventType(head.event_type))?;
        let full = u32::from(head.full) & HeadFlag::TCC_HEAD_FULL.0 != 0;
        let payload = Payload::of(event_type, record, full).ok_or(Malformed::Length)?;
        Ok(Event { common: Common { head, time: moment(head.mono_ns) }, payload, types })
    }

    /// What it is.
    #[must_use]
    pub fn event_type(&self) -> &'static EventType {
        &EVENT_TYPES[usize::from(self.common.head.event_type)]
    }
}

/// The event type's number that the record's head says, if there is such an event type.
#[must_use]
pub fn event_type(bytes: &[u8]) -> Option<usize> {
    let head: Head = tcp_probe::copy(bytes.get(..size_of::<Head>())?)?;
    Some(usize::from(head.event_type)).filter(|&event_type| event_type < EVENT_TYPES.len())
}

/// When the kernel made the record; `None` where there is not even a head.
#[must_use]
pub fn mono_ns(bytes: &[u8]) -> Option<u64> {
    let head: Head = tcp_probe::copy(bytes.get(..size_of::<Head>())?)?;
    Some(head.mono_ns)
}

impl Row for Event<'_> {
    fn event_type(&self) -> usize {
        usize::from(self.common.head.event_type)
    }

    fn value(&self, column: usize) -> Value<'_> {
        if let Some(field) = common::FIELDS.get(column) {
            return (field.get)(&self.common);
        }
        let column = column - common::FIELDS.len();
        match &self.payload {
            Payload::Probe(probe) => tcp_probe::value(probe, &self.types.layouts, column),
            Payload::Record(record, bytes, len) => {
                (record.value)(&bytes.0[..*len], self.types, column)
            }
        }
    }

    fn has_group(&self, group: &str) -> bool {
        match &self.payload {
            Payload::Probe(probe) => {
                probe.algorithm.is_some_and(|algorithm| ALGORITHMS[algorithm].name == group)
            }
            Payload::Record(..) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> Result<Vec<String>, Malformed> {
        let layouts = crate::events::ca::Layouts::new(|_, _| {
            Some(crate::events::ca::Bits { offset: 3, size: 9 })
        });
        let types = Types {
            layouts,
            reset_reasons: [(1, "NO_SOCKET".to_owned())].into(),
            ..Types::default()
        };
        let event = Event::decode(bytes, &types, |ns| Moment::Wall(ns.cast_signed()))?;
        let columns = (event.event_type().columns)();
        Ok((0..columns.len()).map(|i| format!("{:?}", event.value(i))).collect())
    }

    #[test]
    fn event_types_are_numbered_in_order() {
        for (index, event_type) in EVENT_TYPES.iter().enumerate() {
            assert_eq!(usize::from(event_type.number), index, "{}", event_type.name);
            assert!(event_type.record.as_ref().is_none_or(|record| record.longest <= LARGEST));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..900)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn any_bytes_under_a_valid_head_can_be_printed(
            mut bytes in proptest::collection::vec(any::<u8>(), 1024),
            full in any::<bool>(),
            event_type in 0..EVENT_TYPES.len(),
        ) {
            let len = match &EVENT_TYPES[event_type].record {
                Some(record) if full => record.longest,
                Some(record) => record.size,
                None if full => size_of::<crate::skel::ProbeFullRecord>(),
                None => size_of::<crate::skel::ProbeRecord>(),
            };
            bytes[52] = EVENT_TYPES[event_type].number;
            bytes[53] = full.into();
            bytes[54..56].copy_from_slice(&(len as u16).to_ne_bytes());
            prop_assert!(decode(&bytes).is_ok());
        }
    }
}
