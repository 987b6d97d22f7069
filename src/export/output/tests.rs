//! What the encoders make of a snapshot.

use std::time::Duration;

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;

use super::*;
use crate::accounting::{AggregateCounts, Evicted};
use crate::config::summary::{By, Keys, Metric, Names, Observe, TimeField, TopConnections};
use crate::skel::ObserveReason;
use crate::summary::counted::Counted;
use crate::summary::observe::columns::{OPEN, SUMS};
use crate::summary::observe::exported::LabelledTotals;
use crate::summary::observe::labels;
use crate::summary::observe::top::NamedConnection;

const ACKED: usize = crate::skel::ObserveSum::TCC_OBSERVE_BYTES_ACKED.0 as usize;

fn options(metrics: &[Metric]) -> Observe {
    Observe {
        keys: Keys { by: vec![By::Cc, By::Comm], iface: false, prefix: 32, prefix6: 128 },
        condition: None,
        trigger: None,
        names: Names::Own,
        metrics: metrics.to_vec(),
        max_rows: 10,
        top: Some(TopConnections { count: 2, interval: Duration::from_secs(60) }),
        caps: Vec::new(),
    }
}

const ALL: [Metric; 19] = [
    Metric::Connections,
    Metric::Bytes,
    Metric::Rtt,
    Metric::Retransmits,
    Metric::Resets,
    Metric::Drops,
    Metric::MinRtt,
    Metric::Cwnd,
    Metric::InFlight,
    Metric::DeliveryRate,
    Metric::PacingRate,
    Metric::Unsent,
    Metric::Connlat,
    Metric::Queue,
    Metric::Timers,
    Metric::Spurious,
    Metric::CaStates,
    Metric::ZeroWindows,
    Metric::Limits,
];

fn totals(labels: Option<[&str; 2]>, acked: u64) -> LabelledTotals {
    let mut counts = vec![0; SUMS];
    counts[ACKED] = acked;
    counts[OPEN] = 3;
    let mut rtt = Counted::default();
    [17, 300, 300, 70_000_000].iter().for_each(|us| rtt.count_value(Some(*us)));
    rtt.count_value(None);
    LabelledTotals {
        labels: labels.map(|labels| labels.map(str::to_owned).to_vec()),
        counts,
        reasons: vec![
            (ObserveReason::TCC_REASON_DROP.0, Some("TCP_OLD_DATA".to_owned()), 4),
            (ObserveReason::TCC_REASON_DROP.0, None, 2),
            (ObserveReason::TCC_REASON_RESET_SENT.0, Some("NO_SOCKET".to_owned()), 9),
        ],
        distributions: vec![(TimeField::Srtt, rtt)],
        state_times: vec![1_500_000_000, 0, 0, 0, 0],
    }
}

/// Of all metrics.
#[cfg(feature = "otlp")]
pub(in crate::export) fn snapshot() -> Snapshot {
    Snapshot::clone(&exposition(&ALL).snapshot)
}

fn exposition(metrics: &[Metric]) -> Exposition {
    let options = options(metrics);
    let counts = AggregateCounts { seen: 12, lost: 1, ..AggregateCounts::default() };
    Exposition::new(Snapshot {
        time: std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1000),
        label_names: labels::names(&options),
        options,
        totals: vec![
            totals(Some(["cubic", "a\"b\\c\nd"]), 7),
            totals(Some(["bbr", ""]), 8),
            totals(None, 9),
        ],
        named: vec![NamedConnection {
            labels: ["7", "", "::1", "80", "fe80::2", "9", "bbr", "a\"b"]
                .map(str::to_owned)
                .to_vec(),
            acked: 11,
            srtt_us: Some(1500),
            ..NamedConnection::default()
        }],
        named_so_far: 3,
        event_types: vec![("probe", counts)],
        evicted: Evicted::default(),
        dropped: 5,
        folded: vec![("comm", 6)],
        kernel: "6.1.0".to_owned(),
        read: Duration::from_millis(2),
    })
}

fn text(exposition: &Exposition, format: Format) -> String {
    String::from_utf8(exposition.encoded(format).unwrap().to_vec()).unwrap()
}

