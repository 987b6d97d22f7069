//! `schema`: the JSON Schema of every record, and the fields' part of the reference page, made from the column tables.

use std::fmt::Write;

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use crate::accounting::{Counts, Evicted};
use crate::cli::SchemaArgs;
use crate::config::Usage;
use crate::events::{EVENT_TYPES, EventType};
use crate::summary::{cong, connlat, key, listeners, retrans, rtt, top};
use crate::table::summary::BUCKET;
use crate::table::{Column, Set, Type};

/// Records that are not events.
const ACCOUNTS: &[(&str, &str)] = &[
    ("stats", "What became of the events so far (--stats, SIGUSR1)."),
    ("end", "What became of all events; the last line."),
];

/// Records of the commands that count: command, meaning, all columns of a key, columns, are there buckets?
struct Counting {
    command: &'static str,
    doc: &'static str,
    key: &'static [Column],
    columns: &'static [Column],
    buckets: bool,
}

static COUNTING: &[Counting] = &[
    Counting {
        command: "retrans",
        doc: retrans::DOC,
        key: &key::KEY,
        columns: &retrans::COLUMNS,
        buckets: false,
    },
    Counting {
        command: "cong",
        doc: cong::DOC,
        key: &key::KEY,
        columns: &cong::COLUMNS,
        buckets: false,
    },
    Counting {
        command: "rtt",
        doc: rtt::DOC,
        key: &key::KEY,
        columns: &rtt::COLUMNS,
        buckets: true,
    },
    Counting {
        command: "connlat",
        doc: connlat::DOC,
        key: &key::KEY,
        columns: &connlat::COLUMNS,
        buckets: true,
    },
    Counting {
        command: "top",
        doc: top::DOC,
        key: &top::KEY,
        columns: &top::COLUMNS,
        buckets: false,
    },
    Counting {
        command: "listeners",
        doc: listeners::DOC,
        key: &listeners::KEY,
        columns: &listeners::COLUMNS,
        buckets: false,
    },
];

/// Prints it.
pub fn run(args: &SchemaArgs) -> Result<u8> {
    let event_types: Vec<&EventType> = EVENT_TYPES
        .iter()
        .filter(|event_type| args.event_type.as_deref().is_none_or(|name| name == event_type.name))
        .collect();
    let accounts: Vec<_> = ACCOUNTS
        .iter()
        .filter(|(name, _)| args.event_type.as_deref().is_none_or(|asked| asked == *name))
        .collect();
    let counting: Vec<_> = COUNTING
        .iter()
        .filter(|counting| args.event_type.as_deref().is_none_or(|asked| asked == counting.command))
        .collect();
    if event_types.is_empty() && accounts.is_empty() && counting.is_empty() {
        let known: Vec<&str> = EVENT_TYPES
            .iter()
            .map(|k| k.name)
            .chain(COUNTING.iter().map(|counting| counting.command))
            .chain(ACCOUNTS.iter().map(|(name, _)| *name))
            .collect();
        bail!(Usage(format!(
            "no record `{}`; there are: {}",
            args.event_type.as_deref().unwrap_or_default(),
            known.join(", ")
        )));
    }
    let records = event_types
        .iter()
        .map(|event_type| record(event_type))
        .chain(counting.iter().map(|counting| summary(counting)))
        .chain(accounts.iter().map(|(name, doc)| account(name, doc)));
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tcc-trace",
        "description": "One line of --output jsonl. An event has at least the keys whose x-set is standard; with --all-fields all keys; with --fields type and those alone.",
        "oneOf": records.collect::<Vec<Value>>(),
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
                        "description": format!("State of {group}; null on connections under another algorithm."),
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
        // All others may be left out by --fields.
        "required": ["type"],
        "additionalProperties": false,
    })
}

fn of_event(column: &Column) -> Value {
    let mut property = property(column);
    property["x-set"] = set(column).into();
    property
}

/// When an event has it.
fn set(column: &Column) -> &'static str {
    match column.set {
        Set::Standard => "standard",
        Set::Full => "all",
    }
}

fn properties<'c>(columns: impl IntoIterator<Item = &'c Column>) -> Map<String, Value> {
    columns.into_iter().map(|column| (column.name.to_owned(), property(column))).collect()
}

