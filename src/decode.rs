//! From the kernel's bytes to a typed event: the border. Nothing above it sees a record or a generated type.

use std::cell::OnceCell;
use std::mem::offset_of;

use crate::events::ca;
use crate::events::value::value;
use crate::events::{EVENT_TYPES, EventType, Types, tcp_probe};
use crate::skel::Head;
use crate::table::{Column, MergedColumn, Moment, Selected, Set, Value};

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
    event_type: &'static EventType,
    record: &'c [u8],
    /// As the source has it.
    raw: &'c [u8],
    /// Zeros follow the standard fields of `probe` if others are asked for.
    padded: OnceCell<Vec<u8>>,
    time: Moment,
    types: &'c Types,
}

impl<'c> Event<'c> {
    /// Reads a record. `moment` turns the kernel's time into the clock that was asked for. Any bytes are safe.
    pub fn decode(
        bytes: &'c [u8],
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
        let (size, longest) = (event_type.record.size, event_type.record.longest);
        if ![size, longest].contains(&record.len()) {
            return Err(Malformed::Length);
        }
        let time = moment(head.mono_ns);
        Ok(Event { event_type, record, raw: record, padded: OnceCell::new(), time, types })
    }

    /// A record of a type that the kernel does not emit.
    #[must_use]
    pub fn of_type(
        event_type: &'static EventType,
        record: &'c [u8],
        types: &'c Types,
        time: Moment,
    ) -> Self {
        Event { event_type, record, raw: record, padded: OnceCell::new(), time, types }
    }

    /// The same of a record that was expanded from these bytes.
    #[must_use]
    pub fn of_raw(self, raw: &'c [u8]) -> Self {
        let len = raw.get(offset_of!(Head, len)..).and_then(|bytes| bytes.first_chunk());
        let len = len.map_or(0, |len| usize::from(u16::from_ne_bytes(*len)));
        Event { raw: raw.get(..len).unwrap_or(raw), ..self }
    }

    /// The record as the source has it: of `probe`, with the field groups that were requested.
    #[must_use]
    pub fn raw(&self) -> &'c [u8] {
        self.raw
    }

    /// What it is.
    #[must_use]
    pub fn event_type(&self) -> &'static EventType {
        self.event_type
    }

    /// When it happened.
    #[must_use]
    pub fn time(&self) -> Moment {
        self.time
    }

    /// The names and layouts of its kernel.
    #[must_use]
    pub fn types(&self) -> &'c Types {
        self.types
    }

    /// The record's bytes, of which those before `end` are to be read.
    #[must_use]
    pub fn bytes(&self, end: usize) -> &[u8] {
        if end > self.record.len() && self.event_type.is_probe() {
            return self.padded.get_or_init(|| {
                let mut padded = self.record.to_vec();
                padded.resize(self.event_type.record.longest, 0);
                padded
            });
        }
        self.record
    }

    /// The value of a column of its event type.
    #[must_use]
    pub fn value(&self, column: &Column) -> Value<'_> {
        let end = if column.set == Set::Full { self.event_type.record.longest } else { 0 };
        value(column, self.bytes(end), self.types, self.time)
    }

    /// The value of a selected column; null if there is none.
    #[must_use]
    pub fn selected(&self, selected: Option<&Selected>) -> Value<'_> {
        match selected {
            Some(Selected { column, present: true, index }) if self.has(*index) => {
                self.value(column)
            }
            _ => Value::Null,
        }
    }

    /// Whether the records have what that column of its event type is read from.
    fn has(&self, index: usize) -> bool {
        !self.types.absent.contains(&(self.event_type.number, index))
    }

    /// The value of its column of that name.
    #[must_use]
    pub fn merged(&self, merged: &MergedColumn) -> Value<'_> {
        self.selected(merged.of(self.event_type.number.into()))
    }

    /// True if columns of the group can have values.
    #[must_use]
    pub fn has_group(&self, group: &str) -> bool {
        self.event_type.is_probe() && ca::runs(group).iter().all(|runs| runs.holds(self.record))
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
        Ok(columns.iter().map(|column| format!("{:?}", event.value(column))).collect())
    }

    #[test]
    fn event_types_are_numbered_in_order() {
        for (index, event_type) in EVENT_TYPES.iter().enumerate() {
            assert_eq!(usize::from(event_type.number), index, "{}", event_type.name);
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
            let record = EVENT_TYPES[event_type].record;
            let len = if full { record.longest } else { record.size };
            bytes[52] = EVENT_TYPES[event_type].number;
            bytes[54..56].copy_from_slice(&(len as u16).to_ne_bytes());
            prop_assert!(decode(&bytes).is_ok());
        }
    }
}
