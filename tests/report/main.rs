//! Pages of crafted recordings: every value against the JSON lines of the same recording, and what must be right where data is missing.

mod compare;
mod crafted;
mod ends;
mod export;
mod kernels;
mod page;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crafted::{Conn, Crafted, Sample};
use serde_json::Value;
use tcc_trace::limits::rules::{CAUSES, LimitCause};

/// A directory that is removed.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("tcc-report-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        TempDir(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tcc-trace")).args(args).output().expect("it runs")
}

/// The page of a recording.
fn report(dir: &TempDir, recording: &Path) -> String {
    let path = dir.file("page.html");
    let args =
        [OsStr::new("report"), recording.as_os_str(), OsStr::new("--force"), OsStr::new("-w")];
    let output = run(args.into_iter().chain([path.as_os_str()]));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.starts_with("tcc-trace: wrote "), "{stderr}");
    fs::read_to_string(path).unwrap()
}

fn samples(recording: &Path) -> Vec<Value> {
    events(recording, "probe")
}

/// Events of that type as JSON lines, with all fields.
fn events(recording: &Path, event_type: &str) -> Vec<Value> {
    let args = ["events", event_type, "-a", "-o", "jsonl", "-q", "-r"].map(OsStr::new);
    let output = run(args.into_iter().chain([recording.as_os_str()]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["type"] == event_type).collect()
}

/// Two hundred samples of a sawtooth with a recovery, whose sequence numbers wrap.
fn sawtooth(recording: &mut Crafted, conn: Conn) {
    let first = u32::MAX - 100_000;
    for n in 0..200_u32 {
        recording.sample(
            conn,
            Sample {
                us: 100_000 + u64::from(n) * 10_000,
                cwnd: 10 + n % 40,
                ssthresh: if n > 40 { 20 } else { 0 },
                srtt_us: 20_000 + 100 * (n % 40),
                una: first.wrapping_add(n * 14_480),
                flight_bytes: 1448 * (5 + n % 40),
                acked: 1 + u64::from(n) * 14_480,
                delivered: n * 10,
                segs_in: n,
                ca_state: if (80..90).contains(&n) { 3 } else { 0 },
                ..Sample::default()
            },
        );
        if n == 80 {
            recording.drop_in_router(conn, 900_500, first.wrapping_add(81 * 14_480));
            recording.retransmit(conn, 940_500, first.wrapping_add(81 * 14_480));
        }
    }
}

/// The samples' numbers are those of the lines; how many. Times and sequence numbers are since the first sample, and words are not here.
fn check_values(data: &page::Data, lines: &[Value]) -> usize {
    let member = |line: &Value, name: &str| match name.split_once('.') {
        Some((group, leaf)) => line[group][leaf].clone(),
        None => line[name].clone(),
    };
    let mut compared = 0;
    for (name, values) in &data.columns {
        let is_other = ["time_us", "snd_una", "ca_state", "bbr.mode"].contains(&name.as_str());
        if is_other || name.starts_with("delay.") {
            continue;
        }
        for (line, value) in lines.iter().zip(values) {
            let truth = match member(line, name) {
                Value::Bool(flag) => Some(f64::from(u8::from(flag))),
                truth => truth.as_f64(),
            };
            // A page keeps fractions to the millionth.
            let is_same = match (*value, truth) {
                (Some(value), Some(truth)) => (value - truth).abs() <= 5e-7,
                (value, truth) => value == truth,
            };
            assert!(is_same, "{name} at {}: {value:?}, not {truth:?}", line["time"]);
            compared += 1;
        }
    }
    compared
}

#[test]
fn every_value_is_that_of_the_json_lines() {
    let dir = TempDir::new("values");
    let path = dir.file("a.tcc");
    let mut recording = Crafted::new(&path);
    let conn = Conn::new(9);
    recording.opened(conn, 90_000);
    sawtooth(&mut recording, conn);
    recording.end(3_000_000, 0);
    let page = report(&dir, &path);
    let data = page::data(&page, "d1");
    let lines = samples(&path);
    assert_eq!((lines.len(), data.head["rows"].as_u64()), (200, Some(200)));
    let compared = check_values(&data, &lines);
    assert!(compared >= 4000, "{compared}");
    // CUBIC's own are among them.
    let own = &data.columns["cubic.last_max_cwnd"];
    assert_eq!((own[0], own[150]), (Some(40.0), Some(41.0)));
    // Sequence numbers do not wrap, and times are since the first sample.
    let mono = |line: &Value| line["mono_ns"].as_u64().unwrap();
    let raw = |line: &Value| line["snd_una"].as_u64().unwrap();
    for (n, line) in lines.iter().enumerate() {
        let us = (mono(line) - mono(&lines[0])) / 1000;
        assert_eq!(data.columns["time_us"][n], Some(us as f64));
        let offset = data.columns["snd_una"][n].unwrap();
        assert_eq!((raw(&lines[0]) + offset as u64) % (1 << 32), raw(line));
        assert_eq!(offset, n as f64 * 14_480.0);
    }
    let drop = data.head["events"].as_array().unwrap().iter().find(|event| event[1] == 0);
    let drop = drop.expect("the drop in the router, which has no cookie");
    assert_eq!((drop[4].as_i64(), drop[5].as_u64()), (Some(81 * 14_480), Some(1448)));
    let events = data.head["events"].as_array().unwrap();
    let again = &events[drop[6].as_u64().unwrap() as usize];
    assert_eq!(
        (again[2].as_str(), again[0].as_i64()),
        (Some("fast retransmission"), Some(840_500))
    );
}

#[test]
fn the_summary_is_that_of_the_json_lines() {
    let dir = TempDir::new("summary");
    let path = dir.file("a.tcc");
    let mut recording = Crafted::new(&path);
    sawtooth(&mut recording, Conn::new(9));
    recording.end(3_000_000, 0);
    let page = report(&dir, &path);
    let lines = samples(&path);
    let number = |line: &Value, name: &str| line[name].as_u64().unwrap() as f64;
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    let grown = |name: &str| number(last, name) - number(first, name);
    let goodput = grown("bytes_acked") * 8.0 / (grown("mono_ns") / 1e9) / 1e6;
    let mut rtt: Vec<f64> = lines.iter().map(|line| number(line, "srtt_us") / 1000.0).collect();
    rtt.sort_by(f64::total_cmp);
    let rank = |share: f64| rtt[(share * rtt.len() as f64).ceil() as usize - 1];
    let section = page::section(&page, 1);
    let expected = [
        format!("Goodput {goodput:.1} Mbit/s"),
        format!("Round-trip time, median {:.1} ms", rank(0.5)),
        format!("95 % {:.1} ms", rank(0.95)),
        format!("99 % {:.1} ms", rank(0.99)),
        "fast 1".into(),
        "drops seen, segments 1".into(),
        "recoveries (longest) 1 (100 ms)".into(),
        "QDISC_DROP".into(),
    ];
    for text in expected {
        assert!(
            section.split_whitespace().collect::<Vec<_>>().join(" ").contains(&text),
            "{text} in {section}"
        );
    }
    // Recovery held from the sample before the first one in it.
    let share = 10.0 / 199.0 * 100.0;
    assert!(section.contains(&format!("Recovery {share:.1} %")), "{section}");
}

/// The causes of a page are those of `limits`, which reads the same recording.
#[test]
fn the_causes_are_those_of_limits() {
    let dir = TempDir::new("causes");
    let path = dir.file("a.tcc");
    let mut recording = Crafted::new(&path);
    sawtooth(&mut recording, Conn::new(9));
    recording.end(3_000_000, 0);
    let page = report(&dir, &path);
    let causes = &page::data(&page, "d1").head["causes"];
    let list = |name: &str| -> Vec<i64> {
        causes[name].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect()
    };
    let mut sums = [0; CAUSES + 1];
    for (us, cause) in list("times").into_iter().zip(list("numbers")) {
        sums[cause as usize] += if cause > 0 { us } else { 0 };
    }
    let args = ["limits", "-i", "1h", "-o", "jsonl", "-q", "-r"].map(OsStr::new);
    let output = run(args.into_iter().chain([path.as_os_str()]));
    let text = String::from_utf8(output.stdout).unwrap();
    let line: Value = serde_json::from_str(text.lines().next().expect("a summary")).unwrap();
    for (number, sum) in sums.iter().skip(1).enumerate() {
        let name = LimitCause::from_number(number).unwrap().name();
        let truth = line[format!("{name}_us")].as_i64().unwrap();
        assert!((sum - truth).abs() <= 200, "{name}: {sum} {truth}");
    }
    assert!(sums.iter().sum::<i64>() > 1_900_000, "{sums:?}");
    let evidence = line["evidence"].as_str().unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = words(&evidence.split(". ").next().unwrap().replace(['_', '`'], " "));
    assert!(words(&page::section(&page, 1)).contains(&sentence), "{sentence}");
}

#[test]
fn what_is_missing_is_shown_as_missing() {
    let dir = TempDir::new("missing");
    let path = dir.file("a.tcc");
    let mut recording = Crafted::new(&path);
    let conn = Conn::new(9);
    let sample = |n: u64, later_us: u64, packets: u32| Sample {
        us: n * 10_000 + later_us,
        cwnd: 10,
        acked: n * 1000,
        segs_in: n as u32 + packets,
        ..Sample::default()
    };
    (0..50).for_each(|n| recording.sample(conn, sample(n, 0, 0)));
    // Half a second without packets, then half a second whose samples were lost.
    (50..100).for_each(|n| recording.sample(conn, sample(n, 500_000, 0)));
    recording.step_clock(1_500_000);
    (100..150).for_each(|n| recording.sample(conn, sample(n, 1_000_000, 40)));
    recording.end(3_000_000, 41);
    let page = report(&dir, &path);
    let data = page::data(&page, "d1");
    assert_eq!(data.head["gaps"], serde_json::json!([[100, 41, false]]));
    let section = page::section(&page, 1);
    assert!(
        section.contains("No data from 1.490 s to 2.000 s: 41 packets without a sample"),
        "{section}"
    );
    let text = page::text(&page);
    for found in
        ["41 of 191 events lost (21.5 %)", "The wall clock was set by +1.000 s", "41 probe"]
    {
        assert!(text.contains(found), "{found}");
    }
}

#[test]
fn a_damaged_part_is_a_gap() {
    let dir = TempDir::new("damaged");
    let path = dir.file("a.tcc");
    let mut recording = Crafted::new(&path);
    let mut ends = Vec::new();
    for n in 0..300_u32 {
        let us = u64::from(n) * 1000;
        recording
            .sample(Conn::new(9), Sample { us, cwnd: 10 + n % 3, segs_in: n, ..Sample::default() });
        if n % 100 == 99 {
            recording.cut();
            ends.push(path.metadata().unwrap().len());
        }
    }
    recording.end(300_000, 0);
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    // In the second of three frames of samples.
    file.write_all_at(&[0xee; 16], ends[0].midpoint(ends[1])).unwrap();
    let page = dir.file("page.html");
    let output = run([OsStr::new("report"), path.as_os_str(), OsStr::new("-w"), page.as_os_str()]);
    assert_eq!(output.status.code(), Some(1));
    let text = fs::read_to_string(page).unwrap();
    let data = page::data(&text, "d1");
    let gaps = data.head["gaps"].as_array().unwrap();
    assert_eq!(gaps, &[serde_json::json!([100, 101, true])]);
    assert!(page::text(&text).contains("the file is damaged"));
}

#[test]
fn names_cannot_end_an_element() {
    let dir = TempDir::new("names");
    let path = dir.file("a.tcc");
    let mut recording = Crafted::new(&path);
    let conn = Conn { cookie: 9, comm: b"</script><b>\x1b\xff", ca: b"\"'><i>&" };
    sawtooth(&mut recording, conn);
    recording.end(3_000_000, 0);
    let page = report(&dir, &path);
    let shown = page::text(&page);
    assert!(shown.contains("</script><b>\\x1b\\xff"), "the name is shown");
    assert!(shown.contains("host <b>host</b>") && shown.contains("\"'><i>&"));
    for evil in ["</script><b>", "<b>host", "<i>&", "\x1b"] {
        assert!(!page.contains(evil), "{evil:?}");
    }
    // A script ends where ours end: uPlot, ours, the list of marks and one for the data.
    assert_eq!(page.matches("</script>").count(), 4);
}

#[test]
fn no_and_single_samples_have_a_page() {
    let dir = TempDir::new("few");
    let path = dir.file("a.tcc");
    Crafted::new(&path).end(1000, 0);
    assert!(report(&dir, &path).contains("has no events of connections"));
    let mut recording = Crafted::new(&path);
    recording.opened(Conn::new(3), 500);
    recording.sample(Conn::new(4), Sample { us: 700, cwnd: 10, ..Sample::default() });
    recording.reset(Conn::new(4), 800);
    recording.end(1000, 0);
    let page = report(&dir, &path);
    assert!(page::section(&page, 1).contains("No samples:"));
    let one = page::section(&page, 2);
    assert!(one.contains("A single sample") && one.contains("RST sent"), "{one}");
    assert_eq!(page::data(&page, "d1").head["rows"], 0);
    assert_eq!(page::data(&page, "d2").columns["snd_cwnd"], [Some(10.0)]);
}

#[test]
fn files_are_written_as_other_outputs_are() {
    let dir = TempDir::new("file");
    let path = dir.file("a.tcc");
    Crafted::new(&path).end(1000, 0);
    let page = dir.file("page.html");
    let args = |force: bool| {
        let force = force.then_some(OsStr::new("--force"));
        let all = [OsStr::new("report"), path.as_os_str(), OsStr::new("-w"), page.as_os_str()];
        all.into_iter().chain(force)
    };
    assert!(run(args(false)).status.success());
    assert_eq!(page.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let again = run(args(false));
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("overwrite it with --force"));
    assert!(run(args(true)).status.success());
    fs::write(&path, b"something else").unwrap();
    let before = fs::read(&page).unwrap();
    let failed = run(args(true));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("not a recording of tcc-trace"));
    assert_eq!(fs::read(&page).unwrap(), before);
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 2, "no temporary file is left");
}

/// What is in every page is uPlot as published, and needs no network.
#[test]
fn the_page_needs_nothing_else() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/assets");
    let output = Command::new("sha256sum").arg(assets.join("uPlot.iife.min.js")).output().unwrap();
    let hash = String::from_utf8(output.stdout).unwrap();
    assert!(
        hash.starts_with("19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f "),
        "{hash}"
    );
    let dir = TempDir::new("whole");
    let path = dir.file("a.tcc");
    Crafted::new(&path).end(1000, 0);
    let page = report(&dir, &path);
    assert!(page.contains("Copyright (c) 2022 Leon Sorokin"));
    assert!(page.contains("default-src 'none'"));
    for entry in fs::read_dir(assets).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let text = fs::read_to_string(entry.path()).unwrap();
        let lines = text.lines().count();
        assert!(lines <= 400, "{name} has {lines} lines");
        if name.starts_with("uPlot") {
            continue;
        }
        for network in ["http:", "https:", "fetch(", "import(", "@import", "url("] {
            let found = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!found.contains(network), "{name}: {network}");
        }
    }
}
