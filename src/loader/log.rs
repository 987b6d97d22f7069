//! What libbpf says: shown with -v. Its errors carry an errno only; what it was that the kernel refused stands in here.

use std::sync::{Mutex, PoisonError};

use libbpf_rs::PrintLevel;

use crate::escape;
use crate::stdio::tell_raw;

/// Lines of one message that are worth printing: the verifier gives its reasons last.
const LAST_LINES: usize = 40;

/// What the kernel refused, since that was last asked.
static REFUSED: Mutex<Option<String>> = Mutex::new(None);

/// What libbpf and the verifier say: to stderr, or to nobody. An error has its own line either way.
pub fn set_log(verbose: bool) {
    libbpf_rs::set_print(Some(if verbose {
        (PrintLevel::Info, tell)
    } else {
        (PrintLevel::Warn, listen)
    }));
}

/// What the kernel refused since the last time, by name.
pub(super) fn take_refused() -> Option<String> {
    REFUSED.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn tell(level: PrintLevel, text: String) {
    let lines: Vec<&str> = text.lines().collect();
    if let Some(left_out) = lines.len().checked_sub(LAST_LINES).filter(|n| *n > 0) {
        tell_raw(&format!("  ({left_out} lines left out)\n"));
    }
    // This is called from C: it must not panic, as a panic here would abort.
    let last = lines.iter().rev().take(LAST_LINES).rev();
    last.for_each(|line| tell_raw(&format!("  {}\n", escape::line(line))));
    listen(level, text);
}

fn listen(_: PrintLevel, text: String) {
    if let Some(what) = refused(&text) {
        *REFUSED.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }
}

/// The message in which it is named.
fn refused(text: &str) -> Option<String> {
    let named = |what: &str, begin: &str, end: &str| {
        let (name, why) = text.strip_prefix(begin)?.split_once("': ")?;
        why.starts_with(end).then(|| format!("{what} {name}"))
    };
    named("the program", "libbpf: prog '", "BPF program load failed")
        .or_else(|| named("the map", "libbpf: map '", "failed to create"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_named() {
        let program = refused("libbpf: prog 'probe_sock': BPF program load failed: -EACCES\n");
        assert_eq!(program.as_deref(), Some("the program probe_sock"));
        let map = refused("libbpf: map 'events_ring': failed to create: -EPERM\n");
        assert_eq!(map.as_deref(), Some("the map events_ring"));
        assert_eq!(
            refused("libbpf: prog 'probe_sock': -- BEGIN PROG LOAD LOG --\n0: R1=ctx()"),
            None
        );
        assert_eq!(refused("libbpf: failed to load object 'tcc_trace_bpf'\n"), None);
    }
}
