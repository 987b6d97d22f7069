//! `rtt`: distributions of round-trip times, counted in the kernel.

use super::histograms;
use crate::table::Column;

/// For the schema and the reference.
pub const DOC: &str = "Distribution of RTTs over the samples of `probe`, one record per key.";

pub static COLUMNS: [Column; 11] = histograms::columns(
    ("--field", "RTT that is counted, named as in `probe`."),
    "Samples with a value.",
    "Samples without a value yet, counted nowhere else in the record.",
);
