//! The last minutes of one connection, in bins of a fixed time: bounded, whatever the rate of its samples.

use std::collections::VecDeque;

use crate::events::names::CA_STATES;
use crate::limits::connection::Segment;
use crate::limits::rules::CAUSES;

/// What is drawn of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    Cwnd,
    Flight,
    Ssthresh,
    Srtt,
    MinRtt,
    Delivery,
    Pacing,
}

pub const SERIES: usize = 7;

/// The time of a bin.
const BIN_NS: u64 = 25_000_000;
/// The longest time that is kept.
pub const LONGEST_S: u64 = 600;
const MOST_BINS: usize = (LONGEST_S * 1_000_000_000 / BIN_NS) as usize;
/// Bytes of records that are kept.
const MOST_BYTES: usize = 32 << 20;
/// Events that are kept as lines.
const MOST_EVENTS: usize = 500;

/// One sample of the connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub at_ns: u64,
    /// `None`: it has no such value.
    pub values: [Option<u64>; SERIES],
    /// Index of `CA_STATES`.
    pub ca_state: Option<u8>,
    /// Totals of the connection.
    pub acked: Option<u64>,
    pub received: Option<u64>,
    pub retrans: Option<u64>,
}

/// Smallest, largest and last value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub min: u64,
    pub max: u64,
    pub last: u64,
}

impl Extent {
    fn of(value: u64) -> Self {
        Extent { min: value, max: value, last: value }
    }

    fn add(&mut self, later: &Extent) {
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.last = later.last;
    }
}

/// What a time had.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bin {
    number: u64,
    pub values: [Option<Extent>; SERIES],
    /// The states that there were, a bit each.
    ca_states: u8,
    pub samples: u64,
    /// Samples of the connection up to its end.
    total: u64,
    pub acked: u64,
    pub received: u64,
    pub retrans: u64,
    /// Nanoseconds of each cause of `limits`, as far as they are decided.
    pub causes: [u32; CAUSES],
}

impl Bin {
    fn add(&mut self, later: &Bin) {
        for (extent, later) in self.values.iter_mut().zip(&later.values) {
            match (extent, later) {
                (Some(extent), Some(later)) => extent.add(later),
                (extent @ None, Some(later)) => *extent = Some(*later),
                (_, None) => {}
            }
        }
        self.ca_states |= later.ca_states;
        self.samples += later.samples;
        self.total = self.total.max(later.total);
        self.acked += later.acked;
        self.received += later.received;
        self.retrans += later.retrans;
        for (ns, later) in self.causes.iter_mut().zip(later.causes) {
            *ns = ns.saturating_add(later);
        }
    }

    /// What limited the connection longest in that time; `None` where it is not known.
    #[must_use]
    pub fn main_cause(&self) -> Option<usize> {
        let known = self.causes.iter().enumerate().filter(|(_, ns)| **ns > 0);
        known.max_by_key(|(_, ns)| **ns).map(|(cause, _)| cause)
    }

    /// Whether there was that state.
    #[must_use]
    pub fn had_ca_state(&self, state: usize) -> bool {
        self.ca_states & (1 << state) != 0
    }

    /// The most severe state in that time; `None` without a sample.
    #[must_use]
    pub fn worst_ca_state(&self) -> Option<usize> {
        (0..CA_STATES.len()).rev().find(|state| self.ca_states & (1 << state) != 0)
    }
}

/// An event as a line.
#[derive(Clone, Debug)]
pub struct EventLine {
    pub at_ns: u64,
    pub time: String,
    pub event_type: &'static str,
    pub text: String,
}

/// The history.
#[derive(Default)]
pub struct History {
    /// Of time with samples or causes only, by number.
    bins: VecDeque<Bin>,
    pub events: VecDeque<EventLine>,
    /// The newest records, as the programs made them.
    pub records: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// The newest sample.
    pub last: Sample,
    pub samples: u64,
    /// When the first sample was taken.
    pub first_ns: Option<u64>,
}

