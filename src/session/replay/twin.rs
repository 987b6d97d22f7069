//! What limited recorded connections: for `limits`, and for `life` where its records do not have it.

use anyhow::{Result, bail};

use super::input::Input;
use crate::config::{Config, Usage};
use crate::events::{EventType, life, send, tcp_probe};
use crate::limits::observed;
use crate::limits::twin::{Twin, TwinOptions};
use crate::session::columns::Selection;
use crate::session::output::print_line;
use crate::skel::{EventType as Number, LifeRecord, bytes};

/// What the files lack for that, which is noted.
pub(super) fn options(what: &str, config: &Config, inputs: &[Input]) -> Result<TwinOptions> {
    let probe = &tcp_probe::EVENT_TYPE;
    if let Some(input) = inputs.iter().find(|input| !input.has_type(probe)) {
        bail!(Usage(format!("{what} needs probe records, which {} does not have", input.name)));
    }
    let lacks = |name: &&'static str| inputs.iter().any(|input| !input.has(probe, name));
    let missing: Vec<&'static str> = observed::COLUMNS.into_iter().filter(lacks).collect();
    let mut options = TwinOptions {
        no_sends: !inputs.iter().any(|input| input.has_type(&send::EVENT_TYPE)),
        other_bbr: lacks(&"bbr.mode") || !inputs.iter().all(Input::has_mainline_bbr),
        missing,
        ..TwinOptions::default()
    };
    if options.no_sends && lacks(&"busy_us") {
        options.missing.push("busy_us");
    }
    if !options.missing.is_empty() && !config.output.quiet {
        let names = options.missing.join(", ");
        print_line(&format!(
            "note: undecided where it needs what the probe records do not have: {names}"
        ));
    }
    Ok(options)
}

/// Has the files classify what their records of `life` do not have, if a column shows it.
pub(super) fn prepare_lives(
    config: &Config,
    event_types: &[&'static EventType],
    selection: &Selection,
    inputs: &mut [Input],
) -> Result<()> {
    let of_life = |of: &&EventType| of.number == life::EVENT_TYPE.number;
    if !selection.limits || !event_types.iter().any(of_life) {
        return Ok(());
    }
    for input in inputs.iter_mut().filter(|input| input.has_type(&life::EVENT_TYPE)) {
        if input.has_type(&tcp_probe::EVENT_TYPE) {
            let options = options("limits_main", config, std::slice::from_ref(input))?;
            input.classify(Lives::new(options));
        } else if !config.output.quiet {
            print_line(&format!(
                "note: {} has no probe records, so limits_main is null unless it was recorded",
                input.name
            ));
        }
    }
    Ok(())
}

/// Completes the records of `life` of a file.
pub(super) struct Lives {
    twin: Twin,
    /// The last record of `life`, completed.
    record: Option<LifeRecord>,
}

impl Lives {
    fn new(options: TwinOptions) -> Self {
        Lives { twin: Twin::new(TwinOptions { lives: true, ..options }), record: None }
    }

    /// Takes the next record of the file.
    pub(super) fn take(&mut self, record: &[u8]) {
        self.record = None;
        let number = record.get(52).copied().map(u32::from);
        if number != Some(Number::TCC_EVENT_LIFE.0) {
            self.twin.record(record);
            return;
        }
        self.record = self.twin.life(record);
    }

    /// The record that was taken last, if it was completed.
    pub(super) fn completed(&self) -> Option<&[u8]> {
        self.record.as_ref().map(bytes)
    }
}
