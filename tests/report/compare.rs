//! Comparisons: each number of the score table is computed again here, from the JSON lines of the recordings.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::crafted::{Conn, Crafted, Sample};
use super::{TempDir, events, page, run, samples};

/// A run of two flows: the second has a share of the first one's rate, and losses if there are any.
fn record(path: &Path, seed: u32, second: u32, lossy: bool) {
    let mut recording = Crafted::new(path);
    let mut random = seed;
    let mut next = |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    let mut delivered = [0_u32; 2];
    for n in 0..600_u32 {
        for (at, cookie) in [(0, 11), (1, 12)] {
            let conn = Conn { ca: if lossy { b"bbr" } else { b"cubic" }, ..Conn::new(cookie) };
            delivered[at] += if at == 0 { 10 } else { second } + next(3);
            recording.sample(
                conn,
                Sample {
                    us: 50_000 + u64::from(n) * 10_000 + 300 * cookie,
                    cwnd: 20 + next(10),
                    ssthresh: 15,
                    srtt_us: 20_000 + next(15_000) * if lossy { 2 } else { 1 },
                    una: delivered[at] * 1448,
                    flight_bytes: 1448 * 20,
                    acked: 1 + u64::from(delivered[at]) * 1448,
                    delivered: delivered[at],
                    segs_in: n,
                    ca_state: if lossy && n % 100 < 7 { 3 } else { 0 },
                    interval_us: 0,
                },
            );
            if lossy && n % 100 == 0 {
                recording.drop_in_router(
                    conn,
                    50_000 + u64::from(n) * 10_000 + 5000,
                    delivered[at] * 1448,
                );
                let us = 50_000 + u64::from(n) * 10_000 + 9000;
                (0..=cookie - 11).for_each(|_| {
                    recording.retransmit(conn, us, delivered[at] * 1448);
                });
            }
        }
    }
    recording.end(7_000_000, 0);
}

