//! The tables of columns, against each other and against the records in C.

use std::collections::BTreeSet;
use std::path::Path;

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Enum, MemberAttr, Struct};

use super::ca_columns::FIELDS;
use super::fields::{FIELD_GROUPS, FieldGroups};
use super::{EVENT_TYPES, EventType, Record, event_type};
use crate::slot::{Form, Scale, Slot};
use crate::table::origin::MOST_INPUTS;
use crate::table::{Column, Origin, Set, Type, Value};

/// Members that no column shows: of which struct, and why.
const INTERNAL: &[(&str, &str)] = &[
    ("tcc_head", "event_type"),
    ("tcc_head", "len"),
    // By which a summary finds the listener's rows.
    ("tcc_listen_drop", "sk"),
    // Read by the layouts of the algorithms.
    ("tcc_probe_ca_priv", "bytes"),
];

fn all() -> impl Iterator<Item = (&'static EventType, &'static Column)> {
    EVENT_TYPES.iter().flat_map(|event_type| {
        (event_type.columns)().into_iter().map(move |column| (event_type, column))
    })
}

#[test]
fn every_column_reads_its_record() {
    for (event_type, column) in all() {
        let name = format!("{}: {}", event_type.name, column.name);
        match &column.origin {
            Origin::Call(call) => assert!(!call.inputs.is_empty(), "{name} has no inputs"),
            Origin::Private(index) => assert_eq!(FIELDS[*index].column.name, column.name),
            Origin::Constant(_) => {}
            Origin::Aggregate => panic!("{name} is not in the record"),
            _ => assert!(column.origin.slots().count() > 0, "{name} has no slot"),
        }
        for slot in column.origin.slots() {
            let is_number = matches!(slot.form, Form::Number | Form::Flag | Form::Code);
            let is_frames = matches!(column.origin, Origin::Stack(_));
            assert!(!is_number || is_frames || [1, 2, 4, 8].contains(&slot.width), "{name}");
        }
        let Record { size, longest } = event_type.record;
        let size =
            if event_type.is_probe() && column.set == Set::Standard { size } else { longest };
        for place in column.origin.places() {
            assert!(place.end <= size, "{name} lies beyond its record");
        }
    }
}

#[test]
fn every_column_has_a_name_of_its_own() {
    for event_type in EVENT_TYPES {
        let columns = (event_type.columns)();
        let names: BTreeSet<&str> = columns.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), columns.len(), "{}", event_type.name);
    }
}

fn type_of(slot: &Slot) -> Type {
    match (slot.form, slot.scale) {
        (Form::Text | Form::Code, _) => Type::Text,
        _ if slot.names.is_some() => Type::Text,
        (Form::Address, _) => Type::Address,
        (Form::Flag, _) => Type::Bool,
        (Form::Number, Scale::Fraction(_)) => Type::Float,
        (Form::Number, _) if slot.signed => Type::Signed,
        (Form::Number, _) => Type::Unsigned,
    }
}

#[test]
fn the_type_of_a_column_is_that_of_its_values() {
    for (event_type, column) in all() {
        let found = match &column.origin {
            Origin::Slot(slot) => type_of(slot),
            Origin::Call(call) => match (call.compute)([1; MOST_INPUTS]) {
                Value::Bool(_) => Type::Bool,
                Value::U64(_) => Type::Unsigned,
                Value::Str(_) => Type::Text,
                other => panic!("{other:?}"),
            },
            Origin::Time(_) => Type::Time,
            Origin::Constant(_) => Type::Text,
            Origin::Stack(_) => Type::TextList,
            Origin::Private(_) | Origin::Aggregate => continue,
        };
        assert_eq!(found, column.ty, "{}: {}", event_type.name, column.name);
    }
}

