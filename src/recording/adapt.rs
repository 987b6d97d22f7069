//! Turns the records of a file into those of this program: moves members that lie elsewhere, widens those that are wider now, and
//! reverses the bytes of another byte order.

use std::ops::Range;

use super::codec::{ByteOrder, HEAD};
use super::schema::{self, Member, Record, Shape};
use crate::environment::Environment;
use crate::events::EventType;
use crate::events::ca;
use crate::events::fields::state_place;
use crate::table::{Column, Origin};

/// Where the head has the event type, and the length.
const EVENT_TYPE: usize = 52;
const LEN: Range<usize> = 54..56;

/// How to get at a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Bytes as they are.
    Copy { from: usize, to: usize, len: usize },
    /// An integer of other bytes or another width.
    Convert { from: usize, width: usize, to: usize, to_width: usize, signed: bool },
}

/// The way from one shape to a record of this program.
#[derive(Clone)]
pub struct Adapter {
    pub event_type: &'static EventType,
    /// Of the file's records.
    pub number: u8,
    pub len: u16,
    order: ByteOrder,
    /// Bytes of this program's record.
    size: u16,
    steps: Vec<Step>,
    /// They are the same.
    same: bool,
    /// Which bytes of this program's longest record are set.
    covered: Vec<bool>,
}

impl Adapter {
    /// `None`: an event type that this program does not know, or a record without a head.
    #[must_use]
    pub fn new(shape: &Shape, order: ByteOrder) -> Option<Self> {
        let event_type = schema::event_type(&shape.event_type)?;
        let records = schema::records_of(event_type);
        let longest = *records.last()?;
        // The shortest that has all members.
        let has = |record: &&&Record| {
            let known = |member: &&Member| find(longest, &member.path).is_some();
            shape.members.iter().filter(known).all(|m| find(record, &m.path).is_some())
        };
        let record = *records.iter().find(has)?;
        let mut adapter = Adapter {
            event_type,
            number: shape.number,
            len: shape.len,
            order,
            size: record.size,
            steps: Vec::new(),
            same: false,
            covered: vec![false; longest.size.into()],
        };
        let mut all = record.size == shape.len && event_type.number == shape.number;
        for &(path, offset, width, count, signed) in record.members {
            let Some(member) = shape.members.iter().find(|member| member.path == path) else {
                all = false;
                continue;
            };
            let (from, to) = (usize::from(member.offset), usize::from(offset));
            let (old, new) = (usize::from(member.width), usize::from(width));
            let count = usize::from(count.min(member.count));
            if from + old * count > shape.len.into() || ![1, 2, 4, 8].contains(&old) || new < old {
                return None;
            }
            adapter.covered.get_mut(to..to + new * count)?.fill(true);
            if old == new && (order == ByteOrder::NATIVE || old == 1) {
                all &= from == to;
                adapter.copy(from, to, old * count);
                continue;
            }
            all = false;
            let step = |i: usize| {
                let (from, to) = (from + i * old, to + i * new);
                Step::Convert { from, width: old, to, to_width: new, signed }
            };
            adapter.steps.extend((0..count).map(step));
        }
        adapter.same = all;
        adapter.covered[..HEAD].iter().all(|covered| *covered).then_some(adapter)
    }

    /// Adds a copy, to the one before if it continues that.
    fn copy(&mut self, from: usize, to: usize, len: usize) {
        match self.steps.last_mut() {
            Some(Step::Copy { from: before, to: target, len: known })
                if *before + *known == from && *target + *known == to =>
            {
                *known += len;
            }
            _ => self.steps.push(Step::Copy { from, to, len }),
        }
    }