/// The same numbers, from the JSON lines alone.
fn scores(path: &Path, link: f64) -> BTreeMap<&'static str, f64> {
    let mut flows: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for line in samples(path) {
        flows.entry(line["cookie"].as_u64().unwrap()).or_default().push(line);
    }
    let number = |line: &Value, name: &str| line[name].as_f64().unwrap_or(0.0);
    let flows: Vec<Vec<Value>> = flows.into_values().collect();
    let grown = |flow: &Vec<Value>, name: &str| {
        number(&flow[flow.len() - 1], name) - number(&flow[0], name)
    };
    let all = || flows.iter().flatten();
    let times: Vec<f64> = all().map(|line| number(line, "mono_ns")).collect();
    let start = times.iter().copied().fold(f64::MAX, f64::min);
    let end = times.iter().copied().fold(0.0, f64::max);
    let bytes: f64 = flows.iter().map(|flow| grown(flow, "bytes_acked")).sum();
    let goodput = bytes * 8.0 / ((end - start) / 1e9);
    let mut rtts: Vec<f64> = all().map(|line| number(line, "srtt_us")).collect();
    rtts.sort_by(f64::total_cmp);
    let rank = |share: f64| rtts[((share * rtts.len() as f64).ceil() as usize).max(1) - 1];
    // Bytes delivered up to a time.
    let delivered = |flow: &Vec<Value>, ns: f64| {
        let before: Vec<&Value> =
            flow.iter().filter(|line| number(line, "mono_ns") <= ns).collect();
        let last = before.last().map_or(0.0, |line| number(line, "delivered"));
        let first = number(&flow[0], "delivered");
        if before.is_empty() { 0.0 } else { (last - first) * 1448.0 }
    };
    let bin = |n: f64| -> f64 {
        let at = |ns: f64| flows.iter().map(|flow| delivered(flow, ns)).sum::<f64>();
        (at(start + n * 1e8) - at(start + (n - 1.0) * 1e8)) * 80.0
    };
    let mut bins = 1.0;
    while bin(bins) < 0.9 * goodput {
        bins += 1.0;
    }
    let jain = |rates: &[f64]| {
        let sum: f64 = rates.iter().sum();
        sum * sum / (rates.len() as f64 * rates.iter().map(|rate| rate * rate).sum::<f64>())
    };
    let rate = |flow: &Vec<Value>| grown(flow, "bytes_acked") / grown(flow, "mono_ns");
    let rates: Vec<f64> = flows.iter().map(rate).collect();
    let from = flows.iter().map(|flow| number(&flow[0], "mono_ns")).fold(0.0, f64::max);
    let to =
        flows.iter().map(|flow| number(&flow[flow.len() - 1], "mono_ns")).fold(f64::MAX, f64::min);
    let seconds = ((to - from) / 1e9).floor() as usize;
    let second = |n: usize| {
        let (a, b) = (from + n as f64 * 1e9, from + (n + 1) as f64 * 1e9);
        jain(&flows.iter().map(|flow| delivered(flow, b) - delivered(flow, a)).collect::<Vec<_>>())
    };
    let jain_min = (seconds / 4..seconds).map(second).fold(f64::MAX, f64::min);
    let (mut recovery, mut time, mut recoveries) = (0.0, 0.0, 0.0);
    for flow in &flows {
        for pair in flow.windows(2) {
            let ns = number(&pair[1], "mono_ns") - number(&pair[0], "mono_ns");
            let is_in = |line: &Value| line["ca_state"] == "Recovery";
            time += ns;
            recovery += if is_in(&pair[1]) { ns } else { 0.0 };
            recoveries += f64::from(u8::from(is_in(&pair[1]) && !is_in(&pair[0])));
        }
        recoveries += f64::from(u8::from(flow[0]["ca_state"] == "Recovery"));
    }
    let again: f64 = flows.iter().map(|flow| grown(flow, "total_retrans")).sum();
    let sent: f64 = flows.iter().map(|flow| grown(flow, "data_segs_out")).sum();
    let dropped = events(path, "drop");
    let dropped = dropped.iter().filter(|line| number(line, "data_len") > 0.0);
    let dropped: f64 = dropped.map(|line| number(line, "segs").max(1.0)).sum();
    BTreeMap::from([
        ("Sent again", again / sent),
        ("Segments sent again", again),
        ("Drops seen, segments", dropped),
        ("Goodput", goodput),
        ("Utilisation of the bottleneck", goodput * (1448.0 + 66.0) / 1448.0 / link),
        ("Time to 90 % of goodput", bins / 10.0),
        ("RTT, smallest", rank(0.0)),
        ("RTT, median", rank(0.5)),
        ("RTT, 95 %", rank(0.95)),
        ("RTT, 99 %", rank(0.99)),
        ("RTT inflation, median by smallest", rank(0.5) / rank(0.0)),
        ("Recoveries", recoveries),
        ("Time in Recovery or Loss", recovery / time),
        ("Fairness of flows (Jain)", jain(&rates)),
        ("Fairness, smallest after convergence", jain_min),
    ])
}

/// The numbers of a row, by its name; those behind what is shown.
fn row(page: &str, name: &str) -> Vec<f64> {
    let shown = name.replace(' ', "\u{202f}");
    let start = [name.to_owned(), shown].map(|name| format!("<th scope=\"row\">{name}</th>"));
    let from = start.iter().find_map(|start| page.find(start));
    let from = from.unwrap_or_else(|| panic!("no row {name}"));
    let len = page[from..].find("</tr>").unwrap();
    let cells = page[from..from + len].split("data-v=\"").skip(1);
    cells.map(|cell| cell.split('"').next().unwrap().parse().unwrap()).collect()
}

