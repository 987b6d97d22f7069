//! The pipeline on a source that is not live, and outputs in memory.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Write};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use super::tee::Branch;
use super::*;
use crate::config::{Content, TimeMode};
use crate::events::state;
use crate::sink::text::Layout;
use crate::sink::{Columns, jsonl};
use crate::skel::{StateRecord, bytes};
use crate::table::{ColumnSet, Selected};

/// Batches of records.
struct Recorded {
    batches: RefCell<Vec<Vec<Vec<u8>>>>,
    records: Rc<RefCell<ReorderBuffer>>,
}

impl Source for Recorded {
    fn take(&self) -> Result<bool> {
        let mut batches = self.batches.borrow_mut();
        if !batches.is_empty() {
            batches.remove(0).iter().for_each(|record| self.records.borrow_mut().push(record));
        }
        Ok(!batches.is_empty())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn before_wait(&self, _: bool, _: bool) -> Result<Duration> {
        Ok(Duration::ZERO)
    }
}

fn record(mono_ns: u64) -> Vec<u8> {
    let mut record = StateRecord::default();
    let head = &mut record.event.head;
    head.mono_ns = mono_ns;
    head.event_type = state::EVENT_TYPE.number;
    head.len = size_of::<StateRecord>() as u16;
    bytes(&record).to_vec()
}

/// A disk with that much room.
#[derive(Clone)]
struct Disk {
    written: Rc<RefCell<Vec<u8>>>,
    room: Rc<Cell<usize>>,
}

impl Disk {
    fn new(room: usize) -> Self {
        Disk { written: Rc::default(), room: Rc::new(Cell::new(room)) }
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.written.borrow().clone()).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.room.get());
        self.room.set(self.room.get() - count);
        self.written.borrow_mut().extend_from_slice(&bytes[..count]);
        if count == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON lines with the time of each event.
fn output(disk: &Disk, path: Option<&str>, essential: bool) -> Branch {
    let columns = (state::EVENT_TYPE.columns)();
    let index = columns.iter().position(|column| column.name == "mono_ns").unwrap();
    let selected = Selected { index, column: columns[index], present: true };
    let table = ColumnSet {
        event_type: state::EVENT_TYPE.number.into(),
        name: "state",
        columns: vec![selected],
    };
    let columns = Columns { tables: vec![table], header: false, layout: Layout::default() };
    Branch {
        content: Content::Events,
        format: "jsonl",
        path: path.map(str::to_owned),
        essential,
        sink: Box::new(jsonl::Jsonl::new(disk.clone(), &columns.tables)),
    }
}

fn pipeline(outputs: Vec<Branch>, count: Option<u64>) -> Pipeline<'static> {
    let clock = Clock::new(TimeMode::Mono);
    Pipeline::new(Tee::new(outputs), Environment::default(), clock, count, None)
}

fn source(pipeline: &Pipeline<'_>, batches: Vec<Vec<Vec<u8>>>) -> Recorded {
    Recorded { batches: RefCell::new(batches), records: pipeline.records() }
}

fn end(pipeline: &Pipeline<'_>, submitted: u64) -> Accounting {
    let kernel = KernelCounts { seen: submitted, submitted, ..KernelCounts::default() };
    let kernel = [(&state::EVENT_TYPE, kernel)];
    pipeline.accounting(Stage::End, Actions::default(), &kernel, Evicted::default())
}

#[test]
fn every_output_has_all_events_in_order() {
    let disks = [Disk::new(usize::MAX), Disk::new(usize::MAX)];
    let outputs = vec![output(&disks[0], None, true), output(&disks[1], Some("a"), false)];
    let mut pipeline = pipeline(outputs, Some(3));
    let broken = record(4)[..20].to_vec();
    let batches = vec![vec![record(2), record(1)], vec![record(4), broken, record(3)]];
    pipeline.drain(&source(&pipeline, batches)).unwrap();
    pipeline.flush();
    let times = [1, 2, 3].map(|ns| format!("{{\"type\":\"state\",\"mono_ns\":{ns}}}"));
    assert_eq!(disks.clone().map(|disk| disk.lines()), [times.clone(), times]);
    let accounting = end(&pipeline, 4);
    let (_, counts) = accounting.event_types[0];
    assert_eq!((counts.emitted, counts.rate_limited, counts.lost), (3, 1, 0));
    assert!(accounting.outputs.iter().all(|output| {
        output.received == output.written + output.malformed && output.written == 3
    }));
}

