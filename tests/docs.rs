//! The documentation agrees with the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};
use serde_json::Value;

#[test]
fn the_reference_is_as_generated() {
    if cfg!(feature = "parquet") {
        // It lists the formats of the default build.
        eprintln!("skipped: the_reference_is_as_generated: built with the feature parquet");
        return;
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    let pages = tcc_trace::cmd::reference::pages();
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(&dir).unwrap();
        for (name, text) in &pages {
            fs::write(dir.join(name), text).unwrap();
        }
    }
    for (name, text) in &pages {
        let written = fs::read_to_string(dir.join(name)).unwrap_or_default();
        assert!(
            written == *text,
            "docs/reference/{name} is out of date: UPDATE=1 cargo test --test docs"
        );
    }
    let generated: BTreeSet<String> = pages.into_iter().map(|(name, _)| name).collect();
    let files = fs::read_dir(&dir).unwrap().map(|file| file.unwrap().file_name());
    let files: BTreeSet<String> = files.map(|name| name.to_str().unwrap().to_owned()).collect();
    assert_eq!(files, generated, "every file in docs/reference is generated");
}

/// Links within the reference lead to a page and a heading.
/// Names in the first column of the tables of a page, or of a section of it.
fn rows(text: &str) -> Vec<&str> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(name, _)| name).collect()
}

fn section<'t>(page: &'t str, title: &str) -> &'t str {
    let text = page.split(&format!("\n## {title}\n")).nth(1).expect("the section");
    &text[..text.find("\n## ").unwrap_or(text.len())]
}

/// The printed schema of all records, or of one.
fn schema(args: &[&str]) -> Value {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tcc-trace"));
    let output = command.arg("schema").args(args).output().expect("it runs");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The reference and the schema have the same columns, in the same order.
#[test]
fn the_schema_has_every_column() {
    let schema = schema(&[]);
    let records = schema["oneOf"].as_array().expect("records");
    let titles: Vec<&Value> = records.iter().map(|record| &record["title"]).collect();
    let event_types: Vec<&str> = tcc_trace::events::EVENT_TYPES.iter().map(|e| e.name).collect();
    let aggregates: Vec<&str> = tcc_trace::summary::AGGREGATES.iter().map(|a| a.command).collect();
    assert_eq!(titles, [&event_types[..], &aggregates, &["stats", "end", "notice"]].concat());
    let pages = tcc_trace::cmd::reference::pages();
    let page = |name: &str| {
        let found = pages.iter().find(|(file, _)| file.strip_suffix(".md") == Some(name));
        found.map(|(_, text)| text.as_str()).expect("the page")
    };
    let shared = |title| rows(section(page("README"), title));
    for (event_type, record) in event_types.iter().zip(records) {
        let mut names = Vec::new();
        for (name, property) in record["properties"].as_object().expect("properties") {
            match property["properties"].as_object() {
                Some(members) => names.extend(members.keys().map(|leaf| format!("{name}.{leaf}"))),
                None => names.push(name.clone()),
            }
        }
        let own = rows(page(event_type));
        let mut columns = [shared("Common columns"), own.clone()].concat();
        if *event_type == "probe" {
            assert!(own.len() > 100, "{}", own.len());
        } else {
            let connection = shared("Connection columns");
            columns.extend(shared("Owner columns"));
            columns.extend(connection.iter().filter(|name| !own.contains(name)));
        }
        assert!(columns.len() > 20, "{event_type}: {}", columns.len());
        assert_eq!(names[0], "type");
        assert_eq!(names[1..], columns, "{event_type}");
    }

    let summaries = page("summaries");
    for record in &records[event_types.len()..event_types.len() + aggregates.len()] {
        let command = record["title"].as_str().expect("a title");
        let own = rows(section(summaries, command));
        let key = record["properties"]["key"]["properties"].as_object().expect("a key");
        let key: Vec<&str> = key.keys().map(String::as_str).collect();
        let properties = record["properties"].as_object().expect("properties").keys();
        let other = ["type", "command", "time", "interval_ns", "key", "buckets"];
        let columns: Vec<&str> =
            properties.map(String::as_str).filter(|name| !other.contains(name)).collect();
        if ["observe", "limits", "top", "listeners"].contains(&command) {
            assert_eq!(own, [key, columns].concat(), "{command}");
        } else {
            assert_eq!((own, rows(section(summaries, "Keys"))), (columns, key), "{command}");
        }
    }

    let one = self::schema(&["end"]);
    let counts = one["oneOf"][0]["properties"].as_object().expect("properties");
    let evicted = counts["evicted"]["properties"].as_object().expect("properties");
    let documented = rows(page("accounting"));
    let own_cost = counts["own_cost"]["properties"].as_object().expect("properties");
    for (prefix, counts) in [("", counts), ("evicted.", evicted), ("own_cost.", own_cost)] {
        for (name, count) in counts.iter().filter(|(_, count)| count["type"] == "integer") {
            assert!(count["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            let name = format!("{prefix}{name}");
            assert!(documented.contains(&&*name), "{name}");
        }
    }
    assert_eq!(one["oneOf"].as_array().map(Vec::len), Some(1));
    assert_eq!(one["oneOf"][0]["title"], "end");
}

fn options(command: &Command, found: &mut BTreeSet<String>) {
    found.extend(command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned));
    command.get_subcommands().for_each(|command| options(command, found));
}

/// docs/security.md covers every option, and no others.
#[test]
fn the_security_page_goes_through_all_options() {
    let mut known = BTreeSet::from(["help".to_owned(), "version".to_owned()]);
    options(&tcc_trace::cli::Cli::command(), &mut known);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let page = fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let named: BTreeSet<String> = rows
        .flat_map(|cell| cell.split('`'))
        .filter_map(|word| word.strip_prefix("--"))
        .filter(|option| !option.starts_with(' '))
        .map(str::to_owned)
        .collect();
    assert_eq!(named, known);
}