fn compare(dir: &TempDir, files: &[&str], more: &[&str]) -> String {
    let out = dir.file("compared.html");
    let paths: Vec<_> = files.iter().map(|file| dir.file(file)).collect();
    let args = [OsStr::new("report")].into_iter().chain(paths.iter().map(|path| path.as_os_str()));
    let args = args.chain(more.iter().map(OsStr::new));
    let output = run(args.chain([OsStr::new("--force"), OsStr::new("-w"), out.as_os_str()]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(out).unwrap()
}

#[track_caller]
fn is_near(one: f64, other: f64) {
    assert!((one - other).abs() <= 1e-9 * one.abs().max(other.abs()), "{one} {other}");
}

#[test]
fn every_score_is_that_of_the_json_lines() {
    let dir = TempDir::new("scores");
    record(&dir.file("a.tcc"), 1, 4, false);
    record(&dir.file("b.tcc"), 2, 7, true);
    let labels = ["--labels", "cubic,bbr", "--bottleneck", "20mbit"];
    let page = compare(&dir, &["a.tcc", "b.tcc"], &labels);
    let truth = [scores(&dir.file("a.tcc"), 2e7), scores(&dir.file("b.tcc"), 2e7)];
    let mut compared = 0;
    for (name, first) in &truth[0] {
        let shown = row(&page, name);
        assert_eq!(shown.len(), 2, "{name}");
        is_near(shown[0], *first);
        is_near(shown[1], truth[1][name]);
        compared += 2;
    }
    assert_eq!(compared, 30);
    assert_eq!(row(&page, "Drops seen, segments"), [0.0, 12.0]);
    // One of the first flow and two of the second each time, but for those before the first sample and behind the last.
    assert_eq!(row(&page, "Segments sent again"), [0.0, 18.0]);
    let text = page::text(&page);
    for found in ["cubic and bbr, compared", "bottleneck 20.0 Mbit/s (given)", "against the first"]
    {
        assert!(text.contains(found), "{found}");
    }
    // Without the link there is no utilisation.
    assert!(!compare(&dir, &["a.tcc", "b.tcc"], &[]).contains("Utilisation of the bottleneck<"));
}

#[test]
fn repetitions_of_a_label_have_a_median_and_a_range() {
    let dir = TempDir::new("repetitions");
    for (at, name) in ["a.tcc", "b.tcc", "c.tcc"].into_iter().enumerate() {
        record(&dir.file(name), 10 + at as u32, 3 + at as u32, false);
    }
    record(&dir.file("d.tcc"), 20, 5, true);
    let files = ["a.tcc", "d.tcc", "b.tcc", "c.tcc"];
    let page = compare(&dir, &files, &["--labels", "one,two,one,one"]);
    let of = |file: &str| scores(&dir.file(file), 1.0)["Goodput"];
    let mut goodputs = ["a.tcc", "b.tcc", "c.tcc"].map(of);
    goodputs.sort_by(f64::total_cmp);
    let shown = row(&page, "Goodput");
    is_near(shown[0], goodputs[1]);
    is_near(shown[1], of("d.tcc"));
    let text = page::text(&page);
    assert!(text.contains("median of 3 (range)"));
    let range = format!("({:.1} Mbit/s–{:.1} Mbit/s)", goodputs[0] / 1e6, goodputs[2] / 1e6);
    assert!(text.contains(&range), "{range}");
}

#[test]
fn time_begins_where_it_is_said_to() {
    let dir = TempDir::new("align");
    record(&dir.file("a.tcc"), 1, 4, false);
    record(&dir.file("b.tcc"), 2, 4, false);
    let since = |page: &str| -> f64 {
        let meta: Value = serde_json::from_str(&page::script(page, "meta")).unwrap();
        meta["runs"][0]["flows"][0]["since"].as_f64().unwrap()
    };
    // The first sample is 53.3 ms after the start, the first delivered data in the second one.
    let start = compare(&dir, &["a.tcc", "b.tcc"], &["--align", "start"]);
    is_near(since(&start), 0.053_3);
    let data = compare(&dir, &["a.tcc", "b.tcc"], &["--align", "first-data"]);
    is_near(since(&data), -0.01);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let dir = TempDir::new("refused");
    record(&dir.file("a.tcc"), 1, 4, false);
    Crafted::new(&dir.file("empty.tcc")).end(1000, 0);
    let path = |name: &str| dir.file(name).display().to_string();
    let (a, empty, out) = (path("a.tcc"), path("empty.tcc"), path("out.html"));
    let refused = |args: &[&str]| {
        let output = run(["report", "-w", &out].iter().chain(args));
        assert!(!output.status.success() && !Path::new(&out).exists());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, text) = refused(&[&a, &a, "--labels", "one"]);
    assert_eq!(status, Some(2));
    assert!(text.contains("--labels has 1 names for 2 files; give one for each"), "{text}");
    let (status, text) = refused(&[&a, "--bottleneck", "20mbit"]);
    assert_eq!(status, Some(2));
    assert!(text.contains("--bottleneck compares recordings; name at least two"), "{text}");
    let (status, text) = refused(&[&a, &empty]);
    assert_eq!(status, Some(1));
    assert!(text.contains("no connection with at least two samples that moved data"), "{text}");
    let (status, text) = refused(&[&a, &a, "--bottleneck", "20"]);
    assert_eq!(status, Some(2));
    assert!(text.contains("not a bit rate; use 500kbit, 20mbit or 1gbit"), "{text}");
}