/// The members of a struct: the struct that has it, its name, its offset in the whole.
fn members(btf: &Btf<'_>, of: &Struct<'_>, base: usize) -> Vec<(String, String, usize)> {
    let name = of.name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for member in of.iter() {
        let MemberAttr::Normal { offset } = member.attr else { panic!("{name} has a bit field") };
        let at = base + offset as usize / 8;
        match btf.type_by_id::<Struct<'_>>(member.ty) {
            Some(inner) => found.extend(members(btf, &inner, at)),
            None => {
                let member = member.name.unwrap_or_default().to_string_lossy().into_owned();
                found.push((name.clone(), member, at));
            }
        }
    }
    found
}

#[test]
fn every_member_of_a_record_is_in_a_column() {
    let object = Path::new(env!("OUT_DIR")).join("tcc_trace.o");
    let btf = Btf::from_path(object).expect("the object's BTF");
    let (mut unused, mut used) = (BTreeSet::new(), BTreeSet::new());
    for event_type in EVENT_TYPES {
        let record = match event_type.name {
            "probe" => "tcc_probe_full".to_owned(),
            "drop" => "tcc_drop_stack".to_owned(),
            name => format!("tcc_{name}"),
        };
        let record: Struct<'_> = btf.type_by_name(&record).expect("the record's type");
        let columns = (event_type.columns)();
        let is_read = |at: usize| {
            columns
                .iter()
                .flat_map(|column| column.origin.places())
                .any(|place| place.contains(&at))
        };
        for (of, member, at) in members(&btf, &record, 0) {
            let set = if is_read(at) { &mut used } else { &mut unused };
            set.insert((of, member));
        }
    }
    // What the records share need not be shown by all of them.
    let unused: Vec<(&str, &str)> = unused
        .difference(&used)
        .map(|(of, member)| (of.as_str(), member.as_str()))
        .filter(|(_, member)| *member != "unused")
        .collect();
    assert_eq!(unused, INTERNAL, "members without a column");
}

#[test]
fn the_field_groups_are_the_members_of_the_record() {
    let object = Path::new(env!("OUT_DIR")).join("tcc_trace.o");
    let btf = Btf::from_path(object).expect("the object's BTF");
    let record: Struct<'_> = btf.type_by_name("tcc_probe_full").expect("the record's type");
    let name = |name: Option<&std::ffi::OsStr>| name.unwrap_or_default().display().to_string();
    let members: Vec<String> = record.iter().skip(2).map(|member| name(member.name)).collect();
    let groups: Vec<&str> = FIELD_GROUPS.iter().map(|group| group.name).collect();
    assert_eq!(members, groups);
    let numbers: Enum<'_> = btf.type_by_name("tcc_field_group").expect("the groups' numbers");
    let numbers: Vec<String> = numbers.iter().map(|number| name(number.name)).collect();
    let mut expected: Vec<String> =
        groups.iter().map(|name| format!("TCC_FIELDS_{name}")).collect();
    expected.push("TCC_FIELD_GROUPS".to_owned());
    assert_eq!(numbers, expected);
    let mut end = event_type("probe").expect("probe").record.size;
    for group in &FIELD_GROUPS {
        let place = group.place();
        assert_eq!((place.start, place.len() % 8), (end, 0), "{}", group.name);
        end = place.end;
    }
}

#[test]
fn a_column_of_probe_is_standard_or_in_a_field_group() {
    let columns = (event_type("probe").expect("probe").columns)();
    for column in &columns {
        let groups = FieldGroups::of([*column]);
        assert_eq!(groups.is_empty(), column.set == Set::Standard, "{}", column.name);
    }
    assert_eq!(FieldGroups::of(columns.iter().copied()), FieldGroups::ALL);
    let groups = |name| {
        let column = columns.iter().find(|column| column.name == name).expect("a column");
        FieldGroups::of([*column]).iter().map(|group| group.name).collect::<Vec<_>>()
    };
    assert_eq!(groups("ca_state"), ["cong"]);
    assert_eq!(groups("delivery_rate"), ["mss", "rate"]);
    assert_eq!(groups("comm"), ["owner"]);
    assert_eq!(groups("cubic.last_max_cwnd"), ["ca", "ca_priv"]);
    assert_eq!(groups("bbr.bw"), ["mss", "ca", "ca_priv"]);
}
