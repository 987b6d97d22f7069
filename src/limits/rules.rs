//! What a sender waits for, from the state of its socket: the rules of docs/limits.md, written again and as plainly as possible. Live, the
//! programs have them in C (src/bpf/limits_rules.h); a test gives both the same events.

use crate::events::names::LIMIT_CAUSES;

/// The members of the socket that the rules read; flags are 0 or 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sock {
    pub now_ns: u64,
    pub wstamp_ns: u64,
    pub pacing_rate: u64,
    pub max_pacing_rate: u64,
    pub packets_out: u32,
    pub sacked_out: u32,
    pub lost_out: u32,
    pub retrans_out: u32,
    pub write_seq: u32,
    pub snd_nxt: u32,
    pub snd_una: u32,
    pub snd_wnd: u32,
    pub max_window: u32,
    pub snd_cwnd: u32,
    pub snd_cwnd_clamp: u32,
    pub snd_ssthresh: u32,
    pub mss: u32,
    pub rtt_us: u32,
    pub min_rtt_us: u32,
    pub srtt_us: u32,
    pub wmem_alloc: u32,
    pub state: u8,
    pub ca_state: u8,
    pub pending: u8,
    pub chrono_type: u8,
    pub tsq: u8,
    pub nospace: u8,
    pub paced: u8,
    pub bbr_mode: u8,
    pub bbr_full_bw: u8,
    pub bbr_lt_bw: u8,
}

/// What a sender waits for, in the order of the columns of `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitCause {
    Handshake,
    Idle,
    Application,
    Sndbuf,
    Rwnd,
    ZeroWindow,
    PacingCap,
    Pacing,
    LocalQueue,
    SlowStart,
    Cwnd,
    Path,
    Recovery,
    Rto,
    Undecided,
}

use LimitCause::*;

/// Number of causes.
pub const CAUSES: usize = 15;

const ALL: [LimitCause; CAUSES] = [
    Handshake,
    Idle,
    Application,
    Sndbuf,
    Rwnd,
    ZeroWindow,
    PacingCap,
    Pacing,
    LocalQueue,
    SlowStart,
    Cwnd,
    Path,
    Recovery,
    Rto,
    Undecided,
];

impl LimitCause {
    /// By its number in `enum tcc_cause`.
    #[must_use]
    pub fn from_number(number: usize) -> Option<Self> {
        ALL.get(number).copied()
    }

    /// As in the columns of `limits`.
    #[must_use]
    pub fn name(self) -> &'static str {
        LIMIT_CAUSES.get(self as usize).copied().unwrap_or_default()
    }
}

/// What the rules remember between events. Times are in ticks of 4096 ns.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub bbr: bool,
    queue_since: Option<u32>,
    queue_seen: Option<u32>,
    tsq_seen: Option<u32>,
    cap_seen: Option<u32>,
    window: Option<Window>,
}

/// Smallest RTTs of two windows.
#[derive(Clone, Debug)]
struct Window {
    start: u32,
    now: u32,
    before: u32,
}

/// Never 0, which means that there is none.
pub(super) fn tick(ns: u64) -> u32 {
    (ns / 4096) as u32 | 1
}

fn us_to_ticks(us: u64) -> u32 {
    u32::try_from(us * 1000 / 4096).unwrap_or(u32::MAX)
}

impl Memory {
    /// The smallest RTTs lately, in microseconds: of this window, and of the one before.
    #[must_use]
    pub fn floors(&self) -> Option<(u32, u32)> {
        self.window.as_ref().map(|window| (window.now, window.before))
    }

    fn within(&self, seen: Option<u32>, now: u32, span: u32) -> bool {
        seen.is_some_and(|seen| now.wrapping_sub(seen) <= span)
    }

    /// One late sample is a busy host; a queue keeps the RTT up for a quarter of a round trip.
    fn see_queue(&mut self, queue: bool, now: u32, srtt_us: u32) {
        let quarter = us_to_ticks(u64::from(srtt_us / 4));
        if self.queue_since.is_some_and(|since| queue && now.wrapping_sub(since) >= quarter) {
            self.queue_seen = Some(now);
        }
        self.queue_since = if queue { self.queue_since.or(Some(now)) } else { None };
    }

    /// The smallest RTT of this window and the one before.
    fn floor(&mut self, sock: &Sock, now: u32) -> u32 {
        let length = us_to_ticks((2 * u64::from(sock.srtt_us)).max(1000));
        let rtt = sock.rtt_us;
        let window = match self.window.take() {
            Some(w) if now.wrapping_sub(w.start) <= length => Window { now: w.now.min(rtt), ..w },
            Some(w) if u64::from(now.wrapping_sub(w.start)) <= 2 * u64::from(length) => {
                Window { start: now, now: rtt, before: w.now }
            }
            _ => Window { start: now, now: rtt, before: rtt },
        };
        let floor = window.now.min(window.before);
        self.window = Some(window);
        floor
    }

