//! Calculations, whose units are checked here and converted to a common one.

use super::field::Field;
use super::mistake::{Fault, Span};
use super::quantity::{Literal, Unit, power_of_ten};
use super::syntax::{Operator, Order};

/// A calculation with whole numbers; quotients have fractions. What overflows 128 bits is null.
#[derive(Clone, Debug)]
pub enum Numeric {
    Constant(i128),
    Field(Field),
    Negative(Box<Numeric>),
    /// Times a constant, for another unit.
    Scaled(Box<Numeric>, i128),
    Binary(Box<Numeric>, Operator, Box<Numeric>),
}

/// A comparison of two numbers in the same unit.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub left: Numeric,
    pub order: Order,
    pub right: Numeric,
}

/// A number with its unit.
#[derive(Clone, Debug)]
pub struct Quantity {
    numeric: Numeric,
    /// `None`: that of what it is compared with or added to.
    unit: Option<Unit>,
    /// It is the number times ten to this power.
    exponent: i16,
    constant: bool,
}

impl Quantity {
    pub(super) fn field(field: Field) -> Self {
        let unit = Unit::of(field.column().unit);
        Quantity {
            numeric: Numeric::Field(field),
            unit: Some(unit),
            exponent: unit.exponent.into(),
            constant: false,
        }
    }

    pub(super) fn literal(literal: Literal) -> Self {
        Quantity {
            numeric: Numeric::Constant(literal.digits),
            unit: literal.unit,
            exponent: literal.exponent.into(),
            constant: true,
        }
    }

    /// Its unit, if it has one.
    #[must_use]
    pub fn unit(&self) -> Option<Unit> {
        self.unit
    }

    /// Whether it has no field.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.constant
    }

    pub(super) fn negative(self) -> Self {
        let numeric = match self.numeric {
            Numeric::Constant(number) => Numeric::Constant(-number),
            numeric => Numeric::Negative(Box::new(numeric)),
        };
        Quantity { numeric, ..self }
    }

    /// Times ten to that power.
    fn scaled(self, power: i16, span: &Span) -> Result<Numeric, Fault> {
        let too_large = || Fault::new(span, "the numbers are too large to be compared");
        match (power, self.numeric) {
            (0, numeric) => Ok(numeric),
            (_, Numeric::Constant(number)) => {
                let factor = power_of_ten(power).ok_or_else(too_large)?;
                number.checked_mul(factor).map(Numeric::Constant).ok_or_else(too_large)
            }
            (_, numeric) => {
                let factor = power_of_ten(power).ok_or_else(too_large)?;
                Ok(Numeric::Scaled(Box::new(numeric), factor))
            }
        }
    }

    /// Both in the same unit, which is the second result, with the power of ten that they have in common.
    fn aligned(
        mut self,
        mut other: Self,
        span: &Span,
    ) -> Result<(Numeric, Numeric, Option<Unit>, i16), Fault> {
        match (self.unit, other.unit) {
            (Some(unit), None) => other.exponent += i16::from(unit.exponent),
            (None, Some(unit)) => self.exponent += i16::from(unit.exponent),
            (Some(one), Some(two)) if !one.is_like(two) => {
                let message = format!("{} and {} do not fit", one.describe(), two.describe());
                return Err(Fault::new(span, message));
            }
            _ => {}
        }
        let unit = self.unit.or(other.unit);
        let exponent = self.exponent.min(other.exponent);
        let (one, two) = (self.exponent - exponent, other.exponent - exponent);
        Ok((self.scaled(one, span)?, other.scaled(two, span)?, unit, exponent))
    }

    pub(super) fn combined(
        self,
        operator: Operator,
        other: Self,
        span: &Span,
    ) -> Result<Self, Fault> {
        let constant = self.constant && other.constant;
        let (one, two, unit, exponent) = match operator {
            Operator::Add | Operator::Subtract => self.aligned(other, span)?,
            Operator::Multiply | Operator::Divide => {
                let sign = if operator == Operator::Multiply { 1 } else { -1 };
                let unit = match (self.unit, other.unit) {
                    (None, None) => None,
                    (one, two) => {
                        let unit = one.unwrap_or_default().times(two.unwrap_or_default(), sign);
                        let message = "the result has a unit that no field has";
                        Some(unit.ok_or_else(|| Fault::new(span, message))?)
                    }
                };
                let exponent = self.exponent + i16::from(sign) * other.exponent;
                (self.numeric, other.numeric, unit, exponent)
            }
        };
        let numeric = folded(&one, operator, &two)
            .unwrap_or_else(|| Numeric::Binary(Box::new(one), operator, Box::new(two)));
        Ok(Quantity { numeric, unit, exponent, constant })
    }

    pub(super) fn compared(
        self,
        order: Order,
        other: Self,
        span: &Span,
    ) -> Result<Comparison, Fault> {
        let (left, right, ..) = self.aligned(other, span)?;
        let comparison = Comparison { left, order, right };
        comparison.check_range(span)?;
        Ok(comparison)
    }
}

/// The result of a calculation with constants, if it is a whole number.
fn folded(one: &Numeric, operator: Operator, two: &Numeric) -> Option<Numeric> {
    let (Numeric::Constant(one), Numeric::Constant(two)) = (one, two) else { return None };
    let number = match operator {
        Operator::Add => one.checked_add(*two),
        Operator::Subtract => one.checked_sub(*two),
        Operator::Multiply => one.checked_mul(*two),
        Operator::Divide => one.checked_div(*two).filter(|_| one % two == 0),
    };
    number.map(Numeric::Constant)
}

impl Comparison {
    /// `Scaled(Field)` or `Field`, and a constant: what the field times the factor is compared with.
    #[must_use]
    pub fn simple(&self) -> Option<(&Field, i128, Order, i128)> {
        let of = |numeric: &Numeric| match numeric {
            Numeric::Constant(number) => Some(*number),
            _ => None,
        };
        let (field, order, number) = match (of(&self.left), of(&self.right)) {
            (None, Some(number)) => (&self.left, self.order, number),
            (Some(number), None) => (&self.right, self.order.mirrored(), number),
            _ => return None,
        };
        match field {
            Numeric::Field(field) => Some((field, 1, order, number)),
            Numeric::Scaled(inner, factor) => match &**inner {
                Numeric::Field(field) => Some((field, *factor, order, number)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it holds for all events: of constants.
    pub(super) fn holds_always(&self) -> bool {
        match (&self.left, &self.right) {
            (Numeric::Constant(one), Numeric::Constant(two)) => self.order.holds(one.cmp(two)),
            _ => true,
        }
    }

    /// A constant that the field never reaches is a mistake.
    fn check_range(&self, span: &Span) -> Result<(), Fault> {
        let Some((field, factor, _, number)) = self.simple() else { return Ok(()) };
        let Some((least, most)) = field.range() else { return Ok(()) };
        let inside = number >= least * factor && number <= most.saturating_mul(factor);
        if inside {
            return Ok(());
        }
        let unit = field.column().unit.name();
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let message = format!("out of range: `{}` is from {least} to {most}{unit}", field.name);
        Err(Fault::new(span, message))
    }
}

impl Numeric {
    /// Calls this with each field.
    pub fn each_field<'n>(&'n self, visit: &mut dyn FnMut(&'n Field)) {
        match self {
            Numeric::Constant(_) => {}
            Numeric::Field(field) => visit(field),
            Numeric::Negative(inner) | Numeric::Scaled(inner, _) => inner.each_field(visit),
            Numeric::Binary(one, _, two) => {
                one.each_field(visit);
                two.each_field(visit);
            }
        }
    }
}
