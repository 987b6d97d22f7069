//! Options of `report`.

use std::path::PathBuf;

use clap::Args;

use crate::report::Options;

#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Recordings.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The page to write.
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub write: PathBuf,
    /// Overwrite an existing file.
    #[arg(long)]
    pub force: bool,
}

impl ReportArgs {
    #[must_use]
    pub fn into_options(self) -> Options {
        Options { files: self.files, path: self.write, force: self.force }
    }
}
