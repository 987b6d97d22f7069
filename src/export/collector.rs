//! Passes a snapshot to the encoders of prometheus-client.

use std::fmt::{Error, Write};
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NativeHistogram,
    NativeHistogramBuckets, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry;

use super::families::{FAMILIES, Family, Of, Own, Type, Unit, Values};
use super::{Snapshot, histogram};
use crate::accounting::AggregateCounts;
use crate::config::summary::TimeField;
use crate::events::names::LIMIT_CAUSES;
use crate::summary::counted::Counted;
use crate::summary::observe::columns::{CA_STATES, LIMITS, OPEN};
use crate::summary::observe::exported::LabelledTotals;
use crate::summary::observe::labels::OTHER;
use crate::summary::observe::top::{LABELS, NamedConnection};

/// Of a whole snapshot, for one format.
#[derive(Debug)]
pub(super) struct Metrics {
    pub snapshot: Arc<Snapshot>,
    /// Protobuf has native histograms.
    pub protobuf: bool,
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let snapshot = &self.snapshot;
        for family in FAMILIES.iter().filter(|family| family.is_counted(&snapshot.options)) {
            let metric_type = match family.metric_type() {
                Type::Counter => MetricType::Counter,
                Type::Gauge => MetricType::Gauge,
                Type::Histogram => MetricType::Histogram,
            };
            let unit = match family.unit {
                Unit::None => None,
                unit => Some(registry::Unit::Other(unit.name().to_owned())),
            };
            let help = family.help;
            let metric =
                encoder.encode_descriptor(family.name, help, unit.as_ref(), metric_type)?;
            Encoding { metric, family, metrics: self }.values()?;
        }
        Ok(())
    }
}

impl Metrics {
    fn labels<'l>(
        &'l self,
        row: &'l LabelledTotals,
        own: Option<(&'static str, &'l str)>,
    ) -> Labels<'l> {
        let names = &self.snapshot.label_names;
        Labels { names, values: row.labels.as_deref(), own }
    }
}

/// A metric that is being encoded.
struct Encoding<'e> {
    metric: MetricEncoder<'e>,
    family: &'e Family,
    metrics: &'e Metrics,
}

/// The labels of a series: those of --labels, and that of the metric.
struct Labels<'l> {
    names: &'l [&'static str],
    values: Option<&'l [String]>,
    own: Option<(&'static str, &'l str)>,
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), Error> {
        for (at, name) in self.names.iter().enumerate() {
            let value = match self.values {
                Some(values) => values.get(at).map_or("", String::as_str),
                None => OTHER,
            };
            // An empty label is the same as none.
            if !value.is_empty() {
                label(encoder, name, value)?;
            }
        }
        match self.own {
            Some((name, value)) if !value.is_empty() => label(encoder, name, value),
            _ => Ok(()),
        }
    }
}

fn label(encoder: &mut LabelSetEncoder<'_>, name: &str, value: &str) -> Result<(), Error> {
    let mut label = encoder.encode_label();
    let mut key = label.encode_label_key()?;
    key.write_str(name)?;
    let mut out = key.encode_label_value()?;
    out.write_str(value)?;
    out.finish()
}

type Encoded = Result<(), Error>;

