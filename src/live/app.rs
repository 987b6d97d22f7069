//! The model: what is shown, and what keys do to it.

use std::cell::RefCell;
use std::rc::Rc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::collect::Shared;
use super::draw::table::columns;
use super::filter::Filter;
use super::history::{History, LONGEST_S};
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
}

/// The connection on the screen.
pub struct Shown {
    pub row: Row,
    /// It is not in the table any more.
    pub ended: bool,
    pub history: Shared,
    /// When it was opened.
    pub since_ns: u64,
}

pub struct App {
    pub environment: Environment,
    pub filter: Filter,
    /// Connections of the last interval.
    all: Vec<Row>,
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
}

impl App {
    #[must_use]
    pub fn new(environment: Environment, filter: Filter, sort: Sort) -> Self {
        App {
            environment,
            filter,
            all: Vec::new(),
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

    /// The connections of a new interval.
    pub fn update(&mut self, rows: Vec<Row>, interval_ns: u64) {
        if let Some(shown) = &mut self.shown {
            match rows.iter().find(|row| row.id == shown.row.id) {
                Some(row) => {
                    shown.row = row.clone();
                    shown.ended |= row.is_closed();
                }
                None => shown.ended = true,
            }
        }
        if self.frozen_ns.is_none() {
            (self.all, self.interval_ns) = (rows, interval_ns);
            self.arrange();
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

    /// Handles a key.
    pub fn key(&mut self, key: KeyEvent, now_ns: u64) -> Action {
        if key.kind == KeyEventKind::Release {
            return Action::Nothing;
        }
        self.message = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Action::Quit,
                KeyCode::Char('z') => return Action::Suspend,
                KeyCode::Char('l') => return Action::Redraw,
                KeyCode::Char('u') if self.filter.is_open => self.filter.clear(&self.environment),
                _ => return Action::Nothing,
            }
            self.arrange();
            return Action::Nothing;
        }
        if self.help {
            self.help = false;
            return if key.code == KeyCode::Char('q') { Action::Quit } else { Action::Nothing };
        }
        match (key.code, self.filter.is_open, self.shown.is_some()) {
            (code, true, _) => self.edit(code),
            (KeyCode::Char('q'), ..) => return Action::Quit,
            (KeyCode::Char('?' | 'h') | KeyCode::F(1), ..) => self.help = true,
            (KeyCode::Char('f' | ' '), ..) => {
                self.frozen_ns = if self.frozen_ns.is_none() { Some(now_ns) } else { None };
            }
            (code, _, true) => return self.key_of_connection(code, now_ns),
            (code, _, false) => return self.key_of_table(code, now_ns),
        }
        Action::Nothing
    }

    /// A key while the expression is typed.
    fn edit(&mut self, code: KeyCode) {
        let filter = &mut self.filter;
        match code {
            KeyCode::Enter if filter.mistake.is_none() => filter.close(),
            KeyCode::Esc => filter.close(),
            KeyCode::Left => filter.left(),
            KeyCode::Right => filter.right(),
            KeyCode::Home => filter.cursor = 0,
            KeyCode::End => filter.cursor = filter.text.len(),
            KeyCode::Backspace | KeyCode::Delete | KeyCode::Char(_) => {
                match code {
                    KeyCode::Char(c) => filter.insert(c),
                    KeyCode::Backspace => filter.backspace(),
                    _ => filter.delete(),
                }
                filter.apply(&self.environment);
                self.arrange();
            }
            _ => {}
        }
    }

    fn key_of_table(&mut self, code: KeyCode, now_ns: u64) -> Action {
        let page = self.room.saturating_sub(1).max(1).cast_signed();
        match code {
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown => self.step(page),
            KeyCode::PageUp => self.step(-page),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX),
            KeyCode::Left => self.sort_by(-1),
            KeyCode::Right => self.sort_by(1),
            KeyCode::Char('r') => {
                self.reverse = !self.reverse;
                self.arrange();
            }
            KeyCode::Char('/') => {
                self.filter.is_open = true;
                self.filter.cursor = self.filter.text.len();
            }
            KeyCode::Enter => return self.open(self.place().unwrap_or(0), now_ns),
            KeyCode::Esc => {
                self.filter.clear(&self.environment);
                self.chosen = None;
                self.arrange();
            }
            _ => {}
        }
        Action::Nothing
    }

    fn key_of_connection(&mut self, code: KeyCode, now_ns: u64) -> Action {
        match code {
            KeyCode::Esc | KeyCode::Backspace => {
                self.shown = None;
                self.frozen_ns = None;
                return Action::Follow;
            }
            KeyCode::Char('+' | '=') => self.span = self.span.saturating_sub(1),
            KeyCode::Char('-') => self.span = (self.span + 1).min(SPANS.len() - 1),
            KeyCode::Char('w') => return Action::Write,
            KeyCode::Char('0') => self.span = DEFAULT_SPAN,
            KeyCode::Up | KeyCode::Char('k') => self.scroll_events(1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll_events(-1),
            KeyCode::PageUp => self.scroll_events(10),
            KeyCode::PageDown => self.scroll_events(-10),
            KeyCode::Home => self.scroll_events(isize::MAX),
            KeyCode::End => self.scrolled = 0,
            KeyCode::Char(side @ ('[' | ']')) => {
                let place = self.place();
                let next = match (place, side) {
                    (Some(place), ']') => Some(place + 1),
                    (Some(place), _) => place.checked_sub(1),
                    (None, _) => Some(0),
                };
                if let Some(next) = next.filter(|next| *next < self.rows.len()) {
                    return self.open(next, now_ns);
                }
            }
            _ => {}
        }
        Action::Nothing
    }

    fn scroll_events(&mut self, by: isize) {
        let events = self.shown.as_ref().map_or(0, |shown| shown.history.borrow().events.len());
        let last = events.saturating_sub(1);
        self.scrolled = self.scrolled.saturating_add_signed(by).min(last);
    }

    /// Shows the connection in that place.
    fn open(&mut self, place: usize, now_ns: u64) -> Action {
        let Some(row) = self.rows.get(place).cloned() else { return Action::Nothing };
        self.chosen = Some(row.id);
        if row.cookie() == 0 {
            self.message =
                Some("this connection has no socket cookie yet, so it cannot be followed".into());
            return Action::Nothing;
        }
        let history: Shared = Rc::new(RefCell::new(History::default()));
        let ended = row.is_closed();
        self.shown = Some(Shown { row, ended, history, since_ns: now_ns });
        (self.scrolled, self.lost, self.frozen_ns) = (0, 0, None);
        Action::Follow
    }

    /// Sorts by a column beside the present one, of those on the screen.
    fn sort_by(&mut self, by: isize) {
        let columns: Vec<_> = columns(self.width).into_iter().map(|(column, _)| column).collect();
        let place = columns.iter().position(|column| Sort::By(*column) == self.sort);
        let last = columns.len().saturating_sub(1);
        let place = match place {
            Some(place) => place.saturating_add_signed(by).min(last),
            None if by < 0 => last,
            None => 0,
        };
        if let Some(column) = columns.get(place) {
            self.sort = Sort::By(*column);
            self.reverse = false;
            self.arrange();
        }
    }
}
