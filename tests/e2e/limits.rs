//! Fewer events: exactly as many, and exactly those, that each limit promises; over both transports.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    FilteredTracers, Launch, Server, TestProcess, Trace, Tracer, flooding, is_root, traffic,
    traffic_in, turns, u64_of,
};

const TRANSPORTS: [&str; 2] = ["ringbuf", "perfbuf"];
const SECOND: f64 = 1e9;

/// Several connections whose congestion windows move.
fn some_traffic(server: &Server) {
    let to = server.addr.to_string();
    traffic(&["bulk", "--to", &to, "--bytes", "4000000", "--parallel", "3"]);
    traffic(&["bulk", "--to", &to, "--bytes", "2000000", "--download"]);
    traffic(&["pingpong", "--to", &to, "--count", "50", "--interval", "0ms"]);
}

/// As many events as the machine makes in that time, on two connections.
fn some_flood(server: &Server) {
    let to = server.addr.to_string();
    let args = ["pingpong", "--to", &to, "--seconds", "0.3", "--interval", "0ms"];
    std::thread::scope(|scope| {
        scope.spawn(|| traffic(&args));
        traffic(&args);
    });
}

/// For each connection by itself: those of its events for which `keep` says so. It gets their number and the one before.
fn of_each(events: Vec<Value>, keep: impl Fn(usize, &Value, Option<&Value>) -> bool) -> Vec<Value> {
    let mut last: BTreeMap<u64, (usize, Value)> = BTreeMap::new();
    let mut kept = Vec::new();
    for event in events {
        let cookie = u64_of(&event, "cookie");
        let before = last.get(&cookie);
        let number = before.map_or(0, |(number, _)| number + 1);
        if keep(number, &event, before.map(|(_, event)| event)) {
            kept.push(event.clone());
        }
        last.insert(cookie, (number, event));
    }
    kept
}

fn moved(event: &Value, before: Option<&Value>) -> bool {
    let same = |before: &Value| {
        ["snd_cwnd", "snd_ssthresh", "ca_state"].iter().all(|name| event[*name] == before[*name])
    };
    before.is_none_or(|before| !same(before))
}

fn check_sampling(reader: &str, transport: &str) {
    need!(is_root(), "not root");
    turns(|| sampling(reader, transport));
}

/// The programs of the record are skipped while another program runs on their CPU, such as those of other tests.
fn sampling(reader: &str, transport: &str) -> Result<(), String> {
    let server = Server::start("127.0.0.1:0", None);
    let common = format!("-P {} --transport {transport}", server.port());
    let mut limits = vec![format!("{common} --sample 7"), format!("{common} --sample 1")];
    if reader != "record" {
        limits.push(format!("{common} --on-change"));
        limits.push(format!("{common} --on-change --sample 3 -a"));
    }
    let sides = FilteredTracers::start(&server.port_text(), reader, &limits);
    some_traffic(&server);
    let traces = sides.finish(|sides| {
        sides.expect_of(0, |events| of_each(events, |n, _, _| n % 7 == 0), true)?;
        sides.expect_of(1, |events| events, false)?;
        if reader == "record" {
            return Ok(());
        }
        let changes = |events| of_each(events, |_, event, before| moved(event, before));
        sides.expect_of(2, changes, true)?;
        sides.expect_of(3, |events| of_each(changes(events), |n, _, _| n % 3 == 0), true)
    })?;
    assert!(u64_of(&traces[1].end, "sampled_out") > 0, "{}", traces[1].end);
    assert_eq!(u64_of(&traces[2].end, "sampled_out"), 0, "{}", traces[2].end);
    Ok(())
}

#[test]
fn sampling_of_the_record() {
    check_sampling("record", "ringbuf");
    check_sampling("record", "perfbuf");
}

#[test]
fn sampling_by_sock() {
    check_sampling("sock", "ringbuf");
    check_sampling("sock", "perfbuf");
}

#[test]
fn sampling_by_raw() {
    check_sampling("raw", "ringbuf");
    check_sampling("raw", "perfbuf");
}

/// Times of the events, each connection's by itself or all together.
fn times(trace: &Trace, each: bool) -> Vec<Vec<u64>> {
    let mut times: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for event in &trace.events {
        let key = if each { u64_of(event, "cookie") } else { 0 };
        times.entry(key).or_default().push(u64_of(event, "mono_ns"));
    }
    times.values_mut().for_each(|times| times.sort_unstable());
    times.into_values().collect()
}

