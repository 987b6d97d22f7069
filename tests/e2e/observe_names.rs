//! `observe --names ss`: the names and units of `ss`, against `ss` itself, and against the same run with the kernel's names.

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Launch, Ss, Trace, Tracer, check_schema, is_root, text, u64_of, wait_until,
};

/// Counters, which ss has of an open connection.
const COUNTERS: [&str; 7] = [
    "bytes_sent",
    "bytes_acked",
    "bytes_received",
    "segs_out",
    "segs_in",
    "data_segs_out",
    "data_segs_in",
];

/// Distributions: own name, that of ss, and by what its numbers are larger.
const DISTRIBUTIONS: [(&str, &str, f64); 6] = [
    ("srtt_us", "rtt", 0.001),
    ("min_rtt_us", "minrtt", 0.001),
    ("snd_cwnd", "cwnd", 1.0),
    ("delivery_rate_kbit_s", "delivery_rate", 1000.0),
    ("pacing_rate_kbit_s", "pacing_rate", 1000.0),
    ("notsent_bytes", "notsent", 1.0),
];

/// The row of that metric, and of the connection of that cookie.
#[track_caller]
fn row<'t>(trace: &'t Trace, metric: &str, (name, cookie): (&str, u64)) -> &'t Value {
    let is_it = |row: &&Value| text(row, "metric") == metric && row["key"][name] == cookie;
    trace.events.iter().find(is_it).unwrap_or_else(|| panic!("{metric}: {:?}", trace.events))
}

#[test]
fn values_are_those_of_ss() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let ports = fixture.ports();
    let observe = |names: &str| {
        let args = ["--by", "conn", "--metrics", "all", "--names", names, "--port", &ports];
        Tracer::command_in(&Launch::here(), &["observe"], &args)
    };
    let (own, ss_names) = (observe("own"), observe("ss"));
    let (client, _) = fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 300_000);
    fixture.server.send("a", 5_000);
    fixture.client.receive("a", 5_000);
    let ss = || Ss::of(&fixture.ns, client.local.port(), fixture.port);
    wait_until("all to be acknowledged", || {
        !ss().has("unacked") && ss().count("bytes_received") == 5_000
    });
    let ss = ss();
    let (own, ss_names) = (own.stop(), ss_names.stop());
    check_schema(&ss_names);
    let cookie = u64::from_str_radix(ss.get("sk").expect("a cookie"), 16).expect("hexadecimal");
    for name in COUNTERS {
        let found = row(&ss_names, name, ("sk_cookie", cookie));
        assert_eq!(
            (u64_of(found, "value"), &found["label"]),
            (ss.count(name), &Value::Null),
            "{name}: {}",
            ss.text
        );
    }
    for (own_name, name, factor) in DISTRIBUTIONS {
        let [wanted, found] =
            [row(&own, own_name, ("cookie", cookie)), row(&ss_names, name, ("sk_cookie", cookie))];
        assert_eq!(wanted["value"], found["value"], "{name}");
        for column in ["sum", "avg", "min", "p50", "p90", "p99", "p999", "max"] {
            let number = |row: &Value| row[column].as_f64();
            let wanted = number(wanted).map(|number| number * factor);
            let near = |a: f64, b: f64| (a - b).abs() <= b.abs() * 1e-9;
            let is_near =
                wanted.zip(number(found)).map_or(wanted == number(found), |(a, b)| near(a, b));
            assert!(is_near, "{name} {column}: {wanted:?}, {found}");
        }
    }
    // The last RTT that ss shows is among those that were seen; it has three digits behind the point.
    let rtt = row(&ss_names, "rtt", ("sk_cookie", cookie));
    let [least, most] = ["min", "max"].map(|column| rtt[column].as_f64().expect("a number"));
    let last = ss.number("rtt").expect("a number");
    assert!((least - 0.001..=most + 0.001).contains(&last), "{last}: {rtt}");
}
