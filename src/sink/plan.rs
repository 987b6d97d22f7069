//! A line per event, compiled once per event type: what stands between the values, and where in the record each value lies. It
//! writes from the record's bytes, without a [`Value`] where there is a slot.

mod line;
mod number;

use std::net::{IpAddr, Ipv6Addr};

use self::line::{Block, Buffer, Line, SHORT};
use self::number::Number;
use super::time::TimeFormat;
use crate::decode::Event;
use crate::events::ca_columns::{Convert, FIELDS};
use crate::events::value::value;
use crate::events::{Types, ca};
use crate::slot::{Condition, Form, Names, Slot};
use crate::table::origin::{Call, Inputs};
use crate::table::{Column, ColumnSet, Moment, Origin, Selected, Value};

/// How a format writes values.
pub trait Syntax {
    const NULL: &'static str;
    /// Around a text.
    const QUOTE: &'static str;

    /// A text of such bytes only is written as it is.
    fn is_plain(byte: u8) -> bool;

    /// Appends a value.
    fn value(value: Value<'_>, time: &mut TimeFormat, out: &mut Vec<u8>);
}

/// The lines of one event type.
pub struct Plan {
    cells: Vec<Cell>,
    /// The first byte after all that it reads.
    end: usize,
}

/// A text, and a value behind it.
struct Cell {
    text: Block,
    op: Op,
}

/// What is written after a cell's text. For what is frequent there is an operation that does just that.
enum Op {
    Nothing,
    /// Several numbers, each after its own text.
    Numbers(Vec<(Block, Number)>),
    Flag(Number),
    /// A number with names, which are formatted already.
    Named(Number, Vec<Block>),
    Text(&'static Slot),
    Address(&'static Slot),
    Time,
    Call(&'static Call, Vec<Number>),
    /// Any other.
    Column(&'static Column),
    /// If these do not hold, the text stands in place of so many of the next cells.
    Group(Box<Group>),
}

struct Group {
    when: &'static [Condition],
    cells: usize,
    otherwise: String,
}

/// Compiles a plan: texts and values in the order of the line.
pub struct Builder<'l> {
    plan: Plan,
    text: Vec<u8>,
    event_type: u8,
    types: &'l Types,
}

impl<'l> Builder<'l> {
    fn new(event_type: u8, types: &'l Types) -> Self {
        Builder { plan: Plan { cells: Vec::new(), end: 0 }, text: Vec::new(), event_type, types }
    }

    /// Adds a constant text.
    pub fn text(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Adds a value.
    pub fn value<F: Syntax>(&mut self, selected: &Selected) {
        let Selected { column, present: true, .. } = selected else {
            return self.text(F::NULL);
        };
        if self.types.absent.contains(&(self.event_type, selected.index)) {
            return self.text(F::NULL);
        }
        self.plan.end = self.plan.end.max(column.origin.end());
        let op = match &column.origin {
            Origin::Constant(text) => {
                return F::value(Value::Str(text), &mut TimeFormat::default(), &mut self.text);
            }
            Origin::Slot(slot) => match slot.form {
                Form::Text => Some(Op::Text(slot)),
                Form::Address => Some(Op::Address(slot)),
                _ => number::<F>(slot),
            },
            Origin::Call(call) => {
                let inputs: Option<Vec<Number>> = call.inputs.iter().map(Number::new).collect();
                inputs.map(|inputs| Op::Call(call, inputs))
            }
            Origin::Time(_) => Some(Op::Time),
            Origin::Private(index) if FIELDS[*index].convert == Convert::Bandwidth => None,
            // Its group has the conditions.
            Origin::Private(index) => match self.types.layouts.slot(*index) {
                Some(slot) => number::<F>(&Slot { when: &[], ..*slot }),
                None => return self.text(F::NULL),
            },
            Origin::Stack(_) | Origin::Aggregate => None,
        };
        self.op(op.unwrap_or(Op::Column(column)));
    }

    /// Adds what `members` adds, which are columns of that group; where they have no values, `otherwise`.
    pub fn group(&mut self, group: &str, otherwise: String, members: impl FnOnce(&mut Self)) {
        self.op(Op::Nothing);
        let at = self.plan.cells.len();
        members(self);
        self.op(Op::Nothing);
        let cells = self.plan.cells.len() - at;
        let group = Group { when: ca::runs(group), cells, otherwise };
        self.plan.cells[at - 1].op = Op::Group(Box::new(group));
    }

    fn op(&mut self, op: Op) {
        let text = std::mem::take(&mut self.text);
        let (blocks, text) = Block::split(&text);
        for text in blocks {
            self.plan.cells.push(Cell { text, op: Op::Nothing });
        }
        match (op, self.plan.cells.last_mut()) {
            (Op::Numbers(added), Some(Cell { op: Op::Numbers(numbers), .. })) => {
                numbers.extend(added.into_iter().map(|(_, number)| (text, number)));
            }
            (Op::Numbers(mut added), _) => {
                added.iter_mut().for_each(|(before, _)| *before = text);
                self.plan.cells.push(Cell { text: Block::EMPTY, op: Op::Numbers(added) });
            }
            (op, _) => self.plan.cells.push(Cell { text, op }),
        }
    }

    fn plan(mut self) -> Plan {
        self.op(Op::Nothing);
        self.plan
    }
}

/// The operation that writes a number; `None` for a rare one.
fn number<F: Syntax>(slot: &Slot) -> Option<Op> {
    let number = Number::new(slot)?;
    Some(match (slot.form, slot.names) {
        (Form::Number, None) => Op::Numbers(vec![(Block::EMPTY, number)]),
        (Form::Flag, None) => Op::Flag(number),
        (_, Some(Names::List(names))) => {
            let formatted = names.iter().map(|name| {
                let mut text = Vec::new();
                F::value(Value::Str(name), &mut TimeFormat::default(), &mut text);
                Block::new(&text)
            });
            Op::Named(number, formatted.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// The plans of all event types. They are compiled anew when the layouts of the algorithms' state change, because a module was
/// loaded.
pub struct Plans {
    /// By number of the event type.
    tables: Vec<Option<ColumnSet>>,
    plans: Vec<Option<Plan>>,
    layouts: Option<u64>,
}

impl Plans {
    pub fn new(tables: &[ColumnSet]) -> Self {
        let mut by_number = Vec::new();
        for table in tables {
            by_number.resize_with(by_number.len().max(table.event_type + 1), || None);
            by_number[table.event_type] = Some(table.clone());
        }
        Plans { tables: by_number, plans: Vec::new(), layouts: None }
    }

    /// The plan of an event, compiled by `compile`; `None` if its event type was not selected.
    pub fn of(
        &mut self,
        event: &Event<'_>,
        compile: impl Fn(&ColumnSet, &mut Builder<'_>),
    ) -> Option<&Plan> {
        let types = event.types();
        if self.layouts != Some(types.layouts.id()) {
            self.layouts = Some(types.layouts.id());
            let plan = |table: &Option<ColumnSet>| {
                let table = table.as_ref()?;
                let mut builder = Builder::new(u8::try_from(table.event_type).ok()?, types);
                compile(table, &mut builder);
                Some(builder.plan())
            };
            self.plans = self.tables.iter().map(plan).collect();
        }
        self.plans.get(usize::from(event.event_type().number))?.as_ref()
    }
}

/// What is kept from line to line.
#[derive(Default)]
pub struct Writer {
    buffer: Buffer,
    pub time: TimeFormat,
}

impl Plan {
    /// Appends the line of an event.
    pub fn write<F: Syntax>(&self, event: &Event<'_>, writer: &mut Writer, out: &mut Vec<u8>) {
        let (bytes, time) = (event.bytes(self.end), &mut writer.time);
        let mut line = Line::new(&mut writer.buffer, out);
        let line = &mut line;
        let mut cells = self.cells.iter();
        while let Some(Cell { text, op }) = cells.next() {
            line.block(text);
            match op {
                Op::Nothing => {}
                Op::Numbers(numbers) => line.numbers(numbers, bytes, F::NULL),
                Op::Flag(number) => line.short(match number.value(bytes) {
                    Some(0) => "false",
                    Some(_) => "true",
                    None => F::NULL,
                }),
                Op::Named(number, names) => {
                    let number = number.value(bytes);
                    match number.and_then(|number| names.get(usize::try_from(number).ok()?)) {
                        Some(name) => line.block(name),
                        None => line.short(F::NULL),
                    }
                }
                Op::Text(slot) => match slot.text(bytes) {
                    Some(text) if text.len() <= SHORT && text.iter().all(|&b| F::is_plain(b)) => {
                        line.quoted(text, F::QUOTE);
                    }
                    Some(text) => F::value(Value::Name(text), time, line.out()),
                    None => line.short(F::NULL),
                },
                Op::Address(slot) => match slot.address(bytes).map(Ipv6Addr::from) {
                    None => line.short(F::NULL),
                    Some(address) => match address.to_canonical() {
                        IpAddr::V4(address) => line.ipv4(address.octets(), F::QUOTE),
                        address => F::value(Value::Ip(address), time, line.out()),
                    },
                },
                Op::Time => match event.time() {
                    Moment::Wall(ns) => line.time(time.second(ns), ns, F::QUOTE),
                    time_of => F::value(Value::Time(time_of), time, line.out()),
                },
                Op::Call(call, inputs) => match computed(call, inputs, bytes) {
                    Value::Null => line.short(F::NULL),
                    Value::U64(number) => line.unsigned(number),
                    Value::Str(text) if text.len() <= SHORT => {
                        line.quoted(text.as_bytes(), F::QUOTE);
                    }
                    value => F::value(value, time, line.out()),
                },
                Op::Column(column) => {
                    F::value(value(column, bytes, event.types(), event.time()), time, line.out());
                }
                Op::Group(group) => {
                    if !group.when.iter().all(|condition| condition.holds(bytes)) {
                        line.out().extend_from_slice(group.otherwise.as_bytes());
                        cells = cells.as_slice().get(group.cells..).unwrap_or_default().iter();
                    }
                }
            }
        }
        line.flush();
    }
}

/// As [`Call::value`] has it.
fn computed(call: &Call, slots: &[Number], bytes: &[u8]) -> Value<'static> {
    if !call.when.iter().all(|condition| condition.holds(bytes)) {
        return Value::Null;
    }
    let mut inputs = Inputs::default();
    for (input, slot) in inputs.iter_mut().zip(slots) {
        match slot.value(bytes) {
            Some(value) => *input = value,
            None => return Value::Null,
        }
    }
    (call.compute)(inputs)
}
