//! What a caller may not decide where the program has rights that the caller has not.

use anyhow::{Result, bail};
use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::privilege;

/// Options that decide which kernel memory is read, and by what.
const OPTIONS: &[(&str, &str)] = &[("btf", "a BTF file decides which kernel memory is read")];

/// Before anything is opened. Afterwards an elevated process is its caller, with the capabilities for tracing.
pub fn check(matches: &ArgMatches) -> Result<()> {
    if !privilege::elevated() {
        return Ok(());
    }
    const WHY: &str = "refused, as tcc-trace has rights here that its caller does not have";
    if let Some((option, why)) = OPTIONS.iter().find(|(option, _)| given(matches, option)) {
        bail!("--{option}: {WHY}: {why}");
    }
    if let Some(variable) = privilege::refused_variable() {
        bail!("{variable} in the environment: {WHY}");
    }
    privilege::become_caller()
}

/// Is it there, before or behind a command's name?
fn given(matches: &ArgMatches, option: &str) -> bool {
    let here = matches.try_contains_id(option).is_ok()
        && matches.value_source(option) == Some(ValueSource::CommandLine);
    here || matches.subcommand().is_some_and(|(_, matches)| given(matches, option))
}
