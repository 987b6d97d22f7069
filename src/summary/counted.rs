//! A histogram counted in the kernel, and its statistics.

use libbpf_rs::{MapCore, MapFlags};

use super::totals::RowCounts;
use crate::events::tcp_probe::copy;
use crate::skel::Histogram;
use crate::table::summary::Bucket;

/// 16 buckets for each power of two; below 32 each holds one value.
const SUB_BITS: u32 = 4;

/// Percentiles are the middle of a bucket, off by at most half of a sixteenth.
pub const ERROR_PERCENT: f64 = 100.0 / 32.0;

/// Smallest and largest value of the bucket with that number.
#[must_use]
pub fn bounds(bucket: usize) -> (u64, u64) {
    let (number, sub) = (bucket as u64, 1_u64 << SUB_BITS);
    if number < 2 * sub {
        return (number, number);
    }
    let shift = number / sub - 1;
    let from = (number % sub + sub) << shift;
    (from, from + (1 << shift) - 1)
}

/// The number of a value's bucket.
fn bucket_of(value: u64) -> usize {
    let shift = value.max(1).ilog2().saturating_sub(SUB_BITS);
    ((u64::from(shift) << SUB_BITS) + (value >> shift)) as usize
}

/// The counts of one row, over all CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub sum: u64,
    pub unset: u64,
    pub min: Option<u64>,
    pub max: u64,
    /// Number and count of non-empty buckets, ascending.
    pub buckets: Vec<(usize, u64)>,
}

impl Counted {
    /// Reads the row of that key: one value, or one per CPU.
    pub fn read(map: &impl MapCore, key: &[u8], per_cpu: bool) -> libbpf_rs::Result<Self> {
        let values = if per_cpu {
            map.lookup_percpu(key, MapFlags::ANY)?.unwrap_or_default()
        } else {
            map.lookup(key, MapFlags::ANY)?.into_iter().collect()
        };
        Ok(Counted::of(values.iter().filter_map(|bytes| copy::<Histogram>(bytes))))
    }

    /// Removes the row of that key and returns its last counts. In one step since 5.14 (3e87f192b405), else in two.
    pub fn take(map: &impl MapCore, key: &[u8]) -> libbpf_rs::Result<Self> {
        if let Ok(value) = map.lookup_and_delete(key) {
            return Ok(Counted::of(value.iter().filter_map(|bytes| copy::<Histogram>(bytes))));
        }
        let last = Counted::read(map, key, false)?;
        map.delete(key)?;
        Ok(last)
    }

    fn of(rows: impl Iterator<Item = Histogram>) -> Self {
        let mut sums = [0; Histogram::BUCKETS];
        let mut counted = Counted::default();
        for row in rows {
            counted.sum += row.sum;
            counted.unset += row.unset;
            if row.buckets.iter().any(|&count| count > 0) {
                let min = u64::from(!row.not_min);
                counted.min = Some(counted.min.map_or(min, |other| other.min(min)));
                counted.max = counted.max.max(row.max.into());
            }
            sums.iter_mut().zip(&row.buckets).for_each(|(sum, count)| *sum += count);
        }
        counted.buckets = sums.iter().copied().enumerate().filter(|(_, n)| *n > 0).collect();
        counted
    }

    /// Counts an event as the programs do; `None`: its value is not known.
    pub fn count_value(&mut self, value: Option<u64>) {
        let Some(value) = value else {
            self.unset += 1;
            return;
        };
        let value = value.min(u32::MAX.into());
        self.sum = self.sum.saturating_add(value);
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = self.max.max(value);
        let number = bucket_of(value);
        match self.buckets.binary_search_by_key(&number, |(known, _)| *known) {
            Ok(at) => self.buckets[at].1 += 1,
            Err(at) => self.buckets.insert(at, (number, 1)),
        }
    }

    /// Events with a value.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, n)| n).sum()
    }

    /// Rounded to a thousandth.
    #[must_use]
    pub fn average(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| (self.sum as f64 / count as f64 * 1000.0).round() / 1000.0)
    }

    /// The smallest value: the kernel's if it is in the first bucket, else the bucket's.
    #[must_use]
    pub fn least(&self) -> Option<u64> {
        let (from, to) = bounds(self.buckets.first()?.0);
        Some(self.min.filter(|min| (from..=to).contains(min)).unwrap_or(from))
    }

    /// The largest value, likewise.
    #[must_use]
    pub fn most(&self) -> Option<u64> {
        let (from, to) = bounds(self.buckets.last()?.0);
        Some(if (from..=to).contains(&self.max) { self.max } else { to })
    }

    /// The value that so many thousandths of the events do not exceed.
    #[must_use]
    pub fn quantile(&self, thousandths: u64) -> Option<u64> {
        let count = u128::from(self.count());
        let rank = (count * u128::from(thousandths)).div_ceil(1000).max(1);
        let mut seen = 0;
        let bucket = self.buckets.iter().find(|(_, n)| {
            seen += u128::from(*n);
            seen >= rank
        })?;
        let (from, to) = bounds(bucket.0);
        Some((from + (to - from) / 2).clamp(self.least()?, self.most()?))
    }

    /// As the sinks print them.
    #[must_use]
    pub fn printed(&self) -> Vec<Bucket> {
        let bucket = |&(number, count): &(usize, u64)| {
            let (from, to) = bounds(number);
            Bucket { from, to, count }
        };
        self.buckets.iter().map(bucket).collect()
    }
}

