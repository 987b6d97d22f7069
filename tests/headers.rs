//! The headers of the BPF side: each compiles alone, as it includes what it uses; they include each other in one direction;
//! and each macro, so each constant of the kernel, is defined once.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use libbpf_rs::libbpf_sys::API_HEADERS;

/// By their names in `#include`, with their texts.
fn headers() -> BTreeMap<String, String> {
    let dir = support::root().join("src/bpf");
    let named = |path: PathBuf| {
        let name = path.strip_prefix(&dir).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(&path).unwrap())
    };
    let found: BTreeMap<_, _> = support::files(&dir, "h").into_iter().map(named).collect();
    assert!(found.contains_key("hooks.bpf.h"), "{:?}", found.keys());
    found
}

/// libbpf's own headers, which the build script has from the same place.
fn libbpf_include() -> PathBuf {
    let include = Path::new(env!("CARGO_TARGET_TMPDIR")).join("include");
    fs::create_dir_all(include.join("bpf")).unwrap();
    for (name, text) in API_HEADERS {
        fs::write(include.join("bpf").join(name), text).unwrap();
    }
    include
}

/// Twice, so that it needs its include guard. Its functions are for those that include it, and not used here.
fn compile(header: &str, libbpf: &Path) -> Child {
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".into());
    Command::new(&clang)
        .args([
            "-fsyntax-only",
            "-target",
            "bpf",
            "-mcpu=v2",
            "-Wall",
            "-Werror",
            "-Wno-unused-function",
        ])
        .args(["-Ivmlinux", "-Isrc/bpf", "-I"])
        .arg(libbpf)
        .args(["-include", header, "-include", header, "-x", "c", "/dev/null"])
        .current_dir(support::root())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{clang}: {error}"))
}

#[test]
fn each_header_compiles_alone() {
    let libbpf = libbpf_include();
    let headers: Vec<String> = headers().into_keys().collect();
    let mut failed = Vec::new();
    for some in headers.chunks(4) {
        let running: Vec<Child> = some.iter().map(|header| compile(header, &libbpf)).collect();
        for (header, clang) in some.iter().zip(running) {
            let output = clang.wait_with_output().unwrap();
            if !output.status.success() {
                failed.push(format!("{header}:\n{}", String::from_utf8_lossy(&output.stderr)));
            }
        }
    }
    assert!(failed.is_empty(), "do not compile alone: {}", failed.join("\n"));
}

#[test]
fn headers_include_each_other_in_one_direction() {
    let mut left = headers();
    loop {
        let is_left = |line: &str| {
            let named = line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"'));
            named.is_some_and(|name| left.contains_key(name))
        };
        let lowest = left.iter().filter(|(_, text)| !text.lines().any(is_left));
        let lowest: Vec<String> = lowest.map(|(name, _)| name.clone()).collect();
        if lowest.is_empty() {
            break;
        }
        left.retain(|name, _| !lowest.contains(name));
    }
    assert!(left.is_empty(), "in a cycle, or above one: {:?}", left.keys());
}

/// A program at a classic tracepoint that returns 0 keeps the event from `perf` and others.
#[test]
fn classic_programs_are_made_by_their_macro() {
    let classic = |text: &String| {
        ["SEC(\"tp/", "SEC(\"tracepoint/"].map(|section| text.matches(section).count())
    };
    let found = headers().into_iter().map(|(name, text)| (name, classic(&text)));
    let found: Vec<_> = found.filter(|(_, counts)| *counts != [0, 0]).collect();
    assert_eq!(found, [("programs.bpf.h".to_owned(), [1, 0])]);
}

#[test]
fn each_macro_is_defined_once() {
    let mut defined: BTreeMap<String, String> = BTreeMap::new();
    for (header, text) in headers() {
        for definition in text.lines().filter_map(|line| line.strip_prefix("#define ")) {
            let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
            let name: String = definition.chars().take_while(is_word).collect();
            let before = defined.insert(name.clone(), header.clone());
            assert_eq!(before, None, "{header} defines {name} again");
        }
    }
    assert!(defined.contains_key("TCP_ESTABLISHED"), "{:?}", defined.keys());
}
