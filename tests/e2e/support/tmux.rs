//! A program on a terminal that is emulated by tmux: keys go in, and the screen can be read.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{TempDir, tcc_trace, unique, wait_for};

/// A running program, its screen and its standard error. It does not outlive its owner.
pub struct Tmux {
    server: String,
    dir: TempDir,
}

/// Whether tmux is installed.
pub fn has_tmux() -> bool {
    Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success())
}

impl Tmux {
    /// Starts tcc-trace with these arguments on a screen of that size.
    #[track_caller]
    pub fn start((width, height): (u16, u16), args: &[&str]) -> Self {
        let tmux = Tmux { server: unique("tcc-"), dir: TempDir::new() };
        let args = shlex::try_join(args.iter().copied()).expect("no NUL");
        let program = tcc_trace();
        let stderr = tmux.stderr_path();
        let line = format!(
            "{} {args} 2>{}; echo status $?; exec cat",
            program.display(),
            stderr.display()
        );
        let (width, height) = (width.to_string(), height.to_string());
        let dir = tmux.dir.path().display().to_string();
        let session = ["-f", "/dev/null", "new-session", "-d", "-c", &dir];
        tmux.run(&[&session[..], &["-x", &width, "-y", &height, &line]].concat());
        tmux
    }

    /// Where it runs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn stderr_path(&self) -> PathBuf {
        self.dir.path().join("stderr")
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.stderr_path()).unwrap_or_default()
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.server]).args(args).env_remove("TMUX").env_remove("NO_COLOR");
        let output = command.output().expect("tmux");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The lines of the screen.
    #[track_caller]
    pub fn screen(&self) -> Vec<String> {
        self.run(&["capture-pane", "-p"]).lines().map(str::to_owned).collect()
    }

    /// Presses keys as tmux names them; a text that is not a name is typed.
    #[track_caller]
    pub fn press(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    #[track_caller]
    pub fn resize(&self, (width, height): (u16, u16)) {
        let (width, height) = (width.to_string(), height.to_string());
        self.run(&["resize-window", "-x", &width, "-y", &height]);
    }

    /// Waits until the screen has what is looked for.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, mut find: impl FnMut(&[String]) -> Option<T>) -> T {
        let mut last = Vec::new();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(what, || {
                last = self.screen();
                find(&last)
            })
        }));
        result.unwrap_or_else(|_| panic!("{what}:\n{}\n{}", last.join("\n"), self.stderr()))
    }

    /// Ends it by `q`; its status, and what it printed on standard error.
    #[track_caller]
    pub fn quit(&self) -> (String, String) {
        self.press(&["q"]);
        let status = self.wait("the end", |screen| {
            let line = screen.iter().find(|line| line.starts_with("status "))?;
            Some(line.trim_end().to_owned())
        });
        (status, self.stderr())
    }

    /// The process.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        let shell = self.run(&["list-panes", "-F", "#{pane_pid}"]);
        let children = format!("/proc/{0}/task/{0}/children", shell.trim());
        wait_for("the process", || {
            let pids = std::fs::read_to_string(&children).ok()?;
            pids.split_whitespace().next()?.parse().ok()
        })
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
    }
}
