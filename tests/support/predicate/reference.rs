//! The meaning of expressions, written apart from the program's: three-valued logic over the values of a JSON line.

use std::cmp::Ordering;
use std::net::IpAddr;

use serde_json::Value;
use tcc_trace::escape;
use tcc_trace::events::event_type;
use tcc_trace::predicate::syntax::{Expr, Item, Node, Operator, Order};
use tcc_trace::table::Unit;

const ALIASES: [(&str, &str); 5] = [
    ("laddr", "saddr"),
    ("lport", "sport"),
    ("raddr", "daddr"),
    ("rport", "dport"),
    ("cc", "ca_name"),
];

fn named(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

/// A field's value; `None` if the event has no such field.
#[must_use]
pub fn field<'e>(event: &'e Value, name: &str) -> Option<&'e Value> {
    match named(name).split_once('.') {
        None => event.get(named(name)),
        Some((group, leaf)) => match event.get(group)? {
            Value::Null => Some(&Value::Null),
            group => group.get(leaf),
        },
    }
}

/// `None`: unknown.
#[must_use]
pub fn truth(expr: &Expr, event: &Value) -> Option<bool> {
    match &expr.node {
        Node::All(parts) => joined(parts, false, event),
        Node::Any(parts) => joined(parts, true, event),
        Node::Not(inner) => Some(!truth(inner, event)?),
        Node::Bool(value) => Some(*value),
        Node::IsNull(inner) => {
            let Node::Name(name) = &inner.node else { panic!("{inner:?}") };
            Some(field(event, name)?.is_null())
        }
        Node::Compare(left, order, right) => compare(left, *order, right, event),
        Node::In(value, items) => {
            let mut found = false;
            for item in items {
                found |= match item {
                    Item::Value(item) => equal(value, item, event)?,
                    Item::Range(first, last) => {
                        compare(value, Order::GreaterOrEqual, first, event)?
                            && compare(value, Order::LessOrEqual, last, event)?
                    }
                };
            }
            Some(found)
        }
        Node::Has(value, flags) => {
            let (Node::Name(name), Node::Text(flags)) = (&value.node, &flags.node) else {
                panic!()
            };
            let set = field(event, name)?.as_str()?;
            let flags = std::str::from_utf8(flags).unwrap();
            Some(flags.split('|').all(|flag| set.split('|').any(|other| other == flag)))
        }
        Node::Name(name) => field(event, name)?.as_bool(),
        _ => panic!("not a condition: {expr:?}"),
    }
}

