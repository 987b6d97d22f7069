//! The metrics: names, units, types, and what of the totals they show.

use crate::config::summary::{Metric, Observe, TimeField};
use crate::events::names::LIMIT_CAUSES;
use crate::skel::{ObserveReason, ObserveSum};
use crate::summary::observe::columns::{
    self, CA_STATES, CONNECTIONS, Label, RETRANSMITS, SPURIOUS, TIMERS, ZERO_WINDOWS,
};
use crate::summary::observe::top;

/// Before every name.
pub const PREFIX: &str = "tcctrace";

/// A base unit, which ends the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    None,
    Seconds,
    Bytes,
    BytesPerSecond,
    Segments,
}

impl Unit {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
            Unit::BytesPerSecond => "bytes_per_second",
            Unit::Segments => "segments",
        }
    }
}

/// What a metric shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// A sum of a row.
    Sum(usize),
    /// Sums of a row by a label.
    Sums(&'static str, &'static [Label]),
    /// Connections that are open: the newest value.
    Open,
    /// Events by reason.
    Reasons(ObserveReason),
    /// Of those in each recovery state.
    StateTimes,
    /// By what limited a connection.
    LimitTimes,
    /// A distribution. A value of 1 is that much of the unit.
    Distribution(TimeField, f64),
    /// Samples that have no value, of all distributions.
    Unset,
    /// Of each connection of --top.
    Connection(Of),
    /// Of the whole exporter, not of rows.
    Own(Own),
}

/// What is shown of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Sent,
    Acked,
    Received,
    Retransmitted,
    Srtt,
    MinRtt,
    Cwnd,
    DeliveryRate,
}

/// What the exporter shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    Build,
    Seen,
    Lost,
    Overflow,
    Dropped,
    Evicted,
    Named,
    Read,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Without the prefix, the unit and `_total`.
    pub name: &'static str,
    pub unit: Unit,
    pub help: &'static str,
    /// Where the kernel counts it.
    pub source: &'static str,
    /// With what of --metrics it comes; `None`: always.
    pub metric: Option<Metric>,
    pub values: Values,
}

