//! The gate of records: which connections are recorded now. It can change at any time while the programs run; counting and
//! aggregating go on for all connections.

use anyhow::{Context, Result};
use libbpf_rs::{ErrorKind, Map, MapCore, MapFlags};

use super::Loaded;

/// The gate of loaded programs, if `Config::gate` is set. It is closed at first: nothing is recorded.
pub struct Gate<'l> {
    map: &'l Map<'l>,
}

impl Loaded<'_> {
    /// The gate.
    #[must_use]
    pub fn gate(&self) -> Gate<'_> {
        Gate { map: &self.skel.maps.gate }
    }
}

impl Gate<'_> {
    /// Records the events of the connection with that cookie from now on. Fails if the gate is full.
    pub fn open(&self, cookie: u64) -> Result<()> {
        let added = self.map.update(&cookie.to_ne_bytes(), &[1], MapFlags::ANY);
        added.with_context(|| format!("cannot record connection {cookie}"))
    }

    /// Ends that. Without effect if the connection is not recorded.
    pub fn close(&self, cookie: u64) -> Result<()> {
        match self.map.delete(&cookie.to_ne_bytes()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot stop recording connection {cookie}"))
            }
            _ => Ok(()),
        }
    }
}
