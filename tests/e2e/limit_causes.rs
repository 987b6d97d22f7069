//! `limits`, with causes made on purpose: the main cause is the one that was made, its time is near that of the script, and all
//! times add up to that of the connection as another tracer sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Reader, Relay, Socket, SocketOption, Ss, Tcc, Trace, Tracer, Way, has_cc, has_tun, invalid,
    is_root, mono_ns, schema, text, u64_of, wait_until,
};

const CAUSES: [&str; 15] = [
    "handshake",
    "idle",
    "application",
    "sndbuf",
    "rwnd",
    "zero_window",
    "pacing_cap",
    "pacing",
    "local_queue",
    "slow_start",
    "cwnd",
    "path",
    "recovery",
    "rto",
    "undecided",
];

/// A connection over a path, and its tracers.
struct Scene {
    relay: Relay,
    limits: Tracer,
    states: Tracer,
    socket: Socket,
}

/// What the tracers have reported of the client's end.
struct Told {
    /// Microseconds of each cause.
    us: BTreeMap<&'static str, u64>,
    rows: Vec<Value>,
    /// From its first change of state to the one that ends the account.
    whole_us: u64,
}

const fn way(rtt_ms: u64, rate: Option<u64>, queue: u64) -> Way {
    Way { rate, queue, ..Way::far(Duration::from_millis(rtt_ms)) }
}

impl Scene {
    #[track_caller]
    fn new(reader: Reader, cc: &str, way: Way, before: impl FnOnce(&mut Relay)) -> Self {
        let mut relay = Relay::new(way);
        relay.client.use_cc(cc);
        before(&mut relay);
        let limits = Tcc::command("limits").reader(reader).ports(&[relay.port]);
        let limits = limits.option("--interval", "300ms").start();
        let states = Tcc::events(&["state"]).ports(&[relay.port]).start();
        let addr = relay.addr();
        let socket = relay.client.connect("a", addr);
        relay.server.accept("a");
        Scene { relay, limits, states, socket }
    }

    fn transfer(&mut self, bytes: u64) {
        self.relay.client.transfer("a", &mut self.relay.server, bytes);
    }

    fn ss(&self) -> Ss {
        Ss::of(&self.relay.left, self.socket.local.port(), self.relay.port)
    }

    /// Waits until all is acknowledged: what comes after that is idle.
    #[track_caller]
    fn acked(&self) {
        let ends = (self.socket.local.port(), self.relay.port);
        self.relay.left.wait_socket(ends, "the acknowledgements", |_| {
            let ss = self.ss();
            !ss.has("unacked") && !ss.has("notsent")
        });
    }

    #[track_caller]
    fn end(mut self) -> Told {
        self.relay.client.close("a");
        self.relay.server.close("a");
        self.relay.left.settle();
        self.relay.right.settle();
        let (limits, states) = (self.limits.stop(), self.states.stop());
        told(&limits, &states, &self.socket)
    }
}

/// Each row adds up; all of the client's rows together are the time of its connection.
#[track_caller]
fn told(limits: &Trace, states: &Trace, socket: &Socket) -> Told {
    limits.aggregated();
    let schema = schema();
    let mut us: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut rows = Vec::new();
    for row in &limits.events {
        invalid(schema, row).unwrap_or_else(|error| panic!("{error}: {row}"));
        let of = |cause: &str| u64_of(row, &format!("{cause}_us"));
        let sum: u64 = CAUSES.iter().map(|cause| of(cause)).sum();
        assert_eq!(u64_of(row, "observed_us"), sum, "{row}");
        if u64_of(&row["key"], "sport") != u64::from(socket.local.port()) {
            continue;
        }
        assert_eq!(u64_of(&row["key"], "cookie"), socket.cookie, "{row}");
        CAUSES.iter().for_each(|cause| *us.entry(cause).or_default() += of(cause));
        rows.push(row.clone());
    }
    let mine = states.of_cookie(socket.cookie);
    let at = |states: &[&str]| {
        let found = mine.iter().find(|event| states.contains(&text(event, "new_state")));
        found.map(|event| u64_of(event, "mono_ns"))
    };
    let begin = at(&["SYN_SENT"]).expect("its beginning");
    let end = at(&["FIN_WAIT2", "CLOSE"]).expect("its end");
    let whole_us = (end - begin) / 1000;
    let sum: u64 = us.values().sum();
    // Rows lose less than a microsecond each; the programs of two tracers run one after the other.
    assert!(sum.abs_diff(whole_us) <= 2000 + rows.len() as u64, "{sum} of {whole_us}: {us:?}");
    Told { us, rows, whole_us }
}

