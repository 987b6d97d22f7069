//! Files of which a part is read: by the index, without it, and with a damaged start.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::*;
use crate::recording::frame::FrameHeader;
use crate::recording::frames::{Bytes, Frames};
use crate::recording::index::{Entry, MOST_ENTRIES};

/// The records of a file from and up to these times, and how many frames were read.
fn between(file: &[u8], from: u64, to: u64) -> (Vec<Vec<u8>>, u64, Vec<Gap>) {
    let mut recording = Recording::open(file).unwrap();
    recording.skip(|_, first, last| first < to && last >= from).unwrap();
    let mut records = Vec::new();
    while recording.advance().unwrap() == Step::Record {
        if (from..to).contains(&recording.time_ns()) {
            records.push(recording.record().to_vec());
        }
    }
    (records, recording.frame_count(), recording.gaps().0.to_vec())
}

fn of_type(file: &[u8], of: FrameType) -> Vec<super::super::frames::Place> {
    places(&file).unwrap().into_iter().filter(|place| place.header.frame_type == of).collect()
}

#[test]
fn a_time_is_found_by_the_index_and_without_it() {
    let frames: Vec<_> = (0..50_u64).map(|at| 1000 + 10 * at..1010 + 10 * at).collect();
    let whole = file(&frames);
    let end = of_type(&whole, FrameType::End)[0].offset as usize;
    assert_eq!(of_type(&whole, FrameType::Index).len(), 1);
    for (from, to) in [(1000, 1001), (1234, 1256), (1490, 2000), (0, 10), (0, 5000)] {
        let wanted = records((from..to).filter(|time| (1000..1500).contains(time)));
        let touched = (100..150_u64).filter(|at| at * 10 < to && at * 10 + 9 >= from).count();
        let (by_index, read, gaps) = between(&whole, from, to);
        assert!(by_index == wanted && gaps.is_empty(), "{from} to {to}: {gaps:?}");
        // All but the records of other times is read: the header and its copy, clock, names, counters, index, end, locator.
        assert_eq!(read, touched as u64 + 8, "{from} to {to}");
        // Torn, without an end and an index.
        let (torn, read, gaps) = between(&whole[..end - 10], from, to);
        assert!(
            torn == wanted && gaps.is_empty() && read == touched as u64 + 5,
            "{from} to {to}: {read}"
        );
    }
    // A wrong index is not used.
    let mut wrong = whole.clone();
    let index = of_type(&whole, FrameType::Index)[0];
    wrong[index.offset as usize + 60] ^= 1;
    let (found, _, gaps) = between(&wrong, 1234, 1256);
    assert!(found == records(1234..1256) && gaps.len() == 1);
}

/// Damage in what is not wanted does not matter, and in what is, it is noticed.
#[test]
fn damage_is_noticed_where_it_is_read() {
    let frames: Vec<_> = (0..10_u64).map(|at| 1000 + 10 * at..1010 + 10 * at).collect();
    let whole = file(&frames);
    let data = of_type(&whole, FrameType::Data);
    for at in [FRAME_HEADER + 3, 9] {
        let mut damaged = whole.clone();
        damaged[data[3].offset as usize + at] ^= 0x55;
        let (found, _, gaps) = between(&damaged, 1050, 1060);
        assert!(found == records(1050..1060) && gaps.is_empty(), "{gaps:?}");
        let (found, _, gaps) = between(&damaged, 1025, 1045);
        assert_eq!(found, records((1025..1030).chain(1040..1045)));
        assert!(gaps.len() == 1 && gaps[0].frames == 1, "{gaps:?}");
    }
}

/// A long file has an index in parts, and its header several times.
#[test]
fn a_long_file_has_all_of_it_in_reach() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, ByteOrder::NATIVE).unwrap();
    writer.begin(&header()).unwrap();
    let mut noise = 1_u64;
    let count = MOST_ENTRIES as u64 * 2 + 10;
    for time in 1000..1000 + count {
        for turn in 0..4 {
            let (number, mut record) = record(time);
            // Bytes that cannot be compressed make long files.
            for word in record[56..].as_chunks_mut().0 {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1 + turn);
                *word = (noise >> 32 ^ noise).to_ne_bytes();
            }
            writer.record(number, &record).unwrap();
        }
        writer.cut().unwrap();
    }
    writer.end(9_999_999, None).unwrap();
    assert!(bytes.len() > 18 << 20, "{}", bytes.len());
    let copies = of_type(&bytes, FrameType::HeaderCopy);
    assert!(copies.len() >= 3, "{}", copies.len());
    assert!(copies.windows(2).all(|two| two[1].offset - two[0].offset < 17 << 20));
    assert_eq!(of_type(&bytes, FrameType::Index).len(), 3);
    let mut frames = Frames::new(&bytes[..]).unwrap();
    let (entries, end) = frames.entries().unwrap().unwrap();
    let all: Vec<Entry> = places(&&bytes[..]).unwrap().iter().map(Entry::of).collect();
    assert_eq!(entries, all[..all.len() - 3]);
    assert_eq!(end, all[all.len() - 3].offset);
    let (found, read, gaps) = between(&bytes, 20_000, 20_003);
    assert!(found.len() == 12 && gaps.is_empty() && read < 20, "{} of {read}", found.len());

    // Without its start, and without its end too.
    let times = |file: &[u8]| {
        let (found, _, gaps) = between(file, 20_000, 20_003);
        let times: BTreeSet<u64> =
            found.iter().map(|r| ByteOrder::NATIVE.time(r).unwrap()).collect();
        assert!(gaps[0].offset == 0 || gaps[0].offset == PREAMBLE as u64, "{gaps:?}");
        times
    };
    let wanted: BTreeSet<u64> = (20_000..20_003).collect();
    let mut damaged = bytes.clone();
    damaged[..1000].fill(0xaa);
    assert_eq!(times(&damaged), wanted);
    damaged[..].copy_from_slice(&bytes);
    damaged[PREAMBLE..1000].fill(0xaa);
    assert_eq!(times(&damaged[..damaged.len() - 30]), wanted);
}

