//! Options that divide a recording: --rotate, --flight and what goes with them.

use std::time::Duration;

use anyhow::{Result, bail};

use super::args::RecordingArgs;
use super::parse::Rotate;
use crate::config::{Flight, Keep, Parts};
use crate::predicate::Predicate;

impl RecordingArgs {
    /// Options that only a recording that is written has.
    pub(super) fn of_writing(&self) -> [(&'static str, bool); 8] {
        [
            ("--force", self.force),
            ("--rotate", self.rotate.is_some()),
            ("--keep", self.keep.is_some()),
            ("--flight", self.flight.is_some()),
            ("--flight-size", self.flight_size.is_some()),
            ("--trigger", self.trigger.is_some()),
            ("--after", self.after.is_some()),
            ("--dump-on-exit", self.dump_on_exit),
        ]
    }

    /// How the recording is divided, if it is.
    pub(super) fn parts(&self) -> Result<Option<Parts>> {
        let needs = [
            ("--keep", self.keep.is_some(), "--rotate", self.rotate.is_some()),
            ("--trigger", self.trigger.is_some(), "--flight", self.flight.is_some()),
            ("--dump-on-exit", self.dump_on_exit, "--flight", self.flight.is_some()),
            ("--flight-size", self.flight_size.is_some(), "--flight", self.flight.is_some()),
            ("--after", self.after.is_some(), "--trigger", self.trigger.is_some()),
        ];
        if let Some((option, _, other, _)) = needs.iter().find(|need| need.1 && !need.3) {
            bail!("{option} needs {other}");
        }
        let force = self.force;
        match (self.rotate, self.flight) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                bail!(
                    "--rotate cannot be used with --flight, which divides the recording by itself"
                )
            }
            (Some(rotate), None) => {
                let (bytes, age) = match rotate {
                    Rotate::Bytes(bytes) => (Some(bytes), None),
                    Rotate::Age(age) => (None, Some(age)),
                };
                let keep = self.keep.map_or(Keep::All, Keep::Newest);
                Ok(Some(Parts { bytes, age, keep, force, flight: None }))
            }
            (None, Some(span)) if span < Duration::from_secs(1) => {
                bail!("--flight: must be at least 1s")
            }
            (None, Some(span)) => {
                let trigger = self.trigger.as_deref();
                let trigger =
                    trigger.map(|text| Predicate::parse_of("--trigger", text)).transpose()?;
                let after = self.after.unwrap_or_default();
                let (dump_on_exit, most_bytes) = (self.dump_on_exit, self.flight_size);
                let flight = Flight { span, trigger, after, dump_on_exit, most_bytes };
                Ok(Some(Parts {
                    // What is kept is half of it, in four parts and the one that is written.
                    bytes: most_bytes.map(|most| most / 10),
                    // A sealed file has at least the whole span, and a quarter more at most.
                    age: Some((span / 4).max(Duration::from_secs(1))),
                    keep: Keep::Span(span),
                    force,
                    flight: Some(flight),
                }))
            }
        }
    }
}
