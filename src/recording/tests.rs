//! A small file: written, read, cut at every byte, and with every byte flipped.

mod seek;

use std::io;

use super::adapt::Adapter;
use super::codec::ByteOrder;
use super::frame::{FRAME_HEADER, FrameType, PREAMBLE};
use super::frames::{Gap, places};
use super::header::{AccountingFrame, Additions, ClockSample, Header};
use super::output::Target;
use super::reader::{Recording, Step, Unreadable};
use super::schema::shapes;
use super::writer::Writer;
use crate::environment::{ClockReading, Environment};
use crate::events::{EventType, event_type};
use crate::skel::{DropRecord, StateRecord, bytes};

fn event_types() -> [&'static EventType; 2] {
    ["state", "drop"].map(|name| event_type(name).unwrap())
}

fn header() -> Header {
    let clock = ClockReading { start_ns: 1000, wall_offset_ns: 5_000_000 };
    let environment = Environment { host: "here".into(), clock, ..Environment::default() };
    Header {
        byte_order: ByteOrder::NATIVE,
        shapes: shapes(&event_types(), &environment),
        environment,
        ..Header::default()
    }
}

/// A record of `state` or `drop`, each with another value.
fn record(mono_ns: u64) -> (usize, Vec<u8>) {
    let [state, drop] = event_types();
    let (mut record, of) = if mono_ns.is_multiple_of(3) {
        let mut record = DropRecord::default();
        (record.seq, record.location) = (mono_ns as u32, 0xffff_0000 + mono_ns);
        (bytes(&record).to_vec(), drop)
    } else {
        let mut record = StateRecord::default();
        (record.old_state_ns, record.new_state) = (7 * mono_ns, (mono_ns % 12) as u8);
        record.event.tcp.snd_cwnd = 10 + (mono_ns % 5) as u32;
        (bytes(&record).to_vec(), state)
    };
    record[..8].copy_from_slice(&mono_ns.to_ne_bytes());
    record[8] = (mono_ns % 4) as u8;
    record[52] = of.number;
    let len = (record.len() as u16).to_ne_bytes();
    record[54..56].copy_from_slice(&len);
    (of.number.into(), record)
}

/// Frames with the records of these times each, and what else a file has.
fn file(frames: &[std::ops::Range<u64>]) -> Vec<u8> {
    let mut file = Vec::new();
    write(&mut file, frames).unwrap();
    file
}

fn write<T: Target>(to: T, frames: &[std::ops::Range<u64>]) -> io::Result<()> {
    let mut writer = Writer::new(to, ByteOrder::NATIVE)?;
    writer.begin(&header())?;
    writer.clock(&[ClockSample { after_ns: 1500, wall_offset_ns: 6_000_000 }])?;
    let symbols = vec![(0xffff_0000, "tcp_drop".to_owned())];
    writer.additions(1000, &Additions { symbols, layouts: None })?;
    for times in frames {
        for time in times.clone() {
            let (event_type, record) = record(time);
            writer.record(event_type, &record)?;
        }
        writer.cut()?;
    }
    let lost = [("state".to_owned(), 4)].into();
    writer.accounting(&AccountingFrame { lost, from_ns: 1, to_ns: 2, ..Default::default() })?;
    writer.end(9999, None)
}

/// The records of a file, what is missing, and whether it has an end.
type Found = (Vec<Vec<u8>>, Vec<Gap>, bool);

fn read(bytes: &[u8]) -> Result<Found, Unreadable> {
    let mut recording = Recording::open(bytes)?;
    let mut records = Vec::new();
    let end = loop {
        match recording.advance()? {
            Step::Record => records.push(recording.record().to_vec()),
            step => break step == Step::End,
        }
    };
    Ok((records, recording.gaps().0.to_vec(), end))
}

fn records(times: impl Iterator<Item = u64>) -> Vec<Vec<u8>> {
    times.map(|time| record(time).1).collect()
}

