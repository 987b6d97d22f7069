//! What stops a sender, caused on purpose: the send buffer, pacing, and the limit on packets in the layers below.

use serde_json::Value;

use crate::socket_state::SocketFixture;
use crate::support::{
    Launch, Netns, Pair, SocketOption, Ss, TestProcess, Tracer, compared, has_qdisc,
    has_tracepoint, is_root, mono_ns, u64_of, unique_port, wait_for, wait_until,
};

const TSQ_THROTTLED: u64 = 1;
const TSQ_QUEUED: u64 = 2;
const LATE_TICKS_US: u64 = 50_000;

/// A full send buffer in front of a closed window; and then an empty one.
fn check_send_buffer(reader: &str) {
    need!(is_root(), "not root");
    let ns = Netns::new();
    // A segment as large as the window would wait for a probe timer when that opens by half.
    ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    let mut fixture = SocketFixture::within(ns);
    fixture.client.set("a", SocketOption::SendBuffer(20_000));
    let filled = fixture.client.fill("a");
    let tracer = fixture.trace(reader);
    let (before_ns, limited) = (mono_ns(), fixture.ss().count("rwnd_limited"));
    let ss = wait_for("the window's limit to go on", || {
        let ss = fixture.ss();
        (ss.count("rwnd_limited") > limited).then_some(ss)
    });
    let sample = fixture.sample(tracer);
    assert_eq!(sample["sock_nospace"], true, "{sample}");
    assert_eq!(sample["chrono_type"], "rwnd_limited", "{sample}");
    let n = |key: &str| u64_of(&sample, key);
    assert!(n("notsent_bytes") > 0, "{sample}");
    // ss has milliseconds, and ticks may come late on an emulated CPU.
    let since_us = (n("mono_ns") - before_ns) / 1000;
    let most = (limited + 1) * 1000 + since_us + LATE_TICKS_US;
    let least = ss.count("rwnd_limited") * 1000;
    assert!((least..=most).contains(&n("rwnd_limited_us")), "{least} to {most}: {sample}");
    // What runs is part of the time.
    assert!(n("chrono_elapsed_us") <= n("rwnd_limited_us"), "{sample}");

    fixture.server.receive("a", filled);
    let (sport, dport) = fixture.ports;
    let unacked = |ends: (u16, u16)| Ss::of(&fixture.ns, ends.0, ends.1).has("unacked");
    wait_until("all ACKs", || !unacked((sport, dport)) && !unacked((dport, sport)));
    let tracer = fixture.trace(reader);
    let sample = fixture.sample(tracer);
    assert_eq!(sample["sock_nospace"], false, "{sample}");
    assert!(sample["chrono_type"].is_null() && sample["chrono_elapsed_us"].is_null(), "{sample}");
}

/// The time that the kernel itself takes for limited by the send buffer: data is sent while the application waits for room, and
/// nothing is left to send, though the congestion window would let more out.
fn check_send_buffer_time(reader: &str) {
    need!(is_root(), "not root");
    let ns = Netns::new();
    // Nothing is sent again meanwhile.
    let route =
        "ip route replace table local local 127.0.0.1 dev lo proto kernel scope host src 127.0.0.1";
    let words: Vec<&str> = route.split(' ').chain(["rto_min", "100s"]).collect();
    ns.run(&words);
    ns.sysctl("ipv4/tcp_early_retrans", "0");
    let mut fixture = SocketFixture::within(ns);
    // The windows grow.
    fixture.client.transfer("a", &mut fixture.server, 1_000_000);
    fixture.client.set("a", SocketOption::SendBuffer(20_000));
    fixture.ns.firewall("input", &[&format!("tcp dport {} drop", fixture.ports.1)]);
    fixture.client.fill("a");
    // Room for one more write, and not enough to tell the application of it. The kernel doubles what is set.
    let queued = fixture.ss().count("skmem.w");
    fixture.client.set("a", SocketOption::SendBuffer(queued as usize * 3 / 5));
    fixture.client.send("a", 1000);
    let tracer = fixture.trace(reader);
    let (before_ns, ss) = wait_for("a send-buffer limit", || {
        let now = mono_ns();
        let ss = fixture.ss();
        (ss.count("sndbuf_limited") > 0).then_some((now, ss))
    });
    let sample = fixture.sample(tracer);
    assert_eq!(sample["sock_nospace"], true, "{sample}");
    assert_eq!(sample["chrono_type"], "sndbuf_limited", "{sample}");
    let n = |key: &str| u64_of(&sample, key);
    let least = ss.count("sndbuf_limited") * 1000;
    let most = least + 1000 + (n("mono_ns") - before_ns) / 1000 + LATE_TICKS_US;
    assert!((least..=most).contains(&n("sndbuf_limited_us")), "{least} to {most}: {sample}");
    // There was no other such time before.
    assert_eq!(n("chrono_elapsed_us"), n("sndbuf_limited_us"), "{sample}");
    assert_eq!((n("notsent_bytes"), n("packets_out")), (0, ss.count("unacked")), "{sample}");
}

