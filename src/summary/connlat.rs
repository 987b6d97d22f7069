//! `connlat --histogram`: how long opening took, as the kernel side has counted it.

use super::histograms;
use crate::table::Column;

/// What the command's records are, in one sentence.
pub const DOC: &str = "How often opening took how long (`--histogram`, `--by`), of the events `connect` and `accept`; of one row.";

/// What is said of a row.
pub static COLUMNS: [Column; 11] = histograms::columns(
    (
        "of `connect` and `accept`",
        "Which time it is: latency_us (from the first SYN to ESTABLISHED), failed_us (from there to a failure), handshake_us and wait_us as `accept` has them.",
    ),
    "Connections of which it is known.",
    "Connections of which it is not: see there when it is null; they are in nothing else here.",
);
