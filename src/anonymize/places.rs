//! Where records have what identifies somebody: as the tables of columns say. What is new there is cleared, unless it is known to be
//! harmless.

use std::mem::offset_of;
use std::ops::Range;

use crate::decode;
use crate::events::fields::RecordLayout;
use crate::events::{EVENT_TYPES, EventType, listen_drop};
use crate::skel::{Head, ListenDropRecord};
use crate::slot::Form;
use crate::table::Origin;

/// Names that stay: of algorithms and queueing disciplines.
const KEPT_NAMES: &[&str] = &["ca_name", "qdisc"];
/// Numbers that name something.
const NAMING: &[&str] = &["cgroup_id"];
const PORTS: &[&str] = &["sport", "dport"];

/// What a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Address,
    Port,
    /// A name, or a number that stands for one.
    Name,
}

/// Bytes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub at: Range<usize>,
    pub what: What,
}

/// The places of all event types.
pub(super) struct Places {
    /// By number.
    of_types: Vec<Vec<Place>>,
    /// Of records of `probe` with some of the field groups: their length, and where the places are there.
    partial: (usize, Vec<Place>),
}

impl Places {
    pub fn new(layout: &RecordLayout) -> Self {
        let of_types: Vec<Vec<Place>> = EVENT_TYPES.iter().map(places).collect();
        let probe = EVENT_TYPES.iter().position(EventType::is_probe).unwrap_or_default();
        let located = of_types[probe].iter().filter_map(|Place { at, what }| {
            let start = layout.locate(at.start)?;
            Some(Place { at: start..start + at.len(), what: *what })
        });
        let partial = (usize::from(layout.record_len()), located.collect());
        Places { of_types, partial }
    }

    /// `None` if this is not a record. A place may lie beyond a short one.
    pub fn of(&self, bytes: &[u8]) -> Option<&[Place]> {
        let event_type = decode::event_type(bytes)?;
        let len = bytes.get(offset_of!(Head, len)..)?.first_chunk()?;
        let (partial_len, partial) = &self.partial;
        let is_partial = usize::from(u16::from_ne_bytes(*len)) == *partial_len;
        if EVENT_TYPES[event_type].is_probe() && is_partial {
            return Some(partial);
        }
        self.of_types.get(event_type).map(Vec::as_slice)
    }
}

fn places(event_type: &EventType) -> Vec<Place> {
    let columns = (event_type.columns)();
    let mut places: Vec<Place> = Vec::new();
    for column in columns {
        let Origin::Slot(slot) = &column.origin else { continue };
        let what = match slot.form {
            Form::Address => What::Address,
            Form::Text if !KEPT_NAMES.contains(&column.name) => What::Name,
            _ if NAMING.contains(&column.name) => What::Name,
            _ if PORTS.contains(&column.name) => What::Port,
            _ => continue,
        };
        let place = Place { at: slot.offset.into()..slot.end(), what };
        // Several columns may show one place, which is permuted once.
        if !places.contains(&place) {
            places.push(place);
        }
    }
    if event_type.number == listen_drop::EVENT_TYPE.number {
        // A kernel address, which no column shows.
        let at = offset_of!(ListenDropRecord, sk);
        places.push(Place { at: at..at + size_of::<u64>(), what: What::Name });
    }
    places
}