/// `decisive`: the value of a part that decides, whatever the others are.
fn joined(parts: &[Expr], decisive: bool, event: &Value) -> Option<bool> {
    let mut result = Some(!decisive);
    for part in parts {
        match truth(part, event) {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

fn compare(left: &Expr, order: Order, right: &Expr, event: &Value) -> Option<bool> {
    if let Some(unit) = is_number(left, event).or(is_number(right, event)) {
        let unit = unit_of(left, event).or(unit_of(right, event)).or(unit);
        let (one, two) = (number(left, event, unit)?, number(right, event, unit)?);
        return Some(order.holds(one.compare(two)));
    }
    let equal = equal(left, right, event)?;
    Some(equal == (order == Order::Equal))
}

fn equal(left: &Expr, right: &Expr, event: &Value) -> Option<bool> {
    if is_number(left, event).is_some() {
        return compare(left, Order::Equal, right, event);
    }
    if let Node::Net(net) = &right.node {
        return Some(net.contains(address(left, event)?));
    }
    if let Node::Net(_) = &left.node {
        return equal(right, left, event);
    }
    if let Node::Bool(value) = &right.node {
        return Some(truth(left, event)? == *value);
    }
    if let Node::Bool(_) = &left.node {
        return equal(right, left, event);
    }
    Some(text(left, event)? == text(right, event)?)
}

fn address(expr: &Expr, event: &Value) -> Option<[u8; 16]> {
    let Node::Name(name) = &expr.node else { panic!("{expr:?}") };
    Some(match field(event, name)?.as_str()?.parse().unwrap() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    })
}

fn text(expr: &Expr, event: &Value) -> Option<Vec<u8>> {
    match &expr.node {
        Node::Name(name) => match field(event, name)? {
            Value::Bool(flag) => Some(vec![u8::from(*flag)]),
            value => value.as_str().map(escape::unescape),
        },
        Node::Text(text) => Some(text.clone()),
        _ => panic!("{expr:?}"),
    }
}

/// The power of ten of a field's unit, in bytes and seconds.
fn exponent_of(name: &str, event: &Value) -> Option<i32> {
    let columns = (event_type(event["type"].as_str()?)?.columns)();
    let column = columns.into_iter().find(|column| column.name == named(name))?;
    match column.unit {
        Unit::Nanoseconds => Some(-9),
        Unit::Microseconds => Some(-6),
        _ => Some(0),
    }
}

/// The outer `None`: it is not a number. The inner one: it has no unit.
#[expect(clippy::option_option)]
fn is_number(expr: &Expr, event: &Value) -> Option<Option<i32>> {
    match &expr.node {
        Node::Number(_) | Node::Negative(_) | Node::Arithmetic(..) => Some(unit_of(expr, event)),
        Node::Name(name) => match field(event, name) {
            Some(Value::Number(_)) => Some(unit_of(expr, event)),
            _ => None,
        },
        _ => None,
    }
}

/// The unit that numbers without one are given beside this.
fn unit_of(expr: &Expr, event: &Value) -> Option<i32> {
    match &expr.node {
        Node::Name(name) => exponent_of(name, event),
        Node::Number(literal) => literal.unit.map(|unit| unit.exponent.into()),
        Node::Negative(inner) => unit_of(inner, event),
        Node::Arithmetic(one, Operator::Divide, two) => {
            let (one, two) = (unit_of(one, event), unit_of(two, event));
            if two.is_some() { Some(0) } else { one }
        }
        Node::Arithmetic(one, _, two) => unit_of(one, event).or(unit_of(two, event)),
        _ => None,
    }
}

/// A number times a power of ten, or a fraction.
#[derive(Clone, Copy, Debug)]
enum Number {
    Whole(i128, i32),
    Fraction(f64),
}

impl Number {
    fn fraction(self) -> f64 {
        match self {
            Number::Whole(number, exponent) => number as f64 * 10_f64.powi(exponent),
            Number::Fraction(number) => number,
        }
    }

    fn aligned(self, other: Number) -> Option<(i128, i128, i32)> {
        let (Number::Whole(one, a), Number::Whole(two, b)) = (self, other) else { return None };
        let least = a.min(b);
        let scale = |exponent: i32| 10_i128.pow((exponent - least) as u32);
        Some((one * scale(a), two * scale(b), least))
    }

    fn compare(self, other: Number) -> Ordering {
        match self.aligned(other) {
            Some((one, two, _)) => one.cmp(&two),
            None => {
                let (one, two) = (self.fraction(), other.fraction());
                // Where the program rounds at another place.
                if (one - two).abs() <= 1e-13 * one.abs().max(two.abs()) {
                    Ordering::Equal
                } else {
                    one.partial_cmp(&two).unwrap()
                }
            }
        }
    }
}

/// `unit`: that of numbers without one.
fn number(expr: &Expr, event: &Value, unit: Option<i32>) -> Option<Number> {
    match &expr.node {
        Node::Number(literal) => {
            let own = if literal.unit.is_some() { 0 } else { unit.unwrap_or(0) };
            Some(Number::Whole(literal.digits, i32::from(literal.exponent) + own))
        }
        Node::Name(name) => {
            let exponent = exponent_of(name, event)?;
            match field(event, name)? {
                Value::Number(number) => Some(match number.as_i128() {
                    Some(number) => Number::Whole(number, exponent),
                    None => Number::Fraction(number.as_f64()? * 10_f64.powi(exponent)),
                }),
                _ => None,
            }
        }
        Node::Negative(inner) => Some(match number(inner, event, unit)? {
            Number::Whole(number, exponent) => Number::Whole(-number, exponent),
            Number::Fraction(number) => Number::Fraction(-number),
        }),
        Node::Arithmetic(left, operator, right) => {
            // Numbers without a unit have the other side's as a whole.
            let own = if unit_of(expr, event).is_none() { unit.unwrap_or(0) } else { 0 };
            let factors = matches!(operator, Operator::Multiply | Operator::Divide);
            let unit = if factors {
                None
            } else {
                unit_of(left, event).or(unit_of(right, event)).or(unit)
            };
            let (one, two) = (number(left, event, unit)?, number(right, event, unit)?);
            match operator {
                Operator::Add | Operator::Subtract => {
                    let sign = if *operator == Operator::Add { 1 } else { -1 };
                    Some(match one.aligned(two) {
                        Some((one, two, exponent)) => Number::Whole(one + sign * two, exponent),
                        None => Number::Fraction(one.fraction() + sign as f64 * two.fraction()),
                    })
                }
                Operator::Multiply => Some(match (one, two) {
                    (Number::Whole(one, a), Number::Whole(two, b)) => {
                        Number::Whole(one * two, a + b + own)
                    }
                    _ => Number::Fraction(one.fraction() * two.fraction() * 10_f64.powi(own)),
                }),
                Operator::Divide => {
                    let two = two.fraction();
                    (two != 0.0).then(|| Number::Fraction(one.fraction() / two * 10_f64.powi(own)))
                }
            }
        }
        _ => None,
    }
}
