//! Each second: what was left out, and of a recording on a terminal, how the file grows.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;

use super::recorder::RecordingFile;
use super::trace::Trace;
use crate::accounting::{Accounting, total};
use crate::escape;
use crate::pipeline::Pipeline;
use crate::pipeline::clock::mono_ns;
use crate::sink::Stage;
use crate::stdio;

/// How often the counters are read.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// What the last progress line showed.
#[derive(Default)]
pub(super) struct Shown {
    records: Cell<u64>,
    is_shown: Cell<bool>,
}

impl Trace<'_, '_> {
    /// Has the outputs say what was left out, and the recording keep it.
    pub(super) fn tell_counters(&self, pipeline: &mut Pipeline<'_>) -> Result<()> {
        if self.recording.is_some() {
            return self.record_counters(pipeline);
        }
        let accounting = self.accounting(Stage::Interim, pipeline)?;
        self.notice(&accounting, pipeline);
        self.report_failures(pipeline);
        Ok(())
    }

    /// Says what is new among it, in the stream of events.
    fn notice(&self, accounting: &Accounting, pipeline: &mut Pipeline<'_>) {
        if let Some(notice) = self.noticed.borrow_mut().next(accounting) {
            pipeline.notice(mono_ns(), &notice);
            pipeline.flush();
        }
    }

    /// Has the recording keep what was lost, and write what is old enough.
    pub(super) fn record_counters(&self, pipeline: &mut Pipeline<'_>) -> Result<()> {
        let Some(recording) = self.recording else { return Ok(()) };
        // A part's counters are of the records in it.
        pipeline.settle();
        let accounting = self.accounting(Stage::Interim, pipeline)?;
        self.notice(&accounting, pipeline);
        pipeline.note_counters(&accounting);
        pipeline.flush();
        self.report_failures(pipeline);
        self.show_growth(recording, &accounting);
        Ok(())
    }

    /// Ends a part that has reached its size: a busy machine writes many times that in a second.
    pub(super) fn end_full_part(&self, pipeline: &mut Pipeline<'_>) -> Result<()> {
        match self.recording {
            Some(recording) if recording.size.is_full.get() => self.record_counters(pipeline),
            _ => Ok(()),
        }
    }

    /// `12 s: 123456 events (10288/s), 1.2 MB, 0 lost`; the next line on the terminal overwrites it.
    fn show_growth(&self, recording: &RecordingFile, accounting: &Accounting) {
        let output = &self.config.output;
        let wanted = output.recording.as_ref().is_some_and(|recording| recording.progress);
        if !wanted || output.quiet || !std::io::stderr().is_terminal() {
            return;
        }
        let records = recording.size.records.get();
        let rate = records.saturating_sub(self.shown.records.replace(records));
        self.shown.is_shown.set(true);
        stdio::print_raw(&format!(
            "{} s: {records} events ({rate}/s), {}, {} lost\x1b[K\r",
            accounting.duration_ns / 1_000_000_000,
            size(recording.size.bytes.get()),
            total(&accounting.event_types).lost
        ));
    }

    /// `recorded 123456 events in a.tcc: 1.2 MB`
    pub(super) fn announce_recorded(&self) {
        let Some(recording) = self.recording.filter(|_| !self.config.output.quiet) else { return };
        if self.shown.is_shown.get() {
            stdio::print_raw("\x1b[K");
        }
        super::output::print_line(&recorded(recording));
    }
}

/// What is in the file at the end.
pub(super) fn recorded(recording: &RecordingFile) -> String {
    let (records, bytes) = (recording.size.records.get(), size(recording.size.bytes.get()));
    let path = escape::path(recording.path());
    match recording.size.parts.get() {
        _ if recording.is_flight() => {
            format!("recorded {records} events; those that were sealed stay")
        }
        0 => format!("recorded {records} events in {path}: {bytes}"),
        parts => format!("recorded {records} events in {parts} parts from {path} on: {bytes}"),
    }
}

/// With a decimal prefix.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            [7, 1000, 1_250_000, 3_999_999_999].map(size),
            ["7 B", "1.0 kB", "1.2 MB", "3.9 GB"]
        );
    }
}
