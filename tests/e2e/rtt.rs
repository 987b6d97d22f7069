//! `rtt` against the samples that it is made of, which another tracer prints.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{
    Buckets, Launch, Netns, QUICK, Server, Trace, Tracer, bucket_of, buckets, check_row,
    check_schema, flooding, guest, is_root, network, printed, text, traffic_in, traffic_program,
    u64_of, unique_port, wait_until,
};

const FIELDS: &str = "cookie,saddr,sport,daddr,dport,netns,cgroup_id,ca_name,pid,comm,srtt_us,min_rtt_us,rttvar_us,mdev_us";
const ALL_FAMILIES: [&str; 3] = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"];

/// Row's key, as printed; its values, sorted; how many had none.
type Rows = BTreeMap<String, (Vec<u64>, u64)>;

/// The rows that the samples make.
fn expected(events: &[Value], keys: &[&str], prefix: Option<(u8, u8)>, field: &str) -> Rows {
    let mut rows = Rows::new();
    for event in events {
        let value = |name: &&str| match *name {
            "saddr" | "daddr" => ((*name).to_owned(), network(event, name, prefix)),
            name => (name.to_owned(), event[name].clone()),
        };
        let key: serde_json::Map<String, Value> = keys.iter().map(value).collect();
        let row = rows.entry(Value::Object(key).to_string()).or_default();
        let none = event[field].is_null() || (field != "min_rtt_us" && event["srtt_us"].is_null());
        if none {
            row.1 += 1;
        } else {
            row.0.push(u64_of(event, field));
        }
    }
    rows.values_mut().for_each(|(values, _)| values.sort_unstable());
    rows
}

/// Tracers on one port: the samples, and summaries of them.
struct Beside {
    samples: Tracer,
    others: Vec<Tracer>,
}

impl Beside {
    #[track_caller]
    fn start(port: &str, reader: &str, others: &[&[&str]]) -> Self {
        let here = Launch::here().with_tracefs();
        // First, so that it makes the cookies that the raw reader cannot make.
        let args = ["--port", port, "--reader", "sock", "--fields", FIELDS, "--buffer-size", "4M"];
        let samples = Tracer::start_in(&here, &args);
        let start = |more: &&[&str]| {
            let args =
                [&["rtt", "-o", "jsonl", "--port", port, "--reader", reader], *more].concat();
            let mut tracer = Tracer::spawn(&here, &args);
            tracer.wait_ready();
            tracer
        };
        Beside { samples, others: others.iter().map(start).collect() }
    }

    /// The samples, and the others' lines.
    #[track_caller]
    fn stop(self) -> (Vec<Value>, Vec<Trace>) {
        let samples = self.samples.stop();
        samples.check_account();
        assert_eq!(u64_of(&samples.end, "lost"), 0, "{}", samples.end);
        let others: Vec<Trace> = self.others.into_iter().map(Tracer::stop).collect();
        for trace in &others {
            assert_eq!(trace.aggregated(), samples.events.len() as u64, "{}", trace.end);
            check_schema(trace);
        }
        (samples.events, others)
    }
}

/// Connections of all families, here and in a namespace, under two algorithms.
fn connections(port: u16, ns: &Netns) {
    let listen = format!("[::]:{port}");
    for launch in [Launch::here(), ns.launch()] {
        let server = Server::start_in(&launch, &listen, Some("reno"));
        for addr in ALL_FAMILIES {
            let to = format!("{addr}:{port}");
            let many = ["--count", "20", "--interval", "0ms"];
            traffic_in(&launch, &[&["pingpong", "--to", &to, "--cc", "cubic"], &many[..]].concat());
        }
        server.settle();
    }
}

