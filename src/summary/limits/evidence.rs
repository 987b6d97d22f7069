//! The numbers that show a cause, and what it would take. Nothing is advised that the numbers do not carry.

use super::columns::CAUSES;
use super::rows::by_time;
use super::{ACKED, Counts, IDLES, RECOVERIES, RETRANS, RTOS, TLPS, WRITES, ZERO_WINDOWS};
use crate::events::ca::until_nul;
use crate::skel::{Cause, LimitsSnapshot};

/// A cause is explained if it has that share of the time, in percent.
const SHOWN: u64 = 10;
/// The maximum number of causes to explain.
const MOST: usize = 2;
/// A tick of the account is 4.096 µs.
const TICK_US: f64 = 4.096;
/// Memory of a packet is up to that many times its payload, and the kernel doubles SO_SNDBUF.
const TRUESIZE: f64 = 3.2;
const UNSCALED: u32 = 65535;

/// Of one connection's interval.
pub(super) fn of(counts: &Counts, last: &LimitsSnapshot) -> Option<String> {
    let total: u64 = counts.0[..CAUSES].iter().sum();
    let case = Case { counts, last, total };
    let causes = by_time(counts);
    let shown = causes.iter().filter(|(_, ns)| *ns * 100 >= total * SHOWN).take(MOST);
    let sentences: Vec<String> =
        shown.filter_map(|&(cause, ns)| case.sentence(cause, ns)).collect();
    (!sentences.is_empty()).then(|| sentences.join(". "))
}

struct Case<'a> {
    counts: &'a Counts,
    last: &'a LimitsSnapshot,
    total: u64,
}