/// Of a file whose tracer was killed early, too: the header is repeated behind the first records.
#[test]
fn a_torn_file_with_a_damaged_header_is_read() {
    let whole = file(&[1000..1010, 1010..1020]);
    let second = of_type(&whole, FrameType::Data)[1];
    let end = second.offset as usize + FRAME_HEADER + second.header.stored as usize;
    let header: &FrameHeader = &places(&&whole[..]).unwrap()[0].header;
    for at in 0..PREAMBLE + FRAME_HEADER + header.stored as usize {
        let mut torn = whole[..end].to_vec();
        torn[at] ^= 0x55;
        let (found, gaps, ended) = read(&torn).unwrap();
        assert!(found == records(1000..1020) && !ended, "byte {at}");
        assert_eq!(gaps.len(), usize::from(!(10..PREAMBLE).contains(&at)), "byte {at}: {gaps:?}");
    }
}

/// Numbers that an index or a locator may have, whoever made it.
#[test]
fn any_locator_is_safe() {
    let whole = file(&[1000..1010, 1010..1020]);
    let at = of_type(&whole, FrameType::Locator)[0].offset as usize;
    let index = of_type(&whole, FrameType::Index)[0];
    for place in [0, 1, 16, index.offset + 1, at as u64, u64::MAX, u64::MAX - 47] {
        let mut crafted = whole[..at].to_vec();
        let about = crate::recording::frame::About {
            frame_type: FrameType::Locator,
            number: 9,
            records: 0,
            first_ns: place,
            last_ns: place,
        };
        let mut frame = Vec::new();
        crate::recording::frame::Packer::new().unwrap().pack(about, &[], &mut frame).unwrap();
        crafted.extend_from_slice(&frame);
        let (found, ..) = between(&crafted, 1005, 1015);
        assert_eq!(found, records(1005..1015), "{place}");
        crafted[PREAMBLE + 60] ^= 1;
        assert_eq!(read(&crafted).unwrap().0, records(1000..1020), "{place}");
    }
}

/// A file that notes what is announced, and what is read then.
struct Noted<'f> {
    file: &'f [u8],
    announced: RefCell<Vec<std::ops::Range<u64>>>,
    read: RefCell<Vec<std::ops::Range<u64>>>,
}

impl Bytes for &Noted<'_> {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.file.read_at(buffer, offset)?;
        self.read.borrow_mut().push(offset..offset + count as u64);
        Ok(count)
    }

    fn is_wanted(&self, offset: u64, len: u64) {
        self.announced.borrow_mut().push(offset..offset + len);
    }
}

/// Else a disk gets one request at a time.
#[test]
fn what_is_read_after_a_seek_is_announced() {
    let frames: Vec<_> = (0..200_u64).map(|at| 1000 + 10 * at..1010 + 10 * at).collect();
    let whole = file(&frames);
    let noted = Noted { file: &whole, announced: RefCell::default(), read: RefCell::default() };
    let mut recording = Recording::open(&noted).unwrap();
    recording.skip(|_, first, last| first < 2_456 && last >= 2_400).unwrap();
    noted.read.borrow_mut().clear();
    while recording.advance().unwrap() != Step::End {}
    let announced = noted.announced.borrow();
    let total: u64 = announced.iter().map(|range| range.end - range.start).sum();
    assert!(total < whole.len() as u64 / 2, "{total} of {}", whole.len());
    let read: Vec<_> =
        noted.read.borrow().iter().filter(|read| !read.is_empty()).cloned().collect();
    let covered = |read: &std::ops::Range<u64>| {
        announced.iter().any(|range| range.start <= read.start && read.end <= range.end)
    };
    assert!(read.len() > 10 && read.iter().all(covered), "{read:?}: {announced:?}");
}
