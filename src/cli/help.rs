//! Help in two lengths: `-h` fits on one screen, `--help` has everything. The groups of commands are also those of the manual
//! page.

use std::fmt::Write;
use std::sync::LazyLock;

use clap::builder::{StyledStr, Styles};
use clap::{Arg, ArgAction, Args, Command, CommandFactory};

use super::examples::{self, EXAMPLES, ROOT};
use super::{Cli, TraceArgs};

/// Every command is in one group.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("Sample & record", &["probe", "events", "record", "snap", "info", "report", "convert"]),
    ("Connections", &["states", "connect", "accept", "life"]),
    ("Loss & drops", &["retrans", "reset", "drop", "cong"]),
    (
        "Latency & summaries",
        &[
            "rtt",
            "connlat",
            "queue",
            "limits",
            "live",
            "observe",
            "export",
            "top",
            "listeners",
            "assert",
        ],
    ),
    ("Tools", &["check", "schema", "completions", "man", "help"]),
];

/// The topic of the shared options.
const OPTIONS: &str = "options";

/// The shared options that `tcc-trace -h` shows.
const SHORT: &[&str] = &["port", "duration", "output"];

pub const USAGE: &str = "tcc-trace [COMMAND] [OPTIONS] [-- CMD [ARG]...]";
/// The line of a command's `-h` that stands for the shared options.
const POINTER: &str = "Filters, limits, output and kernel options: tcc-trace help options";

/// Commands, and `options`.
pub fn topics() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().flat_map(|(_, commands)| commands.iter().copied()).chain([OPTIONS])
}

/// The command line with its help. `long`: `--help` was given, and not `-h`.
#[must_use]
pub fn command(long: bool) -> Command {
    let mut root = Cli::command();
    let list = groups(&root, root.get_styles());
    let names: Vec<String> = root.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for name in &names {
        root = root.mut_subcommand(name, |command| subcommand(command).hide(true));
    }
    let options = if long {
        "{all-args}".to_owned()
    } else {
        heading(root.get_styles(), "Options (tcc-trace help options lists all)") + "{options}"
    };
    root.override_usage(USAGE)
        .help_template(format!(
            "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}\n{options}{{after-help}}"
        ))
        .mut_args(|arg| {
            let shown = SHORT.contains(&arg.get_id().as_str());
            // The list is long, and in the long help.
            let hide_values = !long && arg.get_id() == "output";
            arg.hide_short_help(!shown).hide_possible_values(hide_values)
        })
        .disable_version_flag(true)
        .arg(version())
        .after_help(ROOT)
}

/// clap's own, without a line in the short help.
fn version() -> Arg {
    Arg::new("version")
        .short('V')
        .long("version")
        .action(ArgAction::Version)
        .hide_short_help(true)
        .help("Print version")
}

/// The help of a topic; of the whole program without one.
#[must_use]
pub fn text(topic: Option<&str>) -> StyledStr {
    let mut root = command(topic.is_some());
    root.build();
    match topic {
        None => root.render_help(),
        Some(OPTIONS) => shared().render_help(),
        Some(name) => match root.find_subcommand_mut(name) {
            Some(command) => command.render_long_help(),
            None => root.render_help(),
        },
    }
}

/// Does the command trace, with all shared options?
#[must_use]
pub fn traces(command: &Command) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == "reader")
}

/// Is it one of the options shared by all tracing commands?
#[must_use]
pub fn is_shared(id: &str) -> bool {
    static SHARED: LazyLock<Command> =
        LazyLock::new(|| TraceArgs::augment_args(Command::new(OPTIONS)));
    SHARED.get_arguments().any(|arg| arg.get_id() == id)
}

/// The shared options, without a command of their own.
fn shared() -> Command {
    TraceArgs::augment_args(Command::new(OPTIONS))
        .disable_help_flag(true)
        .max_term_width(100)
        .help_template("Options shared by all tracing commands.\n\n{all-args}{after-help}")
        .after_help(examples::OPTIONS)
}

