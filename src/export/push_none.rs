//! What stands in for pushing where tcc-trace is built without the feature `otlp`.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, bail};

use super::Exposition;
use crate::config::Otlp;

/// There is none.
pub enum Pusher {}

impl Pusher {
    /// Refuses; the command line has refused the option before.
    pub fn new(_: &Otlp, _: SystemTime, _: bool) -> Result<Self> {
        bail!("--otlp: {}", super::WITHOUT_OTLP)
    }

    pub fn offer(&self, _: Arc<Exposition>) {
        match *self {}
    }
}
