//! A number as a plan reads it: from one word of the record, with few questions.

use crate::slot::{Condition, Form, Scale, Slot};

/// A slot with a number, prepared for reading.
pub struct Number {
    offset: usize,
    shift: u8,
    /// Of a signed number: bits above it in the word.
    unused: u8,
    pub signed: bool,
    /// There is an `unset`.
    nullable: bool,
    /// There are further questions: about the value, and if it is `unset`.
    rare: bool,
    rare_unset: bool,
    mask: u64,
    unset: u64,
    when: &'static [Condition],
    slot: Box<Slot>,
}

impl Number {
    /// `None` if the slot has no number, or one with a fraction.
    pub fn new(slot: &Slot) -> Option<Self> {
        let is_number = matches!(slot.form, Form::Number | Form::Flag);
        if !is_number || slot.width > 8 || matches!(slot.scale, Scale::Fraction(_)) {
            return None;
        }
        let unused = 64u8.saturating_sub(8 * slot.width as u8);
        let (shift, mask) = if slot.signed { (0, u64::MAX) } else { (slot.shift, slot.mask) };
        let big_endian = cfg!(target_endian = "big");
        Some(Number {
            offset: slot.offset.into(),
            shift: shift.saturating_add(if big_endian { unused } else { 0 }) & 63,
            unused,
            signed: slot.signed,
            nullable: slot.unset.is_some(),
            rare: slot.scale != Scale::One
                || (slot.form == Form::Flag && slot.names.is_some())
                || (big_endian && !slot.width.is_power_of_two()),
            rare_unset: slot.unset_if.is_some(),
            mask: mask & u64::MAX.checked_shr(u32::from(unused) + u32::from(shift))?,
            unset: slot.unset.unwrap_or_default(),
            when: slot.when,
            slot: Box::new(*slot),
        })
    }

    /// As [`Slot::integer_value`] has it, but that a flag without names is any number.
    #[inline(always)]
    pub fn value(&self, bytes: &[u8]) -> Option<u64> {
        let word = bytes.get(self.offset..).and_then(|bytes| bytes.first_chunk());
        let Some(&word) = word.filter(|_| !self.rare) else {
            return self.slot.integer_value(bytes);
        };
        if !self.when.is_empty() && !self.when.iter().all(|condition| condition.holds(bytes)) {
            return None;
        }
        let mut number = (u64::from_ne_bytes(word) >> self.shift) & self.mask;
        if self.signed {
            number = (number.cast_signed() << self.unused >> self.unused).cast_unsigned();
        }
        if self.nullable && number == self.unset {
            return if self.rare_unset { self.slot.integer_value(bytes) } else { None };
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_is_read_as_its_slot_is(
            bytes in proptest::collection::vec(0..3u8, 0..40),
            (offset, width, signed) in (0..40usize, 1..9usize, any::<bool>()),
            (shift, mask) in (0..70u8, any::<u64>()),
            divide in any::<bool>(),
            (unset, unset_if) in (proptest::option::of(0..3u64), any::<bool>()),
        ) {
            const ONE: &[Condition] = &[Condition::is(Slot::number(0, 1), 1)];
            let slot = Slot {
                signed,
                shift,
                mask,
                unset,
                unset_if: unset_if.then_some(ONE[0]),
                when: if unset_if { &[] } else { ONE },
                scale: if divide { Scale::Divide(2) } else { Scale::One },
                ..Slot::number(offset, width)
            };
            if let Some(number) = Number::new(&slot) {
                prop_assert_eq!(number.value(&bytes), slot.integer_value(&bytes));
            }
        }
    }
}
