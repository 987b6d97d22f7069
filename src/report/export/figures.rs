//! What the files show: the same numbers as the panels of the page.

use crate::report::compare::Compared;
use crate::report::connection::Connection;
use crate::report::rates;
use crate::report::stats::percentile;

/// Numbers over time, or over another number.
pub struct Table {
    /// Part of the file's name; empty if it is the only one.
    pub name: String,
    /// Title of the first column.
    pub x_name: &'static str,
    pub x: Vec<f64>,
    pub columns: Vec<(String, Vec<Option<f64>>)>,
    /// Rows before which data is missing.
    pub gaps: Vec<usize>,
}

/// A mark at a time.
pub struct Mark {
    pub x: f64,
    pub y: f64,
    pub class: &'static str,
}

/// One picture.
pub struct Figure {
    pub name: &'static str,
    pub x_title: &'static str,
    pub y_title: &'static str,
    pub tables: Vec<Table>,
    pub marks: Vec<Mark>,
    /// A number holds since the one before.
    pub stepped: bool,
}

/// A column of the samples, in another unit.
fn scaled(connection: &Connection, name: &str, factor: f64) -> Vec<Option<f64>> {
    let samples = &connection.samples;
    let column = samples.column(name);
    (0..samples.len()).map(|row| column.get(row).map(|value| value as f64 * factor)).collect()
}

fn combined(
    one: &[Option<f64>],
    other: &[Option<f64>],
    of: impl Fn(f64, f64) -> f64,
) -> Vec<Option<f64>> {
    one.iter().zip(other).map(|(one, other)| Some(of((*one)?, (*other)?))).collect()
}

/// Seconds since a time.
fn seconds(connection: &Connection, origin_ns: u64) -> Vec<f64> {
    let since = |ns: &u64| ns.cast_signed().wrapping_sub(origin_ns.cast_signed()) as f64 / 1e9;
    connection.samples.time_ns.iter().map(since).collect()
}

fn table(
    connection: &Connection,
    name: String,
    origin_ns: u64,
    columns: Vec<(&str, Vec<Option<f64>>)>,
) -> Table {
    let has_values = |(_, values): &(&str, Vec<Option<f64>>)| values.iter().any(Option::is_some);
    let columns = columns.into_iter().filter(has_values);
    Table {
        name,
        x_name: "time_s",
        x: seconds(connection, origin_ns),
        columns: columns.map(|(name, values)| (name.to_owned(), values)).collect(),
        gaps: connection.gaps.iter().map(|gap| gap.row).collect(),
    }
}

/// The panels of a connection.
#[must_use]
pub fn of_connection(connection: &Connection) -> Vec<Figure> {
    let of = |name: &str, factor: f64| scaled(connection, name, factor);
    let origin_ns = connection.start_ns();
    let figure = |name, y_title, columns, stepped| Figure {
        name,
        x_title: "time (s)",
        y_title,
        tables: vec![table(connection, String::new(), origin_ns, columns)],
        marks: Vec::new(),
        stepped,
    };
    let (mss, window) = (of("mss", 1.0), of("snd_wnd", 1.0));
    let (srtt, mdev) = (of("srtt_us", 1e-3), of("mdev_us", 1e-3));
    let delivered = rates::mean(connection, &rates::delivered(connection));
    let delivered = delivered.into_iter().map(|rate| rate.map(|rate| rate / 1e6)).collect();
    let flight = of("bytes_in_flight", 1e-3);
    let mut sequence = figure(
        "sequence",
        "kB beyond snd_una",
        vec![
            ("sent", flight.clone()),
            ("window", of("snd_wnd", 1e-3)),
            ("acknowledged", vec![Some(0.0); connection.samples.len()]),
        ],
        true,
    );
    sequence.marks = marks(connection);
    let all = vec![
        figure(
            "cwnd",
            "segments",
            vec![
                ("cwnd", of("snd_cwnd", 1.0)),
                ("ssthresh", of("ssthresh", 1.0)),
                ("in_flight", of("packets_in_flight", 1.0)),
                ("peer_window", combined(&window, &mss, |window, mss| window / mss.max(1.0))),
            ],
            true,
        ),
        figure(
            "rtt",
            "ms",
            vec![
                ("srtt", srtt.clone()),
                ("min_rtt", of("min_rtt_us", 1e-3)),
                ("srtt_minus_mdev", combined(&srtt, &mdev, |srtt, mdev| (srtt - mdev).max(0.0))),
                ("srtt_plus_mdev", combined(&srtt, &mdev, |srtt, mdev| srtt + mdev)),
            ],
            true,
        ),
        figure(
            "rates",
            "Mbit/s",
            vec![
                ("delivered", delivered),
                ("delivery_rate", of("delivery_rate", 8e-6)),
                ("pacing_rate", of("pacing_rate", 8e-6)),
                ("bbr_bw", of("bbr.bw", 8e-6)),
            ],
            true,
        ),
        sequence,
        figure(
            "queues",
            "kB",
            vec![
                ("unacknowledged", flight),
                ("unsent", of("notsent_bytes", 1e-3)),
                ("qdisc_and_driver", of("wmem_alloc", 1e-3)),
            ],
            true,
        ),
    ];
    all.into_iter().filter(|figure| figure.tables.iter().any(|t| !t.columns.is_empty())).collect()
}

