//! `p99(srtt_us where rport == 443) < 20ms`

use super::measure::{Measure, Statistic};
use super::{Assertion, Limit, RELATIONS};
use crate::events::{EVENT_TYPES, EventType};
use crate::predicate::quantity::{Literal, Unit};
use crate::predicate::{Mistake, Predicate};
use crate::suggest;
use crate::table::{Column, Type};

const MEASURES: &str = "use count, rate, min, max, mean, sum, or a percentile such as p99 or p99.9";

/// What is wrong: with the assertion, or with its condition.
#[derive(Debug)]
pub enum Wrong {
    Assertion(String),
    Condition(Mistake),
}

impl Assertion {
    /// Parses one.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let text = text.trim();
        let wrong = |message: String| Wrong::Assertion(format!("assertion `{text}`: {message}"));
        let shape = "expected MEASURE(FIELD) < LIMIT, such as p99(srtt_us) < 20ms";
        let (measure, rest) = text.split_once('(').ok_or_else(|| wrong(shape.to_owned()))?;
        let end = closing(rest).ok_or_else(|| wrong("no `)` ends the measure".to_owned()))?;
        let (inside, rest) = (&rest[..end], rest[end + 1..].trim());
        let (of, condition) = match inside.split_once(" where ") {
            Some((of, condition)) => (of.trim(), Some(condition)),
            None => (inside.trim(), None),
        };
        let (sign, relation) = RELATIONS
            .into_iter()
            .find(|(sign, _)| rest.starts_with(sign))
            .ok_or_else(|| wrong("expected <, <=, >, >=, == or != after `)`".to_owned()))?;
        let limit = rest[sign.len()..].trim();
        let (measure, limit) = resolve(measure.trim(), of, limit).map_err(wrong)?;
        let condition = condition
            .map(|condition| Predicate::parse_of("assert", condition))
            .transpose()
            .map_err(Wrong::Condition)?;
        Ok(Assertion { text: text.to_owned(), measure, condition, relation, limit })
    }
}

/// Where the parenthesis ends that is open already; those in strings do not count.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_u32, None);
    text.char_indices().find_map(|(at, letter)| {
        match (letter, quote) {
            (letter, Some(end)) if letter == end => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quote = Some(letter),
            ('(', None) => depth += 1,
            (')', None) if depth == 0 => return Some(at),
            (')', None) => depth -= 1,
            _ => {}
        }
        None
    })
}

fn resolve(measure: &str, of: &str, limit: &str) -> Result<(Measure, Limit), String> {
    let limit = Written::parse(limit)?;
    match measure {
        "count" => Ok((Measure::Count(event_type(of)?), limit.plain("a number of events")?)),
        "rate" => match limit.unit.as_str() {
            "/s" => {
                let limit = Limit { value: limit.number, unit: limit.unit, per: 1.0 };
                Ok((Measure::PerSecond(event_type(of)?), limit))
            }
            "%" if event_type(of)?.name == "retransmit" => {
                let limit = Limit { value: limit.number, unit: limit.unit, per: 1.0 };
                Ok((Measure::RetransmittedShare, limit))
            }
            "%" => Err(format!(
                "a share of segments is rate(retransmit); for `{of}`, use a rate such as 5/s"
            )),
            _ => Err(
                "the limit of a rate is per second (5/s), or for rate(retransmit) a share (0.1%)"
                    .to_owned(),
            ),
        },
        _ => {
            let statistic = statistic(measure)
                .ok_or_else(|| format!("unknown measure `{measure}`; {MEASURES}"))?;
            let (event_type, column) = field(of)?;
            let limit = limit.in_unit_of(column)?;
            Ok((Measure::Values(statistic, event_type, column), limit))
        }
    }
}

fn statistic(name: &str) -> Option<Statistic> {
    Some(match name {
        "min" => Statistic::Min,
        "max" => Statistic::Max,
        "mean" => Statistic::Mean,
        "sum" => Statistic::Sum,
        _ => {
            let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
            if !(percent > 0.0 && percent <= 100.0) {
                return None;
            }
            Statistic::Quantile(percent / 100.0)
        }
    })
}

