//! `error`: sock:inet_sk_error_report.

use super::common::{Field, std};
use super::socket::{socket_kind, view};
use crate::skel::ErrorRecord;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::None;
use crate::table::Value::{Null, Str, U64};

/// The errors that TCP reports, by Linux' numbers on the architectures that have the generic ones.
const ERRORS: &[(u32, &str)] = &[
    (13, "EACCES"),
    (32, "EPIPE"),
    (71, "EPROTO"),
    (90, "EMSGSIZE"),
    (100, "ENETDOWN"),
    (101, "ENETUNREACH"),
    (103, "ECONNABORTED"),
    (104, "ECONNRESET"),
    (110, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (112, "EHOSTDOWN"),
    (113, "EHOSTUNREACH"),
];

#[rustfmt::skip]
static FIELDS: &[Field<ErrorRecord>] = &[
    std("errno", (Unsigned, None), "sk->sk_err", "The error's number.", |r| U64(r.err.into())),
    std("error", (Text, None), "sk->sk_err", "Its name; null for one that TCP does not report by itself.", |r| ERRORS.iter().find(|(number, _)| *number == r.err).map_or(Null, |(_, name)| Str(name))),
];

socket_kind!(
    ErrorRecord,
    TCC_KIND_ERROR,
    "error",
    "sock:inet_sk_error_report",
    "The application is told that its connection failed (5.14).",
    view![("PID", "pid", 6), ("COMM", "comm", 15), ("ERROR", "error", 12)]
);
