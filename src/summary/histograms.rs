//! Histograms counted in the kernel.

use std::collections::HashMap;

use anyhow::{Context, Result};
use libbpf_rs::MapCore;

use super::counted::{Counted, ERROR_PERCENT};
use super::key::{self, OwnKey, column};
use super::{Aggregate, Span};
use crate::config::summary::{Histograms, TimeField};
use crate::events::tcp_probe::copy;
use crate::loader::Loaded;
use crate::loader::summaries::number;
use crate::skel::{Key, TccTraceSkel};
use crate::table::Type::{Float, Text, Unsigned};
use crate::table::Unit::{Count, Microseconds};
use crate::table::summary::{Form, Line, Summary, SummarySchema};
use crate::table::{Column, Unit, Value};

/// Columns of a row. The command documents the first three.
pub(super) const fn columns(
    field: (&'static str, &'static str),
    count: &'static str,
    unset: &'static str,
) -> [Column; 11] {
    [
        column("field", (Text, Unit::None), field.0, field.1),
        column("count", (Unsigned, Count), "counted", count),
        column("unset", (Unsigned, Count), "counted", unset),
        column("sum_us", (Unsigned, Microseconds), "counted", "Sum of the values."),
        column(
            "avg_us",
            (Float, Microseconds),
            "sum_us / count",
            "Average of the values. Null, as are the columns below, if `count` is 0.",
        ),
        column(
            "min_us",
            (Unsigned, Microseconds),
            "counted",
            "Smallest value. Exact over a whole run; in an interval, as accurate as the percentiles.",
        ),
        column(
            "p50_us",
            (Unsigned, Microseconds),
            "buckets",
            "Median. Percentiles are at most 3.2 % off, and exact below 32.",
        ),
        column("p90_us", (Unsigned, Microseconds), "buckets", "90th percentile."),
        column("p99_us", (Unsigned, Microseconds), "buckets", "99th percentile."),
        column("p999_us", (Unsigned, Microseconds), "buckets", "99.9th percentile."),
        column(
            "max_us",
            (Unsigned, Microseconds),
            "counted",
            "Largest value, as accurate as `min_us`.",
        ),
    ]
}

/// The key of a row, as in the map, and its counts.
type HistogramRow = (Vec<u8>, Counted);

/// Histograms by key, and their counts at the last summary.
pub struct Distributions {
    options: Histograms,
    shape: SummarySchema,
    /// Each summary covers its interval; else there is one, of the whole run.
    intervals: bool,
    before: HashMap<Vec<u8>, Counted>,
    /// By field.
    rest_before: Vec<Counted>,
    reported: u64,
}

impl Distributions {
    #[must_use]
    pub fn new(
        command: &'static str,
        columns: &'static [Column],
        options: &Histograms,
        intervals: bool,
    ) -> Self {
        Distributions {
            shape: SummarySchema {
                command,
                key: key::columns(&options.keys.by),
                columns: columns.iter().collect(),
                form: Form::Histogram(options.scale),
            },
            intervals,
            before: HashMap::new(),
            rest_before: vec![Counted::default(); options.fields.len()],
            reported: 0,
            options: options.clone(),
        }
    }

    /// Non-empty counts since the last summary. Removes idle keys if room is scarce.
    fn rows(&mut self, skel: &TccTraceSkel<'_>) -> Result<Vec<HistogramRow>> {
        let map = &skel.maps.histograms;
        let keys: Vec<Vec<u8>> = map.keys().collect();
        // Per-CPU rows cannot be removed in one step, and are few.
        let scarce = self.options.many() && keys.len() > self.options.rows() as usize / 2;
        let mut rows = Vec::new();
        for key in keys {
            let now = Counted::read(map, &key, self.options.per_cpu())
                .context("cannot read the histograms")?;
            if !self.intervals {
                rows.push((key, now));
                continue;
            }
            let since = now.since(self.before.get(&key).unwrap_or(&Counted::default()));
            if !since.is_empty() {
                self.before.insert(key.clone(), now);
                rows.push((key, since));
            } else if scarce {
                // Idle in this interval. Events counted until the removal are in its result.
                let last = Counted::take(map, &key).context("cannot tidy the histograms")?;
                let since = last.since(&self.before.remove(&key).unwrap_or_default());
                if !since.is_empty() {
                    rows.push((key, since));
                }
            }
        }
        rows.retain(|(_, counted)| !counted.is_empty());
        rows.sort_by(|a, b| b.1.count().cmp(&a.1.count()).then_with(|| a.0.cmp(&b.0)));
        Ok(rows)
    }

