//! What `check` says to root of this machine as it is. Once for all tests that read it: it loads every program for each reader,
//! which takes longer than most tests.

use std::sync::LazyLock;

use serde_json::Value;

use super::launch::Launch;
use super::tracer::{Output, Tracer};

/// As text.
pub static CHECKED_TEXT: LazyLock<Output> = LazyLock::new(|| check(&["check"]));

/// As JSON, as it was printed and as it is read.
pub static CHECKED: LazyLock<(Output, Value)> = LazyLock::new(|| {
    let output = check(&["check", "-o", "json"]);
    let report = serde_json::from_str(&output.stdout).expect("JSON");
    (output, report)
});

fn check(args: &[&str]) -> Output {
    Tracer::spawn(&Launch::here().with_tracefs(), args).wait_raw()
}
