//! `-o xplot`: the files are read by the rules of its language, and held against the JSON lines of the same run.
//! `export_xplot_drawn.rs` has xplot.org draw them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::{
    Exported, Tcc, TempDir, compared, drawn, exported, in_order, is_root, text, u64_of,
};

/// A point: µs, and a sequence number without wraps.
type Point = (u64, i64);

/// A line from point to point.
type Line = (Point, Point);

/// The commands of a file, by colour.
#[derive(Default)]
struct Graph {
    title: String,
    lines: BTreeMap<String, Vec<Line>>,
    /// What is written above a point, with its colour.
    texts: Vec<(String, Point, String)>,
    crosses: Vec<Point>,
    arrows: usize,
}

#[track_caller]
fn parse(path: &Path) -> Graph {
    let source = fs::read_to_string(path).expect("a file");
    let mut lines = source.lines();
    let mut next = || lines.next();
    assert_eq!(next(), Some("timeval double"));
    assert_eq!(next(), Some("title"));
    let mut graph = Graph { title: next().expect("a title").to_owned(), ..Graph::default() };
    for (label, text) in [("xlabel", "time"), ("ylabel", "sequence number")] {
        assert_eq!([next(), next()], [Some(label), Some(text)]);
    }
    let mut color = String::new();
    while let Some(line) = next() {
        let words: Vec<&str> = line.split(' ').collect();
        let point = |at: usize| -> Point {
            let (seconds, us) = words[at].split_once('.').expect("seconds and µs");
            assert_eq!(us.len(), 6, "{line}");
            let us = seconds.parse::<u64>().expect("seconds") * 1_000_000
                + us.parse::<u64>().expect("µs");
            (us, words[at + 1].parse().expect("a number"))
        };
        match words[0] {
            "line" => graph.lines.entry(color.clone()).or_default().push((point(1), point(3))),
            "atext" => {
                let text = next().expect("a text").to_owned();
                graph.texts.push((color.clone(), point(1), text));
            }
            "x" => graph.crosses.push(point(1)),
            "darrow" | "uarrow" => graph.arrows += 1,
            "go" => assert_eq!(next(), None, "the end"),
            name => {
                let known = ["white", "green", "yellow", "red", "purple", "orange"];
                assert!(words.len() == 1 && known.contains(&name), "{line}");
                color = name.to_owned();
            }
        }
    }
    assert!(source.ends_with("\ngo\n"), "{}", path.display());
    graph
}

/// The file of an event's connection.
fn file(event: &Value) -> String {
    let end = |addr: &str, port: &str| {
        format!("{}_{}", text(event, addr).replace(':', "_"), u64_of(event, port))
    };
    let cookie = event["cookie"].as_u64().map(|cookie| format!("-{cookie}"));
    format!("{}-{}{}.xpl", end("saddr", "sport"), end("daddr", "dport"), cookie.unwrap_or_default())
}

fn at(event: &Value) -> u64 {
    u64_of(event, "mono_ns") / 1000
}

/// How a value changes: when, from what, to what. Numbers are as in the packet.
type Changes = Vec<(u64, u32, u32)>;

fn expected_changes(events: &[&Value], value: impl Fn(&Value) -> Option<u32>) -> Changes {
    let mut last = None;
    let mut changes = Changes::new();
    for event in events {
        let Some(now) = value(event) else { continue };
        if let Some(before) = last.replace(now)
            && before != now
        {
            changes.push((at(event), before, now));
        }
    }
    changes
}

/// Its vertical lines; between two of them the value stays.
#[track_caller]
fn changes(lines: &[Line]) -> Changes {
    for pair in lines.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "without a gap");
    }
    let steps = lines.iter().filter(|(from, to)| from.1 != to.1);
    let step = |(from, to): &Line| {
        assert_eq!(from.0, to.0, "at one time");
        (from.0, from.1 as u32, to.1 as u32)
    };
    steps.map(step).collect()
}

fn number(event: &Value, column: &str) -> Option<u32> {
    event[column].as_u64().map(|number| number as u32)
}

fn wraps(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    Some(a?.wrapping_add(b?))
}

fn of_type<'e>(events: &[&'e Value], event_type: &str) -> Vec<&'e Value> {
    events.iter().copied().filter(|event| event["type"] == event_type).collect()
}

/// The texts of that name: when and where.
fn marks(graph: &Graph, name: &str) -> Vec<(u64, u32)> {
    let of = graph.texts.iter().filter(|(.., text)| text == name);
    of.map(|(_, (at, seq), _)| (*at, *seq as u32)).collect()
}

