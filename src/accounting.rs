//! Accounting: the number of events by outcome.

use serde::{Deserialize, Serialize};

pub use self::actions::{ActionCounts, AggregateCounts, CountCounts, Counts, total};
pub use self::notice::{LeftOut, Notice, Noticed};
pub use self::own_cost::OwnCost;

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

/// Combines all counters of two of them; the compiler wants each named.
macro_rules! combined {
    ($name:ident: $($field:ident),+) => {
        impl $name {
            /// Each counter as that function of both.
            #[must_use]
            pub fn combine(&self, other: &Self, by: fn(u64, u64) -> u64) -> Self {
                $name { $($field: by(self.$field, other.$field)),+ }
            }
        }
    };
}

mod actions;
mod notice;
mod own_cost;

combined!(Evicted: conns, listeners, accepting, zero_windows, spurious_states, ca_state_times, synacks, queued_packets, processes,
    closed_conns, listen_states, limits_conns);

documented! {
/// Entries evicted from full maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
    /// Connections and the causes of their time, for `limits`.
    pub limits_conns: u64,
}
}

impl Evicted {
    /// True if an entry was evicted that filters by owner need.
    #[must_use]
    pub fn owners(&self) -> bool {
        self.conns + self.listeners + self.processes > 0
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Evicted) {
        *self = self.combine(other, u64::saturating_add);
    }

    /// Each with the name of its field.
    #[must_use]
    pub fn by_name(&self) -> Vec<(&'static str, u64)> {
        let counts = [
            self.conns,
            self.listeners,
            self.accepting,
            self.zero_windows,
            self.spurious_states,
            self.ca_state_times,
            self.synacks,
            self.queued_packets,
            self.processes,
            self.closed_conns,
            self.listen_states,
            self.limits_conns,
        ];
        Self::DOCS.iter().map(|(name, _)| *name).zip(counts).collect()
    }

    /// `4 connections, 1 listeners`; `None` if nothing was.
    fn parts(&self) -> Option<String> {
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
            (self.limits_conns, "accounts of limits"),
        ];
        let some = all.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        let some: Vec<String> = some.collect();
        (!some.is_empty()).then(|| some.join(", "))
    }

    fn line(&self) -> Option<String> {
        let what = self.parts()?;
        Some(format!("note: evicted from full maps (raise --max-conns): {what}"))
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
    /// Events, or rows of summaries, that reached the output: the sum of `written`, `malformed` and `late_lost`.
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
    /// What the trace itself has cost. Absent if recordings are read.
    pub own_cost: Option<OwnCost>,
    /// The counters of each event type whose events were to be printed.
    pub event_types: Vec<(&'static str, Counts)>,
    /// The counters of each event type that a summary is made from.
    pub aggregate: Vec<(&'static str, AggregateCounts)>,
    /// The counters of each event type that was only counted.
    pub count: Vec<(&'static str, CountCounts)>,
    /// The counters of each output, if there are several.
    pub outputs: Vec<OutputAccount>,
}
}

impl Accounting {
    /// What even `--quiet` prints: losses are never hidden.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let (record, aggregate, count) =
            (total(&self.event_types), total(&self.aggregate), total(&self.count));
        let lost = [
            (record.lost, record.seen),
            (aggregate.lost, aggregate.seen),
            (count.lost, count.seen),
        ];
        let (lost, seen) = lost.into_iter().max_by_key(|(lost, _)| *lost)?;
        (lost > 0).then(|| format!("warning: {lost} of {seen} events were lost"))
    }

    /// Text form: for each action one line per event type, then notes.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let (mut lines, mut undecided) = (Vec::new(), 0);
        add_lines(&self.count, &mut lines, &mut undecided);
        add_lines(&self.aggregate, &mut lines, &mut undecided);
        add_lines(&self.event_types, &mut lines, &mut undecided);
        lines.extend(self.outputs.iter().map(OutputAccount::line));
        if self.late > 0 {
            lines.push(format!(
                "note: {} events came too late to be sorted: sort the output by mono_ns",
                self.late
            ));
        }
        if undecided > 0 {
            lines.push(format!(
                "note: {undecided} of the lost events could not be filtered, as the owner of their connection was \
                 evicted: raise --max-conns"
            ));
        }
        lines.extend(self.evicted.line());
        lines
    }
}

/// The lines of an action. All actions have the same undecided events.
fn add_lines<C: ActionCounts>(
    event_types: &[(&'static str, C)],
    lines: &mut Vec<String>,
    undecided: &mut u64,
) {
    lines.extend(event_types.iter().map(|(event_type, counts)| counts.line(event_type)));
    *undecided = total(event_types).lost_parts().1.max(*undecided);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evictions_have_the_names_of_their_fields() {
        let evicted = Evicted { conns: 1, synacks: 2, limits_conns: 3, ..Evicted::default() };
        let json = serde_json::to_value(evicted).unwrap();
        let named = evicted.by_name();
        assert_eq!(named.len(), json.as_object().unwrap().len());
        named.iter().for_each(|(name, count)| assert_eq!(json[name], *count, "{name}"));
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
