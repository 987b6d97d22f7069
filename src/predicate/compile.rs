//! Compiles a condition for one event type. Slots are resolved here, and nowhere else.

use super::atom::{Atom, Load};
use super::check::{Condition, Leaf, Test};
use super::field::{Field, flags};
use super::formula::{Formula, General, Number, Reader, ValueTest};
use super::numeric::{Comparison, Numeric};
use super::ranges::Ranges;
use super::slots::UNSPECIFIED;
use super::syntax::Net;
use crate::environment::Environment;
use crate::events::EventType;
use crate::slot::{Form, Names, Scale};
use crate::table::{Column, Origin};

const TWO_FIELDS: &str = "it compares fields with each other";
const CALCULATED: &str = "it has a calculation";
const COMPUTED: &str = "the field is computed from others in user space";
const PRIVATE: &str = "the field's place differs between kernels";
const OTHER: &str = "the kernel's programs do not read such a field";

/// Compiles for one event type of one kernel.
pub struct Compiler<'c> {
    pub event_type: &'static EventType,
    pub environment: &'c Environment,
}

impl Compiler<'_> {
    #[must_use]
    pub fn formula(&self, condition: &Condition) -> Formula {
        match condition {
            Condition::All(parts) => Formula::and(parts.iter().map(|part| self.formula(part))),
            Condition::Any(parts) => Formula::or(parts.iter().map(|part| self.formula(part))),
            Condition::Constant(value) => Formula::Constant(*value),
            // Without a field of its own the event does not match.
            Condition::Leaf(leaf) => self.leaf(leaf).unwrap_or(Formula::Constant(false)),
        }
    }

    /// `None` if the event type has no such field.
    fn leaf(&self, leaf: &Leaf) -> Option<Formula> {
        let negated = leaf.negated;
        let general = |test, why| Some(Formula::General(Box::new(General { test, negated, why })));
        match &leaf.test {
            Test::Type(names) => {
                Some(Formula::Constant(is_one_of(names, self.event_type.name) != negated))
            }
            Test::Null(field) => {
                let reader = self.reader(field)?;
                let test = ValueTest::Null(reader.clone());
                match &reader {
                    Reader::Null => Some(Formula::Constant(!negated)),
                    Reader::Slot(slot) => match self.not_null(slot) {
                        Some(formula) if negated => Some(formula),
                        Some(formula) => Some(formula.inverse()),
                        None => general(test, why(&reader)),
                    },
                    Reader::Column(column) if is_constant(column) => {
                        Some(Formula::Constant(negated))
                    }
                    Reader::Column(_) => general(test, why(&reader)),
                }
            }
            Test::Flag(field) => {
                let reader = self.reader(field)?;
                if let Reader::Slot(slot) = &reader {
                    let value = i128::from(!negated);
                    if let Some(formula) = Compiler::number(slot, &Ranges(vec![(value, value)])) {
                        return Some(formula);
                    }
                }
                self.general(ValueTest::Flag(reader.clone()), negated, &[&reader])
            }
            Test::Text(field, texts) => self.text(field, texts, negated),
            Test::Net(field, nets) => self.net(field, nets, negated),
            Test::Has(field, text) => self.has(field, text, negated),
            Test::Same(one, other) => {
                let (one, other) = (self.reader(one)?, self.reader(other)?);
                if matches!(one, Reader::Null) || matches!(other, Reader::Null) {
                    return None;
                }
                general(ValueTest::Same(one, other), TWO_FIELDS)
            }
            Test::Compare(any) => self.compare(any, negated),
        }
    }

    fn general(&self, test: ValueTest, negated: bool, readers: &[&Reader]) -> Option<Formula> {
        if readers.iter().any(|reader| matches!(reader, Reader::Null)) {
            return None;
        }
        let why = readers.first().map_or(OTHER, |reader| why(reader));
        Some(Formula::General(Box::new(General { test, negated, why })))
    }

    /// How a field's value is read; `None` if the event type does not have it.
    fn reader(&self, field: &Field) -> Option<Reader> {
        let column = field.of(self.event_type)?;
        if column.need.is_some_and(|member| !self.environment.has(member)) {
            return Some(Reader::Null);
        }
        Some(match &column.origin {
            Origin::Slot(slot) => Reader::Slot(*slot),
            _ => Reader::Column(column),
        })
    }

    fn text(&self, field: &Field, texts: &[Vec<u8>], negated: bool) -> Option<Formula> {
        let reader = self.reader(field)?;
        if let Reader::Column(Column { origin: Origin::Constant(text), .. }) = &reader {
            return Some(Formula::Constant(is_one_of(texts, text) != negated));
        }
        if let Reader::Slot(slot) = &reader {
            if slot.names.is_some() {
                let mut numbers = self.named(slot, texts)?;
                if negated {
                    numbers = self.with_value(slot).without(&numbers);
                }
                if let Some(formula) = Compiler::number(slot, &numbers.and(&self.with_value(slot)))
                {
                    return Some(formula);
                }
            } else if let (Form::Text, 16, Some(is_set)) =
                (slot.form, slot.width, self.not_null(slot))
            {
                let equal = texts.iter().map(|text| Formula::Atom(Atom::text(slot.offset, text)));
                let equal = Formula::or(equal);
                return Some(Formula::and([is_set, if negated { equal.inverse() } else { equal }]));
            }
        }
        self.general(ValueTest::Text(reader.clone(), texts.to_vec()), negated, &[&reader])
    }

    fn net(&self, field: &Field, nets: &[Net], negated: bool) -> Option<Formula> {
        let reader = self.reader(field)?;
        if let Reader::Slot(slot) = &reader
            && slot.form == Form::Address
            && let Some(mut parts) = Compiler::conditions(slot)
            && let Some(is_set) = Compiler::address_is_set(slot)
        {
            let may_be_unset =
                UNSPECIFIED.iter().any(|none| nets.iter().any(|net| net.contains(none.address)));
            if negated || may_be_unset {
                parts.push(is_set);
            }
            let inside =
                Formula::or(nets.iter().map(|net| Formula::Atom(Atom::net(slot.offset, *net))));
            parts.push(if negated { inside.inverse() } else { inside });
            return Some(Formula::and(parts));
        }
        self.general(ValueTest::Net(reader.clone(), nets.to_vec()), negated, &[&reader])
    }

    /// All flags of the text are set.
    fn has(&self, field: &Field, text: &[u8], negated: bool) -> Option<Formula> {
        let Reader::Slot(slot) = self.reader(field)? else { return None };
        let Some(Names::Flags(all)) = slot.names else { return None };
        let mask = flags(all.bits, text)?;
        let range = (i128::from(mask), i128::from(mask));
        let atom = Formula::Atom(Atom::number(Load::of(&slot)?, slot.offset, mask, range));
        let parts = [self.not_null(&slot)?, if negated { atom.inverse() } else { atom }];
        Some(Formula::and(parts))
    }

    fn compare(&self, any: &[Vec<Comparison>], negated: bool) -> Option<Formula> {
        if let Some(formula) = self.compare_with_constants(any, negated) {
            return Some(formula);
        }
        let mut why = COMPUTED;
        let mut compiled = Vec::new();
        for all in any {
            let mut comparisons = Vec::new();
            for comparison in all {
                why = match comparison.simple() {
                    Some((field, ..)) => self::why(&self.reader(field)?),
                    None if matches!(comparison.right, Numeric::Field(_)) => TWO_FIELDS,
                    None => CALCULATED,
                };
                let (left, right) =
                    (self.calculation(&comparison.left)?, self.calculation(&comparison.right)?);
                comparisons.push((left, comparison.order, right));
            }
            compiled.push(comparisons);
        }
        let test = ValueTest::Compare(compiled);
        Some(Formula::General(Box::new(General { test, negated, why })))
    }

    /// One field that is a slot, with constants.
    fn compare_with_constants(&self, any: &[Vec<Comparison>], negated: bool) -> Option<Formula> {
        let (field, ..) = any.first()?.first()?.simple()?;
        let Reader::Slot(slot) = self.reader(field)? else { return None };
        if slot.form != Form::Number || matches!(slot.scale, Scale::Fraction(_)) {
            return None;
        }
        let range = Compiler::values(&slot);
        let mut wanted = Ranges::default();
        for all in any {
            let mut one = Ranges(vec![range]);
            for comparison in all {
                let (_, factor, order, number) = comparison.simple()?;
                one = one.and(&Ranges::of(factor, order, number, range));
            }
            wanted = wanted.or(&one);
        }
        if negated {
            wanted = Ranges(vec![range]).without(&wanted);
        }
        Compiler::number(&slot, &wanted)
    }

    fn calculation(&self, numeric: &Numeric) -> Option<Number> {
        Some(match numeric {
            Numeric::Constant(number) => Number::Constant(*number),
            Numeric::Field(field) => match self.reader(field)? {
                Reader::Null => return None,
                reader => Number::Read(reader),
            },
            Numeric::Negative(inner) => Number::Negative(Box::new(self.calculation(inner)?)),
            Numeric::Scaled(inner, factor) => {
                Number::Scaled(Box::new(self.calculation(inner)?), *factor)
            }
            Numeric::Binary(one, operator, other) => {
                let (one, other) = (self.calculation(one)?, self.calculation(other)?);
                Number::Binary(Box::new(one), *operator, Box::new(other))
            }
        })
    }
}

fn is_one_of(texts: &[Vec<u8>], name: &str) -> bool {
    texts.iter().any(|text| text == name.as_bytes())
}

fn is_constant(column: &Column) -> bool {
    matches!(column.origin, Origin::Constant(_) | Origin::Time(_))
}

/// Why the kernel cannot test a field that is read so.
fn why(reader: &Reader) -> &'static str {
    match reader {
        Reader::Column(column) => match column.origin {
            Origin::Private(_) => PRIVATE,
            Origin::Call(_) => COMPUTED,
            _ => OTHER,
        },
        Reader::Slot(_) | Reader::Null => OTHER,
    }
}
