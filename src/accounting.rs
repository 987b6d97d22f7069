//! Accounting: the number of events by outcome.

use serde::Serialize;

/// Defines a struct whose doc comments are its texts in the schema and the reference, too.
macro_rules! documented {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[doc = $doc:literal])+ pub $field:ident: $ty:ty,)+ }) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $ty,)+
        }

        impl $name {
            /// Name and meaning of every field.
            pub const DOCS: &[(&str, &str)] =
                &[$((stringify!($field), concat!($($doc),+).trim_ascii_start()),)+];
        }
    };
}

documented! {
/// Counters of one event type. `seen` is counted apart from the others, so that the sum is a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Events at the hook: the sum of `emitted`, `aggregated`, `filtered`, `sampled_out`, `rate_limited`, `lost` and
    /// `malformed`.
    pub seen: u64,
    /// Events printed completely.
    pub emitted: u64,
    /// Events counted in a summary.
    pub aggregated: u64,
    /// Events rejected by a filter.
    pub filtered: u64,
    /// Events left out by `--sample`, `--every` or `--on-change`.
    pub sampled_out: u64,
    /// Events left out by `--rate`, `--rate-per-conn` or `--count`.
    pub rate_limited: u64,
    /// Events lost: the buffer was full, the kernel skipped the program, or the output could not be written.
    pub lost: u64,
    /// Records received that are not valid.
    pub malformed: u64,
    /// Part of `lost`: the kernel skipped the program because it interrupted its own run on that CPU. A larger buffer does
    /// not help.
    pub recursion_misses: u64,
    /// Part of `lost`: a filter needs the owner, which was evicted. Raise `--max-conns`.
    pub lost_undecided: u64,
}
}

impl Counts {
    /// The sum that `seen` must equal.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        self.emitted
            + self.aggregated
            + self.filtered
            + self.sampled_out
            + self.rate_limited
            + self.lost
            + self.malformed
    }

    fn add(&mut self, other: &Counts) {
        self.seen += other.seen;
        self.emitted += other.emitted;
        self.aggregated += other.aggregated;
        self.filtered += other.filtered;
        self.sampled_out += other.sampled_out;
        self.rate_limited += other.rate_limited;
        self.lost += other.lost;
        self.malformed += other.malformed;
        self.recursion_misses += other.recursion_misses;
        self.lost_undecided += other.lost_undecided;
    }
}

documented! {
/// Entries evicted from full maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evicted {
    /// Connections: owner, limits, times.
    pub conns: u64,
    /// Listeners and their owners.
    pub listeners: u64,
    /// Calls of accept() in progress.
    pub accepting: u64,
    /// Connections with a closed window, for `zero_window`.
    pub zero_windows: u64,
    /// Connections with retransmissions, for `spurious`.
    pub spurious_states: u64,
    /// Recovery states of connections, for `cong --by`.
    pub ca_state_times: u64,
    /// Handshakes with a retransmitted SYN-ACK, for `handshake_us`. Includes abandoned ones.
    pub synacks: u64,
    /// Packets on their way to the driver, for `queue`. Includes packets dropped on the way.
    pub queued_packets: u64,
    /// Processes of the command that found no room, and are not traced.
    pub processes: u64,
    /// Closed connections whose socket is still open: addresses, ports and totals.
    pub closed_conns: u64,
    /// Listening sockets and their drop counters, for `listen_drop`.
    pub listen_states: u64,
}
}

impl Evicted {
    /// True if an entry was evicted that filters by owner need.
    #[must_use]
    pub fn owners(&self) -> bool {
        self.conns + self.listeners + self.processes > 0
    }

    fn line(&self) -> Option<String> {
        let all = [
            (self.conns, "connections"),
            (self.listeners, "listeners"),
            (self.accepting, "accept() calls"),
            (self.zero_windows, "zero windows"),
            (self.spurious_states, "connections with retransmissions"),
            (self.ca_state_times, "recovery states"),
            (self.synacks, "handshakes"),
            (self.queued_packets, "queued packets"),
            (self.processes, "command processes"),
            (self.closed_conns, "closed connections"),
            (self.listen_states, "listener drop counters"),
        ];
        let some = all.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        let some: Vec<String> = some.collect();
        let what = some.join(", ");
        (!some.is_empty())
            .then(|| format!("note: evicted from full maps (raise --max-conns): {what}"))
    }
}

