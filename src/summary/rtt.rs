//! `rtt`: round-trip times as the kernel side has counted them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use anyhow::{Context, Result};
use libbpf_rs::MapCore;

use super::counted::{Counted, ERROR_PERCENT};
use super::{Reading, Span};
use crate::config::summary::{By, Rtt};
use crate::loader::Loaded;
use crate::probe::tcp_probe::copy;
use crate::skel::{Key, TccTraceSkel};
use crate::table::Type::{Float, Text, Unsigned};
use crate::table::Unit::{Count, Microseconds};
use crate::table::summary::{Form, Line, Scale, Shape, Summary};
use crate::table::{Column, Set, Type, Unit, Value};

/// What the command's records are, in one sentence.
pub const DOC: &str =
    "How often which round-trip time was seen, of the samples of `probe`; of one row.";

pub(super) const fn column(
    name: &'static str,
    (ty, unit): (Type, Unit),
    source: &'static str,
    doc: &'static str,
) -> Column {
    Column { name, ty, unit, set: Set::Standard, doc, source, need: None }
}

/// All that a key can have; a row's has what `--by` asked for.
pub static KEY: [Column; 8] = [
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "The connection's identity (--by conn)."),
    column(
        "saddr",
        (Text, Unit::None),
        "sk_rcv_saddr",
        "The local address, or its network if --prefix is given (--by laddr, conn).",
    ),
    column("sport", (Unsigned, Unit::None), "skc_num", "The local port (--by lport, conn)."),
    column(
        "daddr",
        (Text, Unit::None),
        "sk_daddr",
        "The peer's address, or its network if --prefix is given (--by raddr, conn).",
    ),
    column("dport", (Unsigned, Unit::None), "skc_dport", "The peer's port (--by rport, conn)."),
    column(
        "cgroup_id",
        (Unsigned, Unit::None),
        "sk_cgrp_data",
        "The v2 cgroup that the socket was made in (--by cgroup).",
    ),
    column(
        "netns",
        (Unsigned, Unit::None),
        "sock_net(sk)->ns.inum",
        "The network namespace's inode (--by netns).",
    ),
    column(
        "ca_name",
        (Text, Unit::None),
        "icsk_ca_ops->name",
        "The congestion-control algorithm (--by cc).",
    ),
];

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

/// The part of `KEY` that these parts are.
fn parts(by: By) -> &'static [&'static str] {
    match by {
        By::Conn => &["cookie", "saddr", "sport", "daddr", "dport"],
        By::Laddr => &["saddr"],
        By::Raddr => &["daddr"],
        By::Lport => &["sport"],
        By::Rport => &["dport"],
        By::Cgroup => &["cgroup_id"],
        By::Netns => &["netns"],
        By::Cc => &["ca_name"],
    }
}

/// The columns of summaries by that.
#[must_use]
pub fn shape(by: &[By], scale: Scale) -> Shape {
    let wanted = |column: &&Column| by.iter().any(|by| parts(*by).contains(&column.name));
    Shape {
        command: "rtt",
        key: KEY.iter().filter(wanted).collect(),
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
            shape: shape(&options.by, options.scale),
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
            rows.iter().map(|(key, _)| OwnKey::new(key, &self.options)).collect();
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

/// A row's key with its text.
struct OwnKey {
    key: Key,
    saddr: String,
    daddr: String,
    ca_name: String,
}

impl OwnKey {
    fn new(bytes: &[u8], options: &Rtt) -> Self {
        let key: Key = copy(bytes).unwrap_or_default();
        let name: Vec<u8> = key.ca_name.iter().copied().take_while(|&byte| byte != 0).collect();
        OwnKey {
            key,
            saddr: network(key.saddr, options),
            daddr: network(key.daddr, options),
            ca_name: String::from_utf8_lossy(&name).into_owned(),
        }
    }

    fn values(&self, shape: &Shape) -> Vec<Value<'_>> {
        let value = |column: &&Column| match column.name {
            "cookie" => Value::unless(self.key.cookie, 0),
            "saddr" => Value::Str(&self.saddr),
            "sport" => Value::U64(self.key.sport.into()),
            "daddr" => Value::Str(&self.daddr),
            "dport" => Value::U64(self.key.dport.into()),
            "cgroup_id" => Value::unless(self.key.cgroup_id, 0),
            "netns" => Value::unless(self.key.netns.into(), 0),
            "ca_name" => Value::Str(&self.ca_name),
            _ => Value::Null,
        };
        shape.key.iter().map(value).collect()
    }
}

/// `10.0.0.0/24`; a whole address without its length.
fn network(bytes: [u8; 16], options: &Rtt) -> String {
    match Ipv6Addr::from(bytes).to_canonical() {
        IpAddr::V4(ip) if options.prefix < 32 => format!("{ip}/{}", options.prefix),
        IpAddr::V6(ip) if options.prefix6 < 128 => format!("{ip}/{}", options.prefix6),
        ip => ip.to_string(),
    }
}
