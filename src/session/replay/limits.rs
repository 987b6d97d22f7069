//! Limits over records: the same as the programs apply (src/bpf/limit.bpf.h), with the times of the records.

use std::collections::HashMap;

use anyhow::{Result, bail};

use super::input::Input;
use crate::config::{Limits, Rate, Usage};
use crate::events::{EVENT_TYPES, EventType};
use crate::recording::schema;
use crate::slot::Slot;

/// Connections whose state is kept; beyond them, all states begin anew.
const MOST_CONNECTIONS: usize = 1 << 20;
/// The connection: cookie, addresses and ports. Most sockets have a cookie; for others the rest identifies it.
const CONNECTION: std::ops::Range<usize> = 8..52;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passes,
    SampledOut,
    RateLimited,
}

/// State of a connection.
#[derive(Default)]
struct Connection {
    count: u64,
    shown: [Option<u64>; 3],
    emitted_ns: u64,
    empty_at_ns: u64,
}

/// The limits, and what they remember.
pub(super) struct Limiter {
    sample: Option<u64>,
    every_ns: Option<u64>,
    /// What --on-change compares.
    on_change: Option<[Slot; 3]>,
    rate: Option<Rate>,
    rate_per_conn: Option<Rate>,
    /// When the bucket of all events is empty.
    empty_at_ns: u64,
    connections: HashMap<Vec<u8>, Connection>,
}

impl Limiter {
    pub(super) fn new(limits: &Limits, inputs: &[Input]) -> Result<Self> {
        let on_change = if limits.on_change { Some(compared(inputs)?) } else { None };
        let every_ns =
            limits.every.map(|every| u64::try_from(every.as_nanos()).unwrap_or(u64::MAX));
        Ok(Limiter {
            sample: limits.sample.map(u64::from).filter(|sample| *sample > 1),
            every_ns,
            on_change,
            rate: limits.rate,
            rate_per_conn: limits.rate_per_conn,
            empty_at_ns: 0,
            connections: HashMap::new(),
        })
    }

    /// Whether there are limits.
    pub(super) fn is_needed(&self) -> bool {
        self.samples() || self.rate.is_some() || self.rate_per_conn.is_some()
    }

    fn samples(&self) -> bool {
        self.sample.is_some() || self.every_ns.is_some() || self.on_change.is_some()
    }

    /// Whether a record passes, at that time.
    pub(super) fn pass(&mut self, event_type: &EventType, record: &[u8], now_ns: u64) -> Outcome {
        let samples = self.samples() && event_type.is_probe();
        let Limiter { sample, every_ns, on_change, rate, rate_per_conn, empty_at_ns, connections } =
            self;
        let key = record.get(CONNECTION).unwrap_or_default();
        if connections.len() >= MOST_CONNECTIONS && !connections.contains_key(key) {
            connections.clear();
        }
        let connection = match connections.get_mut(key) {
            Some(connection) => connection,
            None => connections.entry(key.to_vec()).or_default(),
        };
        let values = on_change.map(|slots| slots.map(|slot| slot.stored(record)));
        if samples && !connection.pass(values, *sample, *every_ns, now_ns) {
            return Outcome::SampledOut;
        }
        let full = |rate: &Option<Rate>, empty_at: u64| {
            rate.is_none_or(|rate| empty_at <= now_ns.saturating_add(rate.burst_ns))
        };
        if !full(rate_per_conn, connection.empty_at_ns) || !full(rate, *empty_at_ns) {
            return Outcome::RateLimited;
        }
        let take = |rate: &Option<Rate>, empty_at: &mut u64| {
            if let Some(rate) = rate {
                *empty_at = (*empty_at).max(now_ns).saturating_add(rate.interval_ns);
            }
        };
        take(rate, empty_at_ns);
        take(rate_per_conn, &mut connection.empty_at_ns);
        if samples {
            connection.shown = values.unwrap_or_default();
            connection.emitted_ns = now_ns;
        }
        Outcome::Passes
    }
}

impl Connection {
    /// Every Nth, beginning with the first; at most one per interval; only where something moved.
    fn pass(
        &mut self,
        values: Option<[Option<u64>; 3]>,
        sample: Option<u64>,
        every_ns: Option<u64>,
        now_ns: u64,
    ) -> bool {
        if self.count > 0 && values.is_some_and(|values| values == self.shown) {
            return false;
        }
        let number = self.count;
        self.count += 1;
        if sample.is_some_and(|sample| !number.is_multiple_of(sample)) {
            // Of changes it is every Nth.
            self.shown = values.unwrap_or_default();
            return false;
        }
        // What comes too soon is shown later, if it is still so.
        let since_ns = now_ns.wrapping_sub(self.emitted_ns);
        self.emitted_ns == 0 || every_ns.is_none_or(|every_ns| since_ns >= every_ns)
    }
}

/// The congestion window, the threshold and the recovery state.
fn compared(inputs: &[Input]) -> Result<[Slot; 3]> {
    let probe = &EVENT_TYPES[0];
    let paths = ["std.snd_cwnd", "cong.snd_ssthresh", "cong.ca_state"];
    let slots = paths.map(|path| schema::member(probe, path));
    let [Some(cwnd), Some(ssthresh), Some(state)] = slots else {
        bail!("no records of probe");
    };
    let state_column = (probe.columns)().into_iter().find(|column| column.name == "ca_state");
    let lacking = inputs
        .iter()
        .find(|input| state_column.is_some_and(|column| !input.recording.has(probe, column)));
    if let Some(input) = lacking {
        bail!(Usage(format!(
            "--on-change needs `ca_state`, which the probe records in {} do not have",
            input.name
        )));
    }
    Ok([cwnd, ssthresh, state])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limiter(limits: &Limits) -> Limiter {
        Limiter::new(limits, &[]).unwrap()
    }

    fn record(cookie: u8) -> Vec<u8> {
        let mut record = vec![0; 96];
        record[8] = cookie;
        record
    }

    /// Which of the times pass, of two connections in turn.
    fn passed(limits: &Limits, times: std::ops::Range<u64>) -> Vec<u64> {
        let mut limiter = limiter(limits);
        let mut pass = |time: &u64| {
            let record = record((time % 2) as u8);
            limiter.pass(&EVENT_TYPES[0], &record, *time) == Outcome::Passes
        };
        times.filter(|time| pass(time)).collect()
    }

    #[test]
    fn each_connection_has_its_own_samples() {
        let every_third = Limits { sample: Some(3), ..Limits::default() };
        assert_eq!(passed(&every_third, 10..24), [10, 11, 16, 17, 22, 23]);
        let apart = Limits { every: Some(Duration::from_nanos(6)), ..Limits::default() };
        assert_eq!(passed(&apart, 10..24), [10, 11, 16, 17, 22, 23]);
    }

    #[test]
    fn a_rate_allows_a_burst() {
        let rate = Rate { interval_ns: 10, burst_ns: 10 };
        let of_all = Limits { rate: Some(rate), ..Limits::default() };
        assert_eq!(passed(&of_all, 100..130), [100, 101, 110, 120]);
        let of_each = Limits { rate_per_conn: Some(rate), ..Limits::default() };
        assert_eq!(passed(&of_each, 100..120), [100, 101, 102, 103, 110, 111]);
        assert!(!limiter(&Limits::default()).is_needed() && limiter(&of_all).is_needed());
    }
}
