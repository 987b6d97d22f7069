//! `cong --by`: time of connections in each recovery state.

use super::key::{KEY, column};
use crate::skel::CongSum;
use crate::table::Column;
use crate::table::Type::Unsigned;
use crate::table::Unit::{self, Count, Microseconds as Us};
use crate::table::summary::SumValue::{Cookie, Microseconds, Sum};
use crate::table::summary::{
    AggregateSource, AggregateType, SumValue, SumsLayout, ViewColumn, view,
};

/// Time in each state by its number, then events.
const CHANGES: usize = CongSum::TCC_SUM_CHANGES.0 as usize;

pub static AGGREGATE: AggregateType = AggregateType {
    command: "cong",
    doc: "Time in each recovery state, one record per key (`cong --by`).",
    key: &KEY,
    columns: &COLUMNS,
    source: AggregateSource::Sums(LAYOUT_OF_ROWS),
};

/// The sums of a row.
pub static LAYOUT: SumsLayout = LAYOUT_OF_ROWS;

const LAYOUT_OF_ROWS: SumsLayout = SumsLayout {
    values: &VALUES,
    view: VIEW,
    events: CHANGES,
    // In other states than Open.
    weight: 1..CHANGES,
    state_times: true,
    title: |changes, _| format!("{changes} state changes"),
};

#[rustfmt::skip]
pub static COLUMNS: [Column; 8] = [
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "Socket cookie of the connection, of the last one if there were several. Null if the kernel has not generated one."),
    column("open_us", (Unsigned, Us), "between tcp:tcp_cong_state_set", "Time in Open, from the start of the connection, if that was observed."),
    column("disorder_us", (Unsigned, Us), "between tcp:tcp_cong_state_set", "Time in Disorder."),
    column("cwr_us", (Unsigned, Us), "between tcp:tcp_cong_state_set", "Time in CWR."),
    column("recovery_us", (Unsigned, Us), "between tcp:tcp_cong_state_set", "Time in Recovery."),
    column("loss_us", (Unsigned, Us), "between tcp:tcp_cong_state_set", "Time in Loss."),
    column("changes", (Unsigned, Count), "counted", "State changes."),
    column("unknown", (Unsigned, Count), "counted", "Changes from a state whose start was not observed, and whose time is in no column."),
];

const VIEW: &[ViewColumn] = &[
    view("OPEN_MS", "open_us", 7, 1000),
    view("DOD_MS", "disorder_us", 6, 1000),
    view("CWR_MS", "cwr_us", 6, 1000),
    view("RCOV_MS", "recovery_us", 7, 1000),
    view("LOSS_MS", "loss_us", 7, 1000),
    view("CHGS", "changes", 4, 1),
    view("UNKN", "unknown", 4, 1),
];

static VALUES: [SumValue; COLUMNS.len()] = [
    Cookie,
    Microseconds(0),
    Microseconds(1),
    Microseconds(2),
    Microseconds(3),
    Microseconds(4),
    Sum(CHANGES),
    Sum(CongSum::TCC_SUM_UNKNOWN.0 as usize),
];