impl SocketFixture {
    /// Of the client's end.
    fn ss(&self) -> Ss {
        Ss::of(&self.ns, self.ports.0, self.ports.1)
    }
}

/// Before a process has accepted it, a connection has no struct socket.
fn check_not_accepted(reader: &str) {
    need!(is_root(), "not root");
    let ns = Netns::new();
    let [mut client, mut server] = [(); 2].map(|()| TestProcess::start_in(&ns.launch()));
    let addr = server.listen("127.0.0.1:0");
    let port = addr.port().to_string();
    let netns = ns.inode().to_string();
    let args = ["--all-fields", "--reader", reader, "--netns", &netns, "--lport", &port];
    let tracer = Tracer::start_in(&Launch::here().with_tracefs(), &args);
    let of_len =
        |events: &[Value], len: u64| events.iter().find(|event| event["data_len"] == len).cloned();
    client.connect("a", addr);
    client.send("a", 10);
    tracer.wait_events("data before accept()", |events| of_len(events, 10).is_some());
    server.accept("a");
    client.send("a", 20);
    tracer.wait_events("data after it", |events| of_len(events, 20).is_some());
    let trace = tracer.stop();
    trace.check_account();
    let [before, after] = [10, 20].map(|len| of_len(&trace.events, len).expect("it was there"));
    assert!(before["sock_nospace"].is_null() && before["ino"].is_null(), "{before}");
    assert!(after["sock_nospace"] == false && after["ino"].is_u64(), "{after}");
}

/// None, and by TCP.
fn check_pacing(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = SocketFixture::new();
    let tracer = fixture.trace(reader);
    let sample = fixture.sample(tracer);
    assert_eq!(sample["pacing_status"], "none", "{sample}");
    assert!(sample["max_pacing_rate"].is_null(), "{sample}");
    fixture.client.set("a", SocketOption::MaxPacingRate(1_000_000));
    let tracer = fixture.trace(reader);
    let sample = fixture.sample(tracer);
    assert_eq!(sample["pacing_status"], "needed", "{sample}");
    assert_eq!(sample["max_pacing_rate"], 1_000_000, "{sample}");
}

/// By the fq qdisc.
fn check_fair_queue(reader: &str) {
    need!(is_root(), "not root");
    need!(has_qdisc(&["fq"]), "this kernel has no fq", legitimate: true);
    let mut fixture = SocketFixture::new();
    fixture.ns.run(&["tc", "qdisc", "add", "dev", "lo", "root", "fq"]);
    fixture.client.transfer("a", &mut fixture.server, 1);
    let tracer = fixture.trace(reader);
    let sample = fixture.sample(tracer);
    assert_eq!(sample["pacing_status"], "fq", "{sample}");
}

