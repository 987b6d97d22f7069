//! `report`: a page of recorded connections.

use anyhow::Result;

use crate::cli::ReportArgs;
use crate::config::Usage;
use crate::report;

/// Writes it; the exit status is 1 if a part of a file could not be read.
pub fn run(args: ReportArgs) -> Result<u8> {
    let options = args.into_options().map_err(|error| Usage(format!("{error:#}")))?;
    report::write(&options)
}
