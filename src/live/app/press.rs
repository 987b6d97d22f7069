//! What keys do.

use std::cell::RefCell;
use std::rc::Rc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{Action, App, DEFAULT_SPAN, SPANS, Shown};
use crate::live::collect::Shared;
use crate::live::draw::table::columns;
use crate::live::history::History;
use crate::live::rows::Sort;

/// Speeds of a replay.
pub const SPEEDS: std::ops::RangeInclusive<f64> = 0.01..=1000.0;
/// Steps in time on the axis of a connection.
const STEPS: u64 = 60;

impl App {
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
            (KeyCode::Char('f' | ' '), ..) => return self.freeze(now_ns),
            (KeyCode::Char(','), ..) => self.step_time(false, now_ns),
            (KeyCode::Char('.'), ..) => self.step_time(true, now_ns),
            (KeyCode::Char(key), ..) if self.playback.is_some() && Self::is_of_replay(key) => {
                return self.key_of_replay(key);
            }
            (code, _, true) => return self.key_of_connection(code, now_ns),
            (code, _, false) => return self.key_of_table(code, now_ns),
        }
        Action::Nothing
    }

    /// Holds the screen, or lets it go on.
    fn freeze(&mut self, now_ns: u64) -> Action {
        let Some(frozen_ns) = self.frozen_ns.take() else {
            self.frozen_ns = Some(now_ns);
            return Action::Nothing;
        };
        match &self.playback {
            None => self.look_at(u64::MAX),
            // At the end, it begins again.
            Some(playback) if frozen_ns >= playback.end_ns => {
                return Action::Seek(playback.start_ns);
            }
            Some(_) => {}
        }
        Action::Nothing
    }

    /// Holds the screen, and shows an earlier or a later time.
    fn step_time(&mut self, forward: bool, now_ns: u64) {
        let at_ns = self.view_ns(now_ns);
        let step_ns = match self.shown {
            Some(_) => self.span_s() * 1_000_000_000 / STEPS,
            None => self.interval_ns,
        };
        // Intervals of a live view differ a little.
        let is_of_tables = self.shown.is_none() && self.playback.is_none();
        let beside = self.past.beside(at_ns, forward).filter(|_| is_of_tables);
        let to_ns = beside.unwrap_or(match forward {
            true => at_ns.saturating_add(step_ns),
            false => at_ns.saturating_sub(step_ns),
        });
        let (first_ns, last_ns) = match (&self.playback, &self.shown) {
            (Some(playback), _) => (playback.start_ns, playback.end_ns),
            (None, Some(shown)) => {
                let first_ns = shown.history.borrow().first_ns;
                (first_ns.unwrap_or(shown.since_ns).min(shown.since_ns), now_ns)
            }
            (None, None) => (self.past.at(0).map_or(0, |table| table.at_ns), now_ns),
        };
        let to_ns = to_ns.clamp(first_ns.min(last_ns), last_ns);
        self.frozen_ns = Some(to_ns);
        self.look_at(to_ns);
    }

    /// `0` is not: it is of the time axis.
    fn is_of_replay(key: char) -> bool {
        matches!(key, '<' | '>' | '{' | '}' | '1'..='9')
    }

    fn key_of_replay(&mut self, key: char) -> Action {
        let Some(playback) = &mut self.playback else { return Action::Nothing };
        let length_ns = playback.end_ns.saturating_sub(playback.start_ns);
        let to_ns = match key {
            '<' | '>' => {
                let speed = playback.speed * if key == '<' { 0.5 } else { 2.0 };
                if SPEEDS.contains(&speed) {
                    playback.speed = speed;
                }
                return Action::Nothing;
            }
            '{' => playback.start_ns,
            '}' => playback.end_ns,
            tenth => {
                let tenths = u64::from(tenth.to_digit(10).unwrap_or_default());
                playback.start_ns + length_ns / 10 * tenths
            }
        };
        if self.frozen_ns.is_some() {
            self.frozen_ns = Some(to_ns);
        }
        Action::Seek(to_ns)
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
                if self.playback.is_none() && self.frozen_ns.take().is_some() {
                    self.look_at(u64::MAX);
                }
                return Action::Follow;
            }
            KeyCode::Char('+' | '=') => self.span = self.span.saturating_sub(1),
            KeyCode::Char('-') => self.span = (self.span + 1).min(SPANS.len() - 1),
            KeyCode::Char('w') => match &self.playback {
                Some(playback) => self.message = Some(playback.extract.clone()),
                None => return Action::Write,
            },
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
        let (ended, seen_ns) = (row.is_closed(), self.table_ns);
        self.shown =
            Some(Shown { row, seen_ns, ended, is_later: false, history, since_ns: now_ns });
        (self.scrolled, self.lost) = (0, 0);
        if self.playback.is_none() && self.frozen_ns.take().is_some() {
            self.look_at(u64::MAX);
        }
        Action::Follow
    }

    /// Sorts by a column beside the present one, of those on the screen.
    fn sort_by(&mut self, by: isize) {
        let columns: Vec<_> =
            columns(self.width, self.has_limits).into_iter().map(|(column, _)| column).collect();
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
