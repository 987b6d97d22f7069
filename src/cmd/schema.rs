//! `schema`: the JSON Schema of all records, generated from the column tables.

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use crate::accounting::{
    Accounting, AggregateCounts, CountCounts, Counts, Evicted, LeftOut, Notice, OutputAccount,
    OwnCost,
};
use crate::cli::SchemaArgs;
use crate::config::Usage;
use crate::events::{EVENT_TYPES, EventType};
use crate::suggest;
use crate::summary::AGGREGATES;
use crate::table::summary::AggregateType;
use crate::table::{Column, Set, Type};

/// Accounting records, with their meaning.
pub(super) const ACCOUNTS: &[(&str, &str)] = &[
    ("stats", "Event counters so far (`--stats`, SIGUSR1)."),
    ("end", "Event counters of the whole run: the last record."),
];

/// The record that tells among events that some were left out there.
pub(super) const NOTICE: (&str, &str) =
    ("notice", "Events were left out here; at most once a second.");

/// Members of every summary record but its key and columns, with their meaning.
pub(super) const INTERVAL: &[(&str, &str)] =
    &[("time", "End of the interval."), ("interval_ns", "Length of the interval.")];
pub(super) const KEY: &str =
    "Key of the record. Null for the record of all keys that found no room (`--max-rows`).";
pub(super) const BUCKETS: &str = "Non-empty buckets, ascending. Both ends are inclusive.";

/// Prints the schema of all records, or of one.
pub fn run(args: &SchemaArgs) -> Result<u8> {
    let wanted = |name: &str| args.event_type.as_deref().is_none_or(|requested| requested == name);
    let events = EVENT_TYPES.iter().filter(|event_type| wanted(event_type.name)).map(record);
    let summaries =
        AGGREGATES.iter().filter(|aggregate| wanted(aggregate.command)).map(|of| summary(of));
    let accounts =
        ACCOUNTS.iter().filter(|(name, _)| wanted(name)).map(|(name, doc)| account(name, doc));
    let notices = Some(NOTICE.0).filter(|name| wanted(name)).map(|_| notice());
    let records: Vec<Value> = events.chain(summaries).chain(accounts).chain(notices).collect();
    if records.is_empty() {
        let known: Vec<&str> = EVENT_TYPES
            .iter()
            .map(|event_type| event_type.name)
            .chain(AGGREGATES.iter().map(|aggregate| aggregate.command))
            .chain(ACCOUNTS.iter().map(|(name, _)| *name))
            .chain([NOTICE.0])
            .collect();
        let name = args.event_type.as_deref().unwrap_or_default();
        let list = format!("use {}", known.join(", "));
        let hint = suggest::did_you_mean(name, known.iter().copied(), &list);
        bail!(Usage(format!("unknown record type `{name}`; {hint}")));
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tcc-trace",
        "description": "One line of `--output jsonl`. Events have the members whose x-set is `standard`; with `--all-fields`, all members; with `--fields`, `type` and the requested ones.",
        "oneOf": records,
    });
    let text = serde_json::to_string_pretty(&schema)? + "\n";
    super::print(text.as_bytes())?;
    Ok(0)
}

fn record(event_type: &EventType) -> Value {
    let mut properties = Map::new();
    properties.insert("type".into(), json!({ "const": event_type.name }));
    for column in (event_type.columns)() {
        match column.group() {
            None => {
                properties.insert(column.name.into(), of_event(column));
            }
            Some(group) => {
                let entry = properties.entry(group).or_insert_with(|| {
                    json!({
                        "type": ["object", "null"],
                        "description": format!("State of {group}. Null on connections under another algorithm."),
                        "properties": {},
                        "additionalProperties": false,
                        "x-set": set(column),
                    })
                });
                entry["properties"][column.leaf()] = of_event(column);
            }
        }
    }
    json!({
        "title": event_type.name,
        "description": event_type.doc,
        "type": "object",
        "properties": properties,
        // --fields may leave out all others.
        "required": ["type"],
        "additionalProperties": false,
    })
}