fn summary(counting: &Counting) -> Value {
    let key = json!({
        "type": ["object", "null"],
        "description": "What the row is of; null: all that there was no room for.",
        "properties": properties(counting.key),
        "additionalProperties": false,
    });
    let mut members = Map::new();
    members.insert("type".into(), json!({ "const": "summary" }));
    members.insert("command".into(), json!({ "const": counting.command }));
    members.insert(
        "time".into(),
        json!({ "type": ["string", "number"], "description": "The end of the interval." }),
    );
    members.insert("interval_ns".into(), json!({ "type": "integer", "minimum": 0, "x-unit": "ns", "description": "Its length: the row is of what came in it, and of nothing before." }));
    members.insert("key".into(), key);
    members.extend(properties(counting.columns));
    if counting.buckets {
        let bucket = BUCKET
            .iter()
            .map(|column| (column.name.trim_start_matches("bucket_").to_owned(), property(column)));
        let bucket: Map<String, Value> = bucket.collect();
        members.insert(
            "buckets".into(),
            json!({
                "type": "array",
                "description": "Those that are not empty, ascending; both ends belong to it.",
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
        "title": counting.command,
        "description": counting.doc,
        "type": "object",
        "required": members.keys().collect::<Vec<_>>(),
        "properties": members,
        "additionalProperties": false,
    })
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
    property["description"] = column.doc.into();
    property["x-source"] = column.source.into();
    if !column.unit.name().is_empty() {
        property["x-unit"] = column.unit.name().into();
    }
    property
}

/// What the numbers of an account are.
const COUNTS: &[(&str, &str)] = &[
    ("seen", "The kernel's hook fired; the sum of the others, but for those of the lost."),
    ("emitted", "Printed, and written to the last byte."),
    ("aggregated", "Counted in a summary."),
    ("filtered", "Not asked for."),
    ("sampled_out", "Left out by --sample, --every or --on-change."),
    ("rate_limited", "Over --rate, --rate-per-conn or --count."),
    ("lost", "The buffer was full, the kernel skipped the program, or the output did not take it."),
    ("malformed", "Arrived and made no sense."),
    (
        "recursion_misses",
        "Of the lost: the kernel skipped the program, as it interrupted its own run.",
    ),
    (
        "lost_undecided",
        "Of the lost: the owner, whom a filter or -- COMMAND asks for, was evicted for want of room (--max-conns).",
    ),
    ("duration_ns", "Since the start of the trace."),
    ("late", "Came too late to be put in the order of time: these stand behind younger events."),
    ("conns", "Connections: owner, limits, times."),
    ("listeners", "Listeners and whose they are."),
    ("accepting", "Threads in accept()."),
    ("zero_windows", "Connections with a window that is closed."),
    ("spurious_states", "Connections with something sent again, for spurious."),
    ("ca_state_times", "Connections' recovery states, for cong --by."),
    ("synacks", "Handshakes whose SYN-ACK was sent again, for handshake_us."),
    ("queued_packets", "Packets on their way to the driver, for queue."),
    ("processes", "Processes of the command for which there never was room: they are not traced."),
    (
        "closed_conns",
        "Closed connections whose socket a process still holds: their ends and totals.",
    ),
    ("listen_states", "Listening sockets and their drops, for listen_drop."),
];
const EVICTED: &str = "What was remembered between events and had to go, idle ones first, as there was no more \
    room (--max-conns): what would have come from it is null.";

fn count(name: &str) -> Value {
    let doc = COUNTS.iter().find(|(known, _)| *known == name).map(|(_, doc)| *doc);
    json!({ "description": doc, "type": "integer", "minimum": 0 })
}

fn counts_of(fields: &Value) -> Map<String, Value> {
    let keys = fields.as_object().into_iter().flat_map(Map::keys);
    keys.map(|key| (key.clone(), count(key))).collect()
}

fn evicted() -> Map<String, Value> {
    counts_of(&json!(Evicted::default()))
}

fn account(name: &str, doc: &str) -> Value {
    let counts = counts_of(&json!(Counts::default()));
    let mut properties = counts.clone();
    properties.insert("type".into(), json!({ "const": name }));
    properties.insert("time".into(), json!({ "type": ["string", "number"] }));
    properties.insert("duration_ns".into(), count("duration_ns"));
    properties.insert("late".into(), count("late"));
    properties.insert(
        "evicted".into(),
        json!({ "description": EVICTED, "type": "object", "properties": evicted() }),
    );
    properties.insert(
        "event_types".into(),
        json!({ "type": "object", "additionalProperties": { "type": "object", "properties": counts } }),
    );
    json!({
        "title": name,
        "description": doc,
        "type": "object",
        "required": properties.keys().collect::<Vec<_>>(),
        "properties": properties,
        "additionalProperties": false,
    })
}

/// The fields' part of the reference page.
#[must_use]
pub fn fields() -> String {
    let mut page = String::from("# Fields\n");
    for event_type in EVENT_TYPES {
        // Writing to a String does not fail.
        let hooks: Vec<String> = event_type.hooks().map(|hook| format!("`{hook}`")).collect();
        let title = if hooks.len() == 1 { "Hook" } else { "Hooks" };
        let hooks = hooks.join(", ");
        let _ =
            writeln!(page, "\n## {}\n\n{} {title}: {hooks}.\n", event_type.name, event_type.doc);
        table((event_type.columns)(), &mut page);
    }
    page += "\n# Accounts\n\nJSON lines without an event (`stats`, and `end`, the last one); on stderr for people.\n\n";
    page += "| field | meaning |\n|---|---|\n";
    for (name, doc) in COUNTS {
        let within = if evicted().contains_key(*name) { "evicted." } else { "" };
        let _ = writeln!(page, "| `{within}{name}` | {doc} |");
    }
    let _ = writeln!(page, "\n`evicted`: {EVICTED}");
    page += "\n# Summaries\n\nOne object a row in JSONL: `type` is `summary`, then `command`, `time` (the end), `interval_ns`, `key` and the fields. In CSV the key's fields stand before them";
    page += " and, where there are buckets, a row is a line a bucket.\n";
    for counting in COUNTING {
        let _ = writeln!(page, "\n## {}\n\n{}\n\nKey:\n", counting.command, counting.doc);
        table(counting.key, &mut page);
        page += "\nFields:\n\n";
        let buckets = BUCKET.iter().filter(|_| counting.buckets);
        table(counting.columns.iter().chain(buckets), &mut page);
    }
    page
}

fn table<'c>(columns: impl IntoIterator<Item = &'c Column>, page: &mut String) {
    *page += "| field | type | unit | set | meaning | in the kernel |\n|---|---|---|---|---|---|\n";
    for column in columns {
        let source = column.need.map_or_else(
            || format!("`{}`", column.source),
            |need| {
                format!(
                    "`{}`; null where `{}.{}` is missing",
                    column.source, need.type_name, need.member
                )
            },
        );
        let _ = writeln!(
            page,
            "| `{}` | {:?} | {} | {} | {} | {source} |",
            column.name,
            column.ty,
            column.unit.name(),
            set(column),
            column.doc.replace('|', "\\|"),
        );
    }
}
