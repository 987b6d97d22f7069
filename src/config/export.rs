//! Options of `export`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

/// Where metrics go. All of this may change while they are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// Addresses on which to serve them.
    pub listen: Vec<SocketAddr>,
    /// A file to write them to.
    pub textfile: Option<PathBuf>,
    /// A receiver to push them to.
    pub otlp: Option<Otlp>,
    /// How often both.
    pub interval: Duration,
}

impl Targets {
    /// Whether there is something to do at each interval.
    #[must_use]
    pub fn at_interval(&self) -> bool {
        self.textfile.is_some() || self.otlp.is_some()
    }
}

/// `--otlp`
#[derive(Clone, PartialEq, Eq)]
pub struct Otlp {
    pub url: String,
    pub headers: Vec<(String, String)>,
}

/// Headers may be secret.
impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otlp").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub struct Export {
    pub targets: Targets,
    /// The configuration file, if there is one.
    pub reload: Option<Reload>,
}

/// Options by name, with what was given.
pub type Given = BTreeMap<String, Vec<OsString>>;
/// The options now, and where metrics go.
pub type Read = dyn Fn() -> Result<(Given, Targets)>;

/// How to read the configuration again.
#[derive(Clone)]
pub struct Reload {
    /// Options as they were at the start.
    pub given: Given,
    pub read: Arc<Read>,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").field("given", &self.given).finish_non_exhaustive()
    }
}

/// Options that may change while metrics are counted; others decide what is loaded into the kernel.
pub const CHANGEABLE: [&str; 5] = ["listen", "textfile", "interval", "otlp", "otlp-header"];

impl Reload {
    /// Options that differ, and need a restart.
    #[must_use]
    pub fn fixed(&self, now: &Given) -> Vec<String> {
        let names =
            self.given.keys().chain(now.keys().filter(|name| !self.given.contains_key(*name)));
        let differs = |name: &&String| {
            self.given.get(*name) != now.get(*name) && !CHANGEABLE.contains(&name.as_str())
        };
        names.filter(differs).map(|name| format!("--{name}")).collect()
    }
}
