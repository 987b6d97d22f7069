//! Recordings in several files, and flight recorders: what was printed is in the files that stay.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Launch, Tcc, TempDir, Trace, Tracer, is_root, text, u64_of, wait_until,
};

/// The files in a directory, by name.
fn files(dir: &TempDir) -> Vec<PathBuf> {
    let all = std::fs::read_dir(dir.path()).expect("a directory");
    let mut files: Vec<PathBuf> = all.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn names(dir: &TempDir) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    files(dir).iter().map(name).collect()
}

/// `events probe,state` of the fixture, printed and recorded in that directory.
fn recorded(fixture: &Fixture, dir: &TempDir, options: &[&str]) -> Tracer {
    let path = dir.path().join("a.tcc");
    let tcc = Tcc::events(&["probe", "state"]).ports(&[fixture.port]);
    let tcc = tcc.option("-w", path.to_str().expect("UTF-8"));
    options.iter().fold(tcc, |tcc, option| tcc.flag(option)).start()
}

/// What these files have.
#[track_caller]
fn replayed(files: &[PathBuf]) -> Trace {
    let files = files.iter().flat_map(|file| ["-r", file.to_str().expect("UTF-8")]);
    let args: Vec<&str> = ["events", "all", "-o", "jsonl"].into_iter().chain(files).collect();
    Tracer::spawn(&Launch::here(), &args).wait()
}

/// Connections, until there is what is waited for.
#[track_caller]
fn connect_until(fixture: &mut Fixture, what: &str, mut done: impl FnMut() -> bool) {
    wait_until(what, || {
        fixture.connect("a", FAMILIES[0]);
        fixture.client.transfer("a", &mut fixture.server, 1000);
        fixture.client.close("a");
        fixture.server.close("a");
        done()
    });
}

/// Of each event type: seen, emitted, filtered, lost.
fn sums(trace: &Trace) -> Vec<[u64; 4]> {
    let counts = trace.end["event_types"].as_object().expect("counters");
    let names = ["seen", "emitted", "filtered", "lost"];
    counts.values().map(|of| names.map(|name| u64_of(of, name))).collect()
}

/// Nothing is missing, and nothing is counted in another file.
#[track_caller]
fn check_sums(trace: &Trace) {
    trace.check_account();
    for [seen, emitted, filtered, lost] in sums(trace) {
        assert_eq!((seen, lost), (emitted + filtered, 0), "{}", trace.end);
    }
}

#[test]
fn parts_have_together_what_was_printed() {
    need!(is_root(), "not root");
    let (mut fixture, dir) = (Fixture::new(), TempDir::new());
    fixture.listen();
    let tracer = recorded(&fixture, &dir, &["--rotate=1s"]);
    connect_until(&mut fixture, "the third part", || dir.path().join("a-0003.tcc").exists());
    fixture.settle();
    let printed = tracer.stop();
    let parts = files(&dir);
    assert_eq!(names(&dir)[..3], ["a-0001.tcc", "a-0002.tcc", "a-0003.tcc"]);
    let all = replayed(&parts);
    assert_eq!(all.events, printed.events);
    assert_eq!(sums(&all), sums(&printed), "{}\n{}", all.end, printed.end);
    // Each by itself is whole, with counters of its own.
    let mut one_by_one = Vec::new();
    for part in &parts {
        let trace = replayed(std::slice::from_ref(part));
        check_sums(&trace);
        one_by_one.extend(trace.events);
    }
    assert_eq!(one_by_one, printed.events);
}

#[test]
fn only_the_newest_parts_are_kept() {
    need!(is_root(), "not root");
    let (mut fixture, dir) = (Fixture::new(), TempDir::new());
    fixture.listen();
    let tracer = recorded(&fixture, &dir, &["--rotate=1s", "--keep=2"]);
    connect_until(&mut fixture, "the fourth part", || dir.path().join("a-0004.tcc").exists());
    let printed = tracer.stop();
    let parts = files(&dir);
    assert_eq!(parts.len(), 2, "{parts:?}");
    let kept = replayed(&parts).events;
    assert!(!kept.is_empty() && kept.len() < printed.events.len());
    assert!(printed.events.ends_with(&kept));
    // They are not overwritten.
    let again = recorded_again(&dir, &[]);
    assert!(again.contains(" exists; choose another name"), "{again}");
    assert_eq!(files(&dir), parts);
}

fn recorded_again(dir: &TempDir, options: &[&str]) -> String {
    let path = dir.path().join("a.tcc");
    let args = ["record", "--rotate=1s", "-w", path.to_str().expect("UTF-8")];
    let output = Tracer::spawn(&Launch::here(), &[&args, options].concat()).wait_raw();
    assert!(!output.status.success());
    output.stderr
}