impl Encoding<'_> {
    fn values(&mut self) -> Encoded {
        let snapshot = &self.metrics.snapshot;
        match self.family.values {
            Values::Own(of) => self.own(of, snapshot),
            Values::Connection(of) => {
                snapshot.named.iter().try_for_each(|named| self.named(of, named))
            }
            _ => snapshot.totals.iter().try_for_each(|row| self.row(row)),
        }
    }

    /// Of a connection of --top.
    fn named(&mut self, of: Of, named: &NamedConnection) -> Encoded {
        let labels = Labels { names: &LABELS, values: Some(&named.labels), own: None };
        let seconds = |us: u32| f64::from(us) / 1e6;
        let gauge = match of {
            Of::Sent => return self.count(&labels, named.sent),
            Of::Acked => return self.count(&labels, named.acked),
            Of::Received => return self.count(&labels, named.received),
            Of::Retransmitted => return self.count(&labels, named.retransmitted),
            Of::Srtt => named.srtt_us.map(seconds),
            Of::MinRtt => named.min_rtt_us.map(seconds),
            Of::Cwnd => Some(f64::from(named.snd_cwnd)),
            Of::DeliveryRate => named.delivery_rate.map(|rate| rate as f64),
        };
        match gauge {
            Some(value) => self.metric.encode_family(&labels)?.encode_gauge(&value),
            None => Ok(()),
        }
    }

    fn row(&mut self, row: &LabelledTotals) -> Encoded {
        let count = |at: usize| row.counts.get(at).copied().unwrap_or(0);
        match self.family.values {
            Values::Sum(at) => self.counter(row, None, count(at)),
            Values::Sums(label, sums) => sums
                .iter()
                .try_for_each(|(value, at)| self.counter(row, Some((label, value)), count(*at))),
            Values::Open => {
                let labels = self.metrics.labels(row, None);
                self.metric.encode_family(&labels)?.encode_gauge(&count(OPEN))
            }
            Values::Reasons(of) => {
                let reasons = row.reasons.iter().filter(|(found, ..)| *found == of.0);
                reasons.into_iter().try_for_each(|(_, reason, count)| {
                    self.counter(row, reason.as_deref().map(|reason| ("reason", reason)), *count)
                })
            }
            Values::StateTimes => {
                let times = CA_STATES.iter().zip(&row.state_times);
                times
                    .into_iter()
                    .try_for_each(|((state, _), ns)| self.seconds(row, ("state", state), *ns))
            }
            Values::LimitTimes => {
                let causes = LIMIT_CAUSES.iter().enumerate();
                causes.into_iter().try_for_each(|(at, cause)| {
                    self.seconds(row, ("cause", cause), count(LIMITS + at))
                })
            }
            Values::Distribution(field, scale) => {
                match row.distributions.iter().find(|(of, _)| *of == field) {
                    Some((_, counted)) => self.distribution(row, field, scale, counted),
                    None => Ok(()),
                }
            }
            Values::Unset => row.distributions.iter().try_for_each(|(field, counted)| {
                let name = distribution_of(*field);
                self.counter(row, Some(("metric", &name)), counted.unset)
            }),
            Values::Connection(_) | Values::Own(_) => Ok(()),
        }
    }

    fn counter(
        &mut self,
        row: &LabelledTotals,
        own: Option<(&'static str, &str)>,
        value: u64,
    ) -> Encoded {
        let labels = self.metrics.labels(row, own);
        self.count(&labels, value)
    }

    fn count(&mut self, labels: &Labels<'_>, value: u64) -> Encoded {
        self.metric.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)
    }

    fn seconds(&mut self, row: &LabelledTotals, own: (&'static str, &str), ns: u64) -> Encoded {
        let labels = self.metrics.labels(row, Some(own));
        let seconds = ns as f64 / 1e9;
        self.metric.encode_family(&labels)?.encode_counter::<NoLabelSet, f64, f64>(&seconds, None)
    }

    fn distribution(
        &mut self,
        row: &LabelledTotals,
        field: TimeField,
        scale: f64,
        counted: &Counted,
    ) -> Encoded {
        let labels = self.metrics.labels(row, None);
        let mut buckets = histogram::classic(field, scale, counted);
        let (sum, count) = (histogram::sum(scale, counted), counted.count());
        let mut metric = self.metric.encode_family(&labels)?;
        if !self.metrics.protobuf {
            return metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None);
        }
        // The reader adds the bucket without a bound.
        buckets.pop();
        let native = histogram::native(field, scale, counted);
        let none = NativeHistogramBuckets { spans: &[], deltas: &[] };
        let native = NativeHistogram {
            schema: histogram::SCHEMA,
            zero_threshold: histogram::ZERO_THRESHOLD,
            zero_count: native.zero_count,
            negative: none,
            positive: NativeHistogramBuckets { spans: &native.spans, deltas: &native.deltas },
            created: None,
        };
        metric.encode_histogram_with_native::<NoLabelSet>(sum, count, &buckets, None, native)
    }

    fn own(&mut self, of: Own, snapshot: &Snapshot) -> Encoded {
        let by_type = |count: fn(&AggregateCounts) -> u64| -> Vec<(&str, u64)> {
            let counts = snapshot.event_types.iter();
            counts.map(|(event_type, counts)| (*event_type, count(counts))).collect()
        };
        match of {
            Own::Seen => self.own_counters("type", &by_type(|counts| counts.seen)),
            Own::Lost => self.own_counters("type", &by_type(|counts| counts.lost)),
            Own::Overflow => self.own_counters("type", &by_type(|counts| counts.overflow)),
            Own::Evicted => self.own_counters("map", &snapshot.evicted.by_name()),
            Own::Dropped => {
                self.metric.encode_counter::<NoLabelSet, u64, u64>(&snapshot.dropped, None)?;
                self.own_counters("label", &snapshot.folded)
            }
            Own::Named => {
                self.metric.encode_counter::<NoLabelSet, u64, u64>(&snapshot.named_so_far, None)
            }
            Own::Read => self.metric.encode_gauge(&snapshot.read.as_secs_f64()),
            Own::Build => {
                let version = env!("CARGO_PKG_VERSION");
                let names = ["version"];
                let values = [version.to_owned()];
                let labels = Labels {
                    names: &names,
                    values: Some(&values),
                    own: Some(("kernel", &snapshot.kernel)),
                };
                self.metric.encode_family(&labels)?.encode_gauge(&1_u64)
            }
        }
    }

    fn own_counters(&mut self, label: &'static str, counts: &[(&str, u64)]) -> Encoded {
        counts.iter().try_for_each(|(name, count)| {
            let own = Some((label, *name));
            let labels = Labels { names: &[], values: None, own };
            self.metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(count, None)
        })
    }
}

fn distribution_of(field: TimeField) -> String {
    let is_of =
        |family: &&Family| matches!(family.values, Values::Distribution(of, _) if of == field);
    FAMILIES.iter().find(is_of).map(Family::base_name).unwrap_or_default()
}
