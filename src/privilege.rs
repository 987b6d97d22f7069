//! Privileges that the caller does not have: from file capabilities or a set-user-ID bit. The caller then chooses what is
//! traced and how it is shown, but nothing that determines which kernel memory is read.

use std::io;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use rustix::process::{getegid, geteuid, getgid, getuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
    set_thread_res_gid, set_thread_res_uid,
};

use crate::skel::at_secure;

/// The capabilities that tracing needs. The last is for kernels before 5.11, where the limit on locked memory applies to maps.
const NEEDED: CapabilitySet =
    CapabilitySet::BPF.union(CapabilitySet::PERFMON).union(CapabilitySet::SYS_RESOURCE);

/// Variables that make libbpf open files of the caller's choice with our privileges (a BPF token).
const FORBIDDEN_VARIABLES: &[&str] = &["LIBBPF_BPF_TOKEN_PATH"];

/// Whether this process has privileges that its caller does not have. Ambient capabilities, as set by a service manager, are
/// the caller's own.
#[must_use]
pub fn elevated() -> bool {
    // As it was at the start: see `become_caller`.
    static ELEVATED: OnceLock<bool> = OnceLock::new();
    *ELEVATED.get_or_init(|| at_secure() || geteuid() != getuid() || getegid() != getgid())
}

/// An environment variable that is set and that an elevated process must not follow.
#[must_use]
pub fn refused_variable() -> Option<&'static str> {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    FORBIDDEN_VARIABLES.iter().copied().find(set)
}

/// A set-user-ID or set-group-ID program continues as its caller, keeping only the capabilities that tracing needs: files are
/// opened, and a command runs, with the caller's permissions.
pub fn become_caller() -> Result<()> {
    let (uid, gid) = (getuid(), getgid());
    if geteuid() == uid && getegid() == gid {
        return Ok(());
    }
    // These set the credentials of a thread, and there is only one so far.
    let become_them = || {
        let permitted = capabilities(None)?.permitted.intersection(NEEDED);
        set_keep_capabilities(true)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        let inheritable = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: permitted, permitted, inheritable })?;
        set_keep_capabilities(false)
    };
    become_them().context("cannot drop the privileges of the program's owner")
}

/// Does that without the privileges of an elevated process: opens a file of the caller's choice.
pub fn as_caller<T>(open: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if !elevated() {
        return open();
    }
    let ours = capabilities(None)?;
    set_capabilities(None, CapabilitySets { effective: CapabilitySet::empty(), ..ours })?;
    let opened = open();
    set_capabilities(None, ours)?;
    opened
}

/// In a user namespace other than the initial one, why capabilities do not suffice.
#[must_use]
pub fn in_user_namespace() -> Option<&'static str> {
    // PROC_USER_INIT_INO.
    let inside = std::fs::read_link("/proc/self/ns/user")
        .is_ok_and(|link| link != Path::new("user:[4026531837]"));
    inside.then_some(
        "this is a user namespace, whose capabilities do not permit BPF: run it in the initial one (outside the container)",
    )
}
