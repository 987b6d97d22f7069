//! Columns of every event type: time and connection. What the tables of columns are written with.

use crate::skel::{Head, HeadFlag};
use crate::slot::{Condition, Slot};
use crate::table::Value::Str;
use crate::table::{Column, Member, Origin, Set, Type, Unit};

/// A member of a record as a slot: `slot!(Event, tcp.snd_una)`.
macro_rules! slot {
    ($record:ty, $($member:tt)+) => {
        $crate::slot::Slot::integer(std::mem::offset_of!($record, $($member)+), |r: &$record| &r.$($member)+)
    };
}
pub(super) use slot;

/// The same as the origin of a column.
macro_rules! of {
    ($record:ty, $($member:tt)+) => {
        $crate::table::Origin::Slot($crate::events::common::slot!($record, $($member)+))
    };
}
pub(super) use of;

/// A member that holds a text up to its first NUL.
macro_rules! text {
    ($record:ty, $($member:tt)+) => {
        $crate::events::common::array!(Text, $record, $($member)+)
    };
}
pub(super) use text;

macro_rules! array {
    ($form:ident, $record:ty, $($member:tt)+) => {
        $crate::table::Origin::Slot($crate::slot::Slot::array(
            std::mem::offset_of!($record, $($member)+),
            |r: &$record| &r.$($member)+,
            $crate::slot::Form::$form,
        ))
    };
}
pub(super) use array;

/// A value that is computed from members: `call!(Event, [tcp.snd_nxt, tcp.snd_una], |[nxt, una, ..]| …)`.
macro_rules! call {
    ($record:ty, [$($($member:ident).+),+], $compute:expr) => {
        $crate::table::Origin::call(const { &[$($crate::events::common::slot!($record, $($member).+)),+] }, $compute)
    };
}
pub(super) use call;

/// `TCC_UNKNOWN_NS`.
pub(super) const UNKNOWN_NS: u64 = u64::MAX;

/// tcp_disconnect() had cleared addresses and ports before they were recorded.
const WIPED: Condition = Condition {
    mask: HeadFlag::TCC_HEAD_WIPED.0 as u64,
    ..Condition::is_not(slot!(Head, flags), 0)
};
const NOT_WIPED: &[Condition] = &[Condition { equal: true, ..WIPED }];

/// The first twelve bytes of an IPv4-mapped address, as two numbers.
const MAPPED: [u64; 2] = [0, u32::from_ne_bytes([0, 0, 0xff, 0xff]) as u64];
const PEER: usize = std::mem::offset_of!(Head, daddr);

/// Shorthand for the tables.
pub(super) const fn column(
    name: &'static str,
    (ty, unit): (Type, Unit),
    set: Set,
    source: &'static str,
    doc: &'static str,
    origin: Origin,
) -> Column {
    Column { name, ty, unit, set, doc, source, need: None, origin }
}

/// A standard column.
pub(super) const fn std(
    name: &'static str,
    of_type: (Type, Unit),
    source: &'static str,
    doc: &'static str,
    origin: Origin,
) -> Column {
    column(name, of_type, Set::Standard, source, doc, origin)
}

/// A column for `--all-fields`.
pub(super) const fn full(
    name: &'static str,
    of_type: (Type, Unit),
    source: &'static str,
    doc: &'static str,
    origin: Origin,
) -> Column {
    column(name, of_type, Set::Full, source, doc, origin)
}

/// A column that is printed only on request.
pub(super) const fn named(
    name: &'static str,
    of_type: (Type, Unit),
    source: &'static str,
    doc: &'static str,
    origin: Origin,
) -> Column {
    column(name, of_type, Set::Named, source, doc, origin)
}

/// A column that needs a member which older kernels do not have.
pub(super) const fn needs(member: Member, column: Column) -> Column {
    Column { need: Some(member), ..column }
}

/// The common columns.
#[rustfmt::skip]
pub static COLUMNS: &[Column] = &[
    std("time", (Type::Time, Unit::None), "mono_ns plus the offset of CLOCK_REALTIME", "Time of the event: RFC 3339 in UTC with nanoseconds, or seconds with `--time mono` and `--time rel`.", Origin::Time(slot!(Head, mono_ns))),
    std("mono_ns", (Type::Unsigned, Unit::Nanoseconds), "bpf_ktime_get_ns()", "Time of the event on CLOCK_MONOTONIC.", of!(Head, mono_ns)),
    std("cookie", (Type::Unsigned, Unit::None), "sock_gen_cookie(sk), SO_COOKIE", "Socket cookie: identifies the connection, unique until reboot. Null if the kernel has not generated one yet.", of!(Head, cookie).unset(0)),
    std("family", (Type::Text, Unit::None), "sk_family, sk_v6_daddr", "`ipv4` or `ipv6`. IPv4-mapped connections of IPv6 sockets are `ipv4`, as on the wire.", Origin::call(
        const { &[Slot::number(PEER, 8), Slot::number(PEER + 8, 4)] },
        |[first, second, ..]| Str(if [first, second] == MAPPED { "ipv4" } else { "ipv6" }),
    )),
    std("saddr", (Type::Address, Unit::None), "sk_rcv_saddr, sk_v6_rcv_saddr", "Local address: that of the traced socket, whatever the direction of the packet. Null if tcp_disconnect() has cleared it.", array!(Address, Head, saddr).unset_if(0, WIPED)),
    std("sport", (Type::Unsigned, Unit::None), "skc_num", "Local port. Null if tcp_disconnect() has cleared it.", of!(Head, sport).unset_if(0, WIPED)),
    std("daddr", (Type::Address, Unit::None), "sk_daddr, sk_v6_daddr", "Address of the peer. Null if tcp_disconnect() has cleared it.", array!(Address, Head, daddr).when(NOT_WIPED)),
    std("dport", (Type::Unsigned, Unit::None), "skc_dport", "Port of the peer. Null if tcp_disconnect() has cleared it.", of!(Head, dport).when(NOT_WIPED)),
];
