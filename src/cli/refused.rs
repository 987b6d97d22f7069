//! Options that are refused where tcc-trace has privileges that its caller does not have (set-user-ID, file capabilities).

use anyhow::{Result, bail};
use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::privilege;

/// Options that decide which kernel memory is read.
const OPTIONS: &[(&str, &str)] = &[("btf", "it decides which kernel memory is read")];

/// Must run before anything is opened. Afterwards, a privileged process runs as its caller with the capabilities for tracing.
pub fn check(matches: &ArgMatches) -> Result<()> {
    if !privilege::elevated() {
        return Ok(());
    }
    const WHY: &str =
        "refused, because tcc-trace has privileges here that its caller does not have";
    if let Some((option, why)) = OPTIONS.iter().find(|(option, _)| given(matches, option)) {
        bail!("--{option}: {WHY}, and {why}; run it as root");
    }
    if let Some(variable) = privilege::refused_variable() {
        bail!("{variable} in the environment: {WHY}; unset it");
    }
    privilege::become_caller()
}

/// Was the option given, with or without a command?
fn given(matches: &ArgMatches, option: &str) -> bool {
    let here = matches.try_contains_id(option).is_ok()
        && matches.value_source(option) == Some(ValueSource::CommandLine);
    here || matches.subcommand().is_some_and(|(_, matches)| given(matches, option))
}
