//! `life`: sock:inet_sock_set_state into CLOSE, and the connections that are open when the trace begins.

use super::common::{Field, full, std};
use super::connect::us;
use super::names::{errno, name};
use super::socket::{self, socket_event_type, view};
use crate::skel::LifeRecord;
use crate::table::Type::{Bool as Flag, Text, Unsigned};
use crate::table::Unit::{Bytes, BytesPerSecond, Count, Microseconds, None, Segments};
use crate::table::Value::{self, Bool, Null, Str, U64};

/// `enum tcc_end`; the first is of a connection that goes on.
const REASONS: &[&str] = &["", "fin", "reset_sent", "reset_received", "timeout", "error", "silent"];
/// `enum tcc_closed_by`.
const SIDES: &[&str] = &["", "local", "peer"];

fn goes_on(r: &LifeRecord) -> bool {
    r.reason == 0
}

fn delivery_rate(r: &LifeRecord) -> Value<'static> {
    if r.rate_delivered == 0 || r.rate_interval_us == 0 {
        return Null;
    }
    let bytes = u64::from(r.rate_delivered) * u64::from(r.mss);
    U64((u128::from(bytes) * 1_000_000 / u128::from(r.rate_interval_us)) as u64)
}

/// Of one that goes on nothing has been followed yet.
fn sampled(r: &LifeRecord, value: u32) -> Value<'static> {
    if goes_on(r) { Null } else { Value::unless(value.into(), 0) }
}

fn srtt_average(r: &LifeRecord) -> Value<'static> {
    let samples = u64::from(r.srtt_samples);
    if goes_on(r) || samples == 0 { Null } else { U64((r.srtt_sum_us + samples / 2) / samples) }
}

/// The columns of samples, which are taken only if one of these is shown.
pub const SAMPLED: &[&str] = &["srtt_avg_us", "srtt_max_us", "snd_cwnd_max", "srtt_samples"];

/// Nothing is no name.
fn named(names: &'static [&'static str], number: u8) -> Value<'static> {
    if number == 0 { Null } else { name(names, number) }
}

#[rustfmt::skip]
static FIELDS: &[Field<LifeRecord>] = &[
    std("event", (Text, None), "see the documentation", "end; open: the connection was there when the trace began, and goes on.", |r| Str(if goes_on(r) { "open" } else { "end" })),
    std("open_before", (Flag, None), "see the documentation", "Its beginning was not seen: it was established before the trace (or is one of more than 65 536).", |r| Bool(r.duration_ns == 0)),
    std("duration_us", (Unsigned, Microseconds), "since inet_sock_set_state to ESTABLISHED", "From ESTABLISHED to CLOSE, which is where TIME_WAIT begins; null where the beginning was not seen.", |r| us(r.duration_ns)),
    std("handshake_us", (Unsigned, Microseconds), "see the documentation", "Before that: from the first SYN (active) or SYN-ACK (passive) on; null where it was not seen, or not measured (see `accept`).", |r| Value::unless(r.handshake_us.into(), 0)),
    std("bytes_acked", (Unsigned, Bytes), "tp->bytes_acked", "Bytes sent and acknowledged; SYN and FIN count as one each.", |r| U64(r.event.tcp.bytes_acked)),
    std("bytes_received", (Unsigned, Bytes), "tp->bytes_received", "Bytes received in order; the FIN counts as one.", |r| U64(r.event.tcp.bytes_received)),
    std("bytes_sent", (Unsigned, Bytes), "tp->bytes_sent", "Payload sent, retransmissions included.", |r| U64(r.bytes_sent)),
    std("bytes_retrans", (Unsigned, Bytes), "tp->bytes_retrans", "Payload sent again.", |r| U64(r.bytes_retrans)),
    std("total_retrans", (Unsigned, Segments), "tp->total_retrans", "Packets sent again.", |r| U64(r.event.tcp.total_retrans.into())),
    std("min_rtt_us", (Unsigned, Microseconds), "tcp_min_rtt(tp)", "Smallest RTT in the window of tcp_min_rtt_wlen; null: no sample.", |r| Value::unless(r.min_rtt_us.into(), u64::from(u32::MAX))),
    std("srtt_avg_us", (Unsigned, Microseconds), "tp->srtt_us >> 3 at tcp:tcp_probe", "Average of the smoothed RTT over the samples: one for each packet that came while it was ESTABLISHED, taken before that was processed, and one at its end; of the time since the trace began. Null without a sample, and in `open`.", srtt_average),
    std("srtt_max_us", (Unsigned, Microseconds), "tp->srtt_us >> 3 at tcp:tcp_probe", "The largest smoothed RTT of these samples; a single RTT may have been larger: it counts for an eighth.", |r| sampled(r, r.srtt_max_us)),
    std("snd_cwnd_max", (Unsigned, Segments), "tp->snd_cwnd at tcp:tcp_probe", "The largest congestion window of these samples.", |r| sampled(r, r.snd_cwnd_max)),
    std("srtt_samples", (Unsigned, Count), "counted", "How many samples with an RTT there were.", |r| sampled(r, r.srtt_samples)),
    std("delivery_rate", (Unsigned, BytesPerSecond), "tcp_compute_delivery_rate(tp)", "Most recent delivery rate; null without a sample.", delivery_rate),
    std("closed_by", (Text, None), "see the documentation", "Who ended it first, by a FIN or without one by a RST: local or peer; also in `open`, of one that is half closed. Null: nobody (a timeout, an error, silent).", |r| named(SIDES, r.closed_by)),
    std("reason", (Text, None), "see the documentation", "Of its end: fin (orderly), reset_sent (close() with unread data or without lingering, or the kernel's own), reset_received (also where data came for a socket that was closed), timeout, error (as `err` says; null: the process had fetched it already), silent (no packet was sent and none came: closed under TCP_REPAIR, or an orphan that the kernel gave up).", |r| named(REASONS, r.reason)),
    std("err", (Text, None), "sk->sk_err", "The error that the application gets, by name; null: none.", |r| errno(r.err)),
    full("errno", (Unsigned, None), "sk->sk_err", "Its number; null: none.", |r| Value::unless(r.err.into(), 0)),
];

socket_event_type!(
    LifeRecord,
    TCC_EVENT_LIFE,
    "life",
    "sock:inet_sock_set_state",
    "The end of a connection that was established, with its totals; and each one that is open when the trace begins.",
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
    state_trackers: &["conn_state", "conn_reset", "conn_reset_sent", "synack_time", "syn_again"],
    programs: &[]
);
