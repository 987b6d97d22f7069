//! Converts the kernel's monotonic time to the printed time.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

use crate::config::TimeMode;
use crate::environment::ClockReading;
use crate::recording::header::ClockSample;
use crate::table::Moment;

/// A smaller change of the offset may be an error of the measurement.
const DRIFT_NS: i64 = 1_000;
/// Samples that are kept: far more than there are while an event is held.
const KEPT: usize = 4096;
/// A reading of both clocks that was this fast is not repeated.
const QUICK_NS: u64 = 10_000;
const TRIES: u32 = 5;
const SECOND_NS: i64 = 1_000_000_000;

/// Converts monotonic times to moments.
///
/// The wall clock is read before each batch, and again for an event that is newer than the last reading. When it has moved away from
/// where it was, by drift, a step or a suspend (during which the monotonic clock stops), events after the last reading use the new
/// offset, and earlier ones the old. So an event has the same time whenever it is converted, also from a recording.
pub struct Clock {
    mode: TimeMode,
    start_ns: u64,
    /// By time; at least one while the clock is in use.
    samples: RefCell<Vec<ClockSample>>,
    /// The newest of them.
    newest: Cell<ClockSample>,
    /// Samples so far.
    changes: Cell<u64>,
    /// When the offset was read last.
    read_ns: Cell<u64>,
    /// Of a recording: its latest time.
    recorded_ns: Option<Cell<u64>>,
}