#[test]
fn series_have_their_labels_and_values() {
    let text = text(&exposition(&ALL), Format::OpenMetrics);
    for line in [
        "# HELP tcctrace_acked_bytes Bytes sent and acknowledged.",
        "# TYPE tcctrace_acked_bytes counter",
        "# UNIT tcctrace_acked_bytes bytes",
        r#"tcctrace_acked_bytes_total{cc="cubic",comm="a\"b\\c\nd"} 7"#,
        r#"tcctrace_acked_bytes_total{cc="bbr"} 8"#,
        r#"tcctrace_acked_bytes_total{cc="other",comm="other"} 9"#,
        r#"tcctrace_connections_open{cc="bbr"} 3"#,
        r#"tcctrace_connections_opened_total{cc="bbr",open="passive_opens"} 0"#,
        r#"tcctrace_dropped_packets_total{cc="bbr",reason="TCP_OLD_DATA"} 4"#,
        r#"tcctrace_dropped_packets_total{cc="bbr"} 2"#,
        r#"tcctrace_resets_sent_total{cc="bbr",reason="NO_SOCKET"} 9"#,
        r#"tcctrace_ca_state_seconds_total{cc="bbr",state="open"} 1.5"#,
        r#"tcctrace_rtt_seconds_bucket{le="0.000032",cc="bbr"} 1"#,
        r#"tcctrace_rtt_seconds_bucket{le="0.000512",cc="bbr"} 3"#,
        r#"tcctrace_rtt_seconds_bucket{le="67.108864",cc="bbr"} 3"#,
        r#"tcctrace_rtt_seconds_bucket{le="+Inf",cc="bbr"} 4"#,
        r#"tcctrace_rtt_seconds_count{cc="bbr"} 4"#,
        r#"tcctrace_rtt_seconds_sum{cc="bbr"} 70.000617"#,
        r#"tcctrace_samples_without_value_total{cc="bbr",metric="rtt_seconds"} 1"#,
        r#"tcctrace_events_total{type="probe"} 12"#,
        r#"tcctrace_events_lost_total{type="probe"} 1"#,
        "tcctrace_series_dropped_total 5",
        r#"tcctrace_series_dropped_total{label="comm"} 6"#,
        r#"tcctrace_connection_acked_bytes_total{cookie="7",laddr="::1",lport="80",raddr="fe80::2",rport="9",cc="bbr",comm="a\"b"} 11"#,
        r#"tcctrace_connection_srtt_seconds{cookie="7",laddr="::1",lport="80",raddr="fe80::2",rport="9",cc="bbr",comm="a\"b"} 0.0015"#,
        "tcctrace_connections_named_total 3",
        "tcctrace_read_seconds 0.002",
        r#"tcctrace_evicted_entries_total{map="conns"} 0"#,
        concat!(
            r#"tcctrace_build_info{version=""#,
            env!("CARGO_PKG_VERSION"),
            r#"",kernel="6.1.0"} 1"#
        ),
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in:\n{text}");
    }
    assert!(text.ends_with("\n# EOF\n"));
    let mut series: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').expect("a value").0)
        .collect();
    let count = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), count, "each series is there once");
}

#[test]
fn what_is_not_counted_is_absent() {
    let mut exposition = exposition(&[Metric::Bytes]);
    Arc::get_mut(&mut exposition.snapshot).unwrap().options.top = None;
    let text = text(&exposition, Format::OpenMetrics);
    assert!(!text.contains("min_rtt"), "a value that there is not");
    let named: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    for family in FAMILIES {
        let start = format!("{PREFIX}_{} ", family.base_name());
        let wanted = family.metric.is_none_or(|metric| metric == Metric::Bytes)
            && family.name != "samples_without_value"
            && !family.is_of_top();
        let found = named.iter().any(|line| line.starts_with(&start));
        assert_eq!(found, wanted, "{}", family.name);
    }
}

/// The names that `Family` states are those that the encoders make.
#[test]
fn every_family_has_its_name_and_type() {
    let exposition = exposition(&ALL);
    let openmetrics = text(&exposition, Format::OpenMetrics);
    let classic = text(&exposition, Format::Text);
    let protobuf = families(&exposition);
    assert_eq!(protobuf.len(), FAMILIES.len());
    for (family, encoded) in FAMILIES.iter().zip(&protobuf) {
        let (base, full) = (format!("{PREFIX}_{}", family.base_name()), family.full_name());
        let of_type = family.metric_type().name();
        assert!(openmetrics.contains(&format!("\n# TYPE {base} {of_type}\n")), "{base}");
        assert!(classic.contains(&format!("\n# TYPE {full} {of_type}\n")), "{full}");
        assert!(classic.contains(&format!("# HELP {full} {}\n", family.help)), "{full}");
        assert_eq!((&encoded.name, encoded.help.as_str()), (&full, family.help));
    }
    assert!(!classic.contains("# UNIT") && !classic.contains("# EOF"));
}

fn families(exposition: &Exposition) -> Vec<model::MetricFamily> {
    prometheus_protobuf::encode(&exposition.registry(true)).unwrap()
}

#[test]
fn protobuf_has_native_histograms_and_plain_labels() {
    let families = families(&exposition(&ALL));
    let family =
        |name: &str| families.iter().find(|family| family.name == name).expect("the family");
    let rtt = &family("tcctrace_rtt_seconds").metric[0];
    let labels: Vec<(&str, &str)> =
        rtt.label.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect();
    assert_eq!(labels, [("cc", "cubic"), ("comm", "a\"b\\c\nd")]);
    let histogram = rtt.histogram.as_ref().expect("a histogram");
    assert_eq!((histogram.sample_count, histogram.schema, histogram.zero_count), (4, 3, 0));
    let spans: u32 = histogram.positive_span.iter().map(|span| span.length).sum();
    assert_eq!((spans, histogram.positive_delta.len()), (3, 3));
    assert!(histogram.bucket.iter().all(|bucket| bucket.upper_bound < 100.0));
    let counter = family("tcctrace_acked_bytes_total").metric[0].counter.as_ref();
    assert_eq!(counter.map(|counter| counter.value), Some(7.0));
}

#[test]
fn the_budget_is_kept() {
    for metrics in [&ALL[..6], &ALL[..], &[Metric::Rtt]] {
        let exposition = exposition(metrics);
        let text = text(&exposition, Format::OpenMetrics);
        let of_row = r#"cc="bbr""#;
        let of_rows = text.lines().filter(|line| !line.starts_with("tcctrace_connection_"));
        let series = of_rows.filter(|line| line.contains(of_row)).count();
        let budget = super::super::families::series_of_a_label_set(&options(metrics));
        assert!(series <= budget as usize, "{series} of {budget}");
    }
}
