//! Slots against other ways to read the same bytes.

use proptest::prelude::*;

use super::*;

/// The same number, bit by bit.
fn bits(bytes: &[u8], offset: usize, shift: u32, size: u32) -> u64 {
    (0..size).fold(0, |number, bit| {
        let at = shift + bit;
        let is_set = bytes[offset + at as usize / 8] >> (at % 8) & 1;
        number | u64::from(is_set) << bit
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    (0..40u16, 1..10u16, 0..4u64, 0..4u64, any::<bool>()).prop_map(
        |(offset, width, mask, value, equal)| Condition { offset, width, mask, value, equal },
    )
}

fn any_slot() -> impl Strategy<Value = Slot> {
    let form = prop_oneof![
        Just(Form::Number),
        Just(Form::Flag),
        Just(Form::Text),
        Just(Form::Address),
        Just(Form::Code)
    ];
    let scale = prop_oneof![
        Just(Scale::One),
        any::<u32>().prop_map(Scale::Divide),
        any::<u8>().prop_map(Scale::Fraction)
    ];
    let unset = (proptest::option::of(0..3u64), proptest::option::of(condition()));
    let place = (any::<u16>(), any::<u16>(), 0..40u16, 0..20u16, any::<bool>());
    (place, form, scale, unset, any::<bool>(), any::<u8>(), any::<u64>()).prop_map(
        |(place, form, scale, (unset, unset_if), signed, shift, mask)| {
            let (offset, width, near_offset, near_width, near) = place;
            let (offset, width) = if near { (near_offset, near_width) } else { (offset, width) };
            let slot = Slot::number(offset.into(), width.into());
            Slot { form, scale, unset, unset_if, signed, shift, mask, ..slot }
        },
    )
}

proptest! {
    #[test]
    fn any_slot_of_any_bytes_has_a_value_or_none(
        slot in any_slot(),
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let read = slot.read(&bytes);
        if slot.end() > bytes.len() {
            prop_assert_eq!(read, None);
        }
        prop_assert_eq!(slot.stored(&[]), None);
    }

    #[test]
    fn a_member_is_read_as_its_type(bytes in any::<[u8; 32]>(), offset in 0..24usize) {
        let at = |len: usize| &bytes[offset..offset + len];
        let read = |slot: Slot| slot.read(&bytes);
        let number = |width| Slot::number(offset, width);
        prop_assert_eq!(read(number(1)), Some(Data::Unsigned(bytes[offset].into())));
        let word = u16::from_ne_bytes(at(2).try_into().unwrap());
        prop_assert_eq!(read(number(2)), Some(Data::Unsigned(word.into())));
        let word = u32::from_ne_bytes(at(4).try_into().unwrap());
        prop_assert_eq!(read(number(4)), Some(Data::Unsigned(word.into())));
        let flag = Slot { form: Form::Flag, mask: 8, ..number(4) };
        prop_assert_eq!(read(flag), Some(Data::Flag(word & 8 != 0)));
        let fraction = Slot { scale: Scale::Fraction(10), ..number(4) };
        prop_assert_eq!(read(fraction), Some(Data::Float(f64::from(word) / 1024.0)));
        let word = i32::from_ne_bytes(at(4).try_into().unwrap());
        let signed = Slot { signed: true, ..number(4) };
        prop_assert_eq!(read(signed), Some(Data::Signed(word.into())));
        let word = u64::from_ne_bytes(at(8).try_into().unwrap());
        prop_assert_eq!(read(number(8)), Some(Data::Unsigned(word)));
        let divided = Slot { scale: Scale::Divide(1000), ..number(8) };
        prop_assert_eq!(read(divided), Some(Data::Unsigned(word / 1000)));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_bit_field_is_read_bit_by_bit(
        bytes in any::<[u8; 32]>(),
        (offset, shift, size) in (0..24usize, 0..8u32, 1..58u32),
    ) {
        let slot = Slot {
            shift: shift as u8,
            mask: u64::MAX >> (64 - size),
            ..Slot::number(offset, (shift + size).div_ceil(8) as usize)
        };
        prop_assert_eq!(slot.stored(&bytes), Some(bits(&bytes, offset, shift, size)));
    }

    #[test]
    fn unset_and_conditions_make_null(byte in 0..4u8, kind in 0..4u8, unset in 0..4u64) {
        let bytes = [byte, kind];
        let is = |value| Condition::is(Slot::number(1, 1), value);
        let slot = Slot { unset: Some(unset), ..Slot::number(0, 1) };
        let value = Some(Data::Unsigned(byte.into()));
        let is_unset = unset == u64::from(byte);
        prop_assert_eq!(slot.read(&bytes), value.filter(|_| !is_unset));
        let only_if = Slot { unset_if: Some(is(2)), ..slot };
        prop_assert_eq!(only_if.read(&bytes), value.filter(|_| !(is_unset && kind == 2)));
        const ONE: &[Condition] = &[Condition::is(Slot::number(1, 1), 1)];
        let when = Slot { when: ONE, ..Slot::number(0, 1) };
        prop_assert_eq!(when.read(&bytes), value.filter(|_| kind == 1));
        let is_not = Condition::is_not(Slot::number(1, 1), 1);
        prop_assert_eq!(is_not.holds(&bytes), kind != 1);
    }

    #[test]
    fn a_text_ends_at_its_nul(text in "[a-z]{0,8}", rest in any::<[u8; 4]>()) {
        let mut bytes = text.clone().into_bytes();
        bytes.push(0);
        bytes.extend(rest);
        let slot = Slot { form: Form::Text, ..Slot::number(0, bytes.len()) };
        prop_assert_eq!(slot.read(&bytes), Some(Data::Text(text.as_bytes())));
        let unset = Slot { unset: Some(0), ..slot };
        prop_assert_eq!(unset.read(&bytes).is_none(), text.is_empty());
        for other in ["", "a", "cubic", "bbr"] {
            prop_assert_eq!(Condition::text(0, other).holds(&bytes), bytes.len() >= 8 && text == other);
        }
    }
}

#[test]
fn an_unspecified_address_may_be_null() {
    let unset = Slot { form: Form::Address, unset: Some(0), ..Slot::number(0, 16) };
    assert_eq!(unset.read(&[0; 16]), None);
    let mut mapped = [0; 16];
    mapped[10..12].fill(0xff);
    assert_eq!(unset.read(&mapped), None);
    mapped[15] = 1;
    assert_eq!(unset.read(&mapped), Some(Data::Address(mapped)));
    let slot = Slot { unset: None, ..unset };
    assert_eq!(slot.read(&[0; 16]), Some(Data::Address([0; 16])));
    assert_eq!(slot.read(&[0; 15]), None);
}

#[test]
fn no_condition_holds_beyond_the_record() {
    let beyond = Slot::number(4, 4);
    assert!(!Condition::is(beyond, 0).holds(&[0; 7]));
    assert!(!Condition::is_not(beyond, 1).holds(&[0; 7]));
    assert!(!Condition::NEVER.holds(&[0; 700]));
}