fn check(graph: &Graph, events: &[&Value], steps_known: bool) -> usize {
    let una = |event: &Value| number(event, "snd_una");
    let nxt = |event: &Value| number(event, "snd_nxt");
    let window = |event: &Value| wraps(number(event, "snd_una"), number(event, "snd_wnd"));
    let mut values = 0;
    let expected = [
        ("green", expected_changes(events, una)),
        ("white", expected_changes(events, nxt)),
        ("yellow", expected_changes(events, window)),
    ];
    for (color, expected) in expected {
        let lines = graph.lines.get(color).map_or(&[][..], Vec::as_slice);
        if steps_known {
            assert_eq!(changes(lines), expected, "{}: {color}", graph.title);
        }
        values += expected.len();
    }
    let retransmitted = of_type(events, "retransmit");
    let end = |event: &&Value| wraps(number(event, "seq"), number(event, "data_len"));
    let expected: Vec<(u64, u32)> =
        retransmitted.iter().map(|event| (at(event), end(event).expect("numbers"))).collect();
    assert_eq!(marks(graph, "R"), expected, "{}", graph.title);
    let red = graph.lines.get("red").map_or(&[][..], Vec::as_slice);
    let from = |event: &&Value| (at(event), number(event, "seq").expect("a number"));
    let begins: Vec<(u64, u32)> = red.iter().map(|((at, seq), _)| (*at, *seq as u32)).collect();
    assert_eq!(begins, retransmitted.iter().map(from).collect::<Vec<_>>(), "{}", graph.title);

    let drops =
        of_type(events, "drop").into_iter().filter_map(|event| match text(event, "direction") {
            "out" => Some((at(event), number(event, "seq")?)),
            _ if text(event, "flags").contains("ACK") => {
                Some((at(event), number(event, "ack_seq")?))
            }
            _ => None,
        });
    assert_eq!(marks(graph, "D"), drops.collect::<Vec<_>>(), "{}", graph.title);
    assert_eq!(graph.crosses.len(), marks(graph, "D").len());
    for (name, event_type) in [("RST_OUT", "reset_sent"), ("RST_IN", "reset_received")] {
        let times: Vec<u64> = of_type(events, event_type).into_iter().map(at).collect();
        let found: Vec<u64> = marks(graph, name).into_iter().map(|(at, _)| at).collect();
        assert_eq!(found, times, "{}: {name}", graph.title);
    }
    let closed = of_type(events, "zero_window");
    let closed = closed.iter().filter(|e| e["side"] == "peer" && e["phase"] == "begin");
    assert_eq!(marks(graph, "Z").len(), closed.count(), "{}", graph.title);
    let unnecessary = of_type(events, "spurious");
    let unnecessary = unnecessary
        .iter()
        .filter(|e| e["evidence"] == "dsack" && !e["seq"].is_null() && !e["end_seq"].is_null());
    assert_eq!(marks(graph, "S").len(), unnecessary.count(), "{}", graph.title);
    values + retransmitted.len()
}

#[test]
fn graphs_have_the_values_of_the_lines() {
    need!(is_root(), "not root");
    let Exported { trace, paths, .. } = &exported(&["xplot"], &drawn());
    let path = &paths[0];
    let mut by_file: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for event in &trace.events {
        by_file.entry(file(event)).or_default().push(event);
    }
    let files = fs::read_dir(path).expect("a directory").map(|entry| entry.expect("a file"));
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(path), 0o700);
    let mut names: Vec<String> = Vec::new();
    for file in files {
        assert_eq!(mode(&file.path()), 0o600);
        names.push(file.file_name().into_string().expect("UTF-8"));
    }
    names.sort();
    assert_eq!(names, by_file.keys().cloned().collect::<Vec<_>>());
    let (mut values, mut texts) = (0, BTreeMap::new());
    for (name, events) in &by_file {
        let graph = parse(&path.join(name));
        let [local, peer] = ["saddr", "daddr"].map(|column| text(events[0], column));
        assert!(graph.title.contains(local) && graph.title.contains(peer), "{}", graph.title);
        values += check(&graph, events, in_order(trace));
        graph.texts.iter().for_each(|(.., text)| *texts.entry(text.clone()).or_insert(0) += 1);
    }
    assert!(values > 500, "{values}");
    compared(trace.events.len(), values);
    for text in ["R", "D", "Z", "RST_IN", "RST_OUT"] {
        assert!(texts.contains_key(text), "{text}: {texts:?}");
    }
}

/// Data as it goes to the driver, where that is traced, too.
#[test]
fn packets_that_are_sent_are_drawn() {
    need!(is_root(), "not root");
    let Exported { trace, paths, .. } = &exported(&["xplot"], "queue");
    let path = &paths[0];
    let sent = |event: &&Value| !event["seq"].is_null() && event["data_len"] != 0;
    let mut drawn = 0;
    let mut by_file: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for event in &trace.events {
        by_file.entry(file(event)).or_default().push(event);
    }
    for (name, events) in &by_file {
        let graph = parse(&path.join(name));
        let sent: Vec<&&Value> = events.iter().filter(|event| sent(event)).collect();
        assert_eq!(graph.arrows, 2 * sent.len(), "{name}");
        let white = graph.lines.get("white").map_or(&[][..], Vec::as_slice);
        for event in sent {
            let from = (at(event), number(event, "seq").expect("a number"));
            let len = u64_of(event, "data_len") as i64;
            let found = white
                .iter()
                .any(|(begin, end)| (begin.0, begin.1 as u32) == from && end.1 - begin.1 == len);
            assert!(found, "{event}");
            drawn += 1;
        }
    }
    assert!(drawn > 500, "{drawn}");
}

#[test]
fn graphs_need_a_directory() {
    let refused = |output: &str, words: &[&str]| {
        let output = Tcc::probe().output(output).option("--port", "1").run();
        assert!(!output.status.success() && output.stdout.is_empty(), "{}", output.stderr);
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        assert!(words.iter().all(|word| output.stderr.contains(word)), "{}", output.stderr);
    };
    refused("xplot", &["name a directory", "-o xplot=DIR"]);
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let file = dir.path().join("file");
    fs::write(&file, "x").expect("a file");
    refused(&format!("xplot={}", file.display()), &["cannot open ", "Not a directory"]);
    assert_eq!(fs::read(&file).expect("a file"), b"x");
}
