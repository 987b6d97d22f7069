//! A recording as a whole: where it is from, its counters, and what is missing.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use super::collect::Collected;
use super::ends::{self, TwoEnds};
use super::number;
use super::{causes, gaps, join};
use crate::accounting::Counts;
use crate::escape;
use crate::privilege;
use crate::recording::header::{AccountingFrame, ClockSample};
use crate::recording::reader::{Recording, Step};
use crate::sink::TimeFormat;
use crate::table::Moment;

/// Times of loss that are listed one by one.
const LISTED: usize = 10;
/// The wall clock stepped if it moved by more than this.
const STEP_NS: u64 = 10_000_000;

pub struct Run {
    pub file: String,
    pub host: String,
    pub kernel: String,
    pub boot_id: String,
    /// The other end, if its recording was joined.
    pub two_ends: Option<TwoEnds>,
    pub program: String,
    pub command: String,
    /// On the wall clock.
    pub started: String,
    pub start_ns: u64,
    pub collected: Collected,
    /// Event types, their counters, and the records that were read.
    pub counts: Vec<(&'static str, Option<Counts>, u64)>,
    /// Fields that a panel needs and the samples do not have.
    pub absent: Vec<&'static str>,
    clock: Vec<ClockSample>,
    losses: Vec<AccountingFrame>,
    damaged: Vec<String>,
    evicted: u64,
    late: u64,
    unknown: u64,
    has_end: bool,
    error: Option<String>,
}

impl Run {
    /// Reads a recording to its end.
    pub fn read(path: &Path) -> Result<Self> {
        let name = escape::path(path);
        let file = privilege::as_caller(|| File::open(path));
        let file = file.with_context(|| format!("cannot open {name}"))?;
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            bail!("{name}: not a regular file");
        }
        let mut recording = Recording::open(file).map_err(|why| anyhow!("{name}: {why}"))?;
        let mut twin = causes::twin(&recording);
        let (mut collected, step) = Collected::read(&mut recording, twin.as_mut())
            .with_context(|| format!("cannot read {name}"))?;
        let (damaged, more) = recording.gaps();
        for connection in &mut collected.connections {
            connection.gaps = gaps::find(&connection.samples, damaged);
            join::drops(connection);
        }
        join::ends(&mut collected.connections);
        ends::within(&mut collected.connections);
        let end_ns = recording.end.as_ref().map(|end| end.mono_ns);
        let last_ns = recording.times_ns.map(|(_, last_ns)| last_ns);
        if let (Some(twin), Some(end_ns)) = (&mut twin, end_ns.or(last_ns)) {
            causes::assign(twin, end_ns, &mut collected.connections);
        }
        let clock = recording.clock.clone();
        let time = |ns: Option<u64>, otherwise: &str| match ns {
            Some(ns) => wall(&clock, ns),
            None => otherwise.to_owned(),
        };
        let mut damaged: Vec<String> = damaged
            .iter()
            .take(LISTED)
            .map(|gap| {
                format!(
                    "{} cannot be read: events from {} to {} may be missing",
                    number::plural(gap.bytes, "byte"),
                    time(gap.after_ns, "the start"),
                    time(gap.before_ns, "the end")
                )
            })
            .collect();
        if more > 0 {
            damaged.push(format!("{more} more parts cannot be read"));
        }
        let accounting = recording.accounting.clone().unwrap_or_default();
        let environment = &recording.header.environment;
        let start_ns = environment.clock.start_ns;
        Ok(Run {
            file: name,
            host: environment.host.clone(),
            kernel: environment.kernel.clone(),
            boot_id: recording.header.boot_id.clone(),
            two_ends: None,
            program: recording.header.program.clone(),
            command: recording.header.command_line.join(" "),
            started: wall(&clock, start_ns),
            start_ns,
            counts: counts(&recording, &accounting),
            absent: absent(&recording),
            losses: recording.losses.clone(),
            damaged,
            evicted: evicted(&accounting),
            late: accounting.late,
            unknown: recording.unknown,
            has_end: step == Step::End,
            error: recording.end.as_ref().and_then(|end| end.error.clone()),
            clock,
            collected,
        })
    }

    /// The wall clock without the date.
    #[must_use]
    pub fn clock_time(&self, mono_ns: u64) -> String {
        wall(&self.clock, mono_ns).split_once('T').map_or(String::new(), |(_, time)| time.into())
    }

    /// Events that were lost, and all of them.
    #[must_use]
    pub fn lost(&self) -> (u64, u64) {
        let all = || self.counts.iter().filter_map(|(_, counts, _)| counts.as_ref());
        (all().map(|counts| counts.lost).sum(), all().map(|counts| counts.seen).sum())
    }

