//! `life`: sock:inet_sock_set_state into CLOSE, and the connections that are open when the trace begins.

use super::Tracker;
use super::common::{call, full, named, of, slot, std};
use super::computed::delivery_rate;
use super::names::{ERRORS, LIMITS_MAIN};
use super::socket::{socket_event_type, view};
use crate::skel::LifeRecord;
use crate::slot::Condition;
use crate::slot::Names::List;
use crate::table::Column;
use crate::table::Type::{Bool as Flag, Text, Unsigned};
use crate::table::Unit::{Bytes, BytesPerSecond, Count, Microseconds, None, Percent, Segments};
use crate::table::Value::{self, Bool, Null, U64};
use crate::table::origin::Inputs;

/// `enum tcc_end`; the first means that the connection is still open.
const REASONS: &[&str] = &["", "fin", "reset_sent", "reset_received", "timeout", "error", "silent"];
/// `enum tcc_closed_by`.
const SIDES: &[&str] = &["", "local", "peer"];

/// An open connection has no samples yet.
const ENDED: &[Condition] = &[Condition::is_not(slot!(LifeRecord, reason), 0)];

fn srtt_average([samples, sum_us, ..]: Inputs) -> Value<'static> {
    sum_us.wrapping_add(samples / 2).checked_div(samples).map_or(Null, U64)
}

/// Columns that need samples, which are taken only if one of these is shown.
pub const SAMPLED: &[&str] = &["srtt_avg_us", "srtt_max_us", "snd_cwnd_max", "srtt_samples"];

/// Columns that need what limits the connection, which is classified only if one of these is shown.
pub const LIMITS: &[&str] =
    &["limits_main", "limits_main_us", "limits_main_percent", "limits_observed_us"];

