//! Summaries of recorded events, as the programs count live ones.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Result, bail};

use super::super::output::print_line;
use super::input::Input;
use crate::config::summary::RowOptions;
use crate::config::summary::SummaryOptions;
use crate::config::{Config, Usage};
use crate::events::EventType;
use crate::events::tcp_probe;
use crate::limits::observed;
use crate::limits::twin::TwinOptions;
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
                let twin = twin_options(config, event_types, inputs)?;
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

/// Whether the records of that type in a file have a column.
fn has(input: &Input, event_type: &EventType, name: &str) -> bool {
    let columns = (event_type.columns)();
    let column = columns.iter().find(|column| column.name == name);
    column.is_some_and(|column| input.recording.has(event_type, column))
}

fn has_type(input: &Input, event_type: &EventType) -> bool {
    input.recording.event_types().iter().any(|known| known.number == event_type.number)
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
        for event_type in event_types.iter().filter(|event_type| has_type(input, event_type)) {
            let mut columns = aggregate.columns(event_type).into_iter();
            if let Some(name) = columns.find(|name| !has(input, event_type, name)) {
                bail!(Usage(format!(
                    "`{command}` needs `{name}`, which the {} records in {} do not have",
                    event_type.name, input.name
                )));
            }
        }
    }
    Ok(aggregate)
}

/// What the files lack for `limits`, which is noted.
fn twin_options(
    config: &Config,
    event_types: &[&'static EventType],
    inputs: &[Input],
) -> Result<TwinOptions> {
    let probe = &tcp_probe::EVENT_TYPE;
    if let Some(input) = inputs.iter().find(|input| !has_type(input, probe)) {
        bail!(Usage(format!("`limits` needs probe records, which {} does not have", input.name)));
    }
    let lacks = |name: &&'static str| inputs.iter().any(|input| !has(input, probe, name));
    let missing: Vec<&'static str> = observed::COLUMNS.into_iter().filter(lacks).collect();
    let sends = event_types.iter().any(|event_type| event_type.name == "send");
    let mut options = TwinOptions {
        no_sends: !sends,
        other_bbr: lacks(&"bbr.mode") || !inputs.iter().all(|input| input.has_mainline_bbr()),
        segments: false,
        missing,
    };
    if options.no_sends && lacks(&"busy_us") {
        options.missing.push("busy_us");
    }
    if !options.missing.is_empty() && !config.output.quiet {
        let names = options.missing.join(", ");
        print_line(&format!(
            "note: undecided where it needs what the probe records do not have: {names}"
        ));
    }
    Ok(options)
}