impl Told {
    /// At least that share of the time, but for the handshake and idle time that the test did not make.
    #[track_caller]
    fn share(&self, causes: &[&str], least: f64) {
        let time: u64 = causes.iter().map(|cause| self.us[cause]).sum();
        let other = ["handshake", "idle"].iter().filter(|cause| !causes.contains(cause));
        let whole = self.whole_us - other.map(|cause| self.us[cause]).sum::<u64>();
        let share = time as f64 / whole as f64;
        assert!(share >= least, "{causes:?} {share:.2}: {:?}", self.us);
    }

    /// So many milliseconds of that cause.
    #[track_caller]
    fn near(&self, causes: &[&str], ms: u64, percent: u64) {
        let time: u64 = causes.iter().map(|cause| self.us[cause]).sum();
        let off = (time / 1000).abs_diff(ms);
        assert!(
            off * 100 <= ms * percent,
            "{causes:?} {} ms, not {ms}: {:?}",
            time / 1000,
            self.us
        );
    }

    fn evidence(&self, of: &str) -> String {
        let found = self.rows.iter().filter_map(|row| row["evidence"].as_str());
        let start = format!("{of}: ");
        let sentences = found.flat_map(|text| text.split(". "));
        sentences.filter(|sentence| sentence.starts_with(&start)).last().unwrap_or("").to_owned()
    }

    fn total(&self, column: &str) -> u64 {
        self.rows.iter().map(|row| u64_of(row, column)).sum()
    }
}

/// Where a test needs root, a TUN device and that algorithm.
macro_rules! scenes {
    ($($name:ident($reader:expr, $cc:expr) = $check:ident;)+) => {
        $(
            #[test]
            fn $name() {
                need!(is_root(), "not root");
                need!(has_tun(), "no /dev/net/tun", legitimate: true);
                need!(has_cc($cc), "no such congestion control", legitimate: true);
                $check($reader, $cc);
            }
        )+
    };
}

scenes! {
    a_bottleneck_is_the_path_cubic(Reader::Sock, "cubic") = check_path;
    a_bottleneck_is_the_path_bbr(Reader::Sock, "bbr") = check_path;
    a_bottleneck_is_the_path_raw(Reader::Raw, "cubic") = check_path;
    a_small_receive_buffer_is_rwnd_cubic(Reader::Sock, "cubic") = check_rwnd;
    a_small_receive_buffer_is_rwnd_bbr(Reader::Sock, "bbr") = check_rwnd;
    a_small_send_buffer_is_sndbuf_cubic(Reader::Sock, "cubic") = check_sndbuf;
    a_small_send_buffer_is_sndbuf_bbr(Reader::Sock, "bbr") = check_sndbuf;
    a_reader_that_stops_is_a_zero_window_cubic(Reader::Sock, "cubic") = check_zero_window;
    a_reader_that_stops_is_a_zero_window_bbr(Reader::Sock, "bbr") = check_zero_window;
    a_maximum_rate_is_the_pacing_cap_cubic(Reader::Sock, "cubic") = check_pacing_cap;
    a_maximum_rate_is_the_pacing_cap_bbr(Reader::Sock, "bbr") = check_pacing_cap;
    a_slow_device_is_a_local_queue_cubic(Reader::Sock, "cubic") = check_local_queue;
    a_short_transfer_is_slow_start_cubic(Reader::Sock, "cubic") = check_slow_start;
    a_short_transfer_is_slow_start_bbr(Reader::Sock, "bbr") = check_slow_start;
    losses_without_a_queue_are_cwnd_and_recovery(Reader::Sock, "cubic") = check_losses;
    silence_is_rto_cubic(Reader::Sock, "cubic") = check_silence;
    silence_is_rto_bbr(Reader::Sock, "bbr") = check_silence;
    requests_are_idle_and_application(Reader::Sock, "cubic") = check_requests;
    what_is_sent_after_shutdown_is_classified(Reader::Sock, "cubic") = check_half_closed;
}