fn check_keys(reader: &str) {
    need!(is_root(), "not root");
    let _quiet = flooding();
    let (port, ns) = (unique_port(), Netns::new());
    // What it is by, what the keys are, whether addresses are put together, which time it is.
    type Case = (&'static str, &'static [&'static str], Option<(u8, u8)>, &'static str);
    let mut cases: Vec<Case> = vec![
        ("all", &[], None, "srtt_us"),
        ("conn", &["cookie", "saddr", "sport", "daddr", "dport"], None, "srtt_us"),
        ("laddr", &["saddr"], None, "min_rtt_us"),
        ("raddr", &["daddr"], Some((8, 64)), "mdev_us"),
        ("raddr", &["daddr"], Some((0, 0)), "rttvar_us"),
        ("lport", &["sport"], None, "rttvar_us"),
        ("rport,netns", &["netns", "dport"], None, "srtt_us"),
        ("cgroup", &["cgroup_id"], None, "srtt_us"),
        ("netns", &["netns"], None, "mdev_us"),
        ("cc,laddr", &["ca_name", "saddr"], None, "srtt_us"),
        ("pid", &["pid", "comm"], None, "srtt_us"),
        ("comm,lport", &["comm", "sport"], None, "min_rtt_us"),
    ];
    // An emulated machine takes long for each; these are by what is kept in different places.
    if guest() {
        cases.retain(|(by, ..)| ["conn", "cgroup", "netns", "comm,lport"].contains(by));
    }
    let mut options = Vec::new();
    for (by, _, prefix, field) in &cases {
        let mut words = ["--by", by, "--field", field].join(" ");
        if let Some((v4, v6)) = prefix {
            words += &format!(" --prefix {v4} --prefix6 {v6}");
        }
        options.push(words);
    }
    let options: Vec<Vec<&str>> = options.iter().map(|words| words.split(' ').collect()).collect();
    let options: Vec<&[&str]> = options.iter().map(Vec::as_slice).collect();
    let beside = Beside::start(&port.to_string(), reader, &options);
    connections(port, &ns);
    let (samples, traces) = beside.stop();
    assert!(samples.len() > 100, "{} samples", samples.len());
    for (trace, (by, keys, prefix, field)) in traces.iter().zip(&cases) {
        let rows = expected(&samples, keys, *prefix, field);
        assert_eq!(trace.events.len(), rows.len(), "--by {by}");
        for row in &trace.events {
            assert_eq!(text(row, "field"), *field);
            // Maps are equal whatever the order of their members.
            let same =
                |key: &&String| serde_json::from_str::<Value>(key).expect("JSON") == row["key"];
            let key = rows.keys().find(same).unwrap_or_else(|| panic!("--by {by}: {row}"));
            check_row(row, &rows[key].0, rows[key].1);
        }
    }
}

by_sock_and_raw! {
    check_keys: every_row_is_that_of_its_samples_sock every_row_is_that_of_its_samples_raw;
}

#[test]
fn intervals_sum_to_the_whole() {
    need!(is_root(), "not root");
    let _quiet = flooding();
    let port = unique_port();
    let port_text = port.to_string();
    let all: &[&str] = &["--interval", "30ms"];
    let by_conn: &[&str] = &["--interval", "30ms", "--by", "conn"];
    let beside = Beside::start(&port_text, "sock", &[all, by_conn]);
    let server = Server::start(&format!("127.0.0.1:{port}"), None);
    let to = server.addr.to_string();
    let seen = |n: usize| {
        let tracer = &beside.others[n];
        tracer.events().iter().map(|row| u64_of(row, "interval_ns")).collect::<Vec<_>>()
    };
    while seen(0).len() < 5 || seen(1).len() < 5 {
        traffic_in(&Launch::here(), &[&["pingpong", "--to", &to], QUICK].concat());
    }
    server.settle();
    let (samples, traces) = beside.stop();
    for (trace, keys) in
        traces.iter().zip([&[][..], &["cookie", "saddr", "sport", "daddr", "dport"]])
    {
        for (key, (values, unset)) in expected(&samples, keys, None, "srtt_us") {
            let key: Value = serde_json::from_str(&key).expect("JSON");
            let rows: Vec<&Value> = trace.events.iter().filter(|row| row["key"] == key).collect();
            let sum = |name: &str| rows.iter().map(|row| u64_of(row, name)).sum::<u64>();
            assert_eq!(
                [sum("count"), sum("unset"), sum("sum_us")],
                [values.len() as u64, unset, values.iter().sum()]
            );
            let mut whole = Buckets::new();
            for (bucket, count) in rows.iter().flat_map(|row| printed(row)) {
                *whole.entry(bucket).or_default() += count;
            }
            assert_eq!(whole, buckets(&values), "{key}");
            for row in rows {
                let filled = printed(row);
                let (least, most) = (u64_of(row, "min_us"), u64_of(row, "max_us"));
                assert_eq!(filled.keys().next(), Some(&bucket_of(least)), "{row}");
                assert_eq!(filled.keys().last(), Some(&bucket_of(most)), "{row}");
            }
        }
    }
}

/// What finds no room is counted together, and nothing is lost.
#[test]
fn what_has_no_room_is_one_row() {
    need!(is_root(), "not root");
    let _quiet = flooding();
    let (port, ns) = (unique_port(), Netns::new());
    let beside = Beside::start(
        &port.to_string(),
        "sock",
        &[&["--by", "conn", "--max-rows", "3"], &["--by", "laddr", "--max-rows", "1"]],
    );
    connections(port, &ns);
    let (samples, traces) = beside.stop();
    for (trace, rows) in traces.iter().zip([3, 1]) {
        let (own, rest): (Vec<_>, Vec<_>) =
            trace.events.iter().partition(|row| row["key"].is_object());
        assert_eq!((own.len(), rest.len()), (rows, 1), "{:?}", trace.events);
        let sum: u64 =
            trace.events.iter().map(|row| u64_of(row, "count") + u64_of(row, "unset")).sum();
        assert_eq!(sum, samples.len() as u64);
        let mut whole = Buckets::new();
        for (bucket, count) in trace.events.iter().flat_map(printed) {
            *whole.entry(bucket).or_default() += count;
        }
        assert_eq!(whole, buckets(&expected(&samples, &[], None, "srtt_us")["{}"].0));
    }
}

/// Rows that have been idle make room for new ones.
#[test]
fn idle_rows_make_room() {
    need!(is_root(), "not root");
    let port = unique_port();
    let port_text = port.to_string();
    let server = Server::start(&format!("127.0.0.1:{port}"), None);
    let to = server.addr.to_string();
    let args = ["rtt", "-o", "jsonl", "-P", &port_text, "--by", "conn", "--interval", "50ms"];
    let mut tracer = Tracer::spawn(&Launch::here(), &[&args[..], &["--max-rows", "8"]].concat());
    tracer.wait_ready();
    for _ in 0..12 {
        let lines = traffic_in(&Launch::here(), &[&["pingpong", "--to", &to], QUICK].concat());
        let local = text(&lines[0], "local").rsplit_once(':').expect("a port").1;
        let local: u64 = local.parse().expect("a number");
        // The client's and the server's, each with all that it will ever have.
        server.settle();
        tracer.wait_events("both rows", |rows| {
            let has = |name: &str| rows.iter().any(|row| row["key"][name] == local);
            has("sport") && has("dport")
        });
    }
    let trace = tracer.stop();
    let reported: u64 = trace.events.iter().map(|r| u64_of(r, "count") + u64_of(r, "unset")).sum();
    assert_eq!(trace.aggregated(), reported);
    assert!(trace.events.iter().all(|row| row["key"].is_object()), "{:?}", trace.events);
}

/// The connections of a command, and only they.
#[test]
fn a_command_has_its_round_trips_counted() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let (port, to) = (server.port_text(), server.addr.to_string());
    let program = traffic_program().display().to_string();
    let command = [&["pingpong", "--to", &to], QUICK].concat();
    let args = ["rtt", "-o", "jsonl", "-P", &port, "--by", "rport", "--", &program];
    let trace = Tracer::spawn(&Launch::here(), &[&args[..], &command].concat()).wait();
    assert!(trace.aggregated() > 5, "{}", trace.end);
    let keys: Vec<&Value> = trace.events.iter().map(|row| &row["key"]["dport"]).collect();
    assert_eq!(keys, [&json!(server.port())]);
}

