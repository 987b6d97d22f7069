//! Histograms counted in the kernel.

use anyhow::{Context, Result};
use libbpf_rs::MapCore;

use super::Span;
use super::counted::{Counted, ERROR_PERCENT};
use super::key::{self, OwnKey, column};
use super::totals::{RowCounts, RowTotals, RowsOf, Snapshot, SnapshotOf, TotalsTable};
use crate::config::summary::{Histograms, TimeField};
use crate::events::tcp_probe::copy;
use crate::loader::Loaded;
use crate::loader::summaries::number;
use crate::skel::{Key, bytes};
use crate::table::Type::{Float, Text, Unsigned};
use crate::table::Unit::{Count, Microseconds};
use crate::table::summary::{AggregateType, Form, Line, Summary, SummarySchema};
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

/// The map `histograms`: a part for each time that is counted.
pub struct HistogramTable {
    options: Histograms,
    shape: SummarySchema,
    retired: Vec<Counted>,
}

impl HistogramTable {
    #[must_use]
    pub fn new(aggregate: &'static AggregateType, options: &Histograms) -> Self {
        HistogramTable {
            shape: SummarySchema {
                command: aggregate.command,
                key: key::columns(&options.keys.by),
                columns: aggregate.columns.iter().collect(),
                form: Form::Histogram(options.scale),
            },
            retired: vec![Counted::default(); options.fields.len()],
            options: options.clone(),
        }
    }

    fn keys(&self, map: &impl MapCore) -> Vec<Vec<u8>> {
        if !self.options.is_array() {
            return map.keys().collect();
        }
        let key = |field: &TimeField| Key { value: number(*field), ..Key::default() };
        self.options.fields.iter().map(|field| bytes(&key(field)).to_vec()).collect()
    }

    /// Prints one field, unless empty and rare.
    fn print_field(
        &self,
        field: TimeField,
        rows: &[(Vec<u8>, Counted)],
        rest: &Counted,
        span: Span,
        print: &mut dyn FnMut(&Summary<'_>),
    ) {
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
    }
}

impl TotalsTable for HistogramTable {
    type Key = Vec<u8>;
    type Gauges = ();
    type Counts = Counted;

    fn totals(&mut self, loaded: &Loaded<'_>) -> Result<SnapshotOf<Self>> {
        const ERROR: &str = "cannot read the histograms";
        let maps = &loaded.skel.maps;
        let entry = |counts| RowTotals { gauges: (), counts };
        let mut rows = Vec::new();
        for key in self.keys(&maps.histograms) {
            // An array's key is the beginning of a hash's.
            let at = if self.options.is_array() { &key[..size_of::<u32>()] } else { &key };
            let counted = Counted::read(&maps.histograms, at, self.options.per_cpu());
            rows.push((key, entry(counted.context(ERROR)?)));
        }
        let mut rest = Vec::new();
        for field in &self.options.fields {
            let index = number(*field).to_ne_bytes();
            rest.push(entry(Counted::read(&maps.histogram_rest, &index, true).context(ERROR)?));
        }
        Ok(Snapshot { rows, rest, retired: self.retired.clone() })
    }

    /// Removes idle rows if room is scarce. Per-CPU rows cannot be removed in one step, and are few.
    fn retire(&mut self, loaded: &Loaded<'_>, interval: &SnapshotOf<Self>) -> Result<RowsOf<Self>> {
        let mut retired = Vec::new();
        if self.options.many() && interval.rows.len() > self.options.rows() as usize / 2 {
            for (key, _) in interval.rows.iter().filter(|(_, row)| row.counts.is_empty()) {
                let last = Counted::take(&loaded.skel.maps.histograms, key);
                let counts = last.context("cannot tidy the histograms")?;
                let part = self.part(key);
                if let Some(sum) = self.retired.get_mut(part) {
                    sum.add(&counts);
                }
                retired.push((key.clone(), RowTotals { gauges: (), counts }));
            }
        }
        Ok(retired)
    }

    /// By field.
    fn part(&self, key: &Vec<u8>) -> usize {
        let value = copy::<Key>(key).map(|key| key.value);
        let is_part = |field: &TimeField| Some(number(*field)) == value;
        self.options.fields.iter().position(is_part).unwrap_or(usize::MAX)
    }

    fn events(&self, part: usize, counts: &Counted) -> u64 {
        match self.options.fields.get(part) {
            Some(field) if self.options.counts_events(*field) => counts.count() + counts.unset,
            _ => 0,
        }
    }

    fn print(&self, rows: SnapshotOf<Self>, span: Span, print: &mut dyn FnMut(&Summary<'_>)) {
        let mut parts = vec![Vec::new(); self.options.fields.len()];
        for (key, row) in rows.rows.into_iter().filter(|(_, row)| !row.counts.is_empty()) {
            if let Some(part) = parts.get_mut(self.part(&key)) {
                part.push((key, row.counts));
            }
        }
        for ((field, mut part), rest) in self.options.fields.iter().zip(parts).zip(&rows.rest) {
            part.sort_by(|(a_key, a), (b_key, b)| {
                b.count().cmp(&a.count()).then_with(|| a_key.cmp(b_key))
            });
            self.print_field(*field, &part, &rest.counts, span, print);
        }
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
