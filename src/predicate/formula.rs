//! A condition compiled for one event type, and its evaluation.

use std::cmp::Ordering;

use super::atom::Atom;
use super::syntax::{Net, Operator, Order};
use crate::decode::Event;
use crate::slot::{Data, Slot};
use crate::table::{Column, Value};

/// True, or not: what is false and what is null are the same here.
#[derive(Clone, Debug)]
pub enum Formula {
    All(Vec<Formula>),
    Any(Vec<Formula>),
    Constant(bool),
    Atom(Atom),
    /// Only user space can decide it.
    General(Box<General>),
}

/// A test of values.
#[derive(Clone, Debug)]
pub struct General {
    pub test: ValueTest,
    /// It must have a result, which is false.
    pub negated: bool,
    /// Why the kernel does not decide it.
    pub why: &'static str,
}

#[derive(Clone, Debug)]
pub enum ValueTest {
    Flag(Reader),
    Null(Reader),
    Text(Reader, Vec<Vec<u8>>),
    Net(Reader, Vec<Net>),
    Same(Reader, Reader),
    Compare(Vec<Vec<(Number, Order, Number)>>),
}

/// How a value is read.
#[derive(Clone, Debug)]
pub enum Reader {
    Slot(Slot),
    Column(&'static Column),
    /// This kernel does not have it.
    Null,
}

/// A calculation.
#[derive(Clone, Debug)]
pub enum Number {
    Constant(i128),
    Read(Reader),
    Negative(Box<Number>),
    Scaled(Box<Number>, i128),
    Binary(Box<Number>, Operator, Box<Number>),
}

/// A value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scalar<'a> {
    Whole(i128),
    Fraction(f64),
    Flag(bool),
    Text(&'a [u8]),
    Address([u8; 16]),
    /// It can only be null or not.
    Other,
}

impl Formula {
    /// Whether it holds for an event, of whose bytes it needs those before `end`.
    #[must_use]
    pub fn holds(&self, event: &Event<'_>, end: usize) -> bool {
        match self {
            Formula::All(parts) => parts.iter().all(|part| part.holds(event, end)),
            Formula::Any(parts) => parts.iter().any(|part| part.holds(event, end)),
            Formula::Constant(value) => *value,
            Formula::Atom(atom) => atom.holds(event.bytes(end)),
            Formula::General(general) => general.test.result(event, end) == Some(!general.negated),
        }
    }

    /// Both; constants are resolved.
    #[must_use]
    pub fn and(parts: impl IntoIterator<Item = Formula>) -> Self {
        Formula::joined(parts, true)
    }

    #[must_use]
    pub fn or(parts: impl IntoIterator<Item = Formula>) -> Self {
        Formula::joined(parts, false)
    }

    fn joined(parts: impl IntoIterator<Item = Formula>, all: bool) -> Self {
        let mut joined = Vec::new();
        for part in parts {
            match part {
                Formula::Constant(value) if value == all => {}
                Formula::Constant(value) => return Formula::Constant(value),
                Formula::All(inner) if all => joined.extend(inner),
                Formula::Any(inner) if !all => joined.extend(inner),
                part => joined.push(part),
            }
        }
        match joined.len() {
            0 => Formula::Constant(all),
            1 => joined.remove(0),
            _ if all => Formula::All(joined),
            _ => Formula::Any(joined),
        }
    }

    /// What holds if this does not, of tests that always have a result.
    #[must_use]
    pub fn inverse(self) -> Self {
        match self {
            Formula::All(parts) => Formula::Any(parts.into_iter().map(Formula::inverse).collect()),
            Formula::Any(parts) => Formula::All(parts.into_iter().map(Formula::inverse).collect()),
            Formula::Constant(value) => Formula::Constant(!value),
            Formula::Atom(atom) => Formula::Atom(Atom { negated: !atom.negated, ..atom }),
            Formula::General(general) => {
                Formula::General(Box::new(General { negated: !general.negated, ..*general }))
            }
        }
    }

    /// Its atoms; `None` if it has other tests.
    #[must_use]
    pub fn atoms(&self) -> Option<Vec<&Atom>> {
        match self {
            Formula::All(parts) | Formula::Any(parts) => {
                let atoms: Option<Vec<_>> = parts.iter().map(Formula::atoms).collect();
                Some(atoms?.concat())
            }
            Formula::Constant(_) => Some(Vec::new()),
            Formula::Atom(atom) => Some(vec![atom]),
            Formula::General(_) => None,
        }
    }

    /// Why the kernel cannot decide it.
    #[must_use]
    pub fn why(&self) -> Option<&'static str> {
        match self {
            Formula::All(parts) | Formula::Any(parts) => parts.iter().find_map(Formula::why),
            Formula::General(general) => Some(general.why),
            Formula::Constant(_) | Formula::Atom(_) => None,
        }
    }
}

