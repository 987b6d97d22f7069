//! Summaries of recorded events, as the programs count live ones.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Result, bail};

use super::input::Input;
use super::twin;
use crate::config::summary::RowOptions;
use crate::config::summary::SummaryOptions;
use crate::config::{Config, Usage};
use crate::events::EventType;
use crate::pipeline::{Aggregator, Pipeline};
use crate::summary::Span;
use crate::summary::limits::recorded::RecordedLimits;
use crate::summary::recorded::RecordedAggregate;
use crate::table::summary::Summary;

/// Most intervals in a row without an event.
const MOST_INTERVALS: u64 = 100_000;

enum Recorded {
    Counted(Box<RecordedAggregate>),
    Limits(Box<RecordedLimits>),
}

/// An aggregate, and the interval that it is of.
pub(super) struct Summaries {
    aggregate: RefCell<Recorded>,
    interval_ns: Option<u64>,
    /// The start of the interval.
    from_ns: Cell<u64>,
}

impl Summaries {
    /// `None`: the command prints events.
    pub(super) fn new(
        config: &Config,
        event_types: &[&'static EventType],
        inputs: &[Input],
    ) -> Result<Option<Self>> {
        let Some(options) = &config.summary else { return Ok(None) };
        let recorded = match &options.rows {
            RowOptions::Limits(limits) => {
                let twin = twin::options("`limits`", config, inputs)?;
                Recorded::Limits(Box::new(RecordedLimits::new(limits, twin)))
            }
            _ => Recorded::Counted(Box::new(counted(options, event_types, inputs)?)),
        };
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Ok(Some(Summaries {
            aggregate: RefCell::new(recorded),
            interval_ns: options.interval.map(nanoseconds),
            from_ns: Cell::default(),
        }))
    }

    /// Takes records in place of the outputs.
    pub(super) fn aggregator(&self) -> Aggregator<'_> {
        Box::new(|record| match &mut *self.aggregate.borrow_mut() {
            Recorded::Counted(aggregate) => aggregate.record(record),
            Recorded::Limits(limits) => limits.record(record),
        })
    }

    /// The first interval starts with the trace.
    pub(super) fn begin(&self, pipeline: &Pipeline<'_>) {
        self.from_ns.set(pipeline.clock.now_ns());
    }

    /// Prints the intervals that ended before that time.
    pub(super) fn print_due(&self, now_ns: u64, pipeline: &mut Pipeline<'_>) {
        let Some(interval_ns) = self.interval_ns else { return };
        let intervals = now_ns.saturating_sub(self.from_ns.get()) / interval_ns.max(1);
        for _ in 0..intervals.min(MOST_INTERVALS) {
            self.print_until(self.from_ns.get().saturating_add(interval_ns), false, pipeline);
        }
        // Times in a file may be any.
        if intervals > MOST_INTERVALS {
            self.from_ns.set(now_ns);
        }
    }

    /// Prints what is left.
    pub(super) fn print(&self, pipeline: &mut Pipeline<'_>) {
        let now_ns = pipeline.clock.now_ns();
        self.print_due(now_ns, pipeline);
        self.print_until(now_ns, true, pipeline);
    }

    fn print_until(&self, end_ns: u64, is_last: bool, pipeline: &mut Pipeline<'_>) {
        let interval_ns = end_ns.saturating_sub(self.from_ns.replace(end_ns));
        let span = Span { time: pipeline.clock.moment(end_ns), interval_ns };
        let mut print = |summary: &Summary<'_>| pipeline.summary(summary);
        match &mut *self.aggregate.borrow_mut() {
            Recorded::Counted(aggregate) => aggregate.print(span, &mut print),
            Recorded::Limits(limits) => limits.print(span, end_ns, is_last, &mut print),
        }
    }
}

fn counted(
    options: &SummaryOptions,
    event_types: &[&'static EventType],
    inputs: &[Input],
) -> Result<RecordedAggregate> {
    let command = options.aggregate.command;
    let Some(aggregate) = RecordedAggregate::new(options) else {
        bail!(Usage(format!("-r cannot be used with `{command}`")));
    };
    for input in inputs {
        for event_type in event_types.iter().filter(|event_type| input.has_type(event_type)) {
            let mut columns = aggregate.columns(event_type).into_iter();
            if let Some(name) = columns.find(|name| !input.has(event_type, name)) {
                bail!(Usage(format!(
                    "`{command}` needs `{name}`, which the {} records in {} do not have",
                    event_type.name, input.name
                )));
            }
        }
    }
    Ok(aggregate)
}
