//! `events`: any event types in one stream, in order of time.

use anyhow::{Result, bail};

use crate::config::{Config, Usage};
use crate::events::{EVENT_TYPES, EventType, drop};
use crate::kernel::Kernel;
use crate::session;
use crate::suggest;

/// Traces until the end; returns the exit status.
pub fn run(mut config: Config, names: &[String], stack: bool) -> Result<u8> {
    check_names(names)?;
    let kernel = Kernel::new(config.kernel_options.btf.as_deref());
    let event_types = event_types(&config, &kernel, names);
    if stack && !event_types.iter().any(|event_type| event_type.number == drop::EVENT_TYPE.number) {
        bail!(Usage("--stack needs the event type `drop`; add it to the list".into()));
    }
    config.output.stack = stack;
    session::run_on(kernel, &config, &event_types)
}

fn check_names(names: &[String]) -> Result<()> {
    for name in names {
        if name != "all" && crate::events::event_type(name).is_none() {
            let known: Vec<&str> = EVENT_TYPES.iter().map(|event_type| event_type.name).collect();
            let list = format!("use all, {}", known.join(", "));
            let hint = suggest::did_you_mean(name, known, &list);
            bail!(Usage(format!("unknown event type `{name}`; {hint}")));
        }
    }
    Ok(())
}

/// By number, each once. `all` means those that this kernel has; a note names the others.
fn event_types(config: &Config, kernel: &Kernel, names: &[String]) -> Vec<&'static EventType> {
    let all = names.iter().any(|name| name == "all");
    // If its types cannot be read, that error is reported later.
    let known = all && kernel.btf().is_ok();
    let mut event_types = Vec::new();
    for event_type in EVENT_TYPES {
        let named = names.iter().any(|name| name == event_type.name);
        let missing_events = if named || !known { None } else { kernel.missing(event_type) };
        if let Some(why) = missing_events {
            if !config.output.quiet {
                session::output::print_line(&format!(
                    "note: {} is not traced: {why}",
                    event_type.name
                ));
            }
        } else if named || all {
            event_types.push(event_type);
        }
    }
    event_types
}
