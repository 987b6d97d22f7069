//! The files that are read, and the order of their records.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, OFlags, flock};

use super::filter::Matcher;
use super::twin::Lives;
use super::window::Window;
use crate::config::{Config, TimeMode, Usage};
use crate::escape;
use crate::events::{EVENT_TYPES, EventType, ca_mainline, life};
use crate::pipeline::Origin;
use crate::pipeline::clock::Clock;
use crate::predicate::{Checked, Compiled};
use crate::privilege;
use crate::recording::header::{AccountingFrame, ClockSample};
use crate::recording::reader::{Recording, Step};

/// A file that is read.
pub(crate) struct Input {
    /// As it is shown.
    pub(crate) name: String,
    pub(crate) recording: Recording<File>,
    /// A second handle, for the lock.
    lock: File,
    /// What its records are read with, while others are.
    pub(crate) origin: Origin,
    /// The version of the names and layouts in `origin`, and how many clock samples it has.
    revision: u64,
    samples: usize,
    matchers: Vec<Option<Matcher>>,
    /// Classifies what limited connections.
    lives: Option<Lives>,
    window: Option<Window>,
    /// Times of loss that were told.
    told: usize,
    /// Records that the filters rejected, by number of the event type.
    pub(super) filtered: Vec<u64>,
    /// The time of the next record, on the clock that orders all files. `None`: there is none.
    pub(crate) next_ns: Option<i128>,
    pub(crate) is_over: bool,
}

/// Whether the writer of a file is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    Writes,
    Gone,
}

