//! Owner and connection state: the columns of all event types whose records begin with `struct tcc_event`.

use super::common::{self, call, full, needs, of, slot, std};
use super::computed::in_flight;
use super::names::{CA_STATES, INFINITE_SSTHRESH, TCP_STATES};
use super::owner::owner_columns;
use crate::skel::{Event, Presence};
use crate::slot::Condition;
use crate::slot::Names::List;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{self, Bytes, Count, Microseconds, Segments, Sequence};
use crate::table::{Column, Member};

/// The event has the connection's counters: a full socket that has not been disconnected.
pub(super) const PRESENT: &[Condition] =
    &[Condition::is(slot!(Event, tcp.present), Presence::TCC_SOCK_PRESENT.0 as u64)];
/// There is a full socket.
const SOCKET: Condition =
    Condition::is_not(slot!(Event, tcp.present), Presence::TCC_SOCK_NONE.0 as u64);
const HAS_PID: Condition = Condition::is_not(slot!(Event, owner.pid), 0);

/// Exists with CONFIG_MPTCP, since 5.6.
const IS_MPTCP: Member = Member { type_name: "tcp_sock", member: "is_mptcp" };

// Without a socket there is no owner, but a packet still has a namespace.
static OWNER: &[Column] = &owner_columns!(Event, owner, full, std, &[SOCKET], &[SOCKET, HAS_PID]);

#[rustfmt::skip]
static TCP: &[Column] = &[
    full("state", (Text, Unit::None), "sk->sk_state", "TCP state before the event.", of!(Event, tcp.state).named(List(TCP_STATES)).when(&[SOCKET])),
    std("ca_state", (Text, Unit::None), "icsk_ca_state", "Recovery state before the event: Open, Disorder, CWR, Recovery or Loss.", of!(Event, tcp.ca_state).named(List(CA_STATES)).when(PRESENT)),
    std("snd_cwnd", (Unsigned, Segments), "tp->snd_cwnd", "Congestion window.", of!(Event, tcp.snd_cwnd).when(PRESENT)),
    std("snd_ssthresh", (Unsigned, Segments), "tp->snd_ssthresh", "Stored slow-start threshold. Null if infinite.", of!(Event, tcp.snd_ssthresh).unset(INFINITE_SSTHRESH).when(PRESENT)),
    std("packets_in_flight", (Unsigned, Segments), "tcp_packets_in_flight(tp)", "Segments in flight: packets_out - sacked_out - lost_out + retrans_out.", call!(Event, [tcp.packets_out, tcp.sacked_out, tcp.lost_out, tcp.retrans_out], in_flight).when(PRESENT)),
    full("packets_out", (Unsigned, Segments), "tp->packets_out", "Segments sent and not cumulatively acknowledged (`unacked` in ss).", of!(Event, tcp.packets_out).when(PRESENT)),
    full("sacked_out", (Unsigned, Segments), "tp->sacked_out", "SACKed segments (without SACK: duplicate ACKs).", of!(Event, tcp.sacked_out).when(PRESENT)),
    full("lost_out", (Unsigned, Segments), "tp->lost_out", "Segments currently marked lost.", of!(Event, tcp.lost_out).when(PRESENT)),
    full("retrans_out", (Unsigned, Segments), "tp->retrans_out", "Retransmitted segments not yet acknowledged.", of!(Event, tcp.retrans_out).when(PRESENT)),
    full("retransmits", (Unsigned, Count), "icsk_retransmits", "Consecutive timeouts without an ACK.", of!(Event, tcp.retransmits).when(PRESENT)),
    full("total_retrans", (Unsigned, Segments), "tp->total_retrans", "Segments retransmitted in the connection's lifetime.", of!(Event, tcp.total_retrans).when(PRESENT)),
    full("snd_una", (Unsigned, Sequence), "tp->snd_una", "First unacknowledged sequence number.", of!(Event, tcp.snd_una).when(PRESENT)),
    full("snd_nxt", (Unsigned, Sequence), "tp->snd_nxt", "Next sequence number to send.", of!(Event, tcp.snd_nxt).when(PRESENT)),
    full("write_seq", (Unsigned, Sequence), "tp->write_seq", "Sequence number after the last byte that the application has written.", of!(Event, tcp.write_seq).when(PRESENT)),
    full("snd_wnd", (Unsigned, Bytes), "tp->snd_wnd", "Receive window last accepted from the peer.", of!(Event, tcp.snd_wnd).when(PRESENT)),
    full("rcv_wnd", (Unsigned, Bytes), "tp->rcv_wnd", "Receive window last advertised.", of!(Event, tcp.rcv_wnd).when(PRESENT)),
    std("srtt_us", (Unsigned, Microseconds), "tp->srtt_us >> 3", "Smoothed RTT. Null before the first sample.", of!(Event, tcp.srtt_us).unset(0).when(PRESENT)),
    needs(IS_MPTCP, std("mptcp_token", (Unsigned, Unit::None), "mptcp_subflow_ctx(sk)->token", "Token of the MPTCP connection that the subflow belongs to, which `ss -M` prints in hexadecimal. Null if the socket is not a subflow, and for listeners.", of!(Event, tcp.mptcp_token).unset(0).when(PRESENT))),
    full("bytes_acked", (Unsigned, Bytes), "tp->bytes_acked", "Bytes acknowledged by the peer. SYN and FIN count as one each.", of!(Event, tcp.bytes_acked).when(PRESENT)),
    full("bytes_received", (Unsigned, Bytes), "tp->bytes_received", "Bytes received in order. A FIN counts as one.", of!(Event, tcp.bytes_received).when(PRESENT)),
];

