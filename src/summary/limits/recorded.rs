//! `limits` of a recording.

use std::collections::VecDeque;

use super::{Counts, Id, LimitsTable};
use crate::config::summary::Limits;
use crate::limits::connection::Cut;
use crate::limits::twin::{Twin, TwinOptions};
use crate::skel::LimitsSnapshot;
use crate::summary::Span;
use crate::summary::totals::{Baseline, TotalsTable};
use crate::table::summary::Summary;

/// Classifies recorded events. An interval is printed once it is known what ended the time that its end divides.
pub struct RecordedLimits {
    table: LimitsTable,
    twin: Twin,
    before: Baseline<Id, Counts>,
    intervals: VecDeque<Interval>,
    /// Number of the first of them.
    first: usize,
}

struct Interval {
    span: Span,
    /// Connections that it is not decided for.
    open: usize,
    cuts: Vec<Cut>,
    ended: Vec<LimitsSnapshot>,
}

impl RecordedLimits {
    #[must_use]
    pub fn new(options: &Limits, twin: TwinOptions) -> Self {
        RecordedLimits {
            table: LimitsTable::new(options),
            twin: Twin::new(twin),
            before: Baseline::new(),
            intervals: VecDeque::new(),
            first: 0,
        }
    }

    /// Takes a record; false if it is malformed.
    pub fn record(&mut self, record: &[u8]) -> bool {
        self.twin.record(record)
    }

    /// An interval ends then, the last one or another.
    pub fn print(
        &mut self,
        span: Span,
        end_ns: u64,
        is_last: bool,
        print: &mut dyn FnMut(&Summary<'_>),
    ) {
        self.collect();
        let ended = self.twin.take_ended();
        let open = self.twin.cut(self.first + self.intervals.len(), end_ns);
        self.intervals.push_back(Interval { span, open, cuts: Vec::new(), ended });
        if is_last {
            self.twin.finish(end_ns);
            self.collect();
        }
        while self.intervals.front().is_some_and(|interval| interval.open == 0) {
            let Some(interval) = self.intervals.pop_front() else { break };
            self.first += 1;
            self.print_interval(interval, print);
        }
    }

    fn collect(&mut self) {
        for cut in self.twin.take_resolved() {
            let number = cut.number.checked_sub(self.first);
            if let Some(interval) = number.and_then(|at| self.intervals.get_mut(at)) {
                interval.open = interval.open.saturating_sub(1);
                interval.cuts.push(cut);
            }
        }
    }

    fn print_interval(&mut self, interval: Interval, print: &mut dyn FnMut(&Summary<'_>)) {
        interval.cuts.iter().for_each(|cut| self.table.take(&cut.snapshot()));
        interval.ended.iter().for_each(|snapshot| self.table.take(snapshot));
        let mut rows = self.table.all();
        self.before.advance(&mut rows);
        self.table.retire_ended();
        self.table.print(rows, interval.span, print);
    }
}