    /// The cause of an interval from the state at its end; `t0_ns` is its beginning. `rto`: it ended with the retransmission timer or a
    /// tail loss probe.
    pub fn classify(&mut self, s: &Sock, t0_ns: u64, rto: bool) -> LimitCause {
        let unsent = i128::from(s.write_seq.wrapping_sub(s.snd_nxt));
        let mss = i128::from(s.mss);
        let room = i128::from(s.snd_una.wrapping_add(s.snd_wnd).wrapping_sub(s.snd_nxt) as i32);
        if s.state == 2 || s.state == 3 {
            return Handshake;
        }
        if s.packets_out == 0 && unsent == 0 {
            return Idle;
        }
        if rto || s.ca_state == 4 {
            return Rto;
        }
        if unsent > 0 && (s.snd_wnd == 0 || (s.pending == 3 && room < mss)) {
            return ZeroWindow;
        }

        let now = tick(s.now_ns);
        let threshold = u64::from(s.min_rtt_us) + u64::from(s.min_rtt_us / 8) + 500;
        let queue = u64::from(s.rtt_us) > threshold;
        let stand = u64::from(self.floor(s, now)) > threshold - u64::from(s.min_rtt_us / 16)
            && s.packets_out >= 4;
        let capped = s.max_pacing_rate != u64::MAX && s.pacing_rate >= s.max_pacing_rate;
        self.see_queue(queue, now, s.srtt_us);
        for (holds, seen) in [(s.tsq != 0, &mut self.tsq_seen), (capped, &mut self.cap_seen)] {
            if holds {
                *seen = Some(now);
            }
        }
        let measured = if s.min_rtt_us == u32::MAX { 0 } else { s.min_rtt_us };
        let span = us_to_ticks(10 * u64::from(s.srtt_us.max(measured)));
        let [queue_lately, tsq_lately, cap_lately] =
            [self.queue_seen, self.tsq_seen, self.cap_seen]
                .map(|seen| self.within(seen, now, span));
        let out = i128::from(s.snd_nxt.wrapping_sub(s.snd_una));
        let flight = s.packets_out.wrapping_sub(s.sacked_out).wrapping_sub(s.lost_out);
        let flight = i128::from(flight.wrapping_add(s.retrans_out) as i32);
        let cwin = (i128::from(s.snd_cwnd) - flight) * mss;
        let memory = i128::from(s.wmem_alloc.wrapping_sub(1));
        let below = if 2 * memory > out { LocalQueue } else { Path };
        let reducing = s.ca_state == 2 || s.ca_state == 3;

        if unsent < mss {
            return if reducing && (s.lost_out > 0 || s.retrans_out > 0) {
                Recovery
            } else if s.nospace != 0 {
                if stand { below } else { Sndbuf }
            } else if unsent > 0 && unsent > room && cwin >= mss {
                Rwnd
            } else {
                Application
            };
        }
        let paced = s.paced != 0 && s.wstamp_ns > t0_ns;
        let least = room.min(cwin);
        if s.tsq != 0 && least >= mss && !paced {
            return LocalQueue;
        }
        let whole = (i128::from(s.snd_cwnd) * mss).min(s.snd_wnd.into());
        let deferred = !paced && least * 3 < whole && least < unsent;
        if least < mss || deferred || s.chrono_type == 2 {
            return self.blocked(
                s,
                (room, cwin),
                (stand, queue, queue_lately),
                below,
                (capped, reducing),
            );
        }
        if s.tsq != 0 && !(s.paced != 0 && s.wstamp_ns > s.now_ns) {
            return LocalQueue;
        }
        if s.paced == 0 {
            return if below == LocalQueue {
                LocalQueue
            } else if s.snd_cwnd < s.snd_ssthresh && cwin < whole / 3 {
                SlowStart
            } else {
                Undecided
            };
        }
        if capped || (cap_lately && !queue) {
            return PacingCap;
        }
        if room < i128::from(s.snd_wnd / 4) && room < cwin && !stand {
            return Rwnd;
        }
        if s.nospace != 0 && unsent < out / 4 && !stand {
            return Sndbuf;
        }
        if !self.bbr {
            return if queue { Path } else { Pacing };
        }
        let excess_us = u128::from(s.rtt_us.saturating_sub(s.min_rtt_us));
        let here = 2_000_000 * memory as u128 >= excess_us * u128::from(s.pacing_rate);
        if tsq_lately && (!queue || here) {
            LocalQueue
        } else if s.bbr_mode == 3 {
            Pacing
        } else if s.bbr_full_bw == 0 && !stand {
            SlowStart
        } else if s.bbr_lt_bw != 0 || s.bbr_mode == 1 || queue_lately {
            Path
        } else {
            Pacing
        }
    }

    fn blocked(
        &self,
        s: &Sock,
        (room, cwin): (i128, i128),
        (stand, queue, queue_lately): (bool, bool, bool),
        below: LimitCause,
        (capped, reducing): (bool, bool),
    ) -> LimitCause {
        if room < cwin {
            let wide = 4 * u64::from(s.snd_wnd) >= 3 * u64::from(s.max_window);
            return if stand && wide { below } else { Rwnd };
        }
        if reducing && !(self.bbr && cwin >= s.mss.into()) {
            return Recovery;
        }
        if self.bbr {
            return if capped && !queue {
                PacingCap
            } else if s.bbr_mode == 3 {
                Pacing
            } else if s.bbr_full_bw == 0 && !stand {
                SlowStart
            } else if queue_lately {
                below
            } else {
                Cwnd
            };
        }
        if s.snd_cwnd >= s.snd_cwnd_clamp {
            Cwnd
        } else if below == LocalQueue {
            LocalQueue
        } else if stand {
            Path
        } else if s.snd_cwnd < s.snd_ssthresh {
            SlowStart
        } else {
            Cwnd
        }
    }
}