    /// The record of this program; `buffer` is for one that differs.
    pub fn adapt<'b>(&self, record: &'b [u8], buffer: &'b mut Vec<u8>) -> &'b [u8] {
        if self.same {
            return record;
        }
        buffer.clear();
        buffer.resize(self.size.into(), 0);
        for step in &self.steps {
            match *step {
                Step::Copy { from, to, len } => {
                    if let (Some(from), Some(to)) =
                        (record.get(from..from + len), buffer.get_mut(to..to + len))
                    {
                        to.copy_from_slice(from);
                    }
                }
                Step::Convert { from, width, to, to_width, signed } => {
                    if let (Some(from), Some(to)) =
                        (record.get(from..from + width), buffer.get_mut(to..to + to_width))
                    {
                        store(load(from, self.order, signed), to);
                    }
                }
            }
        }
        buffer[EVENT_TYPE] = self.event_type.number;
        buffer[LEN].copy_from_slice(&self.size.to_ne_bytes());
        buffer
    }

    /// The shape of the records that it makes: with the members that the file has.
    #[must_use]
    pub fn made(&self, environment: &Environment) -> Option<Shape> {
        let foreign = (self.order != ByteOrder::NATIVE).then(state_place).unwrap_or_default();
        let has = |place: Range<usize>| {
            !foreign.contains(&place.start)
                && self.covered.get(place).is_some_and(|bytes| bytes.iter().all(|covered| *covered))
        };
        schema::shape_with(self.event_type, self.size, &has, environment)
    }

    /// Whether the file has all that a column is read from.
    #[must_use]
    pub fn has(&self, column: &Column) -> bool {
        let covers = |place: Range<usize>| {
            self.covered.get(place).is_some_and(|bytes| bytes.iter().all(|covered| *covered))
        };
        match column.origin {
            // The bits of another byte order are elsewhere.
            Origin::Private(index) => {
                self.order == ByteOrder::NATIVE && ca::places(index).all(covers)
            }
            _ => column.origin.places().all(covers),
        }
    }
}

fn find(record: &Record, path: &str) -> Option<u16> {
    record.members.iter().find(|(known, ..)| *known == path).map(|(_, offset, ..)| *offset)
}

fn load(bytes: &[u8], order: ByteOrder, signed: bool) -> u64 {
    let mut word = 0;
    let mut add = |byte: &u8| word = word << 8 | u64::from(*byte);
    match order {
        ByteOrder::Big => bytes.iter().for_each(&mut add),
        ByteOrder::Little => bytes.iter().rev().for_each(&mut add),
    }
    let unused = 64 - 8 * bytes.len() as u32;
    if signed { (word.cast_signed() << unused >> unused).cast_unsigned() } else { word }
}

