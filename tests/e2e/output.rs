//! The formats, as far as a parser of each can tell; and what becomes of the output.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::support::{
    Launch, Running, Server, TempDir, Tracer, columns, guest, has_cc, invalid, is_root, schema,
    tcc_trace, traffic, traffic_program, u64_of, wait_until,
};

/// A little of each: of both ends, in any algorithm that there is.
fn some_traffic(server: &Server) {
    let to = server.addr.to_string();
    for cc in ["cubic", "reno", "bbr"].into_iter().filter(|cc| has_cc(cc)) {
        traffic(&["bulk", "--to", &to, "--bytes", "300000", "--cc", cc]);
        traffic(&["pingpong", "--to", &to, "--count", "5", "--interval", "0ms", "--cc", cc]);
    }
}

/// What it writes with these options.
#[track_caller]
fn output_of(args: &[&str]) -> String {
    let server = Server::start("127.0.0.1:0", None);
    let port = server.port_text();
    let mut tracer = Tracer::spawn(&Launch::here(), &[&["-P", &port], args].concat());
    tracer.wait_ready();
    some_traffic(&server);
    wait_until("events", || tracer.stdout().lines().count() > 10);
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    output.stdout
}

#[test]
fn json_lines_are_what_the_schema_says() {
    need!(is_root(), "not root");
    let schema = schema();
    let server = Server::start("127.0.0.1:0", None);
    let port = server.port_text();
    for (args, sets, named) in [
        (&["--stats", "50ms", "-P", &port][..], &["standard"][..], &[][..]),
        (&["--stats", "50ms", "-a", "--time", "rel", "-P", &port], &["standard", "all"], &[]),
        (
            &["--stats", "50ms", "--fields", "bbr.bw,snd_cwnd,cookie", "-P", &port],
            &[],
            &["bbr", "snd_cwnd", "cookie"],
        ),
    ] {
        let tracer = Tracer::start(args);
        some_traffic(&server);
        wait_until("the books", || tracer.stdout().contains("\"type\":\"stats\""));
        let output = tracer.stop_raw();
        assert!(output.stdout.lines().count() > 20);
        for line in output.stdout.lines() {
            let value: Value = serde_json::from_str(line).expect("JSON");
            invalid(schema, &value).unwrap_or_else(|error| panic!("{error}: {line}"));
            // One of several event types says little of what is wrong; its own says all.
            let event_type = value["type"].as_str().expect("a type");
            let own = crate::support::record(schema, event_type);
            invalid(own, &value).unwrap_or_else(|error| panic!("{error}: {line}"));
            if event_type == "probe" {
                let properties = own["properties"].as_object().expect("properties");
                let of_sets = properties.iter().filter(|(_, property)| {
                    property["x-set"].as_str().is_some_and(|set| sets.contains(&set))
                });
                let wanted: Vec<&str> = ["type"]
                    .into_iter()
                    .chain(of_sets.map(|(name, _)| name.as_str()))
                    .chain(named.iter().copied())
                    .collect();
                let keys: Vec<&String> = value.as_object().expect("an object").keys().collect();
                assert_eq!(keys, wanted, "{args:?}: all of these, in this order");
            }
        }
    }
    // The validator itself refuses what is wrong.
    for wrong in [
        serde_json::json!({ "type": "probe", "snd_cwnd": "10" }),
        serde_json::json!({ "type": "probe", "other": 1 }),
        serde_json::json!({ "type": "end" }),
        serde_json::json!({ "type": "other" }),
    ] {
        assert!(invalid(schema, &wrong).is_err(), "{wrong}");
    }
}

#[test]
fn csv_is_a_table_with_the_schemas_columns() {
    need!(is_root(), "not root");
    let text = output_of(&["-o", "csv", "-a"]);
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(text.as_bytes());
    let header: Vec<String> =
        reader.headers().expect("a header").iter().map(String::from).collect();
    let wanted = [vec!["type".to_owned()], columns(schema(), "probe")].concat();
    assert_eq!(header, wanted);
    let rows: Result<Vec<_>, _> = reader.records().collect();
    assert!(rows.expect("each of the header's width").len() > 10);

    let bare = output_of(&["-o", "csv", "--no-header"]);
    assert!(bare.lines().all(|line| line.starts_with("probe,")), "{bare}");
    let widths: Vec<usize> = bare.lines().map(|line| line.split(',').count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}");
}

#[test]
fn text_fits_a_terminal() {
    need!(is_root(), "not root");
    let text = output_of(&["-o", "text"]);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let mut lines = text.lines();
    let (titles, units) = (lines.next().expect("titles"), lines.next().expect("units"));
    assert!(titles.starts_with("TIME") && titles.contains(" cwnd "), "{titles}");
    assert!(units.trim_start().starts_with("segs"), "{units}");
    assert!(lines.all(|line| line.starts_with(|c: char| c.is_ascii_digit())), "{text}");
    assert!(!text.contains('\x1b'), "no colours in a file");

    let bare = output_of(&["-o", "text", "--no-header"]);
    assert!(bare.starts_with(|c: char| c.is_ascii_digit()), "{bare}");
    let all = output_of(&["-o", "text", "-a"]);
    assert!(all.lines().all(|line| line.chars().count() <= 100), "{all}");
    let details = all.lines().filter(|line| line.starts_with("    ") && line.contains("ca_name:"));
    assert!(details.count() > 10, "{all}");
}

