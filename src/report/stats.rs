//! The numbers of a connection's summary.

use std::collections::BTreeMap;

use super::connection::{Connection, Mark, Samples};

/// Numbers from the first to the last sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    pub duration_ns: u64,
    pub acked_bytes: Option<u64>,
    pub received_bytes: Option<u64>,
    /// Smoothed RTT of the samples, in µs: smallest, median, 95th and 99th percentile, largest.
    pub srtt_us: Option<[u64; 5]>,
    /// The smallest that the kernel knew.
    pub min_rtt_us: Option<u64>,
    /// Share of samples with an RTT above 1.5 times the smallest.
    pub inflated: Option<f64>,
    pub cwnd: Option<[u64; 3]>,
    pub in_flight: Option<u64>,
    /// Segments with data that were sent, and sent again.
    pub sent_segs: Option<u64>,
    pub retransmitted_segs: Option<u64>,
    /// Segments by class of their retransmission.
    pub classes: BTreeMap<String, u64>,
    /// Dropped segments with data by reason.
    pub drops: BTreeMap<String, u64>,
    pub ack_drops: u64,
    pub spurious: u64,
    pub resets: Vec<String>,
    /// Times that the peer's window was closed, and for how long in all, in ns.
    pub zero_windows: (u64, u64),
    /// Times in Recovery or Loss, and the longest in ns.
    pub recoveries: (u64, u64),
    /// In ns, by state; gaps have their own.
    pub ca_states: Vec<(String, u64)>,
    pub bbr_modes: Vec<(String, u64)>,
    pub gaps: u64,
}

/// The name of time without samples.
pub const NO_DATA: &str = "no data";

/// The number below which that share of a sorted list is, by the nearest rank.
#[must_use]
pub fn percentile(sorted: &[u64], share: f64) -> Option<u64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

impl Stats {
    #[must_use]
    pub fn of(connection: &Connection) -> Self {
        let samples = &connection.samples;
        let rtt = samples.column("srtt_us").sorted();
        let at = |share: f64| percentile(&rtt, share);
        let smallest = samples.column("min_rtt_us").sorted().first().copied();
        let floor = smallest.or(rtt.first().copied());
        let above = floor.filter(|_| !rtt.is_empty()).map(|floor| {
            let limit = floor.saturating_mul(3) / 2;
            rtt.iter().filter(|rtt| **rtt > limit).count() as f64 / rtt.len() as f64
        });
        let cwnd = samples.column("snd_cwnd").sorted();
        let median = |name: &str| percentile(&samples.column(name).sorted(), 0.5);
        let mut stats = Stats {
            duration_ns: connection.duration_ns(),
            acked_bytes: samples.column("bytes_acked").growth(),
            received_bytes: samples.column("bytes_received").growth(),
            srtt_us: at(0.0)
                .and_then(|_| Some([at(0.0)?, at(0.5)?, at(0.95)?, at(0.99)?, at(1.0)?])),
            min_rtt_us: floor,
            inflated: above,
            cwnd: percentile(&cwnd, 0.5)
                .and_then(|median| Some([*cwnd.first()?, median, *cwnd.last()?])),
            in_flight: median("packets_in_flight"),
            sent_segs: samples.column("data_segs_out").growth(),
            retransmitted_segs: samples.column("total_retrans").growth(),
            gaps: connection.gaps.len() as u64,
            ..Stats::default()
        };
        stats.count_events(connection);
        stats.ca_states = times(connection, |samples, row| ca_state(samples, row));
        stats.bbr_modes = times(connection, |samples, row| samples.word("bbr.mode", row));
        stats.recoveries = recoveries(connection);
        stats
    }