fn limited(args: &[&str], reader: &str, transport: &str) -> Trace {
    let server = Server::start("127.0.0.1:0", None);
    let port = server.port_text();
    let common = ["-P", &port, "--reader", reader, "--transport", transport];
    let launch = Launch::here().with_tracefs();
    let _alone = flooding();
    let tracer = Tracer::start_in(&launch, &[&common[..], args].concat());
    some_flood(&server);
    let trace = tracer.stop();
    trace.check_account();
    trace
}

#[test]
fn at_most_one_in_that_time() {
    need!(is_root(), "not root");
    for (reader, transport) in [("record", "ringbuf"), ("sock", "perfbuf"), ("raw", "ringbuf")] {
        let trace = limited(&["--every", "20ms"], reader, transport);
        let times = times(&trace, true);
        assert_eq!(times.len(), 4, "two connections have two ends each");
        for times in times {
            let close = times.windows(2).find(|pair| pair[1] - pair[0] < 20_000_000);
            assert_eq!(close, None);
            assert!(times.len() > 1, "{}", times.len());
        }
        assert!(u64_of(&trace.end, "sampled_out") > 0, "{}", trace.end);
    }
}

/// In no stretch of time were there more than the rate allows and what may be saved up. `shared`: other CPUs may find the last
/// event's worth at the same moment, and before that a bucket that nobody has taken from.
#[track_caller]
fn check_rate(times: &[u64], per_second: f64, shared: bool) {
    let saved = (per_second / 10.0).max(1.0);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    // The events on both edges of the stretch count.
    let more = if shared { 2 * cpus - 1 } else { 1 };
    for (i, first) in times.iter().enumerate() {
        for (j, last) in times.iter().enumerate().skip(i) {
            let allowed = (last - first) as f64 / SECOND * per_second + saved + more as f64;
            let count = (j - i + 1) as f64;
            assert!(count <= allowed, "{count} where {allowed} are allowed");
        }
    }
}

#[test]
fn no_more_than_the_rate() {
    need!(is_root(), "not root");
    for (reader, transport) in [("record", "perfbuf"), ("sock", "ringbuf"), ("raw", "perfbuf")] {
        let trace = limited(&["--rate", "200/s"], reader, transport);
        let times = times(&trace, false);
        check_rate(&times[0], 200.0, true);
        assert!(times[0].len() > 20, "what may be saved up, and more");
        assert!(u64_of(&trace.end, "rate_limited") > 0, "{}", trace.end);
    }
}

#[test]
fn no_more_than_the_rate_of_each_connection() {
    need!(is_root(), "not root");
    for (reader, transport) in [("record", "ringbuf"), ("sock", "perfbuf"), ("raw", "ringbuf")] {
        let trace = limited(&["--rate-per-conn", "50/s"], reader, transport);
        let times = times(&trace, true);
        assert_eq!(times.len(), 4, "two connections have two ends each");
        times.iter().for_each(|times| check_rate(times, 50.0, false));
        assert!(u64_of(&trace.end, "rate_limited") > 0, "{}", trace.end);
    }
}

/// What may be saved up is a tenth of a second's worth, whatever the unit of the rate.
#[test]
fn a_rate_by_the_minute_is_that_rate() {
    need!(is_root(), "not root");
    let trace = limited(&["--rate", "1200/min", "--rate-per-conn", "36000/h"], "sock", "ringbuf");
    check_rate(&times(&trace, false)[0], 20.0, true);
    times(&trace, true).iter().for_each(|times| check_rate(times, 10.0, false));
}

/// Neither is exceeded, whichever is the lower one for four ends, and what is not printed was limited.
#[test]
fn two_rates_are_both_kept() {
    need!(is_root(), "not root");
    for (all, each, reader) in [(60.0, 1000.0, "sock"), (1000.0, 30.0, "raw"), (60.0, 30.0, "sock")]
    {
        let rates = [format!("{all}/s"), format!("{each}/s")];
        let args = ["--rate", &rates[0], "--rate-per-conn", &rates[1]];
        let trace = limited(&args, reader, "ringbuf");
        times(&trace, true).iter().for_each(|times| check_rate(times, each, false));
        check_rate(&times(&trace, false)[0], all, true);
        let n = |name: &str| u64_of(&trace.end, name);
        assert!(n("rate_limited") > n("emitted"), "{}", trace.end);
        assert_eq!((n("sampled_out"), n("lost")), (0, 0), "{}", trace.end);
        assert_eq!(n("rate_limited") + n("emitted"), n("seen") - n("filtered"), "{}", trace.end);
    }
}