/// The only file of that reason.
#[track_caller]
fn sealed(dir: &TempDir, reason: &str) -> PathBuf {
    let all = files(dir);
    let mut of =
        all.iter().filter(|path| path.to_string_lossy().ends_with(&format!("Z-{reason}.tcc")));
    let first = of.next().unwrap_or_else(|| panic!("none is sealed: {all:?}"));
    assert_eq!(of.next(), None);
    first.clone()
}

/// The sealed events are printed ones, without a gap, up to the last one of `until` at least.
#[track_caller]
fn check_sealed(path: &Path, printed: &[Value], until: u64) {
    let trace = replayed(&[path.to_owned()]);
    let start = printed.iter().position(|event| *event == trace.events[0]).expect("a printed one");
    assert_eq!(printed[start..start + trace.events.len()], trace.events);
    assert!(trace.events.iter().any(|event| u64_of(event, "mono_ns") >= until));
    check_sums(&trace);
}

#[test]
fn a_signal_seals_what_is_kept() {
    need!(is_root(), "not root");
    let (mut fixture, dir) = (Fixture::new(), TempDir::new());
    fixture.listen();
    let mut tracer = recorded(&fixture, &dir, &["--flight=2s"]);
    // The first parts are gone by then.
    connect_until(&mut fixture, "the fifth part", || dir.path().join("a-0005.tcc").exists());
    assert!(!dir.path().join("a-0001.tcc").exists());
    fixture.settle();
    let last = tracer.with_events(|events| u64_of(events.last().expect("events"), "mono_ns"));
    let snap = Tracer::spawn(&Launch::here(), &["snap", &tracer.pid().to_string()]).wait_raw();
    assert!(snap.status.success(), "{}", snap.stderr);
    tracer.wait_for_line("tcc-trace: sealed ");
    fixture.connect("b", FAMILIES[0]);
    let printed = tracer.stop();
    let path = sealed(&dir, "signal");
    assert_eq!(files(&dir), std::slice::from_ref(&path));
    check_sealed(&path, &printed.events, last);
}

#[test]
fn a_trigger_seals_after_a_while() {
    need!(is_root(), "not root");
    let (mut fixture, dir) = (Fixture::new(), TempDir::new());
    fixture.listen();
    let trigger = "--trigger=type == 'state' && new_state == 'CLOSE'";
    let mut tracer = recorded(&fixture, &dir, &["--flight=1min", trigger, "--after=1s"]);
    fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 1000);
    fixture.client.close("a");
    fixture.server.close("a");
    // From the second on it is not a reason any more.
    fixture.connect("b", FAMILIES[1]);
    fixture.client.close("b");
    fixture.server.close("b");
    tracer.wait_for_line("tcc-trace: sealed ");
    let printed = tracer.stop();
    let path = sealed(&dir, "trigger");
    let is_end = |event: &&Value| text(event, "type") == "state" && event["new_state"] == "CLOSE";
    let ends: Vec<u64> =
        printed.events.iter().filter(is_end).map(|event| u64_of(event, "mono_ns")).collect();
    check_sealed(&path, &printed.events, ends[0]);
    assert_eq!(files(&dir), [path]);
}

#[test]
fn the_end_seals_if_that_is_wanted() {
    need!(is_root(), "not root");
    let (mut fixture, dir) = (Fixture::new(), TempDir::new());
    fixture.listen();
    let tracer = recorded(&fixture, &dir, &["--flight=1min", "--dump-on-exit"]);
    fixture.exchange();
    fixture.settle();
    let printed = tracer.stop();
    let path = sealed(&dir, "exit");
    let trace = replayed(std::slice::from_ref(&path));
    assert_eq!(trace.events, printed.events);
    assert_eq!(sums(&trace), sums(&printed));
    assert_eq!(files(&dir), [path]);
}

#[test]
fn parts_survive_a_kill() {
    need!(is_root(), "not root");
    let (mut fixture, dir) = (Fixture::new(), TempDir::new());
    fixture.listen();
    let tracer = recorded(&fixture, &dir, &["--flight=1min"]);
    // An hour's flight would be in the first part; parts of a minute's last 15 s.
    connect_until(&mut fixture, "a frame", || {
        std::fs::metadata(dir.path().join("a-0001.tcc")).is_ok_and(|file| file.len() > 8000)
    });
    tracer.signal(Signal::KILL);
    tracer.wait_raw();
    assert!(!replayed(&files(&dir)).events.is_empty());
    let refused =
        Tracer::spawn(&Launch::here(), &["snap", &std::process::id().to_string()]).wait_raw();
    assert!(refused.stderr.contains("is not tcc-trace with --flight"), "{}", refused.stderr);
}
