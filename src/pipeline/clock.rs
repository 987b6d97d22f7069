//! Converts the kernel's monotonic time to the printed time.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

use crate::config::TimeMode;
use crate::environment::ClockReading;
use crate::table::Moment;

/// A smaller change of the offset is drift or measurement error; a larger one means that the clock was set.
const STEP_NS: i64 = 1_000_000;
/// A reading of both clocks that was this fast is not repeated.
const QUICK_NS: u64 = 10_000;
const TRIES: u32 = 5;
const SECOND_NS: i64 = 1_000_000_000;

/// Converts monotonic times to moments. The wall clock is read before each batch, and again for an event that is newer than the
/// last reading, so that a step is noticed (or a suspend, during which the monotonic clock stops): earlier events use the old
/// offset, later ones the new one. As the exact time of the step is unknown, events not yet fetched use the new offset.
pub struct Clock {
    mode: TimeMode,
    start_ns: u64,
    offset_ns: Cell<i64>,
    /// The offset until the last step, and when that was noticed.
    before: Cell<Option<(i64, u64)>>,
    /// When the offset was read last.
    read_ns: Cell<u64>,
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
        let start_ns = mono_ns();
        let clock = Clock {
            mode,
            start_ns,
            offset_ns: Cell::default(),
            before: Cell::default(),
            read_ns: Cell::default(),
        };
        clock.update();
        clock.before.set(None);
        clock
    }

    /// The clocks as they were read last.
    #[must_use]
    pub fn reading(&self) -> ClockReading {
        ClockReading { start_ns: self.start_ns, wall_offset_ns: self.offset_ns.get() }
    }

    /// Reads the wall clock between two readings of the monotonic one. Of a few tries the fastest counts, as the process may be
    /// preempted in between, which is not a step.
    pub fn update(&self) {
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
        let offset = wall - mono.cast_signed();
        let last = self.offset_ns.replace(offset);
        let read_ns = self.read_ns.replace(mono);
        if (offset - last).abs() > STEP_NS {
            // The step came after the last reading: events up to then use the old offset.
            self.before.set(Some((last, read_ns)));
        }
    }

    /// Converts a kernel time.
    #[must_use]
    pub fn moment(&self, mono_ns: u64) -> Moment {
        match self.mode {
            TimeMode::Wall => {
                if mono_ns > self.read_ns.get() {
                    self.update();
                }
                let offset = match self.before.get() {
                    Some((offset, until)) if mono_ns <= until => offset,
                    _ => self.offset_ns.get(),
                };
                Moment::Wall(mono_ns.cast_signed().saturating_add(offset))
            }
            TimeMode::Mono => Moment::Elapsed(mono_ns.cast_signed()),
            TimeMode::Relative => {
                Moment::Elapsed(mono_ns.wrapping_sub(self.start_ns).cast_signed())
            }
        }
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed_ns(&self) -> u64 {
        mono_ns().saturating_sub(self.start_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(read_ns: u64) -> Clock {
        Clock {
            mode: TimeMode::Wall,
            start_ns: 0,
            offset_ns: Cell::new(1000),
            before: Cell::default(),
            read_ns: Cell::new(read_ns),
        }
    }

    #[test]
    fn a_long_batch_reads_the_clock_again() {
        let clock = Clock::new(TimeMode::Wall);
        let real = clock.offset_ns.replace(7);
        clock.read_ns.set(0);
        let later = mono_ns();
        let Moment::Wall(moment) = clock.moment(later) else { panic!("a wall clock's") };
        assert!((moment - later.cast_signed() - real).abs() < STEP_NS);
        assert_eq!(clock.before.get(), Some((7, 0)));
    }

    #[test]
    fn a_step_moves_later_events_only() {
        let clock = wall(50);
        clock.observe(100, 1100);
        assert_eq!(clock.moment(80), Moment::Wall(1080));
        clock.observe(200, 3_600_000_000_200);
        assert_eq!(clock.moment(90), Moment::Wall(1090), "recorded before the step");
        assert_eq!(clock.moment(200), Moment::Wall(3_600_000_000_200));
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
    fn drift_is_followed() {
        let clock = wall(0);
        clock.observe(100, 1150);
        assert_eq!(clock.moment(100), Moment::Wall(1150));
    }

    #[test]
    fn other_modes_do_not_read_the_wall_clock() {
        let clock = Clock { mode: TimeMode::Relative, start_ns: 10, ..wall(0) };
        assert_eq!(clock.moment(15), Moment::Elapsed(5));
        assert_eq!(clock.moment(5), Moment::Elapsed(-5));
    }
}
