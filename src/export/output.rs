//! Encodes a snapshot, once for each format.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::{prometheus_protobuf, text};
use prometheus_client::registry::Registry;

use super::Snapshot;
use super::collector::Metrics;
use super::families::{FAMILIES, PREFIX, Type};

/// What a reader may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0, with classic histograms.
    OpenMetrics,
    /// The text format before OpenMetrics, as of node_exporter's textfile collector.
    Text,
    /// With native histograms.
    Protobuf,
}

impl Format {
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// A snapshot and what it was encoded to: readers that come at the same time share it.
pub struct Exposition {
    snapshot: Arc<Snapshot>,
    encoded: [OnceLock<Result<Arc<[u8]>, fmt::Error>>; 3],
}

impl Exposition {
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Exposition { snapshot: Arc::new(snapshot), encoded: Default::default() }
    }

    #[cfg(feature = "otlp")]
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub fn encoded(&self, format: Format) -> Result<Arc<[u8]>, fmt::Error> {
        let [openmetrics, text, protobuf] = &self.encoded;
        let place = match format {
            Format::OpenMetrics => openmetrics,
            Format::Text => text,
            Format::Protobuf => protobuf,
        };
        place.get_or_init(|| self.encode(format).map(Arc::from)).clone()
    }

    fn registry(&self, protobuf: bool) -> Registry {
        let mut registry = Registry::with_prefix(PREFIX);
        let snapshot = Arc::clone(&self.snapshot);
        registry.register_collector(Box::new(Metrics { snapshot, protobuf }));
        registry
    }

    fn encode(&self, format: Format) -> Result<Vec<u8>, fmt::Error> {
        let registry = self.registry(format == Format::Protobuf);
        if format == Format::Protobuf {
            return prometheus_protobuf::encode_to_vec(&registry).map_err(|_| fmt::Error);
        }
        let mut encoded = String::new();
        text::encode(&mut encoded, &registry)?;
        Ok(if format == Format::Text { before_openmetrics(&encoded) } else { encoded }.into_bytes())
    }
}

/// Without units and end; a counter's name has `_total` in its comments, too.
fn before_openmetrics(text: &str) -> String {
    let counters: Vec<String> = FAMILIES
        .iter()
        .filter(|family| family.metric_type() == Type::Counter)
        .map(|family| format!("{PREFIX}_{}", family.base_name()))
        .collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF") {
        let comment = ["# HELP ", "# TYPE "]
            .into_iter()
            .find_map(|start| Some((start, line.strip_prefix(start)?.split_once(' ')?)));
        match comment {
            Some((start, (name, rest))) if counters.iter().any(|counter| counter == name) => {
                out.extend([start, name, "_total ", rest]);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
pub(super) mod tests;
