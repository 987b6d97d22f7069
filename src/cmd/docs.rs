//! `completions` and `reference`, generated from the command line's definition and the column tables.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::reference::pages;
use crate::cli::Cli;

/// Prints a shell's completion script.
pub fn completions(shell: Shell) -> Result<u8> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tcc-trace", &mut out);
    super::print(&out)?;
    Ok(0)
}

/// All pages of the reference, each after a comment with its path.
#[must_use]
pub fn reference() -> String {
    let page = |(name, text)| format!("<!-- docs/reference/{name} -->\n\n{text}");
    pages().into_iter().map(page).collect::<Vec<_>>().join("\n")
}
