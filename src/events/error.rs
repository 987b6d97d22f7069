//! `error`: sock:inet_sk_error_report.

use super::Tracker;
use super::common::{Field, std};
use super::names::errno;
use super::socket::{self, socket_event_type, view};
use crate::skel::ErrorRecord;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::None;
use crate::table::Value::U64;

#[rustfmt::skip]
static FIELDS: &[Field<ErrorRecord>] = &[
    std("errno", (Unsigned, None), "sk->sk_err", "Error number.", |r| U64(r.err.into())),
    std("error", (Text, None), "sk->sk_err", "Name of the error. Null for errors that TCP itself does not raise.", |r| errno(r.err)),
];

socket_event_type!(
    ErrorRecord,
    TCC_EVENT_ERROR,
    "error",
    "sock:inet_sk_error_report",
    "The kernel reports a connection error to the application: sk->sk_err is set. Needs Linux 5.14.",
    view![("PID", "pid", 6), ("COMM", "comm", 15), ("ERROR", "error", 12)],
    |bytes, _, index| socket::value(FIELDS, bytes, index),
    trackers: &[Tracker::Closed]
);
