//! These events, with these fields, in this order: [`assert_events`], which says what differs.

use std::fmt::{self, Display};
use std::ops::{RangeFrom, RangeInclusive, RangeToInclusive};

use serde_json::Value;

use super::times::compared;

/// An event that a test expects: its type, and the fields that matter.
#[derive(Clone, Debug)]
pub struct Expected {
    event_type: String,
    fields: Vec<(String, Wanted)>,
    optional: bool,
}

/// What a field has to be.
#[derive(Clone, Debug)]
pub enum Wanted {
    Is(Value),
    Within(u64, u64),
    OneOf(Vec<Wanted>),
    Not(Value),
}

/// `event!(connect { outcome: "refused", errno: 111, latency_us: 1.. })`. Fields that are not named may be anything. A
/// value is text, a number, true, false or `null()`, or an `Option` of these; or a range of numbers; or a `Wanted`.
macro_rules! event {
    ($type:ident { $($field:ident: $value:expr),* $(,)? }) => {
        $crate::support::Expected::new(stringify!($type))
            $(.with(stringify!($field), $value))*
    };
}

pub const fn null() -> Wanted {
    Wanted::Is(Value::Null)
}

/// One of these values or ranges.
pub fn one_of<T: Into<Wanted>>(all: impl IntoIterator<Item = T>) -> Wanted {
    Wanted::OneOf(all.into_iter().map(Into::into).collect())
}

pub fn null_or(wanted: impl Into<Wanted>) -> Wanted {
    one_of([null(), wanted.into()])
}

impl Expected {
    pub fn new(event_type: &str) -> Self {
        Expected { event_type: event_type.into(), fields: Vec::new(), optional: false }
    }

    /// With one more field; `group.member` for a member of a group.
    pub fn with(mut self, field: &str, wanted: impl Into<Wanted>) -> Self {
        self.fields.push((field.into(), wanted.into()));
        self
    }

    /// The event may be missing.
    pub fn optional(self) -> Self {
        Expected { optional: true, ..self }
    }

    pub fn matches(&self, found: &Value) -> bool {
        self.differences(found).is_empty()
    }

    /// What the event is not, field by field.
    fn differences(&self, found: &Value) -> Vec<String> {
        let mut differences = Vec::new();
        if found["type"] != self.event_type.as_str() {
            differences.push(format!("type is {}, not {:?}", found["type"], self.event_type));
        }
        for (field, wanted) in &self.fields {
            let value = field.split('.').try_fold(found, |value, name| value.get(name));
            match value {
                Some(value) if wanted.is_met_by(value) => {}
                Some(value) => differences.push(format!("{field} is {value}, not {wanted}")),
                None => differences.push(format!("{field} is not there, expected {wanted}")),
            }
        }
        differences
    }
}

impl Wanted {
    fn is_met_by(&self, value: &Value) -> bool {
        match self {
            Wanted::Is(wanted) => wanted == value,
            Wanted::Not(other) => other != value,
            Wanted::Within(low, high) => {
                value.as_u64().is_some_and(|n| (*low..=*high).contains(&n))
            }
            Wanted::OneOf(all) => all.iter().any(|wanted| wanted.is_met_by(value)),
        }
    }
}

/// A blanket implementation would leave no room for ranges.
macro_rules! wanted_from {
    ($($type:ty),*) => { $(
        impl From<$type> for Wanted {
            fn from(value: $type) -> Self {
                Wanted::Is(value.into())
            }
        }
    )* };
}
wanted_from!(
    &str,
    String,
    bool,
    u8,
    u16,
    u32,
    u64,
    i32,
    Value,
    Option<&str>,
    Option<u64>,
    Option<i32>
);

impl From<RangeInclusive<u64>> for Wanted {
    fn from(range: RangeInclusive<u64>) -> Self {
        Wanted::Within(*range.start(), *range.end())
    }
}

impl From<RangeFrom<u64>> for Wanted {
    fn from(range: RangeFrom<u64>) -> Self {
        Wanted::Within(range.start, u64::MAX)
    }
}

impl From<RangeToInclusive<u64>> for Wanted {
    fn from(range: RangeToInclusive<u64>) -> Self {
        Wanted::Within(0, range.end)
    }
}

impl Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Is(value) => write!(f, "{value}"),
            Wanted::Not(value) => write!(f, "anything but {value}"),
            Wanted::Within(low, u64::MAX) => write!(f, "at least {low}"),
            Wanted::Within(0, high) => write!(f, "at most {high}"),
            Wanted::Within(low, high) => write!(f, "{low} to {high}"),
            Wanted::OneOf(all) => {
                let all: Vec<String> = all.iter().map(Wanted::to_string).collect();
                write!(f, "one of {}", all.join(", "))
            }
        }
    }
}

impl Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<String> =
            self.fields.iter().map(|(name, wanted)| format!("{name}: {wanted}")).collect();
        let optional = if self.optional { "optional " } else { "" };
        write!(f, "{optional}{} {{ {} }}", self.event_type, fields.join(", "))
    }
}

/// Exactly these events, in this order.
#[track_caller]
pub fn assert_events<'e>(
    found: impl IntoIterator<Item = &'e Value>,
    expected: impl IntoIterator<Item = Expected>,
) {
    let found: Vec<&Value> = found.into_iter().collect();
    let expected: Vec<Expected> = expected.into_iter().collect();
    if let Err(report) = compare(&found, &expected) {
        panic!("{report}");
    }
}

/// One event that is already picked out.
#[track_caller]
pub fn assert_event(found: &Value, expected: Expected) {
    assert_events([found], [expected]);
}

