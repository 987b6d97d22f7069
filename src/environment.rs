//! What decoding needs to know of the kernel and the host that the records come from, as one value that can be stored beside
//! them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::events::Types;
use crate::events::fields::RecordLayout;
use crate::table::Member;

/// A live source's environment is asked of the running kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// Host name.
    pub host: String,
    /// Kernel release, for display only.
    pub kernel: String,
    /// Members of kernel structs that selected columns need and the kernel does not have, as `type.member`.
    pub missing_members: BTreeSet<String>,
    pub clock: ClockReading,
    /// Of the records of `probe`.
    pub layout: RecordLayout,
    pub types: Types,
}

/// The clocks at the start of the trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClockReading {
    /// CLOCK_MONOTONIC of the host, which the records use.
    pub start_ns: u64,
    /// From there to CLOCK_REALTIME.
    pub wall_offset_ns: i64,
}

impl Environment {
    /// Whether the kernel has a column's struct member.
    #[must_use]
    pub fn has(&self, member: Member) -> bool {
        !self.missing_members.contains(&key(member))
    }

    /// Notes that the kernel does not have a column's struct member.
    pub fn add_missing(&mut self, member: Member) {
        self.missing_members.insert(key(member));
    }
}

fn key(member: Member) -> String {
    format!("{}.{}", member.type_name, member.member)
}
