//! By how much the clocks of two recordings differ. Causes come before effects: data arrives after it was sent, and its ACK after it
//! arrived. Each packet that both ends saw thus bounds the difference from one side. Between the closest bounds it is not known.

use super::observed::{Arrivals, Sent};

/// Of this time, only the closest bounds are kept.
const BIN_NS: u64 = 100_000_000;
/// Clocks that differ by more do not run evenly.
const MOST_DRIFT: f64 = 1e-3;
const STEPS: u32 = 100;

/// The difference of two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Offset {
    /// How far the second clock is ahead at `reference_ns` of the first.
    pub ns: i64,
    /// It is within this distance of that.
    pub half_width_ns: u64,
    /// By how much it changes: nanoseconds a second.
    pub drift_ppb: i64,
    pub reference_ns: u64,
    /// Packets that were found at both ends.
    pub matches: u64,
}

impl Offset {
    /// A time of the second clock on the first.
    #[must_use]
    pub fn to_first(self, ns: u64) -> u64 {
        let first = i128::from(ns) - i128::from(self.ns);
        let since = first - i128::from(self.reference_ns);
        let drift = since * i128::from(self.drift_ppb) / 1_000_000_000;
        u64::try_from(first - drift).unwrap_or_default()
    }
}

/// Bounds of the difference at times of the first clock.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    lower: Vec<(u64, i64)>,
    upper: Vec<(u64, i64)>,
    matches: u64,
}

impl Bounds {
    /// Packets that were found at both ends.
    #[must_use]
    pub fn matches(&self) -> u64 {
        self.matches
    }

    /// Of data that was sent by the first end, or, if `is_back`, by the second.
    pub fn add_way(&mut self, sent: &Sent, arrivals: &Arrivals, is_back: bool) {
        let mut row = 0;
        for arrival in arrivals.0.iter().filter(|arrival| arrival.is_exact) {
            let (first, last) = (sent.una[0], sent.una[sent.una.len() - 1]);
            if arrival.end <= first || arrival.end > last {
                continue;
            }
            self.matches += 1;
            if let Some(sent_ns) = sent.unsent_ns(arrival.end) {
                self.bound(sent_ns, arrival.ns, is_back, false);
            }
            // The sample whose packet acknowledged it: the next one shows it.
            while row + 1 < sent.una.len() && sent.una[row + 1] < arrival.end {
                row += 1;
            }
            let acked = if sent.is_whole[row] { row } else { row + 1 };
            if let Some(acked_ns) = sent.time_ns.get(acked) {
                self.bound(*acked_ns, arrival.ns, is_back, true);
            }
        }
    }

    /// `sender_ns` is before the arrival, or, if `is_after`, behind it.
    fn bound(&mut self, sender_ns: u64, arrival_ns: u64, is_back: bool, is_after: bool) {
        let (first_ns, second_ns) =
            if is_back { (arrival_ns, sender_ns) } else { (sender_ns, arrival_ns) };
        let difference = second_ns.cast_signed().wrapping_sub(first_ns.cast_signed());
        // The second clock's time is the earlier one of two events in one of these cases, and the later one in the other.
        let is_lower = is_back != is_after;
        let list = if is_lower { &mut self.lower } else { &mut self.upper };
        match list.last_mut() {
            Some((ns, known)) if *ns / BIN_NS == first_ns / BIN_NS => {
                let is_closer = if is_lower { difference > *known } else { difference < *known };
                if is_closer {
                    (*ns, *known) = (first_ns, difference);
                }
            }
            _ => list.push((first_ns, difference)),
        }
    }

