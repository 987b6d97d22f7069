//! The limit on open files: each map, program and link is one, over a hundred for `events all`.

use std::io;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static INHERITED: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard limit.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let _ = INHERITED.set(limit);
    // If this fails, opening the first file over the limit reports it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// What to do about the error, if the limit caused it.
#[must_use]
pub fn remedy(error: &str) -> Option<String> {
    let allowed = getrlimit(Resource::Nofile).maximum?;
    error.contains(&io::Error::from(Errno::MFILE).to_string()).then(|| {
        format!(
            "raise the hard limit on open files, now {allowed} (ulimit -Hn, or LimitNOFILE= in a systemd unit)"
        )
    })
}

/// The limits before `raise`.
#[must_use]
pub fn inherited() -> Option<Rlimit> {
    INHERITED.get().copied()
}