    fn count_events(&mut self, connection: &Connection) {
        let mut closed_ns = None;
        for event in &connection.events {
            let class = || event.class.clone();
            match event.mark {
                mark if mark.is_retransmission() => {
                    *self.classes.entry(class()).or_default() += event.segs;
                }
                Mark::Drop if event.len.is_some_and(|len| len > 0) => {
                    *self.drops.entry(class()).or_default() += event.segs.max(1);
                }
                Mark::AckDrop => self.ack_drops += 1,
                Mark::Spurious => self.spurious += event.segs,
                Mark::Reset if self.resets.len() < 4 => self.resets.push(event.title.clone()),
                Mark::ZeroWindow if event.class == "peer begin" => closed_ns = Some(event.time_ns),
                Mark::ZeroWindow if event.class == "peer end" => {
                    let began_ns: Option<u64> = closed_ns.take();
                    self.zero_windows.0 += 1;
                    self.zero_windows.1 +=
                        began_ns.map_or(0, |ns| event.time_ns.saturating_sub(ns));
                }
                _ => {}
            }
        }
        if let Some(ns) = closed_ns {
            let end_ns = connection.samples.time_ns.last().copied().unwrap_or(ns);
            self.zero_windows.0 += 1;
            self.zero_windows.1 += end_ns.saturating_sub(ns);
        }
    }

    /// Whether this end received more than it sent.
    #[must_use]
    pub fn is_receiver(&self) -> bool {
        self.received_bytes > self.acked_bytes
    }

    /// The bytes that were acknowledged, or received if those are more.
    #[must_use]
    pub fn moved_bytes(&self) -> Option<u64> {
        self.acked_bytes.max(self.received_bytes)
    }

    /// These bytes in bits per second.
    #[must_use]
    pub fn goodput(&self) -> Option<f64> {
        per_second(self.moved_bytes()?, self.duration_ns)
    }

    /// Segments sent again as a share of those sent.
    #[must_use]
    pub fn retransmitted(&self) -> Option<f64> {
        let sent = self.sent_segs.filter(|sent| *sent > 0)?;
        Some(self.retransmitted_segs? as f64 / sent as f64)
    }
}

fn per_second(bytes: u64, ns: u64) -> Option<f64> {
    (ns > 0).then(|| bytes as f64 * 8e9 / ns as f64)
}

/// The recovery state; Open is divided into slow start and congestion avoidance.
#[must_use]
pub fn ca_state(samples: &Samples, row: usize) -> Option<&str> {
    let state = samples.word("ca_state", row)?;
    if state != "Open" {
        return Some(state);
    }
    let cwnd = samples.column("snd_cwnd").get(row)?;
    // No threshold is an infinite one.
    let slow_start = samples.column("ssthresh").get(row).is_none_or(|ssthresh| cwnd < ssthresh);
    Some(if slow_start { "slow start" } else { "avoidance" })
}

/// The time in each state, in order of appearance. A sample's state held since the sample before.
fn times<'a>(
    connection: &'a Connection,
    state: impl Fn(&'a Samples, usize) -> Option<&'a str>,
) -> Vec<(String, u64)> {
    let samples = &connection.samples;
    let mut sums: Vec<(&str, u64)> = Vec::new();
    let mut gaps = connection.gaps.iter().map(|gap| gap.row).peekable();
    for row in 1..samples.len() {
        let is_gap = gaps.next_if_eq(&row).is_some();
        let Some(state) = state(samples, row) else { continue };
        let name = if is_gap { NO_DATA } else { state };
        let ns = samples.time_ns[row] - samples.time_ns[row - 1];
        match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += ns,
            None => sums.push((name, ns)),
        }
    }
    let shown = sums.into_iter().filter(|(_, ns)| *ns > 0);
    shown.map(|(name, ns)| (name.to_owned(), ns)).collect()
}

/// Spans of samples in Recovery or Loss.
fn recoveries(connection: &Connection) -> (u64, u64) {
    let samples = &connection.samples;
    let (mut count, mut longest, mut from) = (0, 0, None);
    for row in 0..samples.len() {
        let is_in = matches!(samples.word("ca_state", row), Some("Recovery" | "Loss"));
        let before_ns = samples.time_ns[row.saturating_sub(1)];
        match (is_in, from) {
            (true, None) => {
                count += 1;
                from = Some(before_ns);
            }
            (false, Some(since)) => {
                longest = before_ns.saturating_sub(since).max(longest);
                from = None;
            }
            _ => {}
        }
    }
    if let (Some(since), Some(last)) = (from, samples.time_ns.last()) {
        longest = last.saturating_sub(since).max(longest);
    }
    (count, longest)
}

