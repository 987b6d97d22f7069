//! A connection in a recording: its account, and what explains it.

use std::rc::Rc;

use super::account::{Account, BusyTime};
use super::observed;
use super::rules::{CAUSES, LimitCause, Sock};
use super::twin::TwinOptions;
use crate::skel::LimitsSnapshot;

/// What is common to all connections.
pub(super) struct Context<'a> {
    pub(super) options: &'a TwinOptions,
    pub(super) resolved: &'a mut Vec<Cut>,
}

/// A connection at the end of an interval of the output, which lies between two of its events.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Of the interval.
    pub number: usize,
    /// As of the event before it.
    base: Rc<LimitsSnapshot>,
    idle_ns: u64,
    cause: LimitCause,
    cause_ns: u64,
}

impl Cut {
    /// The connection then.
    #[must_use]
    pub fn snapshot(&self) -> LimitsSnapshot {
        let mut snapshot = *self.base;
        let limits = &mut snapshot.limits;
        for (cause, ns) in [(LimitCause::Idle, self.idle_ns), (self.cause, self.cause_ns)] {
            if let Some(sum) = limits.ns.get_mut(cause as usize) {
                *sum += ns;
            }
        }
        limits.t0_ns += self.idle_ns + self.cause_ns;
        snapshot
    }
}

/// A time that has one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub from_ns: u64,
    pub to_ns: u64,
    pub cause: LimitCause,
}

/// A connection in a recording.
#[derive(Clone, Debug)]
pub struct Connection {
    pub account: Account,
    /// Only if they were requested; adjacent ones differ in their cause.
    pub segments: Vec<Segment>,
    /// What the rules lacked where they could not decide: columns, or other data.
    pub lacked: Vec<&'static str>,
    pub(super) sock: Sock,
    /// All that is known but the account.
    pub(super) last: LimitsSnapshot,
    /// Timeouts in a row, as the last record shows.
    pub(super) retransmits: u8,
    /// A timeout has been counted, and its retransmission has not come.
    pub(super) enters_loss: bool,
    ended: bool,
    /// Its end has been taken.
    taken: bool,
    /// Ends of intervals since the last event.
    cuts: Vec<(usize, u64)>,
    base: Option<Rc<LimitsSnapshot>>,
}

impl Connection {
    /// `number` tells it from all others.
    pub(super) fn begin(number: u64, sock: Sock, closing: bool) -> Self {
        let mut account = Account::begin(&sock);
        account.held = closing.then_some(LimitCause::Undecided);
        let last = LimitsSnapshot { sk: number, min_rtt_us: u32::MAX, ..Default::default() };
        let (segments, lacked) = (Vec::new(), Vec::new());
        Connection {
            account,
            segments,
            lacked,
            sock,
            last,
            retransmits: 0,
            enters_loss: false,
            ended: false,
            taken: false,
            cuts: Vec::new(),
            base: None,
        }
    }

    /// Both ends, the process, and what was last known of the connection. Its account is as of the last event. `closed`: this is its last.
    #[must_use]
    pub fn snapshot(&self, closed: bool) -> LimitsSnapshot {
        let (account, evidence) = (&self.account, &self.account.evidence);
        let mut snapshot = LimitsSnapshot { closed: closed.into(), ..self.last };
        let limits = &mut snapshot.limits;
        limits.ns = account.ns;
        let first = LimitCause::Sndbuf as usize;
        limits.acked.iter_mut().zip(&account.acked[first..]).for_each(|(to, from)| *to = *from);
        (limits.begin_ns, limits.t0_ns) = (account.begin_ns, account.t0_ns);
        (limits.floor_us, limits.floor_before_us) = account.memory.floors().unwrap_or_default();
        limits.longest_rto = evidence.longest_rto;
        limits.longest_zero_window = evidence.longest_zero_window;
        limits.zero_windows = evidence.zero_windows;
        limits.idles = evidence.idles;
        limits.writes = evidence.writes;
        limits.rwnd = evidence.rwnd;
        limits.sndbuf = evidence.sndbuf;
        limits.queued = evidence.queued;
        limits.ended = self.ended.into();
        snapshot
    }

    /// Nanoseconds of each cause, by its number.
    #[must_use]
    pub fn totals(&self) -> [u64; CAUSES] {
        self.account.ns
    }

