//! The operands of comparisons and calculations.

use super::check::Scope;
use super::field::{Class, EVENT_TYPE, Field};
use super::mistake::{Fault, Span};
use super::numeric::Quantity;
use super::syntax::{Expr, Net, Node, Operator};

/// An operand.
pub(super) enum Operand {
    Number(Quantity),
    /// Of another class.
    Field(Field),
    Text(Vec<u8>),
    Net(Net),
    Bool(bool),
    EventType,
}

impl Operand {
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Operand::Number(_) => Class::Number.describe(),
            Operand::Field(field) => field.class().describe(),
            Operand::Text(_) | Operand::EventType => Class::Text.describe(),
            Operand::Net(_) => Class::Address.describe(),
            Operand::Bool(_) => "true or false",
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        match self {
            Operand::Number(quantity) => quantity.is_constant(),
            Operand::Field(_) | Operand::EventType => false,
            Operand::Text(_) | Operand::Net(_) | Operand::Bool(_) => true,
        }
    }
}

impl Scope<'_> {
    pub(super) fn source(&self, span: &Span) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    pub(super) fn no_condition(&self, expr: &Expr, operand: &Operand) -> Fault {
        let source = self.source(&expr.span);
        let what = operand.describe();
        let example = match operand {
            Operand::Number(_) => " > 0",
            Operand::Text(_) | Operand::EventType => " == \"...\"",
            Operand::Field(field) if field.class() == Class::Text => " == \"...\"",
            Operand::Net(_) | Operand::Bool(_) => "",
            Operand::Field(field) if field.class() == Class::Address => " in 10.0.0.0/8",
            Operand::Field(_) => " is not null",
        };
        let hint = if example.is_empty() || operand.is_constant() {
            "compare a field with it".to_owned()
        } else {
            format!("compare it, as in `{source}{example}`")
        };
        Fault::new(&expr.span, format!("`{source}` is {what}, not a condition; {hint}"))
    }

    pub(super) fn operand(&self, expr: &Expr) -> Result<Operand, Fault> {
        Ok(match &expr.node {
            Node::Name(name) if name == EVENT_TYPE => Operand::EventType,
            Node::Name(name) => {
                let field = Field::find(name, &expr.span, self.event_types)?;
                match field.class() {
                    Class::Number => Operand::Number(Quantity::field(field)),
                    _ => Operand::Field(field),
                }
            }
            Node::Number(literal) => Operand::Number(Quantity::literal(*literal)),
            Node::Text(text) => Operand::Text(text.clone()),
            Node::Net(net) => Operand::Net(*net),
            Node::Bool(value) => Operand::Bool(*value),
            Node::Negative(inner) => Operand::Number(self.number(inner)?.negative()),
            Node::Arithmetic(left, operator, right) => {
                let (one, other) = (self.number(left)?, self.number(right)?);
                if matches!(operator, Operator::Add | Operator::Subtract) {
                    self.check_units(left, &one, right, &other)?;
                }
                Operand::Number(one.combined(*operator, other, &expr.span)?)
            }
            Node::Compare(..)
            | Node::In(..)
            | Node::IsNull(_)
            | Node::Has(..)
            | Node::Not(_)
            | Node::All(_)
            | Node::Any(_) => {
                let message = "a condition cannot be compared or calculated with; join conditions with `&&` or `||`";
                return Err(Fault::new(&expr.span, message));
            }
        })
    }

    pub(super) fn number(&self, expr: &Expr) -> Result<Quantity, Fault> {
        match self.operand(expr)? {
            Operand::Number(quantity) => Ok(quantity),
            operand => {
                let message = format!(
                    "`{}` is {}; only numbers can be calculated with",
                    self.source(&expr.span),
                    operand.describe()
                );
                Err(Fault::new(&expr.span, message))
            }
        }
    }

    pub(super) fn check_units(
        &self,
        left: &Expr,
        one: &Quantity,
        right: &Expr,
        other: &Quantity,
    ) -> Result<(), Fault> {
        match (one.unit(), other.unit()) {
            (Some(one), Some(other)) if !one.is_like(other) => {
                let message = format!(
                    "`{}` is {}, but `{}` is {}",
                    self.source(&left.span),
                    one.describe(),
                    self.source(&right.span),
                    other.describe()
                );
                Err(Fault::new(&right.span, message))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn mismatch(
        &self,
        left: &Expr,
        one: &Operand,
        right: &Expr,
        other: &Operand,
    ) -> Fault {
        let message = format!(
            "`{}` is {} and cannot be compared with `{}`, which is {}",
            self.source(&left.span),
            one.describe(),
            self.source(&right.span),
            other.describe()
        );
        Fault::new(&right.span, message)
    }
}
