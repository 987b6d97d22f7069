//! Columns of every event type: time and connection.

use std::net::{IpAddr, Ipv6Addr};

use crate::skel::{Head, HeadFlag};
use crate::table::{Column, Member, Moment, Set, Type, Unit, Value};

/// The head of every event, with its time already converted to the clock of `--time`.
#[derive(Clone, Copy, Debug)]
pub struct Common {
    pub head: Head,
    pub time: Moment,
}

/// A column and the getter of its value from a record of type `R`.
pub struct Field<R: 'static> {
    pub column: Column,
    pub get: for<'a> fn(&'a R) -> Value<'a>,
}

/// Records hold IPv4 addresses as IPv4-mapped ones.
fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

/// True if tcp_disconnect() had cleared addresses and ports before they were recorded.
fn is_wiped(c: &Common) -> bool {
    u32::from(c.head.full) & HeadFlag::TCC_HEAD_WIPED.0 != 0
}

/// Shorthand for the tables.
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

/// A standard column.
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

/// A column that needs a member which older kernels do not have.
pub(super) const fn needs<R>(member: Member, field: Field<R>) -> Field<R> {
    Field { column: Column { need: Some(member), ..field.column }, get: field.get }
}

/// Nanoseconds as microseconds; null for `TCC_UNKNOWN_NS`.
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
            "Time of the event: RFC 3339 in UTC with nanoseconds, or seconds with `--time mono` and `--time rel`.",
        ),
        get: |c| Value::Time(c.time),
    },
    Field {
        column: column(
            "mono_ns",
            Type::Unsigned,
            Unit::Nanoseconds,
            Set::Standard,
            "bpf_ktime_get_ns()",
            "Time of the event on CLOCK_MONOTONIC.",
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
            "Socket cookie: identifies the connection, unique until reboot. Null if the kernel has not generated one yet.",
        ),
        get: |c| Value::unless(c.head.cookie, 0),
    },
    Field {
        column: column(
            "family",
            Type::Text,
            Unit::None,
            Set::Standard,
            "sk_family, sk_v6_daddr",
            "`ipv4` or `ipv6`. IPv4-mapped connections of IPv6 sockets are `ipv4`, as on the wire.",
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
            "Local address: that of the traced socket, whatever the direction of the packet. Null if tcp_disconnect() has cleared it.",
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
            "Local port. Null if tcp_disconnect() has cleared it.",
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
            "Address of the peer. Null if tcp_disconnect() has cleared it.",
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
            "Port of the peer. Null if tcp_disconnect() has cleared it.",
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
