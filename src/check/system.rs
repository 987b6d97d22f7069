//! What there is beside the event types: rights, files, what the kernel can do, this binary.

use Finding::{No, Unknown, Yes};

use super::{CheckItem, KernelAnswers};
use crate::escape;
use crate::events::ca::Algorithm;
use crate::kernel::{self, CaState, Kernel, Rights};
use crate::loader;
use crate::loader::source::possible_cpus;
use crate::privilege;
use crate::skel::libbpf_version;
use crate::symbols::Symbols;

/// What was found out of one thing.
enum Finding {
    /// It is so.
    Yes(String),
    /// Why not, and what to do.
    No(String, Option<String>),
    /// Why that is not known, and what to do.
    Unknown(String, Option<String>),
}

fn item(name: &str, found: Finding) -> CheckItem {
    let (ok, detail, fix) = match found {
        Yes(detail) => (Some(true), detail, None),
        No(detail, fix) => (Some(false), detail, fix),
        Unknown(detail, fix) => (None, detail, fix),
    };
    CheckItem { name: name.to_owned(), ok, detail, fix }
}

/// Of what only the kernel's types tell.
pub(super) const WITHOUT_TYPES: &str = "not known without the kernel's types";
const MEND_TYPES: &str = "a kernel with CONFIG_DEBUG_INFO_BTF, or its BTF with --btf FILE";

pub(super) fn items(answers: &KernelAnswers<'_>) -> Vec<CheckItem> {
    let kernel = answers.kernel;
    let types = kernel.btf().is_ok();
    let by_types = |there: bool, what: &str, without: &str| match (types, there) {
        (false, _) => Unknown(WITHOUT_TYPES.into(), Some(MEND_TYPES.into())),
        (true, true) => Yes(what.into()),
        (true, false) => No(without.into(), None),
    };
    let record = kernel.record_layout();
    vec![
        item("binary", Yes(binary())),
        item("rights", rights(answers.rights)),
        item(
            "types",
            match kernel.btf() {
                Ok(_) => Yes(format!("BTF in {}", escape::path(&kernel.btf_path))),
                Err(why) => No(why, Some(MEND_TYPES.into())),
            },
        ),
        item(
            "sysfs",
            match possible_cpus() {
                Ok(()) => Yes("mounted".into()),
                Err(why) => No(why, None),
            },
        ),
        item(
            "tracefs",
            match kernel::tracefs_event("tcp", "tcp_probe") {
                Ok(()) => Yes("mounted, tcp:tcp_probe is in it".into()),
                Err(why) => {
                    let without = match (types, kernel.has_cookie_helper()) {
                        (true, true) => "no `accept`, no server's side of `connlat`, no record reader",
                        (true, false) => "no `accept`, no server's side of `connlat`, no record reader, no new cookies",
                        (false, _) => "no `accept`, no server's side of `connlat`, no record reader, and on some kernels no new cookies",
                    };
                    No(format!("{why}; without it: {without}"), None)
                }
            },
        ),
        item(
            "record",
            by_types(
                record.is_ok(),
                "the tcp_probe record has a layout that we know",
                &record.clone().err().unwrap_or_default(),
            ),
        ),
        item(
            "ring buffer",
            by_types(
                kernel.has_ringbuf(),
                "BPF ring buffer",
                "none (5.8): per-CPU perf buffers are used",
            ),
        ),
        item(
            "typed programs",
            by_types(
                kernel.has_tp_btf(),
                "tp_btf: direct loads of struct tcp_sock",
                "none (5.5): probe reads are used",
            ),
        ),
        item(
            "cookies",
            by_types(
                kernel.has_cookie_helper(),
                "made when a connection is first seen",
                "programs cannot make them (5.12): the classic tracepoint does, where tracefs is mounted",
            ),
        ),
        item(
            "owners",
            by_types(
                kernel.has_tracepoint("tcp_sendmsg_locked"),
                "seen when a process connects, sends or receives",
                "seen when a process connects or receives; of one that only sends, found among the open files within a second (6.16 has a hook)",
            ),
        ),
        item("code", code(answers)),
        item(
            "accept by io_uring",
            by_types(
                kernel.has_tracepoint("io_uring_complete"),
                "seen as the request completes (io_uring:io_uring_complete); with a direct descriptor, when the connection is first read from or ends",
                "reported when the connection is first read from or ends, without the time that it waited (no io_uring:io_uring_complete here)",
            ),
        ),
        item(
            "lockdown",
            match kernel::locked_down() {
                Some(true) => No(
                    "the kernel is locked down: programs may not read its memory; typed loads go (the standard fields of probe, and rtt)".into(),
                    Some("boot without lockdown=confidentiality".into()),
                ),
                Some(false) => Yes("not in the way".into()),
                None => Unknown(
                    "not known, as securityfs is not mounted".into(),
                    Some("mount -t securityfs securityfs /sys/kernel/security".into()),
                ),
            },
        ),
    ]
}

