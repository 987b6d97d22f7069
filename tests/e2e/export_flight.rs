//! `export` with a flight recorder beside it: what it records is what it counts, and its files keep to their size, through signals.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::run::Running;
use crate::support::{
    Exporter, FAMILIES, Fixture, Launch, PARTS, Server, TempDir, Trace, Tracer, flooding, is_root,
    traffic_program, u64_of, wait_until,
};

/// A recorder of all that is counted.
const NAME: &str = "f";

/// The files of the recorder, by name.
fn files(dir: &TempDir) -> Vec<PathBuf> {
    let all = fs::read_dir(dir.path()).expect("a directory");
    let all = all.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> =
        all.filter(|path| path.extension().is_some_and(|of| of == "tcc")).collect();
    files.sort();
    files
}

fn sealed(dir: &TempDir, reason: &str) -> Vec<PathBuf> {
    let end = format!("Z-{reason}.tcc");
    files(dir).into_iter().filter(|path| path.to_string_lossy().ends_with(&end)).collect()
}

fn part(dir: &TempDir, number: u32) -> PathBuf {
    dir.path().join(format!("{NAME}-{number:04}.tcc"))
}

/// The size of all files, of those that are there when each is looked at.
fn size(dir: &TempDir) -> u64 {
    files(dir).iter().map(|path| fs::metadata(path).map_or(0, |file| file.len())).sum()
}

fn replayed(file: &Path) -> Trace {
    let args = ["events", "all", "-o", "jsonl", "-r", file.to_str().expect("UTF-8")];
    Tracer::spawn(&Launch::here(), &args).wait()
}

/// The counters were read while programs ran: events that these were at work on had been seen, and no more.
#[track_caller]
fn check_running_account(trace: &Trace) {
    let sum: u64 = PARTS.iter().map(|part| u64_of(&trace.end, part)).sum();
    let programs = 4 * std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let seen = u64_of(&trace.end, "seen");
    assert!((sum..=sum + programs).contains(&seen), "{sum} {}", trace.end);
    assert_eq!(u64_of(&trace.end, "emitted"), trace.events.len() as u64, "{}", trace.end);
}

#[track_caller]
fn snap(exporter: &mut Exporter) {
    let pid = exporter.tracer.pid().to_string();
    let snap = Tracer::spawn(&Launch::here(), &["snap", &pid]).wait_raw();
    assert!(snap.status.success(), "{}", snap.stderr);
    exporter.tracer.wait_for_line("tcc-trace: sealed ");
}

/// Recorded beside the metrics, over a new configuration: the sealed file has as many retransmissions as the kernel has counted, and as
/// many samples as the metrics.
#[test]
fn what_is_sealed_is_what_is_counted() {
    need!(is_root(), "not root");
    let _quiet = flooding();
    let (mut fixture, dir) = (Fixture::new(), TempDir::new());
    let netns = fixture.ns.inode().to_string();
    let (config, prom) = (dir.path().join("export.toml"), dir.path().join("tcc.prom"));
    let write = |more: &str| {
        let record = dir.path().join(format!("{NAME}.tcc"));
        let text = format!("write = '{}'\nflight = '1min'\n{more}", record.display());
        fs::write(&config, text).expect("a file");
    };
    write("");
    let args = ["--config", config.to_str().expect("UTF-8"), "--netns", &netns, "--dump-on-exit"];
    let mut exporter = Exporter::start(&args);
    let before = fixture.ns.counters();
    fixture.lossy_transfers(500_000, ["reno", "cubic", "reno"]);
    let first = exporter.scrape();
    write(&format!("textfile = '{}'\ninterval = '100ms'\n", prom.display()));
    exporter.tracer.signal(Signal::HUP);
    exporter.tracer.wait_for_line("tcc-trace: note: the configuration was read again");
    wait_until("the file", || prom.exists());
    fixture.lossy_transfers(500_000, ["cubic", "reno", "cubic"]);
    let retransmitted = fixture.ns.counters()["RetransSegs"] - before["RetransSegs"];
    let scrape = exporter.wait("all connections closed", |scrape| {
        scrape.sum("tcctrace_connections_open", &[]) == 0.0
            && scrape.sum("tcctrace_connections_closed_total", &[]) == 12.0
    });
    scrape.check_grown_from(&first);
    assert_eq!(scrape.sum("tcctrace_events_lost_total", &[]), 0.0, "{}", scrape.text);
    snap(&mut exporter);
    let [signal] = &sealed(&dir, "signal")[..] else { panic!("{:?}", files(&dir)) };
    let trace = replayed(signal);
    trace.check_account();
    let recorded = |trace: &Trace, event_type: &str| trace.of_type(event_type).len() as u64;
    // The kernel counts SYN-ACKs as well.
    let segments = |trace: &Trace| -> u64 {
        let data =
            trace.of_type("retransmit").iter().map(|event| u64_of(event, "segs")).sum::<u64>();
        data + recorded(trace, "synack_retransmit")
    };
    assert!(retransmitted > 20, "{retransmitted}");
    assert_eq!(segments(&trace), retransmitted, "{}", trace.end);
    let samples = scrape.sum("tcctrace_rtt_seconds_count", &[]);
    assert_eq!(recorded(&trace, "probe") as f64, samples, "{}", trace.end);
    assert!(
        scrape.sum("tcctrace_rtt_seconds_count", &[])
            > first.sum("tcctrace_rtt_seconds_count", &[])
    );
    // What comes later is in the file of the end, which has the whole minute.
    fixture.listen();
    fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 1000);
    fixture.client.close("a");
    fixture.server.close("a");
    fixture.settle();
    let output = exporter.tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    assert!(!prom.exists());
    let [exit] = &sealed(&dir, "exit")[..] else { panic!("{:?}", files(&dir)) };
    let last = replayed(exit);
    last.check_account();
    assert_eq!(segments(&last), retransmitted);
    assert!(recorded(&last, "probe") > recorded(&trace, "probe"));
    assert_eq!(last.events[..trace.events.len()], trace.events);
    assert_eq!(files(&dir).len(), 2, "no part is left: {:?}", files(&dir));
}