#[test]
fn fields_come_as_they_are_named() {
    need!(is_root(), "not root");
    let text = output_of(&["-o", "csv", "--fields", "dport,snd_cwnd,sport,dport"]);
    assert_eq!(text.lines().next(), Some("type,dport,snd_cwnd,sport,dport"));
    let text = output_of(&["-o", "csv", "--fields", "bbr,ca_name"]);
    let header = text.lines().next().expect("a header");
    let of_bbr = columns(schema(), "probe").into_iter().filter(|name| name.starts_with("bbr."));
    let wanted: Vec<String> = of_bbr.collect();
    assert_eq!(header, format!("type,{},ca_name", wanted.join(",")));

    let text = output_of(&["-o", "jsonl", "--fields", "ca_name,cookie"]);
    let event = text.lines().next().expect("a line");
    assert!(event.starts_with("{\"type\":\"probe\",\"ca_name\":\""), "{event}");
    assert_eq!(event.matches("\":").count(), 3, "{event}");
    let text = output_of(&["-o", "text", "--fields", "snd_cwnd,ca_name"]);
    let titles: Vec<&str> = text.lines().next().expect("titles").split_whitespace().collect();
    assert_eq!(titles, ["snd_cwnd", "ca_name"]);
    // Numbers stand below their titles from the first line on, also large ones.
    let text = output_of(&["-o", "text", "--fields", "snd_nxt,rcv_nxt,srtt_us"]);
    let ends = |line: &str| -> Vec<usize> {
        let end = |(at, c): (usize, char)| (c != ' ').then_some(at + 1);
        let last = |&at: &usize| line[at..].chars().next().is_none_or(|c| c == ' ');
        line.char_indices().filter_map(end).filter(last).collect()
    };
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() > 2 && lines[2..].iter().all(|l| ends(l) == ends(lines[0])), "{text}");
}

fn mono_seconds() -> f64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

#[test]
fn time_is_in_the_clock_that_was_chosen() {
    need!(is_root(), "not root");
    let before = mono_seconds();
    for mode in ["mono", "rel", "wall"] {
        let text = output_of(&["-o", "jsonl", "--time", mode]);
        let events: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let (end, events) = events.split_last().expect("lines");
        for event in events {
            let mono = u64_of(event, "mono_ns") as f64 / 1e9;
            assert!(mono >= before && mono <= mono_seconds(), "{event}");
            let time = &event["time"];
            match mode {
                "mono" => assert!((time.as_f64().expect("seconds") - mono).abs() < 1e-6, "{event}"),
                "rel" => {
                    let seconds = time.as_f64().expect("seconds");
                    let duration = u64_of(end, "duration_ns") as f64 / 1e9;
                    assert!(seconds >= 0.0 && seconds <= duration, "{event}");
                }
                _ => {
                    let text = time.as_str().expect("text");
                    assert!(text.len() == 30 && text.ends_with('Z'), "{event}");
                    let age = std::time::SystemTime::now()
                        .duration_since(humantime::parse_rfc3339(text).expect("RFC 3339"))
                        .expect("not in the future");
                    assert!(age.as_secs_f64() <= mono_seconds() - mono + 0.1, "{event}");
                }
            }
        }
    }
}

/// Traffic for as long as its owner lives.
fn steady(to: &str) -> Running {
    let mut command = Launch::here().command(traffic_program());
    command.args(["pingpong", "--to", to, "--seconds", "300", "--interval", "5ms"]);
    Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()))
}

/// `| head -1`.
#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let _traffic = steady(&server.addr.to_string());
    for format in ["jsonl", "csv", "text"] {
        let mut command = Launch::here().command(tcc_trace());
        command.args(["-q", "-o", format, "-P", &server.port_text()]);
        let mut tracer = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut line = String::new();
        let mut pipe = BufReader::new(tracer.child().stdout.take().expect("piped"));
        pipe.read_line(&mut line).expect("a line");
        drop(pipe);
        let (status, stderr) = tracer.wait();
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{format}");
    }
}

/// However often and in which order its parts are asked for.
#[test]
fn a_key_stands_once_in_an_object() {
    need!(is_root(), "not root");
    let text =
        output_of(&["-o", "jsonl", "--fields", "cubic.cnt,snd_cwnd,cubic.bic_k,snd_cwnd,cubic"]);
    let line = text.lines().next().expect("an event");
    for key in ["\"cubic\":", "\"snd_cwnd\":", "\"cnt\":", "\"bic_k\":"] {
        assert!(line.matches(key).count() <= 1, "{key}: {line}");
    }
    let event: Value = serde_json::from_str(line).expect("JSON");
    let keys: Vec<&String> = event.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["type", "cubic", "snd_cwnd"]);
}

