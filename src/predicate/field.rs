//! The fields that an expression names.

use super::mistake::{Fault, Span};
use crate::events::ca_columns::{Convert, FIELDS};
use crate::events::{EVENT_TYPES, EventType, Types, ca};
use crate::slot::{Form, KernelEnum, Names, Scale, Slot};
use crate::suggest;
use crate::table::{Column, Origin, Type};

/// The event type's name, as a field.
pub const EVENT_TYPE: &str = "type";

/// Other names, which are those of the filter options.
const ALIASES: &[(&str, &str)] = &[
    ("laddr", "saddr"),
    ("lport", "sport"),
    ("raddr", "daddr"),
    ("rport", "dport"),
    ("cc", "ca_name"),
];

/// A field, with its column in each event type that has it.
#[derive(Clone, Debug)]
pub struct Field {
    /// As it is written.
    pub name: String,
    /// By number of the event type; at least one, and all of one class.
    pub columns: Vec<(u8, &'static Column)>,
}

/// What its values can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Number,
    Flag,
    Text,
    Address,
    /// Nothing: it can only be null.
    Other,
}

impl Class {
    #[must_use]
    pub fn of(column: &Column) -> Self {
        match (column.ty, &column.origin) {
            (_, Origin::Slot(Slot { form: Form::Code, .. })) => Class::Other,
            (Type::Bool, _) => Class::Flag,
            (Type::Unsigned | Type::Signed | Type::Float, _) => Class::Number,
            (Type::Text, _) => Class::Text,
            (Type::Address, _) => Class::Address,
            (Type::TextList | Type::Time, _) => Class::Other,
        }
    }

    /// `a number`.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Class::Number => "a number",
            Class::Flag => "a flag",
            Class::Text => "text",
            Class::Address => "an address",
            Class::Other => "a value that cannot be compared",
        }
    }
}

/// The columns of an event type, by the name in an expression.
#[must_use]
pub fn column(event_type: &EventType, name: &str) -> Option<&'static Column> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name, |(_, name)| name);
    (event_type.columns)().into_iter().find(|column| column.name == name)
}

impl Field {
    /// Looks a name up in these event types.
    pub(super) fn find(
        name: &str,
        span: &Span,
        event_types: &[&'static EventType],
    ) -> Result<Self, Fault> {
        let columns: Vec<_> = event_types
            .iter()
            .filter_map(|event_type| Some((event_type.number, column(event_type, name)?)))
            .collect();
        let Some(&(_, first)) = columns.first() else {
            return Err(Fault::new(span, unknown(name, event_types)));
        };
        let differs =
            |column: &Column| (Class::of(column), column.unit) != (Class::of(first), first.unit);
        if let Some((number, other)) = columns.iter().find(|(_, column)| differs(column)) {
            let message = format!(
                "`{name}` is {} in {} events, and {} in {} events; request only one of the two",
                Class::of(first).describe(),
                type_name(columns[0].0),
                Class::of(other).describe(),
                type_name(*number)
            );
            return Err(Fault::new(span, message));
        }
        Ok(Field { name: name.to_owned(), columns })
    }

    /// The column of the first event type that has it, which stands for all.
    #[must_use]
    pub fn column(&self) -> &'static Column {
        self.columns[0].1
    }

    #[must_use]
    pub fn class(&self) -> Class {
        Class::of(self.column())
    }

    /// Whether its values are names of flags, joined by `|`.
    #[must_use]
    pub fn has_flags(&self) -> bool {
        let is_set =
            |column: &Column| matches!(known_texts(column, None), Some(KnownTexts::Flags(_)));
        self.columns.iter().all(|(_, column)| is_set(column))
    }

    /// The column of that event type.
    #[must_use]
    pub fn of(&self, event_type: &EventType) -> Option<&'static Column> {
        let found = self.columns.iter().find(|(number, _)| *number == event_type.number);
        found.map(|(_, column)| *column)
    }

    /// The smallest and the largest number that any of its columns can have; `None` if it has fractions.
    #[must_use]
    pub fn range(&self) -> Option<(i128, i128)> {
        let ranges: Option<Vec<_>> = self.columns.iter().map(|(_, column)| range(column)).collect();
        let ranges = ranges?;
        let least = ranges.iter().map(|(least, _)| *least).min()?;
        Some((least, ranges.iter().map(|(_, most)| *most).max()?))
    }

    /// Checks that a text can be one of its values.
    pub(super) fn check_text(
        &self,
        text: &[u8],
        span: &Span,
        types: Option<&Types>,
    ) -> Result<(), Fault> {
        let shown = crate::escape::path(std::ffi::OsStr::new(&*String::from_utf8_lossy(text)));
        if text.contains(&0) {
            return Err(Fault::new(span, "no value has a NUL byte"));
        }
        let lengths = self.columns.iter().map(|(_, column)| length(column));
        if let Some(longest) =
            lengths.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max())
            && text.len() > longest
        {
            let message = format!("`{}` has at most {longest} bytes", self.name);
            return Err(Fault::new(span, message));
        }
        let known: Option<Vec<_>> =
            self.columns.iter().map(|(_, column)| known_texts(column, types)).collect();
        let Some(known) = known else { return Ok(()) };
        if known.iter().any(|known| known.contains(text)) {
            return Ok(());
        }
        let names: Vec<&str> = known.iter().flat_map(KnownTexts::names).collect();
        let list = match names.len() {
            0 => "this kernel has no names for it".to_owned(),
            1..=16 => format!("use {}", names.join(", ")),
            _ => "the kernel has no such name".to_owned(),
        };
        let hint = suggest::did_you_mean(&shown, names, &list);
        Err(Fault::new(span, format!("`{}` is never \"{shown}\"; {hint}", self.name)))
    }
}