/// Losses and retransmissions, where they stand in the sequence panel.
fn marks(connection: &Connection) -> Vec<Mark> {
    let samples = &connection.samples;
    let una = samples.column("snd_una");
    let start_ns = connection.start_ns();
    let mark = |event: &crate::report::connection::Event| {
        let shown =
            event.mark.is_retransmission() || event.mark == crate::report::connection::Mark::Drop;
        let offset = event.offset.filter(|_| shown)?;
        // The state at a packet is that of the next sample.
        let row = samples.time_ns.partition_point(|ns| *ns < event.time_ns);
        let una = una.get(row.min(samples.len().checked_sub(1)?))?;
        let time = event.time_ns.cast_signed().wrapping_sub(start_ns.cast_signed());
        let y = (offset - i64::try_from(una).ok()?) as f64 / 1e3;
        let class = crate::report::connection::MARKS[event.mark.number()].1;
        Some(Mark { x: time as f64 / 1e9, y, class })
    };
    connection.events.iter().filter_map(mark).collect()
}

/// The overlays of a comparison, and the distribution of RTTs.
#[must_use]
pub fn of_comparison(all: &[Compared<'_>]) -> Vec<Figure> {
    let file = |label: &str| -> String {
        label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    };
    let overlay = |name, y_title, values: &dyn Fn(&Connection) -> Vec<Option<f64>>| {
        let mut tables = Vec::new();
        for (run, one) in all.iter().enumerate() {
            for (at, flow) in one.flows.iter().enumerate() {
                let name = format!("{}-{}-{}", run + 1, file(&one.label), at + 1);
                let columns = vec![(one.label.as_str(), values(flow.connection))];
                tables.push(table(flow.connection, name, one.origin_ns, columns));
            }
        }
        Figure { name, x_title: "time (s)", y_title, tables, marks: Vec::new(), stepped: true }
    };
    let delivered = |connection: &Connection| {
        let rates = rates::mean(connection, &rates::delivered(connection));
        rates.into_iter().map(|rate| rate.map(|rate| rate / 1e6)).collect()
    };
    let cdf = |(run, one): (usize, &Compared<'_>)| {
        let shares: Vec<f64> = (0..=1000).map(|part| f64::from(part) / 1000.0).collect();
        let rank = |share: &f64| percentile(&one.score.rtts, *share).map(|us| us as f64 / 1e3);
        Table {
            name: format!("{}-{}", run + 1, file(&one.label)),
            x_name: "rtt_ms",
            x: shares.iter().map(|share| rank(share).unwrap_or_default()).collect(),
            columns: vec![(one.label.clone(), shares.iter().copied().map(Some).collect())],
            gaps: Vec::new(),
        }
    };
    vec![
        overlay("delivered", "Mbit/s", &delivered),
        overlay("rtt", "ms", &|connection| scaled(connection, "srtt_us", 1e-3)),
        overlay("in-flight", "segments", &|connection| {
            scaled(connection, "packets_in_flight", 1.0)
        }),
        Figure {
            name: "rtt-cdf",
            x_title: "RTT (ms)",
            y_title: "share of samples",
            tables: all.iter().enumerate().map(cdf).collect(),
            marks: Vec::new(),
            stepped: false,
        },
    ]
}
