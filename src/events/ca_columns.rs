//! Columns of the algorithms' private state: the member of each, and its conversion.

use crate::table::{Column, Origin, Set, Type, Unit};

/// Conversion of a member's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convert {
    Number,
    /// Null for all ones, which mean none yet.
    NumberOrNone,
    Bool,
    /// Fixed point with 8 fractional bits (`BBR_UNIT`).
    Gain,
    /// `enum bbr_mode`.
    Mode,
    /// `minmax` and `lt_bw` in packets per µs, 24 fractional bits: to bytes per second as `bbr_get_info()` does.
    Bandwidth,
    /// Fixed point with 10 fractional bits (`DCTCP_MAX_ALPHA`).
    Alpha,
}

/// One column of an algorithm's state.
#[derive(Clone, Copy, Debug)]
pub struct CaField {
    pub column: Column,
    /// Index into [`ALGORITHMS`].
    pub algorithm: usize,
    /// The member, as a path if nested.
    pub member: &'static str,
    pub convert: Convert,
}

const fn field(
    algorithm: usize,
    name: &'static str,
    member: &'static str,
    (ty, unit, convert): (Type, Unit, Convert),
    doc: &'static str,
) -> CaField {
    // numbered() has the index.
    let origin = Origin::Private(0);
    let source = "icsk_ca_priv";
    let column = Column { name, ty, unit, set: Set::Full, doc, source, need: None, origin };
    CaField { column, algorithm, member, convert }
}

/// Each column with its index, by which its slot is found.
const fn numbered<const N: usize>(list: &[CaField]) -> [CaField; N] {
    let (mut fields, mut at) = ([list[0]; N], 0);
    while at < N {
        fields[at] = list[at];
        fields[at].column.origin = Origin::Private(at);
        at += 1;
    }
    fields
}

const SEGS: (Type, Unit, Convert) = (Type::Unsigned, Unit::Segments, Convert::Number);
const COUNT: (Type, Unit, Convert) = (Type::Unsigned, Unit::Count, Convert::Number);
const USEC: (Type, Unit, Convert) = (Type::Unsigned, Unit::Microseconds, Convert::Number);
const USEC_OR_NONE: (Type, Unit, Convert) =
    (Type::Unsigned, Unit::Microseconds, Convert::NumberOrNone);
const JIFFIES: (Type, Unit, Convert) = (Type::Unsigned, Unit::Jiffies, Convert::Number);
const SEQ: (Type, Unit, Convert) = (Type::Unsigned, Unit::Sequence, Convert::Number);
const FLAG: (Type, Unit, Convert) = (Type::Bool, Unit::None, Convert::Bool);
const NUMBER: (Type, Unit, Convert) = (Type::Unsigned, Unit::None, Convert::Number);
const GAIN: (Type, Unit, Convert) = (Type::Float, Unit::None, Convert::Gain);

/// Every column, grouped by algorithm.
pub static FIELDS: [CaField; LIST.len()] = numbered(LIST);