/// Bins of a sparkline: what a counter grew by, or the median of a value, each as a share of the largest, 0 to 61. `None`: no
/// samples there.
#[must_use]
pub fn spark(samples: &Samples, name: &str, is_counter: bool, bins: usize) -> Vec<Option<u8>> {
    let column = samples.column(name);
    let (Some(first), Some(last)) = (samples.time_ns.first(), samples.time_ns.last()) else {
        return Vec::new();
    };
    let span = (last - first).max(1);
    if column.is_empty() || samples.len() < 2 {
        return Vec::new();
    }
    let mut values: Vec<Vec<u64>> = vec![Vec::new(); bins];
    let mut before = None;
    for (row, ns) in samples.time_ns.iter().enumerate() {
        let at = u128::from(ns - first) * bins as u128 / u128::from(span);
        let at = usize::try_from(at).unwrap_or(bins).min(bins - 1);
        let Some(value) = column.get(row) else { continue };
        match before.replace(value) {
            _ if !is_counter => values[at].push(value),
            Some(before) => values[at].push(value.saturating_sub(before)),
            None => {}
        }
    }
    let number = |of: Vec<u64>| {
        if is_counter {
            return Some(of.iter().sum::<u64>());
        }
        let mut of = of;
        of.sort_unstable();
        percentile(&of, 0.5)
    };
    let numbers: Vec<Option<u64>> = values.into_iter().map(number).collect();
    let most = numbers.iter().flatten().max().copied().unwrap_or_default().max(1);
    let level =
        |number: u64| u8::try_from(u128::from(number) * 61 / u128::from(most)).unwrap_or(61);
    numbers.into_iter().map(|number| number.map(level)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::connection::Gap;
    use super::super::series::at;
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let list: Vec<u64> = (1..=200).collect();
        let of = |share| percentile(&list, share);
        assert_eq!(
            [of(0.0), of(0.5), of(0.95), of(0.99), of(1.0)].map(Option::unwrap),
            [1, 100, 190, 198, 200]
        );
        assert_eq!((percentile(&[], 0.5), percentile(&[7], 0.99)), (None, Some(7)));
    }

    #[test]
    fn a_state_holds_from_the_sample_before() {
        let mut connection = Connection::default();
        let states = ["Open", "Open", "Recovery", "Recovery", "Open", "Open"];
        for (row, state) in states.into_iter().enumerate() {
            let samples = &mut connection.samples;
            samples.time_ns.push(row as u64 * 1_000_000);
            let word = samples.words[at("ca_state")].number(state);
            samples.columns[at("ca_state")].set(row, word);
            samples.columns[at("snd_cwnd")].set(row, Some(10));
            samples.columns[at("ssthresh")].set(row, (row > 3).then_some(5));
            samples.columns[at("bytes_acked")].set(row, Some(1 + 1000 * row as u64));
        }
        connection.gaps.push(Gap { row: 5, packets: 20, damaged: false });
        let stats = Stats::of(&connection);
        let times: Vec<(&str, u64)> =
            stats.ca_states.iter().map(|(name, ns)| (name.as_str(), *ns)).collect();
        assert_eq!(
            times,
            [
                ("slow start", 1_000_000),
                ("Recovery", 2_000_000),
                ("avoidance", 1_000_000),
                (NO_DATA, 1_000_000)
            ]
        );
        assert_eq!(stats.recoveries, (1, 2_000_000));
        assert_eq!((stats.acked_bytes, stats.goodput()), (Some(5000), Some(8_000_000.0)));
        assert_eq!((stats.srtt_us, stats.retransmitted()), (None, None));
    }

    #[test]
    fn nothing_is_known_of_a_single_sample() {
        let mut connection = Connection::default();
        assert_eq!(Stats::of(&connection).goodput(), None);
        connection.samples.time_ns.push(5);
        connection.samples.columns[at("bytes_acked")].set(0, Some(9));
        let stats = Stats::of(&connection);
        assert_eq!((stats.acked_bytes, stats.goodput(), stats.duration_ns), (Some(0), None, 0));
        assert!(spark(&connection.samples, "bytes_acked", true, 60).is_empty());
    }
}
