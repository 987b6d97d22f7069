//! What the application set on its socket, and the timer that runs on it.

use serde_json::Value;

use crate::support::{Launch, Netns, Puppet, Ss, Tracer, is_root, u64_of, wait_for};

/// A connection within a namespace, and a tracer of its client's end.
struct Scene {
    ns: Netns,
    client: Puppet,
    server: Puppet,
    ports: (u16, u16),
    cookie: u64,
}

impl Scene {
    #[track_caller]
    fn new() -> Self {
        let ns = Netns::new();
        let (mut client, mut server) =
            (Puppet::start_in(&ns.launch()), Puppet::start_in(&ns.launch()));
        // Loss probes, congestion control and pacing of their own would only be in the way.
        client.ask("cc reno");
        let addr = server.listen("127.0.0.1:0");
        let ours = client.connect("a", addr);
        server.accept("a");
        Scene { ns, client, server, ports: (ours.local.port(), addr.port()), cookie: ours.cookie }
    }

    /// Traces the client's end from now on.
    #[track_caller]
    fn trace(&self, reader: &str) -> Tracer {
        let (netns, cookie) = (self.ns.inode().to_string(), self.cookie.to_string());
        let args = ["--all-fields", "--reader", reader, "--netns", &netns, "--cookie", &cookie];
        Tracer::start_in(&Launch::here().with_tracefs(), &args)
    }

    /// The client's state, as the server's next byte finds it.
    #[track_caller]
    fn sample(&mut self, tracer: Tracer) -> Value {
        let is_it = |event: &Value| u64_of(event, "data_len") == 1;
        self.server.send("a", 1);
        tracer.wait_events("the sample", |events| events.iter().any(is_it));
        let trace = tracer.stop();
        trace.check_account();
        trace.events.into_iter().find(is_it).expect("it was there")
    }

    /// Drops what the server's end sends.
    fn silence(&self) {
        let port = self.ports.1;
        for rule in [
            "add table inet t".to_owned(),
            "add chain inet t in { type filter hook input priority 0; }".to_owned(),
            format!("add rule inet t in tcp sport {port} drop"),
        ] {
            self.ns.run(&["nft", &rule]);
        }
    }

    fn speak(&self) {
        self.ns.run(&["nft", "flush", "ruleset"]);
    }

    /// ss's `timer:(name,time,retransmits)`; the time in µs.
    fn timer(&self) -> Option<(String, u64, u64)> {
        let text = Ss::of(&self.ns, self.ports.0, self.ports.1).text;
        let inner = text.split_once("timer:(")?.1.split_once(')')?.0;
        let [name, time, retransmits] = inner.split(',').collect::<Vec<_>>()[..] else {
            panic!("{text}")
        };
        // Nothing, `890ms`, `9sec`, and `1.530ms` for a second and a half.
        let digits = time.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = if time.ends_with("sec") || time.contains('.') { 1e6 } else { 1e3 };
        let time: f64 = format!("0{digits}").parse().unwrap_or_else(|_| panic!("a time: {text}"));
        Some((name.to_owned(), (time * unit) as u64, retransmits.parse().expect("a count")))
    }

    /// The sample's timer is the one that ss showed, of those, and has run on since.
    #[track_caller]
    fn check_timer(&mut self, reader: &str, timers: &[LongTimer]) {
        // Started before, as that takes long on an emulated CPU; and long enough to run that both look at the same one.
        let tracer = self.trace(reader);
        let (before_us, after_us, time_us, count, ours) = wait_for("a long timer", || {
            let before_us = mono_us();
            let (theirs, time_us, count) = self.timer()?;
            let fits = |timer: &&LongTimer| timer.theirs == theirs && count >= timer.count;
            let timer = timers.iter().find(fits).filter(|_| time_us > 1_000_000)?;
            Some((before_us, mono_us(), time_us, count, timer.ours))
        });
        self.speak();
        let sample = self.sample(tracer);
        assert_eq!(sample["timer"], ours, "{sample}");
        let now_us = u64_of(&sample, "mono_ns") / 1000;
        // Ticks, which come late on an emulated CPU.
        const LATE: u64 = 50_000;
        let most = (time_us + LATE).saturating_sub(now_us - after_us);
        let least = time_us.saturating_sub(now_us - before_us + LATE);
        let got = u64_of(&sample, "timer_us");
        assert!((least..=most).contains(&got), "{got}, ss: {least} to {most}: {sample}");
        let counted = if ours == "probe0" { "probes_out" } else { "retransmits" };
        assert_eq!(u64_of(&sample, counted), count, "{sample}");
    }
}

struct LongTimer {
    theirs: &'static str,
    ours: &'static str,
    /// It has come that often at least.
    count: u64,
}

const RETRANSMIT: LongTimer = LongTimer { theirs: "on", ours: "retrans", count: 2 };
/// Each probe is answered, which resets their count.
const PROBE: LongTimer = LongTimer { theirs: "persist", ours: "probe0", count: 0 };

fn mono_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

fn check_options(reader: &str) {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    // The kernel derives the priority from the type of service: low delay is TC_PRIO_INTERACTIVE.
    scene.client.ask("set a 77 16");
    let tracer = scene.trace(reader);
    let sample = scene.sample(tracer);
    let read: Vec<u64> =
        ["sk_mark", "sk_priority", "tos"].iter().map(|name| u64_of(&sample, name)).collect();
    assert_eq!(read, [77, 6, 16], "{sample}");
}

fn check_retransmit_timer(reader: &str) {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    scene.silence();
    scene.client.send("a", 100);
    scene.check_timer(reader, &[RETRANSMIT]);
}

fn check_zero_window_timer(reader: &str) {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    scene.client.ask("fill a");
    // Where the last data was dropped it is sent again, in place of probes; into a closed window that does not count
    // (tcp_retransmit_timer()).
    scene.check_timer(reader, &[PROBE, LongTimer { count: 0, ..RETRANSMIT }]);
}

macro_rules! cases {
    ($($check:ident: $($name:ident $reader:literal),+;)+) => { $($(
        #[test]
        fn $name() {
            $check($reader);
        }
    )+)+ };
}

cases! {
    check_options: options_by_sock "sock", options_by_raw "raw";
    check_retransmit_timer: retransmit_timer_by_sock "sock", retransmit_timer_by_raw "raw";
    check_zero_window_timer: zero_window_timer_by_sock "sock", zero_window_timer_by_raw "raw";
}