impl Input {
    /// Opens a file with the caller's permissions, and reads its header.
    pub(crate) fn open(path: &Path, mode: TimeMode) -> Result<Self> {
        let name = escape::path(path);
        let mut options = File::options();
        let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();
        std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true), flags);
        let file = privilege::as_caller(|| options.open(path));
        let file = file.with_context(|| format!("cannot open {name}"))?;
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            bail!("-r {name}: not a regular file");
        }
        let lock = file.try_clone().with_context(|| name.clone())?;
        let recording = Recording::open(file).map_err(|why| anyhow::anyhow!("{name}: {why}"))?;
        let start_ns = recording.header.environment.clock.start_ns;
        let clock = Clock::recorded(mode, start_ns, &recording.clock);
        let origin = Origin { clock, types: recording.types.clone(), filter: None };
        Ok(Input {
            name,
            revision: recording.revision,
            samples: recording.clock.len(),
            recording,
            lock,
            origin,
            matchers: EVENT_TYPES.iter().map(|_| None).collect(),
            lives: None,
            window: None,
            told: 0,
            filtered: vec![0; EVENT_TYPES.len()],
            next_ns: None,
            is_over: false,
        })
    }

    pub(crate) fn file(&self) -> &File {
        &self.lock
    }

    /// Prepares it for these event types: filters, conditions, and what its records do not have.
    pub(crate) fn prepare(
        &mut self,
        config: &Config,
        event_types: &[&'static EventType],
        checked: Option<&Checked>,
    ) -> Result<()> {
        let present = self.recording.event_types();
        let is_present =
            |of: &EventType| present.iter().any(|event_type| event_type.number == of.number);
        for event_type in event_types.iter().filter(|event_type| is_present(event_type)) {
            let columns = checked.map(|checked| checked.columns(event_type)).unwrap_or_default();
            let lacking = columns.iter().find(|column| !self.recording.has(event_type, column));
            if let Some(column) = lacking {
                bail!(Usage(format!(
                    "--where needs `{}`, which the {} records in {} do not have",
                    column.name, event_type.name, self.name
                )));
            }
            let matcher = Matcher::new(config, event_type, self)?;
            self.matchers[usize::from(event_type.number)] = Some(matcher);
        }
        let environment = &self.recording.header.environment;
        self.origin.filter = checked.map(|checked| Compiled::in_user_space(checked, environment));
        self.origin.types.absent = self.absent();
        Ok(())
    }

    /// The columns that its records do not have.
    fn absent(&self) -> BTreeSet<(u8, usize)> {
        let environment = &self.recording.header.environment;
        let mut absent = BTreeSet::new();
        for event_type in self.recording.event_types() {
            for (index, column) in (event_type.columns)().iter().enumerate() {
                let has = column.need.is_none_or(|member| environment.has(member))
                    && self.recording.has(event_type, column)
                    && (column.name != "err" || !self.has_other_errors());
                if !has {
                    absent.insert((event_type.number, index));
                }
            }
        }
        absent
    }

    /// Whether the errors of its machine have other numbers than those of most.
    pub(super) fn has_other_errors(&self) -> bool {
        let machine = &self.recording.header.machine;
        ["alpha", "mips", "parisc", "sparc"].iter().any(|family| machine.starts_with(family))
    }

    /// Whether its records of that event type have a column.
    pub(crate) fn shows(&self, event_type: &EventType, index: usize) -> bool {
        !self.origin.types.absent.contains(&(event_type.number, index))
    }

    /// Whether BBR's state is as mainline has it, as far as is known.
    pub(crate) fn has_mainline_bbr(&self) -> bool {
        self.recording.types.layouts.agrees("bbr", ca_mainline::locate)
    }

    /// Moves on to the next record that matches the filters.
    pub(crate) fn advance(&mut self, by_wall_clock: bool) -> Result<Step> {
        loop {
            let step =
                self.recording.advance().with_context(|| format!("cannot read {}", self.name))?;
            if step != Step::Record {
                self.next_ns = None;
                return Ok(step);
            }
            let mono_ns = self.recording.time_ns();
            let outside = |window: &Window| !window.has(mono_ns, self.wall_ns(mono_ns));
            if self.window.as_ref().is_some_and(outside) {
                continue;
            }
            let record = self.recording.record();
            if let Some(lives) = &mut self.lives {
                lives.take(record);
            }
            let number = record.get(52).copied().unwrap_or_default();
            let Some(matcher) = self.matchers.get(usize::from(number)).and_then(Option::as_ref)
            else {
                continue;
            };
            if !matcher.matches(record) {
                self.filtered[usize::from(number)] += 1;
                continue;
            }
            self.next_ns = Some(if by_wall_clock { self.wall_ns(mono_ns) } else { mono_ns.into() });
            return Ok(step);
        }
    }

    /// The record that it moved on to.
    pub(super) fn record(&mut self) -> &[u8] {
        match self.lives.as_ref().and_then(Lives::completed) {
            Some(record) => record,
            None => self.recording.record(),
        }
    }

    /// Whether it has records of that type.
    pub(super) fn has_type(&self, event_type: &EventType) -> bool {
        self.recording.event_types().iter().any(|known| known.number == event_type.number)
    }

    /// Whether its records of that type have a column.
    pub(super) fn has(&self, event_type: &EventType, name: &str) -> bool {
        let columns = (event_type.columns)();
        let column = columns.iter().find(|column| column.name == name);
        column.is_some_and(|column| self.recording.has(event_type, column))
    }

    /// Classifies what limited the connections of its records of `life`.
    pub(super) fn classify(&mut self, lives: Lives) {
        self.lives = Some(lives);
        let columns = (life::EVENT_TYPE.columns)();
        let known =
            |index: usize| columns.get(index).is_some_and(|of| life::LIMITS.contains(&of.name));
        let of_life = life::EVENT_TYPE.number;
        self.origin.types.absent.retain(|(of, index)| *of != of_life || !known(*index));
    }

    /// Reads only this part of the time.
    pub(crate) fn limit_to(&mut self, window: Window) -> Result<()> {
        let wanted = |samples: &[ClockSample], first_ns, last_ns| {
            window.may_have(samples, first_ns, last_ns)
        };
        self.recording.skip(wanted).with_context(|| format!("cannot read {}", self.name))?;
        self.window = Some(window);
        Ok(())
    }

    /// The least and the greatest time of the frames that are read. `None`: it has no records.
    pub(crate) fn span(&mut self) -> Result<Option<(u64, u64)>> {
        let (window, samples) = (self.window, self.recording.clock.clone());
        let wanted =
            |first, last| window.is_none_or(|window| window.may_have(&samples, first, last));
        self.recording.span(wanted).with_context(|| format!("cannot read {}", self.name))
    }

    /// Events of that type that were lost in the part of the time that is read.
    pub(super) fn lost(&self, event_type: &EventType) -> u64 {
        let of_type = |loss: &AccountingFrame| loss.lost.get(event_type.name).copied();
        self.losses().into_iter().filter_map(of_type).sum()
    }

    /// When events were lost.
    pub(crate) fn losses(&self) -> Vec<&AccountingFrame> {
        match &self.window {
            Some(window) => window.losses(self),
            None => self.recording.losses.iter().collect(),
        }
    }

    /// Those that were read since the last call.
    pub(super) fn new_losses(&mut self) -> Vec<AccountingFrame> {
        let losses = &self.recording.losses;
        let new = losses.get(self.told..).unwrap_or_default();
        self.told = losses.len();
        let samples = &self.recording.clock;
        let is_wanted = |loss: &&AccountingFrame| {
            self.window.is_none_or(|window| window.may_have(samples, loss.from_ns, loss.to_ns))
        };
        new.iter().filter(is_wanted).cloned().collect()
    }

    pub(super) fn is_limited(&self) -> bool {
        self.window.is_some()
    }

    /// On the wall clock of its machine.
    fn wall_ns(&self, mono_ns: u64) -> i128 {
        let samples = &self.recording.clock;
        let before = samples.iter().rev().find(|sample| sample.after_ns < mono_ns);
        let offset = before.or(samples.first()).map_or(0, |sample| sample.wall_offset_ns);
        i128::from(mono_ns) + i128::from(offset)
    }

    /// The wall clock at the start of the trace.
    pub(super) fn start_wall_ns(&self) -> i128 {
        self.wall_ns(self.recording.header.environment.clock.start_ns)
    }

    /// Brings what became known up to the last record into its origin, which is not in use.
    pub(crate) fn refresh(&mut self) {
        let origin = &mut self.origin;
        if self.revision != self.recording.revision {
            self.revision = self.recording.revision;
            let absent = std::mem::take(&mut origin.types.absent);
            origin.types = self.recording.types.clone();
            origin.types.absent = absent;
        }
        let samples = &self.recording.clock;
        if self.samples != samples.len() {
            samples[self.samples.min(samples.len())..].iter().for_each(|s| origin.clock.add(*s));
            self.samples = samples.len();
        }
    }

    /// Whether something is new for `refresh`.
    pub(crate) fn is_changed(&self) -> bool {
        self.revision != self.recording.revision || self.samples != self.recording.clock.len()
    }

    /// Whether a tracer holds the file's lock.
    pub(super) fn writer(&self) -> Writer {
        match flock(&self.lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                let _ = flock(&self.lock, FlockOperation::Unlock);
                Writer::Gone
            }
            Err(_) => Writer::Writes,
        }
    }
}

