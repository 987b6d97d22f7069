//! What the kernel decides of a condition, and what user space does.

use super::Checked;
use super::compile::Compiler;
use super::formula::Formula;
use super::kernel::{ALL_TERMS, MOST_TERMS, Step, Terms, YES, in_kernel};
use crate::decode::Event;
use crate::environment::Environment;
use crate::events::{EVENT_TYPES, EventType};
use crate::table::{Column, Set};

/// A condition, compiled for event types of one kernel.
#[derive(Clone)]
pub struct Compiled {
    pub terms: Terms,
    pub parts: Vec<Part>,
}

/// That of one event type.
#[derive(Clone)]
pub struct Part {
    pub event_type: &'static EventType,
    /// Where its terms start.
    pub start: u8,
    /// Who decides each of the conditions, in their order.
    pub sides: Vec<Side>,
    /// The columns that it reads.
    pub columns: Vec<&'static Column>,
    /// What user space decides.
    user: Formula,
    /// The first byte of a record that it does not read.
    end: usize,
}

/// Who decides a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// With that number of terms.
    Kernel(usize),
    /// And why.
    User(&'static str),
    /// It is the same for all events of the type.
    Always(bool),
}

const TOO_MANY: &str = "the kernel's programs have no room for more tests";
const BEYOND: &str = "the field is not at a fixed place of the record";

impl Checked {
    /// Compiles it for these event types.
    #[must_use]
    pub fn compile(
        &self,
        event_types: &[&'static EventType],
        environment: &Environment,
    ) -> Compiled {
        let mut compiled = Compiled { terms: Terms::default(), parts: Vec::new() };
        for event_type in event_types {
            let part = self.part(event_type, environment, &mut compiled.terms);
            compiled.parts.push(part);
        }
        compiled
    }

    fn part(
        &self,
        event_type: &'static EventType,
        environment: &Environment,
        terms: &mut Terms,
    ) -> Part {
        let record = event_type.record;
        let locate = |offset| match event_type.is_probe() {
            true => environment.layout.locate(offset),
            false => Some(offset).filter(|offset| *offset < record.size),
        };
        let compiler = Compiler { event_type, environment };
        let (mut kernel, mut user, mut sides) = (Vec::new(), Vec::new(), Vec::new());
        let (mut used, room) = (0, MOST_TERMS.min(ALL_TERMS - terms.0.len()));
        for conjunct in &self.conjuncts {
            let formula = compiler.formula(&conjunct.condition);
            let decided = in_kernel(&formula, &locate);
            let count = decided.as_ref().and_then(Formula::atoms).map(|atoms| atoms.len());
            let side = match (&formula, count) {
                (Formula::Constant(value), _) => Side::Always(*value),
                (_, Some(count)) if used + count <= room => Side::Kernel(count),
                (_, Some(_)) => Side::User(TOO_MANY),
                (_, None) => Side::User(formula.why().unwrap_or(BEYOND)),
            };
            sides.push(side);
            match (side, decided) {
                (Side::Kernel(_) | Side::Always(_), Some(decided)) => {
                    used += count.unwrap_or_default();
                    kernel.push(decided);
                }
                _ => user.push(formula),
            }
        }
        let kernel = Formula::and(kernel);
        let count = kernel.atoms().map_or(0, |atoms| atoms.len());
        let columns = self.columns(event_type);
        let beyond = columns.iter().any(|column| column.set == Set::Full);
        Part {
            event_type,
            start: terms.add(&kernel, count),
            sides,
            columns,
            user: Formula::and(user),
            end: if beyond { record.longest } else { 0 },
        }
    }
}

impl Compiled {
    /// Whether an event that the kernel has let through matches.
    #[must_use]
    pub fn matches(&self, event: &Event<'_>) -> bool {
        let of_type = |part: &&Part| part.event_type.number == event.event_type().number;
        self.parts.iter().find(of_type).is_none_or(|part| part.user.holds(event, part.end))
    }

    /// The first condition of `checked` that is left to user space: the event type, the condition, and why.
    #[must_use]
    pub fn beyond_kernel<'c>(
        &self,
        checked: &'c Checked,
    ) -> Option<(&'static EventType, &'c str, &'static str)> {
        self.parts.iter().find_map(|part| {
            part.sides.iter().zip(&checked.conjuncts).find_map(|(side, conjunct)| match side {
                Side::User(why) => Some((part.event_type, &*conjunct.text, *why)),
                _ => None,
            })
        })
    }

    /// Where the terms of each event type start.
    pub fn starts(&self) -> impl Iterator<Item = (usize, u8)> {
        self.parts.iter().map(|part| (part.event_type.number.into(), part.start))
    }

    /// The same for a source whose programs decide nothing.
    #[must_use]
    pub fn in_user_space(checked: &Checked, environment: &Environment) -> Self {
        let event_types: Vec<&'static EventType> = EVENT_TYPES.iter().collect();
        Compiled::for_types(&event_types, checked, environment)
    }

    /// The same for these types only.
    #[must_use]
    pub fn for_types(
        event_types: &[&'static EventType],
        checked: &Checked,
        environment: &Environment,
    ) -> Self {
        let part = |event_type: &&'static EventType| {
            let compiler = Compiler { event_type, environment };
            let parts = checked.conjuncts.iter();
            let user = Formula::and(parts.map(|part| compiler.formula(&part.condition)));
            let (columns, end) = (checked.columns(event_type), event_type.record.longest);
            Part { event_type, start: YES, sides: Vec::new(), columns, user, end }
        };
        Compiled { terms: Terms::default(), parts: event_types.iter().map(part).collect() }
    }

    /// The steps of the kernel's part.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.terms.0
    }
}
