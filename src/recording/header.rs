//! What a file says about its records, and what it adds later: the payloads of frames that are JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::codec::ByteOrder;
use super::schema::Shape;
use crate::accounting::{Accounting, Counts, Evicted, OwnCost};
use crate::environment::Environment;
use crate::events::ca::Layouts;

/// The first frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// The program that made it, and its version.
    pub program: String,
    /// The commit that the program was built from, if that is known.
    pub commit: Option<String>,
    /// Of this recording: a random UUID.
    pub recording: String,
    /// Number of the file in a recording that is divided; else 0.
    pub part: u32,
    pub boot_id: String,
    /// As in `uname -m`.
    pub machine: String,
    /// As in `uname -v`.
    pub kernel_version: String,
    /// Of the integers in records; those around them are always little-endian.
    pub byte_order: ByteOrder,
    pub online_cpus: u32,
    /// CONFIG_HZ: ticks a second.
    pub hz: u32,
    /// Those that had a name when the trace began.
    pub network_namespaces: Vec<NetworkNamespace>,
    /// From CLOCK_MONOTONIC to CLOCK_BOOTTIME.
    pub boottime_offset_ns: i64,
    pub command_line: Vec<String>,
    /// What was recorded, and how.
    pub config: Value,
    pub shapes: Vec<Shape>,
    /// Without the kernel's symbols: those of addresses in records come in additions.
    pub environment: Environment,
}

/// A network namespace, and its name as `ip netns` knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkNamespace {
    /// As the field `netns` shows it.
    pub inode: u64,
    pub name: String,
}

impl Default for Header {
    fn default() -> Self {
        Header {
            program: String::new(),
            commit: None,
            recording: String::new(),
            part: 0,
            boot_id: String::new(),
            machine: String::new(),
            kernel_version: String::new(),
            byte_order: ByteOrder::Little,
            online_cpus: 0,
            hz: 0,
            network_namespaces: Vec::new(),
            boottime_offset_ns: 0,
            command_line: Vec::new(),
            config: Value::Null,
            shapes: Vec::new(),
            environment: Environment::default(),
        }
    }
}

/// What became known after the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Additions {
    /// The layouts of the algorithms' state, all of them, after a module was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layouts: Option<Layouts>,
    /// Kernel functions by address, for those in records; an empty name ends the one before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub symbols: Vec<(u64, String)>,
}

/// From a time on, where CLOCK_REALTIME is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSample {
    /// Records after this time use it.
    pub after_ns: u64,
    /// From CLOCK_MONOTONIC to CLOCK_REALTIME.
    pub wall_offset_ns: i64,
}

/// Counters so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountingFrame {
    /// Since the start of the trace.
    pub duration_ns: u64,
    /// Events that came too late to be in order of time.
    pub late: u64,
    /// The time that `lost` is about.
    pub from_ns: u64,
    pub to_ns: u64,
    /// Events of each type that were lost in this time; others have lost none.
    pub lost: BTreeMap<String, u64>,
    /// Records of each type in the file, up to here.
    pub written: BTreeMap<String, u64>,
    /// The counters of each type since the start.
    pub event_types: BTreeMap<String, Counts>,
    /// Entries evicted from full maps.
    pub evicted: Evicted,
    /// What the trace itself has cost, at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_cost: Option<OwnCost>,
}

impl AccountingFrame {
    /// The counters so far; what was lost since the last frame is up to the caller.
    #[must_use]
    pub fn of(accounting: &Accounting) -> Self {
        let counts = accounting.event_types.iter();
        AccountingFrame {
            duration_ns: accounting.duration_ns,
            late: accounting.late,
            event_types: counts.map(|(name, counts)| ((*name).to_owned(), *counts)).collect(),
            evicted: accounting.evicted,
            own_cost: accounting.own_cost,
            ..AccountingFrame::default()
        }
    }

    /// The counters that are sums, each as that function of both; the rest is as it is here.
    #[must_use]
    pub fn combine(&self, other: &Self, by: fn(u64, u64) -> u64) -> Self {
        let types = self.event_types.iter();
        let combined = types.map(|(name, counts)| {
            let others = other.event_types.get(name).copied().unwrap_or_default();
            (name.clone(), counts.combine(&others, by))
        });
        AccountingFrame {
            duration_ns: by(self.duration_ns, other.duration_ns),
            late: by(self.late, other.late),
            event_types: combined.collect(),
            evicted: self.evicted.combine(&other.evicted, by),
            ..self.clone()
        }
    }
}

/// The last frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    pub mono_ns: u64,
    /// Why it ended before the trace did.
    pub error: Option<String>,
    /// Records of each type in the file.
    pub written: BTreeMap<String, u64>,
}