impl History {
    /// Adds a sample. Of one that is older than the newest, only the values count.
    pub fn add(&mut self, sample: &Sample) {
        let before = self.last;
        let added = |now: Option<u64>, before: Option<u64>| match (now, before) {
            (Some(now), Some(before)) => now.saturating_sub(before),
            _ => 0,
        };
        let bin = Bin {
            number: sample.at_ns / BIN_NS,
            values: sample.values.map(|value| value.map(Extent::of)),
            ca_states: sample
                .ca_state
                .map_or(0, |state| 1_u8.checked_shl(state.into()).unwrap_or(0)),
            samples: 1,
            total: self.samples + 1,
            acked: added(sample.acked, before.acked),
            received: added(sample.received, before.received),
            retrans: added(sample.retrans, before.retrans),
            ..Bin::default()
        };
        self.add_bin(&bin);
        self.samples += 1;
        self.first_ns.get_or_insert(sample.at_ns);
        self.last = *sample;
        for (value, before) in self.last.values.iter_mut().zip(before.values) {
            *value = value.or(before);
        }
    }

    fn add_bin(&mut self, bin: &Bin) {
        match self.bins.back_mut() {
            Some(newest) if newest.number >= bin.number => newest.add(bin),
            _ => self.bins.push_back(*bin),
        }
        while self.bins.len() > MOST_BINS {
            self.bins.pop_front();
        }
    }

    /// A time that has one cause.
    pub fn add_cause(&mut self, segment: &Segment) {
        let oldest_ns = segment.to_ns.saturating_sub(LONGEST_S * 1_000_000_000);
        let mut from_ns = segment.from_ns.max(oldest_ns);
        while from_ns < segment.to_ns {
            let number = from_ns / BIN_NS;
            let to_ns = segment.to_ns.min((number + 1) * BIN_NS);
            let mut bin = Bin { number, total: self.samples, ..Bin::default() };
            bin.causes[segment.cause as usize] = u32::try_from(to_ns - from_ns).unwrap_or(u32::MAX);
            match self.bins.iter_mut().rev().find(|known| known.number <= number) {
                Some(known) if known.number == number => known.add(&bin),
                _ => self.add_bin(&bin),
            }
            from_ns = to_ns;
        }
    }

