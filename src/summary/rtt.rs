//! `rtt`: round-trip times as the kernel side has counted them.

use std::collections::HashMap;

use anyhow::{Context, Result};
use libbpf_rs::MapCore;

use super::counted::{Counted, ERROR_PERCENT};
use super::key::{OwnKey, column};
use super::{Reading, Span, key};
use crate::config::summary::{By, Rtt};
use crate::loader::Loaded;
use crate::skel::TccTraceSkel;
use crate::table::Type::{Float, Text, Unsigned};
use crate::table::Unit::{Count, Microseconds};
use crate::table::summary::{Form, Line, Scale, Shape, Summary};
use crate::table::{Column, Unit, Value};

/// What the command's records are, in one sentence.
pub const DOC: &str =
    "How often which round-trip time was seen, of the samples of `probe`; of one row.";

/// What is said of a row.
pub static COLUMNS: [Column; 11] = [
    column("field", (Text, Unit::None), "--field", "Which time it is, as `probe` names it."),
    column("count", (Unsigned, Count), "counted", "Samples with a value."),
    column(
        "unset",
        (Unsigned, Count),
        "counted",
        "Samples of connections that had none yet; they are in nothing else here.",
    ),
    column("sum_us", (Unsigned, Microseconds), "counted", "Sum of all values."),
    column("avg_us", (Float, Microseconds), "sum_us / count", "Their average, exactly."),
    column(
        "min_us",
        (Unsigned, Microseconds),
        "counted",
        "The smallest; exact over the whole run, in an interval as the percentiles are.",
    ),
    column(
        "p50_us",
        (Unsigned, Microseconds),
        "buckets",
        "Half of the samples have this or less; at most 3.2 % off, as the others, and exact below 32.",
    ),
    column("p90_us", (Unsigned, Microseconds), "buckets", "90 % of them."),
    column("p99_us", (Unsigned, Microseconds), "buckets", "99 % of them."),
    column("p999_us", (Unsigned, Microseconds), "buckets", "99.9 % of them."),
    column("max_us", (Unsigned, Microseconds), "counted", "The largest, as the smallest."),
];

/// The columns of summaries by that.
#[must_use]
pub fn shape(by: &[By], scale: Scale) -> Shape {
    Shape {
        command: "rtt",
        key: key::columns(by),
        columns: COLUMNS.iter().collect(),
        form: Form::Histogram(scale),
    }
}

/// What was read last.
pub struct Histograms {
    options: Rtt,
    shape: Shape,
    /// Each summary shows its interval only; else there is one, of all.
    intervals: bool,
    before: HashMap<Vec<u8>, Counted>,
    rest_before: Counted,
    told: u64,
}

impl Histograms {
    #[must_use]
    pub fn new(options: &Rtt, intervals: bool) -> Self {
        Histograms {
            options: options.clone(),
            shape: shape(&options.keys.by, options.scale),
            intervals,
            before: HashMap::new(),
            rest_before: Counted::default(),
            told: 0,
        }
    }

    /// Every key's counts since the last reading, those with none left out; idle keys are removed where room is scarce.
    fn rows(&mut self, skel: &TccTraceSkel<'_>) -> Result<Vec<(Vec<u8>, Counted)>> {
        let map = &skel.maps.histograms;
        let keys: Vec<Vec<u8>> = map.keys().collect();
        // Rows of a CPU each cannot be taken away in one step, and are few.
        let scarce = !self.options.per_cpu() && keys.len() > self.options.rows() as usize / 2;
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
                // Idle for all of the interval. Should somebody be at it now, what he counts until it goes is told.
                let last = Counted::take(map, &key).context("cannot tidy the histograms")?;
                let since = last.since(&self.before.remove(&key).unwrap_or_default());
                if !since.is_empty() {
                    rows.push((key, since));
                }
            }
        }
        Ok(rows)
    }
}

impl Reading for Histograms {
    fn print(
        &mut self,
        loaded: &Loaded<'_>,
        span: Span,
        print: &mut dyn FnMut(&Summary<'_>),
    ) -> Result<()> {
        let skel = &loaded.skel;
        let mut rows = self.rows(skel)?;
        let rest = Counted::read(&skel.maps.histogram_rest, &0_u32.to_ne_bytes(), true)
            .context("cannot read the histograms")?;
        let rest_since = rest.since(&self.rest_before);
        self.rest_before = rest;
        rows.retain(|(_, counted)| !counted.is_empty());
        rows.sort_by(|a, b| b.1.count().cmp(&a.1.count()).then_with(|| a.0.cmp(&b.0)));

        let keys: Vec<OwnKey> =
            rows.iter().map(|(key, _)| OwnKey::new(key, &self.options.keys)).collect();
        let field = self.options.field.name();
        let mut lines: Vec<Line<'_>> = rows
            .iter()
            .zip(&keys)
            .map(|((_, counted), key)| line(Some(key.values(&self.shape)), field, counted))
            .collect();
        if !rest_since.is_empty() {
            lines.push(line(None, field, &rest_since));
        }
        let all = rows.iter().map(|(_, counted)| counted).chain([&rest_since]);
        let count: u64 = all.map(|counted| counted.count() + counted.unset).sum();
        self.told += count;
        print(&Summary {
            shape: &self.shape,
            time: span.time,
            interval_ns: span.interval_ns,
            title: format!(
                "{field}: {count} samples in {:.3} s; percentiles are at most {:.1} % off",
                span.interval_ns as f64 / 1e9,
                (ERROR_PERCENT * 10.0).ceil() / 10.0
            ),
            lines,
        });
        Ok(())
    }

    fn told(&self) -> u64 {
        self.told
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