fn type_name(number: u8) -> &'static str {
    EVENT_TYPES.get(usize::from(number)).map_or("", |event_type| event_type.name)
}

/// What is wrong with a name that no event type has.
fn unknown(name: &str, event_types: &[&'static EventType]) -> String {
    let columns = || event_types.iter().flat_map(|event_type| (event_type.columns)());
    if let Some(member) = columns().find(|column| column.group() == Some(name)) {
        return format!(
            "`{name}` is a group of fields; name one, such as `{}`, or write a text in quotes: \"{name}\"",
            member.name
        );
    }
    let is_text = |column: &Column| {
        known_texts(column, None).is_some_and(|texts| texts.contains(name.as_bytes()))
    };
    if columns().any(is_text) {
        return format!("unknown field `{name}`; write a text in quotes: \"{name}\"");
    }
    let elsewhere = EVENT_TYPES.iter().find(|event_type| column(event_type, name).is_some());
    if let Some(elsewhere) = elsewhere {
        return format!(
            "`{name}` is a field of {} events, which are not requested",
            elsewhere.name
        );
    }
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    let known = columns().map(|column| column.name).chain(aliases).chain([EVENT_TYPE]);
    let of: Vec<&str> = event_types.iter().map(|event_type| event_type.name).collect();
    let only = if let [only] = of[..] { format!(" {only}") } else { String::new() };
    let hint = suggest::did_you_mean(name, known, &format!("tcc-trace schema{only} lists them"));
    format!("unknown field `{name}` of {}; {hint}", of.join(", "))
}

/// The numbers that a column can have.
fn range(column: &Column) -> Option<(i128, i128)> {
    match (&column.origin, column.ty) {
        (_, Type::Float) => None,
        (Origin::Slot(slot), _) => {
            let most = if slot.width >= 8 { u64::MAX } else { (1 << (8 * slot.width)) - 1 };
            Some(match slot.scale {
                _ if slot.signed => (-(i128::from(most) + 1) / 2, i128::from(most) / 2),
                Scale::Divide(by) => (0, i128::from(most) / i128::from(by.max(1))),
                _ => (0, most.into()),
            })
        }
        (_, Type::Signed) => Some((i64::MIN.into(), i64::MAX.into())),
        _ => Some((0, u64::MAX.into())),
    }
}

/// The most bytes of a text, if it is a member of the record.
fn length(column: &Column) -> Option<usize> {
    match &column.origin {
        Origin::Slot(slot) if slot.form == Form::Text => Some(usize::from(slot.width) - 1),
        _ => None,
    }
}

/// The texts that a column can have.
pub enum KnownTexts<'t> {
    Names(Vec<&'t str>),
    /// And combinations of them.
    Flags(&'static [&'static str]),
}

impl<'t> KnownTexts<'t> {
    fn contains(&self, text: &[u8]) -> bool {
        match self {
            KnownTexts::Names(names) => names.iter().any(|name| name.as_bytes() == text),
            KnownTexts::Flags(bits) => flags(bits, text).is_some(),
        }
    }

    fn names(&self) -> impl Iterator<Item = &'t str> {
        let names: Vec<&str> = match self {
            KnownTexts::Names(names) => names.clone(),
            KnownTexts::Flags(bits) => bits.to_vec(),
        };
        names.into_iter().filter(|name| !name.is_empty())
    }
}

/// The bits of several flags joined by `|`, in any order. `None` if one is unknown.
#[must_use]
pub fn flags(bits: &[&str], text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return Some(0);
    }
    text.split(|&byte| byte == b'|').try_fold(0, |set, name| {
        let bit = bits.iter().position(|bit| bit.as_bytes() == name)?;
        Some(set | 1 << bit)
    })
}

/// Those of a column; `None` if they are not known, as those of the kernel's enums without `types`.
fn known_texts<'t>(column: &Column, types: Option<&'t Types>) -> Option<KnownTexts<'t>> {
    let names = match &column.origin {
        Origin::Slot(slot) => slot.names?,
        Origin::Private(index) if FIELDS[*index].convert == Convert::Mode => ca::MODE_NAMES,
        Origin::Constant(text) => return Some(KnownTexts::Names(vec![text])),
        _ => return None,
    };
    Some(match names {
        Names::List(names) => KnownTexts::Names(names.to_vec()),
        Names::Pairs(pairs) => KnownTexts::Names(pairs.iter().map(|(_, name)| *name).collect()),
        Names::Flags(flags) => KnownTexts::Flags(flags.bits),
        Names::Kernel(of) => {
            let types = types?;
            let names = match of {
                KernelEnum::ResetReason => &types.reset_reasons,
                KernelEnum::DropReason => &types.drop_reasons,
            };
            KnownTexts::Names(names.values().map(String::as_str).collect())
        }
    })
}
