//! The numbers by which runs are compared.

use super::Flow;
use crate::report::stats::percentile;

/// Numbers of one run, all its flows together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// Bits per second, from the first to the last sample of any flow.
    pub goodput: Option<f64>,
    /// Share of the bottleneck, with the headers of the link, IP and TCP.
    pub utilisation: Option<f64>,
    /// Seconds from the first sample until 100 ms have at least 90 % of the goodput.
    pub time_to_90: Option<f64>,
    /// Of the samples' srtt in µs: smallest, median, 95th and 99th percentile.
    pub srtt_us: Option<[f64; 4]>,
    /// Median by smallest RTT.
    pub inflation: Option<f64>,
    /// Segments sent again as a share of those sent.
    pub retransmitted: Option<f64>,
    pub retransmitted_segs: Option<f64>,
    /// Segments that were seen to be dropped on this host.
    pub dropped_segs: Option<f64>,
    pub recoveries: Option<f64>,
    /// Share of the time in Recovery or Loss.
    pub in_recovery: Option<f64>,
    /// Jain's index of the flows' goodput, and the smallest in seconds after the flows have converged.
    pub jain: Option<f64>,
    pub jain_min: Option<f64>,
    /// All srtt in µs, in ascending order.
    pub rtts: Vec<u64>,
}

/// Which direction is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

/// How a number is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Rate,
    Share,
    Seconds,
    Micros,
    Ratio,
    Count,
}

