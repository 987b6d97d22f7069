//! `live -r`: the same view of a recording, at any speed and place.

mod connections;
pub mod player;

use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;

use self::player::Player;
use super::Options;
use super::app::{Action, App, Playback};
use super::collect::Target;
use super::draw::{self, Theme};
use super::filter::Filter;
use super::jobs::Jobs;
use super::keys::Keys;
use super::terminal::{self, Screen};
use crate::config::{Config, TimeMode};
use crate::environment::Environment;
use crate::escape;
use crate::session::event_loop::{EventLoop, Interest};
use crate::session::signals::Signals;
use crate::sink::TimeFormat;
use crate::stdio;

/// How often the screen is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// The longest time that is read at once, between two looks at the keys.
const PATIENCE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Signal,
    Job,
    Keys,
    Frame,
}

/// Replays until the end; returns the exit status.
pub fn run(options: &Options) -> Result<u8> {
    terminal::check()?;
    let signals = Signals::start()?;
    let mut config = Config {
        filters: options.filters.clone(),
        read: options.read.clone(),
        ..Config::default()
    };
    config.output.time = TimeMode::Wall;
    let interval_ns = u64::try_from(options.interval.as_nanos()).unwrap_or(u64::MAX);
    let target = Target::default();
    let player = Player::open(config, interval_ns, Rc::clone(&target))?;
    let (start_ns, end_ns) = (player.start_ns, player.end_ns);
    let app = app(options, &player)?;
    let mut replay = Replay {
        signals,
        jobs: Jobs::new()?,
        app,
        // With the first table.
        position_ns: start_ns.saturating_add(interval_ns).min(end_ns),
        player,
        target,
        theme: Theme { colours: terminal::has_colours() },
        files: options.read.files.iter().map(escape::path).collect(),
        time: TimeFormat::default(),
        moved: Instant::now(),
    };
    replay.run(Screen::enter()?)?;
    let (lines, is_damaged) = replay.player.findings(options.quiet);
    lines.iter().for_each(|line| stdio::print_line(line));
    Ok(u8::from(is_damaged))
}

/// The view of that recording.
pub fn app(options: &Options, player: &Player) -> Result<App> {
    let environment = Environment { types: player.types(), ..Environment::default() };
    let filter = Filter::new(options.predicate.as_deref().unwrap_or_default(), &environment)?;
    let mut app = App::new(environment, filter, options.sort);
    app.has_limits = player.has_limits();
    app.playback = Some(Playback {
        start_ns: player.start_ns,
        end_ns: player.end_ns,
        speed: options.speed,
        is_reading: true,
        wall: String::new(),
        extract: String::new(),
    });
    Ok(app)
}

struct Replay {
    signals: &'static Signals,
    jobs: Jobs,
    app: App,
    player: Player,
    target: Target,
    theme: Theme,
    files: Vec<String>,
    time: TimeFormat,
    /// The time that is shown.
    position_ns: u64,
    /// When it moved last.
    moved: Instant,
}

impl Replay {
    /// Runs to the end; the terminal is restored by then.
    fn run(&mut self, mut screen: Screen) -> Result<()> {
        let mut events = EventLoop::new()?;
        events.register(self.signals.file(), Interest::Readable, Token::Signal)?;
        events.register(self.jobs.file(), Interest::Readable, Token::Job)?;
        let keys = Keys::start()?;
        events.register(keys.file(), Interest::Readable, Token::Keys)?;
        events.every(Token::Frame, FRAME);
        self.read()?;
        if self.draw(&mut screen)?.is_break() {
            return Ok(());
        }
        loop {
            let limit = if self.is_reading() { Duration::ZERO } else { FRAME };
            let mut is_due = false;
            for token in events.wait(limit)? {
                is_due = true;
                match token {
                    Token::Signal => {
                        self.signals.drain();
                        if self.signals.ended_by().is_some() || self.signals.forced_by().is_some() {
                            return Ok(());
                        }
                    }
                    Token::Job => {
                        self.jobs.drain();
                        if self.jobs.take_stop() {
                            self.suspend(&mut screen)?;
                        } else {
                            screen.take()?;
                        }
                    }
                    Token::Keys => {
                        if self.keys(&keys, &mut screen)?.is_break() {
                            return Ok(());
                        }
                    }
                    // epoll does not report that a terminal hangs up, if nothing is to be read from it.
                    Token::Frame if terminal::has_gone() => return Ok(()),
                    Token::Frame => {}
                }
            }
            self.advance();
            self.read()?;
            if is_due && self.draw(&mut screen)?.is_break() {
                return Ok(());
            }
        }
    }

