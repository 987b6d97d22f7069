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

use super::families::{FAMILIES, Type, Unit};
use super::series::{Classic, Labels, Sample, visit};
use super::{Snapshot, histogram};

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
            let mut metric =
                encoder.encode_descriptor(family.name, help, unit.as_ref(), metric_type)?;
            visit(family, snapshot, &mut |labels, sample| {
                if labels.are_none() && family.is_own() {
                    return self.sample(&mut metric, sample);
                }
                self.sample(&mut metric.encode_family(&labels)?, sample)
            })?;
        }
        Ok(())
    }
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), Error> {
        self.iter().try_for_each(|(name, value)| {
            let mut label = encoder.encode_label();
            let mut key = label.encode_label_key()?;
            key.write_str(name)?;
            let mut out = key.encode_label_value()?;
            out.write_str(value)?;
            out.finish()
        })
    }
}

impl Metrics {
    fn sample(&self, metric: &mut MetricEncoder<'_>, sample: Sample<'_>) -> Result<(), Error> {
        match sample {
            Sample::Count(value) => metric.encode_counter::<NoLabelSet, u64, u64>(&value, None),
            Sample::Seconds(value) => metric.encode_counter::<NoLabelSet, f64, f64>(&value, None),
            Sample::Number(value) => metric.encode_gauge(&value),
            Sample::Gauge(value) => metric.encode_gauge(&value),
            Sample::Distribution(field, scale, counted) => {
                let Classic { mut buckets, sum, count } = Classic::new(field, scale, counted);
                if !self.protobuf {
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
                    positive: NativeHistogramBuckets {
                        spans: &native.spans,
                        deltas: &native.deltas,
                    },
                    created: None,
                };
                metric
                    .encode_histogram_with_native::<NoLabelSet>(sum, count, &buckets, None, native)
            }
        }
    }
}
