//! libbpf's messages, which -v prints. Its errors carry only an errno; the name of the rejected program or map is in the
//! messages.

use std::sync::{Mutex, PoisonError};

use libbpf_rs::PrintLevel;

use crate::escape;
use crate::stdio::print_raw;

/// Lines of one message that are worth printing: the verifier gives its reasons last.
const LAST_LINES: usize = 40;

/// The program or map that the kernel rejected last.
static REJECTED: Mutex<Option<String>> = Mutex::new(None);

/// Prints the messages of libbpf and the verifier to stderr if verbose. Errors are reported either way.
pub fn set_log(verbose: bool) {
    libbpf_rs::set_print(Some(if verbose {
        (PrintLevel::Info, print)
    } else {
        (PrintLevel::Warn, record)
    }));
}

/// The program or map that the kernel rejected since the last call.
pub(super) fn take_rejected() -> Option<String> {
    REJECTED.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn print(level: PrintLevel, text: String) {
    let lines: Vec<&str> = text.lines().collect();
    if let Some(left_out) = lines.len().checked_sub(LAST_LINES).filter(|n| *n > 0) {
        print_raw(&format!("  ({left_out} lines left out)\n"));
    }
    // Called from C, where a panic would abort.
    let last = lines.iter().rev().take(LAST_LINES).rev();
    last.for_each(|line| print_raw(&format!("  {}\n", escape::line(line))));
    record(level, text);
}

fn record(_: PrintLevel, text: String) {
    if let Some(what) = rejected(&text) {
        *REJECTED.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }
}

/// The program or map that a message names as rejected.
fn rejected(text: &str) -> Option<String> {
    let named = |what: &str, begin: &str, end: &str| {
        let (name, why) = text.strip_prefix(begin)?.split_once("': ")?;
        why.starts_with(end).then(|| format!("{what} {name}"))
    };
    named("program", "libbpf: prog '", "BPF program load failed")
        .or_else(|| named("map", "libbpf: map '", "failed to create"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_objects_are_named() {
        let program = rejected("libbpf: prog 'tcp_probe_btf': BPF program load failed: -EACCES\n");
        assert_eq!(program.as_deref(), Some("program tcp_probe_btf"));
        let map = rejected("libbpf: map 'events_ring': failed to create: -EPERM\n");
        assert_eq!(map.as_deref(), Some("map events_ring"));
        assert_eq!(
            rejected("libbpf: prog 'tcp_probe_btf': -- BEGIN PROG LOAD LOG --\n0: R1=ctx()"),
            None
        );
        assert_eq!(rejected("libbpf: failed to load object 'tcc_trace_bpf'\n"), None);
    }
}