#[rustfmt::skip]
const LIST: &[CaField] = &[
    field(0, "cubic.cnt", "cnt", SEGS, "Segments to be acknowledged before cwnd grows by one."),
    field(0, "cubic.last_max_cwnd", "last_max_cwnd", SEGS, "cwnd before the last reduction (W_max)."),
    field(0, "cubic.last_cwnd", "last_cwnd", SEGS, "cwnd when it was last computed."),
    field(0, "cubic.last_time", "last_time", JIFFIES, "Time of the last update of `last_cwnd`."),
    field(0, "cubic.bic_origin_point", "bic_origin_point", SEGS, "Plateau of the cubic function."),
    field(0, "cubic.bic_k", "bic_K", NUMBER, "Time from the start of the epoch to the plateau, in 1/1024 s."),
    field(0, "cubic.delay_min_us", "delay_min", USEC, "Minimum RTT seen."),
    field(0, "cubic.epoch_start", "epoch_start", JIFFIES, "Start of the epoch. 0 after a loss."),
    field(0, "cubic.ack_cnt", "ack_cnt", SEGS, "Segments acknowledged in this epoch, for the Reno estimate."),
    field(0, "cubic.tcp_cwnd", "tcp_cwnd", SEGS, "Estimated cwnd of Reno."),
    field(0, "cubic.sample_cnt", "sample_cnt", COUNT, "HyStart: RTT samples of this round."),
    field(0, "cubic.found", "found", FLAG, "HyStart: true if the exit point of slow start was found."),
    field(0, "cubic.round_start_us", "round_start", USEC, "HyStart: start of the round, on the TCP clock."),
    field(0, "cubic.end_seq", "end_seq", SEQ, "HyStart: sequence number that ends the round."),
    field(0, "cubic.last_ack_us", "last_ack", USEC, "HyStart: last time that ACKs were closely spaced, on the TCP clock."),
    field(0, "cubic.curr_rtt_us", "curr_rtt", USEC_OR_NONE, "HyStart: minimum RTT of this round. Null before the first sample."),
    field(1, "bbr.bw", "bw.s.v", (Type::Unsigned, Unit::BytesPerSecond, Convert::Bandwidth), "Bandwidth estimate, as in ss: the windowed maximum, or the long-term bandwidth while `lt_use_bw`."),
    field(1, "bbr.min_rtt_us", "min_rtt_us", USEC_OR_NONE, "Minimum RTT of the last 10 s. Null before the first sample."),
    field(1, "bbr.mode", "mode", (Type::Text, Unit::None, Convert::Mode), "STARTUP, DRAIN, PROBE_BW or PROBE_RTT."),
    field(1, "bbr.pacing_gain", "pacing_gain", GAIN, "Pacing gain."),
    field(1, "bbr.cwnd_gain", "cwnd_gain", GAIN, "cwnd gain."),
    field(1, "bbr.rtt_cnt", "rtt_cnt", COUNT, "Packet-timed rounds so far."),
    field(1, "bbr.next_rtt_delivered", "next_rtt_delivered", SEGS, "tp->delivered that ends the current round."),
    field(1, "bbr.cycle_idx", "cycle_idx", NUMBER, "Phase of the gain cycle, 0 to 7."),
    field(1, "bbr.round_start", "round_start", FLAG, "True if the last ACK started a packet-timed round."),
    field(1, "bbr.idle_restart", "idle_restart", FLAG, "True if restarting after idle."),
    field(1, "bbr.packet_conservation", "packet_conservation", FLAG, "True during packet conservation, the first round of recovery."),
    field(1, "bbr.prev_ca_state", "prev_ca_state", NUMBER, "Recovery state at the previous ACK, as a number: 0 is Open, 4 is Loss."),
    field(1, "bbr.full_bw_reached", "full_bw_reached", FLAG, "True if STARTUP has filled the pipe."),
    field(1, "bbr.full_bw_cnt", "full_bw_cnt", COUNT, "Rounds without large bandwidth growth."),
    field(1, "bbr.lt_use_bw", "lt_use_bw", FLAG, "True if the long-term bandwidth is in use, as a policer was detected."),
    field(1, "bbr.lt_is_sampling", "lt_is_sampling", FLAG, "True while the long-term bandwidth is sampled."),
    field(1, "bbr.lt_rtt_cnt", "lt_rtt_cnt", COUNT, "Rounds in the long-term sampling interval."),
    field(1, "bbr.prior_cwnd", "prior_cwnd", SEGS, "cwnd before loss recovery or PROBE_RTT."),
    field(2, "dctcp.alpha", "dctcp_alpha", (Type::Float, Unit::None, Convert::Alpha), "Estimated fraction of marked bytes, 0 to 1."),
    field(2, "dctcp.ce_state", "ce_state", FLAG, "True if the last packet carried a CE mark."),
    field(2, "dctcp.old_delivered", "old_delivered", SEGS, "tp->delivered at the start of the observation window."),
    field(2, "dctcp.old_delivered_ce", "old_delivered_ce", SEGS, "tp->delivered_ce at the start of the observation window."),
    field(2, "dctcp.next_seq", "next_seq", SEQ, "Sequence number that ends the observation window."),
    field(2, "dctcp.prior_rcv_nxt", "prior_rcv_nxt", SEQ, "rcv_nxt at the last change of `ce_state`."),
    field(2, "dctcp.loss_cwnd", "loss_cwnd", SEGS, "cwnd at the last loss."),
];

/// The columns alone, in the same order.
pub static COLUMNS: &[Column] = &{
    let mut columns = [FIELDS[0].column; FIELDS.len()];
    let mut at = 0;
    while at < FIELDS.len() {
        columns[at] = FIELDS[at].column;
        at += 1;
    }
    columns
};
