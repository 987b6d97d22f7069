//! From the kernel's bytes to a typed event: the border. Nothing above it sees a record or a generated type.

use crate::probe::ca::Layouts;
use crate::probe::common::{self, Common};
use crate::probe::tcp_probe::{self, Probe};
use crate::probe::{KINDS, Kind};
use crate::skel::Head;
use crate::table::{Moment, Row, Value};

/// Why bytes are not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// Too short for a head, or not as long as the head says.
    Length,
    /// A kind that this program does not know.
    Kind(u8),
}

/// One event, and what it takes to print it.
pub struct Event<'c> {
    common: Common,
    payload: Payload,
    layouts: &'c Layouts,
}

enum Payload {
    Probe(Probe),
}

impl<'c> Event<'c> {
    /// Reads a record. `moment` turns the kernel's time into the clock that was asked for. Any bytes are safe.
    pub fn decode(
        bytes: &[u8],
        layouts: &'c Layouts,
        moment: impl FnOnce(u64) -> Moment,
    ) -> Result<Self, Undecodable> {
        let head: Head =
            bytes.get(..size_of::<Head>()).and_then(tcp_probe::copy).ok_or(Undecodable::Length)?;
        // The perf buffer pads records, so there may be more bytes than the record has.
        let record = bytes.get(..usize::from(head.len)).ok_or(Undecodable::Length)?;
        let payload = match head.kind {
            kind if kind == tcp_probe::KIND.number => Payload::Probe(
                tcp_probe::from_raw(record, head.full != 0).ok_or(Undecodable::Length)?,
            ),
            kind => return Err(Undecodable::Kind(kind)),
        };
        Ok(Event { common: Common { head, time: moment(head.mono_ns) }, payload, layouts })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> &'static Kind {
        &KINDS[usize::from(self.common.head.kind)]
    }
}

/// When the kernel made the record; `None` where there is not even a head.
#[must_use]
pub fn mono_ns(bytes: &[u8]) -> Option<u64> {
    let head: Head = tcp_probe::copy(bytes.get(..size_of::<Head>())?)?;
    Some(head.mono_ns)
}

impl Row for Event<'_> {
    fn value(&self, column: usize) -> Value<'_> {
        match common::FIELDS.get(column) {
            Some(field) => (field.get)(&self.common),
            None => match &self.payload {
                Payload::Probe(probe) => {
                    tcp_probe::value(probe, self.layouts, column - common::FIELDS.len())
                }
            },
        }
    }

    fn has_group(&self, group: &str) -> bool {
        match &self.payload {
            Payload::Probe(probe) => crate::probe::ca::has_group(group, &probe.sock),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> Result<Vec<String>, Undecodable> {
        let layouts = Layouts::new(|_, _| Some(crate::probe::ca::Bits { offset: 3, size: 9 }));
        let event = Event::decode(bytes, &layouts, |ns| Moment::Wall(ns.cast_signed()))?;
        let columns = (event.kind().columns)();
        Ok((0..columns.len()).map(|i| format!("{:?}", event.value(i))).collect())
    }

    #[test]
    fn kinds_are_numbered_as_they_stand() {
        for (index, kind) in KINDS.iter().enumerate() {
            assert_eq!(usize::from(kind.number), index, "{}", kind.name);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..900)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn any_bytes_under_a_valid_head_can_be_printed(
            mut bytes in proptest::collection::vec(any::<u8>(), size_of::<crate::skel::ProbeFullRecord>()),
            full in any::<bool>(),
        ) {
            let len = if full { bytes.len() } else { size_of::<crate::skel::ProbeRecord>() };
            bytes[52] = tcp_probe::KIND.number;
            bytes[53] = full.into();
            bytes[54..56].copy_from_slice(&(len as u16).to_ne_bytes());
            prop_assert!(decode(&bytes).is_ok());
        }
    }
}
