//! The sock and the raw reader, and the ring buffer and the perf buffers, give the same value of every field of every event.
//!
//! Two traces at a time, and all traffic on one CPU: so between the two programs of one event, which run one after the
//! other, nothing moves but the clocks, and what a packet that interrupts them does before it has the socket's lock.

use serde_json::Value;

use crate::support::{
    LEARNT, Launch, Netns, Server, TICKS, Tracer, UNLOCKED, cells, compared, guest, has_cc,
    is_root, tick, traffic_in, u64_of,
};

/// Every program reads the clock itself.
const CLOCK: &[&str] = &["time", "mono_ns"];
/// What the two programs see the same packet by.
const IDENTITY: &[&str] = &["rcv_nxt", "snd_una", "snd_nxt", "data_len", "bytes_received"];

/// What the comparisons found.
#[derive(Default)]
struct Found {
    pairs: usize,
    values: usize,
    /// Differences that a packet in between explains.
    unlocked: usize,
    wrong: Vec<String>,
}

impl Found {
    fn compare(&mut self, sock: &Value, raw: &Value) {
        self.pairs += 1;
        let (sock, raw) = (cells(sock), cells(raw));
        assert!(sock.keys().eq(raw.keys()), "not the same columns");
        self.values += sock.len();
        let (mut steps, mut overdue): (Vec<i64>, Vec<i64>) = Default::default();
        for (column, a) in &sock {
            let (name, b) = (column.as_str(), &raw[column]);
            if a == b || CLOCK.contains(&name) {
                continue;
            }
            match (a.as_i64(), b.as_i64()) {
                // A timer that is due is not less than due.
                (Some(a), Some(b)) if name == "timer_us" && a.min(b) == 0 => {
                    overdue.push((a - b).abs())
                }
                (Some(a), Some(b)) if TICKS.contains(&name) => steps.push((a - b).abs()),
                _ if UNLOCKED.contains(&name) => self.unlocked += 1,
                _ if LEARNT.contains(&name) && (a.is_null() || b.is_null()) => {}
                _ => self.wrong.push(format!("{column}: sock {a}, raw {b}")),
            }
        }
        // One passing of time explains them all.
        let first = *steps.first().unwrap_or(&0);
        if first % tick() != 0
            || steps.iter().any(|&step| step != first)
            || overdue.iter().any(|&step| step > first)
        {
            self.wrong.push(format!("times: differ by {steps:?} µs, in ticks of {}", tick()));
        }
    }

    /// Pairs up the events of a connection. One that is in one trace only must be accounted for as lost by the other.
    fn align(&mut self, sock: &[&Value], raw: &[&Value], lost: &mut [u64; 2]) {
        let same = |a: Option<&&Value>, b: Option<&&Value>| match (a, b) {
            (Some(a), Some(b)) => IDENTITY.iter().all(|key| a[key] == b[key]),
            (a, b) => a.is_none() && b.is_none(),
        };
        let (mut i, mut j) = (0, 0);
        while i < sock.len() || j < raw.len() {
            let (a, b) = (sock.get(i), raw.get(j));
            if let (true, Some(a), Some(b)) = (same(a, b), a, b) {
                self.compare(a, b);
                (i, j) = (i + 1, j + 1);
            } else if lost[0] > 0 && b.is_some() && same(a, raw.get(j + 1)) {
                (j, lost[0]) = (j + 1, lost[0] - 1);
            } else if lost[1] > 0 && a.is_some() && same(sock.get(i + 1), b) {
                (i, lost[1]) = (i + 1, lost[1] - 1);
            } else {
                self.wrong.push(format!("not the same packet:\n  sock {a:?}\n  raw {b:?}"));
                return;
            }
        }
    }
}

fn check(cc: &str, transports: [&str; 2]) {
    let ns = Netns::new();
    // Many packets, some of which get lost, so that not all is zero that could be.
    ns.run(&["ip", "link", "set", "lo", "mtu", "3000"]);
    ns.firewall("input", &["tcp flags != syn / syn,ack numgen random mod 100 < 1 drop"]);
    let launch = ns.launch().on_cpu(0);
    let server = Server::start_in(&launch, "[::]:9000", Some(cc));
    let inode = ns.inode().to_string();
    let start = |reader, transport| {
        let args =
            ["--all-fields", "--netns", &inode, "--reader", reader, "--transport", transport];
        Tracer::start_in(&Launch::here().with_tracefs(), &args)
    };
    let (sock, raw) = (start("sock", transports[0]), start("raw", transports[1]));
    // An emulated machine takes long for it.
    let bytes = if guest() { "1000000" } else { "3000000" };
    for to in ["127.0.0.1:9000", "[::1]:9000"] {
        traffic_in(&launch, &["bulk", "--to", to, "--cc", cc, "--bytes", bytes]);
        traffic_in(&launch, &["bulk", "--to", to, "--cc", cc, "--bytes", "1000000", "--download"]);
        traffic_in(
            &launch,
            &["pingpong", "--to", to, "--cc", cc, "--count", "100", "--interval", "1ms"],
        );
    }
    server.settle();
    let (sock, raw) = (sock.stop(), raw.stop());
    drop(server);
    sock.check_account();
    raw.check_account();

    let mut lost = [u64_of(&sock.end, "lost"), u64_of(&raw.end, "lost")];
    let (sock, raw) = (sock.by_cookie(), raw.by_cookie());
    assert!(sock.keys().eq(raw.keys()), "cookies: {:?} {:?}", sock.keys(), raw.keys());
    assert_eq!(sock.len(), 12);
    let mut found = Found::default();
    for (cookie, events) in &sock {
        found.align(events, &raw[cookie], &mut lost);
    }
    compared(found.pairs, found.values);
    let wrong = &found.wrong;
    assert!(
        wrong.is_empty(),
        "{cc}: {} wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    assert!(found.pairs > 500, "{}", found.pairs);
    assert!(found.unlocked * 10 <= found.pairs, "{} of {}", found.unlocked, found.pairs);
}

#[test]
fn every_field_of_every_event_is_the_same() {
    need!(is_root(), "not root");
    let (ring, perf) = ("ringbuf", "perfbuf");
    for (cc, transports) in [
        ("cubic", [ring, ring]),
        ("reno", [ring, perf]),
        ("bbr", [perf, ring]),
        ("dctcp", [ring; 2]),
    ] {
        if has_cc(cc) {
            check(cc, transports);
        }
    }
}
