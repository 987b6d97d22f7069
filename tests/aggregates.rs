//! Every aggregate is where users and developers look for it.

mod support;

use std::fs;
use std::process::Command;

use clap::CommandFactory;
use serde_json::Value;
use tcc_trace::cli::Cli;
use tcc_trace::summary::AGGREGATES;
use tcc_trace::table::Column;
use tcc_trace::table::summary::{AggregateSource, AggregateType};

use support::{documents, root};

fn names(columns: &[Column]) -> Vec<&str> {
    columns.iter().map(|column| column.name).collect()
}

#[test]
fn each_has_a_command_with_help() {
    let cli = Cli::command();
    let groups = tcc_trace::cli::help::GROUPS.iter().flat_map(|(_, commands)| commands.iter());
    let grouped: Vec<&&str> = groups.collect();
    for aggregate in AGGREGATES {
        let name = aggregate.command;
        let command = cli.find_subcommand(name).unwrap_or_else(|| panic!("no command {name}"));
        assert!(grouped.contains(&&name), "{name} is in no group of the help");
        let options: Vec<&str> =
            command.get_opts().filter_map(|option| option.get_long()).collect();
        assert!(options.contains(&"interval"), "{name}: {options:?}");
        if std::ptr::eq(aggregate.key, &raw const tcc_trace::summary::key::KEY[..]) {
            assert!(options.contains(&"by"), "{name}: {options:?}");
        }
    }
    let mut commands: Vec<&str> = AGGREGATES.iter().map(|aggregate| aggregate.command).collect();
    commands.sort_unstable();
    commands.dedup();
    assert_eq!(commands.len(), AGGREGATES.len(), "one aggregate for each command");
}

#[test]
fn each_is_in_the_schema() {
    for aggregate in AGGREGATES {
        let mut schema = Command::new(env!("CARGO_BIN_EXE_tcc-trace"));
        let output = schema.args(["schema", aggregate.command]).output().expect("it runs");
        let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let record = &schema["oneOf"][0];
        assert_eq!(record["description"], aggregate.doc);
        let properties = record["properties"].as_object().expect("properties");
        let keys = record["properties"]["key"]["properties"].as_object().expect("keys");
        assert_eq!(keys.keys().collect::<Vec<_>>(), names(aggregate.key), "{}", aggregate.command);
        let own = properties.keys().map(String::as_str);
        let own: Vec<&str> = own.filter(|name| names(aggregate.columns).contains(name)).collect();
        assert_eq!(own, names(aggregate.columns), "{}", aggregate.command);
        assert_eq!(properties.contains_key("buckets"), aggregate.has_buckets());
    }
}

#[test]
fn each_is_documented() {
    let reference = fs::read_to_string(root().join("docs/reference/summaries.md")).unwrap();
    for aggregate in AGGREGATES {
        let heading = format!("\n## {}\n", aggregate.command);
        let section = reference.split(&heading).nth(1).expect("a section of the reference");
        let section = section.split("\n## ").next().unwrap_or_default();
        assert!(section.contains(aggregate.doc), "{}", aggregate.command);
        for name in names(aggregate.columns) {
            assert!(section.contains(&format!("| `{name}` |")), "{}: {name}", aggregate.command);
        }
        let pages = documents().into_iter().filter(|page| {
            page.file_name().is_some_and(|name| name.to_string_lossy().starts_with("commands-"))
        });
        let documented = pages.map(|page| fs::read_to_string(page).unwrap());
        let with = documented.filter(|text| text.contains(&heading)).count();
        assert_eq!(with, 1, "{}: pages with its command", aggregate.command);
    }
}

/// A value of a row exists for each of its columns, and is one of its sums.
#[test]
fn each_sum_has_its_columns() {
    let layouts =
        AGGREGATES.iter().filter_map(|aggregate: &&AggregateType| match &aggregate.source {
            AggregateSource::Sums(layout) => Some((aggregate, layout)),
            _ => None,
        });
    let mut count = 0;
    for (aggregate, layout) in layouts {
        count += 1;
        assert_eq!(layout.values.len(), aggregate.columns.len(), "{}", aggregate.command);
        let sums = tcc_trace::summary::sums::SUMS;
        assert!(layout.events < sums && layout.weight.end <= sums, "{}", aggregate.command);
        assert!(!layout.weight.contains(&layout.events), "{}", aggregate.command);
        for view in layout.view {
            let known = names(aggregate.columns).contains(&view.column);
            assert!(known, "{}: {}", aggregate.command, view.column);
        }
    }
    assert!(count > 1, "{count}");
}

/// CONTRIBUTING names the files to edit, and each aggregate has its own.
#[test]
fn the_steps_to_add_one_name_files() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let steps = text.split("\n### … an aggregate\n").nth(1).expect("its section");
    let steps = steps.split("\n### ").next().unwrap_or_default();
    let code = steps.split('`').skip(1).step_by(2);
    let paths: Vec<&str> = code.filter(|code| code.starts_with("src/")).collect();
    assert!(paths.len() > 4, "{paths:?}");
    for path in paths {
        let directory = path.split('<').next().unwrap_or_default();
        assert!(root().join(directory).exists(), "{path}");
        for aggregate in AGGREGATES.iter().filter(|_| path == "src/summary/<name>.rs") {
            let path = path.replace("<name>", aggregate.command);
            assert!(root().join(&path).exists(), "{path}");
        }
    }
    assert!(steps.contains("`src/summary/<name>.rs`"), "{steps}");
}
