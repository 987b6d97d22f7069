//! Options of `assert`.

use anyhow::{Result, bail};
use clap::Args;

use super::args::TraceArgs;
use super::conflicts::{of_fields, of_limits};
use crate::assertion::Assertion;
use crate::assertion::parse::Wrong;
use crate::assertion::run::Assertions;
use crate::config::Config;
use crate::sink::FOR_RESULTS;

#[derive(Args, Debug)]
pub struct AssertArgs {
    /// What must hold at the end: MEASURE(FIELD) and a limit, such as 'p99(srtt_us) < 20ms'.
    #[arg(required = true, value_name = "ASSERTION")]
    pub assertions: Vec<String>,
    #[command(flatten)]
    pub trace: TraceArgs,
}

impl AssertArgs {
    pub fn into_config(self) -> Result<Config> {
        let parse = |text: &String| match Assertion::parse(text) {
            Ok(assertion) => Ok(assertion),
            Err(Wrong::Assertion(message)) => bail!("{message}"),
            Err(Wrong::Condition(mistake)) => Err(mistake.into()),
        };
        let all = self.assertions.iter().map(parse).collect::<Result<Vec<Assertion>>>()?;
        if self.trace.filters.predicate.is_some() {
            bail!(
                "--where cannot be used with `assert`; write the condition into the assertion: 'count(drop where dport == 443) == 0'"
            );
        }
        let count = [("--count", self.trace.limits.count.is_some())];
        let limits = of_limits(&self.trace);
        if let Some((option, _)) = limits.iter().chain(&count).find(|(_, given)| *given) {
            bail!("{option} cannot be used with `assert`, which needs all events");
        }
        let output = [
            ("--format", self.trace.output.format.is_some()),
            ("--anonymize", self.trace.output.anonymize),
        ];
        let fields = of_fields(&self.trace);
        if let Some((option, _)) = fields.iter().chain(&output).find(|(_, given)| *given) {
            bail!("{option} cannot be used with `assert`, which prints no events");
        }
        let mut config = self.trace.into_config()?;
        if let Some(other) = config
            .output
            .destinations
            .iter()
            .find(|to| to.path.is_some() || !FOR_RESULTS.contains(&to.format))
        {
            bail!("-o {}: `assert` prints text or jsonl, to standard output", other.format.name);
        }
        config.assertions = Some(Assertions::new(all));
        Ok(config)
    }
}