/// One line for each expected and each found event, side by side where they belong together.
fn compare(found: &[&Value], expected: &[Expected]) -> Result<(), String> {
    compared(expected.len(), expected.iter().map(|expected| expected.fields.len()).sum());
    let pairs = align(found, expected);
    let mut report = format!("{} events expected, {} found:\n", expected.len(), found.len());
    let mut equal = true;
    for pair in pairs {
        let line = match pair {
            (Some(expected), Some(found)) => {
                let differences = expected.differences(found);
                if differences.is_empty() {
                    format!("  = {expected}\n")
                } else {
                    equal = false;
                    format!(
                        "  ~ {expected}\n      {}\n      {found}\n",
                        differences.join("\n      ")
                    )
                }
            }
            (Some(expected), None) => {
                equal &= expected.optional;
                format!("  - {expected}\n")
            }
            (None, found) => {
                equal = false;
                format!("  + {}\n", found.unwrap_or(&Value::Null))
            }
        };
        report += &line;
    }
    if equal { Ok(()) } else { Err(report) }
}

type Aligned<'e> = Vec<(Option<&'e Expected>, Option<&'e Value>)>;

/// The alignment with the fewest differences, by the usual table of edit distances. A missing or additional event costs as
/// much as one that differs in type, or in two fields; a missing optional event costs nothing.
fn align<'e>(found: &[&'e Value], expected: &'e [Expected]) -> Aligned<'e> {
    const ALONE: usize = 2;
    let pair = |e: usize, f: usize| {
        let differs = found[f]["type"] != expected[e].event_type.as_str();
        if differs {
            2 * ALONE + 1
        } else {
            expected[e].differences(found[f]).len().min(2 * ALONE - 1)
        }
    };
    let missing = |e: usize| if expected[e].optional { 0 } else { ALONE };
    // cost[e][f]: of the expected from e on and the found from f on.
    let mut cost = vec![vec![0; found.len() + 1]; expected.len() + 1];
    for e in (0..=expected.len()).rev() {
        for f in (0..=found.len()).rev() {
            cost[e][f] = match (e < expected.len(), f < found.len()) {
                (false, _) => (found.len() - f) * ALONE,
                (_, false) => missing(e) + cost[e + 1][f],
                _ => (pair(e, f) + cost[e + 1][f + 1])
                    .min(missing(e) + cost[e + 1][f])
                    .min(ALONE + cost[e][f + 1]),
            };
        }
    }
    let (mut e, mut f, mut pairs) = (0, 0, Vec::new());
    while e < expected.len() || f < found.len() {
        let both = e < expected.len() && f < found.len();
        if both && cost[e][f] == pair(e, f) + cost[e + 1][f + 1] {
            pairs.push((Some(&expected[e]), Some(found[f])));
            (e, f) = (e + 1, f + 1);
        } else if e < expected.len() && cost[e][f] == missing(e) + cost[e + 1][f] {
            pairs.push((Some(&expected[e]), None));
            e += 1;
        } else {
            pairs.push((None, Some(found[f])));
            f += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Expected, Wanted, compare, null, null_or, one_of};

    fn report(found: &[serde_json::Value], expected: &[Expected]) -> String {
        compare(&found.iter().collect::<Vec<_>>(), expected).expect_err("they differ")
    }

    #[test]
    fn equal_events_are_equal() {
        let found =
            json!({"type": "connect", "errno": 111, "pid": 7, "bbr": {"bw": 9}, "err": null});
        let expected = event!(connect { errno: null_or(..=111), pid: one_of([6, 7]), err: null() });
        let expected = expected.with("bbr.bw", 9).with("pid", Wanted::Not(8.into()));
        compare(&[&found], &[expected]).unwrap();
        compare(&[], &[]).unwrap();
    }

    #[test]
    fn a_differing_field_is_named_with_both_values() {
        let found = json!({"type": "connect", "errno": 110, "pid": 7});
        let report = report(&[found], &[event!(connect { errno: 111, pid: 7, err: "X" })]);
        assert!(report.contains("errno is 110, not 111"), "{report}");
        assert!(report.contains("err is not there, expected \"X\""), "{report}");
        assert!(!report.contains("pid is"), "{report}");
    }

    #[test]
    fn a_missing_and_an_additional_event_leave_the_others_paired() {
        let found = [
            json!({"type": "drop", "segs": 1}),
            json!({"type": "probe", "segs": 9}),
            json!({"type": "state", "segs": 3}),
        ];
        let expected =
            [event!(drop { segs: 1 }), event!(retransmit { segs: 2 }), event!(state { segs: 3 })];
        let report = report(&found, &expected);
        let marks: Vec<_> = report.lines().skip(1).filter_map(|line| line.chars().nth(2)).collect();
        assert!(marks == ['=', '-', '+', '='] || marks == ['=', '+', '-', '='], "{report}");
    }

    #[test]
    fn only_an_optional_event_may_be_missing() {
        let (a, b) = (json!({"type": "a", "segs": 1}), json!({"type": "b"}));
        let expected = [event!(a { segs: 1 }).optional(), event!(b {})];
        compare(&[&a, &b], &expected).unwrap();
        compare(&[&b], &expected).unwrap();
        report(&[a], &expected);
        report(&[json!({"type": "a", "segs": 2}), b], &expected);
    }

    #[test]
    fn the_order_matters() {
        let found = [json!({"type": "a"}), json!({"type": "b"})];
        let report = report(&found, &[event!(b {}), event!(a {})]);
        assert!(report.contains("  + ") && report.contains("  - "), "{report}");
    }
}
