//! Not a test: `script/validate` runs it, for minutes. Connections whose sender is limited by causes made on purpose, and how much of
//! that time `limits` gives to which cause.
//!
//! TCC_VALIDATE_RUNS: connections of each cause, algorithm, set and round-trip time (4). TCC_VALIDATE_ONLY: scenarios whose names
//! contain that. TCC_VALIDATE_THREADS: connections at a time (4). TCC_VALIDATE_SETS: `tuning`, `proof`, `fresh`. TCC_VALIDATE_OUT: a file for a line of JSON per period.

mod matrix;
mod run;
mod scenarios;

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::support::{has_cc, has_tun, is_root, mono_ns};
use matrix::{Matrix, Period};
use run::{Parameters, Phase, Run};
use scenarios::{SCENARIOS, Scenario};

/// Thresholds may be chosen by what the first set shows. The paths, sizes and some scenarios of the others differ. The last one was added
/// when nothing was changed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Tuning,
    Proof,
    Fresh,
}

impl Set {
    fn name(self) -> &'static str {
        match self {
            Set::Tuning => "tuning",
            Set::Proof => "proof",
            Set::Fresh => "fresh",
        }
    }

    /// Milliseconds of the round trip and bytes per second of the bottleneck.
    fn paths(self) -> [(u64, u64); 2] {
        match self {
            Set::Tuning => [(40, 1_500_000), (10, 2_500_000)],
            Set::Proof => [(64, 1_000_000), (14, 2_000_000)],
            Set::Fresh => [(100, 700_000), (28, 2_800_000)],
        }
    }
}

const ALGORITHMS: [&str; 3] = ["cubic", "reno", "bbr"];

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[test]
#[ignore = "script/validate: takes minutes"]
fn matrix_of_causes() {
    need!(is_root(), "not root");
    need!(has_tun(), "no /dev/net/tun");
    let runs: u64 = variable("TCC_VALIDATE_RUNS", "4").parse().expect("a number");
    let (only, sets) =
        (variable("TCC_VALIDATE_ONLY", ""), variable("TCC_VALIDATE_SETS", "tuning,proof,fresh"));
    let mut out = std::env::var_os("TCC_VALIDATE_OUT")
        .map(|path| std::fs::File::create(path).expect("a file"));
    let mut failed = false;
    for set in
        [Set::Tuning, Set::Proof, Set::Fresh].into_iter().filter(|set| sets.contains(set.name()))
    {
        let mut all: Vec<Period> = Vec::new();
        for scenario in SCENARIOS.iter().filter(|s| s.name.contains(&only) && s.is_in(set)) {
            eprintln!("{}: {}", set.name(), scenario.name);
            let periods = of_scenario(scenario, set, runs);
            for period in &periods {
                out.iter_mut().for_each(|out| writeln!(out, "{}", period.json()).expect("written"));
            }
            all.extend(periods);
        }
        for cc in ALGORITHMS {
            let matrix = Matrix::of(all.iter().filter(|period| period.cc == cc));
            println!("\n## {cc}, {} set\n\n{matrix}", set.name());
            failed |= !matrix.is_good();
        }
    }
    assert!(!failed, "less than 97 % is right");
}

/// All algorithms and round-trip times at once, as far as the CPUs allow.
fn of_scenario(scenario: &'static Scenario, set: Set, runs: u64) -> Vec<Period> {
    let mut waiting = VecDeque::new();
    for number in 0..runs {
        for (rtt_ms, rate) in set.paths() {
            for cc in ALGORITHMS.into_iter().filter(|cc| has_cc(cc)) {
                waiting.push_back(Parameters { cc, rtt_ms, rate, number, set });
            }
        }
    }
    let threads = variable("TCC_VALIDATE_THREADS", "4").parse().expect("a number");
    let (waiting, done) = (Mutex::new(waiting), Mutex::new(Vec::new()));
    let over = AtomicBool::new(false);
    let tracer = run::tracer(scenario.interval);
    let stopped = std::thread::scope(|scope| {
        let watch = scope.spawn(|| stops(&over));
        let run = || {
            loop {
                let next = waiting.lock().expect("no panic").pop_front();
                let Some(parameters) = next else { break };
                let mut run = Run::new(scenario, parameters);
                (scenario.script)(&mut run);
                let phases = run.end();
                done.lock().expect("no panic").extend(phases);
            }
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let results: Vec<_> = all.into_iter().map(|thread| thread.join()).collect();
        over.store(true, Relaxed);
        assert!(results.iter().all(Result::is_ok), "a run failed");
        watch.join().expect("no panic")
    });
    let rows = tracer.stop().events;
    let phases = done.into_inner().expect("no panic");
    let long: Vec<(u64, u64)> =
        stopped.iter().copied().filter(|stop| stop.1 - stop.0 > STOP_NS).collect();
    let whole = |phase: &Phase| {
        !long
            .iter()
            .chain(&phase.late)
            .any(|stop| stop.1 - stop.0 > STOP_NS && phase.overlaps(*stop))
    };
    let (phases, cut): (Vec<Phase>, Vec<Phase>) = phases.into_iter().partition(whole);
    if !cut.is_empty() {
        eprintln!("{} periods are left out: all was stopped", cut.len());
    }
    phases.into_iter().map(|phase| phase.measured(scenario.name, &rows, &stopped)).collect()
}

/// As long as that is a silent path, after which a connection has a timeout and starts anew: the whole period is disturbed.
const STOP_NS: u64 = 150_000_000;
/// What is shorter does not matter on any of the paths.
const PAUSE_NS: u64 = 3_000_000;

/// When nothing ran for a while, as the processes or the machine were stopped.
fn stops(over: &AtomicBool) -> Vec<(u64, u64)> {
    let (mut stops, mut before) = (Vec::new(), mono_ns());
    let nap = Duration::from_millis(2);
    while !over.load(Relaxed) {
        std::thread::sleep(nap);
        let now = mono_ns();
        if now - before > PAUSE_NS + nap.as_nanos() as u64 {
            stops.push((before, now));
        }
        before = now;
    }
    stops
}
