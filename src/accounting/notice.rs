//! Tells in the stream of events that some were left out there.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Accounting, Evicted};

documented! {
/// Events of one type that were left out since the last notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Events left out by `--rate` or `--rate-per-conn`.
    pub rate_limited: u64,
    /// Events lost, for whatever reason.
    pub lost: u64,
}
}

documented! {
/// What was left out in the time before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// The time that it is about, which ends with `time`.
    pub interval_ns: u64,
    /// Of each event type of which something was left out.
    pub event_types: Vec<(&'static str, LeftOut)>,
    /// Entries evicted from full maps in that time.
    pub evicted: Evicted,
}
}

impl Notice {
    /// `in 1.0 s: probe: 300 rate limited + 12 lost; retransmit: 1 lost`
    #[must_use]
    pub fn line(&self) -> String {
        let parts = self.event_types.iter().map(|(name, left_out)| {
            let counts = [(left_out.rate_limited, "rate limited"), (left_out.lost, "lost")];
            let counts = counts.iter().filter(|(count, _)| *count > 0);
            let counts: Vec<String> = counts.map(|(n, what)| format!("{n} {what}")).collect();
            format!("{name}: {}", counts.join(" + "))
        });
        let evicted = self.evicted.parts().map(|what| format!("evicted from full maps: {what}"));
        let parts: Vec<String> = parts.chain(evicted).collect();
        let tenths = self.interval_ns / 100_000_000;
        format!("in {}.{} s: {}", tenths / 10, tenths % 10, parts.join("; "))
    }
}

/// What was told already.
#[derive(Debug, Default)]
pub struct Noticed {
    until_ns: u64,
    event_types: BTreeMap<&'static str, LeftOut>,
    evicted: Evicted,
}

impl Noticed {
    /// What is new in the counters, if anything is.
    pub fn next(&mut self, accounting: &Accounting) -> Option<Notice> {
        let mut event_types = Vec::new();
        for (name, counts) in &accounting.event_types {
            let known = self.event_types.entry(name).or_default();
            let new = LeftOut {
                rate_limited: counts.rate_limited.saturating_sub(known.rate_limited),
                lost: counts.lost.saturating_sub(known.lost),
            };
            // An event that a program works on counts as lost until it is done: it is not to be new again.
            known.rate_limited += new.rate_limited;
            known.lost += new.lost;
            if new != LeftOut::default() {
                event_types.push((*name, new));
            }
        }
        let evicted = accounting.evicted.combine(&self.evicted, u64::saturating_sub);
        self.evicted = accounting.evicted;
        let interval_ns = accounting.duration_ns.saturating_sub(self.until_ns);
        self.until_ns = accounting.duration_ns;
        let is_new = !event_types.is_empty() || evicted != Evicted::default();
        is_new.then_some(Notice { interval_ns, event_types, evicted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::Counts;

    fn counters(duration_ns: u64, rate_limited: u64, lost: u64) -> Accounting {
        let counts = Counts { rate_limited, lost, ..Counts::default() };
        let event_types = vec![("probe", counts), ("state", Counts::default())];
        Accounting { duration_ns, event_types, ..Accounting::default() }
    }

    #[test]
    fn each_loss_is_told_once() {
        const SECOND: u64 = 1_000_000_000;
        let mut noticed = Noticed::default();
        assert_eq!(noticed.next(&counters(SECOND, 0, 0)), None);
        let notice = noticed.next(&counters(2 * SECOND + SECOND / 2, 300, 12)).unwrap();
        assert_eq!(notice.line(), "in 1.5 s: probe: 300 rate limited + 12 lost");
        // One of them was under way.
        assert_eq!(noticed.next(&counters(3 * SECOND, 300, 11)), None);
        assert_eq!(noticed.next(&counters(4 * SECOND, 300, 12)), None);
        let mut more = counters(5 * SECOND, 300, 13);
        more.evicted.conns = 4;
        let notice = noticed.next(&more).unwrap();
        assert_eq!(notice.line(), "in 1.0 s: probe: 1 lost; evicted from full maps: 4 connections");
    }
}
