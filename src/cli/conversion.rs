//! Options of `convert`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::args::{TimeArg, TraceArgs};
use super::conflicts::of_fields;
use super::outputs::OutputArg;
use crate::config::{Config, Recording};
use crate::escape;
use crate::sink::{FORMATS, Format};

/// The name of recordings among the formats.
const TCC: &str = "tcc";

#[derive(Args, Debug)]
pub struct ConvertArgs {
    /// Recordings; several are merged by time.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Format of the result.
    #[arg(long, value_name = "FORMAT", value_parser = target())]
    pub to: Target,
    /// Convert these event types only: probe,retransmit.
    #[arg(long, value_name = "EVENT_TYPES", value_delimiter = ',')]
    pub event_types: Vec<String>,
    #[command(flatten)]
    pub trace: TraceArgs,
}

/// What recordings are converted to.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    Format(&'static Format),
    Recording,
}

fn target() -> impl TypedValueParser<Value = Target> {
    let format = |format: &&Format| PossibleValue::new(format.name).help(format.doc);
    let tcc = PossibleValue::new(TCC).help("A recording.");
    let all = FORMATS.iter().map(format).chain([tcc]);
    PossibleValuesParser::new(all.collect::<Vec<_>>()).map(|name| {
        let format = FORMATS.iter().find(|format| format.name == name);
        format.map_or(Target::Recording, |format| Target::Format(format))
    })
}

impl ConvertArgs {
    /// That of a run which reads recordings.
    pub fn into_config(mut self) -> Result<Config> {
        let trace = &mut self.trace;
        let elsewhere = [
            ("-r", !trace.recordings.read.is_empty()),
            ("-o", !trace.output.output.is_empty()),
            ("--format", trace.output.format.is_some()),
        ];
        if let Some((option, _)) = elsewhere.iter().find(|(_, given)| *given) {
            bail!("{option} cannot be used with `convert`: convert FILE --to FORMAT -w PATH");
        }
        trace.recordings.read = std::mem::take(&mut self.files);
        let path = trace.recordings.write.take();
        let force = std::mem::take(&mut trace.recordings.force);
        if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            bail!("-w: empty path; name a file");
        }
        let Target::Format(format) = self.to else {
            return into_recording(self.trace, path, force);
        };
        match &path {
            Some(path) if !force && is_file(path) => bail!(
                "-w {}: the file exists; choose another name, or overwrite it with --force",
                escape::path(path)
            ),
            None if force => bail!("--force needs -w FILE"),
            _ => {}
        }
        trace.output.output = vec![OutputArg { format, path }];
        self.trace.into_config()
    }
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// A recording has all that is known of its events, whatever is printed.
fn into_recording(trace: TraceArgs, path: Option<PathBuf>, force: bool) -> Result<Config> {
    let Some(path) = path else { bail!("--to tcc needs -w FILE") };
    let of_printing = [
        ("--time", trace.output.time != TimeArg::Wall),
        ("--no-header", trace.output.no_header),
        ("--strict-output", trace.output.strict_output),
    ];
    let mut options = of_fields(&trace).into_iter().chain(of_printing);
    if let Some((option, _)) = options.find(|(_, given)| *given) {
        bail!("{option} cannot be used with --to tcc: a recording keeps all fields of its events");
    }
    let mut config = trace.into_config()?;
    config.output.destinations.clear();
    config.output.recording = Some(Recording { path, force, progress: false, parts: None });
    Ok(config)
}
