//! `record`: events in a file, with all fields.

use anyhow::Result;

use super::events::{check_names, event_types};
use crate::config::Config;
use crate::kernel::Kernel;
use crate::session;

/// Records until the end; returns the exit status. `profile`: the event types if none are named, as far as this kernel has them.
pub fn run(config: &Config, names: &[String], profile: &[&str]) -> Result<u8> {
    check_names(names)?;
    let kernel = Kernel::new(config.kernel_options.btf.as_deref());
    let event_types = event_types(config, &kernel, names, profile);
    session::run_on(kernel, config, &event_types)
}