    fn is_reading(&self) -> bool {
        self.app.playback.as_ref().is_some_and(|playback| playback.is_reading)
    }

    /// Moves on at the speed that was chosen, unless it is paused or still being read.
    fn advance(&mut self) {
        let passed = self.moved.elapsed();
        self.moved = Instant::now();
        let is_reading = self.is_reading();
        let Some(playback) = &self.app.playback else { return };
        if let Some(frozen_ns) = self.app.frozen_ns {
            self.position_ns = frozen_ns;
        } else if !is_reading {
            let ns = passed.as_nanos() as f64 * playback.speed;
            self.position_ns = self.position_ns.saturating_add(ns as u64);
            if self.position_ns >= playback.end_ns {
                self.position_ns = playback.end_ns;
                self.app.frozen_ns = Some(playback.end_ns);
            }
        }
    }

    /// Reads up to the time that is shown, as far as there is time for it.
    fn read(&mut self) -> Result<()> {
        // What is earlier than all that is kept is read again.
        let is_cut = self.app.past.cut_ns().is_some_and(|cut_ns| self.position_ns < cut_ns);
        if is_cut && self.position_ns < self.player.read_ns {
            self.player.rewind(&mut self.app)?;
        }
        let deadline = Instant::now() + PATIENCE;
        let there = match self.position_ns > self.player.read_ns || self.is_reading() {
            true => self.player.read_until(self.position_ns, &mut self.app, deadline)?,
            false => true,
        };
        self.app.look_at(self.position_ns);
        let wall = self.player.wall_ns(self.position_ns);
        let mut text = Vec::new();
        text.extend_from_slice(self.time.second(wall));
        text.push(b'Z');
        self.app.lost = self.player.lost_until(self.position_ns);
        if let Some(playback) = &mut self.app.playback {
            playback.is_reading = !there;
            playback.wall = String::from_utf8_lossy(&text).replace('T', " ");
        }
        Ok(())
    }

    /// Handles the keys that were pressed.
    fn keys(&mut self, keys: &Keys, screen: &mut Screen) -> Result<ControlFlow<()>> {
        for key in keys.take() {
            match self.app.key(key, self.position_ns) {
                Action::Nothing | Action::Write => {}
                Action::Quit => return Ok(ControlFlow::Break(())),
                Action::Redraw => screen.redraw()?,
                Action::Suspend => self.suspend(screen)?,
                Action::Follow => self.follow()?,
                Action::Seek(ns) => self.position_ns = ns,
            }
            // The next key is of the time that this one chose.
            self.position_ns = self.app.view_ns(self.position_ns);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Collects the events of the connection on the screen, from the start.
    fn follow(&mut self) -> Result<()> {
        let shown = self.app.shown.as_ref();
        let wanted = shown.map(|shown| (shown.row.cookie(), Rc::clone(&shown.history)));
        let cookie = wanted.as_ref().map(|(cookie, _)| *cookie);
        self.target.replace(wanted);
        let (Some(cookie), Some(playback)) = (cookie, &mut self.app.playback) else {
            return Ok(());
        };
        playback.extract = format!(
            "tcc-trace convert {} --cookie {cookie:#x} --to tcc -w NEW.tcc has it alone",
            self.files.join(" ")
        );
        playback.is_reading = true;
        self.player.rewind(&mut self.app)
    }

    /// Breaks if the terminal has gone away.
    fn draw(&mut self, screen: &mut Screen) -> Result<ControlFlow<()>> {
        let (app, theme, now_ns) = (&mut self.app, self.theme, self.position_ns);
        let drawn = screen.draw(|frame| draw::draw(app, theme, now_ns, frame));
        Ok(if drawn.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    fn suspend(&mut self, screen: &mut Screen) -> Result<()> {
        screen.leave();
        Jobs::stop()?;
        screen.take()
    }
}
