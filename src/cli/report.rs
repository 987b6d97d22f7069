//! Options of `report`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::parse;
use crate::report::compare::{Align, Comparison};
use crate::report::{Export, Options};

#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Recordings. Several are compared.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The page to write.
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub write: PathBuf,
    /// Overwrite existing files.
    #[arg(long)]
    pub force: bool,
    /// Write panels as SVG into this directory: those of the ten connections that moved most, or of the comparison.
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
    /// Write the series behind these panels as CSV into this directory.
    #[arg(long, value_name = "DIR")]
    pub csv: Option<PathBuf>,
    /// Names of the recordings, one for each; those of the same name are repetitions: cubic,bbr.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Where the time of a recording begins if several are compared.
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = AlignArg::FirstData)]
    pub align: AlignArg,
    /// Rate of the link that the recordings share, for its utilisation: 20mbit, 1gbit.
    #[arg(long, value_name = "RATE", value_parser = parse::bit_rate)]
    pub bottleneck: Option<u64>,
}

/// Where the time of a recording begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AlignArg {
    /// At its start.
    Start,
    /// When the first data is delivered.
    FirstData,
}

impl ReportArgs {
    pub fn into_options(self) -> Result<Options> {
        let options = [
            ("--labels", !self.labels.is_empty()),
            ("--bottleneck", self.bottleneck.is_some()),
            ("--align start", self.align == AlignArg::Start),
        ];
        if let Some((option, _)) = options.iter().find(|(_, given)| *given && self.files.len() == 1)
        {
            bail!("{option} compares recordings; name at least two");
        }
        if self.labels.iter().any(String::is_empty) {
            bail!("--labels: empty name");
        }
        let align = match self.align {
            AlignArg::Start => Align::Start,
            AlignArg::FirstData => Align::FirstData,
        };
        let comparison = Comparison { labels: self.labels, align, bottleneck: self.bottleneck };
        let export = Export { svg: self.svg, csv: self.csv, force: self.force };
        Ok(Options { files: self.files, path: self.write, force: self.force, comparison, export })
    }
}
