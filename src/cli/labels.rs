//! `--labels LABEL[:N],…` of `export`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Result, bail};
use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::{Arg, Command, Error, ValueEnum};

use super::parse;
use crate::config::summary::By;

/// More values than that are no bound.
const MOST_VALUES: u32 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LabelArg {
    /// No label.
    None,
    /// Congestion-control algorithm.
    Cc,
    /// Local port.
    Lport,
    /// The peer's port.
    Rport,
    /// The peer's address, or its network with --prefix.
    Raddr,
    /// Name of the process that holds the socket.
    Comm,
    /// Path of the socket's v2 cgroup.
    Cgroup,
    /// Network namespace, as an inode number.
    Netns,
    /// Interface of the connection's route, and its namespace.
    Iface,
}

fn key(label: LabelArg) -> Option<By> {
    Some(match label {
        LabelArg::None | LabelArg::Iface => return None,
        LabelArg::Cc => By::Cc,
        LabelArg::Lport => By::Lport,
        LabelArg::Rport => By::Rport,
        LabelArg::Raddr => By::Raddr,
        LabelArg::Comm => By::Comm,
        LabelArg::Cgroup => By::Cgroup,
        LabelArg::Netns => By::Netns,
    })
}

/// One label, and how many values it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CappedLabel {
    name: LabelArg,
    most: Option<u32>,
}

/// Parses `NAME` or `NAME:N`.
#[derive(Clone)]
pub struct LabelParser;

impl TypedValueParser for LabelParser {
    type Value = CappedLabel;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<CappedLabel, Error> {
        let mut parts = value.as_bytes().splitn(2, |byte| *byte == b':');
        let name = OsStr::from_bytes(parts.next().unwrap_or_default());
        let name = EnumValueParser::<LabelArg>::new().parse_ref(command, arg, name)?;
        let number = parse::within(1..=MOST_VALUES);
        let most = parts.next().map(|text| number.parse_ref(command, arg, OsStr::from_bytes(text)));
        Ok(CappedLabel { name, most: most.transpose()? })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = LabelArg::value_variants().iter();
        Some(Box::new(values.filter_map(ValueEnum::to_possible_value)))
    }
}

/// What rows are made by.
#[derive(Debug, Default)]
pub(super) struct Labels {
    pub(super) by: Vec<By>,
    pub(super) iface: bool,
    /// In their order; that of interfaces is last.
    pub(super) caps: Vec<Option<u32>>,
}

pub(super) fn check(given: &[CappedLabel]) -> Result<Labels> {
    let mut labels = Labels::default();
    let mut of_iface = None;
    for CappedLabel { name, most } in given {
        if *name == LabelArg::None && (given.len() > 1 || most.is_some()) {
            bail!("--labels none cannot be combined with other labels or a number");
        }
        let twice = match key(*name) {
            Some(by) => labels.by.contains(&by),
            None => labels.iface,
        };
        if twice {
            bail!("--labels: one is given twice");
        }
        match key(*name) {
            Some(by) => {
                labels.by.push(by);
                labels.caps.push(*most);
            }
            None if *name == LabelArg::Iface => {
                labels.iface = true;
                of_iface = Some(*most);
            }
            None => {}
        }
    }
    labels.caps.extend(of_iface);
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command as Commands};

    fn labels(text: &str) -> Result<Labels, String> {
        let args = ["tcc-trace", "export", "--labels", text];
        let cli = Cli::try_parse_from(args).map_err(|error| error.to_string())?;
        let Some(Commands::Export(export)) = cli.command else { panic!("another command") };
        check(&export.labels).map_err(|error| error.to_string())
    }

    #[test]
    fn each_label_may_have_a_number() {
        let found = labels("cc,lport:100,iface:3,cgroup:1").unwrap();
        assert_eq!(found.by, [By::Cc, By::Lport, By::Cgroup]);
        assert!(found.iface);
        // That of interfaces is last.
        assert_eq!(found.caps, [None, Some(100), Some(1), Some(3)]);
        assert!(labels("none").unwrap().by.is_empty());
        for (text, error) in [
            ("lport,lport:5", "one is given twice"),
            ("iface,iface", "one is given twice"),
            ("none,cc", "cannot be combined"),
            ("none:5", "cannot be combined"),
            ("lport:0", "must be a number from 1 to"),
            ("lport:", "must be a number from 1 to"),
            ("lport:1:2", "must be a number from 1 to"),
            ("colour:1", "invalid value 'colour'"),
        ] {
            let found = labels(text).unwrap_err();
            assert!(found.contains(error), "{text}: {found}");
        }
    }
}
