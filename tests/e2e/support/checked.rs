//! What `check` says to root of this machine as it is. Once for all tests that read it: it loads every program for each reader,
//! which takes longer than most tests.

use std::sync::OnceLock;

use serde_json::Value;

use super::launch::Launch;
use super::tracer::{Output, Tracer};

pub struct Checked {
    pub text: Output,
    pub json: Output,
    pub report: Value,
}

pub fn checked() -> &'static Checked {
    static CHECKED: OnceLock<Checked> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let launch = Launch::here().with_tracefs();
        let text = Tracer::spawn(&launch, &["check"]).wait_raw();
        let json = Tracer::spawn(&launch, &["check", "-o", "json"]).wait_raw();
        let report = serde_json::from_str(&json.stdout).expect("JSON");
        Checked { text, json, report }
    })
}