impl Case<'_> {
    fn sentence(&self, cause: usize, ns: u64) -> Option<String> {
        let limits = &self.last.limits;
        let cause = Cause(u32::try_from(cause).ok()?);
        Some(match cause {
            Cause::TCC_CAUSE_HANDSHAKE => format!("handshake: {}", time(ns / 1000)),
            Cause::TCC_CAUSE_IDLE => return self.pauses("idle", IDLES, ns, "with nothing to send"),
            Cause::TCC_CAUSE_APPLICATION => {
                return self.pauses("application", WRITES, ns, "until it wrote more");
            }
            Cause::TCC_CAUSE_SNDBUF => self.sndbuf()?,
            Cause::TCC_CAUSE_RWND => self.rwnd(ns)?,
            Cause::TCC_CAUSE_ZERO_WINDOW => format!(
                "zero_window: closed {}, {} in all, longest so far {}; the process at the peer did not read",
                times(self.count(ZERO_WINDOWS).max(1)),
                time(ns / 1000),
                time(ticks(limits.longest_zero_window))
            ),
            Cause::TCC_CAUSE_PACING_CAP => self.pacing_cap(ns)?,
            Cause::TCC_CAUSE_PACING => format!(
                "pacing: {} paces at {}, {} acknowledged",
                String::from_utf8_lossy(until_nul(&self.last.ca_name)),
                rate(self.last.pacing_rate as f64),
                self.goodput(cause, ns)
            ),
            Cause::TCC_CAUSE_LOCAL_QUEUE => format!(
                "local_queue: {} of packet memory in the qdisc and the driver of this host, {} acknowledged; `queue` shows the device",
                size(limits.queued.into()),
                self.goodput(cause, ns)
            ),
            Cause::TCC_CAUSE_SLOW_START => format!(
                "slow_start: cwnd {} at {} RTT, {} acknowledged; cwnd doubles each RTT",
                self.cwnd(),
                time(self.rtt()?),
                self.goodput(cause, ns)
            ),
            Cause::TCC_CAUSE_CWND => self.full_cwnd(ns)?,
            Cause::TCC_CAUSE_PATH => self.path(ns)?,
            Cause::TCC_CAUSE_RECOVERY => format!(
                "recovery: {} begun, {} retransmitted",
                self.number(RECOVERIES, "recovery", "recoveries"),
                self.number(RETRANS, "segment", "segments")
            ),
            Cause::TCC_CAUSE_RTO => self.rto(ns),
            _ => "undecided: data waits, both windows have room, and neither pacing nor a queue on this host shows; \
                  a busy CPU is possible"
                .to_owned(),
        })
    }

    fn count(&self, at: usize) -> u64 {
        self.counts.0[at]
    }

    fn number(&self, at: usize, one: &str, more: &str) -> String {
        let count = self.count(at);
        format!("{count} {}", if count == 1 { one } else { more })
    }

    /// Bytes acknowledged in intervals of that cause, by their time.
    fn goodput(&self, cause: Cause, ns: u64) -> String {
        let first = Cause::TCC_CAUSE_SNDBUF.0;
        let at = ACKED + cause.0.saturating_sub(first) as usize;
        rate(self.count(at) as f64 * 1e9 / ns.max(1) as f64)
    }

    fn cwnd(&self) -> u32 {
        self.last.event.tcp.snd_cwnd
    }

    fn cwnd_bytes(&self) -> f64 {
        f64::from(self.cwnd()) * f64::from(self.last.mss)
    }

    /// The smoothed RTT in µs.
    fn rtt(&self) -> Option<u64> {
        Some(u64::from(self.last.event.tcp.srtt_us)).filter(|rtt| *rtt > 0)
    }

    fn min_rtt(&self) -> Option<u64> {
        Some(self.last.min_rtt_us).filter(|rtt| *rtt != u32::MAX && *rtt > 0).map(u64::from)
    }

    fn pauses(&self, name: &str, at: usize, ns: u64, what: &str) -> Option<String> {
        let count = self.count(at);
        // One that is not over says nothing of its length.
        (count > 1).then(|| {
            format!("{name}: {count} pauses of {} on average {what}", time(ns / 1000 / count))
        })
    }

    fn rwnd(&self, ns: u64) -> Option<String> {
        let (window, rtt) = (self.last.limits.rwnd, self.min_rtt()?);
        let mut text = format!(
            "rwnd: a window of {} at {} RTT caps at {}; {} acknowledged",
            size(window.into()),
            time(rtt),
            rate(f64::from(window) * 1e6 / rtt as f64),
            self.goodput(Cause::TCC_CAUSE_RWND, ns)
        );
        if self.last.snd_wscale == u8::MAX && window > UNSCALED / 2 {
            text += "; window scaling was not negotiated";
        } else if self.cwnd_bytes() > f64::from(window) {
            text += &format!("; cwnd would allow {}", size(self.cwnd_bytes() as u64));
        }
        Some(text)
    }

    fn sndbuf(&self) -> Option<String> {
        let (flight, rtt) = (self.last.limits.sndbuf, self.rtt()?);
        let mut text = format!(
            "sndbuf: a send buffer of {} holds {} in flight, which at {} RTT caps at {}",
            size(self.last.sndbuf.into()),
            size(flight.into()),
            time(rtt),
            rate(f64::from(flight) * 1e6 / rtt as f64)
        );
        let needed = self.cwnd_bytes() * TRUESIZE;
        if needed > f64::from(self.last.sndbuf) {
            text += &format!("; cwnd {} would need {}", self.cwnd(), size(needed as u64));
        }
        Some(text)
    }

    fn pacing_cap(&self, ns: u64) -> Option<String> {
        let cap = self.last.max_pacing_rate;
        let mut text = format!(
            "pacing_cap: SO_MAX_PACING_RATE {}, {} acknowledged",
            rate(cap as f64),
            self.goodput(Cause::TCC_CAUSE_PACING_CAP, ns)
        );
        let windows = self.cwnd_bytes() * 1e6 / self.min_rtt()? as f64;
        if windows > cap as f64 {
            text += &format!("; cwnd {} would allow {}", self.cwnd(), rate(windows));
        }
        Some(text)
    }

    fn full_cwnd(&self, ns: u64) -> Option<String> {
        let (rtt, tcp) = (self.min_rtt()?, &self.last.event.tcp);
        let mut text = format!(
            "cwnd: {} at {} RTT allows {}; {} acknowledged",
            self.cwnd(),
            time(rtt),
            rate(self.cwnd_bytes() * 1e6 / rtt as f64),
            self.goodput(Cause::TCC_CAUSE_CWND, ns)
        );
        if self.count(RETRANS) > 0 {
            text += &format!(
                "; {}, {} retransmitted",
                self.number(RECOVERIES, "recovery", "recoveries"),
                self.number(RETRANS, "segment", "segments")
            );
        } else if self.count(IDLES) > 0 && tcp.snd_cwnd <= 10 {
            text += &format!("; after {}", self.number(IDLES, "idle time", "idle times"));
        }
        Some(text)
    }

    fn path(&self, ns: u64) -> Option<String> {
        let limits = &self.last.limits;
        let (min, floor) =
            (self.min_rtt()?, u64::from(limits.floor_us.min(limits.floor_before_us)));
        let mut text = format!("path: {} acknowledged", self.goodput(Cause::TCC_CAUSE_PATH, ns));
        if floor > min {
            text += &format!(
                "; RTT at least {}, {} above the smallest: a queue stands at the bottleneck",
                time(floor),
                time(floor - min)
            );
        }
        Some(text)
    }

    fn rto(&self, ns: u64) -> String {
        let (rtos, tlps) = (self.count(RTOS), self.count(TLPS));
        let mut parts = Vec::new();
        if rtos > 0 {
            parts.push(format!("timeout {}", times(rtos)));
        }
        if tlps > 0 {
            parts.push(format!("tail loss probe {}", times(tlps)));
        }
        parts.push(format!("{} in all", time(ns / 1000)));
        let longest = self.last.limits.longest_rto;
        if longest > 0 {
            parts.push(format!("longest so far {}", time(ticks(longest))));
        }
        let silent = if ns * 2 > self.total { "; the path delivered nothing then" } else { "" };
        format!("rto: {}{silent}", parts.join(", "))
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn ticks(ticks: u32) -> u64 {
    (f64::from(ticks) * TICK_US) as u64
}

/// Bytes per second as bits per second.
fn rate(bytes: f64) -> String {
    let bits = bytes * 8.0;
    match bits {
        1e9.. => format!("{:.2} Gbit/s", bits / 1e9),
        1e6.. => format!("{:.1} Mbit/s", bits / 1e6),
        _ => format!("{:.0} kbit/s", bits / 1e3),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..10_485_760 => format!("{:.0} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.0} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn time(us: u64) -> String {
    match us {
        0..1000 => format!("{us} us"),
        1000..10_000 => format!("{:.1} ms", us as f64 / 1e3),
        10_000..1_000_000 => format!("{:.0} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_that_people_use() {
        assert_eq!(rate(1_365_333.0), "10.9 Mbit/s");
        assert_eq!(rate(2e9 / 8.0), "2.00 Gbit/s");
        assert_eq!(rate(800.0), "6 kbit/s");
        assert_eq!((size(512), size(65536)), ("512 bytes".into(), "64 KiB".into()));
        assert_eq!(
            (time(60), time(4500), time(48_000)),
            ("60 us".into(), "4.5 ms".into(), "48 ms".into())
        );
        assert_eq!(time(1_400_000), "1.40 s");
    }

    /// A connection that spent a second in that cause.
    fn explained(cause: Cause, set: impl FnOnce(&mut Counts, &mut LimitsSnapshot)) -> String {
        let mut counts = Counts::default();
        let mut last = LimitsSnapshot { mss: 1448, min_rtt_us: 48_000, ..Default::default() };
        last.event.tcp.snd_cwnd = 100;
        last.event.tcp.srtt_us = 50_000;
        counts.0[cause.0 as usize] = 1_000_000_000;
        set(&mut counts, &mut last);
        of(&counts, &last).unwrap()
    }

    #[test]
    fn a_cause_is_shown_by_its_numbers() {
        let rwnd = explained(Cause::TCC_CAUSE_RWND, |counts, last| {
            counts.0[ACKED + 1] = 1_300_000;
            last.limits.rwnd = 65_535;
            last.snd_wscale = 255;
        });
        assert_eq!(
            rwnd,
            "rwnd: a window of 64 KiB at 48 ms RTT caps at 10.9 Mbit/s; 10.4 Mbit/s acknowledged; window scaling was not negotiated"
        );
        let rto = explained(Cause::TCC_CAUSE_RTO, |counts, last| {
            (counts.0[RTOS], counts.0[TLPS]) = (3, 1);
            last.limits.longest_rto = 200_000;
        });
        assert_eq!(
            rto,
            "rto: timeout 3 times, tail loss probe once, 1.00 s in all, longest so far 819 ms; the path delivered nothing then"
        );
        let cap = explained(Cause::TCC_CAUSE_PACING_CAP, |counts, last| {
            counts.0[ACKED + 3] = 2_400_000;
            last.max_pacing_rate = 2_500_000;
        });
        assert_eq!(
            cap,
            "pacing_cap: SO_MAX_PACING_RATE 20.0 Mbit/s, 19.2 Mbit/s acknowledged; cwnd 100 would allow 24.1 Mbit/s"
        );
        let cwnd = explained(Cause::TCC_CAUSE_CWND, |counts, last| {
            counts.0[IDLES] = 1;
            last.event.tcp.snd_cwnd = 10;
        });
        assert!(cwnd.ends_with("; after 1 idle time"), "{cwnd}");
        assert!(cwnd.starts_with("cwnd: 10 at 48 ms RTT allows 2.4 Mbit/s"), "{cwnd}");
    }

    #[test]
    fn nothing_is_said_of_a_cause_without_numbers() {
        let mut counts = Counts::default();
        counts.0[Cause::TCC_CAUSE_PATH.0 as usize] = 1;
        let last = LimitsSnapshot { min_rtt_us: u32::MAX, ..Default::default() };
        assert_eq!(of(&counts, &last), None);
        assert_eq!(of(&Counts::default(), &last), None);
    }
}
