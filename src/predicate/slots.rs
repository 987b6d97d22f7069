//! What a slot says of its value, as tests of the record's bytes: its conditions, what means that there is none, its scale, its
//! names.

use super::atom::{Atom, Load};
use super::compile::Compiler;
use super::field::flags;
use super::formula::Formula;
use super::ranges::{Range, Ranges};
use super::syntax::Net;
use crate::events::Types;
use crate::slot::{Form, KernelEnum, Names, Scale, Slot};

/// `::` and `0.0.0.0`.
pub const UNSPECIFIED: [Net; 2] = [
    Net { address: [0; 16], prefix: 128 },
    Net { address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], prefix: 128 },
];

impl Compiler<'_> {
    fn types(&self) -> &Types {
        &self.environment.types
    }

    /// The stored numbers that a slot can have.
    pub(super) fn stored(slot: &Slot) -> Range {
        let bits = 8 * u32::from(slot.width.min(8));
        if slot.signed {
            return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1);
        }
        (0, (1 << bits) - 1)
    }

    /// The numbers that its values can be.
    pub(super) fn values(slot: &Slot) -> Range {
        match (slot.form, slot.scale) {
            (Form::Flag, _) => (0, 1),
            (_, Scale::Divide(by)) => (0, Compiler::stored(slot).1 / i128::from(by.max(1))),
            _ => Compiler::stored(slot),
        }
    }

    /// Those that have a name, if it has names.
    pub(super) fn with_value(&self, slot: &Slot) -> Ranges {
        let all = Ranges(vec![Compiler::values(slot)]);
        let Some(names) = slot.names else { return all };
        let number = |number: u64| (i128::from(number), i128::from(number));
        let named = match names {
            Names::List(names) => Ranges::new([(0, names.len() as i128 - 1)]),
            Names::Pairs(pairs) => Ranges::new(pairs.iter().map(|(value, _)| number(*value))),
            Names::Flags(flags) => Ranges::new([(0, (1 << flags.bits.len()) - 1)]),
            Names::Kernel(of) => {
                Ranges::new(self.kernel_names(of).keys().map(|value| number(*value)))
            }
        };
        named.and(&all)
    }

    pub(super) fn kernel_names(&self, of: KernelEnum) -> &std::collections::HashMap<u64, String> {
        match of {
            KernelEnum::ResetReason => &self.types().reset_reasons,
            KernelEnum::DropReason => &self.types().drop_reasons,
        }
    }

    /// The numbers with one of these names.
    pub(super) fn named(&self, slot: &Slot, texts: &[Vec<u8>]) -> Option<Ranges> {
        let number = |number: u64| (i128::from(number), i128::from(number));
        let is_one = |name: &str| texts.iter().any(|text| text == name.as_bytes());
        let found: Vec<Range> = match slot.names? {
            Names::List(names) => {
                let names = (0..).zip(names.iter()).filter(|(_, name)| is_one(name));
                names.map(|(value, _)| number(value)).collect()
            }
            Names::Pairs(pairs) => pairs
                .iter()
                .filter(|(_, name)| is_one(name))
                .map(|(value, _)| number(*value))
                .collect(),
            Names::Flags(all) => {
                texts.iter().filter_map(|text| Some(number(flags(all.bits, text)?))).collect()
            }
            Names::Kernel(of) => {
                let names = self.kernel_names(of).iter().filter(|(_, name)| is_one(name));
                names.map(|(value, _)| number(*value)).collect()
            }
        };
        Some(Ranges::new(found))
    }

    /// A slot's conditions; `None` if the kernel cannot test them.
    pub(super) fn conditions(slot: &Slot) -> Option<Vec<Formula>> {
        slot.when.iter().map(|condition| Some(Formula::Atom(Atom::condition(condition)?))).collect()
    }

    /// Whether a slot has a value; `None` if only its reader knows.
    pub(super) fn not_null(&self, slot: &Slot) -> Option<Formula> {
        match slot.form {
            Form::Number | Form::Flag => Compiler::number(slot, &self.with_value(slot)),
            Form::Text if slot.width == 16 => {
                let mut parts = Compiler::conditions(slot)?;
                if slot.unset.is_some() {
                    parts.push(Formula::Atom(Atom::text(slot.offset, b"")).inverse());
                }
                Some(Formula::and(parts))
            }
            Form::Address => {
                let mut parts = Compiler::conditions(slot)?;
                parts.push(Compiler::address_is_set(slot)?);
                Some(Formula::and(parts))
            }
            Form::Text | Form::Code => None,
        }
    }

    /// Whether an address is not the one that means none.
    pub(super) fn address_is_set(slot: &Slot) -> Option<Formula> {
        if slot.unset.is_none() {
            return Some(Formula::Constant(true));
        }
        let other = |net| Formula::Atom(Atom::net(slot.offset, net)).inverse();
        let specified = Formula::and(UNSPECIFIED.map(other));
        match slot.unset_if {
            None => Some(specified),
            Some(condition) => {
                let means_none = Formula::Atom(Atom::condition(&condition)?);
                Some(Formula::or([means_none.inverse(), specified]))
            }
        }
    }

    /// Whether the value, not the stored number, is in the ranges.
    pub(super) fn number(slot: &Slot, values: &Ranges) -> Option<Formula> {
        let all = Compiler::stored(slot);
        let stored = match (slot.form, slot.scale) {
            (Form::Flag, _) => {
                let truth = [(0, (0, 0)), (1, (1, all.1))];
                Ranges::new(
                    truth
                        .into_iter()
                        .filter(|(value, _)| values.contains(*value))
                        .map(|(_, range)| range),
                )
            }
            (Form::Number, Scale::One) => values.clone(),
            (Form::Number, Scale::Divide(by)) if !slot.signed && by > 0 => {
                let by = i128::from(by);
                Ranges::new(values.0.iter().map(|(from, to)| {
                    (from.saturating_mul(by), to.saturating_mul(by).saturating_add(by - 1))
                }))
            }
            _ => return None,
        };
        Compiler::stored_in(slot, &stored)
    }

    /// Whether the stored number is in the ranges, and there is a value. `None` if the kernel cannot test it.
    pub(super) fn stored_in(slot: &Slot, ranges: &Ranges) -> Option<Formula> {
        let load = Load::of(slot)?;
        let mut parts = Compiler::conditions(slot)?;
        let mask = if slot.signed { u64::MAX } else { slot.mask };
        let all = Ranges(vec![Compiler::stored(slot)]);
        let wanted = ranges.and(&all);
        let atoms = |ranges: &Ranges| {
            let atom = |range: &Range| Formula::Atom(Atom::number(load, slot.offset, mask, *range));
            let rest = all.without(ranges);
            if rest.0.len() < ranges.0.len() {
                return Formula::and(rest.0.iter().map(|range| atom(range).inverse()));
            }
            Formula::or(ranges.0.iter().map(atom))
        };
        let unset = slot.unset.map(|unset| {
            let unset = if slot.signed { unset.cast_signed().into() } else { i128::from(unset) };
            Ranges(vec![(unset, unset)])
        });
        let rest = unset.as_ref().map_or(wanted.clone(), |unset| wanted.without(unset));
        let formula = match (unset, slot.unset_if) {
            (Some(_), None) | (None, _) => atoms(&rest),
            (Some(unset), Some(condition)) => {
                let is_value = Formula::Atom(Atom::condition(&condition)?).inverse();
                let unset = Formula::and([is_value, atoms(&wanted.and(&unset))]);
                Formula::or([atoms(&rest), unset])
            }
        };
        parts.push(formula);
        Some(Formula::and(parts))
    }
}
