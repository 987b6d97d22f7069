//! Everything but the event types: privileges, file systems, kernel features, the binary.

use rustix::process::{Resource, getrlimit};

use Finding::{No, Unknown, Yes};

use super::{CheckItem, Environment};
use crate::escape;
use crate::events::ca::Algorithm;
use crate::kernel::{self, CaState, Kernel, Rights};
use crate::loader;
use crate::loader::live::possible_cpus;
use crate::loader::plan::of_limits;
use crate::privilege;
use crate::skel::libbpf_version;
use crate::symbols::Symbols;

enum Finding {
    /// How it works.
    Yes(String),
    /// Why not, and what to do.
    No(String, Option<String>),
    /// Why it is unknown, and what to do.
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

pub(super) const WITHOUT_BTF: &str = "unknown without BTF";
const FIX_BTF: &str =
    "boot a kernel built with CONFIG_DEBUG_INFO_BTF, or pass its BTF with --btf FILE";

pub(super) fn items(environment: &Environment<'_>) -> Vec<CheckItem> {
    let kernel = environment.kernel;
    let has_btf = kernel.btf().is_ok();
    let by_btf = |available: bool, yes: &str, no: &str| match (has_btf, available) {
        (false, _) => Unknown(WITHOUT_BTF.into(), Some(FIX_BTF.into())),
        (true, true) => Yes(yes.into()),
        (true, false) => No(no.into(), None),
    };
    let record = kernel.record_layout();
    vec![
        item("binary", Yes(binary())),
        item("privileges", privileges(environment.rights)),
        item("memlock", memlock(environment, has_btf)),
        item(
            "btf",
            match kernel.btf() {
                Ok(_) => Yes(escape::path(&kernel.btf_path)),
                Err(why) => No(why, Some(FIX_BTF.into())),
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
                Ok(()) => Yes("mounted".into()),
                Err(why) => {
                    let cookies = match (has_btf, kernel.has_cookie_helper()) {
                        (true, true) => "",
                        (true, false) => ", new cookies",
                        (false, _) => ", on some kernels new cookies",
                    };
                    let (why, fix) = split_fix(&why);
                    let without = "accept, the server side of connlat, --reader record";
                    No(format!("{why}; unavailable without it: {without}{cookies}"), fix)
                }
            },
        ),
        item(
            "record",
            by_btf(
                record.is_ok(),
                "the tcp_probe record has a known layout",
                &record.err().map(|why| format!("the tcp_probe record: {why}")).unwrap_or_default(),
            ),
        ),
        item(
            "ring buffer",
            by_btf(
                kernel.has_ringbuf(),
                "available",
                "not available before Linux 5.8; perf buffers are used",
            ),
        ),
        item(
            "typed programs",
            by_btf(
                kernel.has_tp_btf(),
                "available (tp_btf, --reader sock)",
                "not available before Linux 5.5; probe reads are used (--reader raw)",
            ),
        ),
        item(
            "cookies",
            by_btf(
                kernel.has_cookie_helper(),
                "created when a connection is first seen",
                "created by a classic tracepoint, if tracefs is mounted (programs cannot before Linux 5.12)",
            ),
        ),
        item(
            "owners",
            by_btf(
                kernel.has_tracepoint("tcp_sendmsg_locked"),
                "found when a process connects, sends or receives",
                "found when a process connects or receives; a process that only sends is found within a second, by scanning open files (before Linux 6.16)",
            ),
        ),
        item("limits", limits(environment, has_btf)),
        item("symbols", symbols(environment)),
        item(
            "io_uring accept",
            by_btf(
                kernel.has_tracepoint("io_uring_complete"),
                "reported when the request completes; with a direct descriptor, when the connection is first read or ends",
                "reported without wait_us when the connection is first read or ends (this kernel has no tracepoint io_uring:io_uring_complete)",
            ),
        ),
        item(
            "lockdown",
            match kernel::locked_down() {
                Some(true) => No(
                    "the kernel is locked down: only the standard fields of probe, and rtt, are available".into(),
                    Some("boot without lockdown=confidentiality".into()),
                ),
                Some(false) => Yes("no restriction".into()),
                None => Unknown(
                    "unknown: securityfs is not mounted".into(),
                    Some("mount -t securityfs securityfs /sys/kernel/security".into()),
                ),
            },
        ),
    ]
}

/// What `limits` cannot distinguish.
fn limits(environment: &Environment<'_>, has_btf: bool) -> Finding {
    if !has_btf {
        return Unknown(WITHOUT_BTF.into(), Some(FIX_BTF.into()));
    }
    let notes: Vec<String> = of_limits(&environment.features).collect();
    if notes.is_empty() {
        return Yes("every cause has its events".into());
    }
    No(notes.join("; "), None)
}

/// Where the function names in `location` and `stack` of `drop` come from.
fn symbols(environment: &Environment<'_>) -> Finding {
    let iterator = || loader::code::symbols(&environment.core_types);
    match Symbols::load() {
        Some(_) if privilege::elevated() => {
            Yes("function names from /proc/kallsyms, without addresses".into())
        }
        Some(_) => Yes("function names from /proc/kallsyms".into()),
        None if environment.rights.check().is_err() => Unknown(
            "unknown: the kernel hides /proc/kallsyms, and its symbol iterator needs privileges"
                .into(),
            None,
        ),
        None if iterator().is_ok_and(|symbols| !symbols.is_empty()) => {
            Yes("function names from the kernel's symbol iterator, without addresses".into())
        }
        None => No(
            "the kernel hides its symbols: `location` and `stack` of drop are null".into(),
            Some("grant CAP_SYSLOG and set kernel.kptr_restrict below 2".into()),
        ),
    }
}

/// Splits what to do off an error.
fn split_fix(why: &str) -> (&str, Option<String>) {
    match why.split_once(": ") {
        Some((why, fix)) if fix.starts_with("mount ") || fix.starts_with("run ") => {
            (why, Some(fix.into()))
        }
        _ => (why, None),
    }
}

/// Before Linux 5.11 the memory of BPF maps is locked memory, which is limited.
fn memlock(environment: &Environment<'_>, has_btf: bool) -> Finding {
    let limit = getrlimit(Resource::Memlock).current;
    if !has_btf {
        return Unknown(WITHOUT_BTF.into(), Some(FIX_BTF.into()));
    }
    if environment.kernel.has_cookie_helper() {
        return Yes("not limited: the memory of maps is charged to the cgroup".into());
    }
    match limit {
        _ if environment.rights.sys_resource => Yes("not limited: CAP_SYS_RESOURCE".into()),
        None => Yes("not limited: ulimit -l unlimited".into()),
        Some(bytes) => No(
            format!("maps may take {} kB of locked memory", bytes / 1024),
            Some("grant CAP_SYS_RESOURCE, or set ulimit -l unlimited (LimitMEMLOCK=infinity in a unit)".into()),
        ),
    }
}

fn privileges(rights: Rights) -> Finding {
    if let Some(why) = privilege::in_user_namespace() {
        let (why, fix) = split_fix(why);
        return No(why.into(), fix);
    }
    let Err(why) = rights.check() else {
        return Yes("sufficient to load and attach BPF programs".into());
    };
    match why.split_once("; ") {
        Some((detail, fix)) => No(detail.into(), Some(fix.into())),
        None => No(why, None),
    }
}

fn binary() -> String {
    let (major, minor) = libbpf_version();
    let linked =
        if cfg!(target_feature = "crt-static") { "static binary" } else { "shared libraries" };
    let features = [
        ("static", cfg!(feature = "static")),
        ("vendored", cfg!(feature = "vendored")),
        ("parquet", cfg!(feature = "parquet")),
        ("otlp", cfg!(feature = "otlp")),
    ];
    let on: Vec<&str> = features.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    let features = if on.is_empty() { "none".to_owned() } else { on.join(", ") };
    format!("libbpf {major}.{minor}, {linked}; features: {features}")
}

pub(super) fn algorithm(algorithm: &Algorithm, state: CaState, kernel: &Kernel) -> CheckItem {
    let found = match state {
        CaState::Kernel => Yes("built in; layout from the kernel's BTF".into()),
        CaState::Module => Yes(format!("module {}; layout from its BTF", algorithm.module)),
        CaState::Mainline => {
            Yes(format!("module {} has no BTF; mainline's layout is used", algorithm.module))
        }
        CaState::NotLoaded => Yes(not_loaded(algorithm)),
        CaState::Unknown if kernel.btf().is_err() => {
            Unknown(WITHOUT_BTF.into(), Some(FIX_BTF.into()))
        }
        CaState::Unknown => {
            No(format!("{}; the fields {}.* are null", no_layout(algorithm), algorithm.name), None)
        }
    };
    item(algorithm.name, found)
}

pub(super) fn not_loaded(algorithm: &Algorithm) -> String {
    format!("module {} is not loaded; its layout is read when it is", algorithm.module)
}

pub(super) fn no_layout(algorithm: &Algorithm) -> String {
    format!("no BTF for struct {}", algorithm.type_name)
}