fn of_event(column: &Column) -> Value {
    let mut property = property(column);
    property["x-set"] = set(column).into();
    property
}

/// The set of columns that it belongs to.
pub(super) fn set(column: &Column) -> &'static str {
    match column.set {
        Set::Standard => "standard",
        Set::Full => "all",
        Set::Named => "by name",
    }
}

fn properties<'c>(columns: impl IntoIterator<Item = &'c Column>) -> Map<String, Value> {
    columns.into_iter().map(|column| (column.name.to_owned(), property(column))).collect()
}

fn summary(record: &AggregateType) -> Value {
    let mut members = Map::new();
    members.insert("type".into(), json!({ "const": "summary" }));
    members.insert("command".into(), json!({ "const": record.command }));
    for (name, doc) in INTERVAL {
        let mut member = if *name == "time" {
            json!({ "type": ["string", "number"] })
        } else {
            json!({ "type": "integer", "minimum": 0, "x-unit": "ns" })
        };
        member["description"] = (*doc).into();
        members.insert((*name).into(), member);
    }
    members.insert(
        "key".into(),
        json!({
            "type": ["object", "null"],
            "description": KEY,
            "properties": properties(record.key),
            "additionalProperties": false,
        }),
    );
    members.extend(properties(record.columns));
    let optional: Vec<&str> = record
        .columns
        .iter()
        .filter(|column| column.set == Set::Named)
        .map(|column| column.name)
        .collect();
    if record.has_buckets() {
        let bucket = record
            .bucket()
            .iter()
            .map(|column| (column.name.trim_start_matches("bucket_").to_owned(), property(column)));
        let bucket: Map<String, Value> = bucket.collect();
        members.insert(
            "buckets".into(),
            json!({
                "type": "array",
                "description": BUCKETS,
                "items": {
                    "type": "object",
                    "required": bucket.keys().collect::<Vec<_>>(),
                    "properties": bucket,
                    "additionalProperties": false,
                },
            }),
        );
    }
    json!({
        "title": record.command,
        "description": record.doc,
        "type": "object",
        "required": members.keys().filter(|name| !optional.contains(&name.as_str())).collect::<Vec<_>>(),
        "properties": members,
        "additionalProperties": false,
    })
}

/// The meaning of a column, with the kernel member that it needs.
pub(super) fn meaning(column: &Column) -> String {
    match column.need {
        None => column.doc.to_owned(),
        Some(need) => {
            format!("{} Needs `{}.{}`, else null.", column.doc, need.type_name, need.member)
        }
    }
}

fn property(column: &Column) -> Value {
    let mut property = match column.ty {
        Type::Bool => json!({ "type": ["boolean", "null"] }),
        Type::Unsigned => json!({ "type": ["integer", "null"], "minimum": 0 }),
        Type::Signed => json!({ "type": ["integer", "null"] }),
        Type::Float => json!({ "type": ["number", "null"] }),
        Type::Text => json!({ "type": ["string", "null"] }),
        Type::TextList => {
            json!({ "type": ["array", "null"], "items": { "type": ["string", "null"] } })
        }
        Type::Address => {
            json!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] })
        }
        Type::Time => json!({ "type": ["string", "number"] }),
    };
    property["description"] = meaning(column).into();
    property["x-source"] = column.source.into();
    if !column.unit.name().is_empty() {
        property["x-unit"] = column.unit.name().into();
    }
    property
}

/// Integer members with these names and meanings.
fn counters(docs: &[(&str, &str)]) -> Map<String, Value> {
    let counter = |doc| json!({ "description": doc, "type": "integer", "minimum": 0 });
    docs.iter().map(|(name, doc)| ((*name).to_owned(), counter(doc))).collect()
}

