//! `--where`: conditions over an event's fields.
//!
//! An expression is parsed (`parse`), checked against the fields of the requested event types (`check`), and compiled for each
//! event type to tests of the record's bytes (`compile`, `formula`). The tests that the kernel can make go to its programs
//! (`kernel`); the pipeline makes the others.
//!
//! Logic has three values, as in SQL: a comparison with null is neither true nor false, nor is its negation. Only what is true
//! matches. Negations are moved to the comparisons first (`check`); then `&&` and `||` need to know only what is true, and no
//! test returns the third value.

mod atom;
mod check;
mod compile;
mod field;
mod formula;
mod kernel;
pub mod mistake;
mod numeric;
mod operand;
pub mod parse;
pub mod quantity;
mod ranges;
mod slots;
mod split;
pub mod syntax;
mod token;

pub use self::field::EVENT_TYPE;
pub use self::kernel::{MOST_TERMS, Step, Terms};
pub use self::mistake::Mistake;
pub use self::split::{Compiled, Part, Side};

use self::check::{Condition, Leaf, Scope, Test};
use self::field::Field;
use self::mistake::Fault;
use self::syntax::{Expr, Node};
use crate::events::{EventType, Types};
use crate::table::Column;

/// An expression that has been parsed.
#[derive(Clone, Debug)]
pub struct Predicate {
    /// The option that it was given with.
    option: &'static str,
    pub text: String,
    pub expr: Expr,
}

/// An expression that has been checked, as a list of conditions that must all hold.
#[derive(Clone, Debug)]
pub struct Checked {
    pub conjuncts: Vec<Conjunct>,
}

/// A condition of its own, and how it is written.
#[derive(Clone, Debug)]
pub struct Conjunct {
    pub text: String,
    condition: Condition,
}

impl Predicate {
    /// Parses the expression of --where.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        Predicate::parse_of("--where", text)
    }

    /// Parses the expression of an option.
    pub fn parse_of(option: &'static str, text: &str) -> Result<Self, Mistake> {
        let expr = parse::parse(text).map_err(|fault| fault.within(option, text))?;
        Ok(Predicate { option, text: text.to_owned(), expr })
    }

    /// Checks it against the fields of these event types. Without `types`, names of the kernel's own enums are not checked.
    pub fn check(
        &self,
        event_types: &[&'static EventType],
        types: Option<&Types>,
    ) -> Result<Checked, Mistake> {
        let scope = Scope { text: &self.text, event_types, types };
        let mut parts = Vec::new();
        flatten(&self.expr, false, &mut parts);
        let conjunct = |(expr, negated): &(&Expr, bool)| -> Result<Conjunct, Fault> {
            let condition = scope.condition(expr, *negated)?;
            let source = self.text.get(expr.span.clone()).unwrap_or_default();
            let text = if *negated { format!("!({source})") } else { source.to_owned() };
            Ok(Conjunct { text, condition })
        };
        let conjuncts: Result<_, Fault> = parts.iter().map(conjunct).collect();
        Ok(Checked { conjuncts: conjuncts.map_err(|fault| fault.within(self.option, &self.text))? })
    }
}

/// The conditions that must all hold, and whether each is negated.
fn flatten<'e>(expr: &'e Expr, negated: bool, parts: &mut Vec<(&'e Expr, bool)>) {
    match &expr.node {
        Node::All(inner) if !negated => inner.iter().for_each(|part| flatten(part, negated, parts)),
        Node::Any(inner) if negated => inner.iter().for_each(|part| flatten(part, negated, parts)),
        Node::Not(inner) if matches!(inner.node, Node::All(_) | Node::Any(_) | Node::Not(_)) => {
            flatten(inner, !negated, parts);
        }
        _ => parts.push((expr, negated)),
    }
}

impl Checked {
    /// The columns of an event type that it reads, each once.
    #[must_use]
    pub fn columns(&self, event_type: &EventType) -> Vec<&'static Column> {
        let mut columns: Vec<&'static Column> = Vec::new();
        for conjunct in &self.conjuncts {
            conjunct.condition.each_field(&mut |field| {
                if let Some(column) = field.of(event_type)
                    && !columns.iter().any(|known| known.name == column.name)
                {
                    columns.push(column);
                }
            });
        }
        columns
    }
}

impl Condition {
    fn each_field<'c>(&'c self, visit: &mut dyn FnMut(&'c Field)) {
        match self {
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().for_each(|part| part.each_field(visit));
            }
            Condition::Constant(_) => {}
            Condition::Leaf(Leaf { test, .. }) => match test {
                Test::Flag(field)
                | Test::Null(field)
                | Test::Text(field, _)
                | Test::Net(field, _)
                | Test::Has(field, _) => visit(field),
                Test::Same(one, other) => {
                    visit(one);
                    visit(other);
                }
                Test::Compare(any) => any.iter().flatten().for_each(|comparison| {
                    comparison.left.each_field(visit);
                    comparison.right.each_field(visit);
                }),
                Test::Type(_) => {}
            },
        }
    }
}

#[cfg(test)]
mod tests;
