//! The expression that rows must match, as it is typed.

use crate::decode::Event;
use crate::environment::Environment;
use crate::escape;
use crate::events::Types;
use crate::events::connection::CONNECTION;
use crate::predicate::{Checked, Compiled, Mistake, Predicate};
use crate::table::Moment;

use super::rows::Row;

/// The longest expression.
const LONGEST: usize = 400;

const LIMIT: &str = "limit";

/// Has expressions refuse what limits a connection, which is not known.
pub fn without_limits(types: &mut Types) {
    let limit = (CONNECTION.columns)().iter().position(|column| column.name == LIMIT);
    types.absent.extend(limit.map(|index| (CONNECTION.number, index)));
}

/// An expression that is being typed, and the one in use.
#[derive(Default)]
pub struct Filter {
    pub text: String,
    /// The place of the cursor, in bytes.
    pub cursor: usize,
    /// The keys go here.
    pub is_open: bool,
    /// What is wrong with the text; then the last one that was right is in use.
    pub mistake: Option<Mistake>,
    compiled: Option<Compiled>,
    /// The text of that.
    in_use: String,
}

impl Filter {
    /// The filter of an option; the error is a mistake in it.
    pub fn new(text: &str, environment: &Environment) -> Result<Self, Mistake> {
        let mut filter = Filter { text: text.to_owned(), cursor: text.len(), ..Filter::default() };
        filter.apply(environment);
        match filter.mistake.take() {
            Some(mistake) => Err(mistake),
            None => Ok(filter),
        }
    }

    /// What is in use; empty: everything matches.
    #[must_use]
    pub fn in_use(&self) -> &str {
        &self.in_use
    }

    #[must_use]
    pub fn matches(&self, row: &Row, environment: &Environment) -> bool {
        let Some(compiled) = &self.compiled else { return true };
        let record = row.record().to_bytes();
        let time = Moment::Elapsed(0);
        compiled.matches(&Event::of_type(&CONNECTION, &record, &environment.types, time))
    }

    /// Checks the text, and uses it if it is right.
    pub fn apply(&mut self, environment: &Environment) {
        self.mistake = None;
        if self.text.trim().is_empty() {
            (self.compiled, self.in_use) = (None, String::new());
            return;
        }
        let checked = Predicate::parse_of("filter", &self.text)
            .and_then(|predicate| predicate.check(&[&CONNECTION], Some(&environment.types)))
            .and_then(|checked| self.present(checked, environment));
        match checked {
            Ok(checked) => {
                self.compiled = Some(Compiled::for_types(&[&CONNECTION], &checked, environment));
                self.text.trim().clone_into(&mut self.in_use);
            }
            Err(mistake) => self.mistake = Some(mistake),
        }
    }

    /// An expression on what the samples of a recording do not have is a mistake.
    fn present(&self, checked: Checked, environment: &Environment) -> Result<Checked, Mistake> {
        let columns = (CONNECTION.columns)();
        let is_absent = |name: &str| {
            let index = columns.iter().position(|column| column.name == name);
            index.is_some_and(|at| environment.types.absent.contains(&(CONNECTION.number, at)))
        };
        let used = checked.columns(&CONNECTION);
        let Some(absent) = used.iter().find(|column| is_absent(column.name)) else {
            return Ok(checked);
        };
        let message = match absent.name {
            LIMIT => "filter: `limit` is not known; use --limits, or record all fields".to_owned(),
            name => format!("filter: the recording does not have `{name}`"),
        };
        Err(Mistake { message, excerpt: format!("  {}", escape::line(&self.text)) })
    }

    /// Back to the text in use.
    pub fn close(&mut self) {
        self.is_open = false;
        self.mistake = None;
        self.text.clone_from(&self.in_use);
        self.cursor = self.text.len();
    }

    pub fn clear(&mut self, environment: &Environment) {
        self.text.clear();
        self.cursor = 0;
        self.apply(environment);
    }

    pub fn insert(&mut self, c: char) {
        if !c.is_control() && self.text.len() < LONGEST {
            self.text.insert(self.cursor, c);
            self.cursor += c.len_utf8();
        }
    }

    pub fn backspace(&mut self) {
        if let Some(c) = self.text[..self.cursor].chars().next_back() {
            self.cursor -= c.len_utf8();
            self.text.remove(self.cursor);
        }
    }

    pub fn delete(&mut self) {
        if self.cursor < self.text.len() {
            self.text.remove(self.cursor);
        }
    }

    pub fn left(&mut self) {
        let before = self.text[..self.cursor].chars().next_back();
        self.cursor -= before.map_or(0, char::len_utf8);
    }

    pub fn right(&mut self) {
        let after = self.text[self.cursor..].chars().next();
        self.cursor += after.map_or(0, char::len_utf8);
    }
}
