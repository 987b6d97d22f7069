//! `--output FORMAT[=PATH]`, which may be repeated.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};

use super::args::{ColorArg, OutputArgs, TraceArgs};
use crate::config::{Config, Content, Destination};
use crate::escape;
use crate::sink::{FORMATS, Format, text};

/// One `--output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputArg {
    pub format: &'static Format,
    /// `None`: standard output, which is also written `-`.
    pub path: Option<PathBuf>,
}

/// Parses `FORMAT` or `FORMAT=PATH`; a path may have any bytes.
#[derive(Clone)]
pub struct OutputParser;

impl TypedValueParser for OutputParser {
    type Value = OutputArg;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<OutputArg, Error> {
        let bytes = value.as_bytes();
        let (name, path) = match bytes.iter().position(|&byte| byte == b'=') {
            None => (bytes, None),
            Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
        };
        let shown = arg.map(ToString::to_string).unwrap_or_default();
        if let Some(format) = FORMATS.iter().find(|format| format.name.as_bytes() == name) {
            let path = path.filter(|path| *path != "-").map(PathBuf::from);
            return Ok(OutputArg { format, path });
        }
        let mut error = Error::new(ErrorKind::InvalidValue).with_cmd(command);
        let name = String::from_utf8_lossy(name).into_owned();
        error.insert(ContextKind::InvalidArg, ContextValue::String(shown));
        error.insert(ContextKind::InvalidValue, ContextValue::String(name));
        let names = FORMATS.iter().map(|format| format.name.to_owned()).collect();
        error.insert(ContextKind::ValidValue, ContextValue::Strings(names));
        Err(error)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let value = |format: &&Format| PossibleValue::new(format.name).help(format.doc);
        Some(Box::new(FORMATS.iter().map(value)))
    }
}

impl OutputArgs {
    /// Whether any of the outputs is text.
    pub fn has_text(&self) -> bool {
        self.output.is_empty() || self.output.iter().any(|output| output.format.is_text)
    }
}

impl TraceArgs {
    /// The outputs, of which two must not go to the same place; of a summary, those of its `events` too.
    pub fn destinations(&self, events: Option<&[OutputArg]>) -> Result<Vec<Destination>> {
        let content = if events.is_some() { Content::Summaries } else { Content::Events };
        let write = self.recordings.write.as_ref();
        // Events that are recorded need not be printed.
        let prints = write.is_none() || events.is_some() || self.output.format.is_some();
        let default = [OutputArg { format: &text::FORMAT, path: None }];
        let outputs = match &self.output.output[..] {
            [] if prints => &default[..],
            outputs => outputs,
        };
        let all = outputs.iter().map(|output| ("-o", content, output));
        let events = events.into_iter().flatten();
        let all = all.chain(events.map(|output| ("--events", Content::Events, output)));
        let all: Vec<(&str, Content, &OutputArg)> = all.collect();
        for (i, (option, content, output)) in all.iter().enumerate() {
            let two = format!("{option} {}", name(output));
            if output.path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                bail!("{two}: empty path; name a file after `=`");
            }
            if write.is_some() && output.path.as_ref() == write {
                bail!("{two} and -w write to the same file; give each output its own path");
            }
            check_format(option, *content, output)?;
            if let Some((other, _, one)) = all[..i].iter().find(|(.., one)| one.path == output.path)
            {
                let one = format!("{other} {}", name(one));
                match &output.path {
                    None => bail!(
                        "{one} and {two} both write to standard output; give one of them a file: {option} {}=FILE",
                        output.format.name
                    ),
                    Some(_) => {
                        bail!(
                            "{one} and {two} write to the same file; give each output its own path"
                        )
                    }
                }
            }
        }
        let destination = |(_, content, output): &(&str, Content, &OutputArg)| Destination {
            content: *content,
            color: output.format.is_text
                && match self.output.color {
                    ColorArg::Always => true,
                    ColorArg::Never => false,
                    ColorArg::Auto => output.path.is_none() && colored_terminal(),
                },
            ..Destination::new(output.format, output.path.clone())
        };
        Ok(all.iter().map(destination).collect())
    }
}

/// Refuses what a format cannot print, or not to such a place.
fn check_format(option: &str, content: Content, output: &OutputArg) -> Result<()> {
    let Format { name, events_only, .. } = output.format;
    if *events_only && content == Content::Summaries {
        bail!("{option} {name}: this format has no summaries; use text, jsonl or csv");
    }
    if output.format.needs_directory() && output.path.is_none() {
        bail!(
            "{option} {name}: this format writes a file for each connection; name a directory: {option} {name}=DIR"
        );
    }
    Ok(())
}

fn colored_terminal() -> bool {
    std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `csv=events.csv`.
fn name(output: &OutputArg) -> String {
    match &output.path {
        None => output.format.name.to_owned(),
        Some(path) => format!("{}={}", output.format.name, escape::path(path)),
    }
}

/// Tables in text: at most that many rows, and on a terminal each replaces the previous one.
pub fn tables_on_screen(config: &mut Config, rows: Option<usize>, clear: bool) {
    let redraw = clear && std::io::stdout().is_terminal();
    for destination in config.output.destinations.iter_mut().filter(|d| d.format.is_text) {
        destination.rows = rows;
        destination.redraw = redraw && destination.path.is_none();
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Parser};

    use super::*;
    use crate::cli::Cli;

    fn parse(value: &[u8]) -> Result<OutputArg, Error> {
        let command = OutputArgs::augment_args(Command::new("test"));
        OutputParser.parse_ref(&command, None, OsStr::from_bytes(value))
    }

    #[test]
    fn a_format_may_have_a_path() {
        let parsed = |value: &[u8]| {
            let OutputArg { format, path } = parse(value).unwrap();
            (format.name, path.map(PathBuf::into_os_string))
        };
        assert_eq!(parsed(b"jsonl"), ("jsonl", None));
        assert_eq!(parsed(b"csv=-"), ("csv", None));
        assert_eq!(parsed(b"csv=a=b"), ("csv", Some("a=b".into())));
        assert_eq!(parsed(b"text=\xff"), ("text", Some(OsStr::from_bytes(b"\xff").into())));
        assert!(parse(b"xml=a").is_err() && parse(b"=a").is_err() && parse(b"").is_err());
    }

    #[test]
    fn fields_are_refused_where_no_output_prints_them() {
        let check = |outputs: &[&str]| {
            let args = [&["tcc-trace", "--fields", "snd_cwnd"], outputs].concat();
            let config = Cli::try_parse_from(args).unwrap().trace.into_config();
            config.map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["-o", "csv=a", "-o", "perfetto=b"]), Ok(()));
        let refused = check(&["-o", "perfetto=a", "-o", "xplot=b"]).unwrap_err();
        assert!(refused.contains("-o perfetto draws fields of its own"), "{refused}");
    }

    #[test]
    fn a_format_is_refused_where_it_cannot_print() {
        let check = |value: &[u8], content| {
            let refused = check_format("-o", content, &parse(value).unwrap());
            refused.map_err(|error| error.to_string())
        };
        assert_eq!(check(b"perfetto", Content::Events), Ok(()));
        assert_eq!(check(b"jsonl.zst", Content::Summaries), Ok(()));
        assert_eq!(check(b"xplot=graphs", Content::Events), Ok(()));
        let no_summaries = "-o perfetto: this format has no summaries; use text, jsonl or csv";
        assert_eq!(check(b"perfetto=a", Content::Summaries), Err(no_summaries.to_owned()));
        let file = check(b"xplot", Content::Events).unwrap_err();
        assert!(file.contains("name a directory: -o xplot=DIR"), "{file}");
    }
}
