//! What a receiver gets, decoded by the generated types.

use std::time::Duration;

use super::*;
use crate::export::output::tests::snapshot;

const BEGIN: Duration = Duration::from_secs(900);

fn encoder() -> Encoder {
    Encoder::new("a-host".to_owned(), UNIX_EPOCH + BEGIN)
}

fn metrics(encoder: &mut Encoder, snapshot: &Snapshot) -> Vec<Metric> {
    let mut request = encoder.request(snapshot);
    request.resource_metrics.remove(0).scope_metrics.remove(0).metrics
}

fn text(value: &KeyValue) -> (&str, &str) {
    match value.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => (&value.key, text),
        other => panic!("{other:?}"),
    }
}

/// The points of a metric: labels, the start, and the value.
fn points(metrics: &[Metric], name: &str) -> Vec<(String, u64, f64)> {
    let metric = metrics.iter().find(|metric| metric.name == name).expect("the metric");
    let points = match &metric.data {
        Some(Data::Sum(sum)) => {
            assert!(sum.is_monotonic && sum.aggregation_temporality == CUMULATIVE);
            &sum.data_points
        }
        Some(Data::Gauge(gauge)) => &gauge.data_points,
        other => panic!("{other:?}"),
    };
    let point = |point: &NumberDataPoint| {
        let labels =
            point.attributes.iter().map(text).map(|(name, value)| format!("{name}={value}"));
        let value = match point.value {
            Some(number_data_point::Value::AsInt(value)) => value as f64,
            Some(number_data_point::Value::AsDouble(value)) => value,
            None => f64::NAN,
        };
        (labels.collect::<Vec<_>>().join(" "), point.start_time_unix_nano / 1_000_000_000, value)
    };
    points.iter().map(point).collect()
}

#[test]
fn values_labels_and_units_are_those_of_a_scrape() {
    let mut encoder = encoder();
    let snapshot = snapshot();
    let request = encoder.request(&snapshot);
    let resource = request.resource_metrics[0].resource.as_ref().expect("a resource");
    let resource: Vec<_> = resource.attributes.iter().map(text).collect();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        resource,
        [("host.name", "a-host"), ("service.name", "tcc-trace"), ("service.version", version)]
    );
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    assert_eq!(
        points(metrics, "tcctrace_acked_bytes_total"),
        [
            ("cc=cubic comm=a\"b\\c\nd".to_owned(), 900, 7.0),
            ("cc=bbr".to_owned(), 900, 8.0),
            ("cc=other comm=other".to_owned(), 900, 9.0)
        ]
    );
    assert_eq!(points(metrics, "tcctrace_connections_open")[1], ("cc=bbr".to_owned(), 0, 3.0));
    let times = points(metrics, "tcctrace_ca_state_seconds_total");
    assert!(times.contains(&("cc=bbr state=open".to_owned(), 900, 1.5)), "{times:?}");
    // When the connection began is not known.
    let named = points(metrics, "tcctrace_connection_acked_bytes_total");
    assert_eq!((named.len(), named[0].1, named[0].2), (1, 0, 11.0));
    let units: Vec<(&str, &str)> =
        metrics.iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect();
    for unit in [
        ("tcctrace_rtt_seconds", "s"),
        ("tcctrace_sent_bytes_total", "By"),
        ("tcctrace_sent_segments_total", "{segment}"),
        ("tcctrace_connections_open", ""),
    ] {
        assert!(units.contains(&unit), "{unit:?}: {units:?}");
    }
}

#[test]
fn histograms_have_the_bounds_of_the_classic_ones() {
    let metrics = metrics(&mut encoder(), &snapshot());
    let rtt = metrics.iter().find(|metric| metric.name == "tcctrace_rtt_seconds");
    let Some(Data::Histogram(rtt)) = rtt.and_then(|metric| metric.data.as_ref()) else { panic!() };
    assert_eq!(rtt.aggregation_temporality, CUMULATIVE);
    let point = &rtt.data_points[0];
    assert_eq!((point.count, point.sum), (4, Some(70.000_617)));
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), 4);
    let bucket = |bound: f64| {
        let at = point.explicit_bounds.iter().position(|of| *of == bound).expect("the bound");
        point.bucket_counts[at]
    };
    assert_eq!([bucket(0.000_032), bucket(0.000_512), bucket(67.108_864)], [1, 2, 0]);
    assert_eq!(point.bucket_counts.last(), Some(&1), "above all bounds");
}

/// A series that ends and comes again begins after the last snapshot that had it, and one that falls, too.
#[test]
fn starts_are_those_of_the_series() {
    let mut encoder = encoder();
    let at = |seconds: u64, acked: &[(usize, u64)]| {
        let mut snapshot = snapshot();
        snapshot.time = UNIX_EPOCH + Duration::from_secs(seconds);
        let rows = acked.iter().map(|(row, acked)| {
            let mut row = snapshot.totals[*row].clone();
            row.counts.iter_mut().for_each(|count| *count = *acked);
            row
        });
        snapshot.totals = rows.collect();
        snapshot
    };
    let mut starts = |snapshot: &Snapshot| -> Vec<(u64, f64)> {
        let metrics = metrics(&mut encoder, snapshot);
        let points = points(&metrics, "tcctrace_acked_bytes_total");
        points.into_iter().map(|(_, start, value)| (start, value)).collect()
    };
    assert_eq!(starts(&at(1000, &[(0, 7)])), [(900, 7.0)]);
    assert_eq!(starts(&at(1010, &[(0, 7), (1, 3)])), [(900, 7.0), (1000, 3.0)]);
    assert_eq!(starts(&at(1020, &[(1, 4)])), [(1000, 4.0)]);
    assert_eq!(starts(&at(1030, &[(0, 1), (1, 4)])), [(1020, 1.0), (1000, 4.0)]);
    assert_eq!(starts(&at(1040, &[(0, 2), (1, 3)])), [(1020, 2.0), (1030, 3.0)]);
    assert_eq!(encoder.series.iter().filter(|(_, known)| known.turn != encoder.turn).count(), 0);
}
