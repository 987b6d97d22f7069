//! A snapshot in OTLP, the protocol of OpenTelemetry: names as Prometheus has them, cumulative, with classic histograms.
//!
//! Exponential histograms have bounds that are powers of two of the unit. Those of the kernel are powers of two of microseconds, which are
//! none of seconds, so that only explicit bounds are exact.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::Snapshot;
use super::families::{FAMILIES, Family, Type, Unit, Values};
use super::series::{Classic, Labels, Sample, visit};

const NAME: &str = "tcc-trace";
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// A series in the last snapshot.
struct Known {
    start_ns: u64,
    value: f64,
    /// The number of that snapshot.
    turn: u64,
}

/// Encodes snapshots, one after the other, and knows when each series began.
pub(super) struct Encoder {
    host: String,
    begin_ns: u64,
    /// Of the last snapshot.
    time_ns: u64,
    turn: u64,
    /// By metric and labels.
    series: HashMap<(&'static str, Vec<String>), Known>,
}

fn ns(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn attribute(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// In UCUM.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::None => "",
        Unit::Seconds => "s",
        Unit::Bytes => "By",
        Unit::BytesPerSecond => "By/s",
        Unit::Segments => "{segment}",
    }
}

impl Encoder {
    /// `begin`: when the counters were zero.
    pub(super) fn new(host: String, begin: SystemTime) -> Self {
        let begin_ns = ns(begin);
        Encoder { host, begin_ns, time_ns: begin_ns, turn: 0, series: HashMap::new() }
    }

    pub(super) fn request(&mut self, snapshot: &Snapshot) -> ExportMetricsServiceRequest {
        self.turn += 1;
        let time_ns = ns(snapshot.time);
        let counted = FAMILIES.iter().filter(|family| family.is_counted(&snapshot.options));
        let metrics = counted.filter_map(|family| self.metric(family, snapshot, time_ns)).collect();
        self.series.retain(|_, known| known.turn == self.turn);
        self.time_ns = time_ns;
        let resource = Resource {
            attributes: vec![
                attribute("host.name", &self.host),
                attribute("service.name", NAME),
                attribute("service.version", env!("CARGO_PKG_VERSION")),
            ],
            ..Resource::default()
        };
        let scope = InstrumentationScope {
            name: NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_metrics =
            vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
        let of_resource = ResourceMetrics {
            resource: Some(resource),
            scope_metrics,
            ..ResourceMetrics::default()
        };
        ExportMetricsServiceRequest { resource_metrics: vec![of_resource] }
    }

    /// `None` without any series.
    fn metric(
        &mut self,
        family: &'static Family,
        snapshot: &Snapshot,
        time_ns: u64,
    ) -> Option<Metric> {
        let (mut numbers, mut histograms) = (Vec::new(), Vec::new());
        let take = &mut |labels: Labels<'_>, sample: Sample<'_>| {
            let attributes: Vec<KeyValue> =
                labels.iter().map(|(name, value)| attribute(name, value)).collect();
            let point = |start_time_unix_nano, value| NumberDataPoint {
                attributes: attributes.clone(),
                start_time_unix_nano,
                time_unix_nano: time_ns,
                value: Some(value),
                ..NumberDataPoint::default()
            };
            let integer = |value: u64| {
                number_data_point::Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX))
            };
            let double = number_data_point::Value::AsDouble;
            match sample {
                Sample::Count(value) => {
                    let start = self.start(family, labels, value as f64);
                    numbers.push(point(start, integer(value)));
                }
                Sample::Seconds(value) => {
                    numbers.push(point(self.start(family, labels, value), double(value)));
                }
                Sample::Number(value) => numbers.push(point(0, integer(value))),
                Sample::Gauge(value) => numbers.push(point(0, double(value))),
                Sample::Distribution(field, scale, counted) => {
                    let Classic { buckets, sum, count } = Classic::new(field, scale, counted);
                    let bounds = buckets.iter().map(|(bound, _)| *bound);
                    histograms.push(HistogramDataPoint {
                        attributes,
                        start_time_unix_nano: self.start(family, labels, count as f64),
                        time_unix_nano: time_ns,
                        count,
                        sum: Some(sum),
                        bucket_counts: buckets.iter().map(|(_, count)| *count).collect(),
                        explicit_bounds: bounds.filter(|bound| bound.is_finite()).collect(),
                        ..HistogramDataPoint::default()
                    });
                }
            }
            Ok::<(), Infallible>(())
        };
        let Ok(()) = visit(family, snapshot, take);
        let data = match family.metric_type() {
            _ if numbers.is_empty() && histograms.is_empty() => return None,
            Type::Histogram => Data::Histogram(Histogram {
                data_points: histograms,
                aggregation_temporality: CUMULATIVE,
            }),
            Type::Gauge => Data::Gauge(Gauge { data_points: numbers }),
            Type::Counter => Data::Sum(Sum {
                data_points: numbers,
                aggregation_temporality: CUMULATIVE,
                is_monotonic: true,
            }),
        };
        Some(Metric {
            name: family.full_name(),
            description: family.help.to_owned(),
            unit: unit(family.unit).to_owned(),
            data: Some(data),
            ..Metric::default()
        })
    }

    /// When a counter was zero. One that was not there before, or has fallen, began after the last snapshot.
    fn start(&mut self, family: &'static Family, labels: Labels<'_>, value: f64) -> u64 {
        match family.values {
            Values::Own(_) => return self.begin_ns,
            // That of the connection is not known.
            Values::Connection(_) => return 0,
            _ => {}
        }
        let values = labels.iter().flat_map(|(name, value)| [name, value]).map(str::to_owned);
        let key = (family.name, values.chain([unit(family.unit).to_owned()]).collect());
        let (turn, last_ns) = (self.turn, self.time_ns);
        let fresh = Known { start_ns: last_ns, value, turn };
        let known = self.series.entry(key).or_insert(fresh);
        if value < known.value {
            known.start_ns = last_ns;
        }
        (known.value, known.turn) = (value, turn);
        known.start_ns
    }
}

#[cfg(test)]
mod tests;
