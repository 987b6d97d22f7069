//! What docs/compatibility.md promises to keep: each list in tests/compatibility/ has the names that users rely on, and no listed
//! name may go away.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use serde_json::Value;
use support::root;
use tcc_trace::cli::Cli;
use tcc_trace::recording::schema::RECORDS;
use tcc_trace::sink::FORMATS;

type Names = BTreeSet<String>;

/// A list, and what this program has for it.
type List = (&'static str, fn() -> Names);

const LISTS: &[List] = &[
    ("columns", columns),
    ("options", options),
    ("formats", formats),
    ("record-members", record_members),
];

fn path(list: &str) -> PathBuf {
    root().join("tests/compatibility").join(format!("{list}.txt"))
}

fn lines(list: &str) -> Names {
    let text = fs::read_to_string(path(list)).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// What is wrong with a program that has these names.
fn wrong(list: &str, listed: &Names, present: &Names) -> Option<String> {
    let join =
        |names: Vec<&String>| names.iter().map(|name| format!("\n  {name}")).collect::<String>();
    let gone: Vec<&String> = listed.difference(present).collect();
    let new: Vec<&String> = present.difference(listed).collect();
    let mut text = String::new();
    if !gone.is_empty() {
        text += &format!(
            "{list}: removed or changed, which only a new major version may do (docs/compatibility.md):{}\n",
            join(gone)
        );
    }
    if !new.is_empty() {
        text += &format!(
            "{list}: new; UPDATE=1 cargo test --test compatibility lists them:{}\n",
            join(new)
        );
    }
    (!text.is_empty()).then_some(text)
}

#[test]
fn no_listed_name_goes_away() {
    let mut failed = String::new();
    for (list, present) in LISTS {
        let present = present();
        assert!(!present.is_empty(), "{list}");
        // This never removes a line: that is a decision to be made by hand.
        if std::env::var_os("UPDATE").is_some() {
            let text = fs::read_to_string(path(list)).unwrap_or_default();
            let comments = text.lines().take_while(|line| line.starts_with('#')).map(str::to_owned);
            let all = lines(list).into_iter().chain(present.clone()).collect::<Names>();
            let text: String = comments.chain(all).map(|line| line + "\n").collect();
            fs::write(path(list), text).unwrap();
        }
        let mut listed = lines(list);
        if !cfg!(feature = "parquet") {
            listed.retain(|name| !name.ends_with("parquet"));
        }
        failed += &wrong(list, &listed, &present).unwrap_or_default();
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn removed_and_new_names_are_found() {
    let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Names>();
    assert_eq!(wrong("columns", &names("a b"), &names("a b")), None);
    let text = wrong("columns", &names("a b"), &names("a c")).expect("a difference");
    assert!(text.contains("removed or changed") && text.contains("\n  b\n"), "{text}");
    assert!(text.contains("UPDATE=1") && text.contains("\n  c\n"), "{text}");
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tcc-trace"))
}

/// Each member of each JSON record, with its type and its unit, as `schema` prints them. Columns of CSV and Parquet, fields of
/// `--fields` and of `--where` have the same names.
fn columns() -> Names {
    let output = program().arg("schema").output().expect("it runs");
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut names = Names::new();
    for record in schema["oneOf"].as_array().expect("records") {
        members(record["title"].as_str().expect("a title"), &record["properties"], &mut names);
    }
    names
}

fn members(prefix: &str, properties: &Value, names: &mut Names) {
    for (name, property) in properties.as_object().expect("properties") {
        let name = format!("{prefix}.{name}");
        let types = match &property["type"] {
            Value::String(one) => one.clone(),
            Value::Array(several) => {
                several.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("|")
            }
            _ => "constant".to_owned(),
        };
        let unit = property["x-unit"].as_str().map(|unit| format!(" {unit}")).unwrap_or_default();
        names.insert(format!("{name}: {types}{unit}"));
        for inner in [&property["properties"], &property["items"]["properties"]] {
            if inner.is_object() {
                members(&name, inner, names);
            }
        }
    }
}

/// Commands, their options with short names, and the values of those that have a fixed set.
fn options() -> Names {
    let mut cli = Cli::command();
    cli.build();
    let mut names = Names::new();
    let commands = cli.get_subcommands().filter(|command| !command.is_hide_set());
    // Without a command, the options are those of `probe`.
    for command in std::iter::once(&cli).chain(commands) {
        let of = command.get_name();
        names.insert(of.to_owned());
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let Some(long) = argument.get_long() else { continue };
            let short = argument.get_short().map(|short| format!(" -{short}")).unwrap_or_default();
            names.insert(format!("{of} --{long}{short}"));
            let aliases = argument.get_visible_aliases().unwrap_or_default();
            names.extend(aliases.iter().map(|alias| format!("{of} --{alias}")));
            let is_flag = !argument.get_action().takes_values();
            let values = argument.get_possible_values().into_iter();
            let values = values.filter(|value| !is_flag && !value.is_hide_set());
            names.extend(values.map(|value| format!("{of} --{long} {}", value.get_name())));
        }
    }
    names
}

fn formats() -> Names {
    FORMATS.iter().map(|format| format.name.to_owned()).collect()
}

/// The members of records in recordings: a reader finds them by path, and reads integers of the stated width.
fn record_members() -> Names {
    let mut names = Names::new();
    for record in RECORDS {
        for (path, _, width, count, signed) in record.members {
            let sign = if *signed { "i" } else { "u" };
            let many = if *count > 1 { format!(" × {count}") } else { String::new() };
            names.insert(format!("{} {path}: {sign}{}{many}", record.name, u32::from(*width) * 8));
        }
    }
    names
}

/// Command lines in the list end with the status before them.
#[test]
fn exit_statuses_are_as_listed() {
    let listed = lines("exit-statuses");
    assert!(listed.len() > 5, "{listed:?}");
    let mut statuses = BTreeSet::new();
    for line in listed {
        let (status, command) = line.split_once(' ').expect("a status and a command line");
        let words = shlex::split(command).expect("words");
        let mut program = program();
        program.args(&words[1..]).current_dir(root()).stdin(Stdio::null());
        let output = program.output().expect("it runs");
        let found = output.status.code().expect("a status");
        assert_eq!(found.to_string(), status, "{command}: {output:?}");
        statuses.insert(found);
    }
    let page = fs::read_to_string(root().join("docs/compatibility.md")).unwrap();
    let table = page.split("\n## Exit status\n").nth(1).and_then(|text| text.split("\n## ").next());
    let rows = table.expect("its section").lines().filter_map(|line| line.strip_prefix("| "));
    let documented = rows.filter_map(|row| row.split(' ').next()?.parse().ok());
    assert_eq!(documented.collect::<BTreeSet<i32>>(), statuses, "docs/compatibility.md");
}

/// The version in Cargo.toml is the first of the changelog, and that of the image in the manifest.
#[test]
fn versions_agree() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let versions: Vec<&str> =
        changelog.lines().filter_map(|line| line.strip_prefix("## ")?.split(' ').next()).collect();
    assert_eq!(versions.first(), Some(&env!("CARGO_PKG_VERSION")), "CHANGELOG.md");
    let output = program().arg("--version").output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    let manifest = fs::read_to_string(root().join("contrib/kubernetes/daemonset.yaml")).unwrap();
    let image = format!("\n          image: tcc-trace:{}\n", env!("CARGO_PKG_VERSION"));
    assert!(manifest.contains(&image), "{manifest}");
}
