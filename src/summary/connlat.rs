//! `connlat --histogram`: distributions of connection setup times, counted in the kernel.

use super::histograms;
use super::key::KEY;
use crate::table::Column;
use crate::table::summary::{AggregateSource, AggregateType};

pub static AGGREGATE: AggregateType = AggregateType {
    command: "connlat",
    doc: "Distribution of connection setup times from `connect` and `accept`, one record per key and time (`connlat --histogram`).",
    key: &KEY,
    columns: &COLUMNS,
    source: AggregateSource::Histograms,
};

pub static COLUMNS: [Column; 11] = histograms::columns(
    (
        "connect, accept",
        "Time that is counted: latency_us (first SYN to ESTABLISHED), failed_us (first SYN to failure), handshake_us or wait_us (see `accept`).",
    ),
    "Connections for which that time is known.",
    "Connections for which it is not known, counted nowhere else in the record.",
);
