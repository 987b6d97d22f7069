//! How many files may be open: each map, program and link is one, over a hundred for `events all`.

use std::io;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static INHERITED: OnceLock<Rlimit> = OnceLock::new();

/// Takes as many as we may have.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let _ = INHERITED.set(limit);
    // Where it is not allowed the first file too many says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// What to do about an error, if it is that there are too many.
#[must_use]
pub fn remedy(error: &str) -> Option<String> {
    let allowed = getrlimit(Resource::Nofile).maximum?;
    error.contains(&io::Error::from(Errno::MFILE).to_string()).then(|| {
        format!(
            "raise the hard limit of open files, which is {allowed} (ulimit -Hn, or LimitNOFILE= of a service)"
        )
    })
}

/// The limits before that.
#[must_use]
pub fn inherited() -> Option<Rlimit> {
    INHERITED.get().copied()
}