/// A slow qdisc, which holds all that TCP may put there.
fn check_small_queue(reader: &str) {
    need!(is_root(), "not root");
    let tbf = ["tbf", "rate", "4mbit", "burst", "20kb", "latency", "10s"];
    need!(has_qdisc(&tbf), "this kernel has no tbf", legitimate: true);
    let pair = Pair::new();
    pair.left.run(&[&["tc", "qdisc", "add", "dev", "eth0", "root"], &tbf[..]].concat());
    let mut client = TestProcess::start_in(&pair.left.launch());
    let mut server = TestProcess::start_in(&pair.right.launch());
    client.use_cc("reno");
    let port = unique_port();
    let addr = server.listen(&format!("10.0.0.2:{port}"));
    let local = client.connect("a", addr).local.port();
    server.accept("a");
    let (netns, text) = (pair.left.inode().to_string(), port.to_string());
    let args = ["--all-fields", "--reader", reader, "--netns", &netns, "--rport", &text];
    let tracer = Tracer::start_in(&Launch::here().with_tracefs(), &args);
    let flags = |event: &Value| u64_of(event, "tsq_flags") & (TSQ_THROTTLED | TSQ_QUEUED);
    client.transfer("a", &mut server, 300_000);
    wait_until("all to be acknowledged", || !Ss::of(&pair.left, local, port).has("unacked"));
    server.send("a", 1);
    let is_last = |event: &Value| event["data_len"] == 1;
    tracer.wait_events("the last sample", |events| events.iter().any(is_last));
    let trace = tracer.stop();
    trace.check_account();
    let throttled: Vec<&Value> = trace.events.iter().filter(|event| flags(event) != 0).collect();
    for event in &throttled {
        // Data waits, and packets are still here, unless one has left since: then an ACK may send the last of the data.
        let has_left = flags(event) & TSQ_QUEUED != 0;
        assert!(u64_of(event, "notsent_bytes") > 0 || has_left, "{event}");
        assert!(u64_of(event, "wmem_alloc") > 1 || has_left, "{event}");
    }
    // The flag stays while ACKs let more out, up to the congestion window.
    let room = |event: &&&Value| u64_of(event, "snd_cwnd") > u64_of(event, "packets_in_flight");
    let (with_room, all) = (throttled.iter().filter(room).count(), trace.events.len());
    assert!(with_room >= 3, "{with_room} of {}, {all} in all", throttled.len());
    let last = trace.events.iter().find(|event| is_last(event)).expect("it was there");
    assert_eq!((flags(last), u64_of(last, "wmem_alloc")), (0, 1), "{last}");
}

/// What events have of a sender's output is what ss shows: data is lost, sent again, and the connection closed.
fn check_sender(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = SocketFixture::new();
    let (port, netns) = (fixture.ports.1, fixture.ns.inode().to_string());
    let has_send = has_tracepoint("send");
    let event_types = ["state,retransmit,cong_state", if has_send { ",send" } else { "" }].concat();
    let cookie = fixture.cookie.to_string();
    let args = ["--all-fields", "--reader", reader, "--netns", &netns, "--cookie", &cookie];
    let tracer = Tracer::events_in(&Launch::here().with_tracefs(), &event_types, &args);
    let idle = fixture.ss();
    fixture.ns.firewall("input", &[&format!("tcp dport {port} drop")]);
    fixture.client.send("a", 3000);
    let of = |events: &[Value], event_type: &str| {
        events.iter().filter(|event| event["type"] == event_type).count()
    };
    tracer.wait_events("retransmissions", |events| {
        of(events, "retransmit") >= 3 && of(events, "cong_state") >= 1
    });
    let waiting = fixture.ss();
    assert!(waiting.count("skmem.w") > 3000, "{}", waiting.text);
    fixture.client.close("a");
    tracer.wait_events("the end", |events| of(events, "state") >= 1);
    let trace = tracer.stop();
    trace.check_account();
    // With the FIN, the queue is longer.
    let closed = trace.events.iter().position(|event| event["type"] == "state").expect("the end");
    let events = &trace.events[..=closed];
    assert_eq!(of(events, "send"), usize::from(has_send), "{events:#?}");
    for event in events {
        let ss = if event["type"] == "send" { &idle } else { &waiting };
        assert_eq!(u64_of(event, "mss"), ss.count("mss"), "{}: {event}", ss.text);
        assert_eq!(u64_of(event, "wmem_queued"), ss.count("skmem.w"), "{}: {event}", ss.text);
        // ss shows six digits, of bits.
        let rate = ss.number("pacing_rate").expect("a rate") / 8.0;
        let ours = u64_of(event, "pacing_rate") as f64;
        assert!((ours - rate).abs() <= rate * 1e-5, "{ours}, ss: {rate}: {event}");
    }
    compared(events.len(), 3 * events.len());
}

by_sock_and_raw! {
    check_sender: sender_by_sock sender_by_raw;
    check_send_buffer: send_buffer_by_sock send_buffer_by_raw;
    check_send_buffer_time: send_buffer_time_by_sock send_buffer_time_by_raw;
    check_not_accepted: not_accepted_by_sock not_accepted_by_raw;
    check_pacing: pacing_by_sock pacing_by_raw;
    check_fair_queue: fair_queue_by_sock fair_queue_by_raw;
    check_small_queue: small_queue_by_sock small_queue_by_raw;
}
