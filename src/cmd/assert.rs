//! `assert`: conditions on a whole run, as a test.

use anyhow::Result;
use serde_json::json;

use crate::assertion::{Finding, Outcome};
use crate::config::{Config, NoAnswer, Usage};
use crate::predicate::Mistake;
use crate::session;
use crate::session::child::CannotStart;

/// An assertion failed.
const FAILED: u8 = 1;
/// None failed, and one could not be decided.
const UNDECIDED: u8 = 3;

/// Runs to the end; returns the exit status.
pub fn run(mut config: Config) -> Result<u8> {
    let Some(assertions) = config.assertions.clone() else { return Ok(0) };
    let as_json = config.output.destinations.iter().any(|to| !to.format.is_text);
    config.output.destinations.clear();
    let ended = session::run(&config, &assertions.event_types());
    let status = match ended {
        Err(error) if error.is::<Usage>() || error.is::<Mistake>() || error.is::<CannotStart>() => {
            return Err(error);
        }
        Err(error) => return Err(NoAnswer(format!("{error:#}")).into()),
        Ok(status) => status,
    };
    let Some(findings) = assertions.findings() else {
        return Err(NoAnswer("the run did not come to its end".to_owned()).into());
    };
    let line = |finding: &Finding| if as_json { json_line(finding) } else { finding.to_string() };
    let lines: Vec<String> = findings.iter().map(line).collect();
    super::print(format!("{}\n", lines.join("\n")).as_bytes())?;
    let any = |is: fn(&Outcome) -> bool| findings.iter().any(|finding| is(&finding.result));
    if any(|result| *result == Outcome::Fail) {
        return Ok(FAILED);
    }
    let undecided = any(|result| matches!(result, Outcome::Undecided(_)));
    Ok(if undecided && status == 0 { UNDECIDED } else { status })
}

fn json_line(finding: &Finding) -> String {
    let why = match &finding.result {
        Outcome::Undecided(why) => Some(why),
        _ => None,
    };
    json!({
        "type": "assertion",
        "assertion": finding.text,
        "result": finding.result.name(),
        "value": finding.value,
        "unit": finding.unit,
        "of": finding.basis,
        "why": why,
    })
    .to_string()
}