const fn of(
    metric: Metric,
    (name, unit): (&'static str, Unit),
    values: Values,
    source: &'static str,
    help: &'static str,
) -> Family {
    Family { name, unit, help, source, metric: Some(metric), values }
}

const fn own(name: &'static str, unit: Unit, of: Own, help: &'static str) -> Family {
    Family { name, unit, help, source: "tcc-trace", metric: None, values: Values::Own(of) }
}

const fn connection(
    name: &'static str,
    unit: Unit,
    of: Of,
    source: &'static str,
    help: &'static str,
) -> Family {
    Family { name, unit, help, source, metric: None, values: Values::Connection(of) }
}

const fn sum(sum: ObserveSum) -> Values {
    Values::Sum(sum.0 as usize)
}

const OPENS: &[Label] = &[CONNECTIONS[0], CONNECTIONS[1]];
const US: f64 = 1e-6;
/// A kbit/s.
const RATE: f64 = 125.0;

use Metric as M;
use ObserveSum as S;

#[rustfmt::skip]
pub static FAMILIES: &[Family] = &[
    of(M::Connections, ("connections_opened", Unit::None), Values::Sums("open", OPENS), "sock:inet_sock_set_state", "Attempts to connect that have ended, well or not (active_opens), and connections that a listener has made (passive_opens)."),
    of(M::Connections, ("connections_failed", Unit::None), sum(S::TCC_OBSERVE_FAILED), "sock:inet_sock_set_state", "Of both, those that ended before they were established."),
    of(M::Connections, ("connections_established", Unit::None), sum(S::TCC_OBSERVE_ESTABLISHED), "sock:inet_sock_set_state", "Connections that became established."),
    of(M::Connections, ("connections_closed", Unit::None), sum(S::TCC_OBSERVE_CLOSED), "sock:inet_sock_set_state", "Connections that were established, and have changed to CLOSE or TIME_WAIT."),
    of(M::Connections, ("connections_aborted", Unit::None), sum(S::TCC_OBSERVE_ABORTED), "sock:inet_sock_set_state", "Of those closed, those that left ESTABLISHED or CLOSE_WAIT for CLOSE, as EstabResets counts."),
    of(M::Connections, ("connections_untracked", Unit::None), sum(S::TCC_OBSERVE_UNTRACKED), "tcp:tcp_destroy_sock", "Connections that ended, and whose bytes are not known."),
    of(M::Connections, ("connections_open", Unit::None), Values::Open, "struct sock", "Connections that are established or half closed."),
    of(M::Bytes, ("sent", Unit::Bytes), sum(S::TCC_OBSERVE_BYTES_SENT), "tp->bytes_sent", "Bytes sent, retransmissions included."),
    of(M::Bytes, ("retransmitted", Unit::Bytes), sum(S::TCC_OBSERVE_BYTES_RETRANS), "tp->bytes_retrans", "Bytes retransmitted."),
    of(M::Bytes, ("acked", Unit::Bytes), sum(S::TCC_OBSERVE_BYTES_ACKED), "tp->bytes_acked", "Bytes sent and acknowledged."),
    of(M::Bytes, ("received", Unit::Bytes), sum(S::TCC_OBSERVE_BYTES_RECEIVED), "tp->bytes_received", "Bytes received in order."),
    of(M::Bytes, ("sent", Unit::Segments), sum(S::TCC_OBSERVE_SEGS_OUT), "tp->segs_out", "Segments sent."),
    of(M::Bytes, ("received", Unit::Segments), sum(S::TCC_OBSERVE_SEGS_IN), "tp->segs_in", "Segments received."),
    of(M::Bytes, ("sent_data", Unit::Segments), sum(S::TCC_OBSERVE_DATA_SEGS_OUT), "tp->data_segs_out", "Segments with data sent."),
    of(M::Bytes, ("received_data", Unit::Segments), sum(S::TCC_OBSERVE_DATA_SEGS_IN), "tp->data_segs_in", "Segments with data received."),
    of(M::Rtt, ("rtt", Unit::Seconds), Values::Distribution(TimeField::Srtt, US), "tp->srtt_us", "Smoothed RTT at each packet that an established connection receives."),
    of(M::Retransmits, ("retransmitted", Unit::Segments), Values::Sums("class", RETRANSMITS), "tcp:tcp_retransmit_skb, tcp:tcp_retransmit_synack", "Segments retransmitted, by why they were."),
    of(M::Resets, ("resets_sent", Unit::None), Values::Reasons(ObserveReason::TCC_REASON_RESET_SENT), "tcp:tcp_send_reset", "RSTs sent, by reason; since Linux 6.10 with a reason, and also those without a socket."),
    of(M::Resets, ("resets_received", Unit::None), sum(S::TCC_OBSERVE_RESETS_RECEIVED), "tcp:tcp_receive_reset", "RSTs that ended a connection."),
    of(M::Drops, ("dropped_packets", Unit::None), Values::Reasons(ObserveReason::TCC_REASON_DROP), "skb:kfree_skb", "TCP packets dropped, by reason; since Linux 5.17 with a reason."),
    of(M::MinRtt, ("min_rtt", Unit::Seconds), Values::Distribution(TimeField::MinRtt, US), "tp->rtt_min", "Smallest RTT of the connection, at each sample."),
    of(M::Cwnd, ("congestion_window", Unit::Segments), Values::Distribution(TimeField::Cwnd, 1.0), "tp->snd_cwnd", "Congestion window, at each sample."),
    of(M::InFlight, ("in_flight", Unit::Segments), Values::Distribution(TimeField::InFlight, 1.0), "tcp_packets_in_flight()", "Segments in flight, at each sample."),
    of(M::DeliveryRate, ("delivery_rate", Unit::BytesPerSecond), Values::Distribution(TimeField::DeliveryRate, RATE), "tp->rate_delivered, tp->rate_interval_us", "Delivery rate, at each sample that the application did not limit."),
    of(M::PacingRate, ("pacing_rate", Unit::BytesPerSecond), Values::Distribution(TimeField::PacingRate, RATE), "sk->sk_pacing_rate", "Pacing rate, at each sample."),
    of(M::Unsent, ("unsent", Unit::Bytes), Values::Distribution(TimeField::Unsent, 1.0), "tp->write_seq - tp->snd_nxt", "Bytes written and not sent, at each sample."),
    of(M::Connlat, ("connect", Unit::Seconds), Values::Distribution(TimeField::Latency, US), "sock:inet_sock_set_state", "Time from the first SYN until a connection is established."),
    of(M::Connlat, ("failed_connect", Unit::Seconds), Values::Distribution(TimeField::Failed, US), "sock:inet_sock_set_state", "Time from the first SYN until an attempt to connect fails."),
    of(M::Queue, ("queue", Unit::Seconds), Values::Distribution(TimeField::Queue, US), "net:net_dev_start_xmit", "Time of each packet between TCP and the driver."),
    of(M::Timers, ("timer_retransmissions", Unit::None), Values::Sums("timer", TIMERS), "tcp:tcp_retransmit_skb", "Retransmissions by the retransmission timer (rto), and tail loss probes that are retransmissions (tlp)."),
    of(M::Spurious, ("spurious_retransmissions", Unit::None), Values::Sums("evidence", SPURIOUS), "tcp:tcp_probe", "Retransmissions found to have been unnecessary, by how this was found."),
    of(M::CaStates, ("ca_state_entries", Unit::None), Values::Sums("state", CA_STATES), "tcp:tcp_cong_state_set", "Changes to each recovery state."),
    of(M::CaStates, ("ca_state", Unit::Seconds), Values::StateTimes, "tcp:tcp_cong_state_set", "Time in each recovery state, of connections that have changed their state."),
    of(M::ZeroWindows, ("zero_windows", Unit::None), Values::Sums("side", ZERO_WINDOWS), "tcp:tcp_probe", "Windows that closed: that of the peer, or the local one."),
    of(M::Limits, ("limit", Unit::Seconds), Values::LimitTimes, "struct tcp_sock", "Time of connections, by what limited them."),
    Family { name: "samples_without_value", unit: Unit::None, help: "Samples that are in no bucket of a distribution, as they have no value yet; of delivery_rate_bytes_per_second also those that the application limited.", source: "counted", metric: None, values: Values::Unset },
    connection("connection_sent", Unit::Bytes, Of::Sent, "tp->bytes_sent", "Bytes that the connection has sent, retransmissions included."),
    connection("connection_acked", Unit::Bytes, Of::Acked, "tp->bytes_acked", "Bytes that the connection has sent, and that were acknowledged."),
    connection("connection_received", Unit::Bytes, Of::Received, "tp->bytes_received", "Bytes that the connection has received in order."),
    connection("connection_retransmitted", Unit::Segments, Of::Retransmitted, "tp->total_retrans", "Segments that the connection has retransmitted."),
    connection("connection_srtt", Unit::Seconds, Of::Srtt, "tp->srtt_us >> 3", "Smoothed RTT of the connection."),
    connection("connection_min_rtt", Unit::Seconds, Of::MinRtt, "tp->rtt_min", "Smallest RTT of the connection."),
    connection("connection_congestion_window", Unit::Segments, Of::Cwnd, "tp->snd_cwnd", "Congestion window of the connection."),
    connection("connection_delivery_rate", Unit::BytesPerSecond, Of::DeliveryRate, "tp->rate_delivered, tp->rate_interval_us", "Delivery rate of the connection, as TCP_INFO has it."),
    own("events", Unit::None, Own::Seen, "Events at the hooks, by event type."),
    own("events_lost", Unit::None, Own::Lost, "Events that are in no other metric: the kernel skipped the program, or a filter could not be decided."),
    own("events_overflow", Unit::None, Own::Overflow, "Events whose labels found no room; they are counted with each label as other."),
    own("series_dropped", Unit::None, Own::Dropped, "Without a label: rows of series that ended, as they were idle and others needed the room. With one: values of that label that are counted as other, as it has as many as --labels allows."),
    own("evicted_entries", Unit::None, Own::Evicted, "Entries evicted from full maps of connections, by what they are of (raise --max-conns)."),
    own("connections_named", Unit::None, Own::Named, "Connections that have got series of their own so far, with --top."),
    own("read", Unit::Seconds, Own::Read, "How long reading all connections and counters took, for the newest values."),
    own("build_info", Unit::None, Own::Build, "Version of tcc-trace, and of the kernel."),
];

/// As Prometheus names types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Counter,
    Gauge,
    Histogram,
}

