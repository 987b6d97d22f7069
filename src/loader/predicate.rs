//! Gives the kernel's part of --where to the programs.

use crate::predicate::Compiled;
use crate::skel::{Term, TermLimit};

const TERMS: usize = TermLimit::TCC_TERMS.0 as usize;

/// Writes the terms, and where those of each event type start.
pub fn set(terms: &mut [Term; TERMS], starts: &mut [u8], filter: &Compiled) {
    for (term, step) in terms.iter_mut().zip(filter.steps()) {
        *term = step.term();
    }
    for (event_type, first) in filter.starts() {
        if let Some(start) = starts.get_mut(event_type) {
            *start = first;
        }
    }
}
