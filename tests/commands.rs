//! Every command line that the documentation shows is one that the program takes.

mod support;

use std::ffi::OsString;

use clap::Parser;
use tcc_trace::cli::{Cli, command_first};

#[test]
fn command_lines_of_the_documentation_are_parsed() {
    let mut wrong = Vec::new();
    // What release packages have, and other builds may not.
    let is_of_this_build = |words: &[String]| {
        let is_parquet = |word: &String| word == "parquet" || word.starts_with("parquet=");
        cfg!(feature = "parquet") || !words.iter().any(is_parquet)
    };
    let lines = support::command_lines().into_iter();
    for (place, words) in lines.filter(|(_, words)| is_of_this_build(words)) {
        let args = std::iter::once("tcc-trace".to_owned()).chain(words);
        let args = command_first(args.map(OsString::from).collect());
        if let Err(error) = Cli::try_parse_from(args)
            && error.exit_code() != 0
        {
            wrong.push(format!("{place}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
