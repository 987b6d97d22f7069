//! Parses, runs, and says what went wrong in one line.

use std::process::ExitCode;

use anyhow::bail;
use clap::builder::{StyledStr, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};
use tcc_trace::cli::{Cli, Command, TraceArgs, missing_command, refused};
use tcc_trace::cmd;
use tcc_trace::config::{Config, Usage};
use tcc_trace::escape;
use tcc_trace::loader::files;
use tcc_trace::session::child::CannotStart;
use tcc_trace::session::signals::Signals;
use tcc_trace::stdio;

const USAGE: u8 = 2;

fn main() -> ExitCode {
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return not_parsed(&error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error),
    };
    finish(refused::check(&matches).and_then(|()| run(cli)))
}

fn run(cli: Cli) -> anyhow::Result<u8> {
    // Before anything is opened.
    files::raise();
    if cli.traces() {
        if missing_command(std::env::args_os()) {
            bail!(Usage("no command after `--`; to trace everything leave `--` out".into()));
        }
        // As early as can be: until then SIGUSR1 ends us.
        Signals::start()?;
    }
    match cli.command {
        None => config(cli.trace).and_then(|c| cmd::probe::run(&c)),
        Some(Command::Probe(args)) => config(*args).and_then(|c| cmd::probe::run(&c)),
        Some(Command::Events(args)) => {
            config(args.trace).and_then(|c| cmd::events::run(c, &args.event_types, args.stack))
        }
        Some(Command::Retrans(args)) => {
            args.into_config().map_err(usage).and_then(cmd::retrans::run)
        }
        Some(Command::Reset(args)) => config(*args).and_then(cmd::reset::run),
        Some(Command::Cong(args)) => {
            args.into_config().map_err(usage).and_then(|c| cmd::cong::run(&c))
        }
        Some(Command::Rtt(args)) => {
            args.into_config().map_err(usage).and_then(|c| cmd::rtt::run(&c))
        }
        Some(Command::Top(args)) => {
            args.into_config().map_err(usage).and_then(|c| cmd::top::run(&c))
        }
        Some(Command::Listeners(args)) => {
            args.into_config().map_err(usage).and_then(|c| cmd::listeners::run(&c))
        }
        Some(Command::States(args)) => config(*args).and_then(|c| cmd::states::run(&c)),
        Some(Command::Connect(args)) => {
            config(args.trace).and_then(|c| cmd::connect::run(c, args.failed))
        }
        Some(Command::Accept(args)) => config(*args).and_then(|c| cmd::accept::run(&c)),
        Some(Command::Life(args)) => {
            config(args.trace).and_then(|c| cmd::life::run(c, args.min_duration))
        }
        Some(Command::Connlat(args)) => {
            let (side, least) = (args.side, args.min);
            args.into_config().map_err(usage).and_then(|c| cmd::connlat::run(c, side, least))
        }
        Some(Command::Drop(args)) => config(args.trace).and_then(|c| cmd::drop::run(c, args.stack)),
        Some(Command::Queue(args)) => config(args.trace).and_then(|c| cmd::queue::run(c, args.min)),
        Some(Command::Check(args)) => cmd::check::run(&args),
        Some(Command::Schema(args)) => cmd::schema::run(&args),
        Some(Command::Completions { shell }) => cmd::docs::completions(shell),
        Some(Command::Man) => cmd::docs::man(),
        Some(Command::Reference) => cmd::print(cmd::docs::reference().as_bytes()).map(|()| 0),
    }
}

fn finish(result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            tell(&error);
            ExitCode::from(match error.downcast_ref::<CannotStart>() {
                Some(child) => child.status,
                None if error.is::<Usage>() => USAGE,
                None => 1,
            })
        }
    }
}

/// The whole chain in one line, with what to do about it where that is known.
fn tell(error: &anyhow::Error) {
    let text = format!("{error:#}");
    // Where it was known earlier it is in there.
    match files::remedy(&text).filter(|remedy| !text.contains(remedy.as_str())) {
        Some(remedy) => stdio::print_line(&format!("{text}; {remedy}")),
        None => stdio::print_line(&text),
    }
}

fn config(args: TraceArgs) -> anyhow::Result<Config> {
    args.into_config().map_err(usage)
}

fn usage(error: anyhow::Error) -> anyhow::Error {
    Usage(format!("{error:#}")).into()
}

/// Help and version are asked for; all else is a mistake, and clap's account of it is put into one line.
fn not_parsed(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return finish(cmd::print_help(error).map(|()| 0));
    }
    let text = in_plain_text(error);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let told: Vec<&str> = lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .collect();
    let told = told.join("; ").replace(":; ", ": ");
    // The command whose usage it is.
    let usage = lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or("tcc-trace");
    let command: Vec<&str> =
        usage.split(' ').take_while(|word| word.starts_with(char::is_alphabetic)).collect();
    let known = if unknown_word(error) { commands() } else { String::new() };
    let told = told.trim_start_matches("error: ");
    stdio::print_line(&format!("{told}{known}; see {} --help", command.join(" ")));
    ExitCode::from(USAGE)
}

/// What clap says, in which line ends are clap's own: those of arguments, and all else that is hidden, are escaped.
fn in_plain_text(error: &clap::Error) -> String {
    // Once more without colours, which look like what an argument may have.
    let again = Cli::command().styles(Styles::plain()).try_get_matches().err();
    let Some(mut error) = again else {
        return error.render().to_string();
    };
    let styled = |text: &StyledStr| StyledStr::from(escape::line(&text.ansi().to_string()));
    let shown = |value: &ContextValue| match value {
        ContextValue::String(text) => ContextValue::String(escape::line(text)),
        ContextValue::Strings(texts) => {
            ContextValue::Strings(texts.iter().map(|text| escape::line(text)).collect())
        }
        ContextValue::StyledStr(text) => ContextValue::StyledStr(styled(text)),
        ContextValue::StyledStrs(texts) => {
            ContextValue::StyledStrs(texts.iter().map(styled).collect())
        }
        other => other.clone(),
    };
    let context: Vec<_> = error
        .context()
        .filter(|(kind, _)| *kind != ContextKind::Usage)
        .map(|(kind, value)| (kind, shown(value)))
        .collect();
    for (kind, value) in context {
        error.insert(kind, value);
    }
    let text = error.render().ansi().to_string();
    // What a value's own parser says of it.
    match std::error::Error::source(&error).map(ToString::to_string) {
        Some(why) => text.replace(&why, &escape::line(&why)),
        None => text,
    }
}

/// A word that is no option: perhaps a command, mistyped.
fn unknown_word(error: &clap::Error) -> bool {
    let word = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    error.kind() == ErrorKind::UnknownArgument && word.is_some_and(|word| !word.starts_with('-'))
}

fn commands() -> String {
    let command = Cli::command();
    let names: Vec<&str> = command
        .get_subcommands()
        .filter(|c| !c.is_hide_set())
        .map(clap::Command::get_name)
        .collect();
    format!("; the commands are: {}", names.join(", "))
}
