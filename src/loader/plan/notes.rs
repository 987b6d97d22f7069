//! What a trace lacks without iterators.

use super::Request;

pub(super) fn without_iterators(
    request: &Request,
    track_owner: bool,
    listens: bool,
) -> impl Iterator<Item = String> {
    let missing = [
        (
            track_owner,
            "owners of connections that were open before are unknown until they are used",
        ),
        (request.list_open, "connections that were open before are not listed"),
        (
            listens,
            "listen_drop is reported when a socket stops listening, of those that began while we trace",
        ),
    ];
    missing.into_iter().filter(|(wanted, _)| *wanted).map(|(_, what)| {
        format!("without the kernel's own types the open files cannot be looked through: {what}")
    })
}
