//! Where the frames of a file are: so that a time is found without reading all that is before it.
//!
//! The payload of an index frame is the place of the index before it (0: there is none), and an entry for each frame since then.

use super::frame::{FRAME_HEADER, FrameHeader, FrameType};
use super::frames::Place;

/// Bytes of an entry.
const ENTRY: usize = 32;
/// Entries of an index frame: those of more frames are in several.
pub const MOST_ENTRIES: usize = 16_384;

/// A frame, as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub offset: u64,
    pub frame_type: FrameType,
    pub records: u32,
    /// The least and the greatest time of its records, or the time that it is about.
    pub first_ns: u64,
    pub last_ns: u64,
}

impl Entry {
    #[must_use]
    pub fn of(place: &Place) -> Self {
        let FrameHeader { frame_type, records, first_ns, last_ns, .. } = place.header;
        Entry { offset: place.offset, frame_type, records, first_ns, last_ns }
    }
}

/// The payload of an index frame.
#[must_use]
pub fn pack(before: u64, entries: &[Entry]) -> Vec<u8> {
    let mut plain = before.to_le_bytes().to_vec();
    for entry in entries {
        for word in [entry.offset, entry.first_ns, entry.last_ns] {
            plain.extend_from_slice(&word.to_le_bytes());
        }
        plain.extend_from_slice(&entry.records.to_le_bytes());
        plain.extend_from_slice(&[entry.frame_type.number(), 0, 0, 0]);
    }
    plain
}

/// Where the index before it is, and its entries. `None`: it is malformed.
#[must_use]
pub fn unpack(plain: &[u8]) -> Option<(u64, Vec<Entry>)> {
    let (before, entries) = plain.split_first_chunk()?;
    let (entries, rest) = entries.as_chunks::<ENTRY>();
    let entry = |bytes: &[u8; ENTRY]| {
        let word =
            |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let records = bytes[24..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
        Entry {
            offset: word(0),
            first_ns: word(8),
            last_ns: word(16),
            records,
            frame_type: FrameType::of(bytes[28]),
        }
    };
    rest.is_empty().then(|| (u64::from_le_bytes(*before), entries.iter().map(entry).collect()))
}

/// Frames that are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    pub from: u64,
    pub to: u64,
    /// Number of the frame at `to`.
    pub number: u32,
}

/// The runs of frames that are not wanted. `end`: of the last frame.
#[must_use]
pub fn skips(entries: &[Entry], end: u64, wanted: impl Fn(&Entry) -> bool) -> Vec<Skip> {
    let ends = entries.iter().skip(1).map(|next| next.offset).chain([end]);
    let mut skips: Vec<Skip> = Vec::new();
    for (number, (entry, to)) in (1..).zip(entries.iter().zip(ends)) {
        if wanted(entry) {
            continue;
        }
        match skips.last_mut() {
            Some(last) if last.to == entry.offset => (last.to, last.number) = (to, number),
            _ => skips.push(Skip { from: entry.offset, to, number }),
        }
    }
    skips
}

/// Whether the entries can be those of a file whose frames are in front of `end`.
#[must_use]
pub fn is_plausible(entries: &[Entry], end: u64) -> bool {
    let ends = entries.iter().skip(1).map(|next| next.offset).chain([end]);
    entries.iter().zip(ends).all(|(entry, end)| {
        entry.offset.checked_add(FRAME_HEADER as u64).is_some_and(|least| least <= end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(offset: u64, first_ns: u64) -> Entry {
        let (frame_type, records) = (FrameType::Data, 7);
        Entry { offset, frame_type, records, first_ns, last_ns: first_ns + 9 }
    }

    #[test]
    fn an_index_comes_back_as_it_was() {
        let entries = [entry(100, 5), Entry { frame_type: FrameType::Clock, ..entry(900, 7) }];
        let plain = pack(77, &entries);
        assert_eq!(unpack(&plain), Some((77, entries.to_vec())));
        assert_eq!(unpack(&plain[..plain.len() - 1]), None);
        assert_eq!(unpack(&[]), None);
        assert!(is_plausible(&entries, 948) && !is_plausible(&entries, 947));
        assert!(!is_plausible(&[entry(900, 0), entry(100, 0)], 2000));
        assert!(!is_plausible(&[entry(u64::MAX, 0)], u64::MAX));
    }

    #[test]
    fn frames_in_a_row_are_skipped_together() {
        let entries: Vec<Entry> = (0..6).map(|at| entry(16 + 100 * at, at)).collect();
        let skipped = |wanted: &[u64]| {
            let skips = skips(&entries, 616, |entry| wanted.contains(&entry.first_ns));
            skips.iter().map(|skip| (skip.from, skip.to, skip.number)).collect::<Vec<_>>()
        };
        assert_eq!(skipped(&[0, 3]), [(116, 316, 3), (416, 616, 6)]);
        assert_eq!(skipped(&[]), [(16, 616, 6)]);
        assert_eq!(skipped(&[0, 1, 2, 3, 4, 5]), []);
    }
}
