//! `completions`, `man` and the reference page: made from the command line's own description and the column tables.

use std::fmt::Write;

use anyhow::Result;
use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;

/// Prints the completion script of a shell.
pub fn completions(shell: Shell) -> Result<u8> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tcc-trace", &mut out);
    super::print(&out)?;
    Ok(0)
}

/// Prints the manual page.
pub fn man() -> Result<u8> {
    let mut out = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut out)?;
    super::print(&out)?;
    Ok(0)
}

/// The reference page, which docs/reference.md is.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Reference\n\nMade by `tcc-trace reference`; a test holds this file against it.\n\n",
    );
    options("Options of every tracing command", &Cli::command(), &mut page);
    for command in Cli::command().get_subcommands().filter(|c| !c.is_hide_set()) {
        // Writing to a String does not fail.
        let about = command.get_long_about().or_else(|| command.get_about());
        let about = about.map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(page, "# tcc-trace {}\n\n{about}\n", command.get_name());
        options("Options", command, &mut page);
    }
    page + &super::schema::fields()
}

fn options(title: &str, command: &Command, page: &mut String) {
    let tracing = Cli::command();
    // What traces has a reader; the common options stand at the page's beginning.
    let traces = command.get_arguments().any(|arg| arg.get_id() == "reader");
    let common = |arg: &Arg| {
        command.get_name() != tracing.get_name()
            && traces
            && tracing.get_arguments().any(|other| other.get_id() == arg.get_id())
    };
    let shown: Vec<&Arg> =
        command.get_arguments().filter(|arg| !arg.is_hide_set() && !common(arg)).collect();
    if shown.is_empty() {
        return;
    }
    let _ = writeln!(page, "## {title}\n\n| option | meaning |\n|---|---|");
    for arg in shown {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(page, "| `{}` | {help}{} |", spelling(arg), choices(arg));
    }
    page.push('\n');
}

/// `-P, --port <PORTS>`.
fn spelling(arg: &Arg) -> String {
    let names =
        [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|name| format!("--{name}"))];
    let mut text = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if arg.get_action().takes_values()
        && let Some(value) = arg.get_value_names().and_then(|names| names.first())
    {
        let open =
            if arg.is_positional() { if arg.is_last_set() { "-- " } else { "" } } else { " " };
        let _ = write!(text, "{open}<{value}>");
    }
    text
}

fn choices(arg: &Arg) -> String {
    let values = arg.get_possible_values();
    if values.is_empty() || !arg.get_action().takes_values() {
        return String::new();
    }
    let names: Vec<String> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
    format!(" (one of {})", names.join(", "))
}