#[test]
fn people_get_bars_and_tables_one_header() {
    need!(is_root(), "not root");
    let port = unique_port();
    let port_text = port.to_string();
    let start = |more: &[&str]| {
        let args = [&["rtt", "-P", &port_text], more].concat();
        let mut tracer = Tracer::spawn(&Launch::here(), &args);
        tracer.wait_ready();
        tracer
    };
    let text = start(&["--unit", "ms"]);
    let csv = start(&["-o", "csv", "--by", "rport", "--interval", "20ms"]);
    let server = Server::start(&format!("127.0.0.1:{port}"), None);
    let to = server.addr.to_string();
    wait_until("two summaries", || {
        traffic_in(&Launch::here(), &[&["pingpong", "--to", &to], QUICK].concat());
        let intervals: std::collections::BTreeSet<String> =
            csv.stdout().lines().filter_map(|l| l.split(',').nth(2).map(str::to_owned)).collect();
        intervals.len() > 3
    });
    server.settle();
    let (text, csv) = (text.stop_raw(), csv.stop_raw());

    assert!(text.status.success(), "{}", text.stderr);
    let bars = text.stdout.lines().filter(|line| line.ends_with('|') && line.contains(" -> "));
    let count =
        |line: &str| line.split(':').nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let sum: u64 = bars.map(|line| count(line).parse::<u64>().unwrap()).sum();
    assert!(text.stdout.contains(&format!("count:{sum} ")) && sum > 0, "{}", text.stdout);
    assert!(text.stdout.contains("ms               : count     distribution"), "{}", text.stdout);
    let values: Vec<&str> = text.stdout.split_whitespace().collect();
    let ms = |name: &str| -> f64 {
        let value = values.iter().find_map(|value| value.strip_prefix(name));
        value.unwrap_or_else(|| panic!("{name}: {}", text.stdout)).parse().expect("a number")
    };
    let of = [ms("min_ms:"), ms("avg_ms:"), ms("max_ms:"), ms("sum_ms:")];
    assert!(
        of.is_sorted() && of[0] > 0.0 && (of[1] * sum as f64 - of[3]).abs() < sum as f64 / 1e3,
        "{of:?}"
    );
    assert!(!values.iter().any(|value| value.contains("_us:") && *value != "srtt_us:"));
    assert!(text.stdout.contains(" 0.004 -> 0.007 ") || text.stdout.contains(" 0.016 -> "));
    assert!(text.stdout.lines().all(|line| line.len() <= 100), "{}", text.stdout);
    assert!(text.stderr.contains(" seen = "), "{}", text.stderr);

    let mut lines = csv.stdout.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let at = |name: &str| header.iter().position(|column| *column == name).expect("a column");
    let (rows, widths): (u64, Vec<usize>) =
        lines.fold((0, Vec::new()), |(sum, mut widths), line| {
            let cells: Vec<&str> = line.split(',').collect();
            widths.push(cells.len());
            assert_eq!((cells[0], cells[1]), ("summary", "rtt"));
            (sum + cells[at("bucket_count")].parse::<u64>().expect("a number"), widths)
        });
    assert!(widths.iter().all(|width| *width == header.len()), "{}", csv.stdout);
    assert_eq!(rows, sum);
}
