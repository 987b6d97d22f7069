//! `life`: sock:inet_sock_set_state into CLOSE, and the connections that are open when the trace begins.

use super::Tracker;
use super::common::{Field, full, std};
use super::connect::us;
use super::names::{errno, name};
use super::socket::{self, socket_event_type, view};
use crate::skel::LifeRecord;
use crate::table::Type::{Bool as Flag, Text, Unsigned};
use crate::table::Unit::{Bytes, BytesPerSecond, Count, Microseconds, None, Segments};
use crate::table::Value::{self, Bool, Null, Str, U64};

/// `enum tcc_end`; the first means that the connection is still open.
const REASONS: &[&str] = &["", "fin", "reset_sent", "reset_received", "timeout", "error", "silent"];
/// `enum tcc_closed_by`.
const SIDES: &[&str] = &["", "local", "peer"];

fn is_open(r: &LifeRecord) -> bool {
    r.reason == 0
}

fn delivery_rate(r: &LifeRecord) -> Value<'static> {
    if r.rate_delivered == 0 || r.rate_interval_us == 0 {
        return Null;
    }
    let bytes = u64::from(r.rate_delivered) * u64::from(r.mss);
    U64((u128::from(bytes) * 1_000_000 / u128::from(r.rate_interval_us)) as u64)
}

/// Null for an open connection, which has no samples yet.
fn sampled(r: &LifeRecord, value: u32) -> Value<'static> {
    if is_open(r) { Null } else { Value::unless(value.into(), 0) }
}

fn srtt_average(r: &LifeRecord) -> Value<'static> {
    let samples = u64::from(r.srtt_samples);
    if is_open(r) || samples == 0 { Null } else { U64((r.srtt_sum_us + samples / 2) / samples) }
}

/// Columns that need samples, which are taken only if one of these is shown.
pub const SAMPLED: &[&str] = &["srtt_avg_us", "srtt_max_us", "snd_cwnd_max", "srtt_samples"];

/// Null for 0, which means none.
fn named(names: &'static [&'static str], number: u8) -> Value<'static> {
    if number == 0 { Null } else { name(names, number) }
}

#[rustfmt::skip]
static FIELDS: &[Field<LifeRecord>] = &[
    std("event", (Text, None), "sk_state", "`end`, or `open` for a connection that is open when the trace starts.", |r| Str(if is_open(r) { "open" } else { "end" })),
    std("open_before", (Flag, None), "sock:inet_sock_set_state", "True if the start of the connection was not observed: it preceded the trace, or its entry was evicted (`--max-conns`).", |r| Bool(r.duration_ns == 0)),
    std("duration_us", (Unsigned, Microseconds), "since inet_sock_set_state to ESTABLISHED", "Time from ESTABLISHED to CLOSE, without TIME_WAIT. Null if the start was not observed.", |r| us(r.duration_ns)),
    std("handshake_us", (Unsigned, Microseconds), "see `latency_us` of connect, `handshake_us` of accept", "Time from the first SYN (active open) or SYN-ACK (passive open) to ESTABLISHED. Null if not observed or not measured (see `accept`).", |r| Value::unless(r.handshake_us.into(), 0)),
    std("bytes_acked", (Unsigned, Bytes), "tp->bytes_acked", "Bytes acknowledged by the peer. SYN and FIN count as one each.", |r| U64(r.event.tcp.bytes_acked)),
    std("bytes_received", (Unsigned, Bytes), "tp->bytes_received", "Bytes received in order. A FIN counts as one.", |r| U64(r.event.tcp.bytes_received)),
    std("bytes_sent", (Unsigned, Bytes), "tp->bytes_sent", "Payload bytes sent, retransmissions included.", |r| U64(r.bytes_sent)),
    std("bytes_retrans", (Unsigned, Bytes), "tp->bytes_retrans", "Payload bytes retransmitted.", |r| U64(r.bytes_retrans)),
    std("total_retrans", (Unsigned, Segments), "tp->total_retrans", "Segments retransmitted.", |r| U64(r.event.tcp.total_retrans.into())),
    std("min_rtt_us", (Unsigned, Microseconds), "tcp_min_rtt(tp)", "Minimum RTT over the last tcp_min_rtt_wlen seconds. Null without a sample.", |r| Value::unless(r.min_rtt_us.into(), u64::from(u32::MAX))),
    std("srtt_avg_us", (Unsigned, Microseconds), "tp->srtt_us >> 3 at tcp:tcp_probe", "Average smoothed RTT since the start of the trace, over one sample per packet received in ESTABLISHED, before it is processed, and one at the end. Null without a sample, and for `open`.", srtt_average),
    std("srtt_max_us", (Unsigned, Microseconds), "tp->srtt_us >> 3 at tcp:tcp_probe", "Largest smoothed RTT of these samples. A single RTT may be larger, as it counts for an eighth. Null as for `srtt_avg_us`.", |r| sampled(r, r.srtt_max_us)),
    std("snd_cwnd_max", (Unsigned, Segments), "tp->snd_cwnd at tcp:tcp_probe", "Largest congestion window of these samples. Null as for `srtt_avg_us`.", |r| sampled(r, r.snd_cwnd_max)),
    std("srtt_samples", (Unsigned, Count), "counted", "Number of these samples that have an RTT. Null as for `srtt_avg_us`.", |r| sampled(r, r.srtt_samples)),
    std("delivery_rate", (Unsigned, BytesPerSecond), "tcp_compute_delivery_rate(tp)", "Most recent delivery rate. Null without a sample.", delivery_rate),
    std("closed_by", (Text, None), "sk_state, `reason`", "Side that closed first, by a FIN or, without one, by a RST: local or peer. Also set for `open` if one half is closed. Null for neither (timeout, error, silent).", |r| named(SIDES, r.closed_by)),
    std("reason", (Text, None), "tcp:tcp_receive_reset, tcp:tcp_send_reset, sk_err, sk_state", "How the connection ended: fin (orderly); reset_sent (close() with unread data or zero linger time, or by the kernel); reset_received (also if data arrives after close()); timeout; error (see `err`, null if the process has already fetched it); silent (no packet sent or received: TCP_REPAIR, or an orphan that the kernel gave up). Null for `open`.", |r| named(REASONS, r.reason)),
    std("err", (Text, None), "sk->sk_err", "Error that the application gets, by name. Null if none.", |r| errno(r.err)),
    full("errno", (Unsigned, None), "sk->sk_err", "Number of that error. Null if none.", |r| Value::unless(r.err.into(), 0)),
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
    |bytes, _, index| socket::value(FIELDS, bytes, index),
    trackers: &[Tracker::History, Tracker::Resets, Tracker::SynackTime, Tracker::SynAgain]
);