#[test]
fn a_file_comes_back_as_it_was() {
    let file = file(&[1000..1100, 1100..1101, 1200..1900]);
    let mut recording = Recording::open(&file[..]).unwrap();
    assert_eq!(recording.header.environment.host, "here");
    let of: Vec<&str> = recording.event_types().iter().map(|of| of.name).collect();
    assert_eq!(of, ["state", "drop"]);
    let wanted = records((1000..1101).chain(1200..1900));
    for wanted in &wanted {
        assert_eq!(recording.advance().unwrap(), Step::Record);
        assert_eq!(recording.record(), wanted);
    }
    assert_eq!(recording.advance().unwrap(), Step::End);
    assert_eq!(recording.types.symbols.shown(0xffff_0010).as_deref(), Some("tcp_drop+0x10"));
    assert_eq!(recording.clock[1].after_ns, 1500);
    assert_eq!(recording.losses[0].lost["state"], 4);
    let end = recording.end.as_ref().unwrap();
    assert_eq!(end.written.values().sum::<u64>(), wanted.len() as u64);
    let counted: Vec<u64> = end.written.values().copied().collect();
    assert_eq!(counted, [recording.read[13], recording.read[1]]);
    assert_eq!((recording.gaps().0.len(), recording.rest().unwrap()), (0, 0));
}

#[test]
fn frames_are_cut_by_count_and_by_size() {
    let many = file(&[0..20_000, 0..0]);
    let data = places(&&many[..]).unwrap().into_iter().map(|place| place.header);
    let data: Vec<u32> = data
        .filter(|header| header.frame_type == FrameType::Data)
        .map(|data| data.records)
        .collect();
    assert_eq!(data.len(), 2);
    assert_eq!((data[0], data[1]), (16_384, 20_000 - 16_384));
}

#[test]
fn the_time_of_each_frame_is_in_its_header() {
    let file = file(&[1000..1100, 1200..1900]);
    let places = places(&&file[..]).unwrap();
    let data = places.iter().filter(|place| place.header.frame_type == FrameType::Data);
    let times: Vec<_> = data.map(|place| (place.header.first_ns, place.header.last_ns)).collect();
    assert_eq!(times, [(1000, 1099), (1200, 1899)]);
    assert_eq!(places[0].offset, PREAMBLE as u64);
}

/// Every whole frame before the cut is read, and nothing else.
#[test]
fn a_file_may_be_cut_at_every_byte() {
    let file = file(&[1000..1010, 1010..1020]);
    let places = places(&&file[..]).unwrap();
    let first = FRAME_HEADER + places[0].header.stored as usize + PREAMBLE;
    for len in 0..file.len() {
        let result = read(&file[..len]);
        if len < first {
            assert!(
                matches!(result, Err(Unreadable::NotARecording | Unreadable::NoHeader)),
                "{len}"
            );
            continue;
        }
        let (found, gaps, end) = result.unwrap();
        let whole = places.iter().filter(|place| {
            let end = place.offset as usize + FRAME_HEADER + place.header.stored as usize;
            place.header.frame_type == FrameType::Data && end <= len
        });
        assert_eq!(found, records((1000..1020).take(10 * whole.count())), "{len}");
        let has_end = len >= file.len() - FRAME_HEADER;
        assert!(gaps.is_empty() && end == has_end, "{len}");
    }
}

/// What is in the other frames is read, and the gap is where the byte is.
#[test]
fn every_byte_may_be_wrong() {
    let file = file(&[1000..1010, 1010..1020, 1020..1030]);
    let places = places(&&file[..]).unwrap();
    for at in 0..file.len() {
        let mut bytes = file.clone();
        bytes[at] ^= 0x55;
        let result = read(&bytes);
        let (found, gaps, end) = result.unwrap();
        let hit = places.iter().rfind(|place| place.offset as usize <= at);
        let Some(hit) = hit else {
            assert!(found == records(1000..1030) && end, "byte {at}");
            // A minor version does not matter.
            let preamble = |gap: &Gap| (gap.offset, gap.bytes) == (0, PREAMBLE as u64);
            assert_eq!(gaps.len() == 1 && preamble(&gaps[0]), at < 10, "byte {at}: {gaps:?}");
            continue;
        };
        let lost = if hit.header.frame_type == FrameType::Data {
            hit.header.first_ns..=hit.header.last_ns
        } else {
            #[expect(clippy::reversed_empty_ranges)]
            {
                1..=0
            }
        };
        assert_eq!(found, records((1000..1030).filter(|time| !lost.contains(time))), "byte {at}");
        let last = hit.header.frame_type == FrameType::End;
        assert_eq!(end, !last, "byte {at}");
        if hit.header.frame_type == FrameType::Locator {
            assert!(gaps.is_empty(), "byte {at}: {gaps:?}");
        } else {
            let [gap] = gaps[..] else { panic!("byte {at}: {gaps:?}") };
            assert_eq!((gap.offset, gap.frames), (hit.offset, 1), "byte {at}");
            let bytes = FRAME_HEADER as u64 + u64::from(hit.header.stored);
            assert_eq!(gap.bytes, bytes, "byte {at}");
        }
    }
}

