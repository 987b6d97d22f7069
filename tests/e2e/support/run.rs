//! Running programs: their end is waited for, and what they print is kept.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

use super::launch::Program;
use super::patience;
use super::times::Timer;

/// System calls by their numbers on this machine.
#[cfg(target_arch = "x86_64")]
mod calls {
    pub const ACCEPT: &[&str] = &["43", "288"];
    pub const EPOLL_WAIT: &[&str] = &["232", "281"];
}
#[cfg(not(target_arch = "x86_64"))]
mod calls {
    pub const ACCEPT: &[&str] = &["202", "242"];
    pub const EPOLL_WAIT: &[&str] = &["22"];
}
pub use calls::{ACCEPT, EPOLL_WAIT};

/// Whether a thread or a process, by its directory in /proc, sleeps in one of these.
pub fn in_call(task: &Path, calls: &[&str]) -> bool {
    let text = std::fs::read_to_string(task.join("syscall")).unwrap_or_default();
    text.split_whitespace().next().is_some_and(|number| calls.contains(&number))
}

/// A process that does not outlive its owner.
pub struct Running {
    child: Child,
    stderr: Arc<Mutex<String>>,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
    /// Waited for: the pid may be another's.
    reaped: bool,
}

impl Running {
    /// Standard error is read from now on; what standard output and input are is the caller's.
    #[track_caller]
    pub fn spawn(command: &mut Program) -> Self {
        command.stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = mpsc::channel();
        let (pipe, text) = (child.stderr.take().expect("piped"), stderr.clone());
        let reader = std::thread::spawn(move || read_lines(pipe, &text, &sender));
        Running { child, stderr, lines, reader: Some(reader), reaped: false }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Each of its threads: what it waits for in the kernel.
    pub fn where_it_is(&self) -> String {
        let dir = format!("/proc/{}/task", self.pid());
        let tasks = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let stack = |dir: PathBuf| {
            let of = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
            format!("\n{} {}{}", of("comm").trim(), of("syscall"), of("stack"))
        };
        tasks.map(|task| stack(task.path())).collect()
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("no panic").clone()
    }

    /// Waits for a line of standard error; fails if the process ends without it.
    #[track_caller]
    pub fn wait_for_line(&mut self, start: &str) {
        let deadline = std::time::Instant::now() + patience();
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.starts_with(start) => return,
                Ok(_) => {}
                Err(_) => {
                    panic!("no line {start:?}: {:?}: {}", self.child.try_wait(), self.stderr())
                }
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        if !self.reaped {
            let pid = Pid::from_raw(self.child.id().cast_signed()).expect("not 0");
            let _ = kill_process(pid, signal);
        }
    }

    pub fn ended(&mut self) -> bool {
        self.reaped |= self.child.try_wait().expect("wait").is_some();
        self.reaped
    }

    /// Waits for the end; the status and all of standard error.
    #[track_caller]
    pub fn wait(&mut self) -> (ExitStatus, String) {
        if !self.ended() {
            let pid = Pid::from_raw(self.child.id().cast_signed()).expect("not 0");
            let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("pidfd_open");
            let limit = Timespec { tv_sec: patience().as_secs().cast_signed(), tv_nsec: 0 };
            let ready =
                poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).expect("poll");
            assert!(ready > 0, "{pid:?} does not end: {}{}", self.stderr(), self.where_it_is());
        }
        let status = self.child.wait().expect("wait");
        self.reaped = true;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        (status, self.stderr())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(pipe: ChildStderr, text: &Mutex<String>, lines: &mpsc::Sender<String>) {
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        let mut text = text.lock().expect("no panic");
        text.push_str(&line);
        text.push('\n');
        let _ = lines.send(line);
    }
}

/// A terminal: our end, and the one that programs see.
pub fn terminal() -> (File, OwnedFd) {
    // Not for programs that other tests start: the terminal goes away with its owner.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags).expect("a terminal");
    unlockpt(&ours).expect("unlocked");
    let theirs = ioctl_tiocgptpeer(&ours, flags);
    (ours.into(), theirs.expect("its other end"))
}

/// Runs it to its end; its output, if it succeeded.
pub fn output(program: Program) -> Result<String, String> {
    output_of(program, "")
}

/// The same with something to read.
pub fn output_of(mut program: Program, input: &str) -> Result<String, String> {
    let timer = Timer::start("run");
    let mut running = Running::spawn(program.stdout(Stdio::piped()).stdin(Stdio::piped()));
    let mut stdout = running.child.stdout.take().expect("piped");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    // A program that does not read all of it says why, or succeeds.
    let _ = running.child.stdin.take().expect("piped").write_all(input.as_bytes());
    let (status, stderr) = running.wait();
    timer.log(&format!("{program:?} {input}").replace('\n', "; "));
    if !status.success() {
        let how = status
            .code()
            .map_or_else(|| format!("signal {:?}", status.signal()), |code| code.to_string());
        return Err(format!("{program:?} {input}: {how}: {stderr}"));
    }
    reader.join().expect("no panic").map_err(|error| format!("{program:?}: {error}"))
}