/// What the rate of a busy connection refuses does not cost the rate of all: a quiet one has its share.
#[test]
fn a_busy_connection_does_not_cost_others() {
    need!(is_root(), "not root");
    const EACH: f64 = 20.0;
    for reader in ["sock", "raw"] {
        let (mut client, mut server) = (TestProcess::start(), TestProcess::start());
        let addr = server.listen("127.0.0.1:0");
        let ends = ["busy", "quiet"].map(|name| [client.connect(name, addr), server.accept(name)]);
        let port = addr.port().to_string();
        let args = ["--reader", reader, "-P", &port, "--rate", "200/s", "--rate-per-conn", "20/s"];
        let tracer = Tracer::start_in(&Launch::here().with_tracefs(), &args);
        let (begin, mut rounds) = (Instant::now(), 0.0);
        while begin.elapsed() < Duration::from_secs(2) {
            rounds += 1.0;
            for _ in 0..30 {
                client.transfer("busy", &mut server, 1);
            }
            client.transfer("quiet", &mut server, 1);
            server.transfer("quiet", &mut client, 1);
        }
        // On a slow machine it is not quite so much that the quiet one asks for.
        let due = f64::min(EACH * begin.elapsed().as_secs_f64(), rounds);
        let trace = tracer.stop();
        trace.check_account();
        assert!(
            u64_of(&trace.end, "rate_limited") > 2 * u64_of(&trace.end, "emitted"),
            "{}",
            trace.end
        );
        for end in ends.as_flattened() {
            let reported = trace.of_cookie(end.cookie).len() as f64;
            assert!(reported > 0.5 * due, "{reported} of {due}: {}", trace.end);
        }
    }
}

#[test]
fn limits_together() {
    need!(is_root(), "not root");
    for transport in TRANSPORTS {
        let args = ["--sample", "3", "--every", "1ms", "--on-change", "--rate", "500/s"];
        let trace =
            limited(&[&args[..], &["--rate-per-conn", "20/s", "-a"]].concat(), "sock", transport);
        times(&trace, true).iter().for_each(|times| check_rate(times, 20.0, false));
        assert!(u64_of(&trace.end, "sampled_out") > 0, "{}", trace.end);
    }
}

#[test]
fn count_ends_it_with_exactly_so_many() {
    need!(is_root(), "not root");
    for transport in TRANSPORTS {
        let server = Server::start("127.0.0.1:0", None);
        let args = ["-P", &server.port_text(), "--transport", transport, "--count", "37"];
        let tracer = Tracer::start(&args);
        let to = server.addr.to_string();
        traffic_in(
            &Launch::here(),
            &["bulk", "--to", &to, "--bytes", "8000000", "--parallel", "4"],
        );
        let trace = tracer.wait();
        trace.check_account();
        assert_eq!(trace.events.len(), 37);
        assert_eq!(u64_of(&trace.end, "emitted"), 37);
    }
}

#[test]
fn duration_ends_it() {
    need!(is_root(), "not root");
    for transport in TRANSPORTS {
        let start = Instant::now();
        let tracer = Tracer::start(&["-P", "1", "--transport", transport, "-d", "300ms"]);
        let trace = tracer.wait();
        assert!(start.elapsed() >= Duration::from_millis(300));
        trace.check_account();
        assert!(u64_of(&trace.end, "duration_ns") >= 300_000_000, "{}", trace.end);
    }
}

/// A change that comes too soon after the last one shown is shown once its time has come.
#[test]
fn no_change_is_swallowed_by_the_interval() {
    need!(is_root(), "not root");
    for reader in ["sock", "raw"] {
        let (mut client, mut server) = (TestProcess::start(), TestProcess::start());
        let addr = server.listen("127.0.0.1:0");
        let ours = client.connect("a", addr);
        server.accept("a");
        let cookie = ours.cookie.to_string();
        let args =
            ["--reader", reader, "--cookie", &cookie, "--on-change", "--every", "100ms", "-a"];
        let tracer = Tracer::start_in(&Launch::here().with_tracefs(), &args);
        let all = ["--reader", reader, "--cookie", &cookie, "-a"];
        let reference = Tracer::start_in(&Launch::here().with_tracefs(), &all);
        client.transfer("a", &mut server, 3_000_000);
        // From here on the window stays: a byte does not fill it.
        let quiet = Instant::now();
        while quiet.elapsed() < Duration::from_millis(300) {
            client.transfer("a", &mut server, 1);
        }
        let (traces, all) = (tracer.stop(), reference.stop());
        let (shown, last) = (traces.events.last().expect("one"), all.events.last().expect("some"));
        assert!(!moved(last, Some(shown)), "{shown}\n{last}");
        assert!(traces.events.len() < all.events.len(), "{}", traces.end);
    }
}