    /// Keeps a record.
    pub fn add_record(&mut self, record: &[u8]) {
        self.records.push_back(record.into());
        self.bytes += record.len();
        while self.bytes > MOST_BYTES {
            let Some(oldest) = self.records.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    pub fn add_event(&mut self, event: EventLine) {
        self.events.push_back(event);
        if self.events.len() > MOST_EVENTS {
            self.events.pop_front();
        }
    }

    /// That time in equal parts. A part without a sample has no values.
    #[must_use]
    pub fn parts(&self, from_ns: u64, to_ns: u64, count: usize) -> Vec<Bin> {
        let mut parts = vec![Bin::default(); count];
        let span = u128::from(to_ns.saturating_sub(from_ns).max(1));
        let first = self.bins.partition_point(|bin| bin.number * BIN_NS < from_ns);
        for bin in self.bins.range(first..) {
            let at = u128::from((bin.number * BIN_NS).saturating_sub(from_ns));
            let part = usize::try_from(at * count as u128 / span).unwrap_or(usize::MAX);
            match parts.get_mut(part) {
                Some(part) => part.add(bin),
                None => break,
            }
        }
        parts
    }

    /// The value that a series had when that time began.
    #[must_use]
    pub fn before(&self, series: Series, from_ns: u64) -> Option<u64> {
        let first = self.bins.partition_point(|bin| bin.number * BIN_NS < from_ns);
        let earlier = self.bins.range(..first).rev();
        earlier.filter_map(|bin| bin.values[series as usize]).map(|extent| extent.last).next()
    }

    /// Samples up to that time.
    #[must_use]
    pub fn samples_until(&self, ns: u64) -> u64 {
        let after = self.bins.partition_point(|bin| bin.number * BIN_NS <= ns);
        after.checked_sub(1).and_then(|at| self.bins.get(at)).map_or(0, |bin| bin.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::rules::LimitCause;

    fn sample(at_ms: u64, cwnd: u64, acked: u64) -> Sample {
        let mut sample = Sample {
            at_ns: at_ms * 1_000_000,
            acked: Some(acked),
            ca_state: Some(0),
            ..Sample::default()
        };
        sample.values[Series::Cwnd as usize] = Some(cwnd);
        sample
    }

    #[test]
    fn extremes_are_kept_whatever_the_number_of_samples() {
        let mut history = History::default();
        for at in 0..10_000 {
            history.add(&sample(at, if at == 5_003 { 900 } else { 10 + at % 7 }, at * 100));
        }
        let parts = history.parts(0, 10_000_000_000, 10);
        let of = |part: usize| parts[part].values[Series::Cwnd as usize].unwrap();
        assert_eq!((of(5).min, of(5).max), (10, 900));
        assert_eq!((of(4).min, of(4).max), (10, 16));
        assert_eq!(parts.iter().map(|part| part.acked).sum::<u64>(), 9_999 * 100);
        assert_eq!(parts.iter().map(|part| part.samples).sum::<u64>(), 10_000);
    }

    #[test]
    fn memory_is_bounded() {
        let mut history = History::default();
        for at in 0..2 * MOST_BINS as u64 {
            history.add(&sample(at * 25, 1, 0));
            let (time, text) = (String::new(), String::new());
            history.add_event(EventLine { at_ns: at, time, event_type: "state", text });
            history.add_record(&[0; 1024]);
        }
        assert_eq!(history.records.len(), MOST_BYTES / 1024);
        assert_eq!((history.bins.len(), history.events.len()), (MOST_BINS, MOST_EVENTS));
        assert_eq!(history.before(Series::Cwnd, u64::MAX), Some(1));
    }

    #[test]
    fn a_time_without_samples_has_no_values() {
        let mut history = History::default();
        history.add(&sample(0, 10, 0));
        history.add(&Sample { ca_state: Some(4), ..sample(900, 20, 0) });
        let parts = history.parts(0, 1_000_000_000, 4);
        let values = parts.iter().map(|part| part.values[0].map(|extent| extent.last));
        assert_eq!(values.collect::<Vec<_>>(), [Some(10), None, None, Some(20)]);
        let states = parts.iter().map(Bin::worst_ca_state);
        assert_eq!(states.collect::<Vec<_>>(), [Some(0), None, None, Some(4)]);
        assert_eq!(history.before(Series::Cwnd, 500_000_000), Some(10));
    }

    #[test]
    fn causes_are_divided_among_bins() {
        let mut history = History::default();
        let ms = 1_000_000;
        let segment = |from, to, cause| Segment { from_ns: from * ms, to_ns: to * ms, cause };
        history.add(&sample(10, 10, 0));
        history.add_cause(&segment(10, 60, LimitCause::Path));
        history.add_cause(&segment(60, 70, LimitCause::Cwnd));
        history.add(&sample(70, 10, 0));
        history.add_cause(&segment(70, 1_000, LimitCause::Idle));
        let sum = |from: u64, to: u64, cause: LimitCause| {
            history.parts(from * ms, to * ms, 1)[0].causes[cause as usize] / ms as u32
        };
        assert_eq!((sum(0, 1_000, LimitCause::Path), sum(0, 1_000, LimitCause::Cwnd)), (50, 10));
        assert_eq!((sum(0, 1_000, LimitCause::Idle), sum(50, 75, LimitCause::Path)), (930, 10));
        let main = history.parts(0, 1_000 * ms, 4).iter().map(Bin::main_cause).collect::<Vec<_>>();
        assert_eq!(main, [LimitCause::Idle as usize; 4].map(Some));
        assert_eq!(history.samples_until(500 * ms), 2);
        // A time of hours takes no more than is kept.
        history.add_cause(&segment(1_000, 10_000_000, LimitCause::Idle));
        assert_eq!(history.bins.len(), MOST_BINS);
    }

    #[test]
    fn samples_out_of_order_do_not_disturb() {
        let mut history = History::default();
        history.add(&sample(1_000, 10, 500));
        history.add(&sample(500, 30, 400));
        let part = history.parts(0, 2_000_000_000, 1)[0];
        assert_eq!((part.samples, part.acked), (2, 0));
    }
}