/// 12 Mbit/s with a queue of 40 ms.
fn check_path(reader: Reader, cc: &str) {
    let mut scene = Scene::new(reader, cc, way(20, Some(1_500_000), 60_000), |_| {});
    scene.transfer(4_000_000);
    let told = scene.end();
    told.share(&["path", "recovery"], 0.8);
    told.share(&["path"], 0.6);
    let evidence = told.evidence("path");
    assert!(evidence.contains("Mbit/s acknowledged"), "{evidence}");
}

fn check_rwnd(reader: Reader, cc: &str) {
    let mut scene =
        Scene::new(reader, cc, way(40, None, 0), |relay| relay.server.narrow_listener(8192));
    scene.transfer(300_000);
    let told = scene.end();
    told.share(&["rwnd", "zero_window"], 0.75);
    let evidence = told.evidence("rwnd");
    assert!(
        evidence.contains("at 40 ms RTT caps at") || evidence.contains("ms RTT caps at"),
        "{evidence}"
    );
}

fn check_sndbuf(reader: Reader, cc: &str) {
    // Less than the initial cwnd; and one segment a packet, as the buffer takes a whole one whatever its size.
    let mut scene = Scene::new(reader, cc, way(60, None, 0), |relay| {
        relay.left.run(&["ip", "link", "set", "tun0", "gso_max_segs", "1"]);
    });
    scene.relay.client.set("a", SocketOption::SendBuffer(4096));
    scene.transfer(100_000);
    let told = scene.end();
    told.share(&["sndbuf"], 0.75);
    let evidence = told.evidence("sndbuf");
    assert!(evidence.contains("a send buffer of 8 KiB"), "{evidence}");
}

/// The kernel's own probes show when the window is closed.
fn check_zero_window(reader: Reader, cc: &str) {
    let mut scene = Scene::new(reader, cc, way(10, None, 0), |_| {});
    let before = mono_ns();
    let filled = scene.relay.client.fill("a");
    wait_until("window probes", || scene.ss().text.contains("persist"));
    let from = mono_ns();
    wait_until("a backoff", || scene.ss().number("backoff").is_some_and(|backoff| backoff >= 2.0));
    let known_ms = (mono_ns() - from) / 1_000_000;
    scene.relay.server.receive("a", filled);
    scene.acked();
    let whole_ms = (mono_ns() - before) / 1_000_000;
    let told = scene.end();
    let closed = told.us["zero_window"] / 1000;
    // It was closed before we knew, and opens with the next probe or as the reader takes enough.
    let in_between = (known_ms..=whole_ms).contains(&closed);
    assert!(in_between, "{closed} of {known_ms} to {whole_ms}: {:?}", told.us);
    assert!(told.evidence("zero_window").contains("the process at the peer did not read"));
}

fn check_pacing_cap(reader: Reader, cc: &str) {
    let (rate, bytes) = (400_000, 500_000);
    let mut scene = Scene::new(reader, cc, way(20, None, 0), |_| {});
    scene.relay.client.set("a", SocketOption::MaxPacingRate(rate));
    scene.transfer(bytes);
    let told = scene.end();
    told.share(&["pacing_cap"], 0.8);
    told.near(&["pacing_cap", "slow_start"], bytes * 1000 / rate, 15);
    let evidence = told.evidence("pacing_cap");
    assert!(evidence.contains("SO_MAX_PACING_RATE 3.2 Mbit/s"), "{evidence}");
}

/// 8 Mbit/s on the sender's own device.
fn check_local_queue(reader: Reader, cc: &str) {
    let mut scene = Scene::new(reader, cc, way(10, None, 0), |relay| {
        let tbf = ["tbf", "rate", "8mbit", "burst", "6k", "limit", "200k"];
        relay.left.run(&[&["tc", "qdisc", "add", "dev", "tun0", "root"], &tbf[..]].concat());
    });
    scene.transfer(1_000_000);
    let told = scene.end();
    told.share(&["local_queue"], 0.8);
    assert!(told.evidence("local_queue").contains("in the qdisc and the driver of this host"));
}

