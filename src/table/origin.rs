//! Where the values of a column come from.

use std::ops::Range;

use super::Value;
use crate::slot::{Condition, Form, Names, Scale, Slot};

/// How a column's value is read from a record.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// A member of the record.
    Slot(Slot),
    /// Computed from members of the record.
    Call(Call),
    /// The time of the record, on the clock of `--time`.
    Time(Slot),
    /// The same in every record.
    Constant(&'static str),
    /// A stack of code addresses.
    Stack(&'static Stack),
    /// A member of an algorithm's private state, whose slot depends on the kernel: by its number among those columns.
    Private(usize),
    /// Not in a record: aggregated from many events.
    Aggregate,
}

/// A stack, from the frame at `location` outwards.
#[derive(Debug)]
pub struct Stack {
    pub location: Slot,
    /// How many of the frames are in use.
    pub count: Slot,
    /// The last of a record, which may end before them.
    pub frames: Slot,
}

/// Most inputs of a computed column.
pub const MOST_INPUTS: usize = 4;

/// The values of the inputs, in their order.
pub type Inputs = [u64; MOST_INPUTS];

/// A computed value.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// All that it depends on. It is null if one of these has no value.
    pub inputs: &'static [Slot],
    /// It is null unless all of these hold.
    pub when: &'static [Condition],
    pub compute: fn(Inputs) -> Value<'static>,
}

impl Call {
    /// The value; null if there is none.
    #[must_use]
    pub fn value(&self, bytes: &[u8]) -> Value<'static> {
        if !self.when.iter().all(|condition| condition.holds(bytes)) {
            return Value::Null;
        }
        let mut inputs = Inputs::default();
        for (input, slot) in inputs.iter_mut().zip(self.inputs) {
            match slot.integer_value(bytes) {
                Some(value) => *input = value,
                None => return Value::Null,
            }
        }
        (self.compute)(inputs)
    }
}

impl Origin {
    /// The slots that it reads.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        let (slots, inputs): ([Option<&Slot>; 3], &[Slot]) = match self {
            Origin::Slot(slot) | Origin::Time(slot) => ([Some(slot), None, None], &[]),
            Origin::Call(call) => ([None; 3], call.inputs),
            Origin::Stack(Stack { location, count, frames }) => {
                ([Some(location), Some(count), Some(frames)], &[])
            }
            Origin::Constant(_) | Origin::Private(_) | Origin::Aggregate => ([None; 3], &[]),
        };
        slots.into_iter().flatten().chain(inputs)
    }

    /// The bytes that it reads, those of its conditions included, if they are the same on every kernel.
    pub fn places(&self) -> impl Iterator<Item = Range<usize>> {
        let when = if let Origin::Call(call) = self { call.when } else { &[] };
        let conditions = self.slots().flat_map(|slot| slot.when.iter().chain(&slot.unset_if));
        let conditions = conditions.chain(when).map(Condition::place);
        self.slots().map(|slot| slot.offset.into()..slot.end()).chain(conditions)
    }

    /// The first byte after what it reads, if that is the same on every kernel.
    #[must_use]
    pub fn end(&self) -> usize {
        self.places().map(|place| place.end).max().unwrap_or(0)
    }
}

/// For the tables of columns: what is wrong there does not compile.
impl Origin {
    /// Computed from up to [`MOST_INPUTS`] slots.
    #[must_use]
    pub const fn call(inputs: &'static [Slot], compute: fn(Inputs) -> Value<'static>) -> Self {
        assert!(inputs.len() <= MOST_INPUTS);
        Origin::Call(Call { inputs, when: &[], compute })
    }

    /// Null unless these hold.
    #[must_use]
    pub const fn when(self, when: &'static [Condition]) -> Self {
        match self {
            Origin::Slot(slot) => Origin::Slot(Slot { when, ..slot }),
            Origin::Call(call) => Origin::Call(Call { when, ..call }),
            _ => panic!("neither a slot nor a call"),
        }
    }

    /// Null for this number, an empty text (0), an unspecified address (0).
    #[must_use]
    pub const fn unset(self, value: u64) -> Self {
        Origin::Slot(Slot { unset: Some(value), ..self.slot() })
    }

    /// The same, if the condition holds.
    #[must_use]
    pub const fn unset_if(self, value: u64, condition: Condition) -> Self {
        Origin::Slot(Slot { unset: Some(value), unset_if: Some(condition), ..self.slot() })
    }

    /// Divided by this number.
    #[must_use]
    pub const fn divided(self, by: u32) -> Self {
        Origin::Slot(Slot { scale: Scale::Divide(by), ..self.slot() })
    }

    /// True unless it is 0.
    #[must_use]
    pub const fn flag(self) -> Self {
        self.bits(u64::MAX)
    }

    /// True unless these bits are 0.
    #[must_use]
    pub const fn bits(self, mask: u64) -> Self {
        Origin::Slot(Slot { form: Form::Flag, mask, ..self.slot() })
    }

    /// Kernel code at that address.
    #[must_use]
    pub const fn code(self) -> Self {
        Origin::Slot(Slot { form: Form::Code, ..self.slot() })
    }

    /// The names of the numbers.
    #[must_use]
    pub const fn named(self, names: Names) -> Self {
        Origin::Slot(Slot { names: Some(names), ..self.slot() })
    }

    const fn slot(self) -> Slot {
        match self {
            Origin::Slot(slot) => slot,
            _ => panic!("not a slot"),
        }
    }
}
