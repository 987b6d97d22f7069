//! `--config FILE`: options of `export` in TOML, by their names.

use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};
use toml::de::{DeTable, DeValue};

use super::{Cli, errors};
use crate::config::{Given, Reload};
use crate::escape;
use crate::privilege;
use crate::suggest;

const COMMAND: &str = "export";
/// Options that are not of a file.
const NOT_KEYS: &[&str] = &["config", "check-config", "help", "version"];
/// A larger file is not one of ours.
const MOST_BYTES: u64 = 1 << 20;

/// The command line with the options of --config, if there is one.
pub fn complete(cli: Cli, args: &[OsString], matches: &ArgMatches) -> Result<(Cli, ArgMatches)> {
    let Some(args) = with_file(args, matches)? else { return Ok((cli, matches.clone())) };
    let matches = Cli::command().try_get_matches_from(&args);
    let matches = matches.map_err(|error| anyhow!(errors::one_line(&error, &args)))?;
    Ok((Cli::from_arg_matches(&matches)?, matches))
}

/// The options that were given, and what reads them again.
pub fn reload(args: &[OsString], matches: &ArgMatches) -> Reload {
    let args = args.to_vec();
    let read = move || {
        let matches = Cli::command().try_get_matches_from(&args)?;
        let (cli, matches) = complete(Cli::from_arg_matches(&matches)?, &args, &matches)?;
        let Some(super::Command::Export(export)) = cli.command else { bail!("no such command") };
        let export = export.into_config()?.export.context("no such command")?;
        Ok((given(&matches), export.targets))
    };
    Reload { given: given(matches), read: Arc::new(read) }
}

/// The values of all options by their names. With defaults: a line that has the default may come and go.
fn given(matches: &ArgMatches) -> Given {
    let root = Cli::command();
    let subcommand = matches.subcommand();
    let found = subcommand.and_then(|(name, found)| Some((root.find_subcommand(name)?, found)));
    let Some((command, matches)) = found else { return Given::new() };
    let value = |arg: &clap::Arg| {
        let values = matches.get_raw(arg.get_id().as_str())?.map(ToOwned::to_owned).collect();
        Some((arg.get_long()?.to_owned(), values))
    };
    command.get_arguments().filter_map(value).collect()
}

/// The arguments with those of the file, which stand before them. Options of the command line replace those of the file.
fn with_file(args: &[OsString], matches: &ArgMatches) -> Result<Option<Vec<OsString>>> {
    let Some((COMMAND, matches)) = matches.subcommand() else { return Ok(None) };
    let Some(path) = matches.get_one::<std::path::PathBuf>("config") else { return Ok(None) };
    let shown = escape::path(path);
    let text = read(path).with_context(|| format!("cannot read {shown}"))?;
    let root = Cli::command();
    let command = root.find_subcommand(COMMAND).context("no such command")?;
    let document = match DeTable::parse(&text) {
        Ok(document) => document,
        Err(error) => {
            let at = place(&text, error.span());
            bail!("{shown}:{at}: {}", error.message().replace('\n', ", "));
        }
    };
    let mut of_file: Vec<OsString> = Vec::new();
    for (key, value) in document.get_ref() {
        let name = key.get_ref();
        let at = |span: Range<usize>| format!("{shown}:{}", place(&text, Some(span)));
        let arg = command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(name) && !NOT_KEYS.contains(&name.as_ref()));
        let Some(arg) = arg else {
            let known = command.get_arguments().filter_map(clap::Arg::get_long);
            let known = known.filter(|name| !NOT_KEYS.contains(name));
            let hint = suggest::did_you_mean(name, known, "see tcc-trace export --help");
            bail!("{}: unknown key `{name}`; {hint}", at(key.span()));
        };
        let given = matches.value_source(arg.get_id().as_str());
        let words = match words(name, value.get_ref(), arg.get_action().takes_values()) {
            Ok(words) => words,
            Err(why) => bail!("{}: {name}: {why}", at(value.span())),
        };
        if let Some(wrong) = refused(&root, &words) {
            bail!("{}: {wrong}", at(value.span()));
        }
        if given != Some(ValueSource::CommandLine) {
            of_file.extend(words);
        }
    }
    let at = args.iter().position(|arg| arg == COMMAND).map_or(args.len(), |at| at + 1);
    let (before, after) = args.split_at(at);
    Ok(Some([before, &of_file, after].concat()))
}

/// Whether that file has a flight recorder.
#[must_use]
pub fn has_flight(path: &Path) -> bool {
    let has =
        |text: String| DeTable::parse(&text).is_ok_and(|of| of.get_ref().contains_key("flight"));
    read(path).is_ok_and(has)
}

fn read(path: &Path) -> Result<String> {
    let file = privilege::as_caller(|| fs::File::open(path))?;
    let length = file.metadata()?.len();
    if length > MOST_BYTES {
        bail!("it has {length} bytes; a configuration has at most {MOST_BYTES}");
    }
    Ok(std::io::read_to_string(file)?)
}

/// `LINE:COLUMN`, from 1.
fn place(text: &str, span: Option<Range<usize>>) -> String {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    format!("{line}:{column}")
}

