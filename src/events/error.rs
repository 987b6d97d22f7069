//! `error`: sock:inet_sk_error_report.

use super::common::{Field, std};
use super::names::errno;
use super::socket::{self, socket_event_type, view};
use crate::skel::ErrorRecord;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::None;
use crate::table::Value::U64;

#[rustfmt::skip]
static FIELDS: &[Field<ErrorRecord>] = &[
    std("errno", (Unsigned, None), "sk->sk_err", "The error's number.", |r| U64(r.err.into())),
    std("error", (Text, None), "sk->sk_err", "Its name; null for one that TCP does not report by itself.", |r| errno(r.err)),
];

socket_event_type!(
    ErrorRecord,
    TCC_EVENT_ERROR,
    "error",
    "sock:inet_sk_error_report",
    "The application is told that its connection failed (5.14): sk->sk_err is set.",
    view![("PID", "pid", 6), ("COMM", "comm", 15), ("ERROR", "error", 12)],
    |bytes, _, index| socket::value(FIELDS, bytes, index),
    state_trackers: &["closed_keep"],
    programs: &[]
);
