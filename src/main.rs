//! Parses, runs, and says what went wrong in one line.

use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, Parser};
use tcc_trace::cli::{Cli, Command, TraceArgs};
use tcc_trace::cmd;
use tcc_trace::config::{Config, Usage};
use tcc_trace::session::child::CannotStart;

const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error),
    };
    let result = match cli.command {
        None => config(cli.trace).and_then(|c| cmd::probe::run(&c)),
        Some(Command::Probe(args)) => config(*args).and_then(|c| cmd::probe::run(&c)),
        Some(Command::Events(args)) => {
            config(args.trace).and_then(|c| cmd::events::run(c, &args.kinds, args.stack))
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
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("tcc-trace: {error:#}");
            ExitCode::from(match error.downcast_ref::<CannotStart>() {
                Some(child) => child.status,
                None if error.is::<Usage>() => USAGE,
                None => 1,
            })
        }
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
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
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
    eprintln!("tcc-trace: {told}{known}; see {} --help", command.join(" "));
    ExitCode::from(USAGE)
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
