//! Words that users read: the field's terms, and none of those that the project once had for them.

mod support;

use std::fs;

use clap::CommandFactory;
use support::{documents, root, source_strings};

/// Words and phrases that nothing a user reads may contain, what to write instead, and words that make them harmless when they
/// follow.
const FORBIDDEN: &[(&str, &str, &[&str])] = &[
    ("kind", "event type, or type", &[]),
    ("kinds", "event types, or types", &[]),
    ("books", "accounting, or counters", &[]),
    ("told", "reported, or shown", &[]),
    ("tells", "reports, or shows", &[]),
    ("asked", "requested", &[]),
    ("forgotten", "evicted", &[]),
    ("forgets", "evicts", &[]),
    ("dwelling", "time in state", &[]),
    ("verdict", "spurious, or the nft term in its own words", &[]),
    ("summarised", "aggregated", &[]),
    ("summarized", "aggregated", &[]),
    ("undecodable", "malformed", &[]),
    ("lost_nested", "recursion_misses", &[]),
    ("derived", "inferred", &[]),
    ("mend", "fix", &[]),
    ("mends", "fixes", &[]),
    ("lacks", "has no", &[]),
    ("is no", "is not a", &["longer", "more", "room"]),
    ("are no", "there are no, or are not", &["longer", "more"]),
    ("of one's own", "custom, or its own", &[]),
    ("which is said", "and a note is printed", &[]),
    ("let something through", "must be greater than zero", &[]),
    ("longer than nothing", "must be greater than zero", &[]),
    ("for want of room", "when the map is full", &[]),
    ("the way through", "the stack, or the path", &[]),
    ("what became of", "counters of", &[]),
    ("stands first", "sort key", &[]),
    ("so many", "at most N", &[]),
    ("so long", "at least this long", &["as"]),
];

/// "there are no events" is plain English, "these are no events" is not.
fn is_existence(words: &[String], at: usize) -> bool {
    at > 0 && words[at - 1] == "there"
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Every forbidden phrase in the text, with the words around it.
fn found(text: &str) -> Vec<String> {
    let words = words(text);
    let mut found = Vec::new();
    for (phrase, instead, harmless) in FORBIDDEN {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        for (at, window) in words.windows(phrase.len()).enumerate() {
            let next = words.get(at + phrase.len()).map_or("", String::as_str);
            if window == phrase && !harmless.contains(&next) && !is_existence(&words, at) {
                let around = &words[at.saturating_sub(4)..(at + phrase.len() + 4).min(words.len())];
                found.push(format!("…{}…: write {instead}", around.join(" ")));
            }
        }
    }
    found
}

fn check(place: &str, text: &str, wrong: &mut Vec<String>) {
    wrong.extend(found(text).into_iter().map(|phrase| format!("{place}: {phrase}")));
}

#[test]
fn phrases_are_found_as_words_and_in_their_context() {
    assert_eq!(found("A kind, kindly.").len(), 1);
    assert_eq!(found("nft's verdict").len(), 1);
    assert!(found("it is no longer there; there are no events").is_empty());
    assert_eq!(found("these are no events").len(), 1);
}

#[test]
fn what_users_read_is_in_plain_words() {
    let mut wrong = Vec::new();
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let place = path.strip_prefix(root()).unwrap().display().to_string();
        text.lines()
            .enumerate()
            .for_each(|(at, line)| check(&format!("{place}:{}", at + 1), line, &mut wrong));
    }
    for (place, text) in source_strings() {
        check(&place, &text, &mut wrong);
    }
    let mut command = tcc_trace::cli::Cli::command();
    check("--help", &command.render_long_help().to_string(), &mut wrong);
    for command in command.get_subcommands_mut() {
        let name = command.get_name().to_owned();
        check(&format!("{name} --help"), &command.render_long_help().to_string(), &mut wrong);
    }
    assert!(wrong.is_empty(), "{} phrases:\n{}", wrong.len(), wrong.join("\n"));
}