    /// `None`: it is not bounded from both sides, or no clocks that run evenly fit. A drift is assumed only where there must be one.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        let times = || self.lower.iter().chain(&self.upper).map(|(ns, _)| *ns);
        let (first_ns, last_ns) = (times().min()?, times().max()?);
        let reference_ns = first_ns.midpoint(last_ns);
        let between = |drift: f64| self.between(reference_ns, drift);
        let width = |drift: f64| between(drift).map_or(f64::NEG_INFINITY, |(low, high)| high - low);
        let mut drift = 0.0;
        if width(0.0) < 0.0 {
            // The width is concave.
            let (mut low, mut high) = (-MOST_DRIFT, MOST_DRIFT);
            for _ in 0..STEPS {
                let third = (high - low) / 3.0;
                if width(low + third) < width(high - third) {
                    low += third;
                } else {
                    high -= third;
                }
            }
            drift = f64::midpoint(low, high);
        }
        let (low, high) = between(drift).filter(|(low, high)| low <= high)?;
        Some(Offset {
            ns: f64::midpoint(low, high).round() as i64,
            half_width_ns: ((high - low) / 2.0).ceil() as u64,
            drift_ppb: (drift * 1e9).round() as i64,
            reference_ns,
            matches: self.matches,
        })
    }

    /// The closest bounds at that time, with that drift.
    fn between(&self, reference_ns: u64, drift: f64) -> Option<(f64, f64)> {
        let at = |(ns, difference): &(u64, i64)| {
            let since = ns.cast_signed().wrapping_sub(reference_ns.cast_signed());
            *difference as f64 - drift * since as f64
        };
        let low = self.lower.iter().map(at).reduce(f64::max)?;
        let high = self.upper.iter().map(at).reduce(f64::min)?;
        Some((low, high))
    }
}

#[cfg(test)]
mod tests {
    use super::super::observed::Arrival;
    use super::*;

    const MS: u64 = 1_000_000;

    /// A packet each 10 ms; it takes 7 ms to the second end, and its ACK 3 ms back. The second clock is ahead, and drifts.
    fn bounds(ahead_ns: i64, drift: f64, packets: u64) -> Bounds {
        let at = |ns: u64| {
            let ahead = ahead_ns + (ns as f64 * drift) as i64;
            ns.saturating_add_signed(ahead)
        };
        // The sample of the ACK of one packet shows that the next is not sent yet.
        let rows = 0..packets;
        let sent = Sent {
            time_ns: rows.clone().map(|at| 1000 * MS + at * 10 * MS).collect(),
            una: rows.clone().map(|at| at.cast_signed() * 100 - 100).collect(),
            nxt: rows.clone().map(|at| at.cast_signed() * 100).collect(),
            written: vec![None; packets as usize],
            is_whole: vec![true; packets as usize],
        };
        let arrival = |row: u64| Arrival {
            ns: at(1000 * MS + row * 10 * MS + 7 * MS),
            end: row.cast_signed() * 100 + 100,
            is_exact: true,
        };
        let mut bounds = Bounds::default();
        bounds.add_way(&sent, &Arrivals(rows.map(arrival).collect()), false);
        bounds
    }

    #[test]
    fn the_difference_is_between_the_bounds() {
        for ahead_ms in [0, 1_000_000, -700] {
            let offset = bounds(ahead_ms * MS as i64, 0.0, 500).offset().unwrap();
            // 7 ms less than the way there, 3 ms more than the way back.
            assert_eq!(
                (offset.ns - ahead_ms * MS as i64, offset.half_width_ns),
                (2 * MS as i64, 5 * MS)
            );
            assert!(offset.drift_ppb == 0 && offset.matches > 490, "{offset:?}");
            let then = 1500 * MS;
            let second = then.saturating_add_signed(offset.ns);
            assert_eq!(offset.to_first(second), then);
        }
    }

    #[test]
    fn a_drift_is_found_where_there_must_be_one() {
        // 100 ppm over 500 s are 50 ms, more than the round-trip time.
        let offset = bounds(0, 1e-4, 50_000).offset().unwrap();
        assert!((offset.drift_ppb - 100_000).abs() < 15_000, "{offset:?}");
        let truth = (offset.reference_ns as f64 * 1e-4) as i64;
        assert!((offset.ns - truth).unsigned_abs() <= offset.half_width_ns + MS, "{offset:?}");
        // A clock that is set meanwhile fits no line.
        let mut stepped = bounds(0, 0.0, 500);
        stepped.lower.extend(bounds(300 * MS as i64, 0.0, 500).lower);
        assert_eq!(stepped.offset(), None);
    }

    #[test]
    fn without_data_nothing_is_known() {
        assert_eq!(Bounds::default().offset(), None);
    }
}
