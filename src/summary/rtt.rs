//! `rtt`: round-trip times as the kernel side has counted them.

use super::histograms;
use crate::table::Column;

/// What the command's records are, in one sentence.
pub const DOC: &str =
    "How often which round-trip time was seen, of the samples of `probe`; of one row.";

/// What is said of a row.
pub static COLUMNS: [Column; 11] = histograms::columns(
    ("--field", "Which time it is, as `probe` names it."),
    "Samples with a value.",
    "Samples of connections that had none yet; they are in nothing else here.",
);
