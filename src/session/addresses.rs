//! Kernel addresses in records that are kept: the symbols that they need to be read elsewhere, and addresses that must not be seen.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::decode::Event;
use crate::events::EventType;
use crate::events::ca;
use crate::events::fields::{RecordLayout, state_place};
use crate::slot::{Form, Slot};
use crate::symbols::Symbols;
use crate::table::Origin;

/// Where addresses begin that stand for those which must not be seen.
const FIRST: u64 = 1 << 40;
/// Those of the kernel are above it.
const KERNEL: u64 = 1 << 63;
/// Room for each function.
const ROOM: u64 = 1 << 24;

/// The addresses that were in records so far.
pub(super) struct Addresses {
    /// The kernel's symbols. `None`: events from recordings bring those of their own.
    symbols: Option<Symbols>,
    known: Known,
    /// Where records of `probe` have the algorithms' state, if they have it.
    state: Option<Range<usize>>,
}

impl Addresses {
    pub(super) fn new(symbols: Symbols, layout: &RecordLayout, elevated: bool) -> Self {
        let hidden = elevated || symbols.shows_names_only();
        let place = state_place();
        let state = layout.locate(place.start).map(|start| start..start + place.len());
        let known = Known { hidden, ..Known::default() };
        Addresses { symbols: Some(symbols), known, state }
    }

    /// Of events from recordings.
    pub(super) fn recorded() -> Self {
        Addresses { symbols: None, known: Known::default(), state: None }
    }

    /// The bytes to record, and in `known` the symbols that they are the first to need.
    pub(super) fn of<'b>(
        &mut self,
        event: &Event<'b>,
        buffer: &'b mut Vec<u8>,
        known: &mut Vec<(u64, String)>,
    ) -> &'b [u8] {
        let (raw, event_type) = (event.raw(), event.event_type());
        if event_type.is_probe() {
            let state = self.state.clone().filter(|_| self.known.hidden && runs_unknown(event));
            let Some(state) = state else { return raw };
            copy(raw, buffer);
            buffer.get_mut(state).into_iter().for_each(|bytes| bytes.fill(0));
            return buffer;
        }
        let places = places(event_type, raw.len());
        if places.is_empty() {
            return raw;
        }
        copy(raw, buffer);
        let symbols = self.symbols.as_ref().unwrap_or(&event.types().symbols);
        for place in places {
            let Some(word) = buffer.get_mut(place..place + 8).and_then(|b| b.first_chunk_mut())
            else {
                continue;
            };
            let address = u64::from_ne_bytes(*word);
            if address != 0 {
                *word = self.known.replaced(address, symbols, known).to_ne_bytes();
            }
        }
        buffer
    }
}

/// What addresses were recorded as.
#[derive(Default)]
struct Known {
    /// The caller must not see memory that only our privileges can read.
    hidden: bool,
    /// Addresses that are recorded as they are.
    shown: HashSet<u64>,
    /// What begins where functions are said to begin whose addresses are not.
    functions: HashMap<String, u64>,
}

impl Known {
    /// What an address is recorded as.
    fn replaced(&mut self, address: u64, symbols: &Symbols, new: &mut Vec<(u64, String)>) -> u64 {
        // One that was replaced before means something in its own file only.
        if !self.hidden && address >= KERNEL {
            if self.shown.insert(address) {
                new.extend(symbols.around(address));
            }
            return address;
        }
        let Some((name, offset)) = symbols.find(address) else { return 0 };
        if let Some(first) = self.functions.get(name) {
            return first + offset;
        }
        let first = FIRST + self.functions.len() as u64 * ROOM;
        self.functions.insert(name.to_owned(), first);
        new.push((first, name.to_owned()));
        first + offset
    }
}

fn copy(record: &[u8], buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(record);
}