/// What the books on stderr have of an event type, by name.
fn counts(stderr: &str) -> BTreeMap<&str, u64> {
    let line = stderr.lines().find_map(|line| line.strip_prefix("tcc-trace: probe: "));
    let line = line.unwrap_or_else(|| panic!("{stderr}")).split(';').next().unwrap_or_default();
    let parts = line.split(['=', '+']).map(|part| part.trim().split_once(' ').expect("two words"));
    parts.map(|(number, name)| (name, number.parse().expect("a number"))).collect()
}

/// The reason is said in one line, and only what is in the file counts as emitted: of a device that takes nothing, and of
/// one that has room for so much, where the last write is a part of a piece and of a line.
#[test]
fn a_full_disk_is_reported_and_what_it_did_not_take_is_lost() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let _traffic = steady(&server.addr.to_string());
    let dir = TempDir::new();
    // Of 512 bytes each, or in bash of 1024.
    let limit = "trap '' XFSZ && ulimit -f 9 && exec \"$0\" \"$@\"";
    for (format, titles) in [("jsonl", 0), ("csv", 1), ("text", 2)] {
        for full in [true, false] {
            let path = if full { "/dev/full".into() } else { dir.path().join(format) };
            let file = OpenOptions::new().write(true).create(!full).open(&path).expect("a file");
            let launch =
                if full { Launch::here() } else { Launch::here().within(&["sh", "-c", limit]) };
            let mut command = launch.command(tcc_trace());
            command.args(["-o", format, "-P", &server.port_text()]);
            let mut tracer = Running::spawn(command.stdin(Stdio::null()).stdout(file));
            let (status, stderr) = tracer.wait();
            assert_eq!(status.code(), Some(1), "{format}: {stderr}");
            let why = if full { "No space" } else { "File too large" };
            let last = stderr.lines().last().unwrap_or_default();
            assert!(
                last.starts_with(&format!("tcc-trace: cannot write the output: {why}")),
                "{format}: {stderr}"
            );
            assert_eq!(stderr.matches("cannot write").count(), 1, "{format}: {stderr}");
            let mut books = counts(&stderr);
            let (seen, emitted) = (books.remove("seen"), books["emitted"]);
            assert_eq!(seen, Some(books.values().sum()), "{format}: {stderr}");
            if full {
                // Titles are refused before there are any events.
                assert_eq!(emitted, 0, "{format}: {stderr}");
                continue;
            }
            let text = std::fs::read(&path).expect("the file");
            let lines = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
            assert!(text.len().is_multiple_of(9 * 512) && lines > 10, "{format}: {}", text.len());
            assert_eq!(emitted, lines - titles, "{format}: {stderr}");
            assert!(text.ends_with(b"\n") || books["lost"] > 0, "{format}: {stderr}");
        }
    }
}

/// At a slow rate nothing waits for more: an event is in the pipe at once.
#[test]
fn few_events_are_there_at_once() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    for transport in ["ringbuf", "perfbuf"] {
        let mut command = Launch::here().command(tcc_trace());
        let port = server.port_text();
        command.args(["-o", "jsonl", "-P", &port, "--transport", transport]);
        let mut tracer = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
        tracer.wait_for_line("tcc-trace: tracing");
        let pipe = BufReader::new(tracer.child().stdout.take().expect("piped"));
        let reader = std::thread::spawn(move || {
            let mut late = Vec::new();
            for line in pipe.lines().map_while(Result::ok) {
                let now = clock_gettime(ClockId::Monotonic);
                let now = now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned();
                let event: Value = serde_json::from_str(&line).expect("JSON");
                if event["type"] == "probe" {
                    late.push(now - u64_of(&event, "mono_ns"));
                }
            }
            late
        });
        let to = server.addr.to_string();
        traffic(&["pingpong", "--to", &to, "--count", "40", "--interval", "30ms"]);
        tracer.signal(Signal::INT);
        let (status, stderr) = tracer.wait();
        assert!(status.success(), "{stderr}");
        let mut late = reader.join().expect("no panic");
        late.sort_unstable();
        assert!(late.len() >= 80, "{}", late.len());
        let median = late[late.len() / 2];
        assert!(guest() || median < 50_000_000, "{transport}: {median} ns");
    }
}

#[test]
fn quiet_is_quiet() {
    need!(is_root(), "not root");
    let mut command = Launch::here().command(tcc_trace());
    command.args([
        "-q",
        "-o",
        "jsonl",
        "-P",
        "1",
        "-d",
        "100ms",
        "--stats",
        "20ms",
        "--buffer-size",
        "5000",
    ]);
    let mut tracer = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut text = String::new();
    let mut stdout = tracer.child().stdout.take().expect("piped");
    stdout.read_to_string(&mut text).expect("its output");
    let (status, stderr) = tracer.wait();
    assert!(status.success());
    assert_eq!(stderr, "");
    assert!(text.ends_with("}\n") && text.contains("\"type\":\"end\""), "{text}");
}
