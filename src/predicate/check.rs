//! Checks an expression against the fields of the requested event types: names, types, units and ranges. Negations end up at
//! the comparisons.

use super::field::{Class, EVENT_TYPE, Field};
use super::mistake::{Fault, Span};
use super::numeric::{Comparison, Quantity};
use super::operand::Operand;
use super::syntax::{Expr, Item, Net, Node, Order};
use super::token::net;
use crate::events::{EventType, Types};
use crate::suggest;

/// A checked expression.
#[derive(Clone, Debug)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Constant(bool),
    Leaf(Leaf),
}

/// A test of fields.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// True if the test has a result, and it is false.
    pub negated: bool,
    pub test: Test,
}

#[derive(Clone, Debug)]
pub enum Test {
    /// All comparisons of any of these.
    Compare(Vec<Vec<Comparison>>),
    Flag(Field),
    Null(Field),
    /// One of these texts.
    Text(Field, Vec<Vec<u8>>),
    /// In one of these networks.
    Net(Field, Vec<Net>),
    /// All of these flags.
    Has(Field, Vec<u8>),
    /// Two fields of one class, which is not Number.
    Same(Field, Field),
    /// The event's type.
    Type(Vec<Vec<u8>>),
}

/// What names are looked up in.
pub struct Scope<'s> {
    pub text: &'s str,
    pub event_types: &'s [&'static EventType],
    /// Without them, names of the kernel's own enums are not checked.
    pub types: Option<&'s Types>,
}

