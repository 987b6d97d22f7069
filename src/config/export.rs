//! Options of `export`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where metrics go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Addresses on which to serve them.
    pub listen: Vec<SocketAddr>,
    /// A file to write them to, and how often.
    pub textfile: Option<PathBuf>,
    pub interval: Duration,
}
