//! The confusion matrix: for each cause that was made, where its time went.

use std::fmt;

use serde_json::{Value, json};

pub const CAUSES: [&str; 15] = [
    "handshake",
    "idle",
    "application",
    "sndbuf",
    "rwnd",
    "zero_window",
    "pacing_cap",
    "pacing",
    "local_queue",
    "slow_start",
    "cwnd",
    "path",
    "recovery",
    "rto",
    "undecided",
];
const SHORT: [&str; 15] = [
    "hs", "idle", "app", "sbuf", "rwnd", "zw", "pcap", "pace", "lq", "ss", "cwnd", "path", "rec",
    "rto", "und",
];
/// Percent.
const GOOD: f64 = 97.0;

/// A time in which one cause was made, and what was found in it.
#[derive(Debug)]
pub struct Period {
    pub scenario: &'static str,
    pub set: &'static str,
    pub cc: &'static str,
    pub rtt_ms: u64,
    pub number: u64,
    pub label: &'static str,
    pub accepted: &'static [&'static str],
    pub us: [u64; CAUSES.len()],
    /// The same in rows in which the machine or the processes did not run: not counted.
    pub disturbed: [u64; CAUSES.len()],
    /// The kernel's own counters: busy, limited by rwnd, by the send buffer.
    pub kernel: [u64; 3],
}

impl Period {
    fn time(&self) -> u64 {
        self.us.iter().sum()
    }

    fn accepted_us(&self, us: &[u64; CAUSES.len()]) -> u64 {
        let accepted = |(name, _): &(&&str, &u64)| self.accepted.contains(*name);
        CAUSES.iter().zip(us).filter(accepted).map(|(_, us)| us).sum()
    }

    fn main(&self) -> &'static str {
        CAUSES.iter().zip(&self.us).max_by_key(|(_, us)| **us).map_or("", |(name, _)| name)
    }

    fn is_right(&self) -> bool {
        self.accepted.contains(&self.main())
    }

    /// Ten round trips and 10 ms.
    fn is_long(&self) -> bool {
        self.time() >= 10_000 && self.time() >= 10 * self.rtt_ms * 1000
    }

    pub fn json(&self) -> Value {
        let us: serde_json::Map<String, Value> =
            CAUSES.iter().zip(self.us).map(|(name, us)| (name.to_string(), json!(us))).collect();
        json!({
            "scenario": self.scenario, "set": self.set, "cc": self.cc, "rtt_ms": self.rtt_ms, "number": self.number,
            "label": self.label, "accepted": self.accepted, "main": self.main(), "right": self.is_right(),
            "us": us, "disturbed_us": self.disturbed.iter().sum::<u64>(), "busy_us": self.kernel[0], "rwnd_limited_us": self.kernel[1], "sndbuf_limited_us": self.kernel[2],
        })
    }
}

#[derive(Default)]
struct Row {
    us: [u64; CAUSES.len()],
    accepted: u64,
    disturbed: u64,
    disturbed_accepted: u64,
    kernel: [u64; 3],
    periods: usize,
    long: usize,
    right: usize,
}

impl Row {
    fn add(&mut self, period: &Period) {
        self.us.iter_mut().zip(period.us).for_each(|(sum, us)| *sum += us);
        self.kernel.iter_mut().zip(period.kernel).for_each(|(sum, us)| *sum += us);
        self.accepted += period.accepted_us(&period.us);
        self.disturbed += period.disturbed.iter().sum::<u64>();
        self.disturbed_accepted += period.accepted_us(&period.disturbed);
        self.periods += 1;
        self.long += usize::from(period.is_long());
        self.right += usize::from(period.is_long() && period.is_right());
    }

    fn share(&self, us: u64) -> f64 {
        us as f64 * 100.0 / self.us.iter().sum::<u64>().max(1) as f64
    }
}

/// A row per cause that was made, and their sum.
pub struct Matrix {
    rows: Vec<(&'static str, Row)>,
    all: Row,
    wrong: Vec<String>,
}

impl Matrix {
    pub fn of<'a>(periods: impl Iterator<Item = &'a Period>) -> Self {
        let mut matrix = Matrix { rows: Vec::new(), all: Row::default(), wrong: Vec::new() };
        for period in periods.filter(|period| period.time() > 0) {
            matrix.all.add(period);
            match matrix.rows.iter_mut().find(|(label, _)| *label == period.label) {
                Some((_, row)) => row.add(period),
                None => {
                    let mut row = Row::default();
                    row.add(period);
                    matrix.rows.push((period.label, row));
                }
            }
            if period.is_long() && !period.is_right() {
                matrix.wrong.push(format!(
                    "{} at {} ms: {} in place of {}",
                    period.scenario,
                    period.rtt_ms,
                    period.main(),
                    period.label
                ));
            }
        }
        let order = |label: &str| CAUSES.iter().position(|cause| *cause == label);
        matrix.rows.sort_by_key(|(label, _)| order(label).unwrap_or(CAUSES.len()));
        matrix
    }

    /// Of a machine that was too busy, nothing is known.
    pub fn is_good(&self) -> bool {
        if self.all.disturbed > self.all.us.iter().sum::<u64>() {
            return false;
        }
        let right = self.all.right as f64 * 100.0 / self.all.long.max(1) as f64;
        right >= GOOD && self.all.share(self.all.accepted) >= GOOD
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12}{:>4}", "cause", "n")?;
        SHORT.iter().try_for_each(|name| write!(f, "{name:>6}"))?;
        writeln!(f, "{:>7}{:>9} | busy rwnd  sbuf", "acc", "main")?;
        for (label, row) in self.rows.iter().chain([&("all", Row::default())]) {
            let row = if *label == "all" { &self.all } else { row };
            write!(f, "{label:<12}{:>4}", row.periods)?;
            for us in row.us {
                match row.share(us) {
                    share if *label == "all" || share < 0.05 => write!(f, "{:>6}", ".")?,
                    share => write!(f, "{share:>6.1}")?,
                }
            }
            let main = format!("{}/{}", row.right, row.long);
            write!(f, "{:>7.1}{main:>9} |", row.share(row.accepted))?;
            row.kernel.iter().try_for_each(|us| write!(f, " {:>4.0}", row.share(*us)))?;
            writeln!(f)?;
        }
        let (counted, apart) = (self.all.us.iter().sum::<u64>(), self.all.disturbed);
        let of = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
        writeln!(
            f,
            "{:.1} % of the time is left out, as the machine did not run all of it; of that, {:.1} % are in an accepted cause",
            of(apart, counted + apart),
            of(self.all.disturbed_accepted, apart)
        )?;
        self.wrong.iter().try_for_each(|wrong| writeln!(f, "wrong: {wrong}"))
    }
}
