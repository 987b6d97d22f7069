//! What a connection's numbers mean, in sentences.

use std::collections::BTreeMap;

use super::causes::LimitCause;
use super::connection::Connection;
use super::number;
use super::stats::Stats;

/// A sentence, and whether it reports something bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub is_bad: bool,
    pub text: String,
}

/// A queue that adds more than this share of the smallest RTT is bad.
const LONG_QUEUE: f64 = 0.5;
/// More segments sent again than this share are bad.
const MANY_RETRANSMISSIONS: f64 = 0.005;

/// The sentences, most important first.
#[must_use]
pub fn of(connection: &Connection, stats: &Stats) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |is_bad: bool, text: String| findings.push(Finding { is_bad, text });
    limited(connection, &mut add);
    if connection.samples.is_empty() {
        add(false, "No samples: no packet of the open connection was recorded.".into());
    } else if let (Some(moved), Some(goodput)) = (stats.moved_bytes(), stats.goodput()) {
        let time = number::time_us(stats.duration_ns as f64 / 1000.0);
        let verb = if stats.is_receiver() { "Received" } else { "Sent" };
        add(
            false,
            match moved {
                0 => format!("No data was sent or received in {time}."),
                _ => {
                    format!("{verb} {} in {time}: {}.", number::bytes(moved), number::rate(goodput))
                }
            },
        );
    } else {
        add(false, "A single sample: rates and percentiles need at least two.".into());
    }
    if let (Some([_, median, _, p99, _]), Some(least)) = (stats.srtt_us, stats.min_rtt_us) {
        let added = |us: u64| number::time_us(us.saturating_sub(least) as f64);
        let is_bad = median.saturating_sub(least) as f64 > LONG_QUEUE * least as f64;
        let least = number::time_us(least as f64);
        add(
            is_bad,
            format!(
                "Queues add {} to the smallest RTT of {least} in the median, {} at 99\u{202f}%.",
                added(median),
                added(p99)
            ),
        );
    }
    losses(stats, &mut add);
    if stats.zero_windows.0 > 0 {
        add(
            true,
            format!(
                "The peer closed its window {}, for {} in all: its application reads slowly.",
                times(stats.zero_windows.0),
                number::time_us(stats.zero_windows.1 as f64 / 1000.0)
            ),
        );
    }
    for reset in &stats.resets {
        add(true, format!("{reset}: the connection was aborted."));
    }
    missing(connection, &mut add);
    findings
}

/// What limits it, and the numbers that show it.
fn limited(connection: &Connection, add: &mut impl FnMut(bool, String)) {
    const NOTABLE: f64 = 0.1;
    const UNDECIDED: f64 = 0.05;
    let causes = &connection.causes;
    let sum = causes.sum();
    if sum == 0 || connection.samples.is_empty() {
        return;
    }
    let share = |ns: u64| ns as f64 / sum as f64;
    let shown = causes.by_time().into_iter().take(3).enumerate();
    let shown = shown.filter(|(at, (_, ns))| *at == 0 || share(*ns) >= NOTABLE);
    let names = shown.map(|(_, (cause, ns))| {
        format!("{} {}\u{202f}% of the time", meaning(cause), (share(ns) * 100.0).round())
    });
    let names: Vec<String> = names.collect();
    let text = names.join("; ").replace(" of the time;", ";");
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    add(false, format!("{}{rest}.", first.to_uppercase()));
    for evidence in &causes.evidence {
        let is_bad = ["rto", "zero_window", "local_queue", "sndbuf"]
            .iter()
            .any(|name| evidence.starts_with(name));
        let text = evidence.trim_end_matches('.').replace(['_', '`'], " ").replace("  ", " ");
        add(is_bad, format!("{text}."));
    }
    let undecided = causes.totals[LimitCause::Undecided as usize];
    let lacked: Vec<&str> = causes
        .lacked
        .iter()
        .copied()
        // The recording ended before what would have decided it.
        .filter(|what| *what != "later events")
        .collect();
    if !lacked.is_empty() && share(undecided) >= UNDECIDED {
        let lacked = lacked.join(", ").replace('`', "");
        add(
            false,
            format!("What limits it is undecided where that needs what is not recorded: {lacked}."),
        );
    }
}

