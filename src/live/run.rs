//! The loop: keys, intervals, records and frames.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::Options;
use super::app::{Action, App};
use super::draw::{self, Theme};
use super::filter::{self, Filter};
use super::follow::{Connection, Table, lost};
use super::jobs::Jobs;
use super::keys::Keys;
use super::limits::LimitsOf;
use super::programs::{Programs, Request};
use super::terminal::{self, Screen};
use super::write;
use crate::environment::Environment;
use crate::escape;
use crate::kernel::{Kernel, Rights};
use crate::loader::live::possible_cpus;
use crate::loader::plan::OWNER_SCAN;
use crate::loader::{self, CoreTypes};
use crate::pipeline::clock::{self, mono_ns};
use crate::pipeline::source::Source;
use crate::privilege;
use crate::session::event_loop::{EventLoop, Interest};
use crate::session::priority;
use crate::session::scan::{OWNER_TICK, SCAN_SHARE};
use crate::session::signals::Signals;
use crate::sink::Stage;
use crate::stdio;

/// How often the screen is drawn: it also has to follow the size of the terminal.
const FRAME: Duration = Duration::from_millis(100);
/// Frames between two of the table without a key or an interval.
const IDLE_FRAMES: u32 = 3;

/// What the loop waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Signal,
    Job,
    /// Records of the table, and of the connection on the screen.
    Table,
    Connection,
    Keys,
    Interval,
    OwnerScan,
    Frame,
}

/// Shows connections until the end; returns the exit status.
pub fn run(options: &Options) -> Result<u8> {
    terminal::check()?;
    let signals = Signals::start()?;
    loader::set_log(false);
    let kernel = Kernel::new(options.kernel_options.btf.as_deref());
    let core_types = CoreTypes::new(&kernel);
    let table = Request::of_table(options, &kernel, &core_types);
    // A mistake in the expression comes before missing rights.
    let mut types = kernel.types();
    if !options.limits {
        filter::without_limits(&mut types);
    }
    let types = Environment { types, ..Environment::default() };
    let filter = Filter::new(options.predicate.as_deref().unwrap_or_default(), &types)?;
    let namespace =
        privilege::in_user_namespace().map(|why| format!("; {why}")).unwrap_or_default();
    Rights::current().check().map_err(|why| anyhow!("{why}{namespace}"))?;
    possible_cpus().map_err(|why| anyhow!(why))?;
    kernel.btf().map_err(|why| anyhow!(why))?;
    priority::check(options.kernel_options.nice)?;
    let table = table?;
    let connection = Request::of_connection(options, &kernel, &core_types)?;
    let limits = options.limits.then(|| Request::of_limits(options, &kernel, &core_types));
    let limits = limits.transpose()?;
    drop(kernel);
    let (mut of_table, mut of_connection) = (table.storage(), connection.storage());
    let table = table.load(&mut of_table, &core_types)?;
    let connection = connection.load(&mut of_connection, &core_types)?;
    let mut of_limits = limits.as_ref().map(Request::storage).unwrap_or_default();
    let limits = limits.as_ref().map(|limits| limits.load(&mut of_limits, &core_types));
    let limits = limits.transpose()?;
    // That it can be attached is known now; it is when a connection is opened.
    connection.detach();
    let _ = clock::set_by(|| table.loaded.kernel_ns());
    let scans = table.request.plan.scan_owners && table.loaded.scan(OWNER_SCAN).is_ok();
    priority::set(options.kernel_options.nice)?;
    let mut app = App::new(types, filter, options.sort);
    app.has_limits = options.limits;
    let accounts = limits.as_ref().map(LimitsOf::new).transpose()?;
    let mut live = Live {
        options,
        signals,
        jobs: Jobs::new()?,
        app,
        table: Table::new(&table)?,
        connection: Connection::new(&connection)?,
        limits: accounts.zip(limits.as_ref()),
        of_table: &table,
        of_connection: &connection,
        theme: Theme { colours: terminal::has_colours() },
        served: table.loaded.owner_scan_requests(),
        lost: 0,
        idle_frames: 0,
    };
    let screen = Screen::enter()?;
    let ended = live.run(screen, scans);
    live.finish()?;
    ended.map(|()| 0)
}

struct Live<'l> {
    options: &'l Options,
    signals: &'static Signals,
    jobs: Jobs,
    app: App,
    table: Table<'l>,
    connection: Connection<'l>,
    limits: Option<(LimitsOf<'l>, &'l Programs<'l, 'l>)>,
    of_table: &'l Programs<'l, 'l>,
    of_connection: &'l Programs<'l, 'l>,
    theme: Theme,
    /// Owner scan requests that were served.
    served: u32,
    /// Events that were lost when the connection on the screen was opened.
    lost: u64,
    /// Frames since the table was drawn.
    idle_frames: u32,
}