    /// Counts of keys that found no room since the last summary, by field.
    fn rest(&mut self, skel: &TccTraceSkel<'_>) -> Result<Vec<Counted>> {
        let mut since = Vec::new();
        for (field, before) in self.options.fields.iter().zip(&mut self.rest_before) {
            let index = number(*field).to_ne_bytes();
            let rest = Counted::read(&skel.maps.histogram_rest, &index, true)
                .context("cannot read the histograms")?;
            since.push(rest.since(before));
            *before = rest;
        }
        Ok(since)
    }

    /// Prints one field, unless empty and rare. Returns the number of events that it counts.
    fn of_field(
        &self,
        field: TimeField,
        rows: &[&HistogramRow],
        rest: &Counted,
        span: Span,
        print: &mut dyn FnMut(&Summary<'_>),
    ) -> u64 {
        let keys: Vec<OwnKey> =
            rows.iter().map(|(key, _)| OwnKey::new(key, &self.options.keys)).collect();
        let name = field.name();
        let mut lines: Vec<Line<'_>> = rows
            .iter()
            .zip(&keys)
            .map(|((_, counted), key)| line(Some(key.values(&self.shape)), name, counted))
            .collect();
        if !rest.is_empty() {
            lines.push(line(None, name, rest));
        }
        let all = rows.iter().map(|(_, counted)| counted).chain([rest]);
        let count: u64 = all.map(|counted| counted.count() + counted.unset).sum();
        if count > 0 || !field.is_rare() {
            print(&Summary {
                shape: &self.shape,
                time: span.time,
                interval_ns: span.interval_ns,
                title: format!(
                    "{name}: {count} {} in {:.3} s; percentiles are at most {:.1} % off",
                    field.of(),
                    span.interval_ns as f64 / 1e9,
                    (ERROR_PERCENT * 10.0).ceil() / 10.0
                ),
                lines,
            });
        }
        if field.is_event() { count } else { 0 }
    }
}

impl Aggregate for Distributions {
    fn print(
        &mut self,
        loaded: &Loaded<'_>,
        span: Span,
        print: &mut dyn FnMut(&Summary<'_>),
    ) -> Result<()> {
        let rows = self.rows(&loaded.skel)?;
        let rest = self.rest(&loaded.skel)?;
        for (field, rest) in self.options.fields.iter().zip(&rest) {
            let of_field = |row: &&HistogramRow| {
                copy::<Key>(&row.0).is_some_and(|key| key.value == number(*field))
            };
            let rows: Vec<&HistogramRow> = rows.iter().filter(of_field).collect();
            self.reported += self.of_field(*field, &rows, rest, span, print);
        }
        Ok(())
    }

    fn events_reported(&self) -> u64 {
        self.reported
    }
}

fn line<'a>(key: Option<Vec<Value<'a>>>, field: &'static str, counted: &Counted) -> Line<'a> {
    let number = |value: Option<u64>| value.map_or(Value::Null, Value::U64);
    Line {
        key,
        values: vec![
            Value::Str(field),
            Value::U64(counted.count()),
            Value::U64(counted.unset),
            Value::U64(counted.sum),
            counted.average().map_or(Value::Null, Value::F64),
            number(counted.least()),
            number(counted.quantile(500)),
            number(counted.quantile(900)),
            number(counted.quantile(990)),
            number(counted.quantile(999)),
            number(counted.most()),
        ],
        buckets: counted.printed(),
    }
}
