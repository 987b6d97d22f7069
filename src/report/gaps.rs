//! Where samples are missing: as opposed to quiet time, packets came in the meantime.

use super::connection::{Gap, Samples};
use crate::recording::frames;

/// A pause is at least this long.
const LEAST_NS: u64 = 60_000_000;
/// And at least this many times the usual time between samples.
const USUAL: u64 = 8;
/// More segments than this came in it.
const SEGMENTS: u64 = 8;

/// Finds the gaps of a connection. `damaged`: parts of the file that cannot be read.
#[must_use]
pub fn find(samples: &Samples, damaged: &[frames::Gap]) -> Vec<Gap> {
    let times = &samples.time_ns;
    let mut pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let usual_ns = match pauses.len() {
        0 => return Vec::new(),
        len => *pauses.select_nth_unstable(len / 2).1,
    };
    let least_ns = LEAST_NS.max(usual_ns.saturating_mul(USUAL));
    let segs_in = samples.column("segs_in");
    let mut gaps = Vec::new();
    for row in 1..times.len() {
        let (before, after) = (times[row - 1], times[row]);
        let packets = match (segs_in.get(row - 1), segs_in.get(row)) {
            (Some(before), Some(after)) => after.saturating_sub(before),
            _ => 0,
        };
        let is_damaged = damaged.iter().any(|gap| {
            gap.after_ns.is_none_or(|ns| ns < after) && gap.before_ns.is_none_or(|ns| ns > before)
        });
        // Without packets in it, nothing is missing.
        let is_gap = after - before > least_ns && packets > SEGMENTS;
        if is_gap || (is_damaged && packets > 1) {
            gaps.push(Gap { row, packets, damaged: is_damaged });
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::super::series::at;
    use super::*;

    fn samples(of: &[(u64, u64)]) -> Samples {
        let mut samples = Samples::default();
        for (row, (ms, segs)) in of.iter().enumerate() {
            samples.time_ns.push(ms * 1_000_000);
            samples.columns[at("segs_in")].set(row, Some(*segs));
        }
        samples
    }

    #[test]
    fn quiet_time_is_not_a_gap() {
        let regular: Vec<(u64, u64)> = (0..10).map(|n| (n * 5, n)).collect();
        assert_eq!(find(&samples(&regular), &[]), []);
        let with = |ms: u64, segs: u64| {
            let later = regular.iter().map(|(at, n)| (at + 50 + ms, n + 10 + segs));
            let all: Vec<(u64, u64)> = regular.iter().copied().chain(later).collect();
            find(&samples(&all), &[])
        };
        assert_eq!(with(500, 0), []);
        assert_eq!(with(10, 50), []);
        assert_eq!(with(500, 50), [Gap { row: 10, packets: 51, damaged: false }]);
        assert_eq!(find(&samples(&regular[..1]), &[]), []);
        assert_eq!(find(&Samples::default(), &[]), []);
    }

    #[test]
    fn a_damaged_part_is_a_gap_if_packets_came() {
        let gap = |after_ms: u64, before_ms: u64| frames::Gap {
            offset: 0,
            bytes: 10,
            frames: 1,
            after_ns: Some(after_ms * 1_000_000),
            before_ns: Some(before_ms * 1_000_000),
        };
        let samples = samples(&[(0, 0), (1, 1), (9, 5), (10, 6)]);
        assert_eq!(find(&samples, &[gap(1, 9)]), [Gap { row: 2, packets: 4, damaged: true }]);
        assert_eq!(find(&samples, &[gap(9, 10)]), []);
    }
}