impl RowCounts for Counted {
    /// Extremes are exact if they moved, else taken from the buckets.
    fn since(&self, before: &Self) -> Self {
        let earlier = |number| {
            let found = before.buckets.binary_search_by_key(&number, |(number, _)| *number);
            found.ok().and_then(|at| before.buckets.get(at)).map_or(0, |(_, count)| *count)
        };
        let buckets = self.buckets.iter().map(|&(number, n)| (number, n - earlier(number).min(n)));
        Counted {
            sum: self.sum.saturating_sub(before.sum),
            unset: self.unset.saturating_sub(before.unset),
            min: self.min.filter(|_| self.min != before.min),
            max: if self.max == before.max { 0 } else { self.max },
            buckets: buckets.filter(|(_, n)| *n > 0).collect(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.unset = self.unset.saturating_add(other.unset);
        self.min = self.min.into_iter().chain(other.min).min();
        self.max = self.max.max(other.max);
        for &(number, n) in &other.buckets {
            match self.buckets.binary_search_by_key(&number, |(number, _)| *number) {
                Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(n),
                Err(at) => self.buckets.insert(at, (number, n)),
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.unset == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_stand_side_by_side_over_all_values_and_none_is_too_wide() {
        let mut next = 0;
        for bucket in 0..Histogram::BUCKETS {
            let (from, to) = bounds(bucket);
            assert_eq!(from, next);
            assert_eq!((bucket_of(from), bucket_of(to)), (bucket, bucket));
            assert!((to - from) * 16 <= from, "{bucket}: {from} to {to}");
            assert_eq!(from.max(1).ilog2(), to.max(1).ilog2(), "within one power of two");
            next = to + 1;
        }
        assert_eq!(next, 1 << 32);
    }

    fn bucket(value: u32) -> usize {
        (0..Histogram::BUCKETS).find(|&bucket| bounds(bucket).1 >= u64::from(value)).unwrap()
    }

    fn counted(values: &[u32]) -> Counted {
        let mut row = Histogram::default();
        for &value in values {
            row.buckets[bucket(value)] += 1;
            row.sum += u64::from(value);
            row.max = row.max.max(value);
            row.not_min = row.not_min.max(!value);
        }
        Counted::of([row, Histogram::default()].into_iter())
    }

    proptest! {
        #[test]
        fn quantiles_are_near_the_truth(
            mut values in proptest::collection::vec(prop_oneof![0..100_u32, any::<u32>()], 1..50),
            thousandths in 1..=1000_u64,
        ) {
            let counted = counted(&values);
            let mut one_by_one = Counted::default();
            values.iter().for_each(|&value| one_by_one.count_value(Some(value.into())));
            prop_assert_eq!(&one_by_one, &counted);
            values.sort_unstable();
            let rank = (values.len() as u64 * thousandths).div_ceil(1000).max(1) as usize;
            let truth = f64::from(values[rank - 1]);
            let told = counted.quantile(thousandths).unwrap() as f64;
            prop_assert!((told - truth).abs() <= truth * ERROR_PERCENT / 100.0, "{told} {truth}");
            prop_assert_eq!(counted.least(), values.first().map(|&v| v.into()));
            prop_assert_eq!(counted.most(), values.last().map(|&v| v.into()));
            prop_assert_eq!(counted.sum, values.iter().map(|&v| u64::from(v)).sum::<u64>());
        }

        #[test]
        fn differences_sum_to_the_whole(values in proptest::collection::vec(any::<u32>(), 0..50), at in 0..50_usize) {
            let (whole, first) = (counted(&values), counted(&values[..at.min(values.len())]));
            let second = whole.since(&first);
            prop_assert_eq!(first.count() + second.count(), whole.count());
            prop_assert_eq!(first.sum + second.sum, whole.sum);
            let mut both = first.clone();
            both.add(&second);
            prop_assert_eq!(&both, &whole);
            let rest = &values[at.min(values.len())..];
            for (told, truth) in [(second.least(), rest.iter().min()), (second.most(), rest.iter().max())] {
                let near = told.zip(truth).map(|(told, &truth)| bucket(told as u32) == bucket(truth));
                prop_assert_eq!(near, truth.map(|_| true));
            }
        }
    }
}
