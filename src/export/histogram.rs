//! Distributions as Prometheus has them: classic buckets, which the kernel's fit exactly, and native ones.

use crate::config::summary::TimeField;
use crate::summary::counted::{Counted, bounds};

/// Native buckets: eight for each power of two. The kernel has 16 narrower ones in it, of equal width.
pub const SCHEMA: i32 = 3;
/// Up to this a native value is zero, as Prometheus has it by default (2^-128).
pub const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// Upper bounds are powers of two of the kernel's unit: those from the first to the last exponent, this far apart.
struct Edges {
    first: u32,
    last: u32,
    step: usize,
    /// Values are whole numbers; else they are truncated, and a bucket that ends below a power of two ends there.
    whole: bool,
}

/// 16 µs to 67 s; 1 to 65535 segments; 2 kB/s to 34 GB/s; 255 bytes to 16 MB.
fn edges(field: TimeField) -> Edges {
    match field {
        TimeField::Cwnd | TimeField::InFlight => Edges { first: 1, last: 16, step: 1, whole: true },
        TimeField::Unsent => Edges { first: 8, last: 24, step: 2, whole: true },
        TimeField::DeliveryRate | TimeField::PacingRate => {
            Edges { first: 4, last: 28, step: 1, whole: false }
        }
        _ => Edges { first: 4, last: 26, step: 1, whole: false },
    }
}

/// Buckets, the count and the sum.
pub fn series(field: TimeField, _: f64) -> usize {
    let Edges { first, last, step, .. } = edges(field);
    (first..=last).step_by(step).count() + 3
}

/// Upper bounds, and how many values each bucket has. The last bucket has no bound.
pub fn classic(field: TimeField, scale: f64, counted: &Counted) -> Vec<(f64, u64)> {
    let Edges { first, last, step, whole } = edges(field);
    let mut left = counted.buckets.iter().peekable();
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    for exponent in (first..=last).step_by(step) {
        let end = 1_u64 << exponent;
        let mut count = 0;
        while let Some((_, n)) = left.next_if(|(number, _)| bounds(*number).1 < end) {
            count += n;
        }
        let bound = if whole { end - 1 } else { end };
        buckets.push((scaled(bound, scale), count));
    }
    buckets.push((f64::INFINITY, left.map(|(_, n)| n).sum()));
    buckets
}

/// The shortest decimal number: 16 * 1e-6 is not 0.000016.
fn scaled(value: u64, scale: f64) -> f64 {
    if scale < 1.0 { value as f64 / scale.recip().round() } else { value as f64 * scale }
}

/// The sum of the values.
pub fn sum(scale: f64, counted: &Counted) -> f64 {
    scaled(counted.sum, scale)
}

/// A native histogram.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Native {
    pub zero_count: u64,
    /// The gap before each run of buckets, and how many there are.
    pub spans: Vec<(i32, u32)>,
    /// The count of each bucket, less that of the one before.
    pub deltas: Vec<i64>,
}

/// Each of the kernel's buckets is counted where its middle is.
pub fn native(field: TimeField, scale: f64, counted: &Counted) -> Native {
    let whole = edges(field).whole;
    let mut native = Native::default();
    let mut buckets: Vec<(i32, u64)> = Vec::new();
    for &(number, count) in &counted.buckets {
        let (from, to) = bounds(number);
        if to == 0 {
            native.zero_count += count;
            continue;
        }
        let end = if whole { to } else { to + 1 };
        let index = index((from as f64 + end as f64) / 2.0 * scale);
        match buckets.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => buckets.push((index, count)),
        }
    }
    let (mut next, mut before) = (0, 0);
    for (index, count) in buckets {
        match native.spans.last_mut() {
            Some((_, length)) if index == next => *length += 1,
            _ => native.spans.push((index - next, 1)),
        }
        next = index + 1;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        native.deltas.push(count - before);
        before = count;
    }
    native
}

