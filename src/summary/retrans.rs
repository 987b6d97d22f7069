//! `retrans --by`: retransmitted segments by cause.

use anyhow::Result;

use super::key::{self, OwnKey, column};
use super::sums::{SUMS, SumRow, SumsReader};
use super::{Aggregate, Span};
use crate::config::summary::{Keys, Sums};
use crate::loader::Loaded;
use crate::skel::RetransSum;
use crate::table::Type::Unsigned;
use crate::table::Unit::{self, Count, Segments};
use crate::table::summary::{Form, Line, Summary, SummarySchema, ViewColumn, view};
use crate::table::{Column, Value};

/// For the schema and the reference.
pub const DOC: &str = "Retransmitted segments by cause, one record per key (`retrans --by`).";

#[rustfmt::skip]
pub static COLUMNS: [Column; 10] = [
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "Socket cookie of the connection, of the last one if there were several. Null if the kernel has not generated one."),
    column("events", (Unsigned, Count), "counted", "Retransmissions, each of one or several segments."),
    column("segs", (Unsigned, Segments), "tcp_skb_pcount(skb)", "Segments retransmitted, as counted by RetransSegs: the sum of the columns below."),
    column("other_segs", (Unsigned, Segments), "class of retransmit", "Segments of class `other`."),
    column("fast_segs", (Unsigned, Segments), "class of retransmit", "Segments of class `fast`: in Recovery."),
    column("rto_segs", (Unsigned, Segments), "class of retransmit", "Segments of class `rto`: by the retransmission timer itself."),
    column("slow_start_segs", (Unsigned, Segments), "class of retransmit", "Segments of class `slow_start`: the rest of the queue in Loss."),
    column("tlp_segs", (Unsigned, Segments), "class of retransmit", "Segments of class `tlp`: tail loss probes."),
    column("syn_segs", (Unsigned, Segments), "class of retransmit", "Segments of class `syn`."),
    column("synack_segs", (Unsigned, Segments), "tcp:tcp_retransmit_synack", "SYN-ACKs, sent by a listener before there is a connection."),
];

const VIEW: &[ViewColumn] = &[
    view("EVENTS", "events", 6, 1),
    view("SEGS", "segs", 6, 1),
    view("FAST", "fast_segs", 6, 1),
    view("RTO", "rto_segs", 4, 1),
    view("SLOW", "slow_start_segs", 4, 1),
    view("TLP", "tlp_segs", 3, 1),
    view("SYN", "syn_segs", 3, 1),
    view("SYNACK", "synack_segs", 6, 1),
    view("OTHER", "other_segs", 5, 1),
];

const EVENTS: usize = RetransSum::TCC_SUM_EVENTS.0 as usize;

/// Segments of all classes.
fn segs(row: &SumRow) -> u64 {
    row.n.iter().sum::<u64>() - row.n[EVENTS]
}

/// Sums by key, and what of them was printed.
pub struct Retransmissions {
    keys: Keys,
    shape: SummarySchema,
    table: SumsReader,
    reported: u64,
}

impl Retransmissions {
    #[must_use]
    pub fn new(options: &Sums, intervals: bool) -> Self {
        let by = &options.keys.by;
        Retransmissions {
            keys: options.keys.clone(),
            shape: SummarySchema {
                command: "retrans",
                key: key::columns(by),
                columns: COLUMNS.iter().collect(),
                form: Form::Lines([&key::views(by)[..], VIEW].concat()),
            },
            table: SumsReader::new(options, intervals),
            reported: 0,
        }
    }
}

impl Aggregate for Retransmissions {
    fn print(
        &mut self,
        loaded: &Loaded<'_>,
        span: Span,
        print: &mut dyn FnMut(&Summary<'_>),
    ) -> Result<()> {
        let (mut rows, rest) = self.table.read(&loaded.skel, &|_| Ok(()))?;
        rows.sort_by(|a, b| segs(&b.1).cmp(&segs(&a.1)).then_with(|| a.0.cmp(&b.0)));
        let all = || rows.iter().map(|(_, row)| row).chain([&rest]);
        let events: u64 = all().map(|row| row.n[EVENTS]).sum();
        self.reported += events;
        let title = format!(
            "{events} retransmissions of {} segments in {:.3} s",
            all().map(segs).sum::<u64>(),
            span.interval_ns as f64 / 1e9
        );
        let keys: Vec<OwnKey> = rows.iter().map(|(key, _)| OwnKey::new(key, &self.keys)).collect();
        let mut lines: Vec<Line<'_>> = rows
            .iter()
            .zip(&keys)
            .map(|((_, row), key)| line(Some(key.values(&self.shape)), row))
            .collect();
        if rest.n[EVENTS] > 0 {
            lines.push(line(None, &rest));
        }
        print(&Summary {
            shape: &self.shape,
            time: span.time,
            interval_ns: span.interval_ns,
            title,
            lines,
        });
        Ok(())
    }

    fn events_reported(&self) -> u64 {
        self.reported
    }
}

fn line<'a>(key: Option<Vec<Value<'a>>>, row: &SumRow) -> Line<'a> {
    let mut values = vec![
        row.cookie.map_or(Value::Null, Value::U64),
        Value::U64(row.n[EVENTS]),
        Value::U64(segs(row)),
    ];
    values.extend(row.n[..SUMS - 1].iter().map(|&n| Value::U64(n)));
    Line { key, values, buckets: Vec::new() }
}