/// By what `location` and `stack` of `drop` get names.
fn code(answers: &KernelAnswers<'_>) -> Finding {
    let iterator = || loader::code::symbols(&answers.core_types);
    match Symbols::load() {
        Some(_) if privilege::elevated() => {
            Yes("names, and no addresses, from /proc/kallsyms".into())
        }
        Some(_) => Yes("names from /proc/kallsyms".into()),
        None if answers.rights.check().is_err() => Unknown(
            "the kernel hides its symbols from us, and rights are missing to ask it otherwise"
                .into(),
            None,
        ),
        None if iterator().is_ok_and(|symbols| !symbols.is_empty()) => {
            Yes("names, and no addresses, by the kernel's iterator over its symbols".into())
        }
        None => No(
            "the kernel hides its symbols from us: `location` and `stack` are null".into(),
            Some("CAP_SYSLOG, where kernel.kptr_restrict is not 2".into()),
        ),
    }
}

fn rights(rights: Rights) -> Finding {
    if let Some(why) = privilege::in_user_namespace() {
        let (why, fix) = why.split_once(": ").unwrap_or((why, ""));
        return No(why.into(), Some(fix.into()));
    }
    let Err(why) = rights.check() else {
        return Yes("enough to load and attach programs".into());
    };
    match why.split_once("; ") {
        Some((detail, fix)) => No(detail.into(), Some(fix.into())),
        None => No(why, None),
    }
}

/// What it is made of.
fn binary() -> String {
    let (major, minor) = libbpf_version();
    let linked = if cfg!(target_feature = "crt-static") { "static" } else { "shared libraries" };
    let features = [("static", cfg!(feature = "static")), ("vendored", cfg!(feature = "vendored"))];
    let on: Vec<&str> = features.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    let features = if on.is_empty() { "none".to_owned() } else { on.join(", ") };
    format!("libbpf {major}.{minor} built in, {linked}; features: {features}")
}

pub(super) fn algorithm(algorithm: &Algorithm, state: CaState, kernel: &Kernel) -> CheckItem {
    let found = match state {
        CaState::Kernel => Yes("built in, layout from the kernel's BTF".into()),
        CaState::Module => Yes(format!("module {}, layout from its BTF", algorithm.module)),
        CaState::Mainline => Yes(format!(
            "module {} has no BTF on this kernel: mainline's layout is taken",
            algorithm.module
        )),
        CaState::NotLoaded => Yes(not_loaded(algorithm)),
        CaState::Unknown if kernel.btf().is_err() => {
            Unknown(WITHOUT_TYPES.into(), Some(MEND_TYPES.into()))
        }
        CaState::Unknown => {
            No(format!("{}: {}.* are null", no_layout(algorithm), algorithm.name), None)
        }
    };
    item(algorithm.name, found)
}

pub(super) fn not_loaded(algorithm: &Algorithm) -> String {
    format!("module {} is not loaded; its layout is looked up once it is", algorithm.module)
}

pub(super) fn no_layout(algorithm: &Algorithm) -> String {
    format!("no BTF for struct {}", algorithm.type_name)
}
