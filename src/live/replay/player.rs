//! Reads a recording up to a time, and from its start again for an earlier one.

use std::time::Instant;

use anyhow::{Result, bail};

use super::connections::Connections;
use crate::config::{Config, Usage};
use crate::decode::Event;
use crate::events::connection::CONNECTION;
use crate::events::{EVENT_TYPES, EventType, Types, tcp_probe};
use crate::limits::twin::{Twin, TwinOptions};
use crate::live::app::App;
use crate::live::collect::{Collector, Target};
use crate::live::filter;
use crate::live::history::LONGEST_S;
use crate::live::rows::{Column as TableColumn, Missing};
use crate::session::replay::input::{self, Input};
use crate::session::replay::report;
use crate::session::replay::window::Window;
use crate::sink::Sink;
use crate::table::Column;

/// Records between two looks at the clock.
const BATCH: u32 = 4096;
/// The cookie in a record's head.
const COOKIE: std::ops::Range<usize> = 8..16;
/// What earlier tables would show is not kept.
const KEPT_NS: u64 = LONGEST_S * 1_000_000_000;

/// Columns of the table, and the columns of `probe` that they need.
const NEEDS: [(TableColumn, &str); 12] = [
    (TableColumn::Process, "pid"),
    (TableColumn::State, "state"),
    (TableColumn::Cc, "ca_name"),
    (TableColumn::CaState, "ca_state"),
    (TableColumn::Tx, "bytes_acked"),
    (TableColumn::Rx, "bytes_received"),
    (TableColumn::Cwnd, "snd_cwnd"),
    (TableColumn::Flight, "packets_in_flight"),
    (TableColumn::Ssthresh, "snd_ssthresh"),
    (TableColumn::Srtt, "srtt_us"),
    (TableColumn::Retrans, "total_retrans"),
    (TableColumn::Total, "total_retrans"),
];

pub struct Player {
    config: Config,
    interval_ns: u64,
    inputs: Vec<Input>,
    connections: Connections,
    missing: Missing,
    twin_options: TwinOptions,
    collector: Collector,
    target: Target,
    pub start_ns: u64,
    pub end_ns: u64,
    /// When the interval that is being read ends.
    interval_end_ns: u64,
    /// All events up to then were read.
    pub read_ns: u64,
    /// The last interval, which the end of the recording cuts off, was shown.
    has_ended: bool,
}

impl Player {
    /// Opens the recordings of `config.read`.
    pub fn open(config: Config, interval_ns: u64, target: Target) -> Result<Self> {
        let inputs = open(&config)?;
        let missing = missing(&inputs);
        let twin_options = twin_options(&inputs);
        let mut player = Player {
            config,
            interval_ns: interval_ns.max(1),
            inputs,
            connections: Connections::default(),
            missing,
            collector: Collector::new(target.clone(), false, twin_options.clone()),
            twin_options,
            target,
            start_ns: 0,
            end_ns: 0,
            interval_end_ns: 0,
            read_ns: 0,
            has_ended: false,
        };
        let mut span: Option<(u64, u64)> = None;
        for input in &mut player.inputs {
            let own = input.span()?;
            span = span.or(own).map(|(first, last)| {
                let (own_first, own_last) = own.unwrap_or((first, last));
                (first.min(own_first), last.max(own_last))
            });
        }
        let Some((start_ns, end_ns)) = span else { bail!("there are no events in the recording") };
        (player.start_ns, player.end_ns) = (start_ns, end_ns.max(start_ns));
        player.begin()?;
        Ok(player)
    }

    fn begin(&mut self) -> Result<()> {
        for input in &mut self.inputs {
            input.advance(false)?;
        }
        let twin = has_samples(&self.inputs).then(|| Twin::new(self.twin_options.clone()));
        self.connections = Connections::new(self.missing, twin, self.start_ns);
        self.interval_end_ns = self.start_ns.saturating_add(self.interval_ns);
        self.read_ns = self.start_ns;
        self.has_ended = false;
        Ok(())
    }

