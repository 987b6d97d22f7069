//! Command lines that the documentation shows are run beside a transfer: each traces and ends in good order.

use std::collections::BTreeSet;

use crate::support::texts::command_lines;
use crate::support::{Fixture, Launch, Server, TempDir, Tracer, is_root, note, traffic_in};

/// What names something that only the reader's host has, or needs a terminal.
const OF_A_HOST: &[&str] = &[
    "-p", "--pid", "--cgroup", "--netns", "--iface", "--btf", "--", "snap", "--tail", "live",
    "--ends", "--config",
];
/// Commands that print something and end.
const PRINTS: &[&str] = &[
    "check",
    "schema",
    "completions",
    "man",
    "help",
    "-h",
    "--help",
    "--version",
    "info",
    "report",
];
/// Tracers at a time.
const AT_ONCE: usize = 6;

/// They end sooner here than they say.
fn adapted(words: &[String]) -> Vec<String> {
    let mut words = words.iter().map(String::as_str);
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "-d" | "--duration" => drop(words.next()),
            word => kept.push(word.to_owned()),
        }
    }
    kept
}

/// The recordings that a command line reads.
fn recordings(words: &[String]) -> Vec<&str> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if ["convert", "report"].contains(words.first().unwrap_or(&"")) {
        return words[1..].iter().copied().take_while(|word| !word.starts_with('-')).collect();
    }
    let reads = |at: &usize| words[*at] == "-r" || words[*at] == "info";
    let places = (0..words.len()).filter(reads);
    places.filter_map(|at| words.get(at + 1)).copied().collect()
}

fn is_parquet(word: &str) -> bool {
    word == "parquet" || word.starts_with("parquet=")
}

/// The file that a command line records into.
fn written(words: &[String]) -> Option<&str> {
    let at = words.iter().position(|word| word == "-w")?;
    words.get(at + 1).map(String::as_str)
}

/// Those that run at a time: no two of them write the same file.
fn groups<'a>(all: &[&'a Vec<String>]) -> Vec<Vec<&'a Vec<String>>> {
    let mut groups: Vec<Vec<&Vec<String>>> = Vec::new();
    for words in all {
        let file = written(words);
        let fits = |group: &&mut Vec<&Vec<String>>| {
            group.len() < AT_ONCE
                && (file.is_none() || group.iter().all(|other| written(other) != file))
        };
        match groups.iter_mut().find(fits) {
            Some(group) => group.push(words),
            None => groups.push(vec![words]),
        }
    }
    groups
}

#[test]
fn documented_commands_trace() {
    need!(is_root(), "not root");
    let fixture = Fixture::new();
    // They write their files where they are started.
    let dir = TempDir::new();
    let path = dir.path().to_str().expect("UTF-8");
    let launch = Launch::here().with_tracefs().inside(&["env", "--chdir", path]);
    let server =
        Server::start_in(&fixture.ns.launch(), &format!("[::]:{}", fixture.port), Some("cubic"));
    let all: BTreeSet<Vec<String>> = command_lines().into_iter().map(|(_, words)| words).collect();
    let is_elsewhere = |word: &String| {
        OF_A_HOST.contains(&word.as_str())
            || word.starts_with("/var/")
            || (is_parquet(word) && !cfg!(feature = "parquet"))
            || (word == "--otlp" && !cfg!(feature = "otlp"))
    };
    let is_here = |words: &&Vec<String>| !words.iter().any(is_elsewhere);
    let prints = |words: &Vec<String>| words.iter().any(|word| PRINTS.contains(&word.as_str()));
    let run: Vec<&Vec<String>> = all.iter().filter(is_here).collect();
    note(&format!(
        "{} of {} command lines are run; the others name what is not here",
        run.len(),
        all.len()
    ));
    assert!(run.len() * 2 > all.len());
    let files: BTreeSet<&str> = run.iter().flat_map(|words| recordings(words)).collect();
    let to = fixture.addr("127.0.0.1").to_string();
    let transfer = || {
        let args = ["bulk", "--to", &to, "--bytes", "1000000", "--cc", "cubic"];
        traffic_in(&fixture.ns.launch(), &args);
    };
    for file in files {
        let mut recorder = Tracer::spawn(&launch, &["events", "all", "-a", "-w", file]);
        recorder.wait_ready();
        transfer();
        let output = recorder.stop_raw();
        assert!(output.status.success(), "{file}: {}", output.stderr);
    }
    for group in groups(&run) {
        let start = |words: &&Vec<String>| {
            let mut args = adapted(words);
            // Others read what was recorded before.
            if let Some(at) = args.iter().position(|word| word == "-w") {
                args[at + 1].insert_str(0, "new-");
            }
            let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
            if !prints(words) {
                args.extend(["--duration", "300ms"]);
            }
            if words.iter().any(|word| word == "-w") {
                args.push("--force");
            }
            Tracer::spawn(&launch, &args)
        };
        let tracers: Vec<Tracer> = group.iter().map(start).collect();
        transfer();
        for (words, tracer) in group.iter().zip(tracers) {
            let output = tracer.wait_raw();
            // What is asserted may not hold here.
            let is_answer = words[0] == "assert" && matches!(output.status.code(), Some(1 | 3));
            assert!(output.status.success() || is_answer, "{words:?}: {}", output.stderr);
            let traced = output.stderr.contains("tcc-trace: tracing ")
                || output.stderr.contains("tcc-trace: reading ")
                || words.iter().any(|word| word == "-q");
            assert!(prints(words) || traced, "{words:?}: {}", output.stderr);
        }
    }
    fixture.settle();
    drop(server);
}
