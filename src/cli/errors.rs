//! clap's errors in one line: what is wrong, then what to do.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Command, CommandFactory};

use super::{Cli, help};
use crate::suggest;

/// Values that are listed beside a suggestion.
const SHORT_LIST: usize = 10;

/// `args` are those of the process, its name first.
#[must_use]
pub fn one_line(error: &Error, args: &[OsString]) -> String {
    let root = Cli::command();
    // Options before a command are an error, so a command is the first argument.
    let first = args.get(1).and_then(|arg| arg.to_str());
    let command = first.and_then(|name| root.find_subcommand(name));
    let own = command.map_or(String::new(), |command| format!(" {}", command.get_name()));
    let option = option(error);
    let value = text(error, ContextKind::InvalidValue);
    let subject = if value.is_empty() { option.clone() } else { format!("{option} {value}") };
    match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => unknown(error, &root, command),
        ErrorKind::InvalidValue => {
            let valid = texts(error, ContextKind::ValidValue);
            let list = if valid.is_empty() {
                format!("see tcc-trace{own} --help")
            } else {
                format!("use {}", valid.join(", "))
            };
            if value.is_empty() {
                return format!("{option} needs a value; {list}");
            }
            let hint = suggest::did_you_mean(&value, valid.iter().map(String::as_str), &list);
            // A suggestion may be wrong: a short list does not hurt.
            let more = hint != list && valid.len() <= SHORT_LIST;
            let more = if more { format!(" ({list})") } else { String::new() };
            format!("{subject}: unknown value; {hint}{more}")
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string);
            format!("{subject}: {}", why.unwrap_or_default())
        }
        ErrorKind::ArgumentConflict => conflict(error, &option),
        ErrorKind::MissingRequiredArgument => {
            let missing = texts(error, ContextKind::InvalidArg).join(" ");
            format!("missing argument {missing}; see tcc-trace{own} -h")
        }
        ErrorKind::TooManyValues => format!("{option} takes no value; see tcc-trace{own} --help"),
        other => format!("{other}; see tcc-trace{own} --help"),
    }
}

/// An argument that is not an option, or not one of this command.
fn unknown(error: &Error, root: &Command, command: Option<&Command>) -> String {
    let mut word = text(error, ContextKind::InvalidArg);
    if word.is_empty() {
        word = text(error, ContextKind::InvalidSubcommand);
    }
    let own = command.map_or(String::new(), |command| format!(" {}", command.get_name()));
    if !word.starts_with('-') {
        if command.is_some() {
            return format!("unexpected argument `{word}`; see tcc-trace{own} -h");
        }
        if root.find_subcommand(&word).is_some() {
            return format!("options go after the command: tcc-trace {word} [OPTIONS]");
        }
        let hint = suggest::did_you_mean(&word, help::topics(), "tcc-trace -h lists the commands");
        return format!("unknown command `{word}`; {hint}");
    }
    let name = word.trim_start_matches('-').split('=').next().unwrap_or_default();
    let has = |command: &&Command| command.get_arguments().any(|arg| arg.get_long() == Some(name));
    let others: Vec<&str> = root.get_subcommands().filter(has).map(Command::get_name).collect();
    if !others.is_empty() {
        return format!(
            "{word} cannot be used with tcc-trace{own}; it is an option of {}",
            others.join(", ")
        );
    }
    let known = command.unwrap_or(root).get_arguments().filter_map(|arg| arg.get_long());
    let known: Vec<String> = known.map(|name| format!("--{name}")).collect();
    let list = format!("tcc-trace{own} --help lists the options");
    let hint = suggest::did_you_mean(&word, known.iter().map(String::as_str), &list);
    format!("unknown option {word}; {hint}")
}

fn conflict(error: &Error, option: &str) -> String {
    let others: Vec<String> =
        texts(error, ContextKind::PriorArg).iter().map(|arg| bare(arg)).collect();
    if others.iter().all(|other| other == option) {
        return format!("{option} can be given only once");
    }
    format!("{option} cannot be used with {}", others.join(", "))
}

/// The argument in question, without its value's name; a positional one is `topic` or `shell`.
fn option(error: &Error) -> String {
    let arg = text(error, ContextKind::InvalidArg);
    if arg.starts_with(['[', '<']) {
        return arg.trim_matches(['[', ']', '<', '>']).to_lowercase();
    }
    bare(&arg)
}

/// `--port` of `--port <PORTS>`.
fn bare(arg: &str) -> String {
    arg.split([' ', '=']).next().unwrap_or_default().to_owned()
}

fn text(error: &Error, kind: ContextKind) -> String {
    texts(error, kind).into_iter().next().unwrap_or_default()
}

/// What clap knows of the error. Control characters are escaped where it is printed.
fn texts(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}
