//! The columns that every event type has: when, and which connection.

use std::net::{IpAddr, Ipv6Addr};

use crate::skel::{Head, HeadFlag};
use crate::table::{Column, Member, Moment, Set, Type, Unit, Value};

/// The beginning of every event, with its moment already turned into the clock that `--time` chose.
#[derive(Clone, Copy, Debug)]
pub struct Common {
    pub head: Head,
    pub time: Moment,
}

/// A column and how its value is got from a record of type `R`.
pub struct Field<R: 'static> {
    pub column: Column,
    pub get: for<'a> fn(&'a R) -> Value<'a>,
}

/// An IPv4 address is recorded as a mapped one.
fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

/// Has the kernel erased the ends, before anybody saw them?
fn is_wiped(c: &Common) -> bool {
    u32::from(c.head.full) & HeadFlag::TCC_HEAD_WIPED.0 != 0
}

/// Shorthand for the tables: a column that any reader gives, or that only a reader of the socket gives.
pub(super) const fn column(
    name: &'static str,
    ty: Type,
    unit: Unit,
    set: Set,
    source: &'static str,
    doc: &'static str,
) -> Column {
    Column { name, ty, unit, set, doc, source, need: None }
}

/// A column that every reader gives, or that stands in an event type's own lines.
pub(super) const fn std<R>(
    name: &'static str,
    (ty, unit): (Type, Unit),
    source: &'static str,
    doc: &'static str,
    get: for<'a> fn(&'a R) -> Value<'a>,
) -> Field<R> {
    Field { column: column(name, ty, unit, Set::Standard, source, doc), get }
}

/// A column for `--all-fields`.
pub(super) const fn full<R>(
    name: &'static str,
    (ty, unit): (Type, Unit),
    source: &'static str,
    doc: &'static str,
    get: for<'a> fn(&'a R) -> Value<'a>,
) -> Field<R> {
    Field { column: column(name, ty, unit, Set::Full, source, doc), get }
}

/// One that takes what its tracepoint has not always told.
pub(super) const fn needs<R>(member: Member, field: Field<R>) -> Field<R> {
    Field { column: Column { need: Some(member), ..field.column }, get: field.get }
}

/// A time that is `TCC_UNKNOWN_NS` where it is not known.
pub(super) fn us(ns: u64) -> Value<'static> {
    if ns == u64::MAX { Value::Null } else { Value::U64(ns / 1000) }
}

/// The common columns.
pub static FIELDS: &[Field<Common>] = &[
    Field {
        column: column(
            "time",
            Type::Time,
            Unit::None,
            Set::Standard,
            "mono_ns plus the offset of CLOCK_REALTIME",
            "When it happened: RFC 3339 in UTC with nanoseconds; with --time mono or rel, seconds.",
        ),
        get: |c| Value::Time(c.time),
    },
    Field {
        column: column(
            "mono_ns",
            Type::Unsigned,
            Unit::Nanoseconds,
            Set::Standard,
            "bpf_ktime_get_ns(), CLOCK_MONOTONIC",
            "When it happened on the clock that never steps.",
        ),
        get: |c| Value::U64(c.head.mono_ns),
    },
    Field {
        column: column(
            "cookie",
            Type::Unsigned,
            Unit::None,
            Set::Standard,
            "sock_gen_cookie(sk), SO_COOKIE",
            "The connection's identity: never used twice while the system is up. Null where the kernel has not made one yet.",
        ),
        get: |c| Value::unless(c.head.cookie, 0),
    },
    Field {
        column: column(
            "family",
            Type::Text,
            Unit::None,
            Set::Standard,
            "sk_family; a mapped peer is IPv4",
            "`ipv4` or `ipv6`. An IPv4-mapped connection of an IPv6 socket is reported as what it is on the wire: ipv4.",
        ),
        get: |c| Value::Str(if address(c.head.daddr).is_ipv4() { "ipv4" } else { "ipv6" }),
    },
    Field {
        column: column(
            "saddr",
            Type::Address,
            Unit::None,
            Set::Standard,
            "sk_rcv_saddr, sk_v6_rcv_saddr",
            "The local address: of the socket that is traced, whichever way the packet went.",
        ),
        get: |c| {
            let saddr = address(c.head.saddr);
            if is_wiped(c) && saddr.is_unspecified() { Value::Null } else { Value::Ip(saddr) }
        },
    },
    Field {
        column: column(
            "sport",
            Type::Unsigned,
            Unit::None,
            Set::Standard,
            "skc_num",
            "The local port.",
        ),
        get: |c| {
            if is_wiped(c) {
                Value::unless(c.head.sport.into(), 0)
            } else {
                Value::U64(c.head.sport.into())
            }
        },
    },
    Field {
        column: column(
            "daddr",
            Type::Address,
            Unit::None,
            Set::Standard,
            "sk_daddr, sk_v6_daddr",
            "The peer's address.",
        ),
        get: |c| if is_wiped(c) { Value::Null } else { Value::Ip(address(c.head.daddr)) },
    },
    Field {
        column: column(
            "dport",
            Type::Unsigned,
            Unit::None,
            Set::Standard,
            "skc_dport",
            "The peer's port.",
        ),
        get: |c| if is_wiped(c) { Value::Null } else { Value::U64(c.head.dport.into()) },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_ipv4() {
        let mut bytes = [0; 16];
        bytes[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
        assert_eq!(address(bytes).to_string(), "10.0.0.1");
        bytes[0] = 0x20;
        assert_eq!(address(bytes).to_string(), "2000::ffff:a00:1");
    }
}
