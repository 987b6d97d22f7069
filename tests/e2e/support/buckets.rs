//! Histograms as they are printed, and as values make them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};
use tcc_trace::skel::Histogram;
use tcc_trace::summary::counted::{ERROR_PERCENT, bounds};

use super::tracer::{Trace, text, u64_of};
use super::{invalid, schema};

/// Counts of each bucket by its bounds.
pub type Buckets = BTreeMap<(u64, u64), u64>;

pub fn bucket_of(value: u64) -> (u64, u64) {
    (0..Histogram::BUCKETS).map(bounds).find(|(from, to)| (*from..=*to).contains(&value)).unwrap()
}

pub fn buckets(values: &[u64]) -> Buckets {
    let mut buckets = Buckets::new();
    values.iter().for_each(|value| *buckets.entry(bucket_of(*value)).or_default() += 1);
    buckets
}

/// What was printed of one row.
pub fn printed(row: &Value) -> Buckets {
    let all = row["buckets"].as_array().expect("buckets");
    let one = |bucket: &Value| {
        let n = |key: &str| u64_of(bucket, key);
        ((n("from_us"), n("to_us")), n("count"))
    };
    all.iter().map(one).collect()
}

/// An address as a row by networks has it.
pub fn network(event: &Value, name: &str, prefix: Option<(u8, u8)>) -> Value {
    let ip: IpAddr = text(event, name).parse().expect("an address");
    let Some((v4, v6)) = prefix else { return json!(ip.to_string()) };
    let len = if ip.is_ipv4() { v4 } else { v6 };
    json!(format!("{}/{len}", ipnet::IpNet::new(ip, len).expect("a length").network()))
}

/// One row is exactly what those values make, which are sorted, its percentiles within the error.
#[track_caller]
pub fn check_row(row: &Value, values: &[u64], unset: u64) {
    assert_eq!(printed(row), buckets(values), "{row}");
    let (count, sum) = (values.len() as u64, values.iter().sum::<u64>());
    let reported = ["count", "unset", "sum_us"].map(|name| u64_of(row, name));
    assert_eq!(reported, [count, unset, sum], "{row}");
    if values.is_empty() {
        assert!(["avg_us", "min_us", "p50_us", "max_us"].iter().all(|name| row[name].is_null()));
        return;
    }
    let average = row["avg_us"].as_f64().expect("a number");
    assert!((average - sum as f64 / count as f64).abs() <= 0.0006, "{row}");
    assert_eq!(u64_of(row, "min_us"), values[0], "{row}");
    assert_eq!(Some(&u64_of(row, "max_us")), values.last(), "{row}");
    for (name, share) in [("p50_us", 500), ("p90_us", 900), ("p99_us", 990), ("p999_us", 999)] {
        let truth = values[(values.len() * share).div_ceil(1000).max(1) - 1] as f64;
        let off = (u64_of(row, name) as f64 - truth).abs();
        assert!(off <= truth * ERROR_PERCENT / 100.0, "{name} {truth}: {row}");
    }
}

/// Every line is what the schema says.
#[track_caller]
pub fn check_schema(trace: &Trace) {
    let schema = schema();
    for line in trace.events.iter().chain([&trace.end]) {
        invalid(schema, line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}
