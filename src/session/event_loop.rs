//! Waits for file descriptors and deadlines, each registered with a token.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

/// What to wait for on a file descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// It is readable.
    Readable,
    /// It becomes readable: what was there before does not end a wait.
    BecomesReadable,
    /// The other end was closed.
    HangUp,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Interest::Readable => EventFlags::IN,
            Interest::BecomesReadable => EventFlags::IN | EventFlags::ET,
            // EPOLLERR and EPOLLHUP are always reported.
            Interest::HangUp => EventFlags::empty(),
        }
    }
}

struct Deadline<T> {
    token: T,
    due: Instant,
    /// It repeats.
    every: Option<Duration>,
}

/// File descriptors and deadlines. What is ready at the same time is handled in the order of the tokens.
pub struct EventLoop<T> {
    epoll: OwnedFd,
    /// The token of each descriptor; its index is epoll's data.
    files: Vec<T>,
    deadlines: Vec<Deadline<T>>,
}

impl<T: Copy + Ord> EventLoop<T> {
    pub fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?;
        Ok(EventLoop { epoll, files: Vec::new(), deadlines: Vec::new() })
    }

    /// Waits for that descriptor too. It must be unregistered before it is closed if a copy of it stays open.
    pub fn register(&mut self, fd: impl AsFd, interest: Interest, token: T) -> Result<()> {
        let data = EventData::new_u64(self.files.len() as u64);
        epoll::add(&self.epoll, fd, data, interest.flags()).context("epoll")?;
        self.files.push(token);
        Ok(())
    }

    /// Stops waiting for that descriptor.
    pub fn unregister(&mut self, fd: BorrowedFd<'_>) -> Result<()> {
        epoll::delete(&self.epoll, fd).context("epoll")
    }

    /// Sets the token's deadline; `None` removes it.
    pub fn at(&mut self, token: T, due: Option<Instant>) {
        self.set(token, due, None);
    }

    /// Sets the token's deadline that far from now. A time beyond the clock's range never comes.
    pub fn after(&mut self, token: T, delay: Duration) {
        self.set(token, Instant::now().checked_add(delay), None);
    }

    /// Repeats the token's deadline at a steady pace. Missed ones are not made up for.
    pub fn every(&mut self, token: T, interval: Duration) {
        self.set(token, Instant::now().checked_add(interval), Some(interval));
    }

    fn set(&mut self, token: T, due: Option<Instant>, every: Option<Duration>) {
        self.deadlines.retain(|deadline| deadline.token != token);
        self.deadlines.extend(due.map(|due| Deadline { token, due, every }));
    }

    /// Waits at most that long; returns what is ready and what is due, in the order of the tokens.
    pub fn wait(&mut self, limit: Duration) -> Result<Vec<T>> {
        let now = Instant::now();
        let next = self.deadlines.iter().map(|deadline| deadline.due).min();
        let limit = next.map_or(limit, |due| limit.min(due.saturating_duration_since(now)));
        let timeout = rustix::event::Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        let none = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut events = [none; 8];
        // Only Linux 5.11 and newer take nanoseconds here; rustix falls back to milliseconds.
        let count = match epoll::wait(&self.epoll, &mut events[..], Some(&timeout)) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error).context("epoll"),
        };
        let index = |event: &epoll::Event| usize::try_from(event.data.u64()).ok();
        let ready = events.iter().take(count).filter_map(index);
        let mut tokens: Vec<T> = ready.filter_map(|index| self.files.get(index).copied()).collect();
        self.take_due(Instant::now(), &mut tokens);
        tokens.sort_unstable();
        tokens.dedup();
        Ok(tokens)
    }

    fn take_due(&mut self, now: Instant, tokens: &mut Vec<T>) {
        self.deadlines.retain_mut(|deadline| {
            if deadline.due > now {
                return true;
            }
            tokens.push(deadline.token);
            let Some(every) = deadline.every else {
                return false;
            };
            let next = deadline.due.checked_add(every).filter(|&next| next > now);
            let next = next.or_else(|| now.checked_add(every));
            next.inspect(|&next| deadline.due = next).is_some()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Token {
        First,
        Second,
        Third,
    }

    fn event_loop() -> EventLoop<Token> {
        EventLoop::new().unwrap()
    }

    #[test]
    fn a_descriptor_ends_a_wait_for_as_long_as_it_is_readable() {
        let mut events = event_loop();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let (edge_reader, mut edge_writer) = std::io::pipe().unwrap();
        events.register(&reader, Interest::Readable, Token::Second).unwrap();
        events.register(&edge_reader, Interest::BecomesReadable, Token::First).unwrap();
        assert_eq!(events.wait(Duration::ZERO).unwrap(), []);
        writer.write_all(b"x").unwrap();
        edge_writer.write_all(b"x").unwrap();
        assert_eq!(events.wait(LONG).unwrap(), [Token::First, Token::Second]);
        assert_eq!(events.wait(LONG).unwrap(), [Token::Second]);
        events.unregister(reader.as_fd()).unwrap();
        assert_eq!(events.wait(Duration::ZERO).unwrap(), []);
    }

    #[test]
    fn a_reader_that_goes_away_is_noticed() {
        let mut events = event_loop();
        let (reader, writer) = std::io::pipe().unwrap();
        events.register(&writer, Interest::HangUp, Token::Third).unwrap();
        assert_eq!(events.wait(Duration::ZERO).unwrap(), []);
        drop(reader);
        assert_eq!(events.wait(LONG).unwrap(), [Token::Third]);
    }

    #[test]
    fn a_deadline_ends_a_wait_once() {
        let mut events = event_loop();
        events.after(Token::Second, Duration::from_millis(5));
        events.after(Token::First, Duration::from_millis(1));
        events.at(Token::Third, Some(Instant::now()));
        events.at(Token::Third, None);
        let mut due = Vec::new();
        while due.len() < 2 {
            due.extend(events.wait(LONG).unwrap());
        }
        assert_eq!(due, [Token::First, Token::Second]);
        assert_eq!(events.wait(Duration::from_millis(10)).unwrap(), []);
        events.after(Token::First, Duration::MAX);
        assert_eq!(events.wait(Duration::ZERO).unwrap(), [], "it never comes");
    }

    #[test]
    fn a_repeated_deadline_keeps_its_pace_and_skips_what_it_missed() {
        let mut events = event_loop();
        let second = Duration::from_secs(1);
        events.every(Token::First, second);
        let start = events.deadlines[0].due;
        for (now, tokens, next) in [
            (start - second / 2, 0, start),
            (start + second / 4, 1, start + second),
            (start + second, 1, start + 2 * second),
            (start + 5 * second, 1, start + 6 * second),
        ] {
            let mut due = Vec::new();
            events.take_due(now, &mut due);
            assert_eq!((due.len(), events.deadlines[0].due), (tokens, next));
        }
    }
}
