//! The sock and the raw reader, and the ring buffer and the perf buffers, give the same value of every field of every event.
//!
//! In the scenario they trace at the same time, see its transfers.

use serde_json::Value;

use super::{PERF, RING, scenario};
use crate::support::{LEARNT, TICKS, UNLOCKED, compared, guest, is_root, leaves, tick, u64_of};

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
        let [sock, raw] = [sock, raw].map(|event| leaves(event).collect::<Vec<_>>());
        assert_eq!(sock.len(), raw.len());
        self.values += sock.len();
        let (mut steps, mut overdue): (Vec<i64>, Vec<i64>) = Default::default();
        for ((name, a), (same, b)) in sock.iter().zip(&raw) {
            assert_eq!(name, same, "not the same columns");
            let name = name.as_ref();
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
                _ => self.wrong.push(format!("{name}: sock {a}, raw {b}")),
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

/// The samples of one algorithm's transfers, by two recorders.
#[track_caller]
fn check(cc: &str, [one, other]: [(&str, &str); 2]) {
    let Some(act) = scenario().act(&format!("transfers {cc}")) else { return };
    let [sock, raw] = [one, other].map(|(reader, transport)| {
        scenario().by(reader, transport).samples(None, Some(act.ports[0]))
    });
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
    let first = wrong[..wrong.len().min(20)].join("\n");
    assert!(wrong.is_empty(), "{cc}, {one:?} {other:?}: {} wrong:\n{first}", wrong.len());
    // Less is played in a guest.
    let least = if guest() { 300 } else { 500 };
    assert!(found.pairs > least, "{}", found.pairs);
    assert!(found.unlocked * 10 <= found.pairs, "{} of {}", found.unlocked, found.pairs);
}

#[test]
fn every_field_of_every_event_is_the_same() {
    need!(is_root(), "not root");
    for cc in ["cubic", "bbr"] {
        check(cc, [("sock", RING), ("raw", PERF)]);
    }
    for cc in ["reno", "dctcp"] {
        check(cc, [("raw", RING), ("sock", PERF)]);
    }
}