impl Type {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        }
    }
}

impl Family {
    #[must_use]
    pub fn metric_type(&self) -> Type {
        match self.values {
            Values::Open
            | Values::Own(Own::Build | Own::Read)
            | Values::Connection(Of::Srtt | Of::MinRtt | Of::Cwnd | Of::DeliveryRate) => {
                Type::Gauge
            }
            Values::Distribution(..) => Type::Histogram,
            _ => Type::Counter,
        }
    }

    /// With the unit; without the prefix and `_total`.
    #[must_use]
    pub fn base_name(&self) -> String {
        match self.unit {
            Unit::None => self.name.to_owned(),
            unit => format!("{}_{}", self.name, unit.name()),
        }
    }

    /// As Prometheus stores it.
    #[must_use]
    pub fn full_name(&self) -> String {
        let total = if self.metric_type() == Type::Counter { "_total" } else { "" };
        format!("{PREFIX}_{}{total}", self.base_name())
    }

    /// Its own labels, beside those of --labels.
    #[must_use]
    pub fn labels(&self) -> &'static [&'static str] {
        match self.values {
            Values::Sums("open", _) => &["open"],
            Values::Sums("class", _) => &["class"],
            Values::Sums("timer", _) => &["timer"],
            Values::Sums("evidence", _) => &["evidence"],
            Values::Sums("side", _) => &["side"],
            Values::Sums(..) | Values::StateTimes => &["state"],
            Values::Reasons(_) => &["reason"],
            Values::LimitTimes => &["cause"],
            Values::Unset => &["metric"],
            Values::Connection(_) => &top::LABELS,
            Values::Own(Own::Seen | Own::Lost | Own::Overflow) => &["type"],
            Values::Own(Own::Dropped) => &["label"],
            Values::Own(Own::Evicted) => &["map"],
            Values::Own(Own::Build) => &["version", "kernel"],
            _ => &[],
        }
    }

    /// Whether it is of the whole exporter.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self.values, Values::Own(_))
    }

    /// Whether it comes with --top only.
    #[must_use]
    pub fn is_of_top(&self) -> bool {
        matches!(self.values, Values::Connection(_) | Values::Own(Own::Named))
    }

    /// Whether these options count it.
    #[must_use]
    pub fn is_counted(&self, options: &Observe) -> bool {
        match self.values {
            Values::Unset => !options.histograms().fields.is_empty(),
            _ if self.is_of_top() => options.top.is_some(),
            _ => self.metric.is_none_or(|metric| options.has(metric)),
        }
    }

    /// How many series a label set has of it.
    #[must_use]
    pub fn series(&self) -> u32 {
        let count = match self.values {
            Values::Sum(_) | Values::Open | Values::Unset => 1,
            Values::Sums(_, labels) => labels.len(),
            Values::Reasons(_) => crate::config::observe::REASONS_EACH as usize,
            Values::StateTimes => columns::CA_STATES.len(),
            Values::LimitTimes => LIMIT_CAUSES.len(),
            Values::Distribution(field, scale) => super::histogram::series(field, scale),
            Values::Connection(_) | Values::Own(_) => 0,
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// How many series a label set has.
#[must_use]
pub fn series_of_a_label_set(options: &Observe) -> u32 {
    let counted = FAMILIES.iter().filter(|family| family.is_counted(options));
    counted.map(Family::series).sum::<u32>().max(1)
}
