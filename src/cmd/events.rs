//! `events`: any kinds of events in one stream, as they happened.

use anyhow::{Result, bail};

use crate::config::{Config, Usage};
use crate::kernel::Kernel;
use crate::probe::{KINDS, Kind, drop};
use crate::session;

/// Traces until the end; the exit status.
pub fn run(mut config: Config, names: &[String], stack: bool) -> Result<u8> {
    let kinds = kinds(&config, names)?;
    if stack && !kinds.iter().any(|kind| kind.number == drop::KIND.number) {
        bail!(Usage("--stack is of `drop`, which is not asked for".into()));
    }
    config.output.stack = stack;
    session::run(&config, &kinds)
}

/// By number, each once. `all` is what this kernel has, and what it lacks is said.
fn kinds(config: &Config, names: &[String]) -> Result<Vec<&'static Kind>> {
    for name in names {
        if name != "all" && crate::probe::kind(name).is_none() {
            let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            bail!(Usage(format!("no event `{name}`; there are: all, {}", known.join(", "))));
        }
    }
    let all = names.iter().any(|name| name == "all");
    // Where its types cannot be read, that is what is said of it.
    let kernel = all.then(|| Kernel::new(config.tap.btf.as_deref()));
    let kernel = kernel.filter(|kernel| kernel.btf().is_ok());
    let lacks = |kind: &Kind| kernel.as_ref().and_then(|kernel| kernel.lacks(kind));
    let mut kinds = Vec::new();
    for kind in KINDS {
        let named = names.iter().any(|name| name == kind.name);
        let lacking = if named { None } else { lacks(kind) };
        if let Some(why) = lacking {
            if !config.output.quiet {
                session::output::tell(&format!("note: {} is left out: {why}", kind.name));
            }
        } else if named || all {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}
