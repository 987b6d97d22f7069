//! Owner and connection state: the columns of all event types whose records begin with `struct tcc_event`.

use plain::Plain;

use super::common::{self, Field, full, needs, std};
use super::names::{CA_STATES, INFINITE_SSTHRESH, TCP_STATES, name};
use super::owner::owner_fields;
use crate::skel::{Event, Presence, Tcp};
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{self, Bytes, Count, Microseconds, Segments, Sequence};
use crate::table::Value::{self, Null, U64};
use crate::table::{Column, Member};

/// True if the event has the connection's counters: a full socket that has not been disconnected.
pub(super) fn is_known(tcp: &Tcp) -> bool {
    u32::from(tcp.present) == Presence::TCC_SOCK_PRESENT.0
}

/// A value of the connection's state; null if that is not known.
macro_rules! of_tcp {
    (|$t:ident| $value:expr) => {
        |e| {
            if is_known(&e.tcp) { (|$t: &Tcp| -> Value<'static> { $value })(&e.tcp) } else { Null }
        }
    };
}

/// Exists with CONFIG_MPTCP, since 5.6.
const IS_MPTCP: Member = Member { type_name: "tcp_sock", member: "is_mptcp" };

static OWNER: &[Field<Event>] = &owner_fields!(full, std);

#[rustfmt::skip]
static TCP: &[Field<Event>] = &[
    full("state", (Text, Unit::None), "sk->sk_state", "TCP state before the event.", |e| if e.tcp.present == 0 { Null } else { name(TCP_STATES, e.tcp.state) }),
    std("ca_state", (Text, Unit::None), "icsk_ca_state", "Recovery state before the event: Open, Disorder, CWR, Recovery or Loss.", of_tcp!(|t| name(CA_STATES, t.ca_state))),
    std("snd_cwnd", (Unsigned, Segments), "tp->snd_cwnd", "Congestion window.", of_tcp!(|t| U64(t.snd_cwnd.into()))),
    std("snd_ssthresh", (Unsigned, Segments), "tp->snd_ssthresh", "Stored slow-start threshold. Null if infinite.", of_tcp!(|t| Value::unless(t.snd_ssthresh.into(), INFINITE_SSTHRESH))),
    std("packets_in_flight", (Unsigned, Segments), "tcp_packets_in_flight(tp)", "Segments in flight: packets_out - sacked_out - lost_out + retrans_out.", of_tcp!(|t| U64(in_flight(t).into()))),
    full("packets_out", (Unsigned, Segments), "tp->packets_out", "Segments sent and not cumulatively acknowledged (`unacked` in ss).", of_tcp!(|t| U64(t.packets_out.into()))),
    full("sacked_out", (Unsigned, Segments), "tp->sacked_out", "SACKed segments (without SACK: duplicate ACKs).", of_tcp!(|t| U64(t.sacked_out.into()))),
    full("lost_out", (Unsigned, Segments), "tp->lost_out", "Segments currently marked lost.", of_tcp!(|t| U64(t.lost_out.into()))),
    full("retrans_out", (Unsigned, Segments), "tp->retrans_out", "Retransmitted segments not yet acknowledged.", of_tcp!(|t| U64(t.retrans_out.into()))),
    full("retransmits", (Unsigned, Count), "icsk_retransmits", "Consecutive timeouts without an ACK.", of_tcp!(|t| U64(t.retransmits.into()))),
    full("total_retrans", (Unsigned, Segments), "tp->total_retrans", "Segments retransmitted in the connection's lifetime.", of_tcp!(|t| U64(t.total_retrans.into()))),
    full("snd_una", (Unsigned, Sequence), "tp->snd_una", "First unacknowledged sequence number.", of_tcp!(|t| U64(t.snd_una.into()))),
    full("snd_nxt", (Unsigned, Sequence), "tp->snd_nxt", "Next sequence number to send.", of_tcp!(|t| U64(t.snd_nxt.into()))),
    full("write_seq", (Unsigned, Sequence), "tp->write_seq", "Sequence number after the last byte that the application has written.", of_tcp!(|t| U64(t.write_seq.into()))),
    full("snd_wnd", (Unsigned, Bytes), "tp->snd_wnd", "Receive window last accepted from the peer.", of_tcp!(|t| U64(t.snd_wnd.into()))),
    full("rcv_wnd", (Unsigned, Bytes), "tp->rcv_wnd", "Receive window last advertised.", of_tcp!(|t| U64(t.rcv_wnd.into()))),
    std("srtt_us", (Unsigned, Microseconds), "tp->srtt_us >> 3", "Smoothed RTT. Null before the first sample.", of_tcp!(|t| Value::unless(t.srtt_us.into(), 0))),
    needs(IS_MPTCP, std("mptcp_token", (Unsigned, Unit::None), "mptcp_subflow_ctx(sk)->token", "Token of the MPTCP connection that the subflow belongs to, which `ss -M` prints in hexadecimal. Null if the socket is not a subflow, and for listeners.", of_tcp!(|t| Value::unless(t.mptcp_token.into(), 0)))),
    full("bytes_acked", (Unsigned, Bytes), "tp->bytes_acked", "Bytes acknowledged by the peer. SYN and FIN count as one each.", of_tcp!(|t| U64(t.bytes_acked))),
    full("bytes_received", (Unsigned, Bytes), "tp->bytes_received", "Bytes received in order. A FIN counts as one.", of_tcp!(|t| U64(t.bytes_received))),
];

fn in_flight(t: &Tcp) -> u32 {
    t.packets_out.wrapping_sub(t.sacked_out.wrapping_add(t.lost_out)).wrapping_add(t.retrans_out)
}

/// The connection's state without the columns that the event type replaces by its own.
fn tcp<R>(own: &'static [Field<R>]) -> impl Iterator<Item = &'static Field<Event>> {
    TCP.iter().filter(|f| !own.iter().any(|o| o.column.name == f.column.name))
}

/// Columns of the socket's owner, shared by all event types but `probe`.
pub fn owner_columns() -> impl Iterator<Item = &'static Column> {
    OWNER.iter().map(|f| &f.column)
}

/// Columns of the connection's state, shared by all event types but `probe`.
pub fn connection_columns() -> impl Iterator<Item = &'static Column> {
    TCP.iter().map(|f| &f.column)
}

/// All columns of an event type: common ones, its own, owner, connection state.
pub(super) fn columns<R>(own: &'static [Field<R>]) -> Vec<&'static Column> {
    common::FIELDS
        .iter()
        .map(|f| &f.column)
        .chain(own.iter().map(|f| &f.column))
        .chain(owner_columns())
        .chain(tcp(own).map(|f| &f.column))
        .collect()
}

/// The value of a column, counted from after the common ones. The bytes are 8-aligned and at least as many as the record
/// has.
pub(super) fn value<'a, R: Plain>(
    own: &'static [Field<R>],
    bytes: &'a [u8],
    index: usize,
) -> Value<'a> {
    if let Some(field) = own.get(index) {
        return plain::from_bytes(bytes).map_or(Null, |record: &R| (field.get)(record));
    }
    let Ok(event) = plain::from_bytes::<Event>(bytes) else {
        return Null;
    };
    let index = index - own.len();
    match OWNER.get(index) {
        // Without a socket there is no owner, but a packet still has a namespace.
        Some(field) if event.tcp.present == 0 && field.column.name != "netns" => Null,
        Some(field) => (field.get)(event),
        None => tcp(own).nth(index - OWNER.len()).map_or(Null, |field| (field.get)(event)),
    }
}

