//! Values with their counts: exact up to a number of different values, and beyond it to a part in four thousand.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Different values that are kept apart.
const MOST: usize = 1 << 20;
/// Bits of a rounded value's mantissa that are left.
const BITS: u32 = 12;

#[derive(Clone, Copy, Debug)]
struct Number(f64);

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Distribution {
    counts: BTreeMap<Number, u64>,
    pub count: u64,
    pub sum: f64,
    rounded: bool,
}

fn round(value: f64) -> f64 {
    f64::from_bits(value.to_bits() >> (52 - BITS) << (52 - BITS))
}

impl Distribution {
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        let value = if self.rounded { round(value) } else { value };
        *self.counts.entry(Number(value)).or_default() += 1;
        if self.counts.len() > MOST && !self.rounded {
            self.rounded = true;
            for (Number(value), count) in std::mem::take(&mut self.counts) {
                *self.counts.entry(Number(round(value))).or_default() += count;
            }
        }
    }

    #[must_use]
    pub fn min(&self) -> Option<f64> {
        self.counts.keys().next().map(|number| number.0)
    }

    #[must_use]
    pub fn max(&self) -> Option<f64> {
        self.counts.keys().next_back().map(|number| number.0)
    }

    /// The value at that place of the ascending order, from 1 on.
    #[must_use]
    pub fn ranked(&self, rank: u64) -> Option<f64> {
        let mut before = 0;
        self.counts.iter().find_map(|(number, count)| {
            before += count;
            (rank > 0 && before >= rank).then_some(number.0)
        })
    }

    /// The range of a quantile, if so many more values are not known: each may be the smallest or the largest.
    #[must_use]
    pub fn quantile(&self, of: f64, unknown: u64) -> (f64, f64) {
        let rank = rank(of, self.count.saturating_add(unknown));
        let least = rank.checked_sub(unknown).and_then(|rank| self.ranked(rank));
        let most = self.ranked(rank).filter(|_| rank <= self.count);
        (least.unwrap_or(f64::NEG_INFINITY), most.unwrap_or(f64::INFINITY))
    }
}

/// The nearest rank: the smallest one that has at least that part of all at or below it. 0.999 of 1000 is 999, whatever its binary digits.
fn rank(of: f64, count: u64) -> u64 {
    ((of * count as f64 - 1e-9).ceil() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Distribution {
        let mut distribution = Distribution::default();
        values.into_iter().for_each(|value| distribution.add(value));
        distribution
    }

    #[test]
    fn quantiles_are_values() {
        let all = of((1..=1000).rev().map(f64::from));
        for (quantile, value) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            assert_eq!(all.quantile(quantile, 0), (value, value));
        }
        assert_eq!((all.min(), all.max(), all.sum), (Some(1.0), Some(1000.0), 500_500.0));
        assert_eq!(of([]).quantile(0.5, 0), (f64::NEG_INFINITY, f64::INFINITY));
    }

    #[test]
    fn lost_values_widen_a_quantile() {
        let all = of((1..=98).map(f64::from));
        assert_eq!(all.quantile(0.5, 2), (48.0, 50.0));
        assert_eq!(all.quantile(0.99, 2), (97.0, f64::INFINITY));
        assert_eq!(all.quantile(0.01, 2), (f64::NEG_INFINITY, 1.0));
    }

    #[test]
    fn many_values_are_rounded_down_a_little() {
        let all = of((0..=(MOST as u32)).map(|n| f64::from(n) + 1e6));
        let median = all.quantile(0.5, 0).0;
        let exact = 1e6 + MOST as f64 / 2.0;
        assert!(all.rounded && (median / exact - 1.0).abs() < 1.0 / 4000.0, "{median}");
    }
}
