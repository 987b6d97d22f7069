//! --since and --until: the part of the time that is read.

use anyhow::{Result, bail};

use super::input::Input;
use crate::config::{Point, Read, Usage};
use crate::recording::header::{AccountingFrame, ClockSample};

const DAY_NS: i128 = 86_400_000_000_000;

/// A time on the clock that it was given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Mono(i128),
    Wall(i128),
}

/// From a time on, and up to another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    since: Option<Bound>,
    until: Option<Bound>,
}

impl Window {
    /// `None`: all of the time. `first_ns`, `first_wall_ns`: the earliest start.
    pub(crate) fn new(read: &Read, inputs: &[Input], by_wall_clock: bool) -> Result<Option<Self>> {
        if !read.is_limited() {
            return Ok(None);
        }
        let start_ns = |input: &Input| input.recording.header.environment.clock.start_ns;
        let first_ns = inputs.iter().map(start_ns).min().unwrap_or_default();
        let first_wall_ns = inputs.iter().map(Input::start_wall_ns).min().unwrap_or_default();
        let bound = |point: Point| match point {
            Point::Elapsed(elapsed) => {
                let elapsed_ns = i128::try_from(elapsed.as_nanos()).unwrap_or(i128::MAX / 2);
                match by_wall_clock {
                    true => Bound::Wall(first_wall_ns + elapsed_ns),
                    false => Bound::Mono(i128::from(first_ns) + elapsed_ns),
                }
            }
            Point::Wall(wall_ns) => Bound::Wall(wall_ns),
            Point::OfDay(of_day_ns) => Bound::Wall(on_day(first_wall_ns, of_day_ns)),
        };
        let window = Window { since: read.since.map(bound), until: read.until.map(bound) };
        match (window.since, window.until) {
            (Some(Bound::Mono(since)), Some(Bound::Mono(until)))
            | (Some(Bound::Wall(since)), Some(Bound::Wall(until)))
                if since >= until =>
            {
                bail!(Usage("--until must be later than --since".into()))
            }
            _ => Ok(Some(window)),
        }
    }

    /// Whether it ends before the recordings may.
    pub(super) fn ends(&self) -> bool {
        self.until.is_some()
    }

    /// Whether an event of that time belongs to it.
    pub(super) fn has(&self, mono_ns: u64, wall_ns: i128) -> bool {
        let at = |bound: Bound| match bound {
            Bound::Mono(ns) => (i128::from(mono_ns), ns),
            Bound::Wall(ns) => (wall_ns, ns),
        };
        self.since.map(at).is_none_or(|(now, since)| now >= since)
            && self.until.map(at).is_none_or(|(now, until)| now < until)
    }

    /// Whether any time between these belongs to it. The wall clock may be set meanwhile.
    pub(super) fn may_have(&self, samples: &[ClockSample], first_ns: u64, last_ns: u64) -> bool {
        let before = samples.iter().rev().find(|sample| sample.after_ns < first_ns);
        let between = samples.iter().filter(|s| (first_ns..last_ns).contains(&s.after_ns));
        let offsets = before.or(samples.first()).into_iter().chain(between);
        let offsets = offsets.map(|sample| i128::from(sample.wall_offset_ns));
        let (least, most) = (offsets.clone().min(), offsets.max());
        let (first, last) = (i128::from(first_ns), i128::from(last_ns));
        let reaches = |since: Bound| match since {
            Bound::Mono(since) => last >= since,
            Bound::Wall(since) => last + most.unwrap_or_default() >= since,
        };
        let begins = |until: Bound| match until {
            Bound::Mono(until) => first < until,
            Bound::Wall(until) => first + least.unwrap_or_default() < until,
        };
        self.since.is_none_or(reaches) && self.until.is_none_or(begins)
    }

    /// The times of loss that overlap with it.
    pub(super) fn losses<'i>(&self, input: &'i Input) -> Vec<&'i AccountingFrame> {
        let samples = &input.recording.clock;
        let losses = input.recording.losses.iter();
        losses.filter(|loss| self.may_have(samples, loss.from_ns, loss.to_ns)).collect()
    }
}

/// That time on the day that is nearest to the start.
fn on_day(start_ns: i128, of_day_ns: i128) -> i128 {
    let midnight = start_ns.div_euclid(DAY_NS) * DAY_NS;
    let days = [-1, 0, 1].map(|day| midnight + day * DAY_NS + of_day_ns);
    // It is rather in the recording than before it.
    let far = |at: &i128| if *at < start_ns { (start_ns - at) * 2 } else { at - start_ns };
    days.into_iter().min_by_key(far).unwrap_or(start_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: i128 = 3_600_000_000_000;

    #[test]
    fn a_time_of_day_is_near_the_start() {
        let day = 20_000 * DAY_NS;
        let start = day + 17 * HOUR_NS + 1;
        assert_eq!(on_day(start, 17 * HOUR_NS), day + 17 * HOUR_NS);
        assert_eq!(on_day(start, 16 * HOUR_NS), day + 16 * HOUR_NS);
        assert_eq!(on_day(start, HOUR_NS), day + DAY_NS + HOUR_NS);
        assert_eq!(on_day(day + HOUR_NS, 23 * HOUR_NS), day - HOUR_NS);
    }

    #[test]
    fn a_window_is_half_open() {
        let window = Window { since: Some(Bound::Mono(10)), until: Some(Bound::Wall(120)) };
        let has = |mono: u64| window.has(mono, i128::from(mono) + 100);
        assert_eq!([9, 10, 19, 20].map(has), [false, true, true, false]);
        let sample = |after_ns, wall_offset_ns| ClockSample { after_ns, wall_offset_ns };
        let samples = [sample(0, 100)];
        let may = |first, last| window.may_have(&samples, first, last);
        assert!(may(0, 10) && may(19, 50) && !may(0, 9) && !may(20, 50));
        // The clock is set back while it lasts.
        let samples = [sample(0, 100), sample(30, 50)];
        assert!(window.may_have(&samples, 20, 50) && !window.may_have(&samples, 20, 30));
        let empty = Window::default();
        assert!(empty.has(0, 0) && empty.may_have(&[], 0, 0));
    }
}
