//! CONTRIBUTING says where a column, an event type, a command and so on are added: the places exist, and each one that there is has
//! its part in each of them.

mod support;

use std::fs;

use clap::CommandFactory;
use tcc_trace::cli::Cli;
use tcc_trace::cli::examples::EXAMPLES;
use tcc_trace::cli::help::GROUPS;
use tcc_trace::events::EVENT_TYPES;
use tcc_trace::sink::FORMATS;
use tcc_trace::summary::AGGREGATES;

use support::root;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The steps under `### … TITLE`.
fn steps(title: &str) -> String {
    let text = read("CONTRIBUTING.md");
    let heading = format!("\n### … {title}\n");
    let steps = text.split(&heading).nth(1).unwrap_or_else(|| panic!("no steps for {title}"));
    steps
        .split("\n### ")
        .next()
        .unwrap_or_default()
        .split("\n## ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The files that these steps name, those of `<name>` for each of the names.
#[track_caller]
fn check_files(title: &str, names: &[&str]) {
    let steps = steps(title);
    let paths = steps.split('`').skip(1).step_by(2);
    let paths: Vec<&str> =
        paths.filter(|code| code.starts_with("src/") && !code.contains(' ')).collect();
    assert!(!paths.is_empty(), "{title}: {steps}");
    for path in paths {
        for name in if path.contains("<name>") { names } else { &[""] } {
            let path = path.replace("<name>", name);
            assert!(root().join(&path).exists(), "{title}: no {path}");
        }
    }
}

#[test]
fn a_column_is_in_the_places_of_its_steps() {
    check_files("a column", &[]);
    // The example is a real one.
    let steps = steps("a column");
    for (path, line) in [
        ("src/bpf/probe.h", "__u32 lost;"),
        ("src/bpf/fields.bpf.h", "out->lost = tp->lost;"),
        ("src/events/tcp_columns.rs", "full(\"lost\", "),
    ] {
        assert!(steps.contains(line) && read(path).contains(line), "{path}: {line}");
    }
}

#[test]
fn each_event_type_is_in_the_places_of_its_steps() {
    // `probe` is in tcp_probe.rs, and has several readers.
    let names: Vec<&str> =
        EVENT_TYPES.iter().filter(|event_type| !event_type.is_probe()).map(|of| of.name).collect();
    check_files("an event type", &names);
    let [numbers, records, hooks, skel, golden, registry] = [
        "src/bpf/event.h",
        "src/bpf/record.h",
        "src/bpf/hooks.bpf.h",
        "src/skel.rs",
        "tests/golden/records.rs",
        "src/events/mod.rs",
    ]
    .map(read);
    for name in names {
        let number = format!("TCC_EVENT_{},", name.to_uppercase());
        assert!(numbers.contains(&number), "{number}");
        assert!(records.contains(&format!("\tstruct tcc_{name} {name};\n")), "{name}: no record");
        assert!(
            hooks.contains(&format!("#include \"events/{name}.bpf.h\"\n")),
            "{name}: no handler"
        );
        assert!(
            hooks.contains(&format!("REPORTS({})", name.to_uppercase())),
            "{name} is in no program"
        );
        assert!(skel.contains(&format!("tcc_{name} as ")), "{name}: not in skel.rs");
        assert!(golden.contains(&format!("\"{name}\" => ")), "{name}: no golden record");
        assert!(registry.contains(&format!("    {name}::EVENT_TYPE,\n")), "{name}: not registered");
    }
}

#[test]
fn each_command_is_in_the_places_of_its_steps() {
    let grouped: Vec<&str> =
        GROUPS.iter().flat_map(|(_, commands)| commands.iter().copied()).collect();
    let cli = Cli::command();
    let traces = |name: &&str| {
        let command = cli.find_subcommand(name).unwrap_or_else(|| panic!("no command {name}"));
        command.get_opts().any(|option| option.get_long() == Some("reader"))
    };
    let names: Vec<&str> = grouped.into_iter().filter(traces).collect();
    assert!(names.len() > 12, "{names:?}");
    check_files("a command", &names);
    for name in names {
        assert!(read("src/cmd/mod.rs").contains(&format!("pub mod {name};\n")), "{name}");
        assert!(read("src/main.rs").contains(&format!("cmd::{name}::run")), "{name}");
        assert!(EXAMPLES.iter().any(|(of, _)| *of == name), "{name}: no example");
    }
}

#[test]
fn each_format_and_aggregate_has_its_file() {
    let modules: Vec<String> = FORMATS.iter().map(|format| format.name.replace('.', "_")).collect();
    check_files("a format", &modules.iter().map(String::as_str).collect::<Vec<_>>());
    let commands: Vec<&str> = AGGREGATES.iter().map(|aggregate| aggregate.command).collect();
    check_files("an aggregate", &commands);
}

/// Each filter of the programs is a bit that the loader sets.
#[test]
fn each_filter_is_in_the_places_of_its_steps() {
    check_files("a filter option", &[]);
    let (config, filters, loader) =
        (read("src/bpf/config.h"), read("src/bpf/filter.bpf.h"), read("src/loader/filters.rs"));
    let list = config.split("enum tcc_filter {").nth(1).and_then(|rest| rest.split('}').next());
    let names =
        list.expect("enum tcc_filter").lines().filter_map(|line| line.trim().split(' ').next());
    let names: Vec<&str> = names.filter(|name| name.starts_with("TCC_FILTER_")).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        assert!(filters.contains(name), "{name} is not tested");
        // That of a command's processes is set where the command is.
        let set = loader.contains(&format!("Filter::{name}")) || name == "TCC_FILTER_TRACED_PIDS";
        assert!(set, "{name} is never set");
    }
    let (options, security) = (Cli::command(), read("docs/security.md"));
    let heading = |option: &&clap::Arg| {
        option.get_help_heading().is_some_and(|text| text.starts_with("Filters"))
    };
    let named: Vec<&clap::Arg> = options.get_opts().filter(heading).collect();
    assert!(named.len() > 15, "{}", named.len());
    for option in named {
        let name = format!("`--{}`", option.get_long().unwrap_or_default());
        assert!(security.contains(&name), "{name} is not in docs/security.md");
    }
}