    fn lack(&mut self, what: &[&'static str]) {
        for &what in what {
            if !self.lacked.contains(&what) {
                self.lacked.push(what);
            }
        }
    }

    /// An event with that state of the socket.
    pub(super) fn advance(
        &mut self,
        context: &mut Context<'_>,
        sock: Sock,
        rto: bool,
        busy: Option<BusyTime>,
    ) {
        self.sock = sock;
        if sock.now_ns < self.account.t0_ns {
            return;
        }
        let cause = self.account.cause(&sock, rto);
        let cause = self.decidable(context.options, cause);
        self.add(context, &sock, cause, busy);
    }

    /// `undecided` if the rule needs what the records do not have.
    fn decidable(&mut self, options: &TwinOptions, cause: LimitCause) -> LimitCause {
        use LimitCause::{Handshake, Idle, Rto};
        let basic = |name: &&str| observed::COLUMNS[..observed::BASIC].contains(name);
        let decided = match cause {
            Handshake => true,
            Idle | Rto => !options.missing.iter().any(basic),
            _ => options.missing.is_empty(),
        };
        if decided {
            return cause;
        }
        self.lack(&options.missing);
        LimitCause::Undecided
    }

    fn add(
        &mut self,
        context: &mut Context<'_>,
        sock: &Sock,
        cause: LimitCause,
        busy: Option<BusyTime>,
    ) {
        let options = context.options;
        if !self.cuts.is_empty() {
            self.base = Some(Rc::new(self.snapshot(false)));
        }
        let (from_ns, before) = (self.account.t0_ns, self.account.ns[LimitCause::Idle as usize]);
        if options.counts_busy() && busy.is_none() && cause != LimitCause::Idle {
            self.account.defer_idle(sock.now_ns.saturating_sub(from_ns));
        }
        self.account.add(sock, cause, busy.filter(|_| options.counts_busy()));
        // Idle time comes first: what ends it is data.
        let idle_ns = self.account.ns[LimitCause::Idle as usize] - before;
        let idle_end = if cause == LimitCause::Idle { from_ns } else { from_ns + idle_ns };
        if let Some(base) = self.base.take() {
            let cut = |(number, ns): (usize, u64)| Cut {
                number,
                idle_ns: idle_end.min(ns).saturating_sub(from_ns),
                cause,
                cause_ns: ns.saturating_sub(idle_end),
                base: base.clone(),
            };
            context.resolved.extend(self.cuts.drain(..).map(cut));
        }
        if options.segments {
            self.segment(from_ns, idle_end, LimitCause::Idle);
            self.segment(idle_end, self.account.t0_ns, cause);
        }
    }

    /// An interval of the output ends.
    pub(super) fn cut(&mut self, number: usize, now_ns: u64) {
        self.cuts.push((number, now_ns));
    }

    /// The recording ends.
    pub(super) fn finish(&mut self, context: &mut Context<'_>, now_ns: u64) {
        let sock = Sock { now_ns: now_ns.max(self.account.t0_ns), ..self.sock };
        if sock.now_ns > self.account.t0_ns {
            self.lack(&["later events"]);
        }
        self.add(context, &sock, LimitCause::Undecided, None);
    }

    /// Nothing is left to send.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Its last snapshot, once.
    pub(super) fn take_end(&mut self) -> Option<LimitsSnapshot> {
        let first = self.ended && !std::mem::replace(&mut self.taken, self.ended);
        first.then(|| self.snapshot(true))
    }

    /// True after its end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended
    }

    fn segment(&mut self, from_ns: u64, to_ns: u64, cause: LimitCause) {
        match self.segments.last_mut() {
            _ if from_ns >= to_ns => {}
            Some(last) if last.cause == cause => last.to_ns = to_ns,
            _ => self.segments.push(Segment { from_ns, to_ns, cause }),
        }
    }

    /// From here on tcp_probe is silent. Where nothing is unsent, what was the case is.
    pub(super) fn hold(&mut self) {
        if self.account.held.is_some() {
            return;
        }
        let sent = self.sock.write_seq == self.sock.snd_nxt;
        if !sent {
            self.lack(&["`queue` events"]);
        }
        let last = self.account.last.filter(|_| sent);
        self.account.held = Some(last.unwrap_or(LimitCause::Undecided));
    }
}