impl Live<'_> {
    /// Runs to the end; the terminal is restored by then.
    fn run(&mut self, mut screen: Screen, scans: bool) -> Result<()> {
        let mut events = EventLoop::new()?;
        events.register(self.signals.file(), Interest::Readable, Token::Signal)?;
        events.register(self.jobs.file(), Interest::Readable, Token::Job)?;
        let keys = Keys::start()?;
        events.register(keys.file(), Interest::Readable, Token::Keys)?;
        for (fd, token) in [
            (self.table.side.source.fd(), Token::Table),
            (self.connection.side.source.fd(), Token::Connection),
        ] {
            if let Some(fd) = fd {
                events.register(fd, Interest::BecomesReadable, token)?;
            }
        }
        events.every(Token::Interval, self.options.interval);
        events.every(Token::Frame, FRAME);
        if scans {
            events.after(Token::OwnerScan, OWNER_TICK);
        }
        self.poll()?;
        if self.draw(&mut screen)?.is_break() {
            return Ok(());
        }
        let mut limit = Duration::ZERO;
        loop {
            let tokens = events.wait(limit)?;
            let (more, busy) = self.table.side.consume()?;
            let (more_too, busy_too) = self.connection.side.consume()?;
            if let Some((limits, _)) = &mut self.limits {
                limits.side.consume()?;
            }
            for &token in &tokens {
                if self.handle(token, &mut screen, &keys, &mut events)?.is_break() {
                    return Ok(());
                }
            }
            let woken = |token: Token| tokens.contains(&token);
            limit = match more || more_too {
                true => Duration::ZERO,
                false => {
                    let table = self.table.side.source.before_wait(busy, woken(Token::Table))?;
                    let source = &self.connection.side.source;
                    table.min(source.before_wait(busy_too, woken(Token::Connection))?)
                }
            };
        }
    }

    /// Breaks at the end.
    fn handle(
        &mut self,
        token: Token,
        screen: &mut Screen,
        keys: &Keys,
        events: &mut EventLoop<Token>,
    ) -> Result<ControlFlow<()>> {
        match token {
            Token::Table | Token::Connection => {}
            Token::Signal => {
                self.signals.drain();
                if self.signals.ended_by().is_some() || self.signals.forced_by().is_some() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Token::Job => {
                self.jobs.drain();
                if self.jobs.take_stop() {
                    self.suspend(screen)?;
                } else {
                    screen.take()?;
                }
                return self.draw(screen);
            }
            Token::Keys => return self.keys(keys, screen),
            Token::Interval => {
                self.poll()?;
                return self.draw(screen);
            }
            Token::OwnerScan => {
                let started = Instant::now();
                let requests = self.of_table.loaded.owner_scan_requests();
                let again = requests == std::mem::replace(&mut self.served, requests)
                    || self.of_table.loaded.scan(OWNER_SCAN).is_ok();
                let next = started + (started.elapsed() * SCAN_SHARE).max(OWNER_TICK);
                events.at(token, again.then_some(next));
            }
            Token::Frame => {
                // epoll does not report that a terminal hangs up, if nothing is to be read from it.
                if terminal::has_gone() {
                    return Ok(ControlFlow::Break(()));
                }
                self.idle_frames += 1;
                if self.app.shown.is_some() || self.idle_frames >= IDLE_FRAMES {
                    return self.draw(screen);
                }
                if screen.flush().is_err() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Handles the keys that were pressed.
    fn keys(&mut self, keys: &Keys, screen: &mut Screen) -> Result<ControlFlow<()>> {
        for key in keys.take() {
            match self.app.key(key, mono_ns()) {
                Action::Nothing => {}
                Action::Quit => return Ok(ControlFlow::Break(())),
                Action::Redraw => screen.redraw()?,
                Action::Suspend => self.suspend(screen)?,
                Action::Follow => self.follow()?,
                // Of a replay.
                Action::Seek(_) => {}
                Action::Write => self.write(),
            }
        }
        self.draw(screen)
    }

    /// Records the events of the connection on the screen.
    fn follow(&mut self) -> Result<()> {
        let shown = self.app.shown.as_ref();
        let wanted = shown.map(|shown| (shown.row.cookie(), Rc::clone(&shown.history)));
        self.connection.follow(self.of_connection, wanted)?;
        self.lost = self.lost_so_far()?;
        Ok(())
    }

    /// Writes the events of the connection on the screen, and says where they are.
    fn write(&mut self) {
        let Some(shown) = &self.app.shown else { return };
        let (cookie, history) = (shown.row.cookie(), shown.history.borrow());
        let written =
            write::write(cookie, &history, self.app.lost, &self.connection, self.of_connection);
        drop(history);
        self.app.message = Some(match written {
            Ok((path, events)) => format!("wrote {events} events to {}", escape::path(path)),
            Err(error) => escape::line(&format!("{error:#}")),
        });
    }

    fn lost_so_far(&mut self) -> Result<u64> {
        let side = &mut self.connection.side;
        Ok(lost(&side.accounting(Stage::Interim, self.of_connection)?))
    }

    fn poll(&mut self) -> Result<()> {
        let (mut rows, interval_ns) = self.table.poll(self.of_table)?;
        if let Some((limits, programs)) = &mut self.limits {
            let mut main = limits.poll(programs)?;
            rows.iter_mut().for_each(|row| row.limit = main.remove(&row.cookie()));
        }
        self.app.update(rows, interval_ns, mono_ns());
        if self.app.shown.is_some() {
            self.app.lost = self.lost_so_far()?.saturating_sub(self.lost);
        }
        Ok(())
    }

    /// Breaks if the terminal has gone away.
    fn draw(&mut self, screen: &mut Screen) -> Result<ControlFlow<()>> {
        self.idle_frames = 0;
        let (app, theme) = (&mut self.app, self.theme);
        let drawn = screen.draw(|frame| draw::draw(app, theme, mono_ns(), frame));
        Ok(if drawn.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    fn suspend(&mut self, screen: &mut Screen) -> Result<()> {
        screen.leave();
        Jobs::stop()?;
        screen.take()
    }

    /// Detaches the programs, and prints what they counted.
    fn finish(&mut self) -> Result<()> {
        self.connection.follow(self.of_connection, None)?;
        self.of_table.detach();
        self.limits.iter().for_each(|(_, programs)| programs.detach());
        self.table.side.drain()?;
        if self.options.quiet {
            return Ok(());
        }
        let table = self.table.side.accounting(Stage::End, self.of_table)?;
        let connection = self.connection.side.accounting(Stage::End, self.of_connection)?;
        for line in table.lines().iter().chain(&connection.lines()) {
            stdio::print_line(line);
        }
        Ok(())
    }
}
