//! Rows of summaries without what identifies hosts and people. What a value is, the name of its column shows.

use std::net::IpAddr;

use super::Anonymizer;
use crate::table::summary::{Line, Summary};
use crate::table::{Column, Value};

/// All values of a row, with their columns.
fn cells<'s, 'a>(
    summary: &'s Summary<'a>,
    line: &'s Line<'a>,
) -> impl Iterator<Item = (&'static Column, Value<'a>)> + use<'s, 'a> {
    let key = summary.shape.key.iter().zip(line.key.iter().flatten());
    let columns = summary.shape.columns.iter().zip(&line.values);
    key.chain(columns).map(|(column, value)| (*column, *value))
}

fn is_address(column: &Column) -> bool {
    ["saddr", "daddr"].contains(&column.name)
}

impl Anonymizer {
    /// Passes on a summary with other addresses and without names. Its rows stay in their order.
    pub fn summary(&mut self, summary: &Summary<'_>, pass: impl FnOnce(&Summary<'_>)) {
        // Networks are texts, which have to live as long as the rows.
        let networks: Vec<Vec<Option<String>>> = summary
            .lines
            .iter()
            .map(|line| cells(summary, line).map(|(of, value)| self.network(of, value)).collect())
            .collect();
        let mut lines = Vec::with_capacity(summary.lines.len());
        for (line, networks) in summary.lines.iter().zip(&networks) {
            let hidden = cells(summary, line).zip(networks).map(|((column, value), network)| {
                network.as_deref().map_or_else(|| self.value(column, value), Value::Str)
            });
            let mut key: Vec<Value<'_>> = hidden.collect();
            let values = key.split_off(line.key.as_ref().map_or(0, Vec::len).min(key.len()));
            let key = line.key.as_ref().map(|_| key);
            lines.push(Line { key, values, buckets: line.buckets.clone() });
        }
        pass(&Summary {
            shape: summary.shape,
            time: summary.time,
            interval_ns: summary.interval_ns,
            title: summary.title.clone(),
            lines,
        });
    }

    /// `10.0.0.0/8`: prefixes stay prefixes. What follows them does not belong to the network, and is cleared again.
    fn network(&mut self, column: &Column, value: Value<'_>) -> Option<String> {
        let Value::Str(text) = value else { return None };
        let (address, bits) = text.split_once('/').filter(|_| is_address(column))?;
        let (address, bits): (IpAddr, u32) = (address.parse().ok()?, bits.parse().ok()?);
        Some(match self.address(address) {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or(0);
                format!("{}/{bits}", std::net::Ipv4Addr::from(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?).unwrap_or(0);
                format!("{}/{bits}", std::net::Ipv6Addr::from(address.to_bits() & mask))
            }
        })
    }

    fn value<'a>(&mut self, column: &Column, value: Value<'a>) -> Value<'a> {
        match (column.name, value) {
            (_, Value::Ip(address)) => Value::Ip(self.address(address)),
            // A network that cannot be read.
            (_, Value::Str(_)) if is_address(column) => Value::Null,
            ("sport" | "dport", Value::U64(port)) => Value::U64(self.port(port)),
            ("comm", Value::Name(_)) => Value::Name(b""),
            ("cgroup_id", _) => Value::Null,
            (_, value) => value,
        }
    }

    pub(super) fn port(&self, port: u64) -> u64 {
        let Some(ports) = &self.ports else { return port };
        let permuted = usize::try_from(port).ok().and_then(|port| ports.get(port));
        permuted.copied().unwrap_or(0).into()
    }
}