/// Four round trips of 60 ms: the handshake, two doublings, the end. More would need a larger receive window than the first.
fn check_slow_start(reader: Reader, cc: &str) {
    let mut scene = Scene::new(reader, cc, way(60, None, 0), |_| {});
    scene.transfer(60_000);
    scene.acked();
    let told = scene.end();
    let handshake = told.us["handshake"] / 1000;
    assert!((55..250).contains(&handshake), "{handshake} ms: {:?}", told.us);
    let data = told.whole_us - told.us["handshake"] - told.us["idle"];
    // The last round trip is application: nothing is left to write. Cubic may end slow start early, if RTTs vary.
    let slow_start = told.us["slow_start"] + told.us["cwnd"];
    assert!(slow_start * 100 >= data * 55, "{slow_start} of {data}: {:?}", told.us);
    assert!(told.us["slow_start"] * 100 >= data * 30, "{data}: {:?}", told.us);
    let both = slow_start + told.us["application"];
    assert!(both * 100 >= data * 85, "{both} of {data}: {:?}", told.us);
}

fn check_losses(reader: Reader, cc: &str) {
    // So many that the window stays below the 64 KiB that a receiver begins with.
    let mut scene = Scene::new(reader, cc, way(30, None, 0), |relay| relay.loses(20));
    scene.transfer(1_000_000);
    scene.acked();
    let told = scene.end();
    told.share(&["cwnd", "recovery", "rto", "slow_start"], 0.8);
    assert!(told.us["path"] * 10 < told.whole_us, "{:?}", told.us);
    assert!(told.total("recoveries") > 0 && told.total("retrans_segs") > 0, "{:?}", told.rows);
}

/// The kernel's own count of timeouts shows how long the silence must be.
fn check_silence(reader: Reader, cc: &str) {
    let mut scene = Scene::new(reader, cc, way(20, None, 0), |_| {});
    scene.transfer(50_000);
    scene.acked();
    scene.relay.silent(true);
    let from = mono_ns();
    scene.relay.client.send("a", 20_000);
    wait_until("timeouts", || scene.ss().number("backoff").is_some_and(|backoff| backoff >= 2.0));
    scene.relay.silent(false);
    let ms = (mono_ns() - from) / 1_000_000;
    scene.relay.server.receive("a", 20_000);
    scene.acked();
    let told = scene.end();
    let rto = told.us["rto"] / 1000;
    // The path is back before the next timeout, which is up to as far as all of them were.
    assert!(rto + 50 >= ms && rto <= 2 * ms + 500, "{rto} of {ms}: {:?}", told.us);
    let timeouts = told.total("rtos") + told.total("tlps");
    assert!(timeouts >= 2, "{:?}", told.rows);
    assert!(told.evidence("rto").contains("in all"), "{}", told.evidence("rto"));
}

/// Nothing but the process decides; and the kernel's busy time agrees.
fn check_requests(reader: Reader, cc: &str) {
    let mut scene = Scene::new(reader, cc, way(20, None, 0), |_| {});
    for _ in 0..15 {
        scene.transfer(1000);
        scene.relay.server.transfer("a", &mut scene.relay.client, 1000);
        scene.acked();
    }
    let told = scene.end();
    told.share(&["idle", "application", "handshake"], 0.95);
    assert!(told.us["idle"] > 0 && told.us["application"] > 100_000, "{:?}", told.us);
    let busy = told.whole_us - told.us["idle"] - told.us["handshake"];
    let kernel = told.total("busy_us");
    // A jiffy for each of its times, at 100 Hz.
    assert!(kernel.abs_diff(busy) <= 16 * 10_000, "{kernel}, not {busy}: {:?}", told.us);
}

/// tcp_probe is silent then, and the process has gone.
fn check_half_closed(reader: Reader, cc: &str) {
    let mut scene = Scene::new(reader, cc, way(20, Some(250_000), 15_000), |_| {});
    // It takes a second, and all fits into the send buffer.
    let bytes = 250_000;
    scene.relay.client.set("a", SocketOption::SendBuffer(300_000));
    scene.relay.client.send("a", bytes);
    scene.relay.client.shutdown("a");
    let from = mono_ns();
    scene.relay.client.close("a");
    scene.relay.server.receive("a", bytes);
    scene.relay.server.close("a");
    let ms = (mono_ns() - from) / 1_000_000;
    let told = scene.end();
    assert!(ms > 200, "the data was sent before the end: {ms} ms");
    told.share(&["path", "recovery", "slow_start", "cwnd"], 0.7);
    assert!(told.us["undecided"] * 20 <= told.whole_us, "{:?}", told.us);
}
