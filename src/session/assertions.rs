//! The output of `assert`: it prints nothing, and passes the events to the assertions.

use std::io;

use anyhow::{Result, bail};

use super::columns::Selection;
use crate::accounting::Accounting;
use crate::assertion::run::Assertions;
use crate::assertion::tally::Ending;
use crate::config::{Content, Usage};
use crate::decode::Event;
use crate::environment::Environment;
use crate::events::{EventType, Types};
use crate::pipeline::tee::Branch;
use crate::predicate::{Checked, Compiled, Mistake};
use crate::sink::{Progress, Sink, Stage};
use crate::table::summary::Summary;
use crate::table::{Column, Moment};

/// The conditions, checked: in the order of the assertions.
type Conditions<T> = Vec<Option<T>>;

fn check(assertions: &Assertions, types: Option<&Types>) -> Result<Conditions<Checked>, Mistake> {
    let check = |assertion: &crate::assertion::Assertion| {
        let condition = assertion.condition.as_ref();
        condition.map(|condition| condition.check(&assertion.event_types(), types)).transpose()
    };
    assertions.all.iter().map(check).collect()
}

/// Has the programs provide what they read.
pub(super) fn select(
    assertions: &Assertions,
    event_types: &[&'static EventType],
    selection: &mut Selection,
) -> Result<()> {
    let checked = check(assertions, None)?;
    for event_type in event_types {
        selection.read(event_type, &assertions.columns(event_type));
        let conditions = checked.iter().flatten();
        conditions.for_each(|condition| selection.read(event_type, &condition.columns(event_type)));
    }
    Ok(())
}

/// Refuses a recording that does not have what they read. `has`: whether it has a column.
pub(super) fn require(
    assertions: &Assertions,
    name: &str,
    present: &[&'static EventType],
    has: impl Fn(&'static EventType, &'static Column) -> bool,
) -> Result<()> {
    let checked = check(assertions, None)?;
    for event_type in assertions.event_types() {
        if !present.iter().any(|known| known.number == event_type.number) {
            bail!(Usage(format!("no {} events were recorded in {name}", event_type.name)));
        }
        let of_conditions = checked.iter().flatten().flat_map(|all| all.columns(event_type));
        let mut columns = assertions.columns(event_type).into_iter().chain(of_conditions);
        if let Some(column) = columns.find(|column| !has(event_type, column)) {
            bail!(Usage(format!(
                "`assert` needs `{}`, which the {} records in {name} do not have",
                column.name, event_type.name
            )));
        }
    }
    Ok(())
}

/// The output.
pub(super) fn branch(
    assertions: &Assertions,
    environment: &Environment,
) -> Result<Branch, Mistake> {
    let checked = check(assertions, Some(&environment.types))?;
    let compile = |checked: Option<Checked>| {
        checked.map(|checked| Compiled::in_user_space(&checked, environment))
    };
    let conditions = checked.into_iter().map(compile).collect();
    let sink = AssertionSink { assertions: assertions.clone(), conditions, events: 0 };
    Ok(Branch {
        content: Content::Events,
        format: "assert",
        path: None,
        essential: true,
        sink: Box::new(sink),
    })
}

struct AssertionSink {
    assertions: Assertions,
    conditions: Conditions<Compiled>,
    events: u64,
}

impl Sink for AssertionSink {
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.events += 1;
        let conditions = &self.conditions;
        self.assertions.event(event, |number| {
            let condition = conditions.get(number).and_then(Option::as_ref);
            condition.is_none_or(|condition| condition.matches(event))
        });
        Ok(())
    }

    fn summary(&mut self, _: &Summary<'_>) -> io::Result<()> {
        Ok(())
    }

    fn account(&mut self, stage: Stage, _: Moment, accounting: &Accounting) -> io::Result<()> {
        if stage == Stage::End {
            let lost = |(name, counts): &(&'static str, crate::accounting::Counts)| {
                (*name, counts.lost.saturating_add(counts.malformed))
            };
            let lost = accounting.event_types.iter().map(lost).collect();
            self.assertions.end(Ending { duration_ns: accounting.duration_ns, lost });
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress { made: self.events, written: self.events }
    }
}