/// Defines an event type whose own columns are the table `FIELDS`.
macro_rules! socket_event_type {
    ($record:ident, $number:ident, $name:literal, $hook:literal, $doc:literal, $view:expr) => {
        socket_event_type!($record, $number, $name, $hook, $doc, $view, |bytes, _, index| {
            crate::events::socket::value(FIELDS, bytes, index)
        });
    };
    ($record:ident, $number:ident, $name:literal, $hook:literal and $extra_hooks:expr, $doc:literal, $view:expr) => {
        socket_event_type!(@ $record, $number, $name, $hook, $extra_hooks, &[], $doc, $view, |bytes, _, index| {
            crate::events::socket::value(FIELDS, bytes, index)
        }, &[]);
    };
    ($record:ident, $number:ident, $name:literal, $hook:literal and $extra_hooks:expr, $doc:literal, $view:expr, $value:expr,
     trackers: $trackers:expr) => {
        socket_event_type!(@ $record, $number, $name, $hook, $extra_hooks, &[], $doc, $view, $value, $trackers);
    };
    ($record:ident, $number:ident, $name:literal, $hook:literal or $fallback_hooks:expr, $doc:literal, $view:expr) => {
        socket_event_type!(@ $record, $number, $name, $hook, &[], $fallback_hooks, $doc, $view, |bytes, _, index| {
            crate::events::socket::value(FIELDS, bytes, index)
        }, &[]);
    };
    ($record:ident, $number:ident, $name:literal, $hook:literal, $doc:literal, $view:expr, $value:expr) => {
        socket_event_type!(@ $record, $number, $name, $hook, &[], &[], $doc, $view, $value, &[]);
    };
    ($record:ident, $number:ident, $name:literal, $hook:literal, $doc:literal, $view:expr, $value:expr,
     trackers: $trackers:expr) => {
        socket_event_type!(@ $record, $number, $name, $hook, &[], &[], $doc, $view, $value, $trackers);
    };
    (@ $record:ident, $number:ident, $name:literal, $hook:literal, $extra_hooks:expr, $fallback_hooks:expr, $doc:literal, $view:expr, $value:expr,
     $trackers:expr) => {
        /// The event type for the registry.
        pub const EVENT_TYPE: crate::events::EventType = crate::events::EventType {
            name: $name,
            number: crate::skel::EventType::$number.0 as u8,
            doc: $doc,
            hook: $hook,
            extra_hooks: $extra_hooks,
            fallback_hooks: $fallback_hooks,
            columns: || crate::events::socket::columns(FIELDS),
            view: $view,
            trackers: $trackers,
            record: Some(crate::events::Record {
                size: size_of::<$record>(),
                longest: size_of::<$record>(),
                value: $value,
            }),
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