    /// Begins again at the start.
    pub fn rewind(&mut self, app: &mut App) -> Result<()> {
        self.inputs = open(&self.config)?;
        self.collector = Collector::new(self.target.clone(), false, self.twin_options.clone());
        app.rewind();
        self.begin()
    }

    /// Reads on up to that time, or until the deadline; whether it came so far.
    pub fn read_until(&mut self, to_ns: u64, app: &mut App, deadline: Instant) -> Result<bool> {
        let to_ns = to_ns.min(self.end_ns);
        loop {
            for _ in 0..BATCH {
                let next = input::earliest(&self.inputs);
                let next_ns = next.and_then(|at| u64::try_from(self.inputs[at].next_ns?).ok());
                self.end_intervals(next_ns.map_or(to_ns, |ns| ns.min(to_ns)), to_ns, app);
                match next {
                    Some(at) if next_ns.is_some_and(|ns| ns <= to_ns) => self.pass(at)?,
                    _ => {
                        self.read_ns = to_ns;
                        self.end(app);
                        return Ok(true);
                    }
                }
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
        }
    }

    /// Ends the intervals up to that time, on the way to `to_ns`.
    fn end_intervals(&mut self, until_ns: u64, to_ns: u64, app: &mut App) {
        // Times in a file may be any. Intervals without events that nobody will see are passed over.
        let unseen = until_ns.saturating_sub(self.interval_end_ns).saturating_sub(KEPT_NS);
        self.interval_end_ns += unseen / self.interval_ns * self.interval_ns;
        while self.interval_end_ns <= until_ns {
            if self.interval_end_ns.saturating_add(KEPT_NS) >= to_ns {
                let rows = self.connections.rows(self.interval_ns);
                app.update(rows, self.interval_ns, self.interval_end_ns);
            }
            self.connections.next_interval(self.interval_end_ns);
            self.read_ns = self.interval_end_ns;
            self.interval_end_ns = self.interval_end_ns.saturating_add(self.interval_ns);
        }
    }

    /// The last interval may be shorter.
    fn end(&mut self, app: &mut App) {
        let from_ns = self.interval_end_ns.saturating_sub(self.interval_ns);
        if self.read_ns < self.end_ns || self.has_ended || from_ns >= self.end_ns {
            return;
        }
        self.has_ended = true;
        let interval_ns = self.end_ns - from_ns;
        app.update(self.connections.rows(interval_ns), interval_ns, self.end_ns);
    }

    /// Takes the next record of a file.
    fn pass(&mut self, at: usize) -> Result<()> {
        let input = &mut self.inputs[at];
        if input.is_changed() {
            input.refresh();
        }
        let record = input.recording.record();
        self.connections.record(record);
        self.connections.classify(record);
        let cookie = record.get(COOKIE).and_then(|bytes| bytes.try_into().ok());
        let cookie = cookie.map(u64::from_ne_bytes);
        let is_shown = self.target.borrow().as_ref().is_some_and(|(of, _)| Some(*of) == cookie);
        if is_shown {
            let origin = &input.origin;
            let moment = |ns: u64| origin.clock.moment(ns);
            if let Ok(event) = Event::decode(record, &origin.types, moment) {
                self.collector.event(&event)?;
            }
        }
        input.advance(false)?;
        Ok(())
    }

    /// Names and layouts of the kernel of the recording.
    #[must_use]
    pub fn types(&self) -> Types {
        let types = self.inputs.first().map(|input| input.origin.types.clone());
        let mut types = types.unwrap_or_default();
        let lacks = |name: &str| is_missing(&self.inputs, needed(name));
        let columns = (CONNECTION.columns)();
        let absent = columns.iter().enumerate().filter(|(_, column)| lacks(column.name));
        types.absent = absent.map(|(index, _)| (CONNECTION.number, index)).collect();
        if !self.has_limits() {
            filter::without_limits(&mut types);
        }
        types
    }

    /// Whether samples show what limits a connection.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        has_samples(&self.inputs) && self.twin_options.missing.is_empty()
    }