fn now(id: ClockId) -> i64 {
    let t = clock_gettime(id);
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// How far the kernel's CLOCK_MONOTONIC is ahead of ours, in a time namespace.
static AHEAD_NS: AtomicI64 = AtomicI64::new(0);

/// The kernel's CLOCK_MONOTONIC, as bpf_ktime_get_ns() has it.
#[must_use]
pub fn mono_ns() -> u64 {
    (now(ClockId::Monotonic) + AHEAD_NS.load(Ordering::Relaxed)).cast_unsigned()
}

/// Aligns mono_ns() with that clock, and returns how far it is ahead of ours.
pub fn set_by(kernel_ns: impl Fn() -> Result<u64>) -> Result<i64> {
    let mut readings = Vec::new();
    for _ in 0..TRIES {
        let before = now(ClockId::Monotonic);
        let kernel = kernel_ns()?.cast_signed();
        readings.push((before, kernel, now(ClockId::Monotonic)));
    }
    let ahead_ns = ahead(&readings);
    AHEAD_NS.store(ahead_ns, Ordering::Relaxed);
    Ok(ahead_ns)
}

/// From readings of our clock, the other, and ours again, which each bound the difference. Nearly all offsets are zero or whole
/// seconds, and then exact to the nanosecond.
fn ahead(readings: &[(i64, i64, i64)]) -> i64 {
    let min = readings.iter().map(|(_, other, after)| other - after).max().unwrap_or(0);
    let max = readings.iter().map(|(before, other, _)| other - before).min().unwrap_or(0);
    let middle = i64::midpoint(min, max);
    let seconds = (middle + SECOND_NS / 2).div_euclid(SECOND_NS) * SECOND_NS;
    if (min..=max).contains(&seconds) { seconds } else { middle }
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn new(mode: TimeMode) -> Self {
        let clock = Clock::empty(mode, mono_ns(), None);
        clock.update();
        clock
    }

    /// That of a recording.
    #[must_use]
    pub fn recorded(mode: TimeMode, start_ns: u64, samples: &[ClockSample]) -> Self {
        let clock = Clock::empty(mode, start_ns, Some(Cell::new(start_ns)));
        samples.iter().for_each(|sample| clock.add(*sample));
        clock
    }

    fn empty(mode: TimeMode, start_ns: u64, recorded_ns: Option<Cell<u64>>) -> Self {
        Clock {
            mode,
            start_ns,
            samples: RefCell::default(),
            newest: Cell::new(ClockSample { after_ns: 0, wall_offset_ns: 0 }),
            changes: Cell::default(),
            read_ns: Cell::default(),
            recorded_ns,
        }
    }

    /// The clocks as they were read last.
    #[must_use]
    pub fn reading(&self) -> ClockReading {
        let wall_offset_ns = self.newest.get().wall_offset_ns;
        ClockReading { start_ns: self.start_ns, wall_offset_ns }
    }

    /// From a time on, another offset.
    pub fn add(&self, sample: ClockSample) {
        let mut samples = self.samples.borrow_mut();
        if samples.len() >= KEPT && self.recorded_ns.is_none() {
            samples.drain(..KEPT / 2);
        }
        // Those of a file may be in any order.
        let place = samples.partition_point(|known| known.after_ns <= sample.after_ns);
        samples.insert(place, sample);
        self.newest.set(samples.last().copied().unwrap_or(sample));
        self.changes.set(self.changes.get() + 1);
    }

    /// How often the offset has changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// The samples after so many changes.
    #[must_use]
    pub fn since(&self, changes: u64) -> Vec<ClockSample> {
        let samples = self.samples.borrow();
        let new = usize::try_from(self.changes().saturating_sub(changes)).unwrap_or(usize::MAX);
        samples[samples.len().saturating_sub(new)..].to_vec()
    }

    /// The time up to which there are events, if the clock is that of a recording; else now.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.recorded_ns.as_ref().map_or_else(mono_ns, Cell::get)
    }

    /// Sets the time of a recording.
    pub fn set_recorded_ns(&self, now_ns: u64) {
        if let Some(recorded_ns) = &self.recorded_ns {
            recorded_ns.set(now_ns);
        }
    }

    /// Reads the wall clock between two readings of the monotonic one. Of a few tries the fastest counts, as the process may be
    /// preempted in between, which is not a step.
    pub fn update(&self) {
        if self.recorded_ns.is_some() {
            return;
        }
        let read = || {
            let (before, wall, after) = (mono_ns(), now(ClockId::Realtime), mono_ns());
            (after - before, before + (after - before) / 2, wall)
        };
        let mut best = read();
        for _ in 1..TRIES {
            if best.0 <= QUICK_NS {
                break;
            }
            best = best.min(read());
        }
        self.observe(best.1, best.2);
    }

    fn observe(&self, mono: u64, wall: i64) {
        let wall_offset_ns = wall - mono.cast_signed();
        let read_ns = self.read_ns.replace(mono);
        let moved = (wall_offset_ns - self.newest.get().wall_offset_ns).abs() > DRIFT_NS;
        if self.changes() == 0 || moved {
            // It has moved after the last reading.
            self.add(ClockSample { after_ns: read_ns, wall_offset_ns });
        }
    }

    /// Converts a kernel time.
    #[must_use]
    pub fn moment(&self, mono_ns: u64) -> Moment {
        match self.mode {
            TimeMode::Wall => Moment::Wall(self.wall_ns(mono_ns)),
            TimeMode::Mono => Moment::Elapsed(mono_ns.cast_signed()),
            TimeMode::Relative => {
                Moment::Elapsed(mono_ns.wrapping_sub(self.start_ns).cast_signed())
            }
        }
    }

    /// The wall clock at that time.
    #[must_use]
    pub fn wall_ns(&self, mono_ns: u64) -> i64 {
        if mono_ns > self.read_ns.get() {
            self.update();
        }
        mono_ns.cast_signed().saturating_add(self.offset_at(mono_ns))
    }

    fn offset_at(&self, mono_ns: u64) -> i64 {
        let newest = self.newest.get();
        if mono_ns > newest.after_ns {
            return newest.wall_offset_ns;
        }
        let samples = self.samples.borrow();
        let after = samples.partition_point(|sample| sample.after_ns < mono_ns);
        let sample = after.checked_sub(1).map_or(samples.first(), |before| samples.get(before));
        sample.map_or(0, |sample| sample.wall_offset_ns)
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed_ns(&self) -> u64 {
        self.now_ns().saturating_sub(self.start_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(read_ns: u64) -> Clock {
        let clock = Clock::empty(TimeMode::Wall, 0, None);
        clock.add(ClockSample { after_ns: 0, wall_offset_ns: 1_000_000 });
        clock.read_ns.set(read_ns);
        clock
    }

    #[test]
    fn a_long_batch_reads_the_clock_again() {
        let clock = Clock::new(TimeMode::Wall);
        let real = clock.newest.get().wall_offset_ns;
        clock.newest.set(ClockSample { after_ns: 0, wall_offset_ns: 7 });
        clock.read_ns.set(0);
        let later = mono_ns();
        let Moment::Wall(moment) = clock.moment(later) else { panic!("a wall clock's") };
        assert!((moment - later.cast_signed() - real).abs() < 1_000_000);
        assert_eq!(clock.changes(), 2);
    }

    #[test]
    fn a_step_moves_later_events_only() {
        let clock = wall(50);
        clock.observe(100, 1_000_100);
        assert_eq!(clock.moment(80), Moment::Wall(1_000_080));
        clock.observe(200, 3_600_000_000_200);
        assert_eq!(clock.moment(90), Moment::Wall(1_000_090), "recorded before the step");
        assert_eq!(clock.moment(200), Moment::Wall(3_600_000_000_200));
        assert_eq!(
            clock.since(1),
            [ClockSample { after_ns: 100, wall_offset_ns: 3_600_000_000_000 }]
        );
    }

    #[test]
    fn the_difference_of_two_clocks_is_between_readings() {
        assert_eq!(ahead(&[(100, 110, 120), (200, 230, 240)]), 0);
        // To the nanosecond, where it is whole seconds.
        let behind = -1000 * SECOND_NS;
        assert_eq!(ahead(&[(5000, behind + 9000, 15_000)]), behind);
        // Else as exactly as the readings say: from 700 to 740, and from 730 to 760.
        assert_eq!(ahead(&[(100, 840, 140), (200, 960, 230)]), 735);
        assert_eq!(ahead(&[]), 0);
    }

    #[test]
    fn drift_is_followed_once_it_is_more_than_an_error() {
        let clock = wall(0);
        clock.observe(100, 1_000_150);
        assert_eq!((clock.moment(100), clock.changes()), (Moment::Wall(1_000_100), 1));
        clock.observe(200, 1_002_200);
        assert_eq!((clock.moment(200), clock.changes()), (Moment::Wall(1_002_200), 2));
    }

    /// What was printed at a time is what a recording of it shows.
    #[test]
    fn a_recording_has_the_times_that_were_printed() {
        let clock = wall(0);
        let mut printed = Vec::new();
        for (mono, wall) in [(1100, 1_001_100), (1200, 1_701_200), (1300, 901_300), (1400, 901_400)]
        {
            clock.observe(mono, wall);
            let events = [mono - 130, mono - 99, mono - 1, mono];
            printed.extend(events.map(|event| (event, clock.moment(event))));
        }
        let recorded = Clock::recorded(TimeMode::Wall, 0, &clock.since(0));
        for (event, moment) in printed {
            assert_eq!(recorded.moment(event), moment, "{event}");
        }
        recorded.set_recorded_ns(77);
        assert_eq!((recorded.now_ns(), recorded.elapsed_ns()), (77, 77));
    }

    #[test]
    fn only_so_many_samples_are_kept() {
        let clock = wall(0);
        for at in 1..3 * KEPT as u64 {
            clock.observe(100 * at, (5_000 * at).cast_signed());
        }
        assert!(clock.samples.borrow().len() <= KEPT);
        assert_eq!(clock.since(clock.changes() - 1).len(), 1);
    }

    #[test]
    fn other_modes_do_not_read_the_wall_clock() {
        let clock = Clock::empty(TimeMode::Relative, 10, None);
        assert_eq!(clock.moment(15), Moment::Elapsed(5));
        assert_eq!(clock.moment(5), Moment::Elapsed(-5));
        assert_eq!(clock.changes(), 0);
    }
}
