//! Options of recordings: -w and -r, and what cannot be used with them.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, CommandFactory, ValueEnum};
use time::OffsetDateTime;

use super::Cli;
use super::args::TraceArgs;
use crate::config::{Config, Fields, Read, Recording};
use crate::events::EVENT_TYPES;
use crate::session::utc;

#[derive(Args, Debug)]
pub struct RecordArgs {
    #[arg(value_name = "EVENT_TYPES", value_delimiter = ',', help = event_types())]
    pub event_types: Vec<String>,
    /// What to record, if no event types are given.
    #[arg(long, value_enum, default_value_t = ProfileArg::Default, conflicts_with = "event_types")]
    pub profile: ProfileArg,
    #[command(flatten)]
    pub trace: TraceArgs,
}

fn event_types() -> String {
    let names: Vec<&str> = EVENT_TYPES.iter().map(|event_type| event_type.name).collect();
    format!(
        "Event types, instead of those of --profile; `all` for those that this kernel has: {}",
        names.join(", ")
    )
}

/// What `record` records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileArg {
    /// Samples, losses, resets, changes of state, and when a sender has nothing to send.
    Default,
    /// Also the queues of devices, and the receive window's growth.
    Full,
}

impl ProfileArg {
    /// Names of event types.
    #[must_use]
    pub fn event_types(self) -> &'static [&'static str] {
        const FULL: &[&str] = &[
            "probe",
            "send",
            "retransmit",
            "cong_state",
            "drop",
            "reset_sent",
            "reset_received",
            "state",
            "zero_window",
            "spurious",
            "queue",
            "rcv_space",
        ];
        match self {
            ProfileArg::Default => &FULL[..10],
            ProfileArg::Full => FULL,
        }
    }
}

impl RecordArgs {
    /// All fields, unless some are named.
    pub fn into_config(mut self) -> Result<Config> {
        if !self.trace.recordings.read.is_empty() {
            bail!("-r cannot be used with `record`, which traces");
        }
        self.trace.recordings.write.get_or_insert_with(default_path);
        let mut config = self.trace.into_config()?;
        if config.output.fields == Fields::Standard {
            config.output.fields = Fields::All;
        }
        config.output.recording.iter_mut().for_each(|recording| recording.progress = true);
        Ok(config)
    }
}

/// `tcc-trace-20261129T170000Z.tcc`
fn default_path() -> PathBuf {
    PathBuf::from(format!("tcc-trace-{}.tcc", utc(OffsetDateTime::now_utc())))
}

impl TraceArgs {
    /// The file to write, and those to read.
    pub(super) fn recordings(&self) -> Result<(Option<Recording>, Read)> {
        let args = &self.recordings;
        let (files, tail, since, until) = (args.read.clone(), args.tail, args.since, args.until);
        let read = Read { files, tail, since, until };
        match &args.write {
            _ if read.is_wanted() => {
                let mut options = self.of_tracing().chain(args.of_writing());
                if let Some((option, _)) = options.find(|(_, given)| *given) {
                    bail!("{option} cannot be used with -r, which reads recorded events");
                }
                if read.tail && read.files.len() > 1 {
                    bail!("--tail follows one file; give -r only once");
                }
                if read.tail && read.is_limited() {
                    bail!("--tail cannot be used with --since or --until");
                }
                Ok((None, read))
            }
            _ if args.tail => bail!("--tail needs -r FILE"),
            _ if read.is_limited() => bail!("--since and --until need -r FILE"),
            None => {
                if let Some((option, _)) = args.of_writing().into_iter().find(|(_, given)| *given) {
                    bail!("{option} needs -w FILE");
                }
                Ok((None, read))
            }
            Some(path) if path.as_os_str().is_empty() => bail!("-w: empty path; name a file"),
            Some(path) => {
                let (path, force, parts) = (path.clone(), args.force, args.parts()?);
                let recording = Recording { path, force, progress: false, parts };
                Ok((Some(recording), read))
            }
        }
    }

    /// Options of the kernel side, and others that only a trace has.
    fn of_tracing(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let others = [
            ("-- CMD", !self.command.is_empty()),
            ("-w", self.recordings.write.is_some()),
            ("--cgroup", !self.filters.cgroup.is_empty()),
            ("--stats", self.output.stats.is_some()),
        ];
        others.into_iter().chain(self.kernel_options.given())
    }
}

/// The arguments with `-r FILE` behind the command, if it was given before it.
#[must_use]
pub fn command_first(args: Vec<OsString>) -> Vec<OsString> {
    let mut at = 1;
    while let Some(arg) = args.get(at).and_then(|arg| arg.to_str()) {
        at += match arg {
            "-r" | "--read" => 2,
            _ if arg.starts_with("--read=") => 1,
            _ if arg.starts_with("-r") && !arg.starts_with("--") => 1,
            _ => break,
        };
    }
    let is_command = |arg: &OsString| Cli::command().find_subcommand(arg).is_some();
    if at == 1 || !args.get(at).is_some_and(is_command) {
        return args;
    }
    let (before, from) = args.split_at(at);
    [&before[..1], &from[..1], &before[1..], &from[1..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_to_read_may_come_before_the_command() {
        let moved = |args: &str| {
            let args = args.split(' ').map(OsString::from).collect();
            let moved: Vec<_> =
                command_first(args).into_iter().map(|a| a.into_string().unwrap()).collect();
            moved.join(" ")
        };
        assert_eq!(moved("t -r a life -o csv"), "t life -r a -o csv");
        assert_eq!(moved("t -r a --read b -rc --read=d life"), "t life -r a --read b -rc --read=d");
        for same in
            ["t life -r a", "t -r a", "t -r a -o csv", "t", "t -r", "t -P 1 life", "t -r life"]
        {
            assert_eq!(moved(same), same);
        }
    }

    #[test]
    fn profiles_have_event_types() {
        for profile in [ProfileArg::Default, ProfileArg::Full] {
            for name in profile.event_types() {
                assert!(crate::events::event_type(name).is_some(), "{name}");
            }
        }
    }
}
