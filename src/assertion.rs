//! `assert`: conditions on a whole run, such as `p99(srtt_us) < 20ms`.
//!
//! An assertion is a measure of events (`measure`), a relation and a limit (`parse`). Its tally takes the events; at the end it gives the
//! value, and the range that it has with the events that were lost (`tally`). The result follows only if all of that range agrees.

pub mod distribution;
pub mod measure;
pub mod parse;
pub mod run;
pub mod tally;

use std::fmt;

use self::measure::Measure;
use crate::events::EventType;
use crate::predicate::Predicate;

/// How a value is compared with the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// Longer signs first.
pub(crate) const RELATIONS: [(&str, Relation); 6] = [
    ("<=", Relation::LessOrEqual),
    (">=", Relation::GreaterOrEqual),
    ("==", Relation::Equal),
    ("!=", Relation::NotEqual),
    ("<", Relation::Less),
    (">", Relation::Greater),
];

impl Relation {
    /// Of a value that lies in that range. `None`: it holds for a part of the range only.
    #[must_use]
    pub fn holds(self, (least, most): (f64, f64), limit: f64) -> Option<bool> {
        let all =
            |holds: fn(&f64, &f64) -> bool| match (holds(&least, &limit), holds(&most, &limit)) {
                (true, true) => Some(true),
                (false, false) => Some(false),
                _ => None,
            };
        match self {
            Relation::Less => all(f64::lt),
            Relation::LessOrEqual => all(f64::le),
            Relation::Greater => all(f64::gt),
            Relation::GreaterOrEqual => all(f64::ge),
            Relation::Equal if least == most => Some(least == limit),
            Relation::Equal if (least..=most).contains(&limit) => None,
            Relation::Equal => Some(false),
            Relation::NotEqual => Relation::Equal.holds((least, most), limit).map(|equal| !equal),
        }
    }
}

/// The limit, as it is written and in the unit of the values.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    pub value: f64,
    /// `ms`, `%`, or nothing.
    pub unit: String,
    /// Values divided by this are in that unit.
    pub per: f64,
}

/// One assertion.
#[derive(Clone, Debug)]
pub struct Assertion {
    pub text: String,
    pub measure: Measure,
    /// Only these events.
    pub condition: Option<Predicate>,
    pub relation: Relation,
    pub limit: Limit,
}

impl Assertion {
    /// The event types that it needs.
    #[must_use]
    pub fn event_types(&self) -> Vec<&'static EventType> {
        self.measure.event_types()
    }
}

/// What is known of an assertion at the end.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Pass,
    Fail,
    /// And why.
    Undecided(String),
}

impl Outcome {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::Undecided(_) => "undecided",
        }
    }
}

/// An assertion with its result.
#[derive(Clone, Debug)]
pub struct Finding {
    pub text: String,
    pub result: Outcome,
    /// In the unit of the limit.
    pub value: Option<f64>,
    pub unit: String,
    /// What the value is of: `4021 values`.
    pub basis: String,
}

/// `pass: p99(srtt_us) < 20ms: 18.215ms of 4021 values`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.result.name(), self.text)?;
        match self.value {
            Some(value) => write!(f, "{}{} of {}", short(value), self.unit, self.basis)?,
            None => write!(f, "no value of {}", self.basis)?,
        }
        match &self.result {
            Outcome::Undecided(why) => write!(f, "; {why}"),
            _ => Ok(()),
        }
    }
}

/// Up to three decimals, or of a small value three digits.
fn short(value: f64) -> String {
    let zeros = if value == 0.0 { 0.0 } else { -value.abs().log10().floor() };
    let decimals = (zeros + 2.0).clamp(3.0, 12.0) as usize;
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
