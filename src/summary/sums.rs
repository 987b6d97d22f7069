//! Rows of sums added up in the kernel.

use std::collections::HashMap;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags};

use crate::config::summary;
use crate::events::tcp_probe::copy;
use crate::skel::{self, TccTraceSkel};

/// Number of sums in a row.
pub const SUMS: usize = skel::Sums::COUNT;

/// The sums of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SumRow {
    pub cookie: Option<u64>,
    pub n: [u64; SUMS],
}

impl SumRow {
    fn read(bytes: Option<Vec<u8>>) -> Self {
        let row: skel::Sums = bytes.as_deref().and_then(copy).unwrap_or_default();
        SumRow { cookie: Some(row.cookie).filter(|&cookie| cookie != 0), n: row.n }
    }

    /// The difference to earlier sums, which only grow.
    fn since(&self, before: &SumRow) -> SumRow {
        let mut since = *self;
        since.n.iter_mut().zip(before.n).for_each(|(n, before)| *n = n.saturating_sub(before));
        since
    }

    fn is_empty(&self) -> bool {
        self.n == [0; SUMS]
    }
}

/// The bytes of a key, and its row.
pub type Keyed = (Vec<u8>, SumRow);

/// Adds to these rows the time of current states, which is in no sum yet.
pub type Running<'f> = &'f dyn Fn(&mut HashMap<Vec<u8>, SumRow>) -> Result<()>;

/// Reads the sums, and keeps those of the last summary.
pub struct SumsReader {
    max_rows: usize,
    /// Each summary covers its interval; else there is one, of the whole run.
    intervals: bool,
    before: HashMap<Vec<u8>, SumRow>,
    rest_before: SumRow,
}

impl SumsReader {
    #[must_use]
    pub fn new(options: &summary::Sums, intervals: bool) -> Self {
        SumsReader {
            max_rows: options.max_rows as usize,
            intervals,
            before: HashMap::new(),
            rest_before: SumRow::default(),
        }
    }

    /// Non-empty sums since the last summary, and the sum of keys that found no room. Removes idle keys if room is scarce.
    pub fn read(
        &mut self,
        skel: &TccTraceSkel<'_>,
        running: Running<'_>,
    ) -> Result<(Vec<Keyed>, SumRow)> {
        let map = &skel.maps.sums;
        let keys: Vec<Vec<u8>> = map.keys().collect();
        let scarce = self.intervals && keys.len() > self.max_rows / 2;
        let mut now = HashMap::new();
        for key in keys {
            let row =
                SumRow::read(map.lookup(&key, MapFlags::ANY).context("cannot read the sums")?);
            now.insert(key, row);
        }
        // In this order, states that end in between are in neither, and counted the next time. Before, they would be in both.
        running(&mut now)?;
        let mut rows = Vec::new();
        for (key, mut now) in now {
            let before = self.before.get(&key).copied().unwrap_or_default();
            let mut since = now.since(&before);
            now.n.iter_mut().zip(before.n).for_each(|(n, before)| *n = before.max(*n));
            if scarce && since.is_empty() {
                // Idle in this interval. Sums added until the removal are in its result.
                let last = take(map, &key).context("cannot tidy the sums")?;
                since = last.since(&self.before.remove(&key).unwrap_or_default());
            } else if self.intervals {
                self.before.insert(key.clone(), now);
            }
            if !since.is_empty() {
                rows.push((key, since));
            }
        }
        let rest = skel.maps.sums_rest.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY);
        let rest = SumRow::read(rest.context("cannot read the sums")?);
        let rest_since = rest.since(&self.rest_before);
        self.rest_before = rest;
        Ok((rows, rest_since))
    }
}

/// Removes a row and returns its last sums. In one step since 5.14 (3e87f192b405), else in two.
fn take(map: &impl MapCore, key: &[u8]) -> libbpf_rs::Result<SumRow> {
    if let Ok(value) = map.lookup_and_delete(key) {
        return Ok(SumRow::read(value));
    }
    let last = SumRow::read(map.lookup(key, MapFlags::ANY)?);
    map.delete(key)?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_sum_to_the_whole() {
        let first = SumRow { cookie: None, n: [1, 2, 0, 0, 0, 0, 0, 3] };
        let second = SumRow { cookie: Some(7), n: [1, 5, 0, 0, 0, 0, 1, 7] };
        let since = second.since(&first);
        assert_eq!(since, SumRow { cookie: Some(7), n: [0, 3, 0, 0, 0, 0, 1, 4] });
        assert!(second.since(&second).is_empty() && !since.is_empty());
        assert_eq!(second.since(&SumRow::default()), second);
    }
}
