//! What the application set on its socket, and the timer that runs on it.

use serde_json::Value;

use crate::support::{
    Launch, Netns, Pair, SocketOption, Ss, TestProcess, Tracer, is_root, text, u64_of, unique_port,
    wait_for,
};

/// A connection within a namespace, and a tracer of its client's end.
pub struct SocketFixture {
    pub ns: Netns,
    pub client: TestProcess,
    pub server: TestProcess,
    /// The client's, the server's.
    pub ports: (u16, u16),
    pub cookie: u64,
}

impl SocketFixture {
    #[track_caller]
    pub fn new() -> Self {
        SocketFixture::within(Netns::new())
    }

    #[track_caller]
    pub fn within(ns: Netns) -> Self {
        let (mut client, mut server) =
            (TestProcess::start_in(&ns.launch()), TestProcess::start_in(&ns.launch()));
        // Loss probes, congestion control and pacing of their own would only be in the way.
        client.use_cc("reno");
        let addr = server.listen("127.0.0.1:0");
        let ours = client.connect("a", addr);
        server.accept("a");
        SocketFixture {
            ns,
            client,
            server,
            ports: (ours.local.port(), addr.port()),
            cookie: ours.cookie,
        }
    }

    /// Traces the client's end from now on.
    #[track_caller]
    pub fn trace(&self, reader: &str) -> Tracer {
        let (netns, cookie) = (self.ns.inode().to_string(), self.cookie.to_string());
        let args = ["--all-fields", "--reader", reader, "--netns", &netns, "--cookie", &cookie];
        Tracer::start_in(&Launch::here().with_tracefs(), &args)
    }

    /// The client's state, as the server's next byte finds it.
    #[track_caller]
    pub fn sample(&mut self, tracer: Tracer) -> Value {
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
        self.ns.firewall("input", &[&format!("tcp sport {port} drop")]);
    }

    fn speak(&self) {
        self.ns.nft("flush ruleset");
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
        // The answer to a probe may have come since.
        let answered_us = now_us - u64_of(&sample, "last_ack_recv_us");
        let reset = ours == "probe0" && answered_us + LATE >= before_us;
        let got = u64_of(&sample, counted);
        assert!(got == count || (reset && got == 0), "{counted} is {got}, ss: {count}: {sample}");
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
    let mut fixture = SocketFixture::new();
    // The kernel derives the priority from the type of service: low delay is TC_PRIO_INTERACTIVE.
    fixture.client.set("a", SocketOption::Mark(77));
    fixture.client.set("a", SocketOption::Tos(16));
    let tracer = fixture.trace(reader);
    let sample = fixture.sample(tracer);
    let read: Vec<u64> =
        ["sk_mark", "sk_priority", "tos"].iter().map(|name| u64_of(&sample, name)).collect();
    assert_eq!(read, [77, 6, 16], "{sample}");
}

fn check_retransmit_timer(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = SocketFixture::new();
    fixture.silence();
    fixture.client.send("a", 100);
    fixture.check_timer(reader, &[RETRANSMIT]);
}

fn check_zero_window_timer(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = SocketFixture::new();
    fixture.client.fill("a");
    // Where the last data was dropped it is sent again, in place of probes; into a closed window that does not count
    // (tcp_retransmit_timer()).
    fixture.check_timer(reader, &[PROBE, LongTimer { count: 0, ..RETRANSMIT }]);
}

/// The number that `ip` tells of an interface.
#[track_caller]
fn ifindex(ns: &Netns, dev: &str) -> Value {
    let text = ns.run(&["ip", "-j", "link", "show", "dev", dev]);
    let all: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(all[0]["ifindex"].is_u64(), "{text}");
    all[0]["ifindex"].clone()
}

/// Packets come in by the device of their namespace, or by loopback where both ends are in one, also of a socket that is
/// bound to the device.
fn check_interface(reader: &str) {
    need!(is_root(), "not root");
    let port = unique_port();
    let pair = Pair::of("dev7", port.into());
    let (mut left, mut server) =
        (TestProcess::start_in(&pair.left.launch()), TestProcess::start_in(&pair.right.launch()));
    let mut right = TestProcess::start_in(&pair.right.launch());
    server.listen(&format!("[::]:{port}"));
    let port_text = port.to_string();
    let args = ["--all-fields", "--reader", reader, "--port", &port_text];
    let tracer = Tracer::start_in(&Launch::here().with_tracefs(), &args);
    let inodes = [&pair.left, &pair.right].map(Netns::inode);
    let [by_left, by_right, by_lo] =
        [(&pair.left, "dev7"), (&pair.right, "eth0"), (&pair.right, "lo")]
            .map(|(ns, dev)| ifindex(ns, dev));
    assert_eq!(by_left, port);
    assert!(by_right != by_left && by_right != by_lo);
    for (i, (from_left, to)) in
        [(true, "10.0.0.2"), (false, "10.0.0.2"), (true, "[fd00::2]")].into_iter().enumerate()
    {
        let client = if from_left { &mut left } else { &mut right };
        // It binds the connections that come from now on, too.
        if i == 2 {
            server.bind_listener(1, "eth0");
        }
        client.connect("a", format!("{to}:{port}").parse().expect("an address"));
        server.accept("a");
        for _ in 0..3 {
            client.transfer("a", &mut server, 100);
            server.transfer("a", client, 100);
        }
        client.close("a");
        server.close("a");
    }
    let seen = |events: &[Value], ends: [&str; 2], netns: u64, number: &Value| {
        let of = events.iter().filter(|event| {
            [text(event, "saddr"), text(event, "daddr")] == ends && event["netns"] == netns
        });
        of.filter(|event| event["ifindex"] == *number).count()
    };
    let cases = [
        (["10.0.0.1", "10.0.0.2"], inodes[0], &by_left),
        (["10.0.0.2", "10.0.0.1"], inodes[1], &by_right),
        (["fd00::1", "fd00::2"], inodes[0], &by_left),
        (["fd00::2", "fd00::1"], inodes[1], &by_right),
        (["10.0.0.2", "10.0.0.2"], inodes[1], &by_lo),
    ];
    tracer.wait_events("samples of each", |events| {
        cases.iter().all(|(ends, netns, number)| seen(events, *ends, *netns, number) >= 3)
    });
    let trace = tracer.stop();
    trace.check_account();
    // And none of another.
    let all: usize =
        cases.iter().map(|(ends, netns, number)| seen(&trace.events, *ends, *netns, number)).sum();
    assert_eq!(all, trace.events.len(), "{:#?}", trace.events);
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
    check_interface: interface_by_sock "sock", interface_by_raw "raw";
    check_options: options_by_sock "sock", options_by_raw "raw";
    check_retransmit_timer: retransmit_timer_by_sock "sock", retransmit_timer_by_raw "raw";
    check_zero_window_timer: zero_window_timer_by_sock "sock", zero_window_timer_by_raw "raw";
}