/// What shapes a sender's output, for a record with a `sender`.
#[rustfmt::skip]
macro_rules! sender_columns {
    ($record:ty) => { [
        $crate::events::common::full("mss", ($crate::table::Type::Unsigned, $crate::table::Unit::Bytes), "tp->mss_cache", "MSS in use for sending.", $crate::events::common::of!($record, sender.mss)),
        $crate::events::common::full("pacing_rate", ($crate::table::Type::Unsigned, $crate::table::Unit::BytesPerSecond), "sk->sk_pacing_rate", "Pacing rate. Null if not set.", $crate::events::common::of!($record, sender.pacing_rate).unset(u64::MAX)),
        $crate::events::common::full("wmem_queued", ($crate::table::Type::Signed, $crate::table::Unit::Bytes), "sk->sk_wmem_queued", "Memory of the send queue (skmem `w` in ss).", $crate::events::common::of!($record, sender.wmem_queued)),
    ] };
}
pub(super) use sender_columns;

/// Columns of the socket's owner, shared by all event types but `probe`.
pub fn owner_columns() -> impl Iterator<Item = &'static Column> {
    OWNER.iter()
}

/// Columns of the connection's state, shared by all event types but `probe`.
pub fn connection_columns() -> impl Iterator<Item = &'static Column> {
    TCP.iter()
}

/// All columns of an event type: common ones, its own, owner, connection state without those that it replaces by its own.
pub(super) fn columns(own: &[&'static [Column]]) -> Vec<&'static Column> {
    let own = || own.iter().copied().flatten();
    let tcp = TCP.iter().filter(|column| !own().any(|o| o.name == column.name));
    common::COLUMNS.iter().chain(own()).chain(OWNER).chain(tcp).collect()
}

/// Defines an event type whose own columns are the table `COLUMNS`, and one more if it is named `with` the record. What differs
/// from the usual follows the view.
macro_rules! socket_event_type {
    ($record:ident $(with $more:ident)?, $number:ident, $name:literal, $hook:literal, $doc:literal, $view:expr
     $(, $member:ident: $value:expr)* $(,)?) => {
        /// The event type for the registry.
        pub const EVENT_TYPE: crate::events::EventType = crate::events::EventType {
            name: $name,
            number: crate::skel::EventType::$number.0 as u8,
            doc: $doc,
            hook: $hook,
            columns: || crate::events::socket::columns(&[COLUMNS $(, $more)?]),
            view: $view,
            $($member: $value,)*
            ..crate::events::EventType::of::<$record>()
        };
    };
}
pub(super) use socket_event_type;

/// Text columns of an event type, after those that all have in front.
macro_rules! view {
    ($($column:expr),* $(,)?) => {
        &[("TIME", "time", 15), ("LOCAL", "saddr:sport", 15), ("PEER", "daddr:dport", 15), $($column),*]
    };
}
pub(super) use view;
