//! Field groups: the parts of a record of `probe` that are loaded only if a requested column needs them, and the layout of a
//! record that has some of them.
//!
//! Slots are places in the record that has all groups ([`Record`]). A shorter record is expanded to that form before it is decoded.

use std::mem::offset_of;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{ca, tcp_probe};
use crate::skel::{Head, ProbeFullRecord as Record, ProbeRecord};
use crate::table::{Column, Origin};

/// A member of the record that is loaded as a whole.
#[derive(Debug)]
pub struct FieldGroup {
    /// As in `struct tcc_probe_full`.
    pub name: &'static str,
    offset: usize,
    size: usize,
}

impl FieldGroup {
    /// The member's type follows from the function, which is never called.
    const fn new<T>(name: &'static str, offset: usize, _: fn(&Record) -> &T) -> Self {
        FieldGroup { name, offset, size: size_of::<T>() }
    }

    /// Its bytes in the record with all groups.
    #[must_use]
    pub fn place(&self) -> Range<usize> {
        self.offset..self.offset + self.size
    }
}

macro_rules! groups {
    ($($name:ident),* $(,)?) => {
        [$(FieldGroup::new(stringify!($name), offset_of!(Record, $name), |r| &r.$name)),*]
    };
}

/// All groups, by `enum tcc_field_group`.
pub static FIELD_GROUPS: [FieldGroup; 21] = groups![
    owner, cong, flight, rtt, timer, mss, rate, loss, recovery, data, window, last, chrono,
    chrono_now, pacing, rack, nospace, memory, options, ca, ca_priv,
];

/// A set of field groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldGroups(u32);

impl FieldGroups {
    /// The full record.
    pub const ALL: FieldGroups = FieldGroups((1 << FIELD_GROUPS.len()) - 1);

    /// The groups that these columns of `probe` are read from.
    #[must_use]
    pub fn of<'c>(columns: impl IntoIterator<Item = &'c Column>) -> Self {
        let mut groups = FieldGroups::default();
        columns.into_iter().for_each(|column| groups.add(column));
        groups
    }

    /// Adds the groups that a column of `probe` is read from.
    pub fn add(&mut self, column: &Column) {
        match column.origin {
            Origin::Private(index) => ca::places(index).for_each(|place| self.add_place(&place)),
            _ => column.origin.places().for_each(|place| self.add_place(&place)),
        }
    }

    fn add_place(&mut self, read: &Range<usize>) {
        for (index, group) in FIELD_GROUPS.iter().enumerate() {
            let place = group.place();
            if read.start < place.end && place.start < read.end {
                self.0 |= 1 << index;
            }
        }
    }

    /// Whether only the standard fields are loaded.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the algorithms' state is loaded.
    #[must_use]
    pub fn has_ca_state(self) -> bool {
        self.iter().any(|group| group.offset == offset_of!(Record, ca_priv))
    }

    /// In the record's order.
    pub fn iter(self) -> impl Iterator<Item = &'static FieldGroup> {
        FIELD_GROUPS
            .iter()
            .enumerate()
            .filter_map(move |(index, group)| (self.0 >> index & 1 == 1).then_some(group))
    }
}

/// The bytes of the algorithms' state in the record with all groups.
#[must_use]
pub fn state_place() -> Range<usize> {
    offset_of!(Record, ca_priv)
        ..offset_of!(Record, ca_priv) + size_of_val(&Record::default().ca_priv)
}

/// Where the parts of a shorter record belong in the record with all groups; what is ahead of them is the same in both. It comes with
/// the records, from the kernel or from a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordLayout {
    /// Of the shorter record.
    len: u16,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    /// In the shorter record.
    at: u16,
    /// In the record with all groups.
    slots: u16,
    len: u16,
}

impl Default for RecordLayout {
    fn default() -> Self {
        RecordLayout::new(FieldGroups::default())
    }
}

impl RecordLayout {
    /// The groups one behind the other after the standard fields.
    #[must_use]
    pub fn new(groups: FieldGroups) -> Self {
        let mut layout = RecordLayout { len: size_of::<ProbeRecord>() as u16, parts: Vec::new() };
        for FieldGroup { offset, size, .. } in groups.iter() {
            let (at, slots, len) = (layout.len, *offset as u16, *size as u16);
            match layout.parts.last_mut() {
                Some(last) if last.slots + last.len == slots => last.len += len,
                _ => layout.parts.push(Part { at, slots, len }),
            }
            layout.len += len;
        }
        layout
    }

    /// Length of the records.
    #[must_use]
    pub fn record_len(&self) -> u16 {
        self.len
    }

