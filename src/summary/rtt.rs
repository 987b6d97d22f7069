//! `rtt`: distributions of round-trip times, counted in the kernel.

use super::histograms;
use super::key::KEY;
use crate::table::Column;
use crate::table::summary::{AggregateSource, AggregateType};

pub static AGGREGATE: AggregateType = AggregateType {
    command: "rtt",
    doc: "Distribution of RTTs over the samples of `probe`, one record per key.",
    key: &KEY,
    columns: &COLUMNS,
    source: AggregateSource::Histograms,
};

pub static COLUMNS: [Column; 11] = histograms::columns(
    ("--field", "RTT that is counted, named as in `probe`."),
    "Samples with a value.",
    "Samples without a value yet, counted nowhere else in the record.",
);