impl Scope<'_> {
    /// Checks a condition.
    pub fn condition(&self, expr: &Expr, negated: bool) -> Result<Condition, Fault> {
        let leaf = |test| Condition::Leaf(Leaf { negated, test });
        let list = |parts: &[Expr]| -> Result<Vec<Condition>, Fault> {
            parts.iter().map(|part| self.condition(part, negated)).collect()
        };
        Ok(match &expr.node {
            Node::All(parts) if negated => Condition::Any(list(parts)?),
            Node::Any(parts) if !negated => Condition::Any(list(parts)?),
            Node::All(parts) | Node::Any(parts) => Condition::All(list(parts)?),
            Node::Not(inner) => self.condition(inner, !negated)?,
            Node::Bool(value) => Condition::Constant(*value != negated),
            Node::IsNull(value) => match &value.node {
                Node::Name(name) if name != EVENT_TYPE => {
                    leaf(Test::Null(Field::find(name, &value.span, self.event_types)?))
                }
                _ => return Err(Fault::new(&value.span, "only a field can be null")),
            },
            Node::Has(value, flags) => leaf(self.has(value, flags)?),
            Node::In(value, items) => leaf(self.within(value, items)?),
            Node::Compare(left, order, right) => {
                let (test, inverted) = self.compare(left, *order, right, &expr.span)?;
                Condition::Leaf(Leaf { negated: negated != inverted, test })
            }
            _ => match self.operand(expr)? {
                Operand::Field(field) if field.class() == Class::Flag => leaf(Test::Flag(field)),
                operand => return Err(self.no_condition(expr, &operand)),
            },
        })
    }

    /// A comparison, and whether its result is to be inverted.
    fn compare(
        &self,
        left: &Expr,
        order: Order,
        right: &Expr,
        span: &Span,
    ) -> Result<(Test, bool), Fault> {
        let (one, other) = (self.operand(left)?, self.operand(right)?);
        if one.is_constant() && other.is_constant() {
            return Err(Fault::new(span, "this compares no field"));
        }
        // The field first.
        if one.is_constant() {
            return self.compare(right, order.mirrored(), left, span);
        }
        let (one, other) = match (one, other) {
            (Operand::Number(one), Operand::Number(other)) => {
                self.check_units(left, &one, right, &other)?;
                let comparison = one.compared(order, other, &right.span)?;
                return Ok((Test::Compare(vec![vec![comparison]]), false));
            }
            operands => operands,
        };
        let equal = matches!(order, Order::Equal | Order::NotEqual);
        let test = match (one, other) {
            (Operand::Field(field), _) if field.class() == Class::Other => {
                return Err(Fault::new(&left.span, opaque(&field)));
            }
            (one, other) if !equal && one.describe() == other.describe() => {
                let message = format!(
                    "`{}` cannot be applied to {}; use ==, != or in",
                    order.sign(),
                    one.describe()
                );
                return Err(Fault::new(span, message));
            }
            (Operand::Field(field), Operand::Bool(value))
                if field.class() == Class::Flag && equal =>
            {
                return Ok((Test::Flag(field), (order == Order::NotEqual) == value));
            }
            (Operand::Field(one), Operand::Field(other)) if one.class() == other.class() => {
                Test::Same(one, other)
            }
            (Operand::Field(field), other) if equal => {
                if let Operand::Net(net) = other
                    && net.prefix < 128
                {
                    return Err(Fault::new(&right.span, "use `in` with a network"));
                }
                self.member(field, vec![(other, right.span.clone())])?
            }
            (Operand::EventType, Operand::Text(name)) => {
                self.check_type(&name, &right.span)?;
                Test::Type(vec![name])
            }
            (one, other) => return Err(self.mismatch(left, &one, right, &other)),
        };
        Ok((test, order == Order::NotEqual))
    }

    /// Whether a field is one of these constants.
    fn member(&self, field: Field, constants: Vec<(Operand, Span)>) -> Result<Test, Fault> {
        let (mut texts, mut nets) = (Vec::new(), Vec::new());
        for (constant, span) in constants {
            match (field.class(), constant) {
                (Class::Text, Operand::Text(text)) => {
                    field.check_text(&text, &span, self.types)?;
                    texts.push(text);
                }
                (Class::Address, Operand::Net(net)) => nets.push(net),
                (Class::Address, Operand::Text(text)) => {
                    let net = net(&String::from_utf8_lossy(&text));
                    nets.push(net.map_err(|message| Fault::new(&span, message))?);
                }
                (class, constant) => {
                    let message = format!(
                        "`{}` is {} and cannot be compared with `{}`, which is {}",
                        field.name,
                        class.describe(),
                        self.source(&span),
                        constant.describe()
                    );
                    return Err(Fault::new(&span, message));
                }
            }
        }
        Ok(if nets.is_empty() { Test::Text(field, texts) } else { Test::Net(field, nets) })
    }

    fn within(&self, value: &Expr, items: &[Item]) -> Result<Test, Fault> {
        let field = match self.operand(value)? {
            Operand::Number(quantity) => return self.within_numbers(&quantity, value, items),
            Operand::Field(field) if field.class() == Class::Other => {
                return Err(Fault::new(&value.span, opaque(&field)));
            }
            Operand::Field(field) => Some(field),
            Operand::EventType => None,
            _ => return Err(Fault::new(&value.span, "`in` needs a field before it")),
        };
        let mut constants = Vec::new();
        for item in items {
            match item {
                Item::Value(item) => constants.push((self.operand(item)?, item.span.clone())),
                Item::Range(first, last) => {
                    let message =
                        format!("`{}` is not a number and has no ranges", self.source(&value.span));
                    return Err(Fault::new(&(first.span.start..last.span.end), message));
                }
            }
        }
        let Some(field) = field else {
            let mut names = Vec::new();
            for (constant, span) in constants {
                let Operand::Text(name) = constant else {
                    return Err(Fault::new(&span, "`type` is text"));
                };
                self.check_type(&name, &span)?;
                names.push(name);
            }
            return Ok(Test::Type(names));
        };
        self.member(field, constants)
    }

    fn within_numbers(&self, value: &Quantity, of: &Expr, items: &[Item]) -> Result<Test, Fault> {
        if value.is_constant() {
            return Err(Fault::new(&of.span, "`in` needs a field before it"));
        }
        let compared = |order, item: &Expr| match self.operand(item)? {
            Operand::Number(constant) => {
                self.check_units(of, value, item, &constant)?;
                value.clone().compared(order, constant, &item.span)
            }
            constant => Err(self.mismatch(of, &Operand::Number(value.clone()), item, &constant)),
        };
        let any = items.iter().map(|item| match item {
            Item::Value(item) => Ok(vec![compared(Order::Equal, item)?]),
            Item::Range(first, last) => {
                let span = first.span.start..last.span.end;
                self.check_range(first, last, &span)?;
                Ok(vec![
                    compared(Order::GreaterOrEqual, first)?,
                    compared(Order::LessOrEqual, last)?,
                ])
            }
        });
        Ok(Test::Compare(any.collect::<Result<_, _>>()?))
    }

    fn check_range(&self, first: &Expr, last: &Expr, span: &Span) -> Result<(), Fault> {
        let (Node::Number(one), Node::Number(other)) = (&first.node, &last.node) else {
            return Ok(());
        };
        if one.unit.is_none() != other.unit.is_none() {
            return Err(Fault::new(span, "give both ends of the range a unit, or neither"));
        }
        let ends = Quantity::literal(*one).compared(
            Order::LessOrEqual,
            Quantity::literal(*other),
            span,
        )?;
        if ends.holds_always() {
            return Ok(());
        }
        let (first, last) = (self.source(&first.span), self.source(&last.span));
        Err(Fault::new(
            span,
            format!("the range ends before it starts; did you mean {last}-{first}?"),
        ))
    }

    fn has(&self, value: &Expr, flags: &Expr) -> Result<Test, Fault> {
        let message = "`has` needs a field of several flags, such as `flags`, before it";
        let field = match self.operand(value)? {
            Operand::Field(field) if field.has_flags() => field,
            _ => return Err(Fault::new(&value.span, message)),
        };
        let Node::Text(text) = &flags.node else {
            return Err(Fault::new(&flags.span, "expected names of flags in quotes: \"SYN|ACK\""));
        };
        if text.is_empty() {
            return Err(Fault::new(&flags.span, "name a flag"));
        }
        field.check_text(text, &flags.span, self.types)?;
        Ok(Test::Has(field, text.clone()))
    }

    fn check_type(&self, name: &[u8], span: &Span) -> Result<(), Fault> {
        if self.event_types.iter().any(|event_type| event_type.name.as_bytes() == name) {
            return Ok(());
        }
        let name = String::from_utf8_lossy(name);
        let known: Vec<&str> = self.event_types.iter().map(|event_type| event_type.name).collect();
        let list = format!("traced here: {}", known.join(", "));
        let hint = suggest::did_you_mean(&name, known, &list);
        Err(Fault::new(span, format!("no event of type \"{name}\" is traced; {hint}")))
    }
}

fn opaque(field: &Field) -> String {
    match field.name.as_str() {
        "time" => "`time` cannot be compared; use `mono_ns`".to_owned(),
        name => format!("`{name}` cannot be compared; only `is null` and `is not null` apply"),
    }
}