    /// Where a byte of the record with all groups lies in these records; `None` if it is not loaded.
    #[must_use]
    pub fn locate(&self, offset: usize) -> Option<usize> {
        if offset < size_of::<ProbeRecord>() {
            return Some(offset);
        }
        self.parts.iter().find_map(|part| {
            let inside = offset.checked_sub(part.slots.into())?;
            (inside < part.len.into()).then(|| usize::from(part.at) + inside)
        })
    }

    /// Where each group begins in these records; 0 if it is not loaded.
    #[must_use]
    pub fn offsets(&self) -> [u16; FIELD_GROUPS.len()] {
        std::array::from_fn(|index| {
            let at = self.locate(FIELD_GROUPS[index].offset);
            at.map_or(0, |at| at as u16)
        })
    }
}

/// Expands records of one layout.
pub struct Expander {
    layout: RecordLayout,
    /// The last one expanded. What is not loaded is zero.
    record: Vec<u8>,
}

impl Expander {
    #[must_use]
    pub fn new(layout: RecordLayout) -> Self {
        Expander { layout, record: vec![0; size_of::<Record>()] }
    }

    /// The record with all groups, if this is one of `probe` with some of them; else the same bytes. Any bytes are safe.
    pub fn expand<'b>(&'b mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Expander { layout: RecordLayout { len, parts }, record } = self;
        let of_layout = usize::from(*len) >= size_of::<ProbeRecord>()
            && bytes.len() >= usize::from(*len)
            && bytes.get(offset_of!(Head, event_type)) == Some(&tcp_probe::EVENT_TYPE.number)
            && bytes.get(LEN) == Some(&len.to_ne_bytes());
        if parts.is_empty() || usize::from(*len) == record.len() || !of_layout {
            return bytes;
        }
        let standard = 0..size_of::<ProbeRecord>();
        let parts = parts.iter().map(|&Part { at, slots, len }| {
            let [at, slots, len] = [at, slots, len].map(usize::from);
            (slots..slots + len, at..at + len)
        });
        for (to, from) in parts.chain([(standard.clone(), standard)]) {
            if let (Some(to), Some(from)) = (record.get_mut(to), bytes.get(from)) {
                to.copy_from_slice(from);
            }
        }
        let whole = (record.len() as u16).to_ne_bytes();
        record[LEN].copy_from_slice(&whole);
        record
    }
}

/// The member of a record's head that says how long it is.
const LEN: Range<usize> = offset_of!(Head, len)..offset_of!(Head, len) + 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn groups(names: &[&str]) -> FieldGroups {
        let bit = |name: &&str| FIELD_GROUPS.iter().position(|group| group.name == *name).unwrap();
        FieldGroups(names.iter().fold(0, |bits, name| bits | 1 << bit(name)))
    }

    #[test]
    fn a_layout_has_its_groups_one_behind_the_other() {
        let standard = size_of::<ProbeRecord>();
        let layout = RecordLayout::new(groups(&["cong", "rtt", "timer"]));
        assert_eq!(usize::from(layout.record_len()), standard + 8 + 16 + 16);
        assert_eq!(layout.locate(standard - 1), Some(standard - 1));
        assert_eq!(layout.locate(standard), None);
        assert_eq!(layout.locate(offset_of!(Record, cong.ca_state)), Some(standard + 4));
        assert_eq!(layout.locate(offset_of!(Record, rtt.rto_us)), Some(standard + 8 + 12));
        assert_eq!(layout.locate(offset_of!(Record, timer)), Some(standard + 8 + 16));
        assert_eq!(layout.locate(offset_of!(Record, mss)), None);
        assert_eq!(layout.locate(usize::MAX), None);
        assert_eq!(layout.offsets()[..5], [0, 96, 0, 104, 120]);
    }

    #[test]
    fn the_layout_with_all_groups_is_the_record_itself() {
        let layout = RecordLayout::new(FieldGroups::ALL);
        assert_eq!(usize::from(layout.record_len()), size_of::<Record>());
        (0..size_of::<Record>()).for_each(|at| assert_eq!(layout.locate(at), Some(at)));
        let stored = serde_json::to_string(&layout).unwrap();
        assert_eq!(serde_json::from_str::<RecordLayout>(&stored).unwrap(), layout);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_expanded(
            bytes in proptest::collection::vec(0..4u8, 0..200),
            (len, parts) in (0..200u16, proptest::collection::vec(any::<[u16; 3]>(), 0..3)),
        ) {
            let parts = parts.into_iter().map(|[at, slots, len]| Part { at, slots, len }).collect();
            let mut bytes = bytes;
            if let Some(place) = bytes.get_mut(LEN) {
                place.copy_from_slice(&len.to_ne_bytes());
            }
            let mut expander = Expander::new(RecordLayout { len, parts });
            let len = bytes.len();
            let expanded = expander.expand(&bytes).len();
            prop_assert!(expanded == len || expanded == size_of::<Record>());
        }
    }
}