    #[must_use]
    pub fn has_counters(&self) -> bool {
        self.counts.iter().any(|(_, counts, _)| counts.is_some())
    }

    /// Whether a part of the file cannot be read.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        !self.damaged.is_empty()
    }

    /// What one must know, in a few words each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.is_damaged() {
            problems.push("the file is damaged".to_owned());
        }
        if !self.has_end {
            problems.push("the recording has no end".to_owned());
        }
        problems.extend(self.error.as_ref().map(|error| format!("ended early: {error}")));
        problems
    }

    /// What is missing, and what else there is to know.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.two_ends.as_ref().map(TwoEnds::notes).unwrap_or_default();
        let before = notes.len();
        for loss in self.losses.iter().take(LISTED) {
            let lost = loss.lost.iter().map(|(name, count)| format!("{count} {name}"));
            let lost: Vec<String> = lost.collect();
            let (from, to) = (wall(&self.clock, loss.from_ns), wall(&self.clock, loss.to_ns));
            notes.push(format!("Lost from {from} to {to}: {}", lost.join(", ")));
        }
        if self.losses.len() > LISTED {
            notes.push(format!("Lost in {} more intervals", self.losses.len() - LISTED));
        }
        notes.extend(self.damaged.iter().cloned());
        if !self.has_end {
            notes
                .push("The recording has no end: its tracer was killed, or still writes it".into());
        }
        let mut offset_before = self.clock.first().map(|sample| sample.wall_offset_ns);
        for sample in &self.clock {
            let step = sample.wall_offset_ns.saturating_sub(offset_before.unwrap_or_default());
            offset_before = Some(sample.wall_offset_ns);
            if step.unsigned_abs() > STEP_NS && notes.len() < 100 {
                notes.push(format!(
                    "The wall clock was set by {:+.3}\u{202f}s at {}; the panels use the monotonic clock",
                    step as f64 / 1e9,
                    wall(&self.clock, sample.after_ns.saturating_add(1))
                ));
            }
        }
        let counts = [
            (self.late, "event", "came too late to be in order of time"),
            (self.evicted, "entry of a map was evicted", ""),
            (self.unknown, "record", "of event types that this version does not know"),
            (self.collected.unassigned, "event", "of no recorded connection"),
            (self.collected.more_connections, "event", "of connections that found no room"),
        ];
        for (count, what, then) in counts.into_iter().filter(|(count, ..)| *count > 0) {
            notes.push(match then {
                "" => format!("{} entries of maps were evicted", number::count(count)),
                _ => format!("{} {then}", number::plural(count, what)),
            });
        }
        if notes.len() == before {
            notes.push("Nothing is known to be missing.".into());
        }
        notes
    }
}

fn counts(
    recording: &Recording<File>,
    accounting: &AccountingFrame,
) -> Vec<(&'static str, Option<Counts>, u64)> {
    let row = |event_type: &'static crate::events::EventType| {
        let read = recording.read.get(usize::from(event_type.number)).copied();
        let counts = accounting.event_types.get(event_type.name).copied();
        (event_type.name, counts, read.unwrap_or_default())
    };
    recording.event_types().into_iter().map(row).collect()
}

fn evicted(accounting: &AccountingFrame) -> u64 {
    let value = serde_json::to_value(accounting.evicted).unwrap_or_default();
    let counts = value.as_object().into_iter().flat_map(serde_json::Map::values);
    counts.filter_map(serde_json::Value::as_u64).sum()
}

/// Event types that the recording does not have, of those that the page shows.
fn absent(recording: &Recording<File>) -> Vec<&'static str> {
    let present = recording.event_types();
    let wanted = [
        "probe",
        "retransmit",
        "drop",
        "cong_state",
        "zero_window",
        "reset_sent",
        "state",
        "spurious",
    ];
    let is_present = |name: &&str| present.iter().any(|known| known.name == *name);
    wanted.into_iter().filter(|name| !is_present(name)).collect()
}

/// RFC 3339 in UTC with milliseconds, without the zone.
fn wall(clock: &[ClockSample], mono_ns: u64) -> String {
    let before = clock.iter().rev().find(|sample| sample.after_ns < mono_ns);
    let offset = before.or(clock.first()).map_or(0, |sample| sample.wall_offset_ns);
    let mut text = Vec::new();
    let ns = mono_ns.cast_signed().saturating_add(offset);
    TimeFormat::default().full(Moment::Wall(ns), &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    text.get(..23).unwrap_or(&text).to_owned()
}