#[test]
fn a_full_disk_ends_one_output_only() {
    let (disk, full) = (Disk::new(usize::MAX), Disk::new(100));
    let outputs = vec![output(&disk, None, true), output(&full, Some("full"), false)];
    let mut pipeline = pipeline(outputs, None);
    for batch in 0..4 {
        let records = (batch * 5..batch * 5 + 5).map(record).collect();
        pipeline.drain(&source(&pipeline, vec![records])).unwrap();
        pipeline.flush();
    }
    assert_eq!(disk.lines().len(), 20);
    assert!(pipeline.failure().is_none() && !pipeline.done());
    let failures = pipeline.new_failures();
    assert_eq!(failures.iter().map(Failure::what).collect::<Vec<_>>(), ["cannot write full"]);
    assert_eq!(pipeline.new_failures().len(), 0, "reported once");
    let accounting = end(&pipeline, 20);
    assert_eq!(accounting.event_types[0].1.emitted, 20);
    let [all, some] = &accounting.outputs[..] else { panic!("{accounting:?}") };
    assert_eq!((all.received, all.written, all.late_lost), (20, 20, 0));
    assert_eq!((some.received, some.written), (20, full.lines().len() as u64));
    assert_eq!(some.late_lost, some.received - some.written);
    assert!((1..5).contains(&some.written) && some.error.is_some(), "{some:?}");
}

#[test]
fn a_failure_of_an_essential_output_or_of_the_last_one_ends_the_run() {
    for (essential, done_after) in [(true, 1), (false, 2)] {
        let (one, two) = (Disk::new(10), Disk::new(100));
        let outputs = vec![output(&one, Some("one"), essential), output(&two, Some("two"), false)];
        let mut pipeline = pipeline(outputs, None);
        for failed in 1..=2 {
            let records = vec![(0..3).map(|ns| record(failed * 3 + ns)).collect()];
            pipeline.drain(&source(&pipeline, records)).unwrap();
            pipeline.flush();
            assert_eq!(pipeline.done(), failed >= done_after, "{essential} {failed}");
        }
        let last = if essential { "one" } else { "two" };
        assert_eq!(pipeline.failure().and_then(|failure| failure.path), Some(last));
        let (_, counts) = end(&pipeline, 6).event_types[0];
        assert_eq!((counts.emitted, counts.lost), (two.lines().len() as u64, 6 - counts.emitted));
    }
}

#[test]
fn an_output_of_summaries_has_no_events() {
    let disks = [Disk::new(usize::MAX), Disk::new(usize::MAX)];
    let mut summaries = output(&disks[0], None, true);
    summaries.content = Content::Summaries;
    let mut pipeline = pipeline(vec![summaries, output(&disks[1], Some("events"), false)], None);
    let broken = record(3)[..20].to_vec();
    pipeline.drain(&source(&pipeline, vec![vec![record(1), record(2), broken]])).unwrap();
    pipeline.flush();
    assert_eq!((disks[0].lines().len(), disks[1].lines().len()), (0, 2));
    let accounting = end(&pipeline, 2);
    let counts = accounting.outputs.iter().map(|of| (of.received, of.written, of.malformed));
    assert_eq!(counts.collect::<Vec<_>>(), [(0, 0, 0), (3, 2, 1)]);
    let (_, counts) = accounting.event_types[0];
    assert_eq!((counts.emitted, counts.lost), (2, 0));
}
