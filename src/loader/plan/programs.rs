//! The BPF programs: one for each tracepoint, which serves all event types and trackers there.

use super::{KernelFeatures, Request};
use crate::config::Reader;
use crate::events::{EventType, Tracker, after_group};
use crate::skel::{Cpu, HookNumber};

/// One program to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub name: String,
    /// Without the group.
    pub tracepoint: &'static str,
    /// What it is there for.
    pub role: Role,
    /// The program that takes the runs for which the kernel skipped this one. Attached after all others.
    pub fallback: Option<String>,
}

impl Program {
    /// For how many of the runs that the kernel skipped this program for, the fallback has run.
    #[must_use]
    pub fn caught(&self, cpus: &[Cpu]) -> u64 {
        let hook = WITH_FALLBACK.iter().find(|(tracepoint, _)| *tracepoint == self.tracepoint);
        let (Some((_, hook)), true) = (hook, self.fallback.is_some()) else {
            return 0;
        };
        let marks = || cpus.iter().filter_map(|cpu| cpu.marks.get(hook.0 as usize));
        let caught: u64 = marks().map(|marks| marks.caught).sum();
        // Where the task has moved to another CPU, not on the same.
        caught.saturating_sub(marks().map(|marks| marks.left).sum())
    }
}

/// What a program is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Events, and state between them.
    Events,
    /// Creates cookies where the others cannot. Optional.
    Cookies,
    /// Follows the processes of a command.
    Processes,
}

/// Tracepoints in whose programs the kernel may interrupt one run with another: see `marks.bpf.h`.
const WITH_FALLBACK: [(&str, HookNumber); 3] = [
    ("tcp_probe", HookNumber::TCC_HOOK_tcp_probe),
    ("inet_sock_set_state", HookNumber::TCC_HOOK_inet_sock_set_state),
    ("tcp_destroy_sock", HookNumber::TCC_HOOK_tcp_destroy_sock),
];

/// A tracepoint with a second program, `NAME_lean`, that has the handlers of these only. Most traces need no others, and the kernel
/// takes long to load a large program.
pub(super) struct Lean {
    pub(super) hook: &'static str,
    trackers: &'static [Tracker],
    event_types: &'static [&'static str],
}

pub(super) const LEAN: [Lean; 5] = [
    Lean { hook: "tcp:tcp_probe", trackers: &[], event_types: &["probe"] },
    Lean {
        hook: "sock:inet_sock_set_state",
        trackers: &[Tracker::Owner, Tracker::History],
        event_types: &[],
    },
    // Entries of connections are deleted in any case.
    Lean { hook: "tcp:tcp_destroy_sock", trackers: &[], event_types: &[] },
    Lean { hook: "tcp:tcp_rcv_space_adjust", trackers: &[Tracker::Owner], event_types: &[] },
    Lean { hook: SENDMSG, trackers: &[Tracker::Owner], event_types: &[] },
];

/// Groups of tracepoints whose programs have a single flavour: the arguments of system calls have no types, and those of
/// io_uring's tracepoint differ between kernels, while its record does not.
const UNTYPED: [&str; 3] = ["raw_syscalls:", "syscalls:", "io_uring:"];

/// Since Linux 6.16.
pub(super) const SENDMSG: &str = "tcp:tcp_sendmsg_locked";

/// The programs for the request on this kernel.
pub(super) fn programs(
    reader: Reader,
    request: &Request,
    features: &KernelFeatures,
    trackers: &[Tracker],
    track_conn: bool,
    makes_cookies: bool,
) -> Vec<Program> {
    let mut programs = Vec::new();
    if request.traced_pids {
        let processes = ["sched_process_fork", "sched_process_exit"];
        programs.extend(processes.map(|name| single(name, name, Role::Processes)));
    }
    // Before the reader: a tracepoint runs its programs in attach order.
    programs.extend(makes_cookies.then(|| single("tcp_probe_cookie", "tcp_probe", Role::Cookies)));
    let of_trackers = trackers.iter().flat_map(|tracker| tracker.hooks()).copied();
    let of_trackers = of_trackers.filter(|hook| {
        (features.sendmsg || *hook != SENDMSG)
            && !features.missing_hooks.contains(&after_group(hook))
    });
    let of_types: Vec<(&EventType, Vec<&str>)> =
        request.event_types.iter().map(|of| (*of, hooks(of, request, features))).collect();
    let suffices = |lean: &Lean| {
        let tracker = |of: &Tracker| lean.trackers.contains(of) || !of.hooks().contains(&lean.hook);
        let event_type = |(of, hooks): &(&EventType, Vec<&str>)| {
            lean.event_types.contains(&of.name) || !hooks.contains(&lean.hook)
        };
        trackers.iter().all(tracker) && of_types.iter().all(event_type)
    };
    let of_conns = track_conn.then_some("tcp:tcp_destroy_sock");
    let hooks = of_types.iter().flat_map(|(_, hooks)| hooks).copied();
    for hook in of_trackers.chain(hooks).chain(of_conns) {
        let lean = LEAN.iter().any(|lean| lean.hook == hook && suffices(lean));
        let program = program(hook, reader, features.skips_nested, lean);
        if !programs.contains(&program) {
            programs.push(program);
        }
    }
    programs
}

/// The tracepoints of this type's events on this kernel.
fn hooks(
    event_type: &'static EventType,
    request: &Request,
    features: &KernelFeatures,
) -> Vec<&'static str> {
    let inferred = is_inferred(event_type, request, features);
    let fallback = event_type.fallback_hooks.iter().filter(|_| inferred);
    let extra = event_type
        .extra_hooks
        .iter()
        .chain(fallback)
        // Only records have return values.
        .filter(|hook| !(request.unrecorded && hook.is_of_calls()))
        .filter(|hook| !features.missing_hooks.contains(&hook.tracepoint()));
    let own = (!inferred).then_some(event_type.hook);
    own.into_iter().chain(extra.map(|hook| hook.hook)).collect()
}

/// Whether its events are inferred at other tracepoints.
pub(super) fn is_inferred(
    event_type: &EventType,
    request: &Request,
    features: &KernelFeatures,
) -> bool {
    let missing = features.missing_hooks.contains(&event_type.tracepoint());
    !event_type.fallback_hooks.is_empty() && (request.inferred || missing)
}

fn single(name: &str, tracepoint: &'static str, role: Role) -> Program {
    Program { name: name.to_owned(), tracepoint, role, fallback: None }
}

/// The program of a tracepoint, in its flavour.
fn program(hook: &'static str, reader: Reader, skips_nested: bool, lean: bool) -> Program {
    let tracepoint = after_group(hook);
    if UNTYPED.iter().any(|group| hook.strip_suffix(tracepoint) == Some(group)) {
        return single(tracepoint, tracepoint, Role::Events);
    }
    if reader == Reader::Record && tracepoint == "tcp_probe" {
        return single("tcp_probe_record", tracepoint, Role::Events);
    }
    let flavour = if reader == Reader::Sock { "btf" } else { "raw" };
    let with_fallback =
        skips_nested && WITH_FALLBACK.iter().any(|(fallible, _)| *fallible == tracepoint);
    let lean = if lean { "_lean" } else { "" };
    Program {
        name: format!("{tracepoint}{lean}_{flavour}"),
        tracepoint,
        role: Role::Events,
        fallback: with_fallback.then(|| format!("{tracepoint}_fallback_{flavour}")),
    }
}
