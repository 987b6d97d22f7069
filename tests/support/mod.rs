//! What the tests of the project's texts share: where these are.

#![allow(dead_code, reason = "each test uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};

#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a directory with that extension.
#[must_use]
pub fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The project's documentation.
#[must_use]
pub fn documents() -> Vec<PathBuf> {
    let names = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    let mut found: Vec<PathBuf> = names.iter().map(|name| root().join(name)).collect();
    found.extend(files(&root().join("docs"), "md"));
    assert!(found.len() > 10, "{found:?}");
    found
}

/// The string literals of the program, with their places: errors, notes, help and column texts are among them.
#[must_use]
pub fn source_strings() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in files(&root().join("src"), "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let program = text.split("\n#[cfg(test)]").next().unwrap_or_default();
        let place = path.strip_prefix(root()).unwrap().display().to_string();
        if !place.ends_with("tests.rs") {
            found.extend(
                strings(program).into_iter().map(|(line, s)| (format!("{place}:{line}"), s)),
            );
        }
    }
    assert!(found.len() > 1000, "{}", found.len());
    found
}

/// The string literals of Rust source, each with its line.
fn strings(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut line) = (Vec::new(), 1);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => line += 1,
            '/' if chars.peek() == Some(&'/') => {
                chars.by_ref().find(|&c| c == '\n');
                line += 1;
            }
            // A character literal may be a quote; a lifetime has no end.
            '\'' => {
                let second = chars.next();
                if second == Some('\\') || chars.peek() == Some(&'\'') {
                    chars.by_ref().find(|&c| c == '\'');
                }
            }
            '"' => {
                let (begins, mut string) = (line, String::new());
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' if chars.next_if_eq(&'\n').is_some() => line += 1,
                        '\\' => string.extend(chars.next()),
                        c => {
                            line += usize::from(c == '\n');
                            string.push(c);
                        }
                    }
                }
                found.push((begins, string));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn string_literals_are_found() {
    let source = "let a = \"one \\\"two\\\"\"; // \"no\"\nlet q: (char, &'static str) = ('\"', \"three\\\n    four\"); \"five\"";
    let texts: Vec<(usize, String)> = strings(source);
    let expected = [(1, "one \"two\""), (2, "three    four"), (3, "five")];
    assert_eq!(texts, expected.map(|(line, text)| (line, text.to_owned())));
}

/// The command lines of tcc-trace that the documentation shows: the place, and the words without `sudo` and what the shell does.
#[must_use]
pub fn command_lines() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for path in documents() {
        let place = path.strip_prefix(root()).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        for (line, command) in shell_lines(&text) {
            let words =
                shlex::split(&command).unwrap_or_else(|| panic!("{place}:{line}: {command}"));
            let simple = words.split(|word| {
                ["|", ">", ">>", "2>", "&", "&&", "||", ";"].contains(&word.as_str())
            });
            for words in simple {
                let mut words =
                    words.iter().skip_while(|word| *word == "sudo" || word.contains('='));
                if words.next().is_some_and(|program| program == "tcc-trace") {
                    found.push((format!("{place}:{line}"), words.cloned().collect()));
                }
            }
        }
    }
    assert!(found.len() > 50, "{} command lines", found.len());
    found
}

/// The lines of `sh` blocks, and in all other blocks those behind a prompt; continued lines put together.
fn shell_lines(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut block, mut open) = (Vec::new(), None, String::new());
    for (at, line) in text.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_none() { Some(language.trim() == "sh") } else { None };
            continue;
        }
        let command = match block {
            None => continue,
            _ if !open.is_empty() => line,
            Some(is_shell) => match line.trim_start().strip_prefix("$ ") {
                Some(command) => command,
                None if is_shell => line,
                None => continue,
            },
        };
        open += command.trim_end_matches('\\');
        if !command.ends_with('\\') {
            found.push((at + 1, std::mem::take(&mut open)));
        }
    }
    found
}