/// A row of the table: name, how it is shown, which direction is better, and where it is.
pub type Metric = (&'static str, Unit, Better, fn(&Score) -> Option<f64>);

pub const METRICS: [Metric; 15] = [
    ("Goodput", Unit::Rate, Better::Higher, |s| s.goodput),
    ("Utilisation of the bottleneck", Unit::Share, Better::Higher, |s| s.utilisation),
    ("Time to 90 % of goodput", Unit::Seconds, Better::Lower, |s| s.time_to_90),
    ("RTT, smallest", Unit::Micros, Better::Lower, |s| s.srtt_us.map(|rtt| rtt[0])),
    ("RTT, median", Unit::Micros, Better::Lower, |s| s.srtt_us.map(|rtt| rtt[1])),
    ("RTT, 95 %", Unit::Micros, Better::Lower, |s| s.srtt_us.map(|rtt| rtt[2])),
    ("RTT, 99 %", Unit::Micros, Better::Lower, |s| s.srtt_us.map(|rtt| rtt[3])),
    ("RTT inflation, median by smallest", Unit::Ratio, Better::Lower, |s| s.inflation),
    ("Sent again", Unit::Share, Better::Lower, |s| s.retransmitted),
    ("Segments sent again", Unit::Count, Better::Lower, |s| s.retransmitted_segs),
    ("Drops seen, segments", Unit::Count, Better::Lower, |s| s.dropped_segs),
    ("Recoveries", Unit::Count, Better::Lower, |s| s.recoveries),
    ("Time in Recovery or Loss", Unit::Share, Better::Lower, |s| s.in_recovery),
    ("Fairness of flows (Jain)", Unit::Ratio, Better::Higher, |s| s.jain),
    ("Fairness, smallest after convergence", Unit::Ratio, Better::Higher, |s| s.jain_min),
];

/// Ethernet, TCP and the timestamp option.
const HEADERS: f64 = 14.0 + 20.0 + 12.0;
const SECOND_NS: u64 = 1_000_000_000;
const BIN_NS: u64 = 100_000_000;
/// Flows have converged after this part of the seconds that they share.
const CONVERGED: usize = 4;

impl Score {
    /// `bottleneck` in bits per second.
    #[must_use]
    pub fn of(flows: &[Flow<'_>], bottleneck: Option<u64>) -> Self {
        let span_ns = |flow: &Flow<'_>| {
            let times = &flow.connection.samples.time_ns;
            (times[0], times[times.len() - 1])
        };
        let start_ns = flows.iter().map(|flow| span_ns(flow).0).min().unwrap_or_default();
        let end_ns = flows.iter().map(|flow| span_ns(flow).1).max().unwrap_or_default();
        let seconds = end_ns.saturating_sub(start_ns) as f64 / 1e9;
        let sum = |of: fn(&Flow<'_>) -> Option<u64>| -> Option<u64> { flows.iter().map(of).sum() };
        let bytes = sum(|flow| flow.stats.moved_bytes());
        let goodput = bytes.filter(|_| seconds > 0.0).map(|bytes| bytes as f64 * 8.0 / seconds);
        let mut rtts: Vec<u64> = flows
            .iter()
            .flat_map(|flow| flow.connection.samples.column("srtt_us").sorted())
            .collect();
        rtts.sort_unstable();
        let rank = |share: f64| percentile(&rtts, share).map(|us| us as f64);
        let srtt_us =
            rank(0.5).and_then(|median| Some([rank(0.0)?, median, rank(0.95)?, rank(0.99)?]));
        let sent = sum(|flow| flow.stats.sent_segs);
        let again = sum(|flow| flow.stats.retransmitted_segs);
        let dropped: u64 = flows.iter().flat_map(|flow| flow.stats.drops.values()).sum();
        let recoveries: u64 = flows.iter().map(|flow| flow.stats.recoveries.0).sum();
        let (jain, jain_min) = fairness(flows);
        Score {
            goodput,
            utilisation: goodput
                .zip(bottleneck)
                .map(|(goodput, link)| goodput * overhead(flows) / link as f64),
            time_to_90: goodput.and_then(|goodput| time_to(flows, start_ns, end_ns, 0.9 * goodput)),
            srtt_us,
            inflation: srtt_us.filter(|rtt| rtt[0] > 0.0).map(|rtt| rtt[1] / rtt[0]),
            retransmitted: again
                .zip(sent.filter(|sent| *sent > 0))
                .map(|(again, sent)| again as f64 / sent as f64),
            retransmitted_segs: again.map(|segs| segs as f64),
            dropped_segs: Some(dropped as f64),
            recoveries: Some(recoveries as f64),
            in_recovery: in_recovery(flows),
            jain,
            jain_min,
            rtts,
        }
    }
}

/// Bytes on the link by bytes of payload.
fn overhead(flows: &[Flow<'_>]) -> f64 {
    let mss = flows.iter().filter_map(|flow| flow.connection.samples.column("mss").ends());
    let mss = mss.map(|(_, mss)| mss).max().filter(|mss| *mss > 0).unwrap_or(1448) as f64;
    let is_ipv6 = flows.iter().any(|flow| flow.connection.ends.is_some_and(|e| e.local.is_ipv6()));
    (mss + HEADERS + if is_ipv6 { 40.0 } else { 20.0 }) / mss
}

/// What a flow had delivered at a time: as of the last sample before it.
fn delivered_at(flow: &Flow<'_>, ns: u64) -> u64 {
    let rows = flow.connection.samples.time_ns.partition_point(|time| *time <= ns);
    rows.checked_sub(1).and_then(|row| flow.delivered.get(row)).copied().unwrap_or_default()
}

/// Seconds until a bin of 100 ms has that rate.
fn time_to(flows: &[Flow<'_>], start_ns: u64, end_ns: u64, rate: f64) -> Option<f64> {
    let at = |ns: u64| flows.iter().map(|flow| delivered_at(flow, ns)).sum::<u64>();
    let bins = end_ns.saturating_sub(start_ns) / BIN_NS;
    let mut before = at(start_ns);
    (1..=bins).find_map(|bin| {
        let now = at(start_ns + bin * BIN_NS);
        let bytes = now.saturating_sub(std::mem::replace(&mut before, now));
        (bytes as f64 * 8e9 / BIN_NS as f64 >= rate).then_some(bin as f64 * BIN_NS as f64 / 1e9)
    })
}

fn in_recovery(flows: &[Flow<'_>]) -> Option<f64> {
    let times = || flows.iter().flat_map(|flow| &flow.stats.ca_states);
    let all: u64 = times().map(|(_, ns)| ns).sum();
    let is_in = |name: &str| ["Recovery", "Loss"].contains(&name);
    let part: u64 = times().filter(|(name, _)| is_in(name)).map(|(_, ns)| ns).sum();
    (all > 0).then(|| part as f64 / all as f64)
}

/// Jain's index: 1 if all are equal, one by their number if one has everything.
#[must_use]
pub fn jain(rates: &[f64]) -> Option<f64> {
    let (sum, squares) = rates.iter().fold((0.0, 0.0), |(s, q), rate| (s + rate, q + rate * rate));
    (squares > 0.0).then(|| sum * sum / (rates.len() as f64 * squares))
}

/// Of the whole run, and the smallest of the seconds that all flows share, after the first quarter of them.
fn fairness(flows: &[Flow<'_>]) -> (Option<f64>, Option<f64>) {
    if flows.len() < 2 {
        return (None, None);
    }
    let rates: Vec<f64> = flows.iter().filter_map(|flow| flow.stats.goodput()).collect();
    let times = |flow: &Flow<'_>| flow.connection.samples.time_ns.clone();
    let from = flows.iter().filter_map(|flow| times(flow).first().copied()).max();
    let to = flows.iter().filter_map(|flow| times(flow).last().copied()).min();
    let (Some(from), Some(to)) = (from, to) else { return (jain(&rates), None) };
    let seconds = (to.saturating_sub(from) / SECOND_NS) as usize;
    let in_second = |second: usize| {
        let start = from + second as u64 * SECOND_NS;
        let moved = |flow: &Flow<'_>| {
            delivered_at(flow, start + SECOND_NS).saturating_sub(delivered_at(flow, start)) as f64
        };
        jain(&flows.iter().map(moved).collect::<Vec<_>>())
    };
    let after = (seconds / CONVERGED..seconds).filter_map(in_second);
    (jain(&rates), after.min_by(f64::total_cmp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jains_index_is_1_for_equal_rates() {
        assert_eq!(jain(&[5.0, 5.0, 5.0]), Some(1.0));
        assert_eq!(jain(&[4.0, 0.0]), Some(0.5));
        assert_eq!(jain(&[0.0, 0.0]), None);
        assert_eq!(jain(&[]), None);
    }
}
