//! The model: what is shown, and what keys do to it.

mod press;

pub use self::press::SPEEDS;

use std::rc::Rc;

use super::collect::Shared;
use super::filter::Filter;
use super::history::{History, LONGEST_S};
use super::past::{Past, Table};
use super::rows::{Row, Sort};
use crate::environment::Environment;

/// The time axes of charts, in seconds.
const SPANS: [u64; 5] = [10, 30, 60, 180, LONGEST_S];
const DEFAULT_SPAN: usize = 2;

/// What the loop has to do after a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    Quit,
    /// Stop, as Ctrl-Z does.
    Suspend,
    /// Draw the whole screen.
    Redraw,
    /// Follow the connection that is shown now, and no other.
    Follow,
    /// Write the events of the connection that is shown as a recording.
    Write,
    /// Go on from that time of the recording.
    Seek(u64),
}

/// The state of a replay.
pub struct Playback {
    pub start_ns: u64,
    pub end_ns: u64,
    /// Seconds of the recording per second.
    pub speed: f64,
    /// The recording is still being read up to the time that is shown.
    pub is_reading: bool,
    /// The wall clock at the time that is shown.
    pub wall: String,
    /// How to have the connection on the screen as a recording.
    pub extract: String,
}

/// The connection on the screen.
pub struct Shown {
    pub row: Row,
    /// The newest interval that it was in.
    seen_ns: u64,
    /// It is not in the table any more.
    pub ended: bool,
    /// It is not in the table yet.
    pub is_later: bool,
    pub history: Shared,
    /// When it was opened.
    pub since_ns: u64,
}

pub struct App {
    pub environment: Environment,
    pub filter: Filter,
    /// Connections of the interval that is shown.
    all: Rc<Vec<Row>>,
    /// The time at which it ended.
    table_ns: u64,
    pub past: Past,
    /// Those that match, sorted.
    pub rows: Vec<Row>,
    /// The ID of the chosen row.
    pub chosen: Option<u64>,
    /// The first row on the screen, and how many there is room for.
    pub top: usize,
    pub room: usize,
    pub sort: Sort,
    pub reverse: bool,
    pub shown: Option<Shown>,
    /// The first of the events that are listed, from the newest.
    pub scrolled: usize,
    span: usize,
    /// The time at which the screen was frozen.
    pub frozen_ns: Option<u64>,
    pub help: bool,
    /// Printed in the last line until the next key.
    pub message: Option<String>,
    /// The time of the last interval.
    pub interval_ns: u64,
    /// Records of the shown connection that were lost.
    pub lost: u64,
    /// Columns of the screen.
    pub width: u16,
    /// What limits each connection is known.
    pub has_limits: bool,
    /// What is shown is a recording.
    pub playback: Option<Playback>,
}

impl App {
    #[must_use]
    pub fn new(environment: Environment, filter: Filter, sort: Sort) -> Self {
        App {
            environment,
            filter,
            all: Rc::default(),
            table_ns: 0,
            past: Past::default(),
            rows: Vec::new(),
            chosen: None,
            top: 0,
            room: 1,
            sort,
            reverse: false,
            shown: None,
            scrolled: 0,
            span: DEFAULT_SPAN,
            frozen_ns: None,
            help: false,
            message: None,
            interval_ns: 0,
            lost: 0,
            width: 80,
            has_limits: false,
            playback: None,
        }
    }

    /// Seconds of the time axis.
    #[must_use]
    pub fn span_s(&self) -> u64 {
        SPANS[self.span]
    }

    /// All connections, whether they match or not.
    #[must_use]
    pub fn total(&self) -> usize {
        self.all.len()
    }

    /// The connections of a new interval, which ended then.
    pub fn update(&mut self, rows: Vec<Row>, interval_ns: u64, at_ns: u64) {
        self.past.add(Table { at_ns, interval_ns, rows: Rc::new(rows) });
        if self.frozen_ns.is_none() && self.playback.is_none() {
            self.look_at(at_ns);
        }
    }

    /// Shows the connections of that time.
    pub fn look_at(&mut self, ns: u64) {
        let Some(table) = self.past.at(ns).cloned() else { return };
        if table.at_ns == self.table_ns && Rc::ptr_eq(&table.rows, &self.all) {
            return;
        }
        (self.all, self.interval_ns) = (table.rows, table.interval_ns);
        self.table_ns = table.at_ns;
        if let Some(shown) = &mut self.shown {
            match self.all.iter().find(|row| row.id == shown.row.id) {
                Some(row) => {
                    shown.row = row.clone();
                    shown.seen_ns = shown.seen_ns.max(table.at_ns);
                    (shown.ended, shown.is_later) = (row.is_closed(), false);
                }
                None => {
                    shown.is_later = table.at_ns < shown.seen_ns && !shown.ended;
                    shown.ended = !shown.is_later;
                }
            }
        }
        self.arrange();
    }

    /// The time that is shown.
    #[must_use]
    pub fn view_ns(&self, now_ns: u64) -> u64 {
        self.frozen_ns.unwrap_or(now_ns)
    }

    /// Forgets what was read of a recording, which is read again from its start.
    pub fn rewind(&mut self) {
        self.past = Past::default();
        self.scrolled = 0;
        if let Some(shown) = &mut self.shown {
            *shown.history.borrow_mut() = History::default();
        }
    }

    /// Filters and sorts.
    fn arrange(&mut self) {
        let matching = self.all.iter().filter(|row| self.filter.matches(row, &self.environment));
        let mut rows: Vec<Row> = matching.cloned().collect();
        self.sort.sort(&mut rows, self.reverse);
        self.rows = rows;
        self.scroll();
    }

    /// The place of the chosen row.
    #[must_use]
    pub fn place(&self) -> Option<usize> {
        let chosen = self.chosen?;
        self.rows.iter().position(|row| row.id == chosen)
    }

    /// Chooses the row that far from the chosen one.
    fn step(&mut self, by: isize) {
        let last = self.rows.len().saturating_sub(1);
        let place = match self.place() {
            Some(place) => place.saturating_add_signed(by).min(last),
            None if by < 0 => last,
            None => 0,
        };
        self.chosen = self.rows.get(place).map(|row| row.id);
        self.scroll();
    }

    /// Keeps the chosen row on the screen.
    pub fn scroll(&mut self) {
        let room = self.room.max(1);
        if let Some(place) = self.place() {
            self.top = self.top.clamp((place + 1).saturating_sub(room), place);
        }
        self.top = self.top.min(self.rows.len().saturating_sub(room));
    }
}
