//! The columns of records as a file describes them for readers that do not have this program's tables.

use serde_json::{Map, Value, json};

use crate::environment::Environment;
use crate::events::EventType;
use crate::events::ca_columns::{Convert, FIELDS};
use crate::slot::{Condition, Form, KernelEnum, Names, Scale, Slot};
use crate::table::{Column, Origin};

/// The columns that such records have, in their order. Of a computed one only the name is given.
pub(super) fn described(
    event_type: &EventType,
    environment: &Environment,
    place: &dyn Fn(u16) -> Option<u16>,
    len: u16,
) -> Vec<Value> {
    let described = |column: &&'static Column| {
        if column.need.is_some_and(|member| !environment.has(member)) {
            return None;
        }
        let mut entry = Map::new();
        entry.insert("name".into(), column.name.into());
        entry.insert("type".into(), column.ty.name().into());
        if !column.unit.name().is_empty() {
            entry.insert("unit".into(), column.unit.name().into());
        }
        match &column.origin {
            Origin::Slot(slot) => add_slot(slot, place, len, &mut entry)?,
            Origin::Time(slot) => {
                add_slot(slot, place, len, &mut entry)?;
                entry.insert("clock".into(), "realtime".into());
            }
            Origin::Private(index) if FIELDS[*index].convert != Convert::Bandwidth => {
                let slot = environment.types.layouts.slot(*index)?;
                add_slot(slot, place, len, &mut entry)?;
            }
            Origin::Constant(text) => {
                entry.insert("constant".into(), (*text).into());
            }
            Origin::Call(_) | Origin::Stack(_) | Origin::Private(_) => {
                let mut places = column.origin.places();
                if places.any(|at| place(at.start as u16).is_none()) {
                    return None;
                }
                entry.insert("computed".into(), true.into());
            }
            Origin::Aggregate => return None,
        }
        Some(Value::Object(entry))
    };
    (event_type.columns)().iter().filter_map(described).collect()
}

/// What differs from a plain unsigned number. `None` if the records do not have it.
fn add_slot(
    slot: &Slot,
    place: &dyn Fn(u16) -> Option<u16>,
    len: u16,
    entry: &mut Map<String, Value>,
) -> Option<()> {
    let offset = place(slot.offset).filter(|at| at + slot.width <= len)?;
    entry.insert("offset".into(), offset.into());
    entry.insert("width".into(), slot.width.into());
    let form = match slot.form {
        Form::Number => None,
        Form::Flag => Some("flag"),
        Form::Text => Some("text"),
        Form::Address => Some("address"),
        Form::Code => Some("code"),
    };
    if let Some(form) = form {
        entry.insert("form".into(), form.into());
    }
    if slot.signed {
        entry.insert("signed".into(), true.into());
    }
    if slot.shift != 0 {
        entry.insert("shift".into(), slot.shift.into());
    }
    if slot.mask != u64::MAX {
        entry.insert("mask".into(), slot.mask.into());
    }
    match slot.scale {
        Scale::One => {}
        Scale::Divide(by) => drop(entry.insert("divide".into(), by.into())),
        Scale::Fraction(bits) => drop(entry.insert("fraction_bits".into(), bits.into())),
    }
    if let Some(unset) = slot.unset {
        entry.insert("unset".into(), unset.into());
    }
    if let Some(only) = &slot.unset_if {
        entry.insert("unset_if".into(), condition(only, place)?);
    }
    if let Some(names) = slot.names {
        entry.insert("names".into(), self::names(names));
    }
    if !slot.when.is_empty() {
        let when: Option<Vec<Value>> = slot.when.iter().map(|of| condition(of, place)).collect();
        entry.insert("when".into(), when?.into());
    }
    Some(())
}

fn condition(condition: &Condition, place: &dyn Fn(u16) -> Option<u16>) -> Option<Value> {
    let Condition { offset, width, mask, value, equal } = *condition;
    let offset = place(offset)?;
    Some(json!({"offset": offset, "width": width, "mask": mask, "value": value, "equal": equal}))
}

/// By number, or by bit; those of the kernel's own enums are in the environment.
fn names(names: Names) -> Value {
    match names {
        Names::List(names) => json!({"list": names}),
        Names::Pairs(pairs) => {
            let pairs = pairs.iter().map(|(number, name)| (number.to_string(), (*name).into()));
            json!({"pairs": pairs.collect::<Map<_, Value>>()})
        }
        Names::Flags(flags) => json!({"flags": flags.bits}),
        Names::Kernel(KernelEnum::ResetReason) => json!({"kernel": "reset_reasons"}),
        Names::Kernel(KernelEnum::DropReason) => json!({"kernel": "drop_reasons"}),
    }
}
