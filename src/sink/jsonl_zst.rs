//! JSON lines, compressed: zstd frames one behind the other, each of which can be read alone. A frame is written at least each second,
//! so that a file whose writer was killed has everything up to then.

use std::cell::RefCell;
use std::io::{self, Write};
use std::mem::take;
use std::rc::Rc;
use std::time::Instant;

use zstd::bulk::Compressor;

use super::jsonl::Jsonl;
use super::{Columns, FLUSH, Format, Note, Progress, Sink, Stage};
use crate::accounting::Accounting;
use crate::decode::Event;
use crate::table::Moment;
use crate::table::summary::Summary;

/// The format.
pub static FORMAT: Format = Format {
    delayed: true,
    ..Format::lines("jsonl.zst", "JSON lines, compressed with zstd.", |out, columns| {
        Box::new(JsonlZst::new(out, columns))
    })
};

/// A higher level takes more time, and of lines as similar as these makes larger files.
const LEVEL: i32 = 1;
/// The most that a frame holds, before compression, but for a line.
const FRAME: usize = 1 << 20;

/// The lines of a frame.
#[derive(Clone, Default)]
struct Lines(Rc<RefCell<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The sink. Its progress is in bytes of lines.
pub struct JsonlZst<W: Write> {
    jsonl: Jsonl<Lines>,
    lines: Lines,
    frame: Vec<u8>,
    to: W,
    written: u64,
    /// When the oldest of the lines was seen to wait.
    since: Option<Instant>,
}

impl<W: Write> JsonlZst<W> {
    fn new(to: W, columns: &Columns) -> Self {
        let lines = Lines::default();
        let jsonl = Jsonl::new(lines.clone(), &columns.tables);
        JsonlZst { jsonl, lines, frame: Vec::new(), to, written: 0, since: None }
    }

    /// Writes a frame with the lines so far. After an error, none of them counts as written.
    fn write_frame(&mut self) -> io::Result<()> {
        self.jsonl.flush()?;
        let mut lines = take(&mut *self.lines.0.borrow_mut());
        self.since = None;
        if lines.is_empty() {
            return Ok(());
        }
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        self.frame.clear();
        self.frame.reserve(zstd::zstd_safe::compress_bound(lines.len()));
        compressor.compress_to_buffer(&lines, &mut self.frame)?;
        self.to.write_all(&self.frame)?;
        self.written += lines.len() as u64;
        // Its allocation is used again.
        lines.clear();
        *self.lines.0.borrow_mut() = lines;
        self.to.flush()
    }

    fn is_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= FLUSH)
    }

    /// Called after each event or summary.
    fn added(&mut self) -> io::Result<()> {
        let made = self.jsonl.progress().made - self.written;
        if usize::try_from(made).is_ok_and(|made| made < FRAME) {
            Ok(())
        } else {
            self.write_frame()
        }
    }
}

impl<W: Write> Sink for JsonlZst<W> {
    fn begin(&mut self) -> io::Result<()> {
        self.jsonl.begin()
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.jsonl.event(event)?;
        self.added()
    }

    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        self.jsonl.summary(summary)?;
        self.added()
    }

    fn account(&mut self, stage: Stage, now: Moment, accounting: &Accounting) -> io::Result<()> {
        self.jsonl.account(stage, now, accounting)?;
        if stage == Stage::End { self.write_frame() } else { self.added() }
    }

    fn note(&mut self, note: &Note<'_>) -> io::Result<()> {
        self.jsonl.note(note)?;
        self.added()
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.jsonl.progress().made > self.written && self.since.is_none() {
            self.since = Some(Instant::now());
        }
        if self.is_due() { self.write_frame() } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.write_frame()
    }

    fn progress(&self) -> Progress {
        Progress { made: self.jsonl.progress().made, written: self.written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Types, state};
    use crate::sink::text::Layout;
    use crate::skel::{StateRecord, bytes};
    use crate::table::{ColumnSet, Selected};

    /// Keeps what is written, until it is full.
    #[derive(Clone, Default)]
    struct Disk(Rc<RefCell<Vec<u8>>>, Option<usize>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.0.borrow_mut();
            let room = self.1.map_or(bytes.len(), |size| size - written.len());
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            written.write(&bytes[..room.min(bytes.len())])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sink(disk: &Disk) -> JsonlZst<Disk> {
        let columns = (state::EVENT_TYPE.columns)().into_iter().enumerate();
        let columns = columns.map(|(index, column)| Selected { index, column, present: true });
        let table = ColumnSet {
            event_type: state::EVENT_TYPE.number.into(),
            name: "state",
            columns: columns.collect(),
        };
        let columns = Columns { tables: vec![table], header: false, layout: Layout::default() };
        JsonlZst::new(disk.clone(), &columns)
    }

    fn add(sink: &mut JsonlZst<Disk>, numbers: std::ops::Range<u64>) -> io::Result<()> {
        for mono_ns in numbers {
            let mut record = StateRecord::default();
            record.event.head.mono_ns = mono_ns;
            record.event.head.event_type = state::EVENT_TYPE.number;
            record.event.head.len = size_of::<StateRecord>() as u16;
            let types = Types::default();
            let moment = |ns: u64| Moment::Elapsed(ns.cast_signed());
            sink.event(&Event::decode(bytes(&record), &types, moment).unwrap())?;
        }
        Ok(())
    }

    /// The times of the events.
    fn read(bytes: &[u8]) -> Vec<u64> {
        let text = String::from_utf8(zstd::decode_all(bytes).unwrap()).unwrap();
        let event = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
        text.lines().map(|line| event(line)["mono_ns"].as_u64().unwrap()).collect()
    }

    #[test]
    fn frames_have_whole_lines_and_stand_alone() {
        let disk = Disk::default();
        let mut sink = sink(&disk);
        add(&mut sink, 0..5000).unwrap();
        let first = disk.0.borrow().len();
        assert!(first > 0, "a frame was full");
        assert_eq!(
            read(&disk.0.borrow()),
            (0..read(&disk.0.borrow()).len() as u64).collect::<Vec<_>>()
        );
        sink.flush().unwrap();
        assert_eq!(disk.0.borrow().len(), first, "not due");
        sink.since = Instant::now().checked_sub(FLUSH);
        sink.flush().unwrap();
        let second = disk.0.borrow().len();
        assert_eq!(read(&disk.0.borrow()), (0..5000).collect::<Vec<_>>());
        assert_eq!(sink.progress().made, sink.progress().written);
        add(&mut sink, 5000..5003).unwrap();
        sink.finish().unwrap();
        assert_eq!(read(&disk.0.borrow()[second..]), [5000, 5001, 5002]);
        sink.finish().unwrap();
        assert_eq!(read(&disk.0.borrow()).len(), 5003);
    }

    #[test]
    fn what_did_not_fit_is_not_written() {
        let disk = Disk(Rc::default(), Some(200));
        let mut sink = sink(&disk);
        add(&mut sink, 0..100).unwrap();
        assert_eq!(sink.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
        let Progress { made, written } = sink.progress();
        assert!(made > 10_000 && written == 0 && disk.0.borrow().len() == 200);
    }
}
