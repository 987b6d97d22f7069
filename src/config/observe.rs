//! Options of `observe`.

use std::time::Duration;

use super::summary::{Histograms, Keys, Sums, TimeField};
use crate::table::summary::Scale;

/// `observe`
#[derive(Clone, Debug)]
pub struct Observe {
    pub keys: Keys,
    /// The option by which events are chosen, if one is: the kernel decides which become records.
    pub condition: Option<&'static str>,
    /// What is recorded before and after events that match.
    pub trigger: Option<Trigger>,
    /// What things are called.
    pub names: Names,
    /// In order of printing.
    pub metrics: Vec<Metric>,
    /// The maximum number of rows, of each kind.
    pub max_rows: u32,
    /// Connections by name.
    pub top: Option<TopConnections>,
    /// How many values a label of `export` may have, in the order of the keys; that of interfaces comes last. Empty: as many as there are.
    pub caps: Vec<Option<u32>>,
}

/// `export --top`
#[derive(Clone, Copy, Debug)]
pub struct TopConnections {
    /// How many at most.
    pub count: usize,
    /// How long those that were chosen stay, at least.
    pub interval: Duration,
}

/// `--names`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    #[default]
    Own,
    Ss,
}

/// `--trigger`
#[derive(Clone, Copy, Debug)]
pub struct Trigger {
    /// Samples of each connection that are kept.
    pub before: u32,
    /// How long all events of the connection are recorded.
    pub after: Duration,
}

impl Trigger {
    /// The bytes that each connection takes, with samples of that length.
    #[must_use]
    pub fn bytes(self, probe_len: u16) -> u32 {
        TRIGGER_HEAD + (self.before + 1) * u32::from(probe_len)
    }

    /// How many connections there is room for.
    #[must_use]
    pub fn connections(self, probe_len: u16) -> u32 {
        (TRIGGER_BYTES / self.bytes(probe_len)).max(1)
    }
}

/// Of each connection, before its samples.
const TRIGGER_HEAD: u32 = 16;
/// Of the samples of all connections.
const TRIGGER_BYTES: u32 = 16 << 20;

/// What `observe` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    Connections,
    Bytes,
    Rtt,
    Retransmits,
    Resets,
    Drops,
    MinRtt,
    Cwnd,
    InFlight,
    DeliveryRate,
    PacingRate,
    Unsent,
    Connlat,
    Queue,
    Timers,
    Spurious,
    CaStates,
    ZeroWindows,
    Limits,
}

impl Metric {
    /// As in --metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Metric::Connections => "connections",
            Metric::Bytes => "bytes",
            Metric::Rtt => "rtt",
            Metric::Retransmits => "retransmits",
            Metric::Resets => "resets",
            Metric::Drops => "drops",
            Metric::MinRtt => "min-rtt",
            Metric::Cwnd => "cwnd",
            Metric::InFlight => "in-flight",
            Metric::DeliveryRate => "delivery-rate",
            Metric::PacingRate => "pacing-rate",
            Metric::Unsent => "unsent",
            Metric::Connlat => "connlat",
            Metric::Queue => "queue",
            Metric::Timers => "timers",
            Metric::Spurious => "spurious",
            Metric::CaStates => "ca-states",
            Metric::ZeroWindows => "zero-windows",
            Metric::Limits => "limits",
        }
    }

    /// Whether it has a program that runs at each packet.
    #[must_use]
    pub fn is_per_packet(self) -> bool {
        match self {
            Metric::Connlat => false,
            Metric::Limits | Metric::Spurious | Metric::ZeroWindows => true,
            of => !of.fields().is_empty(),
        }
    }

    /// Its distributions.
    #[must_use]
    pub fn fields(self) -> &'static [TimeField] {
        match self {
            Metric::Rtt => &[TimeField::Srtt],
            Metric::MinRtt => &[TimeField::MinRtt],
            Metric::Cwnd => &[TimeField::Cwnd],
            Metric::InFlight => &[TimeField::InFlight],
            Metric::DeliveryRate => &[TimeField::DeliveryRate],
            Metric::PacingRate => &[TimeField::PacingRate],
            Metric::Unsent => &[TimeField::Unsent],
            Metric::Connlat => &[TimeField::Latency, TimeField::Failed],
            Metric::Queue => &[TimeField::Queue],
            _ => &[],
        }
    }
}

impl Observe {
    #[must_use]
    pub fn has(&self, metric: Metric) -> bool {
        self.metrics.contains(&metric)
    }

    /// The rows of times in recovery states.
    #[must_use]
    pub fn state_times(&self) -> Option<Sums> {
        self.has(Metric::CaStates)
            .then(|| Sums { keys: self.keys.clone(), max_rows: self.max_rows })
    }

    /// Whether samples are counted.
    #[must_use]
    pub fn samples(&self) -> bool {
        self.metrics.iter().flat_map(|metric| metric.fields()).any(|field| field.is_sample())
    }

    /// Whether connections are followed, and read at each interval.
    #[must_use]
    pub fn connections(&self) -> bool {
        self.top.is_some()
            || self.has(Metric::Connections)
            || self.has(Metric::Bytes)
            || self.has(Metric::Limits)
    }

    /// Whether there are sums.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.top.is_some() || self.metrics.iter().any(|metric| metric.fields().is_empty())
    }

    /// Whether events are counted by reason.
    #[must_use]
    pub fn reasons(&self) -> bool {
        self.has(Metric::Resets) || self.has(Metric::Drops)
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_one_row(&self) -> bool {
        self.keys.are_none()
    }

    /// The distributions.
    #[must_use]
    pub fn histograms(&self) -> Histograms {
        let fields: Vec<TimeField> =
            self.metrics.iter().flat_map(|metric| metric.fields()).copied().collect();
        let max_rows = self.max_rows.saturating_mul(fields.len().max(1) as u32);
        Histograms {
            fields,
            busy: true,
            keys: self.keys.clone(),
            scale: Scale::Microseconds,
            max_rows: (!self.is_one_row()).then_some(max_rows),
        }
    }
}

/// Reasons of drops and resets for each row, and at least.
pub const REASONS_EACH: u32 = 4;
pub const REASONS: u32 = 512;
