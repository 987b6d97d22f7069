//! Whose rights these are: the caller's own, or more, by file capabilities or a set-user-ID bit. Then the caller decides what
//! is traced and how it is shown, and nothing that would decide which kernel memory is read.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use rustix::process::{getegid, geteuid, getgid, getuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
    set_thread_res_gid, set_thread_res_uid,
};

use crate::skel::at_secure;

/// All that tracing takes: the last is for kernels before 5.11, whose maps count against the limit on locked memory.
const NEEDED: CapabilitySet =
    CapabilitySet::BPF.union(CapabilitySet::PERFMON).union(CapabilitySet::SYS_RESOURCE);

/// What libbpf would open with our rights to get others (a BPF token), wherever it points.
const REFUSED_ENVIRONMENT: &[&str] = &["LIBBPF_BPF_TOKEN_PATH"];

/// Does this process have rights that its caller has not? Ambient capabilities, as a service manager gives them, are the
/// caller's own.
#[must_use]
pub fn elevated() -> bool {
    // As it was at the start: see `become_caller`.
    static ELEVATED: OnceLock<bool> = OnceLock::new();
    *ELEVATED.get_or_init(|| at_secure() || geteuid() != getuid() || getegid() != getgid())
}

/// A variable of the environment that an elevated process must not follow.
#[must_use]
pub fn refused_variable() -> Option<&'static str> {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    REFUSED_ENVIRONMENT.iter().copied().find(set)
}

/// Where the program belongs to another user or group and has their bit set, it goes on as its caller, with no more
/// than tracing takes: files are opened, and a command runs, with the caller's rights.
pub fn become_caller() -> Result<()> {
    let (uid, gid) = (getuid(), getgid());
    if geteuid() == uid && getegid() == gid {
        return Ok(());
    }
    // There is one thread yet, so what these set for a thread they set for the process.
    let become_them = || {
        let permitted = capabilities(None)?.permitted.intersection(NEEDED);
        set_keep_capabilities(true)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        let inheritable = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: permitted, permitted, inheritable })?;
        set_keep_capabilities(false)
    };
    become_them().context("cannot give up the rights of the program's owner")
}

/// Why rights that are there do not count, in any but the initial user namespace.
#[must_use]
pub fn in_user_namespace() -> Option<&'static str> {
    // PROC_USER_INIT_INO.
    let inside = std::fs::read_link("/proc/self/ns/user")
        .is_ok_and(|link| link != Path::new("user:[4026531837]"));
    inside.then_some(
        "this is a user namespace, whose rights do not count for BPF: run it in the initial one (outside the container)",
    )
}
