//! `man`: the manual page, made from the command line's description and the groups and examples of the help.

use std::io::Write;

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::cli::Cli;
use crate::cli::examples::{EXAMPLES, OPTIONS, ROOT};
use crate::cli::help::{GROUPS, USAGE, is_shared, traces};

const STATUS: &[(&str, &str)] = &[
    ("0", "The trace ended as requested: by a signal, --duration, --count or a closed pipe."),
    ("1", "The trace could not start or failed, or the output could not be written."),
    ("2", "The command line is wrong."),
    (
        "other",
        "With -- CMD, the status of the command: 128 plus the number of the signal that ended it; 126 if it cannot be run, 127 if \
         it does not exist.",
    ),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("NO_COLOR", "Disables colour if set and not empty; --color always overrides it."),
    ("COLUMNS", "Width of the help, if it is not printed to a terminal."),
];

const FILES: &[(&str, &str)] = &[
    ("/sys/kernel/btf/vmlinux", "The kernel's types; see --btf."),
    ("/sys/kernel/tracing", "tracefs, which accept and the record reader need."),
];

const SEE_ALSO: &str = "ss(8), tc(8), tcp(7), bpftrace(8), perf-trace(1), capabilities(7), bpf(2)";

/// Prints the manual page.
pub fn run() -> Result<u8> {
    super::print(&page()?)?;
    Ok(0)
}

fn page() -> Result<Vec<u8>> {
    let mut root = Cli::command().override_usage(USAGE);
    root.build();
    let man = Man::new(root.clone());
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    commands(&root, &mut out)?;
    write!(out, ".SH OPTIONS\n{}", options(root.clone(), |_| true)?)?;
    examples(&mut out)?;
    list("EXIT STATUS", STATUS, &mut out)?;
    list("ENVIRONMENT", ENVIRONMENT, &mut out)?;
    list("FILES", FILES, &mut out)?;
    section("SEE ALSO", [roman(SEE_ALSO)], &mut out)?;
    Ok(out)
}

/// The commands in their groups, each with the options that are not shared.
fn commands(root: &Command, out: &mut Vec<u8>) -> Result<()> {
    section("COMMANDS", [], out)?;
    for (title, names) in GROUPS {
        Roff::new().control("SS", [*title]).to_writer(out)?;
        for command in names.iter().filter_map(|name| root.find_subcommand(name)) {
            let about = command.get_long_about().or_else(|| command.get_about());
            let about = about.map(ToString::to_string).unwrap_or_default();
            let mut roff = Roff::new();
            roff.control("TP", []).text([bold(command.get_name())]);
            for (index, paragraph) in about.split("\n\n").enumerate() {
                if index > 0 {
                    roff.control("IP", []);
                }
                roff.text([roman(paragraph)]);
            }
            roff.to_writer(out)?;
            let shared = traces(command);
            let own = options(command.clone(), |id| id != "help" && !(shared && is_shared(id)))?;
            if !own.is_empty() {
                // Nested, without the headings of the help.
                let own: String = own
                    .lines()
                    .filter(|line| !line.starts_with(".SS"))
                    .map(|l| format!("{l}\n"))
                    .collect();
                write!(out, ".RS\n{own}.RE\n")?;
            }
        }
    }
    Ok(())
}

/// The options that are shown, their headings as subsections.
fn options(mut command: Command, shown: impl Fn(&str) -> bool) -> Result<String> {
    command = command.mut_args(|arg| {
        let hidden = arg.is_hide_set() || !shown(arg.get_id().as_str());
        arg.hide(hidden)
    });
    let mut out = Vec::new();
    Man::new(command).render_options_section(&mut out)?;
    let text = String::from_utf8(out)?;
    let text = text.replace(".SH OPTIONS\n", "");
    Ok(text.replace(".SH ", ".SS "))
}

/// All examples, as they are in the help.
fn examples(out: &mut Vec<u8>) -> Result<()> {
    section("EXAMPLES", [], out)?;
    for text in [ROOT, OPTIONS].iter().map(|text| text.trim_start_matches("Examples:\n")) {
        verbatim(text, out)?;
    }
    EXAMPLES
        .iter()
        .filter(|(_, text)| text.contains('\n'))
        .try_for_each(|(_, text)| verbatim(text, out))
}

fn verbatim(text: &str, out: &mut Vec<u8>) -> Result<()> {
    let mut roff = Roff::new();
    roff.control("PP", []).control("EX", []);
    text.lines().for_each(|line| {
        roff.text([roman(line)]);
    });
    roff.control("EE", []).to_writer(out)?;
    Ok(())
}

fn list(title: &str, items: &[(&str, &str)], out: &mut Vec<u8>) -> Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (name, text) in items {
        roff.control("TP", []).text([italic(*name)]).text([roman(*text)]);
    }
    roff.to_writer(out)?;
    Ok(())
}

fn section<const N: usize>(title: &str, text: [Inline; N], out: &mut Vec<u8>) -> Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    if N > 0 {
        roff.text(text);
    }
    roff.to_writer(out)?;
    Ok(())
}
