//! Sorts records by time.
//!
//! A program takes its timestamp before it reserves space in the buffer, so records from several CPUs arrive some µs out of
//! order, or more if a program is interrupted in between; and per-CPU buffers are read one after another. So each record is
//! held until no earlier one can still arrive.

use crate::decode;

/// How late a record may arrive: far longer than an interrupt takes, but not noticeable to users.
pub const HOLD_NS: u64 = 5_000_000;
/// The longest that a record is held, whatever its timestamp.
const MAX_HOLD_NS: u64 = 250_000_000;
/// The most bytes to hold.
const MAX_BYTES: usize = 16 << 20;

/// A record's place in `bytes`.
struct Held {
    mono_ns: u64,
    /// When it arrived, by our clock.
    arrived_ns: u64,
    start: usize,
    len: usize,
}

#[derive(Default)]
pub struct ReorderBuffer {
    bytes: Vec<u8>,
    held: Vec<Held>,
    newest_ns: u64,
    drained_ns: u64,
    late: u64,
    now_ns: u64,
}

impl ReorderBuffer {
    /// Sets the arrival time of the records pushed next.
    pub fn set_now(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    pub fn push(&mut self, bytes: &[u8]) {
        // Bytes that are not a record go first.
        let mono_ns = decode::mono_ns(bytes).unwrap_or(self.drained_ns);
        self.newest_ns = self.newest_ns.max(mono_ns);
        let (start, len) = (self.bytes.len(), bytes.len());
        self.held.push(Held { mono_ns, arrived_ns: self.now_ns, start, len });
        self.bytes.extend_from_slice(bytes);
    }

    /// Passes on the records up to that time.
    pub fn drain_until(&mut self, until_ns: u64, mut take: impl FnMut(&[u8])) {
        // Stable: records of the same time stay in order of arrival.
        self.held.sort_by_key(|held| held.mono_ns);
        let until_ns = until_ns.max(self.overdue_ns());
        let due = self.held.partition_point(|held| held.mono_ns <= until_ns);
        for held in self.held.drain(..due) {
            if held.mono_ns < self.drained_ns {
                self.late += 1;
            }
            self.drained_ns = self.drained_ns.max(held.mono_ns);
            take(&self.bytes[held.start..][..held.len]);
        }
        // The remaining records are near the end. Moving many of them each time would be slow.
        let first = self.held.iter().map(|held| held.start).min().unwrap_or(self.bytes.len());
        if first >= self.bytes.len() / 2 {
            self.bytes.drain(..first);
            self.held.iter_mut().for_each(|held| held.start -= first);
        }
    }

    /// The time up to which records must go even if they are not due, as they were held for too long or are too many. `held`
    /// is sorted by time.
    fn overdue_ns(&self) -> u64 {
        if self.bytes.len() > MAX_BYTES {
            return u64::MAX;
        }
        let too_long = |held: &&Held| self.now_ns.saturating_sub(held.arrived_ns) >= MAX_HOLD_NS;
        self.held.iter().rfind(too_long).map_or(0, |held| held.mono_ns)
    }

    /// The time of the newest record so far.
    #[must_use]
    pub fn newest_ns(&self) -> u64 {
        self.newest_ns
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Records that were passed on after a newer one.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A head's worth of bytes that begin with the time, as records do, and a mark behind.
    fn record(mono_ns: u64, mark: u8) -> Vec<u8> {
        let mut bytes = vec![0; size_of::<crate::skel::Head>()];
        bytes[..8].copy_from_slice(&mono_ns.to_ne_bytes());
        bytes.push(mark);
        bytes
    }

    fn drain_until(buffer: &mut ReorderBuffer, until_ns: u64) -> Vec<(u64, u8)> {
        let mut handed = Vec::new();
        let time = |bytes: &[u8]| decode::mono_ns(bytes).expect("a time");
        buffer.drain_until(until_ns, |bytes| handed.push((time(bytes), bytes[bytes.len() - 1])));
        handed
    }

    #[test]
    fn those_of_one_time_stay_as_they_came() {
        let mut buffer = ReorderBuffer::default();
        [(7, 1), (5, 2), (7, 3), (5, 4)]
            .iter()
            .for_each(|&(ns, mark)| buffer.push(&record(ns, mark)));
        assert_eq!(drain_until(&mut buffer, 6), [(5, 2), (5, 4)]);
        assert_eq!(drain_until(&mut buffer, 7), [(7, 1), (7, 3)]);
        assert!(buffer.is_empty() && buffer.bytes.is_empty());
        assert_eq!(buffer.late(), 0);
    }

    #[test]
    fn one_that_is_too_late_is_counted() {
        let mut buffer = ReorderBuffer::default();
        buffer.push(&record(9, 1));
        assert_eq!(drain_until(&mut buffer, 10), [(9, 1)]);
        buffer.push(&record(8, 2));
        buffer.push(&record(10, 3));
        assert_eq!(drain_until(&mut buffer, 10), [(8, 2), (10, 3)]);
        assert_eq!((buffer.late(), buffer.newest_ns()), (1, 10));
    }

    #[test]
    fn what_has_no_head_is_handed_on() {
        let mut buffer = ReorderBuffer::default();
        buffer.push(&record(9, 1));
        buffer.push(&[1, 2]);
        let mut lengths = Vec::new();
        buffer.drain_until(5, |bytes| lengths.push(bytes.len()));
        assert_eq!((lengths, buffer.late()), (vec![2], 0));
    }

    /// With the records' clock far ahead of ours, they would never be due.
    #[test]
    fn none_waits_for_ever() {
        let mut buffer = ReorderBuffer::default();
        buffer.set_now(1000);
        buffer.push(&record(1 << 60, 1));
        buffer.set_now(1000 + MAX_HOLD_NS - 1);
        buffer.push(&record((1 << 60) - 7, 2));
        assert_eq!(drain_until(&mut buffer, 1000 + MAX_HOLD_NS), []);
        buffer.set_now(1000 + MAX_HOLD_NS);
        let early = (1 << 60) - 7;
        assert_eq!(drain_until(&mut buffer, 1000 + MAX_HOLD_NS), [(early, 2), (1 << 60, 1)]);
    }

    #[test]
    fn no_more_stays_than_there_is_room_for() {
        let mut buffer = ReorderBuffer::default();
        let (mut came, mut handed) = (0, 0);
        while came < 4 * MAX_BYTES {
            for ns in 0..1000 {
                let record = record(u64::MAX - 1000 + ns, 0);
                came += record.len();
                buffer.push(&record);
            }
            handed += drain_until(&mut buffer, 1).len() * record(0, 0).len();
            assert!(came - handed <= MAX_BYTES, "{came} {handed}");
        }
        assert!(buffer.bytes.capacity() <= 2 * MAX_BYTES);
    }

    proptest! {
        /// In any order of arrival, each record comes out once, whole, and never after a newer one unless that one was due
        /// before it arrived.
        #[test]
        fn all_come_in_order(
            steps in proptest::collection::vec((0..50_u64, any::<u8>(), proptest::option::of(0..50_u64)), 0..60),
        ) {
            let (mut buffer, mut put, mut got) = (ReorderBuffer::default(), Vec::new(), Vec::new());
            let (mut drained, mut late) = (0, 0);
            for (ns, mark, until) in steps {
                late += u64::from(ns < got.iter().map(|&(ns, _)| ns).max().unwrap_or(0));
                buffer.push(&record(ns, mark));
                put.push((ns, mark));
                if let Some(until) = until {
                    drained = drained.max(until);
                    let handed = drain_until(&mut buffer, drained);
                    prop_assert!(handed.is_sorted_by_key(|&(ns, _)| ns));
                    got.extend(handed);
                }
            }
            got.extend(drain_until(&mut buffer, u64::MAX));
            prop_assert_eq!(buffer.late(), late);
            put.sort_unstable();
            got.sort_unstable();
            prop_assert_eq!(put, got);
        }
    }
}