fn subcommand(command: Command) -> Command {
    let example = EXAMPLES.iter().find(|(name, _)| *name == command.get_name());
    let example = example.map_or_else(String::new, |(_, text)| {
        format!("{}{}", heading(command.get_styles(), "Example"), indented(text))
    });
    if !traces(&command) {
        return command.after_help(example);
    }
    let short = format!("{POINTER}\n\n{example}");
    // What reads named recordings runs no command.
    let reads = command.get_arguments().any(|arg| arg.get_id() == "files");
    command
        .mut_args(|arg| {
            let shared = is_shared(arg.get_id().as_str());
            let hidden = arg.is_hide_set() || (reads && arg.get_id() == "command");
            let in_long_help = shared || arg.is_hide_short_help_set();
            arg.hide_short_help(in_long_help).hide(hidden)
        })
        .after_help(short)
        .after_long_help(example)
}

/// The commands in their groups, with what they do.
fn groups(root: &Command, styles: &Styles) -> String {
    let mut text = String::new();
    let literal = styles.get_literal();
    for (title, commands) in GROUPS {
        text += &heading(styles, title);
        for name in *commands {
            let about = root.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            // Writing to a String does not fail.
            let _ = writeln!(text, "  {literal}{name:<11}{literal:#}  {about}");
        }
    }
    text
}

fn heading(styles: &Styles, title: &str) -> String {
    let style = styles.get_header();
    format!("{style}{title}:{style:#}\n")
}

fn indented(text: &str) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;

    use super::*;

    #[test]
    fn every_command_is_in_one_group_and_has_an_example() {
        let names: Vec<&str> = topics().filter(|name| *name != OPTIONS).collect();
        let grouped: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(grouped.len(), names.len(), "one is in two groups");
        let root = Cli::command();
        let known = root.get_subcommands().filter(|c| !c.is_hide_set()).map(Command::get_name);
        assert_eq!(known.collect::<BTreeSet<_>>(), grouped);
        assert_eq!(EXAMPLES.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>(), grouped);
    }

    #[test]
    fn short_help_fits_on_a_screen() {
        for columns in [80, 100] {
            let mut root = command(false).term_width(columns);
            root.build();
            let text = root.render_help().to_string();
            let wide = text.lines().map(|line| line.chars().count()).max();
            assert!(text.lines().count() <= 50 && wide <= Some(columns), "{text}");
            for name in topics().filter(|name| *name != OPTIONS) {
                let of = root.find_subcommand_mut(name).expect("a command").render_help();
                assert!(of.to_string().lines().count() <= 50, "{of}");
            }
        }
    }

    #[test]
    fn what_reads_named_files_offers_no_command_to_run() {
        let mut root = command(true);
        root.build();
        let mut readers = 0;
        for command in root.get_subcommands_mut() {
            if command.get_arguments().any(|arg| arg.get_id() == "files") {
                let text = command.render_help().to_string();
                assert!(!text.contains("CMD"), "{text}");
                readers += 1;
            }
        }
        assert!(readers >= 3, "{readers}");
    }

    /// Words as a shell splits them; of `a | b` the first command.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for c in line.replace("\\\n", "").chars().take_while(|c| !matches!(c, '|' | '\n')) {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                c => words.last_mut().expect("a word").push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words.split_off(words.iter().position(|word| word == "tcc-trace").expect("tcc-trace"))
    }

    #[test]
    fn examples_are_parsed() {
        let of_options =
            examples::OPTIONS.lines().filter(|line| line.trim_start().starts_with("tcc-trace"));
        let of_root = ROOT.lines().skip(1).filter_map(|line| line.split("   ").next());
        for line in of_options.chain(of_root).chain(EXAMPLES.iter().map(|(_, text)| *text)) {
            let words = words(line).into_iter().take_while(|word| word != ">");
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn every_topic_has_help() {
        for topic in topics() {
            let text = text(Some(topic)).to_string();
            assert!(
                topic == OPTIONS || text.contains(&format!("Usage: tcc-trace {topic}")),
                "{text}"
            );
        }
    }
}