/// Null if no time was observed.
#[must_use]
pub fn percent([part, whole, ..]: Inputs) -> Value<'static> {
    let rounded = u128::from(part) * 200 + u128::from(whole);
    let percent = rounded.checked_div(u128::from(whole) * 2);
    percent.map_or(Null, |percent| U64(percent.try_into().unwrap_or(u64::MAX)))
}

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("event", (Text, None), "sk_state", "`end`, or `open` for a connection that is open when the trace starts.", of!(LifeRecord, reason).flag().named(List(&["open", "end"]))),
    std("open_before", (Flag, None), "sock:inet_sock_set_state", "True if the start of the connection was not observed: it preceded the trace, or its entry was evicted (`--max-conns`).", call!(LifeRecord, [duration_ns], |[ns, ..]| Bool(ns == 0))),
    std("duration_us", (Unsigned, Microseconds), "since inet_sock_set_state to ESTABLISHED", "Time from ESTABLISHED to CLOSE, without TIME_WAIT. Null if the start was not observed.", of!(LifeRecord, duration_ns).unset(0).divided(1000)),
    std("handshake_us", (Unsigned, Microseconds), "see `latency_us` of connect, `handshake_us` of accept", "Time from the first SYN (active open) or SYN-ACK (passive open) to ESTABLISHED. Null if not observed or not measured (see `accept`).", of!(LifeRecord, handshake_us).unset(0)),
    std("bytes_acked", (Unsigned, Bytes), "tp->bytes_acked", "Bytes acknowledged by the peer. SYN and FIN count as one each.", of!(LifeRecord, event.tcp.bytes_acked)),
    std("bytes_received", (Unsigned, Bytes), "tp->bytes_received", "Bytes received in order. A FIN counts as one.", of!(LifeRecord, event.tcp.bytes_received)),
    std("bytes_sent", (Unsigned, Bytes), "tp->bytes_sent", "Payload bytes sent, retransmissions included.", of!(LifeRecord, bytes_sent)),
    std("bytes_retrans", (Unsigned, Bytes), "tp->bytes_retrans", "Payload bytes retransmitted.", of!(LifeRecord, bytes_retrans)),
    std("total_retrans", (Unsigned, Segments), "tp->total_retrans", "Segments retransmitted.", of!(LifeRecord, event.tcp.total_retrans)),
    std("min_rtt_us", (Unsigned, Microseconds), "tcp_min_rtt(tp)", "Minimum RTT over the last tcp_min_rtt_wlen seconds. Null without a sample.", of!(LifeRecord, min_rtt_us).unset(u32::MAX as u64)),
    std("srtt_avg_us", (Unsigned, Microseconds), "tp->srtt_us >> 3 at tcp:tcp_probe", "Average smoothed RTT since the start of the trace, over one sample per packet received in ESTABLISHED, before it is processed, and one at the end. Null without a sample, and for `open`.", call!(LifeRecord, [srtt_samples, srtt_sum_us], srtt_average).when(ENDED)),
    std("srtt_max_us", (Unsigned, Microseconds), "tp->srtt_us >> 3 at tcp:tcp_probe", "Largest smoothed RTT of these samples. A single RTT may be larger, as it counts for an eighth. Null as for `srtt_avg_us`.", of!(LifeRecord, srtt_max_us).unset(0).when(ENDED)),
    std("snd_cwnd_max", (Unsigned, Segments), "tp->snd_cwnd at tcp:tcp_probe", "Largest congestion window of these samples. Null as for `srtt_avg_us`.", of!(LifeRecord, snd_cwnd_max).unset(0).when(ENDED)),
    std("srtt_samples", (Unsigned, Count), "counted", "Number of these samples that have an RTT. Null as for `srtt_avg_us`.", of!(LifeRecord, srtt_samples).unset(0).when(ENDED)),
    std("delivery_rate", (Unsigned, BytesPerSecond), "tcp_compute_delivery_rate(tp)", "Most recent delivery rate. Null without a sample.", call!(LifeRecord, [rate_delivered, mss, rate_interval_us], delivery_rate)),
    std("closed_by", (Text, None), "sk_state, `reason`", "Side that closed first, by a FIN or, without one, by a RST: local or peer. Also set for `open` if one half is closed. Null for neither (timeout, error, silent).", of!(LifeRecord, closed_by).unset(0).named(List(SIDES))),
    std("reason", (Text, None), "tcp:tcp_receive_reset, tcp:tcp_send_reset, sk_err, sk_state", "How the connection ended: fin (orderly); reset_sent (close() with unread data or zero linger time, or by the kernel); reset_received (also if data arrives after close()); timeout; error (see `err`, null if the process has already fetched it); silent (no packet sent or received: TCP_REPAIR, or an orphan that the kernel gave up). Null for `open`.", of!(LifeRecord, reason).unset(0).named(List(REASONS))),
    std("err", (Text, None), "sk->sk_err", "Error that the application gets, by name. Null if none.", of!(LifeRecord, err).named(ERRORS)),
    full("errno", (Unsigned, None), "sk->sk_err", "Number of that error. Null if none.", of!(LifeRecord, err).unset(0)),
    named("limits_main", (Text, None), "classified at each event", "The cause that limited the sender for most of the time, as in `limits`. Null for `open`, and if no time was observed.", of!(LifeRecord, limits_main).unset(0).named(List(&LIMITS_MAIN))),
    named("limits_main_us", (Unsigned, Microseconds), "classified at each event", "Time of that cause. Null if `limits_main` is.", of!(LifeRecord, limits_main_ns).unset(0).divided(1000)),
    named("limits_main_percent", (Unsigned, Percent), "classified at each event", "Its share of `limits_observed_us`. Null if `limits_main` is.", call!(LifeRecord, [limits_main_ns, limits_observed_ns], percent)),
    named("limits_observed_us", (Unsigned, Microseconds), "classified at each event", "The time that was classified: all of the connection up to FIN_WAIT2 or CLOSE, or since the start of the trace. Null if `limits_main` is.", of!(LifeRecord, limits_observed_ns).unset(0).divided(1000)),
];

socket_event_type!(
    LifeRecord,
    TCC_EVENT_LIFE,
    "life",
    "sock:inet_sock_set_state",
    "An established connection ends, with its totals. The command `life` also lists the connections that are open when the trace starts.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 7),
        ("TX", "bytes_acked", 7),
        ("RX", "bytes_received", 7),
        ("us", "duration_us", 6),
        ("rtx", "total_retrans", 3),
        ("rtt", "srtt_us", 5),
        ("END", "reason", 3),
    ],
    trackers: &[Tracker::History, Tracker::Resets, Tracker::SynackTime, Tracker::SynAgain]
);