/// Requests and responses fill several times of what the files may take.
#[test]
fn the_files_keep_to_their_size_under_load() {
    need!(is_root(), "not root");
    let _quiet = flooding();
    const MOST: u64 = 8 << 20;
    let (fixture, dir) = (Fixture::new(), TempDir::new());
    let netns = fixture.ns.inode().to_string();
    let record = dir.path().join(format!("{NAME}.tcc"));
    let options = ["--flight=10min", "--flight-size=8M", "--all-fields", "--labels=none"];
    let record = ["--netns", &netns, "-w", record.to_str().expect("UTF-8")];
    let mut exporter = Exporter::start(&[&options[..], &record].concat());
    let launch = fixture.ns.launch();
    let _server = Server::start_in(&launch, &format!("[::]:{}", fixture.port), None);
    let mut command = launch.command(traffic_program());
    let to = fixture.addr(FAMILIES[0]).to_string();
    // Many connections take more bytes an event than one, so that fewer events are enough.
    command.args(["pingpong", "--to", &to, "--seconds", "600", "--parallel", "60"]);
    command.args(["--interval", "4ms"]);
    let load = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
    let mut most = 0;
    let mut last = exporter.scrape();
    for number in [5, 9, 12] {
        wait_until("parts", || {
            most = most.max(size(&dir));
            files(&dir).iter().any(|path| {
                *path >= part(&dir, number) && !path.to_string_lossy().ends_with("Z-signal.tcc")
            })
        });
        snap(&mut exporter);
        most = most.max(size(&dir));
        let scrape = exporter.scrape();
        scrape.check_grown_from(&last);
        last = scrape;
    }
    drop(load);
    // The oldest parts and the first sealed file are gone.
    assert!(!part(&dir, 1).exists() && !part(&dir, 6).exists(), "{:?}", files(&dir));
    let kept = sealed(&dir, "signal");
    assert!((1..3).contains(&kept.len()), "{kept:?}");
    // A frame may be written before the part that it is in ends.
    assert!(most > MOST / 2 && most <= MOST, "{most}");
    let trace = replayed(kept.last().expect("one"));
    check_running_account(&trace);
    assert!(trace.events.len() > 1000, "{}", trace.end);
    let ended = |event: &serde_json::Value| event["type"] == "probe";
    assert!(trace.events.iter().any(ended));
    exporter.tracer.signal(Signal::TERM);
    let output = exporter.tracer.wait_raw();
    assert!(output.status.success(), "{}", output.stderr);
    assert_eq!(files(&dir), kept, "the parts go away, and what is sealed stays");
}

/// Parts that are older than the time of --flight go away; without a configuration file SIGHUP is an end.
#[test]
fn old_parts_go_away_and_a_hangup_is_an_end() {
    need!(is_root(), "not root");
    let (mut fixture, dir) = (Fixture::new(), TempDir::new());
    fixture.listen();
    let netns = fixture.ns.inode().to_string();
    let record = dir.path().join(format!("{NAME}.tcc"));
    let args = ["--netns", &netns, "--flight=1s", "-w", record.to_str().expect("UTF-8")];
    let exporter = Exporter::start(&args);
    wait_until("the fourth part", || {
        fixture.connect("a", FAMILIES[0]);
        fixture.client.transfer("a", &mut fixture.server, 1000);
        fixture.client.close("a");
        fixture.server.close("a");
        part(&dir, 4).exists()
    });
    assert!(!part(&dir, 1).exists());
    exporter.tracer.signal(Signal::HUP);
    let output = exporter.tracer.wait_raw();
    assert!(output.status.success(), "{}", output.stderr);
    assert!(files(&dir).is_empty(), "{:?}", files(&dir));
}
