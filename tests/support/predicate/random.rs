//! Records of any bytes, and expressions over their fields.

use serde_json::Value;
use tcc_trace::events::{EVENT_TYPES, EventType};
use tcc_trace::skel::Head;
use tcc_trace::table::{Column, Origin, Type, Unit};

/// Numbers from a seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn one<'l, T: ?Sized>(&mut self, list: &[&'l T]) -> &'l T {
        list[self.below(list.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A record with all fields, whose numbers are small, all ones or anything.
pub fn record(random: &mut Random, event_type: &EventType) -> Vec<u8> {
    let mut record: Vec<u8> = Vec::new();
    while record.len() < event_type.record.longest {
        let word = match random.below(6) {
            0 => 0,
            1 => random.next() % 4,
            2 => (random.next() % 4) << 32 | 1,
            3 => u64::MAX,
            4 => random.next() & 0x0103_0103_0103_0103,
            _ => random.next(),
        };
        record.extend(word.to_ne_bytes());
    }
    record.truncate(event_type.record.longest);
    let len = std::mem::offset_of!(Head, len);
    record[std::mem::offset_of!(Head, event_type)] = event_type.number;
    record[std::mem::offset_of!(Head, flags)] = random.below(2) as u8;
    record[len..len + 2].copy_from_slice(&(event_type.record.longest as u16).to_ne_bytes());
    for address in [std::mem::offset_of!(Head, saddr), std::mem::offset_of!(Head, daddr)] {
        let address = &mut record[address..address + 16];
        match random.below(4) {
            0 => address[..12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            1 => address.copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]),
            2 => address.fill(0),
            _ => {}
        }
    }
    if event_type.is_probe() {
        let names: [&[u8; 16]; 4] = [
            b"cubic\0\0\0\0\0\0\0\0\0\0\0",
            b"bbr\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"dctcp\0\0\0\0\0\0\0\0\0\0\0",
            b"reno\0xxxxxxxxxxx",
        ];
        let column = (event_type.columns)().into_iter().find(|c| c.name == "ca_name");
        let Some(Origin::Slot(slot)) = column.map(|column| column.origin) else { panic!() };
        let place = usize::from(slot.offset);
        record[place..place + 16].copy_from_slice(names[random.below(names.len())]);
    }
    record
}

/// An expression over fields of that event type, about as often true as false for an event with these values.
pub fn expression(
    random: &mut Random,
    event_type: &EventType,
    event: &Value,
    depth: usize,
) -> String {
    if depth == 0 || random.chance(30) {
        return comparison(random, event_type, event);
    }
    let mut part = || expression(random, event_type, event, depth - 1);
    let (one, two, three) = (part(), part(), part());
    match random.below(6) {
        0 => format!("{one} && {two}"),
        1 => format!("({one} || {two}) && {three}"),
        2 => format!("{one} || {two} && {three}"),
        3 => format!("!({one} && {two})"),
        4 => format!("!({one} || {two}) || {three}"),
        _ => format!("!({one})"),
    }
}

fn class(column: &Column) -> Type {
    match column.origin {
        Origin::Stack(_) | Origin::Time(_) => Type::Time,
        _ if column.name == "location" => Type::Time,
        _ => column.ty,
    }
}

fn comparison(random: &mut Random, event_type: &EventType, event: &Value) -> String {
    let columns = (event_type.columns)();
    let column = columns[random.below(columns.len())];
    let name = column.name;
    let value = super::reference::field(event, name).unwrap_or(&Value::Null);
    if random.chance(8) {
        return format!("{name} is{} null", if random.chance(50) { " not" } else { "" });
    }
    if random.chance(4) {
        let other = EVENT_TYPES[random.below(EVENT_TYPES.len())].name;
        let is = if random.chance(50) { event_type.name } else { other };
        // Only the event type itself is traced.
        let is = if is == event_type.name { is } else { event_type.name };
        return format!("type {} '{is}'", random.one(&["==", "!="]));
    }
    match class(column) {
        Type::Bool => random
            .one(&["{}", "!{}", "{} == true", "{} != true", "false == {}"])
            .replace("{}", name),
        Type::Unsigned | Type::Signed | Type::Float => numbers(random, &columns, column, value),
        Type::Text => texts(random, name, value),
        Type::Address => addresses(random, name, value),
        Type::Time | Type::TextList => format!("{name} is not null"),
    }
}

fn texts(random: &mut Random, name: &str, value: &Value) -> String {
    let text = value.as_str().filter(|text| text.len() < 16).map(|text| text.replace('\'', "\\'"));
    let Some(text) = text.filter(|text| !text.contains("\\x00")) else {
        return format!("{name} is null");
    };
    if name == "flags" && random.chance(50) {
        let not = random.one(&["", "!"]);
        return format!("{not}({name} has '{}')", random.one(&["FIN", "SYN|ACK", "AE", "PSH"]));
    }
    let (order, text) = (random.one(&["==", "!="]), text.as_str());
    match random.below(3) {
        0 => format!("{name} {order} '{text}'"),
        1 => format!("'{text}' {order} {name}"),
        _ => format!("{name} {} ('{text}', '{text}')", random.one(&["in", "not in"])),
    }
}

fn addresses(random: &mut Random, name: &str, value: &Value) -> String {
    let value = value.as_str().unwrap_or("2001:db8::1");
    let nets = [
        "10.0.0.0/8",
        "0.0.0.0/0",
        "::/0",
        "::",
        "0.0.0.0",
        "::/96",
        "::ffff:0:0/96",
        "fe80::/10",
        "8000::/1",
        value,
    ];
    let (one, two) = (random.one(&nets), random.one(&nets));
    match random.below(4) {
        0 => format!("{name} == {value}"),
        1 => format!("{name} != {value}"),
        2 => format!("{name} in {one}"),
        _ => format!("{name} {} ({one}, {two})", random.one(&["in", "not in"])),
    }
}

fn numbers(
    random: &mut Random,
    columns: &[&'static Column],
    column: &Column,
    value: &Value,
) -> String {
    let (name, order) = (column.name, random.one(&["==", "!=", "<", "<=", ">", ">="]));
    // As it is, or near it; within the range of a narrow field.
    let near = match value {
        Value::Number(number) => number.to_string(),
        _ => random.below(3).to_string(),
    };
    let exponent = match column.unit {
        Unit::Microseconds => Some(("ns", 1000, "us")),
        Unit::Bytes => Some(("B", 1, "B")),
        Unit::BytesPerSecond => Some(("bit/s", 8, "B/s")),
        _ => None,
    };
    let alike: Vec<&str> = columns
        .iter()
        .filter(|other| (other.unit, class(other)) == (column.unit, column.ty))
        .map(|other| other.name)
        .collect();
    let other = random.one(&alike);
    match (random.below(10), exponent) {
        (0, Some((unit, factor, _))) if !near.contains('.') && near.len() < 15 => {
            let number: i128 = near.parse().unwrap();
            format!("{name} {order} {}{unit}", number * factor)
        }
        (1, Some((.., unit))) => format!("{near}{unit} {order} {name}"),
        (2, _) => format!("{name} {order} {other}"),
        (3, _) if near.len() < 10 => format!("{name} * {} {order} {near} * 3", random.below(4)),
        (4, _) => format!("{name} - {other} {order} {}", random.below(2)),
        (5, _) => format!("{name} / {other} {order} {}", random.one(&["1", "0.5", "-2"])),
        (6, _) => format!("{name} {} ({near}, 1-2)", random.one(&["in", "not in"])),
        (7, _) => format!("{name} in 0-{near}").replace("0--", "-0-"),
        (8, _) => format!("-{name} {order} -{near}").replace("--", ""),
        _ => format!("{name} {order} {near}"),
    }
}
