//! Where the time of a connection went: intervals between its events, each with its cause. They add up to the time observed, to the
//! nanosecond.

use super::rules::{CAUSES, LimitCause, Memory, Sock, tick};

/// The kernel's count of time with data in flight or waiting. Idle time is what it does not count, where no event ends it.
#[derive(Clone, Copy, Debug)]
pub struct BusyTime {
    /// It may wrap.
    pub ticks: u32,
    pub tick_ns: u32,
    /// Intervals are shorter than its steps: so much is carried from one to the next.
    pub carry_ns: u32,
}

/// What ends an interval.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending {
    /// The retransmission timer, or a tail loss probe.
    pub rto: bool,
    pub busy: Option<BusyTime>,
    /// Until then it has been reported, as of that cause, which it keeps.
    pub cut: Option<(u64, LimitCause)>,
}

/// Numbers that explain the causes. Times are in ticks of 4096 ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    pub longest_rto: u32,
    pub longest_zero_window: u32,
    pub zero_windows: u32,
    pub idles: u32,
    /// Waits for the application.
    pub writes: u32,
    /// The window that limited last.
    pub rwnd: u32,
    /// Bytes in flight when the send buffer limited last.
    pub sndbuf: u32,
    /// Memory of packets on this host when a local queue limited last.
    pub queued: u32,
}

/// A connection's account.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub ns: [u64; CAUSES],
    /// Bytes acknowledged in intervals of that cause.
    pub acked: [u64; CAUSES],
    pub begin_ns: u64,
    /// End of the last interval.
    pub t0_ns: u64,
    /// The cause of the last interval.
    pub last: Option<LimitCause>,
    /// In states in which no event shows the socket: the cause after the last event.
    pub held: Option<LimitCause>,
    pub memory: Memory,
    pub evidence: Evidence,
    snd_una: u32,
    run_tick: u32,
    busy: u32,
    idle_ns: i128,
}

impl Account {
    /// Begins with that state of the socket.
    #[must_use]
    pub fn begin(sock: &Sock) -> Self {
        let (begin_ns, t0_ns) = (sock.now_ns, sock.now_ns);
        Account { begin_ns, t0_ns, snd_una: sock.snd_una, ..Account::default() }
    }

    /// An event ends the interval since the last one; its cause. Time that goes backwards adds nothing.
    pub fn advance(&mut self, sock: &Sock, ending: Ending) -> Option<LimitCause> {
        if sock.now_ns < self.t0_ns {
            return None;
        }
        if let Some((ns, cause)) = ending.cut
            && (self.t0_ns.saturating_add(1)..=sock.now_ns).contains(&ns)
        {
            self.turn(cause);
            self.ns[cause as usize] += ns - self.t0_ns;
            self.t0_ns = ns;
        }
        let cause = self.cause(sock, ending.rto);
        self.add(sock, cause, ending.busy);
        Some(cause)
    }

    /// The cause of the interval that ends with this state of the socket.
    pub fn cause(&mut self, sock: &Sock, rto: bool) -> LimitCause {
        match self.held {
            Some(held) if !rto => held,
            _ => self.memory.classify(sock, self.t0_ns, rto),
        }
    }

    /// The interval until then has that cause.
    pub fn add(&mut self, sock: &Sock, cause: LimitCause, busy: Option<BusyTime>) {
        let ns = sock.now_ns.saturating_sub(self.t0_ns);
        let idle = busy.map_or(0, |busy| self.idle(busy, ns, cause == LimitCause::Idle));
        self.ns[LimitCause::Idle as usize] += idle;
        self.ns[cause as usize] += ns - idle;
        self.turn(cause);
        self.explain(sock, cause);
        if (LimitCause::Sndbuf..=LimitCause::Path).contains(&cause) {
            self.acked[cause as usize] += u64::from(sock.snd_una.wrapping_sub(self.snd_una));
        }
        self.snd_una = sock.snd_una;
        self.t0_ns = sock.now_ns.max(self.t0_ns);
    }

    /// The part of an interval that the kernel does not count as busy.
    fn idle(&mut self, busy: BusyTime, ns: u64, is_idle: bool) -> u64 {
        let added = i128::from(busy.ticks.wrapping_sub(self.busy).cast_signed());
        let unexplained = self.idle_ns + i128::from(ns) - added * i128::from(busy.tick_ns);
        let idle = if is_idle { ns } else { unexplained.clamp(0, ns.into()) as u64 };
        let most = i128::from(busy.carry_ns);
        self.idle_ns = (unexplained - i128::from(idle)).clamp(-most, most);
        self.busy = busy.ticks;
        idle
    }

    /// An interval whose end does not show the kernel's count: the next count has it.
    pub fn defer_idle(&mut self, ns: u64) {
        self.idle_ns += i128::from(ns);
    }

    fn turn(&mut self, cause: LimitCause) {
        if self.last == Some(cause) {
            return;
        }
        self.run_tick = tick(self.t0_ns);
        self.last = Some(cause);
        match cause {
            LimitCause::Idle => self.evidence.idles += 1,
            LimitCause::Application => self.evidence.writes += 1,
            LimitCause::ZeroWindow => self.evidence.zero_windows += 1,
            _ => {}
        }
    }

    fn explain(&mut self, sock: &Sock, cause: LimitCause) {
        let ticks = tick(sock.now_ns).wrapping_sub(self.run_tick);
        let evidence = &mut self.evidence;
        match cause {
            LimitCause::Rwnd => evidence.rwnd = sock.snd_wnd,
            LimitCause::Sndbuf => evidence.sndbuf = sock.snd_nxt.wrapping_sub(sock.snd_una),
            LimitCause::LocalQueue => evidence.queued = sock.wmem_alloc.wrapping_sub(1),
            LimitCause::Rto => evidence.longest_rto = evidence.longest_rto.max(ticks),
            LimitCause::ZeroWindow => {
                evidence.longest_zero_window = evidence.longest_zero_window.max(ticks);
            }
            _ => {}
        }
    }
}
