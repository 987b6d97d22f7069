//! The structure of the tree: dependencies between modules, length of files, place of `unsafe`, and the parts of every event
//! type.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use tcc_trace::cli::Cli;
use tcc_trace::sink::FORMATS;

/// Low to high: a module names only modules before it.
const ORDER: &[&str] = &[
    "escape",
    "stdio",
    "suggest",
    "symbols",
    "slot",
    "table",
    "accounting",
    "skel",
    "btf",
    "privilege",
    "events",
    "environment",
    "kernel",
    "decode",
    "recording",
    "anonymize",
    "predicate",
    "limits",
    "assertion",
    "sink",
    "config",
    "pipeline",
    "loader",
    "summary",
    "report",
    "export",
    "session",
    "live",
    "check",
    "cli",
    "cmd",
];
const LONGEST_FILE: usize = 400;

fn files(dir: &str, extension: &str) -> Vec<PathBuf> {
    let found = support::files(&support::root().join(dir), extension);
    assert!(!found.is_empty(), "no .{extension} in {dir}");
    found
}

/// `src/events/ca.rs` is of `probe`, `src/btf.rs` of `btf`.
fn module(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn modules_name_only_lower_ones() {
    for path in files("src", "rs") {
        let module = module(&path);
        if module == "lib" || module == "main" {
            continue;
        }
        let own = ORDER
            .iter()
            .position(|m| *m == module)
            .unwrap_or_else(|| panic!("{module} has no place in ORDER"));
        let text = fs::read_to_string(&path).unwrap();
        for named in text.split("crate::").skip(1) {
            let named: String =
                named.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if let Some(other) = ORDER.iter().position(|m| *m == named) {
                assert!(other <= own, "{} names {named}, which stands above it", path.display());
            }
        }
    }
}

#[test]
fn files_stay_short() {
    let sources = ["src", "tests", "examples"].into_iter().flat_map(|dir| files(dir, "rs"));
    for path in sources.chain(files("src/bpf", "h")).chain(files("src/bpf", "c")) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", path.display());
    }
}

#[test]
fn unsafe_stands_in_one_file_only() {
    for path in files("src", "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let found = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains("unsafe ") && !code.contains("deny")
        });
        assert!(!found || path.ends_with("skel.rs"), "{} has unsafe code", path.display());
    }
}

#[test]
fn every_event_type_has_its_parts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let hooks = fs::read_to_string(root.join("src/bpf/hooks.bpf.h")).unwrap();
    for event_type in tcc_trace::events::EVENT_TYPES {
        let file = format!("events/{}.bpf.h", event_type.name);
        assert!(root.join("src/bpf").join(&file).exists(), "no src/bpf/{file}");
        assert!(hooks.contains(&file), "{file} is not in hooks.bpf.h");
        let page = format!("docs/reference/{}.md", event_type.name);
        assert!(root.join(&page).exists(), "no {page}");
        assert!(event_type.view.iter().all(|(title, ..)| title.len() <= 15));
    }
}

/// A format is a file and a line: nothing but its own file, the list and other formats names it.
#[test]
fn every_format_is_one_file_and_one_line() {
    let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
    assert!(names.len() > 2 && names.contains(&"jsonl"), "{names:?}");
    for (i, format) in FORMATS.iter().enumerate() {
        let module_name = format.name.replace('.', "_");
        assert!(!names[..i].contains(&format.name) && !format.doc.is_empty(), "{}", format.name);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(root.join(format!("src/sink/{module_name}.rs")).exists(), "{}", format.name);
        let file = format!("-o=jsonl=other.jsonl -o={}={}.out", format.name, format.name);
        let args = ["tcc-trace", "probe"].into_iter().chain(file.split(' '));
        assert!(Cli::try_parse_from(args).is_ok(), "-o {}", format.name);
        // What is for people has columns that the session lays out.
        for path in files("src", "rs").iter().filter(|_| !format.is_text) {
            let text = fs::read_to_string(path).unwrap();
            let program = text.split("\n#[cfg(test)]").next().unwrap_or_default();
            let named = program.contains(&format!("{module_name}::"));
            let elsewhere = module(path) != "sink" && !path.ends_with("tests.rs");
            assert!(!named || !elsewhere, "{} names {}", path.display(), format.name);
        }
    }
}

/// A test that was renamed would run on no kernel: script/vm would find out, but late.
#[test]
fn the_list_of_kernels_names_tests_that_exist() {
    let list = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels.list"));
    let list = list.unwrap();
    let rows = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for row in rows {
        let name = row.split_whitespace().nth(1).expect("a name");
        let (module, test) = name.rsplit_once("::").expect("module::test");
        let module = module.replace("::", "/");
        let path = format!("{}/tests/e2e/{module}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (start, end) = test.split_once('*').unwrap_or((test, ""));
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut words = source.split(|c| !is_word(c));
        assert!(words.any(|word| word.starts_with(start) && word.contains(end)), "{row}");
    }
}