fn store(value: u64, to: &mut [u8]) {
    let bytes = value.to_le_bytes();
    for (to, byte) in to.iter_mut().zip(bytes) {
        *to = byte;
    }
    if ByteOrder::NATIVE == ByteOrder::Big {
        to.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::fields::{FieldGroups, RecordLayout};
    use crate::events::{EVENT_TYPES, event_type};

    fn shape(name: &str, layout: RecordLayout) -> Shape {
        let environment = Environment { layout, ..Environment::default() };
        schema::shapes(&[event_type(name).unwrap()], &environment).remove(0)
    }

    fn record(shape: &Shape) -> Vec<u8> {
        let mut record: Vec<u8> = (0..shape.len).map(|at| at as u8).collect();
        record[EVENT_TYPE] = shape.number;
        record[LEN].copy_from_slice(&shape.len.to_ne_bytes());
        record
    }

    #[test]
    fn this_programs_own_records_stay_as_they_are() {
        for of in EVENT_TYPES {
            let shape = shape(of.name, RecordLayout::new(FieldGroups::ALL));
            let adapter = Adapter::new(&shape, ByteOrder::NATIVE).unwrap();
            let (record, mut buffer) = (record(&shape), Vec::new());
            assert!(adapter.same, "{}", of.name);
            assert_eq!(adapter.adapt(&record, &mut buffer), record);
        }
    }

    #[test]
    fn a_record_with_some_groups_is_expanded() {
        let columns = (EVENT_TYPES[0].columns)();
        let column = |name: &str| *columns.iter().find(|column| column.name == name).unwrap();
        let shape = shape("probe", RecordLayout::new(FieldGroups::of([column("rttvar_us")])));
        let adapter = Adapter::new(&shape, ByteOrder::NATIVE).unwrap();
        let (record, mut buffer) = (record(&shape), Vec::new());
        let expanded = adapter.adapt(&record, &mut buffer);
        assert_eq!(expanded.len(), EVENT_TYPES[0].record.longest);
        assert_eq!(expanded[..LEN.start], record[..LEN.start]);
        let rtt = find(schema::records_of(&EVENT_TYPES[0])[1], "rtt.rttvar_us").unwrap().into();
        assert_eq!(expanded[rtt..rtt + 16], record[96..112]);
        assert!(adapter.has(column("rttvar_us")) && adapter.has(column("snd_cwnd")));
        assert!(!adapter.has(column("mss")) && !adapter.has(column("bbr.bw")));
    }

    /// As a later version has it: a member moved, one is wider, one is new, and one is gone.
    #[test]
    fn members_are_found_by_name() {
        let mut old = shape("state", RecordLayout::default());
        let index = |path: &str| old.members.iter().position(|m| m.path == path).unwrap();
        let (wide, gone) = (index("old_state_ns"), index("new_state"));
        let (from, _) = (old.members[wide].offset, old.members[gone].offset);
        old.members[wide] = Member { width: 4, ..old.members[wide].clone() };
        old.members.remove(gone);
        old.members.push(Member {
            path: "later".into(),
            offset: from + 4,
            width: 4,
            count: 1,
            signed: false,
        });
        let adapter = Adapter::new(&old, ByteOrder::NATIVE).unwrap();
        let mut bytes = record(&old);
        bytes[usize::from(from)..][..4].copy_from_slice(&0xdead_beef_u32.to_ne_bytes());
        let mut buffer = Vec::new();
        let new = adapter.adapt(&bytes, &mut buffer);
        assert_eq!(new[usize::from(from)..][..8], 0xdead_beef_u64.to_ne_bytes());
        let columns = (event_type("state").unwrap().columns)();
        let lacking =
            columns.iter().filter(|column| !adapter.has(column)).map(|column| column.name);
        assert_eq!(lacking.collect::<Vec<_>>(), ["new_state"]);
    }

    #[test]
    fn another_byte_order_is_converted() {
        let other = match ByteOrder::NATIVE {
            ByteOrder::Little => ByteOrder::Big,
            ByteOrder::Big => ByteOrder::Little,
        };
        for of in EVENT_TYPES {
            let shape = shape(of.name, RecordLayout::new(FieldGroups::ALL));
            let native = record(&shape);
            let mut foreign = native.clone();
            for member in &shape.members {
                let place = usize::from(member.offset)
                    ..usize::from(member.offset + u16::from(member.width) * member.count);
                foreign[place].chunks_mut(member.width.into()).for_each(<[u8]>::reverse);
            }
            let adapter = Adapter::new(&shape, other).unwrap();
            let mut buffer = Vec::new();
            assert_eq!(adapter.adapt(&foreign, &mut buffer), native, "{}", of.name);
        }
    }

    #[test]
    fn a_shape_that_cannot_be_is_refused() {
        let good = shape("state", RecordLayout::default());
        let with = |change: fn(&mut Shape)| {
            let mut shape = good.clone();
            change(&mut shape);
            Adapter::new(&shape, ByteOrder::NATIVE).is_some()
        };
        assert!(with(|_| {}));
        assert!(!with(|shape| shape.event_type = "none".into()));
        assert!(!with(|shape| shape.len = 60));
        assert!(!with(|shape| shape.members.clear()));
        assert!(!with(|shape| shape.members[0].offset = u16::MAX));
        assert!(!with(|shape| shape.members[0].width = 16));
        assert!(!with(|shape| shape.members[0].width = 3));
        assert!(with(|shape| shape.members[20].path = "unknown".into()));
    }
}
