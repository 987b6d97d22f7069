//! Notes on what this kernel lacks.

use super::programs::is_inferred;
use super::{KernelFeatures, Request};
use crate::events::EventType;

/// The kernel refuses an iterator over a map.
pub(super) const ONE_BY_ONE: &str = "this kernel refuses iterators over maps: connections are read one by one, which takes more time";

pub(super) fn without_iterators(
    request: &Request,
    track_owner: bool,
    listens: bool,
) -> impl Iterator<Item = String> {
    let missing = [
        (
            track_owner,
            "the owner of a connection that is already open stays unknown until the connection is used",
        ),
        (request.list_open, "connections that are already open are not listed"),
        (
            listens,
            "listen_drop is reported only when a socket stops listening, and only if it began during the trace",
        ),
    ];
    missing.into_iter().filter(|(wanted, _)| *wanted).map(|(_, what)| {
        format!("cannot scan open files (kernel built without CONFIG_DEBUG_INFO_BTF): {what}")
    })
}

/// On an event type whose tracepoints are not all there.
pub(super) fn of_missing_hooks(
    event_type: &EventType,
    request: &Request,
    features: &KernelFeatures,
) -> Vec<String> {
    let mut notes = Vec::new();
    if is_inferred(event_type, request, features) {
        let from: Vec<&str> = event_type.fallback_hooks.iter().map(|hook| hook.hook).collect();
        notes.push(format!(
            "{} is inferred from {}, without {}: changes between two of these events are missed",
            event_type.name,
            from.join(" and "),
            event_type.hook
        ));
    }
    let missing = event_type
        .extra_hooks
        .iter()
        .filter(|hook| features.missing_hooks.contains(&hook.tracepoint()));
    notes.extend(missing.filter_map(|hook| {
        let without = hook.without?;
        Some(format!("{}: this kernel has no {}, so {without}", event_type.name, hook.hook))
    }));
    notes
}

/// What `limits` cannot see, as this kernel has no tracepoint for it or another BBR than mainline.
pub fn of_limits(features: &KernelFeatures) -> impl Iterator<Item = String> {
    let parts = [
        (
            !features.sendmsg,
            "no tcp:tcp_sendmsg_locked (Linux 6.16): idle time is computed from the kernel's busy time, in steps of a jiffy",
        ),
        (
            features.missing_hooks.contains(&"tcp_cong_state_set"),
            "no tcp:tcp_cong_state_set (Linux 5.19): timeouts and recoveries are not counted, their time is",
        ),
        (
            !features.mainline_bbr,
            "its BBR is not that of mainline: such connections are classified as those of any paced algorithm",
        ),
    ];
    parts.into_iter().filter(|(missing, _)| *missing).map(|(_, what)| what.to_owned())
}
