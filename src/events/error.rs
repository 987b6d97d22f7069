//! `error`: sock:inet_sk_error_report.

use super::Tracker;
use super::common::{of, std};
use super::names::ERRORS;
use super::socket::{socket_event_type, view};
use crate::skel::ErrorRecord;
use crate::table::Column;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::None;

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("errno", (Unsigned, None), "sk->sk_err", "Error number.", of!(ErrorRecord, err)),
    std("error", (Text, None), "sk->sk_err", "Name of the error. Null for errors that TCP itself does not raise.", of!(ErrorRecord, err).named(ERRORS)),
];

socket_event_type!(
    ErrorRecord,
    TCC_EVENT_ERROR,
    "error",
    "sock:inet_sk_error_report",
    "The kernel reports a connection error to the application: sk->sk_err is set. Needs Linux 5.14.",
    view![("PID", "pid", 6), ("COMM", "comm", 15), ("ERROR", "error", 12)],
    trackers: &[Tracker::Closed]
);
