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
    if config.read.is_wanted() {
        let event_types = named(names);
        check_stack(stack, &event_types)?;
        config.output.stack = stack;
        return session::run(&config, &event_types);
    }
    let kernel = Kernel::new(config.kernel_options.btf.as_deref());
    let event_types = event_types(&config, &kernel, names, &[]);
    check_stack(stack, &event_types)?;
    config.output.stack = stack;
    session::run_on(kernel, &config, &event_types)
}

/// Those that were named; `all` means every one.
pub(super) fn named(names: &[String]) -> Vec<&'static EventType> {
    let all = names.iter().any(|name| name == "all");
    let is_named = |event_type: &&EventType| names.iter().any(|name| name == event_type.name);
    EVENT_TYPES.iter().filter(|event_type| all || is_named(event_type)).collect()
}

fn check_stack(stack: bool, event_types: &[&'static EventType]) -> Result<()> {
    if stack && !event_types.iter().any(|event_type| event_type.number == drop::EVENT_TYPE.number) {
        bail!(Usage("--stack needs the event type `drop`; add it to the list".into()));
    }
    Ok(())
}

pub(super) fn check_names(names: &[String]) -> Result<()> {
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

/// By number, each once. `all` means those that this kernel has; a note names the others. Without names, `profile` lists those
/// that are wanted if the kernel has them.
pub(super) fn event_types(
    config: &Config,
    kernel: &Kernel,
    names: &[String],
    profile: &[&str],
) -> Vec<&'static EventType> {
    let all = names.iter().any(|name| name == "all");
    let wanted = |name: &str| all || (names.is_empty() && profile.contains(&name));
    // If its types cannot be read, that error is reported later.
    let known = (all || names.is_empty()) && kernel.btf().is_ok();
    let mut event_types = Vec::new();
    for event_type in EVENT_TYPES {
        let named = names.iter().any(|name| name == event_type.name);
        if !named && !wanted(event_type.name) {
            continue;
        }
        let missing_events = if named || !known { None } else { kernel.missing(event_type) };
        if let Some(why) = missing_events {
            if !config.output.quiet {
                session::output::print_line(&format!(
                    "note: {} is not traced: {why}",
                    event_type.name
                ));
            }
        } else {
            event_types.push(event_type);
        }
    }
    event_types
}