fn meaning(cause: LimitCause) -> &'static str {
    match cause {
        LimitCause::Handshake => "opening",
        LimitCause::Idle => "idle",
        LimitCause::Application => "limited by the application",
        LimitCause::Sndbuf => "limited by the send buffer",
        LimitCause::Rwnd => "limited by the peer's window",
        LimitCause::ZeroWindow => "stopped by a closed window of the peer",
        LimitCause::PacingCap => "limited by SO_MAX_PACING_RATE",
        LimitCause::Pacing => "paced by the congestion control",
        LimitCause::LocalQueue => "waiting in a queue of this host",
        LimitCause::SlowStart => "in slow start",
        LimitCause::Cwnd => "limited by its congestion window",
        LimitCause::Path => "limited by the path",
        LimitCause::Recovery => "in recovery",
        LimitCause::Rto => "waiting for a retransmission timeout",
        LimitCause::Undecided => "undecided",
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".into(),
        2 => "twice".into(),
        _ => format!("{} times", number::count(count)),
    }
}

fn losses(stats: &Stats, add: &mut impl FnMut(bool, String)) {
    let (Some(sent), Some(again)) = (stats.sent_segs, stats.retransmitted_segs) else { return };
    if again == 0 && stats.drops.is_empty() {
        if sent > 0 {
            add(false, format!("None of {} was sent again.", number::plural(sent, "segment")));
        }
        return;
    }
    let share = stats.retransmitted().unwrap_or_default();
    let mut text = format!(
        "{} of {} sent again ({})",
        number::count(again),
        number::plural(sent, "segment"),
        number::percent(share)
    );
    if stats.recoveries.0 > 0 {
        text += &format!(
            ", in {}",
            match stats.recoveries.0 {
                1 => "one recovery".to_owned(),
                count => format!("{} recoveries", number::count(count)),
            }
        );
    }
    text.push('.');
    if !stats.drops.is_empty() {
        text += &format!(" Drops seen on this host, in segments: {}.", list(&stats.drops));
    }
    if stats.spurious > 0 {
        let count = number::plural(stats.spurious, "retransmission");
        text += &format!(" {count} found to be unnecessary.");
    }
    add(share > MANY_RETRANSMISSIONS, text);
}

/// `76 QDISC_DROP, 1 TCP_OLD_DATA`, the most frequent first.
fn list(counts: &BTreeMap<String, u64>) -> String {
    let mut sorted: Vec<(&String, &u64)> = counts.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let parts = sorted.iter().map(|(name, count)| format!("{} {name}", number::count(**count)));
    parts.collect::<Vec<_>>().join(", ")
}

fn missing(connection: &Connection, add: &mut impl FnMut(bool, String)) {
    const LISTED: usize = 3;
    let samples = &connection.samples;
    let seconds = |row: usize| {
        let ns = samples.time_ns[row].saturating_sub(connection.start_ns());
        format!("{:.3}\u{202f}s", ns as f64 / 1e9)
    };
    for gap in connection.gaps.iter().take(LISTED) {
        let why = match gap.damaged {
            true => "a part of the file cannot be read",
            false => "events were lost or left out",
        };
        let packets = number::plural(gap.packets, "packet");
        add(
            true,
            format!(
                "No data from {} to {}: {packets} without a sample ({why}).",
                seconds(gap.row - 1),
                seconds(gap.row)
            ),
        );
    }
    if let Some(more) = connection.gaps.len().checked_sub(LISTED).filter(|more| *more > 0) {
        add(true, format!("No data in {more} more places."));
    }
    if samples.read > samples.len() as u64 {
        add(
            false,
            format!(
                "{} of {} are drawn: the smallest and the largest values are among them.",
                number::count(samples.len() as u64),
                number::plural(samples.read, "sample")
            ),
        );
    }
    if connection.more_events > 0 {
        let more = number::plural(connection.more_events, "more event");
        add(false, format!("{more} are not in this page."));
    }
}