fn event_type(name: &str) -> Result<&'static EventType, String> {
    crate::events::event_type(name).ok_or_else(|| {
        let known: Vec<&str> = EVENT_TYPES.iter().map(|event_type| event_type.name).collect();
        let all = format!("use {}", known.join(", "));
        format!("unknown event type `{name}`; {}", suggest::did_you_mean(name, known, &all))
    })
}

/// `srtt_us` of `probe`, or of the only event type that has it; `connect.latency_us`.
fn field(name: &str) -> Result<(&'static EventType, &'static Column), String> {
    if let Some((of, field)) = name.split_once('.')
        && let Some(event_type) = crate::events::event_type(of)
    {
        let column = super::measure::column(event_type, field);
        let column = column.ok_or_else(|| format!("{of} events have no field `{field}`"))?;
        return Ok((event_type, numeric(column)?));
    }
    let has = |event_type: &'static EventType| {
        Some((event_type, super::measure::column(event_type, name)?))
    };
    let found: Vec<_> = EVENT_TYPES.iter().filter_map(has).collect();
    match found[..] {
        [] => Err(format!("no event type has a field `{name}`; `tcc-trace schema` lists them")),
        [(event_type, column)] => Ok((event_type, numeric(column)?)),
        [(event_type, column), ..] if event_type.is_probe() => Ok((event_type, numeric(column)?)),
        [..] => {
            let names: Vec<String> =
                found.iter().map(|(of, _)| format!("{}.{name}", of.name)).collect();
            Err(format!("several event types have `{name}`; use {}", names.join(", ")))
        }
    }
}

fn numeric(column: &'static Column) -> Result<&'static Column, String> {
    match column.ty {
        Type::Unsigned | Type::Signed | Type::Float => Ok(column),
        _ => Err(format!("`{}` is not a number", column.name)),
    }
}

/// A limit before its unit is known.
struct Written {
    digits: i128,
    exponent: i8,
    number: f64,
    unit: String,
}

impl Written {
    fn parse(text: &str) -> Result<Self, String> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..end], text[end..].trim());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        let written = || format!("expected a number such as 20ms or 0.1% in place of `{text}`");
        if digits.is_empty() || digits.len() > 18 {
            return Err(written());
        }
        Ok(Written {
            digits: digits.parse().map_err(|_| written())?,
            exponent: -i8::try_from(fraction.len()).map_err(|_| written())?,
            number: number.parse().map_err(|_| written())?,
            unit: unit.to_owned(),
        })
    }

    fn plain(self, what: &str) -> Result<Limit, String> {
        if self.unit.is_empty() {
            return Ok(Limit { value: self.number, unit: self.unit, per: 1.0 });
        }
        Err(format!("the limit is {what}, without a unit"))
    }

    /// Without a unit, it has that of the column.
    fn in_unit_of(self, column: &Column) -> Result<Limit, String> {
        let of = Unit::of(column.unit);
        if self.unit.is_empty() {
            return Ok(Limit { value: self.number, unit: self.unit, per: 1.0 });
        }
        let (name, per_second) = match self.unit.strip_suffix("/s") {
            Some(name) => (name, true),
            None => (self.unit.as_str(), false),
        };
        let literal =
            |digits, exponent| Literal { digits, exponent, unit: None }.with_unit(name, per_second);
        let limit = literal(self.digits, self.exponent)?;
        let unit = limit.unit.unwrap_or_default();
        if !unit.is_like(of) {
            return Err(format!(
                "`{}` is {}, and the limit is {}",
                column.name,
                of.describe(),
                unit.describe()
            ));
        }
        let value = |of_limit: Literal| {
            of_limit.digits as f64
                * 10_f64.powi(i32::from(of_limit.exponent) - i32::from(of.exponent))
        };
        Ok(Limit { value: value(limit), per: value(literal(1, 0)?), unit: self.unit })
    }
}