impl ValueTest {
    /// `None`: a value is null.
    fn result(&self, event: &Event<'_>, end: usize) -> Option<bool> {
        let read = |reader: &Reader| reader.read(event, end).is_some();
        Some(match self {
            ValueTest::Null(reader) => !read(reader),
            ValueTest::Flag(reader) => reader.read(event, end)? == Scalar::Flag(true),
            ValueTest::Text(reader, texts) => {
                let Scalar::Text(text) = reader.read(event, end)? else { return None };
                texts.iter().any(|other| other == text)
            }
            ValueTest::Net(reader, nets) => {
                let Scalar::Address(address) = reader.read(event, end)? else { return None };
                nets.iter().any(|net| net.contains(address))
            }
            ValueTest::Same(one, other) => one.read(event, end)? == other.read(event, end)?,
            ValueTest::Compare(any) => {
                let mut found = false;
                for all in any {
                    let mut holds = true;
                    for (left, order, right) in all {
                        let (left, right) = (left.value(event, end)?, right.value(event, end)?);
                        holds &= order.holds(left.compare(right)?);
                    }
                    found |= holds;
                }
                found
            }
        })
    }
}

impl Reader {
    fn read<'e>(&self, event: &'e Event<'_>, end: usize) -> Option<Scalar<'e>> {
        let slot = match self {
            Reader::Slot(slot) => slot,
            Reader::Column(column) => return of_value(event.value(column)),
            Reader::Null => return None,
        };
        Some(match slot.read(event.bytes(end))? {
            Data::Unsigned(number) => match slot.names {
                Some(names) => Scalar::Text(event.types().name(names, number)?.as_bytes()),
                None => Scalar::Whole(number.into()),
            },
            Data::Signed(number) => Scalar::Whole(number.into()),
            Data::Float(number) => Scalar::Fraction(number),
            Data::Flag(flag) => Scalar::Flag(flag),
            Data::Text(text) => Scalar::Text(text),
            Data::Address(address) => Scalar::Address(address),
            Data::Code(_) => Scalar::Other,
        })
    }
}

fn of_value(value: Value<'_>) -> Option<Scalar<'_>> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => Scalar::Flag(flag),
        Value::U64(number) => Scalar::Whole(number.into()),
        Value::I64(number) => Scalar::Whole(number.into()),
        Value::F64(number) => Scalar::Fraction(number),
        Value::Str(text) => Scalar::Text(text.as_bytes()),
        Value::Name(text) => Scalar::Text(text),
        Value::Ip(address) => Scalar::Address(match address {
            std::net::IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            std::net::IpAddr::V6(address) => address.octets(),
        }),
        Value::Time(_) | Value::Code(..) | Value::Stack(..) => Scalar::Other,
    })
}

impl<'a> Scalar<'a> {
    fn fraction(self) -> Option<f64> {
        match self {
            Scalar::Whole(number) => Some(number as f64),
            Scalar::Fraction(number) => Some(number),
            _ => None,
        }
    }

    fn compare(self, other: Scalar<'a>) -> Option<Ordering> {
        match (self, other) {
            (Scalar::Whole(one), Scalar::Whole(other)) => Some(one.cmp(&other)),
            (one, other) => one.fraction()?.partial_cmp(&other.fraction()?),
        }
    }

    fn calculate(self, operator: Operator, other: Scalar<'a>) -> Option<Self> {
        if let (Scalar::Whole(one), Scalar::Whole(other)) = (self, other) {
            let number = match operator {
                Operator::Add => one.checked_add(other),
                Operator::Subtract => one.checked_sub(other),
                Operator::Multiply => one.checked_mul(other),
                Operator::Divide if other == 0 => None,
                Operator::Divide => return Some(Scalar::Fraction(one as f64 / other as f64)),
            };
            return number.map(Scalar::Whole);
        }
        let (one, other) = (self.fraction()?, other.fraction()?);
        let number = match operator {
            Operator::Add => one + other,
            Operator::Subtract => one - other,
            Operator::Multiply => one * other,
            Operator::Divide => one / other,
        };
        number.is_finite().then_some(Scalar::Fraction(number))
    }
}

impl Number {
    fn value<'e>(&self, event: &'e Event<'_>, end: usize) -> Option<Scalar<'e>> {
        match self {
            Number::Constant(number) => Some(Scalar::Whole(*number)),
            Number::Read(reader) => reader.read(event, end),
            Number::Negative(inner) => {
                Scalar::Whole(0).calculate(Operator::Subtract, inner.value(event, end)?)
            }
            Number::Scaled(inner, factor) => {
                inner.value(event, end)?.calculate(Operator::Multiply, Scalar::Whole(*factor))
            }
            Number::Binary(one, operator, other) => {
                let (one, other) = (one.value(event, end)?, other.value(event, end)?);
                one.calculate(*operator, other)
            }
        }
    }
}
