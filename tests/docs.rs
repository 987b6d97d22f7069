//! The documentation says what the program says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};

#[test]
fn the_reference_page_is_what_the_program_prints() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let printed = tcc_trace::cmd::docs::reference();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&page, &printed).unwrap();
    }
    let written = fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == printed,
        "docs/reference.md is out of date: UPDATE=1 cargo test --test docs"
    );
}

fn options(command: &Command, found: &mut BTreeSet<String>) {
    found.extend(command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned));
    command.get_subcommands().for_each(|command| options(command, found));
}

/// Each option was looked at, and none that is not there any more: docs/security.md.
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
