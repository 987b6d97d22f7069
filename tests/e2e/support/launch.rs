//! Programs to run: which, and where (a network namespace, a CPU, a cgroup).

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;

use nix::sys::signal::{SigHandler, Signal, signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::sockets::{SocketEntry, sockets};

/// Where a program runs: a network namespace, and words before the program's own, each of which ends by exec, so that the
/// process is the program's.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    netns: Option<PathBuf>,
    words: Vec<String>,
}

impl Launch {
    pub fn here() -> Self {
        Launch::default()
    }

    /// In the network namespace that this file is.
    pub fn in_netns(path: PathBuf) -> Self {
        Launch { netns: Some(path), words: Vec::new() }
    }

    /// With more words before those that there are.
    pub fn within(mut self, words: &[&str]) -> Self {
        self.words.splice(0..0, words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// With more words after those that there are.
    pub fn inside(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// On one CPU only.
    pub fn on_cpu(self, cpu: u32) -> Self {
        // The mask, as busybox takes no list of CPUs; the last word, as busybox prefers its own `ip` to what PATH has.
        self.inside(&["taskset", &format!("{:x}", 1_u64 << cpu)])
    }

    /// Where tracefs is at its usual place; if it is not there already, for this program alone.
    pub fn with_tracefs(self) -> Self {
        if Path::new("/sys/kernel/tracing/events").exists() {
            return self;
        }
        let mount = "mount -t tracefs tracefs /sys/kernel/tracing && exec \"$0\" \"$@\"";
        self.within(&["unshare", "-m", "sh", "-c", mount])
    }

    /// The TCP sockets there.
    #[track_caller]
    pub fn sockets(&self) -> Vec<SocketEntry> {
        self.netns.as_ref().map_or_else(sockets, |netns| in_netns(netns, sockets))
    }

    pub fn command(&self, program: impl AsRef<OsStr>) -> Program {
        let command = match self.words.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        Program { command, netns: self.netns.clone() }
    }
}

/// A program with its arguments, as `Command` has them.
#[derive(Debug)]
pub struct Program {
    command: Command,
    netns: Option<PathBuf>,
}

impl Program {
    /// Here, not in a namespace.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Launch::here().command(program)
    }

    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.command.arg(arg);
        self
    }

    pub fn args<S: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = S>) -> &mut Self {
        self.command.args(args);
        self
    }

    pub fn env(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.command.env(name, value);
        self
    }

    pub fn env_remove(&mut self, name: &str) -> &mut Self {
        self.command.env_remove(name);
        self
    }

    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.command.stdin(stdin);
        self
    }

    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.command.stdout(stdout);
        self
    }

    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.command.stderr(stderr);
        self
    }

    pub fn spawn(&mut self) -> std::io::Result<Child> {
        heed_signals();
        match self.netns.clone() {
            Some(netns) => in_netns(&netns, || self.command.spawn()),
            None => self.command.spawn(),
        }
    }
}

/// Programs inherit which signals are ignored: under nohup, or in the background of a script, those that tests end tracers with.
fn heed_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for number in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGCHLD] {
            // SAFETY: the default action is no function of ours.
            unsafe { signal(number, SigHandler::SigDfl) }.expect("a signal's default action");
        }
    });
}

/// Does that in a network namespace, by a thread of its own, which no other code ever runs in. There `/proc/thread-self/net`
/// is the namespace's; `/proc/net` and `/sys` are not.
#[track_caller]
pub fn in_netns<T: Send>(netns: &Path, done: impl FnOnce() -> T + Send) -> T {
    let file = File::open(netns).unwrap_or_else(|error| panic!("{}: {error}", netns.display()));
    let inside = || {
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(file.as_fd(), network).expect("setns");
        done()
    };
    std::thread::scope(|scope| match scope.spawn(inside).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