    /// What could not be read so far, unless `is_quiet` what else there is to know, and whether a file is damaged.
    #[must_use]
    pub fn findings(&self, is_quiet: bool) -> (Vec<String>, bool) {
        let names_file = self.inputs.len() > 1;
        let missing = self.inputs.iter().flat_map(|input| report::missing(input, names_file));
        let is_told = self.has_ended && !is_quiet;
        let notes = self.inputs.iter().filter(|_| is_told).flat_map(report::notes);
        (missing.chain(notes).collect(), self.inputs.iter().any(report::is_damaged))
    }

    /// The wall clock then, in nanoseconds.
    #[must_use]
    pub fn wall_ns(&self, ns: u64) -> i64 {
        self.inputs.first().map_or(0, |input| input.origin.clock.wall_ns(ns))
    }

    /// Events that are known to be lost up to that time.
    #[must_use]
    pub fn lost_until(&self, ns: u64) -> u64 {
        let losses = self.inputs.iter().flat_map(Input::losses);
        let lost = losses.filter(|loss| loss.from_ns <= ns).flat_map(|loss| loss.lost.values());
        lost.fold(0, |sum, lost| sum.saturating_add(*lost))
    }
}

/// Opens them, with the filters of the options.
fn open(config: &Config) -> Result<Vec<Input>> {
    let mut inputs = input::open(config)?;
    if input::by_wall_clock(&inputs) {
        bail!(Usage(
            "the recordings are of different boots, whose clocks differ; give those of one".into()
        ));
    }
    let event_types: Vec<&'static EventType> = EVENT_TYPES.iter().collect();
    for input in &mut inputs {
        input.prepare(config, &event_types, None)?;
    }
    if let Some(window) = Window::new(&config.read, &inputs, false)? {
        inputs.iter_mut().try_for_each(|input| input.limit_to(window))?;
    }
    Ok(inputs)
}

/// What the rules of `limits` find in all of them.
fn twin_options(inputs: &[Input]) -> TwinOptions {
    let probe = &tcp_probe::EVENT_TYPE;
    let present = inputs.first().map(|input| input.recording.event_types()).unwrap_or_default();
    let has = |index, _: &Column| inputs.iter().all(|input| input.shows(probe, index));
    let mainline_bbr = inputs.iter().all(Input::has_mainline_bbr);
    TwinOptions::of(&present, has, mainline_bbr)
}

fn has_samples(inputs: &[Input]) -> bool {
    let is_probe = |known: &EventType| known.number == tcp_probe::EVENT_TYPE.number;
    inputs.iter().any(|input| input.recording.event_types().iter().any(|known| is_probe(known)))
}

/// The column of `probe` that one of a connection is from.
fn needed(name: &str) -> &str {
    match name {
        "tx_rate" => "bytes_acked",
        "rx_rate" => "bytes_received",
        "retrans_segs" => "total_retrans",
        name => name,
    }
}

/// Whether the samples of a file do not have that column. Other events have all.
fn is_missing(inputs: &[Input], name: &str) -> bool {
    let probe = &tcp_probe::EVENT_TYPE;
    let index = (probe.columns)().iter().position(|column| column.name == name);
    let Some(index) = index else { return false };
    let lacks = |input: &Input| !input.shows(probe, index);
    inputs.iter().any(|input| has_samples(std::slice::from_ref(input)) && lacks(input))
}

fn missing(inputs: &[Input]) -> Missing {
    let mut missing = Missing::default();
    for (column, name) in NEEDS {
        if is_missing(inputs, name) {
            missing.add(column);
        }
    }
    missing
}