fn account(name: &str, doc: &str) -> Value {
    let counts = counters(Counts::DOCS);
    let optional = counts
        .keys()
        .cloned()
        .chain(["own_cost", "event_types", "aggregate", "count", "outputs"].map(str::to_owned));
    let optional: Vec<String> = optional.collect();
    let mut properties = counts.clone();
    properties.insert("type".into(), json!({ "const": name }));
    properties.insert(
        "time".into(),
        json!({ "description": "Time of the record.", "type": ["string", "number"] }),
    );
    for (name, doc) in Accounting::DOCS {
        let property = match *name {
            "own_cost" => own_cost(),
            "evicted" => json!({ "type": "object", "properties": counters(Evicted::DOCS) }),
            "event_types" => of_event_types(&counts),
            "aggregate" => of_action(&counters(AggregateCounts::DOCS)),
            "count" => of_action(&counters(CountCounts::DOCS)),
            "outputs" => json!({ "type": "array", "items": output_account() }),
            _ => json!({ "type": "integer", "minimum": 0 }),
        };
        properties.insert((*name).into(), property);
        properties[*name]["description"] = (*doc).into();
    }
    json!({
        "title": name,
        "description": doc,
        "type": "object",
        // Each action has its counters. With one output, its counters are those of the event types.
        "required": properties.keys().filter(|name| !optional.contains(name)).collect::<Vec<_>>(),
        "properties": properties,
        "additionalProperties": false,
    })
}

fn own_cost() -> Value {
    let mut properties = counters(OwnCost::DOCS);
    for name in ["programs_run_time_ns", "programs_run_cnt"] {
        properties[name]["type"] = json!(["integer", "null"]);
    }
    json!({
        "type": "object",
        "required": properties.keys().collect::<Vec<_>>(),
        "properties": properties,
        "additionalProperties": false,
    })
}

fn notice() -> Value {
    let left_out = counters(LeftOut::DOCS);
    let mut properties = Map::new();
    properties.insert("type".into(), json!({ "const": NOTICE.0 }));
    properties.insert(
        "time".into(),
        json!({ "description": "Time of the record.", "type": ["string", "number"] }),
    );
    for (name, doc) in Notice::DOCS {
        let property = match *name {
            "evicted" => json!({ "type": "object", "properties": counters(Evicted::DOCS) }),
            "event_types" => json!({
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "required": left_out.keys().collect::<Vec<_>>(),
                    "properties": left_out,
                    "additionalProperties": false,
                },
            }),
            _ => json!({ "type": "integer", "minimum": 0 }),
        };
        properties.insert((*name).into(), property);
        properties[*name]["description"] = (*doc).into();
    }
    json!({
        "title": NOTICE.0,
        "description": NOTICE.1,
        "type": "object",
        "required": properties.keys().collect::<Vec<_>>(),
        "properties": properties,
        "additionalProperties": false,
    })
}

/// Counters of an action.
fn of_action(counts: &Map<String, Value>) -> Value {
    let mut properties = counts.clone();
    properties.insert("event_types".into(), of_event_types(counts));
    json!({
        "type": "object",
        "required": properties.keys().collect::<Vec<_>>(),
        "properties": properties,
        "additionalProperties": false,
    })
}

fn of_event_types(counts: &Map<String, Value>) -> Value {
    let counts = json!({
        "type": "object",
        "required": counts.keys().collect::<Vec<_>>(),
        "properties": counts,
        "additionalProperties": false,
    });
    json!({
        "description": "The counters of each event type.",
        "type": "object",
        "additionalProperties": counts,
    })
}

/// Of one of several outputs.
fn output_account() -> Value {
    let mut properties = counters(OutputAccount::DOCS);
    properties["format"]["type"] = "string".into();
    for name in ["path", "error"] {
        properties[name]["type"] = json!(["string", "null"]);
    }
    for name in ["format", "path", "error"] {
        properties[name].as_object_mut().map(|property| property.remove("minimum"));
    }
    json!({
        "type": "object",
        "required": properties.keys().collect::<Vec<_>>(),
        "properties": properties,
        "additionalProperties": false,
    })
}