/// Where the records of that type and length have addresses.
fn places(event_type: &EventType, len: usize) -> Vec<usize> {
    let mut places = Vec::new();
    for column in (event_type.columns)() {
        match &column.origin {
            Origin::Slot(Slot { form: Form::Code, offset, .. }) => places.push((*offset).into()),
            Origin::Stack(stack) if stack.frames.end() <= len => {
                let frames = usize::from(stack.frames.offset)..stack.frames.end();
                places.extend(frames.step_by(8));
            }
            _ => {}
        }
    }
    places
}

/// Whether the algorithm is not one that this program knows: it may keep addresses in its state.
fn runs_unknown(event: &Event<'_>) -> bool {
    !ca::ALGORITHMS.iter().any(|algorithm| event.has_group(algorithm.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Types;
    use crate::skel::{DropStackRecord, bytes};
    use crate::table::Moment;

    const TEXT: &str = "ffffffff81000000 T tcp_drop\nffffffff81000200 t tcp_v4_rcv\n";

    /// What is recorded, and the symbols for it.
    fn recorded(location: u64, addresses: &mut Addresses) -> (u64, u64, Vec<(u64, String)>) {
        let mut record = DropStackRecord::default();
        (record.drop.location, record.stack[1]) = (location, location);
        let head = &mut record.drop.event.head;
        (head.event_type, head.len) = (13, size_of::<DropStackRecord>() as u16);
        let types = Types::default();
        let event = Event::decode(bytes(&record), &types, |_| Moment::Wall(0)).unwrap();
        let (mut buffer, mut known) = (Vec::new(), Vec::new());
        let recorded = addresses.of(&event, &mut buffer, &mut known);
        let mut copy = DropStackRecord::default();
        plain::copy_from_bytes(&mut copy, recorded).unwrap();
        (copy.drop.location, copy.stack[1], known)
    }

    #[test]
    fn an_address_brings_its_symbol_once() {
        let mut addresses = Addresses::new(Symbols::parse(TEXT), &RecordLayout::default(), false);
        let at = 0xffff_ffff_8100_0010;
        let (location, frame, known) = recorded(at, &mut addresses);
        assert_eq!((location, frame), (at, at));
        let mut symbols = Symbols::default();
        symbols.add(known);
        assert_eq!(symbols.shown(at).as_deref(), Some("tcp_drop+0x10"));
        assert!(recorded(at, &mut addresses).2.is_empty());
    }

    /// Files of two tracers have other numbers for the same function.
    #[test]
    fn replaced_addresses_of_several_files_stay_apart() {
        let mut known = Known::default();
        let mut symbols = Symbols::default();
        for (name, files) in
            [("tcp_drop", [FIRST, FIRST + ROOM]), ("tcp_v4_rcv", [FIRST + ROOM, FIRST])]
        {
            for first in files {
                let mut of_file = Symbols::default();
                of_file.add(vec![(first, name.to_owned())]);
                let mut new = Vec::new();
                let address = known.replaced(first + 0x1a, &of_file, &mut new);
                symbols.add(new);
                assert_eq!(symbols.shown(address), Some(format!("{name}+0x1a")));
            }
        }
        assert_eq!(known.functions.len(), 2);
    }

    #[test]
    fn an_address_that_must_not_be_seen_is_not_recorded() {
        let mut addresses = Addresses::new(Symbols::parse(TEXT), &RecordLayout::default(), true);
        let mut symbols = Symbols::default();
        for (at, name) in
            [(0xffff_ffff_8100_0010, "tcp_drop+0x10"), (0xffff_ffff_8100_0201, "tcp_v4_rcv+0x1")]
        {
            let (location, frame, known) = recorded(at, &mut addresses);
            assert!(location < FIRST + 2 * ROOM && frame == location);
            symbols.add(known);
            assert_eq!(symbols.shown(location).as_deref(), Some(name));
        }
        assert_eq!(recorded(0xffff_ffff_9000_0000, &mut addresses), (0, 0, Vec::new()));
    }
}
