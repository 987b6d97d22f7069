//! The part of a condition that the kernel decides: its tests as terms, each of which says which one follows.

use super::atom::{Atom, Load};
use super::formula::Formula;
use crate::skel::{Term, TermLimit, TermLoad, Where};

/// The most terms of an event type, and of all.
pub const MOST_TERMS: usize = TermLimit::TCC_EVENT_TERMS.0 as usize;
pub const ALL_TERMS: usize = TermLimit::TCC_TERMS.0 as usize;

/// What follows in place of a term.
pub const YES: u8 = Where::TCC_WHERE_YES.0 as u8;
pub const NO: u8 = Where::TCC_WHERE_NO.0 as u8;

/// The terms of all event types.
#[derive(Clone, Debug, Default)]
pub struct Terms(pub Vec<Step>);

/// A test, and what follows if it holds or fails: the number of a step, counted from 1, or a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub atom: Atom,
    pub if_true: u8,
    pub if_false: u8,
}

/// A formula with the offsets that the kernel's records have; `None` if the kernel cannot decide it. `locate` finds a byte.
#[must_use]
pub fn in_kernel(formula: &Formula, locate: &impl Fn(usize) -> Option<usize>) -> Option<Formula> {
    let list = |parts: &[Formula]| -> Option<Vec<Formula>> {
        parts.iter().map(|part| in_kernel(part, locate)).collect()
    };
    Some(match formula {
        Formula::All(parts) => Formula::All(list(parts)?),
        Formula::Any(parts) => Formula::Any(list(parts)?),
        Formula::Constant(value) => Formula::Constant(*value),
        Formula::Atom(atom) => {
            let offset = locate(atom.offset.into())?;
            let whole = locate(atom.end() - 1)? == offset + atom.load.width() - 1;
            let atom = Atom { offset: u16::try_from(offset).ok()?, ..*atom };
            return (whole && atom.is_aligned()).then_some(Formula::Atom(atom));
        }
        Formula::General(_) => return None,
    })
}

impl Terms {
    /// Adds a formula of `count` atoms, for which there is room, and returns where it starts.
    pub fn add(&mut self, formula: &Formula, count: usize) -> u8 {
        let first = self.0.len();
        let mut steps = Vec::new();
        // From the last to the first, so that each knows what follows it.
        let number = |steps: &[Step]| (first + count - steps.len()) as u8 + 1;
        let start = append(formula, YES, NO, &mut steps, &number);
        steps.reverse();
        // Event types whose records agree share their terms.
        let moved = |to: usize| steps.iter().map(move |step| step.moved(first, to));
        let same = |at: &usize| self.0[*at..at + count].iter().copied().eq(moved(*at));
        if count > 0
            && let Some(at) = (0..(first + 1).saturating_sub(count)).find(same)
        {
            return start - (first - at) as u8;
        }
        self.0.extend(steps);
        start
    }
}

impl Step {
    /// The same where the steps begin at another place.
    fn moved(&self, from: usize, to: usize) -> Self {
        let target = |target| match target {
            YES | NO => target,
            step => step - (from - to) as u8,
        };
        Step { if_true: target(self.if_true), if_false: target(self.if_false), ..*self }
    }

    /// As the programs have it.
    #[must_use]
    pub fn term(&self) -> Term {
        let Atom { load, offset, mask, value, negated } = self.atom;
        let load = match load {
            Load::U8 => TermLoad::TCC_LOAD_U8,
            Load::U16 => TermLoad::TCC_LOAD_U16,
            Load::U32 => TermLoad::TCC_LOAD_U32,
            Load::U64 => TermLoad::TCC_LOAD_U64,
            Load::S32 => TermLoad::TCC_LOAD_S32,
            Load::Bytes => TermLoad::TCC_LOAD_BYTES,
        };
        let (if_true, if_false) =
            if negated { (self.if_false, self.if_true) } else { (self.if_true, self.if_false) };
        Term { mask, value, offset, load: load.0 as u8, if_true, if_false, ..Term::default() }
    }
}

/// Appends the steps in reverse; returns the number of the first.
fn append(
    formula: &Formula,
    yes: u8,
    no: u8,
    steps: &mut Vec<Step>,
    number: &impl Fn(&[Step]) -> u8,
) -> u8 {
    match formula {
        Formula::Atom(atom) => {
            steps.push(Step { atom: *atom, if_true: yes, if_false: no });
            number(steps)
        }
        Formula::All(parts) => {
            parts.iter().rev().fold(yes, |next, part| append(part, next, no, steps, number))
        }
        Formula::Any(parts) => {
            parts.iter().rev().fold(no, |next, part| append(part, yes, next, steps, number))
        }
        Formula::Constant(true) => yes,
        Formula::Constant(false) | Formula::General(_) => no,
    }
}
