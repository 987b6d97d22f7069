//! Summaries of recorded events, as the programs count live ones.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Result, bail};

use super::input::Input;
use crate::config::{Config, Usage};
use crate::events::EventType;
use crate::pipeline::{Aggregator, Pipeline};
use crate::summary::Span;
use crate::summary::recorded::RecordedAggregate;

/// Most intervals in a row without an event.
const MOST_INTERVALS: u64 = 100_000;

/// An aggregate, and the interval that it is of.
pub(super) struct Summaries {
    aggregate: RefCell<RecordedAggregate>,
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
        let command = options.aggregate.command;
        let Some(aggregate) = RecordedAggregate::new(options) else {
            bail!(Usage(format!("-r cannot be used with `{command}`")));
        };
        for (input, event_type) in
            inputs.iter().flat_map(|input| event_types.iter().map(move |of| (input, of)))
        {
            let columns = (event_type.columns)();
            let has = |name: &str| {
                let column = columns.iter().find(|column| column.name == name);
                column.is_some_and(|column| input.recording.has(event_type, column))
            };
            let present = input.recording.event_types();
            if !present.iter().any(|known| known.number == event_type.number) {
                continue;
            }
            if let Some(name) = aggregate.columns(event_type).into_iter().find(|name| !has(name)) {
                bail!(Usage(format!(
                    "`{command}` needs `{name}`, which the {} records in {} do not have",
                    event_type.name, input.name
                )));
            }
        }
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Ok(Some(Summaries {
            aggregate: RefCell::new(aggregate),
            interval_ns: options.interval.map(nanoseconds),
            from_ns: Cell::default(),
        }))
    }

    /// Takes records in place of the outputs.
    pub(super) fn aggregator(&self) -> Aggregator<'_> {
        Box::new(|record| self.aggregate.borrow_mut().record(record))
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
            self.print_until(self.from_ns.get().saturating_add(interval_ns), pipeline);
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
        self.print_until(now_ns, pipeline);
    }

    fn print_until(&self, end_ns: u64, pipeline: &mut Pipeline<'_>) {
        let interval_ns = end_ns.saturating_sub(self.from_ns.replace(end_ns));
        let span = Span { time: pipeline.clock.moment(end_ns), interval_ns };
        self.aggregate.borrow_mut().print(span, &mut |summary| pipeline.summary(summary));
    }
}
