//! All assertions of a run.

use std::cell::RefCell;
use std::rc::Rc;

use super::tally::{Ending, Tally};
use super::{Assertion, Finding};
use crate::decode::Event;
use crate::events::EventType;
use crate::table::Column;

/// The assertions, and what they have taken so far, which copies share.
#[derive(Clone, Debug)]
pub struct Assertions {
    pub all: Vec<Assertion>,
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    tallies: Vec<Tally>,
    /// `None`: the run did not come to its end.
    ending: Option<Ending>,
}

impl Assertions {
    #[must_use]
    pub fn new(all: Vec<Assertion>) -> Self {
        let tallies = vec![Tally::default(); all.len()];
        Assertions { all, state: Rc::new(RefCell::new(State { tallies, ending: None })) }
    }

    /// The event types that they need, each once.
    #[must_use]
    pub fn event_types(&self) -> Vec<&'static EventType> {
        let mut event_types: Vec<&'static EventType> =
            self.all.iter().flat_map(Assertion::event_types).collect();
        event_types.sort_by_key(|event_type| event_type.number);
        event_types.dedup_by_key(|event_type| event_type.number);
        event_types
    }

    /// The columns of an event type that they read, but for those of conditions.
    #[must_use]
    pub fn columns(&self, event_type: &EventType) -> Vec<&'static Column> {
        self.all.iter().flat_map(|assertion| assertion.measure.columns(event_type)).collect()
    }

    /// Takes an event; `matches` is about the condition of the assertion with that number.
    pub fn event(&self, event: &Event<'_>, matches: impl Fn(usize) -> bool) {
        let mut state = self.state.borrow_mut();
        let all = self.all.iter().zip(&mut state.tallies).enumerate();
        for (_, (assertion, tally)) in all.filter(|(number, _)| matches(*number)) {
            tally.event(assertion, event);
        }
    }

    /// The run has come to its end.
    pub fn end(&self, ending: Ending) {
        self.state.borrow_mut().ending = Some(ending);
    }

    /// The results. `None`: the run did not come to its end.
    #[must_use]
    pub fn findings(&self) -> Option<Vec<Finding>> {
        let state = self.state.borrow();
        let ending = state.ending.as_ref()?;
        let all = self.all.iter().zip(&state.tallies);
        Some(all.map(|(assertion, tally)| tally.finding(assertion, ending)).collect())
    }
}
