//! `-o xplot`: xplot.org draws the graphs, and what it draws is what is in the files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{
    Exported, Program, Running, TempDir, compared, drawn, exported, is_root, wait_for, wait_until,
};

/// A display in memory.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    #[track_caller]
    fn start() -> Self {
        let mut command = Command::new("Xvfb");
        // Without -noreset it drops all clients when the last one goes: xplot.org, if xdotool has just looked for its window.
        command.args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "1000x700x24",
            "-nolisten",
            "tcp",
            "-noreset",
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().expect("Xvfb");
        // It prints its number when it takes connections.
        let mut number = String::new();
        let mut lines = BufReader::new(server.stdout.take().expect("piped"));
        lines.read_line(&mut number).expect("a number");
        Display { server, name: format!(":{}", number.trim()) }
    }

    fn xdotool(&self, args: &[&str]) -> Option<String> {
        let mut command = Command::new("xdotool");
        let output = command.args(args).env("DISPLAY", &self.name).output().expect("xdotool");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Has xplot.org draw a file, and print it: shift and the left button do that. Returns the PostScript.
    #[track_caller]
    fn print(&self, graph: &Path) -> String {
        let dir = TempDir::new();
        let mut command = Program::new("env");
        command.arg("-C").arg(dir.path()).arg("xplot.org").arg(graph).env("DISPLAY", &self.name);
        let _xplot = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
        let window = wait_for("its window", || {
            self.xdotool(&["search", "--name", "xplot"]).filter(|window| !window.is_empty())
        });
        let printed = || -> Option<PathBuf> {
            let files = fs::read_dir(dir.path()).expect("a directory");
            files.map(|file| file.expect("a file").path()).next()
        };
        // A click before it listens is lost.
        wait_until("a print", || {
            self.xdotool(&["mousemove", "--window", &window, "200", "200"]);
            self.xdotool(&["keydown", "shift", "click", "1", "keyup", "shift"]);
            printed().is_some()
        });
        let path = printed().expect("a file");
        wait_for("its end", || {
            let text = String::from_utf8_lossy(&fs::read(&path).expect("PostScript")).into_owned();
            text.contains(" showpage ").then_some(text)
        })
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// How often each command is there, and each text.
type Commands = BTreeMap<String, usize>;

const DRAWN: [&str; 4] = ["line", "uarrow", "darrow", "x"];

/// Of the file: a text is on the line behind its command.
fn written(source: &str) -> Commands {
    let mut commands = Commands::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let command = line.split(' ').next().unwrap_or_default();
        if DRAWN.contains(&command) {
            *commands.entry(command.to_owned()).or_insert(0) += 1;
        } else if ["atext", "title", "xlabel", "ylabel"].contains(&command) {
            let text = lines.next().expect("a text");
            if command == "atext" {
                *commands.entry(format!("({text})")).or_insert(0) += 1;
            }
        }
    }
    commands
}

/// Of the print: a command is behind its numbers. `… def` defines one.
fn printed(postscript: &str) -> Commands {
    let mut commands = Commands::new();
    for line in postscript.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let is_number = |word: &&str| word.parse::<i64>().is_ok();
        let command = words.last().copied().unwrap_or_default();
        if words.len() < 3 || !words[..2].iter().all(is_number) {
            continue;
        }
        if DRAWN.contains(&command) {
            *commands.entry(command.to_owned()).or_insert(0) += 1;
        } else if command == "atext" {
            *commands.entry(words[2..words.len() - 1].join(" ")).or_insert(0) += 1;
        }
    }
    // Both axes.
    commands.entry("line".to_owned()).and_modify(|lines| *lines -= 2);
    commands.retain(|_, count| *count > 0);
    commands
}

#[test]
fn xplot_draws_all_that_is_in_the_files() {
    need!(is_root(), "not root");
    let is_there = |program: &&str| {
        Command::new("which").arg(program).output().is_ok_and(|of| of.status.success())
    };
    let there = ["Xvfb", "xplot.org", "xdotool"].iter().all(is_there);
    need!(there, "no Xvfb, xplot.org and xdotool: run script/exports", legitimate: true);
    let Exported { paths, .. } = &exported(&["xplot"], &drawn());
    let display = Display::start();
    let mut all = Commands::new();
    let mut graphs = 0;
    for file in fs::read_dir(&paths[0]).expect("a directory") {
        let path = file.expect("a file").path();
        let source = fs::read_to_string(&path).expect("a file");
        let written = written(&source);
        assert_eq!(printed(&display.print(&path)), written, "{}", path.display());
        graphs += 1;
        written.into_iter().for_each(|(command, count)| *all.entry(command).or_insert(0) += count);
    }
    assert!(graphs >= 3, "{graphs}");
    for command in ["line", "uarrow", "darrow", "x", "(R)", "(Z)"] {
        assert!(all.contains_key(command), "{command}: {all:?}");
    }
    compared(graphs, all.values().sum());
}
