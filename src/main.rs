//! Parses the command line, runs the command, and reports an error in one line.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::bail;
use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use tcc_trace::cli::{
    Cli, Command, TraceArgs, command_first, config_file, errors, help, missing_command, presets,
    refused,
};
use tcc_trace::cmd;
use tcc_trace::config::{Config, NoAnswer, Usage};
use tcc_trace::escape;
use tcc_trace::loader::files;
use tcc_trace::predicate::Mistake;
use tcc_trace::session::child::CannotStart;
use tcc_trace::session::signals::Signals;
use tcc_trace::stdio;

const USAGE: u8 = 2;
const NO_ANSWER: u8 = 3;

fn main() -> ExitCode {
    let args = command_first(std::env::args_os().collect());
    let long = args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--help");
    let parse = |command: clap::Command| {
        let matches = command.try_get_matches_from(&args)?;
        Ok((Cli::from_arg_matches(&matches)?, matches))
    };
    // The help takes longer to build than all else before a trace.
    match parse(Cli::command()).or_else(|_: clap::Error| parse(help::command(long))) {
        Ok((cli, matches)) => finish(
            complete(cli, &args, &matches).and_then(|(cli, matches)| run(cli, &args, &matches)),
        ),
        Err(error) => not_parsed(&error, &args),
    }
}

/// With the options of --config, if there is one. Afterwards, a privileged process runs as its caller.
fn complete(
    cli: Cli,
    args: &[OsString],
    matches: &ArgMatches,
) -> anyhow::Result<(Cli, ArgMatches)> {
    refused::check(matches)?;
    let (cli, matches) = config_file::complete(cli, args, matches).map_err(usage)?;
    refused::check(&matches)?;
    Ok((cli, matches))
}

fn run(cli: Cli, args: &[OsString], matches: &ArgMatches) -> anyhow::Result<u8> {
    // Before anything is opened.
    files::raise();
    if cli.traces() {
        if missing_command(std::env::args_os()) {
            bail!(Usage("no command after `--`; to trace everything, leave out `--`".into()));
        }
        // As early as possible: until then SIGUSR1 would end us.
        Signals::start()?;
    }
    match cli.command {
        None => config(cli.trace).and_then(|c| cmd::probe::run(&c)),
        Some(Command::Probe(args)) => config(*args).and_then(|c| cmd::probe::run(&c)),
        Some(Command::Events(args)) => {
            let (event_types, stack) = (args.event_types.clone(), args.stack);
            let config = args.into_config().map_err(usage);
            config.and_then(|c| cmd::events::run(c, &event_types, stack))
        }
        Some(Command::Record(args)) => {
            let (names, profile) = (args.event_types.clone(), args.profile);
            let config = args.into_config().map_err(usage);
            config.and_then(|c| cmd::record::run(&c, &names, profile.event_types()))
        }
        Some(Command::Convert(args)) => {
            let names = args.event_types.clone();
            let config = args.into_config().map_err(usage);
            config.and_then(|c| cmd::convert::run(&c, &names))
        }
        Some(Command::Snap { pid }) => cmd::snap::run(pid),
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
        Some(Command::Limits(args)) => {
            args.into_config().map_err(usage).and_then(|c| cmd::limits::run(&c))
        }
        Some(Command::Observe(args)) if args.list_presets => {
            cmd::print(presets::list().as_bytes()).map(|()| 0)
        }
        Some(Command::Observe(args)) => {
            args.into_config().map_err(usage).and_then(|c| cmd::observe::run(&c))
        }
        Some(Command::Export(args)) if args.check_config => {
            let checked = args.config.as_ref().map_or("the command line".into(), escape::path);
            args.into_config().map_err(usage)?;
            cmd::print(format!("{checked}: valid\n").as_bytes()).map(|()| 0)
        }
        Some(Command::Export(export)) => {
            let reload = export.config.is_some().then(|| config_file::reload(args, matches));
            export.into_config().map_err(usage).and_then(|c| cmd::export::run(c, reload))
        }
        Some(Command::Live(args)) => {
            args.into_options().map_err(usage).and_then(|options| cmd::live::run(&options))
        }
        Some(Command::Assert(args)) => args.into_config().map_err(usage).and_then(cmd::assert::run),
        Some(Command::States(args)) => config(*args).and_then(|c| cmd::states::run(&c)),
        Some(Command::Connect(args)) => {
            config(args.trace).and_then(|c| cmd::connect::run(c, args.failed))
        }
        Some(Command::Accept(args)) => config(*args).and_then(|c| cmd::accept::run(&c)),
        Some(Command::Life(args)) => {
            config(args.trace).and_then(|c| cmd::life::run(c, args.min_duration, args.limits))
        }
        Some(Command::Connlat(args)) => {
            let (side, least) = (args.side, args.min);
            args.into_config().map_err(usage).and_then(|c| cmd::connlat::run(c, side, least))
        }
        Some(Command::Drop(args)) => config(args.trace).and_then(|c| cmd::drop::run(c, args.stack)),
        Some(Command::Queue(args)) => config(args.trace).and_then(|c| cmd::queue::run(c, args.min)),
        Some(Command::Info(args)) => cmd::info::run(&args),
        Some(Command::Report(args)) => cmd::report::run(args),
        Some(Command::Check(args)) => cmd::check::run(&args),
        Some(Command::Schema(args)) => cmd::schema::run(&args),
        Some(Command::Completions { shell }) => cmd::docs::completions(shell),
        Some(Command::Man) => cmd::man::run(),
        Some(Command::Help { topic }) => cmd::print_help(&help::text(topic.as_deref())).map(|()| 0),
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
                None if error.is::<Usage>() || error.is::<Mistake>() => USAGE,
                None if error.is::<NoAnswer>() => NO_ANSWER,
                None => 1,
            })
        }
    }
}

/// Prints the whole chain of causes in one line, with the remedy if one is known.
fn tell(error: &anyhow::Error) {
    let text = format!("{error:#}");
    // It may already contain the remedy.
    match files::remedy(&text).filter(|remedy| !text.contains(remedy.as_str())) {
        Some(remedy) => stdio::print_error(&format!("{text}; {remedy}")),
        None => stdio::print_error(&text),
    }
    if let Some(mistake) = error.downcast_ref::<Mistake>() {
        stdio::print_excerpt(&mistake.excerpt);
    }
}

fn config(args: TraceArgs) -> anyhow::Result<Config> {
    args.into_config().map_err(usage)
}

fn usage(error: anyhow::Error) -> anyhow::Error {
    if error.is::<Mistake>() {
        return error;
    }
    Usage(format!("{error:#}")).into()
}

/// Prints help and the version; anything else is an error of usage.
fn not_parsed(error: &clap::Error, args: &[OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return finish(cmd::print_help(&error.render()).map(|()| 0));
    }
    stdio::print_error(&errors::one_line(error, args));
    ExitCode::from(USAGE)
}