/// The bucket whose upper bound is the first that is not below the value.
fn index(value: f64) -> i32 {
    (value.log2() * f64::from(1 << SCHEMA)).ceil() as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(values: &[u64]) -> Counted {
        let mut counted = Counted::default();
        values.iter().for_each(|value| counted.count_value(Some(*value)));
        counted
    }

    #[test]
    fn bounds_are_short_numbers() {
        let of = |field, scale| -> Vec<f64> {
            classic(field, scale, &Counted::default()).iter().map(|(bound, _)| *bound).collect()
        };
        let times = of(TimeField::Srtt, 1e-6);
        assert_eq!(times[..3], [0.000_016, 0.000_032, 0.000_064]);
        assert_eq!(times[times.len() - 2..], [67.108_864, f64::INFINITY]);
        assert_eq!(of(TimeField::Cwnd, 1.0)[..4], [1.0, 3.0, 7.0, 15.0]);
        assert_eq!(of(TimeField::PacingRate, 125.0)[0], 2000.0);
        assert_eq!(sum(1e-6, &counted(&[300, 700])), 0.001);
        for field in [TimeField::Srtt, TimeField::Cwnd, TimeField::Unsent, TimeField::PacingRate] {
            // A bucket for each bound and +Inf; the count and the sum.
            assert_eq!(of(field, 1.0).len() + 2, series(field, 1.0));
        }
    }

    #[test]
    fn values_at_the_edges() {
        let buckets = classic(TimeField::Cwnd, 1.0, &counted(&[0, 1, 2, 3, 4, 65_535, 65_536]));
        let counts: Vec<u64> = buckets.iter().map(|(_, n)| *n).collect();
        assert_eq!(counts[..3], [2, 2, 1]);
        assert_eq!(counts[counts.len() - 2..], [1, 1]);
        // 15.9 µs are truncated to 15, and 16.0 are not below 16.
        let buckets = classic(TimeField::Srtt, 1e-6, &counted(&[15, 16]));
        assert_eq!([buckets[0].1, buckets[1].1], [1, 1]);
    }

    #[test]
    fn a_native_histogram_has_gaps_and_zeros() {
        let native = native(TimeField::Cwnd, 1.0, &counted(&[0, 1, 1, 2, 2, 2]));
        assert_eq!(
            native,
            Native { zero_count: 1, spans: vec![(0, 1), (7, 1)], deltas: vec![2, 1] },
            "1 is in bucket 0, and 2 in bucket 8"
        );
    }

    proptest! {
        #[test]
        fn every_value_is_in_a_classic_bucket_that_it_fits_and_in_a_native_one_near_it(
            values in prop::collection::vec(0..u64::from(u32::MAX), 1..200),
        ) {
            for (field, scale) in [(TimeField::Srtt, 1e-6), (TimeField::Cwnd, 1.0), (TimeField::Unsent, 1.0)] {
                let all = counted(&values);
                let whole = edges(field).whole;
                let (mut at_most, mut seen) = (0, 0);
                for (bound, count) in classic(field, scale, &all) {
                    at_most += count;
                    let fits = |value: &&u64| {
                        let value = **value as f64 * scale;
                        if whole { value <= bound } else { value < bound * (1.0 - 1e-12) }
                    };
                    seen = values.iter().filter(fits).count();
                    prop_assert_eq!(at_most, seen as u64);
                }
                prop_assert_eq!(seen, values.len());
                let native = native(field, scale, &all);
                let mut counts = Vec::new();
                let (mut at, mut count, mut deltas) = (0, 0, native.deltas.iter());
                for (gap, length) in &native.spans {
                    at += gap;
                    for _ in 0..*length {
                        count += deltas.next().unwrap();
                        counts.push((at, count));
                        at += 1;
                    }
                }
                let in_buckets: i64 = counts.iter().map(|(_, n)| n).sum();
                prop_assert_eq!(in_buckets as u64 + native.zero_count, values.len() as u64);
                prop_assert!(counts.windows(2).all(|two| two[0].0 < two[1].0));
                for value in values.iter().filter(|value| **value > 31) {
                    let value = *value as f64 * scale;
                    let near = counts.iter().any(|(at, n)| {
                        let end = (f64::from(*at) / 8.0).exp2();
                        let begin = (f64::from(at - 1) / 8.0).exp2();
                        *n > 0 && value > begin * (1.0 - 0.04) && value < end * (1.0 + 0.04)
                    });
                    prop_assert!(near, "{value}: {counts:?}");
                }
            }
        }
    }
}