/// A byte too many or too few.
#[test]
fn what_is_behind_damage_is_found() {
    let file = file(&[1000..1010, 1010..1020, 1020..1030]);
    let places = places(&&file[..]).unwrap();
    let middle = places.iter().filter(|p| p.header.frame_type == FrameType::Data).nth(1).unwrap();
    let at = middle.offset as usize + 60;
    let wanted = records((1000..1010).chain(1020..1030));
    let (mut longer, mut shorter) = (file.clone(), file.clone());
    longer.insert(at, 7);
    shorter.remove(at);
    for bytes in [longer, shorter, [&file[..at], &file[at + 30..]].concat()] {
        let (found, gaps, end) = read(&bytes).unwrap();
        assert!(found == wanted && end);
        let [gap] = gaps[..] else { panic!("{gaps:?}") };
        assert_eq!((gap.after_ns, gap.before_ns), (Some(1009), Some(1020)));
    }
}

/// Bytes that look like frames, one behind the other, do not take long.
#[test]
fn seeming_frames_are_not_all_checked() {
    let mut file = file(&[1000..1005, 1005..1010]);
    let mut seeming = Vec::new();
    for _ in 0..60_000 {
        let mut frame = [0; FRAME_HEADER];
        frame[..4].copy_from_slice(b"TCF\x01");
        frame[8..12].copy_from_slice(&1_000_000_u32.to_le_bytes());
        seeming.extend_from_slice(&frame);
    }
    file.extend_from_slice(&seeming);
    let (found, ..) = read(&file).unwrap();
    assert_eq!(found.len(), 10);
}

/// A disk with that much room.
struct Disk {
    bytes: std::rc::Rc<std::cell::RefCell<Vec<u8>>>,
    room: usize,
}

impl io::Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.bytes.borrow_mut();
        let count = bytes.len().min(self.room - disk.len());
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Target for Disk {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.bytes.borrow_mut().truncate(len as usize);
        Ok(())
    }
}

#[test]
fn a_full_disk_leaves_whole_frames() {
    let whole = file(&[1000..1010, 1010..1020]);
    for room in (0..whole.len()).step_by(7) {
        let bytes = std::rc::Rc::default();
        let disk = Disk { bytes: std::rc::Rc::clone(&bytes), room };
        let error = write(disk, &[1000..1010, 1010..1020]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let written = bytes.borrow();
        let ends = places(&&written[..]).unwrap();
        let end = ends.last().map(|p| p.offset as usize + FRAME_HEADER + p.header.stored as usize);
        assert!(written.is_empty() || end.unwrap_or(PREAMBLE) == written.len(), "{room}");
    }
}

/// Made on a machine of another byte order.
#[test]
fn another_byte_order_is_read() {
    let (state, other) = (
        event_types()[0],
        match ByteOrder::NATIVE {
            ByteOrder::Little => ByteOrder::Big,
            ByteOrder::Big => ByteOrder::Little,
        },
    );
    let mut header = header();
    header.byte_order = other;
    let shape = header.shapes[0].clone();
    let adapter = Adapter::new(&shape, ByteOrder::NATIVE).unwrap();
    assert_eq!(adapter.event_type.name, state.name);
    let times = [1000, 1001, 1003];
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, other).unwrap();
    writer.begin(&header).unwrap();
    for time in times {
        let (number, mut record) = record(time);
        for member in &shape.members {
            let width = usize::from(member.width);
            let start = usize::from(member.offset);
            let members = &mut record[start..start + width * usize::from(member.count)];
            members.chunks_mut(width).for_each(<[u8]>::reverse);
        }
        writer.record(number, &record).unwrap();
    }
    writer.end(2000, None).unwrap();
    let recording = Recording::open(&file[..]).unwrap();
    assert!(recording.is_foreign());
    let (found, gaps, end) = read(&file).unwrap();
    assert_eq!(found, records(times.into_iter().filter(|time| time % 3 != 0)));
    assert!(gaps.is_empty() && end);
}
