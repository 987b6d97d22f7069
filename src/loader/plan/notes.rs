//! Notes for kernels without BPF iterators.

use super::Request;

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