documented! {
/// Counters of one of several outputs: events, or rows of summaries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutputAccount {
    /// Format.
    pub format: &'static str,
    /// File. Null for standard output.
    pub path: Option<String>,
    /// Why the output ended before the trace. Null if it did not.
    pub error: Option<String>,
    /// Events that reached the output: the sum of `written`, `malformed` and `late_lost`.
    pub received: u64,
    /// Events written completely.
    pub written: u64,
    /// Records received that are not valid.
    pub malformed: u64,
    /// Events not written, as the output had ended.
    pub late_lost: u64,
}
}

impl OutputAccount {
    fn line(&self) -> String {
        let to = self.path.as_deref().unwrap_or("standard output");
        let mut text = format!("{} to {to}: {} received", self.format, self.received);
        let parts = [
            ("written", self.written),
            ("malformed", self.malformed),
            ("late lost", self.late_lost),
        ];
        let shown = parts.iter().filter(|(name, count)| *count > 0 || *name == "written");
        for (i, (name, count)) in shown.enumerate() {
            text += &format!("{}{count} {name}", if i == 0 { " = " } else { " + " });
        }
        text
    }
}

documented! {
/// Accounting of a run, so far or as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    /// Time since the start of the trace.
    pub duration_ns: u64,
    /// Events that arrived too late to be ordered by time. They are printed after newer events.
    pub late: u64,
    /// Entries evicted from full maps (raise `--max-conns`), idle ones first. Values that depend on them are null.
    pub evicted: Evicted,
    /// The counters of each event type.
    pub event_types: Vec<(&'static str, Counts)>,
    /// The counters of each output, if there are several.
    pub outputs: Vec<OutputAccount>,
}
}

impl Accounting {
    /// The sum over all event types.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for (_, counts) in &self.event_types {
            total.add(counts);
        }
        total
    }

    /// What even `--quiet` prints: losses are never hidden.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let total = self.total();
        (total.lost > 0)
            .then(|| format!("warning: {} of {} events were lost", total.lost, total.seen))
    }

    /// Text form: one line per event type, then notes.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let event_types =
            self.event_types.iter().map(|(event_type, counts)| line(event_type, counts));
        let late = (self.late > 0).then(|| {
            format!(
                "note: {} events came too late to be sorted: sort the output by mono_ns",
                self.late
            )
        });
        let undecided = self.total().lost_undecided;
        let undecided = (undecided > 0).then(|| {
            format!(
                "note: {undecided} of the lost events could not be filtered, as the owner of their connection was \
                 evicted: raise --max-conns"
            )
        });
        let outputs = self.outputs.iter().map(OutputAccount::line);
        event_types.chain(outputs).chain(late).chain(undecided).chain(self.evicted.line()).collect()
    }
}

fn line(event_type: &str, counts: &Counts) -> String {
    let parts = [
        ("emitted", counts.emitted),
        ("aggregated", counts.aggregated),
        ("filtered", counts.filtered),
        ("sampled out", counts.sampled_out),
        ("rate limited", counts.rate_limited),
        ("lost", counts.lost),
        ("malformed", counts.malformed),
    ];
    let mut text = format!("{event_type}: {} seen", counts.seen);
    let mut mark = " = ";
    for (name, count) in parts {
        let always = name == "lost" || (name == "emitted" && counts.aggregated == 0);
        if count > 0 || always {
            text += &format!("{mark}{count} {name}");
            mark = " + ";
        }
    }
    if counts.recursion_misses > 0 {
        text += &format!(
            "; {} of the lost are recursion misses (the kernel skipped a nested run)",
            counts.recursion_misses
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_adds_up_and_leaves_out_zeros() {
        let counts = Counts { seen: 10, emitted: 7, filtered: 3, ..Counts::default() };
        assert_eq!(line("probe", &counts), "probe: 10 seen = 7 emitted + 3 filtered + 0 lost");
        assert_eq!(counts.seen, counts.accounted());
        let counts =
            Counts { seen: 2, emitted: 1, lost: 1, recursion_misses: 1, ..Counts::default() };
        assert!(
            line("probe", &counts).starts_with("probe: 2 seen = 1 emitted + 1 lost; 1 of the lost")
        );
        assert_eq!(counts.seen, counts.accounted());
    }

    #[test]
    fn an_output_has_its_own_line() {
        let account = OutputAccount {
            format: "csv",
            path: Some("a.csv".to_owned()),
            received: 9,
            written: 7,
            late_lost: 2,
            ..OutputAccount::default()
        };
        assert_eq!(account.line(), "csv to a.csv: 9 received = 7 written + 2 late lost");
        let account = OutputAccount { format: "text", ..OutputAccount::default() };
        assert_eq!(account.line(), "text to standard output: 0 received = 0 written");
    }
}
