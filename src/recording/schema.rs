//! The records of a file, described by name: which members they have, and where. So a program with other records can read them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::columns;
use crate::environment::Environment;
use crate::events::{EVENT_TYPES, EventType};
use crate::slot::Slot;

/// A record of this program, whatever its event type.
#[derive(Debug)]
pub struct Record {
    /// The event type's name; of one with optional data, with a suffix.
    pub name: &'static str,
    pub size: u16,
    /// Path, offset, width, how many, and whether they are signed.
    pub members: &'static [(&'static str, u16, u8, u16, bool)],
}

include!(concat!(env!("OUT_DIR"), "/records.rs"));

/// A member of the records in a file: an integer, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Member {
    /// `tcp.snd_cwnd`.
    pub path: String,
    pub offset: u16,
    /// Of one, in bytes.
    pub width: u8,
    pub count: u16,
    pub signed: bool,
}

type Stored = (String, u16, u8, u16, bool);

impl From<Stored> for Member {
    fn from((path, offset, width, count, signed): Stored) -> Self {
        Member { path, offset, width, count, signed }
    }
}

impl From<Member> for Stored {
    fn from(of: Member) -> Self {
        (of.path, of.offset, of.width, of.count, of.signed)
    }
}

/// The records of one event type and one length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shape {
    /// The name of the event type.
    pub event_type: String,
    /// The number in the records' heads.
    pub number: u8,
    /// Bytes of a record.
    pub len: u16,
    pub members: Vec<Member>,
    /// How the values of its columns are read, for other readers: this program has its own tables.
    #[serde(skip_deserializing)]
    pub columns: Vec<serde_json::Value>,
}

/// Those of this program's records that an event type has: without optional data, and with it.
pub(super) fn records_of(event_type: &EventType) -> Vec<&'static Record> {
    let sizes = [event_type.record.size, event_type.record.longest];
    let is_of = |record: &&Record| {
        let rest = record.name.strip_prefix(event_type.name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
            && sizes.contains(&usize::from(record.size))
    };
    let mut records: Vec<&Record> = RECORDS.iter().filter(is_of).collect();
    records.sort_by_key(|record| record.size);
    records
}

/// The shapes of the records that these event types have.
#[must_use]
pub fn shapes(event_types: &[&'static EventType], environment: &Environment) -> Vec<Shape> {
    event_types.iter().flat_map(|event_type| shapes_of(event_type, environment)).collect()
}

fn shapes_of(event_type: &'static EventType, environment: &Environment) -> Vec<Shape> {
    let mut records = records_of(event_type);
    if event_type.is_probe() {
        // All records have the same field groups.
        records.drain(..records.len().saturating_sub(1));
    }
    let shape = |record: &&'static Record| {
        let place = |offset: u16| match event_type.is_probe() {
            true => environment.layout.locate(offset.into()).and_then(|at| u16::try_from(at).ok()),
            false => Some(offset),
        };
        let member = |&(path, offset, width, count, signed): &(&str, u16, u8, u16, bool)| {
            let offset = place(offset)?;
            Some(Member { path: path.to_owned(), offset, width, count, signed })
        };
        let len = match event_type.is_probe() {
            true => environment.layout.record_len(),
            false => record.size,
        };
        Shape {
            event_type: event_type.name.to_owned(),
            number: event_type.number,
            len,
            members: record.members.iter().filter_map(member).collect(),
            columns: columns::described(event_type, environment, &place, len),
        }
    };
    records.iter().map(shape).collect()
}

/// The shape of this program's records of that size, of which some members were read from a file.
pub(super) fn shape_with(
    event_type: &'static EventType,
    len: u16,
    has: &dyn Fn(Range<usize>) -> bool,
    environment: &Environment,
) -> Option<Shape> {
    let record = records_of(event_type).into_iter().find(|record| record.size == len)?;
    let end = |offset: u16, width: u8, count: u16| {
        usize::from(offset) + usize::from(width) * usize::from(count)
    };
    let members = record
        .members
        .iter()
        .filter(|&&(_, offset, width, count, _)| has(offset.into()..end(offset, width, count)));
    let member = |&(path, offset, width, count, signed): &(&str, u16, u8, u16, bool)| Member {
        path: path.to_owned(),
        offset,
        width,
        count,
        signed,
    };
    let place = |offset: u16| has(offset.into()..usize::from(offset) + 1).then_some(offset);
    Some(Shape {
        event_type: event_type.name.to_owned(),
        number: event_type.number,
        len,
        members: members.map(member).collect(),
        columns: columns::described(event_type, environment, &place, len),
    })
}

/// A member of an event type's records, which are those of this program.
#[must_use]
pub fn member(event_type: &EventType, path: &str) -> Option<Slot> {
    let records = records_of(event_type);
    let &(_, offset, width, ..) =
        records.last()?.members.iter().find(|(known, ..)| *known == path)?;
    Some(Slot::number(offset.into(), width.into()))
}

/// The event type of that name.
pub(super) fn event_type(name: &str) -> Option<&'static EventType> {
    EVENT_TYPES.iter().find(|event_type| event_type.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::fields::{FieldGroups, RecordLayout};
    use crate::recording::codec::HEAD;

    /// The codec and other readers find the head where it is.
    #[test]
    fn every_event_type_has_its_records() {
        for event_type in EVENT_TYPES {
            let records = records_of(event_type);
            let sizes = [event_type.record.size, event_type.record.longest];
            let found: Vec<usize> = records.iter().map(|record| record.size.into()).collect();
            let wanted = if sizes[0] == sizes[1] { &sizes[..1] } else { &sizes };
            assert_eq!(found, wanted, "{}", event_type.name);
            for record in records {
                let head = record.members.iter().take_while(|(path, ..)| path.starts_with("head."));
                let places: Vec<_> = head
                    .map(|&(path, offset, width, ..)| {
                        (path.rsplit('.').next().unwrap(), offset, width)
                    })
                    .collect();
                assert_eq!(places[0], ("mono_ns", 0, 8));
                assert!(places.ends_with(&[
                    ("event_type", 52, 1),
                    ("flags", 53, 1),
                    ("len", 54, 2)
                ]));
                let covered: usize = record
                    .members
                    .iter()
                    .map(|&(_, _, width, count, _)| usize::from(width) * usize::from(count))
                    .sum();
                assert_eq!(covered, usize::from(record.size), "{} has a hole", record.name);
                assert!(record.size.is_multiple_of(4) && usize::from(record.size) >= HEAD);
            }
        }
    }

    #[test]
    fn a_shape_has_what_is_loaded() {
        let probe = &[&EVENT_TYPES[0]];
        let columns = (EVENT_TYPES[0].columns)();
        let named = columns.iter().copied().filter(|column| column.name == "rttvar_us");
        let layout = RecordLayout::new(FieldGroups::of(named));
        let environment = Environment { layout, ..Environment::default() };
        let [shape] = &shapes(probe, &environment)[..] else { panic!("one shape") };
        assert_eq!(shape.len, 96 + 16);
        let place = |path: &str| shape.members.iter().find(|m| m.path == path).map(|m| m.offset);
        assert_eq!(
            (place("std.snd_cwnd"), place("rtt.rttvar_us"), place("mss.mss")),
            (Some(72), Some(96), None)
        );
        let stored = serde_json::to_string(shape).unwrap();
        let back: Shape = serde_json::from_str(&stored).unwrap();
        assert_eq!(back, Shape { columns: Vec::new(), ..shape.clone() });
    }
}