/// Opens all files.
pub(crate) fn open(config: &Config) -> Result<Vec<Input>> {
    let mode = config.output.time;
    config.read.files.iter().map(|path| Input::open(path, mode)).collect()
}

/// Lets files of one kernel share its layouts: the lines of an output are compiled for layouts, which are compared by number.
pub(super) fn share_layouts(inputs: &mut [Input]) {
    for index in 1..inputs.len() {
        let (before, rest) = inputs.split_at_mut(index);
        let types = &mut rest[0].origin.types;
        let same = before
            .iter()
            .map(|input| &input.origin.types)
            .find(|known| known.layouts == types.layouts && known.absent == types.absent);
        if let Some(known) = same {
            types.layouts = known.layouts.clone();
        }
    }
}

/// Whether the files are ordered by the wall clock, as their monotonic clocks differ.
pub(crate) fn by_wall_clock(inputs: &[Input]) -> bool {
    let boots: BTreeSet<&str> =
        inputs.iter().map(|input| input.recording.header.boot_id.as_str()).collect();
    boots.len() > 1
}

/// Times with `--time rel` are relative to the earliest start.
pub(super) fn set_starts(config: &Config, inputs: &mut [Input], by_wall_clock: bool) {
    let start_ns = |input: &Input| input.recording.header.environment.clock.start_ns;
    let first_ns = inputs.iter().map(start_ns).min().unwrap_or_default();
    let first_wall_ns = inputs.iter().map(Input::start_wall_ns).min().unwrap_or_default();
    for input in inputs {
        let later_ns = input.start_wall_ns() - first_wall_ns;
        let start_ns = match by_wall_clock {
            true => start_ns(input).wrapping_sub(u64::try_from(later_ns).unwrap_or_default()),
            false => first_ns,
        };
        let samples = &input.recording.clock;
        input.origin.clock = Clock::recorded(config.output.time, start_ns, samples);
    }
}

/// The one with the earliest record; of several, the first.
pub(crate) fn earliest(inputs: &[Input]) -> Option<usize> {
    let with_record = inputs.iter().enumerate().filter_map(|(i, input)| Some((i, input.next_ns?)));
    let earliest = with_record.min_by(|(i, one), (j, other)| match one.cmp(other) {
        Ordering::Equal => i.cmp(j),
        order => order,
    });
    earliest.map(|(index, _)| index)
}
