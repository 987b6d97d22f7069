//! The value of a column in a record.

use super::Types;
use super::ca_columns::{Convert, FIELDS};
use crate::slot::{Data, Slot};
use crate::symbols::Symbols;
use crate::table::origin::Stack;
use crate::table::{Column, Frames, Moment, Origin, Value};

/// The value; null if there is none. Any bytes are safe.
#[must_use]
pub fn value<'a>(column: &Column, bytes: &'a [u8], types: &'a Types, time: Moment) -> Value<'a> {
    match &column.origin {
        Origin::Slot(slot) => of_slot(slot, bytes, types),
        Origin::Call(call) => call.value(bytes),
        Origin::Time(_) => Value::Time(time),
        Origin::Constant(text) => Value::Str(text),
        Origin::Stack(slots) => stack(bytes, slots, &types.symbols).unwrap_or(Value::Null),
        Origin::Private(index) => private(*index, bytes, types),
        Origin::Aggregate => Value::Null,
    }
}

/// The value of a column of an algorithm's state.
#[must_use]
pub fn private<'a>(index: usize, bytes: &'a [u8], types: &'a Types) -> Value<'a> {
    let Some(slot) = types.layouts.slot(index) else {
        return Value::Null;
    };
    match FIELDS[index].convert {
        Convert::Bandwidth => types.layouts.bandwidth(slot, bytes),
        _ => of_slot(slot, bytes, types),
    }
}

/// The value of a slot.
#[must_use]
pub fn of_slot<'a>(slot: &Slot, bytes: &'a [u8], types: &'a Types) -> Value<'a> {
    let Some(data) = slot.read(bytes) else {
        return Value::Null;
    };
    match data {
        Data::Unsigned(number) => match slot.names {
            None => Value::U64(number),
            Some(names) => types.name(names, number).map_or(Value::Null, Value::Str),
        },
        Data::Signed(number) => Value::I64(number),
        Data::Float(number) => Value::F64(number),
        Data::Flag(flag) => Value::Bool(flag),
        Data::Text(bytes) => Value::Name(bytes),
        Data::Address(address) => Value::Ip(std::net::Ipv6Addr::from(address).to_canonical()),
        Data::Code(address) if types.symbols.shows(address) => Value::Code(address, &types.symbols),
        Data::Code(_) => Value::Null,
    }
}

/// From the frame at `location` outwards, if any frame may be shown.
fn stack<'a>(bytes: &'a [u8], slots: &Stack, symbols: &'a Symbols) -> Option<Value<'a>> {
    let Stack { location, count, frames } = slots;
    let all = bytes.get(frames.offset.into()..frames.end())?;
    let count = usize::try_from(count.stored(bytes)?).ok()?;
    let all = Frames(all.get(..8 * count).unwrap_or_default());
    let location = location.stored(bytes)?;
    let first = all.iter().position(|address| address == location).unwrap_or(0);
    let shown = Frames(&all.0[8 * first..]);
    shown.iter().any(|code| symbols.shows(code)).then_some(Value::Stack(shown, symbols))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::event_type;
    use crate::skel::{DropStackRecord, bytes};

    #[test]
    fn the_stack_begins_where_it_was_dropped() {
        let columns = (event_type("drop").unwrap().columns)();
        let column = columns.iter().find(|column| column.name == "stack").unwrap();
        let types = Types::default();
        let frames = |record: &DropStackRecord| match value(
            column,
            bytes(record),
            &types,
            Moment::Wall(0),
        ) {
            Value::Stack(frames, _) => frames.iter().collect(),
            _ => Vec::new(),
        };
        let mut record = DropStackRecord::default();
        record.stack[..4].copy_from_slice(&[1, 2, 3, 4]);
        record.drop.frames = 4;
        record.drop.location = 3;
        assert_eq!(frames(&record), [3, 4]);
        record.drop.location = 9;
        assert_eq!(frames(&record), [1, 2, 3, 4]);
        record.drop.frames = 200;
        assert!(frames(&record).is_empty());
        let short = value(column, bytes(&record.drop), &types, Moment::Wall(0));
        assert_eq!(short, Value::Null);
    }
}
