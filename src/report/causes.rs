//! What limits each connection, found by the rules of `limits` from the recorded events.

use std::collections::HashMap;
use std::fs::File;

use super::connection::Connection;
use crate::events::{EventType, ca_mainline, event_type};
use crate::limits::rules::CAUSES;
use crate::limits::twin::{Twin, TwinOptions};
use crate::recording::reader::Recording;
use crate::skel::Head;
use crate::summary::limits::evidence_of;
use crate::table::Column;

pub use crate::limits::connection::Segment;
pub use crate::limits::rules::LimitCause;

/// Why the time of a connection went as it did.
#[derive(Debug, Default)]
pub struct Causes {
    pub segments: Vec<Segment>,
    /// Nanoseconds of each cause.
    pub totals: [u64; CAUSES],
    /// In sentences, the main causes first.
    pub evidence: Vec<String>,
    /// What the rules would need to decide more.
    pub lacked: Vec<&'static str>,
}

impl Causes {
    /// The causes by their time, longest first.
    #[must_use]
    pub fn by_time(&self) -> Vec<(LimitCause, u64)> {
        let named = self.totals.iter().enumerate().filter(|(_, ns)| **ns > 0);
        let cause = |(number, ns): (usize, &u64)| Some((LimitCause::from_number(number)?, *ns));
        let mut all: Vec<(LimitCause, u64)> = named.filter_map(cause).collect();
        all.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
        all
    }

    #[must_use]
    pub fn sum(&self) -> u64 {
        self.totals.iter().sum()
    }
}

/// Takes the records of a recording. `None`: it has no samples.
#[must_use]
pub fn twin(recording: &Recording<File>) -> Option<Twin> {
    let probe = event_type("probe")?;
    let present = recording.event_types();
    let is_present = |of: &EventType| present.iter().any(|known| known.number == of.number);
    if !is_present(probe) {
        return None;
    }
    let environment = &recording.header.environment;
    let has = |_, column: &'static Column| {
        recording.has(probe, column) && column.need.is_none_or(|member| environment.has(member))
    };
    let mainline_bbr = recording.types.layouts.agrees("bbr", ca_mainline::locate);
    Some(Twin::new(TwinOptions::of(&present, has, mainline_bbr)))
}

/// Gives the connections their causes.
pub fn assign(twin: &mut Twin, end_ns: u64, connections: &mut [Connection]) {
    twin.finish(end_ns);
    let mut by_cookie: HashMap<u64, usize> = HashMap::new();
    for (at, connection) in connections.iter().enumerate() {
        connection.cookie.map(|cookie| by_cookie.insert(cookie, at));
    }
    for found in twin.connections() {
        let snapshot = found.snapshot(false);
        let Head { cookie, .. } = snapshot.event.head;
        let Some(connection) = by_cookie.get(&cookie).and_then(|at| connections.get_mut(*at))
        else {
            continue;
        };
        // A cookie may have several accounts, after tcp_disconnect(); the longest counts.
        let totals = found.totals();
        if totals.iter().sum::<u64>() < connection.causes.sum() {
            continue;
        }
        let evidence = evidence_of(&snapshot).unwrap_or_default();
        connection.causes = Causes {
            segments: found.segments.clone(),
            totals,
            evidence: evidence.split(". ").filter(|s| !s.is_empty()).map(str::to_owned).collect(),
            lacked: found.lacked.clone(),
        };
    }
}