/// The arguments that say the same.
fn words(name: &str, value: &DeValue<'_>, takes_value: bool) -> Result<Vec<OsString>, String> {
    let one = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.to_string()),
        _ => Err("must be a string, a number, or a list of these".to_owned()),
    };
    if !takes_value {
        return match value {
            DeValue::Boolean(true) => Ok(vec![format!("--{name}").into()]),
            DeValue::Boolean(false) => Ok(Vec::new()),
            _ => Err("must be true or false".to_owned()),
        };
    }
    let values = match value {
        DeValue::Array(values) => values.iter().map(|value| one(value.get_ref())).collect(),
        value => one(value).map(|value| vec![value]),
    }?;
    Ok(values.into_iter().map(|value| format!("--{name}={value}").into()).collect())
}

/// What is wrong with a value by itself.
fn refused(root: &Command, words: &[OsString]) -> Option<String> {
    let args: Vec<OsString> = ["tcc-trace", COMMAND]
        .into_iter()
        .map(OsString::from)
        .chain(words.iter().cloned())
        .collect();
    let error = root.clone().try_get_matches_from(&args).err()?;
    let by_itself =
        !matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict);
    by_itself.then(|| errors::one_line(&error, &args))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the options of a file become, or the error.
    fn merged(text: &str, args: &str) -> Result<String, String> {
        let path = std::env::temp_dir().join(format!(
            "tcc-config-{}-{:?}.toml",
            std::process::id(),
            std::thread::current().id()
        ));
        fs::write(&path, text).unwrap();
        let args = format!("tcc-trace export --config {} {args}", path.display());
        let args: Vec<OsString> = args.split_whitespace().map(OsString::from).collect();
        let matches = Cli::command().try_get_matches_from(&args).unwrap();
        let merged = with_file(&args, &matches);
        fs::remove_file(&path).unwrap();
        let name = format!("{}", path.display());
        match merged {
            Ok(merged) => {
                let merged = merged.unwrap();
                Cli::command().try_get_matches_from(&merged).unwrap();
                let words: Vec<&str> = merged[2..].iter().filter_map(|arg| arg.to_str()).collect();
                let words = words.iter().filter(|word| **word != "--config" && **word != name);
                Ok(words.copied().collect::<Vec<_>>().join(" "))
            }
            Err(error) => Err(format!("{error:#}").replace(&name, "FILE")),
        }
    }

    #[test]
    fn keys_are_options() {
        let file = "# for all\nlabels = [\"cc\", \"lport\"]\nmax-series = 500\nquiet = true\nipv4 = false\ninterval = '5s'\n";
        let all = merged(file, "").unwrap();
        for word in
            ["--labels=cc", "--labels=lport", "--max-series=500", "--quiet", "--interval=5s"]
        {
            assert!(all.split(' ').any(|other| other == word), "{all}");
        }
        assert!(!all.contains("ipv4"), "{all}");
        let replaced = merged(file, "--labels none --max-series 7").unwrap();
        assert!(!replaced.contains("cc") && !replaced.contains("500"), "{replaced}");
        assert_eq!(merged("", "").unwrap(), "");
    }

    #[test]
    fn only_values_that_differ_need_a_restart() {
        let matches = |args: &str| {
            let args = format!("tcc-trace export {args}");
            Cli::command().try_get_matches_from(args.split_whitespace()).unwrap()
        };
        let at_start = "--labels cc --max-series 10000 --lport 443";
        let started = reload(&[], &matches(at_start));
        for (now, fixed) in [
            ("--lport 443", &[][..]),
            ("--lport 443 --listen 127.0.0.1:1 --interval 1s", &[]),
            ("--lport 443 --labels cc,lport", &["--labels"]),
            ("--lport 443,80 --max-series 9999", &["--lport", "--max-series"]),
            ("--quiet", &["--lport", "--quiet"]),
        ] {
            let mut found = started.fixed(&given(&matches(now)));
            found.sort();
            assert_eq!(found, fixed, "{now}");
        }
    }

    #[test]
    fn mistakes_have_a_place() {
        for (file, error) in [
            (
                "labels = [\"cc\"]\nlabel = 3\n",
                "FILE:2:1: unknown key `label`; did you mean `labels`?",
            ),
            ("\n  interval = \"x\"", "FILE:2:14: --interval x: "),
            ("max-series = true", "FILE:1:14: max-series: must be a string, a number"),
            ("quiet = 1", "FILE:1:9: quiet: must be true or false"),
            ("labels = [[]]", "FILE:1:10: labels: must be a string"),
            ("config = 'other'", "FILE:1:1: unknown key `config`"),
            ("[filters]\nport = 1", "FILE:1:2: unknown key `filters`"),
            ("labels = ", "FILE:1:"),
            ("labels = 'cc'\nlabels = 'cc'", "FILE:2:1: "),
            ("labels = 'colour'", "FILE:1:10: --labels colour: unknown value; "),
        ] {
            let found = merged(file, "").unwrap_err();
            assert!(found.starts_with(error), "{file:?}: {found}, and not {error}");
            assert_eq!(found.lines().count(), 1, "{found}");
        }
    }
}
