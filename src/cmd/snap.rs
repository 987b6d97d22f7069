//! `snap`: asks a flight recorder to seal what it keeps.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cli::config_file;

/// Sends SIGUSR2, which would end any other tcc-trace.
pub fn run(pid: i32) -> Result<u8> {
    let cannot = || format!("cannot signal process {pid}");
    let Some(raw) = Pid::from_raw(pid).filter(|_| pid > 0) else {
        bail!("{pid} is not a process ID");
    };
    let process = pidfd_open(raw, PidfdFlags::empty()).with_context(cannot)?;
    // Whose process that is cannot change any more.
    let path = format!("/proc/{pid}/cmdline");
    let command = std::fs::read(&path).with_context(|| format!("cannot read {path}"))?;
    let by_file =
        || config_of(&command).is_some_and(|path| config_file::has_flight(&at(pid, path)));
    if !is_flight_recorder(&command) && !by_file() {
        bail!("process {pid} is not tcc-trace with --flight");
    }
    pidfd_send_signal(process, Signal::USR2).with_context(cannot)?;
    Ok(0)
}

/// Its arguments, if it is ours, by its command line as in /proc/PID/cmdline.
fn arguments(command: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut args = command.split(|byte| *byte == 0);
    let program = args.next().map(|path| Path::new(OsStr::from_bytes(path)));
    let is_ours = program
        .and_then(Path::file_name)
        .is_some_and(|name| name.as_bytes().starts_with(env!("CARGO_PKG_NAME").as_bytes()));
    args.take_while(move |arg| is_ours && *arg != b"--")
}

fn is_flight_recorder(command: &[u8]) -> bool {
    arguments(command).any(|arg| arg == b"--flight" || arg.starts_with(b"--flight="))
}

/// The file of its --config.
fn config_of(command: &[u8]) -> Option<&Path> {
    let mut args = arguments(command).skip_while(|arg| !arg.starts_with(b"--config"));
    let path = match args.next()? {
        b"--config" => args.next()?,
        arg => arg.strip_prefix(b"--config=")?,
    };
    Some(Path::new(OsStr::from_bytes(path)))
}

/// A path as that process sees it.
fn at(pid: i32, path: &Path) -> PathBuf {
    let place = if path.is_absolute() { "root" } else { "cwd" };
    Path::new(&format!("/proc/{pid}/{place}")).join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flight_recorder_is_known_by_its_command_line() {
        let is = |command: &str| is_flight_recorder(command.replace(' ', "\0").as_bytes());
        assert!(is("tcc-trace record --flight 1min"));
        assert!(is("/usr/bin/tcc-trace --flight=5s -w a"));
        for other in ["tcc-trace record", "tcc-trace -w a -- x --flight 1s", "cat --flight 1s", ""]
        {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn a_configuration_file_is_found_where_the_process_sees_it() {
        let of = |command: &str| {
            let command = command.replace(' ', "\0").into_bytes();
            config_of(&command).map(|path| at(7, path).to_string_lossy().into_owned())
        };
        for (command, path) in [
            ("tcc-trace export --config /etc/a.toml", Some("/proc/7/root/etc/a.toml")),
            ("/usr/bin/tcc-trace export --top 3 --config=a/b.toml", Some("/proc/7/cwd/a/b.toml")),
            ("tcc-trace export --config", None),
            ("tcc-trace export --", None),
            ("tcc-trace export -- --config a", None),
            ("cat --config a", None),
        ] {
            assert_eq!(of(command).as_deref(), path, "{command}");
        }
    }
}
