//! The books: what became of every event that the kernel hook saw.

use serde::Serialize;

/// Of one event type. `seen` is counted apart from the rest, so that the sum proves something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The hook fired (where the kernel skipped the program because it was running already, too).
    pub seen: u64,
    /// Printed.
    pub emitted: u64,
    /// Counted in a summary.
    pub aggregated: u64,
    /// Not asked for.
    pub filtered: u64,
    /// Left out by `--sample`, `--every` or `--on-change`.
    pub sampled_out: u64,
    /// Over `--rate`, `--rate-per-conn` or `--count`.
    pub rate_limited: u64,
    /// The buffer was full, or the kernel skipped the program.
    pub lost: u64,
    /// Arrived and made no sense.
    pub malformed: u64,
    /// Of the lost: the kernel skipped the program, as it interrupted its own run on that CPU. No buffer mends that.
    pub recursion_misses: u64,
    /// Of the lost: whether a filter wants it could not be decided, as there was no room for its owner.
    pub lost_undecided: u64,
}

impl Counts {
    /// What `seen` must equal.
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

/// What was remembered between events and had to go, idle ones first, as there was no more room: after it, what would have
/// come from it is unknown (null). Of connections by `--max-conns`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evicted {
    /// Connections: owner, limits, times.
    pub conns: u64,
    /// Listeners and whose they are.
    pub listeners: u64,
    /// Threads in accept().
    pub accepting: u64,
    /// Connections with a window that is closed.
    pub zero_windows: u64,
    /// Connections with something sent again, for `spurious`.
    pub spurious_states: u64,
    /// Connections' recovery states, for `cong --by`.
    pub ca_state_times: u64,
    /// Handshakes whose SYN-ACK was sent again, for `handshake_us`; also those that nobody went on with.
    pub synacks: u64,
    /// Packets on their way to the driver, for `queue`; also those that were dropped there.
    pub queued_packets: u64,
    /// Processes of the command, for which there never was room: they are not traced.
    pub processes: u64,
    /// Closed connections whose socket a process still holds: their ends and totals.
    pub closed_conns: u64,
    /// Listening sockets and their drops, for `listen_drop`.
    pub listen_states: u64,
}

impl Evicted {
    /// Was something evicted that a filter by the owner goes by?
    #[must_use]
    pub fn owners(&self) -> bool {
        self.conns + self.listeners + self.processes > 0
    }

    fn line(&self) -> Option<String> {
        let all = [
            (self.conns, "connections"),
            (self.listeners, "listeners"),
            (self.accepting, "calls of accept()"),
            (self.zero_windows, "closed windows"),
            (self.spurious_states, "connections with retransmissions"),
            (self.ca_state_times, "recovery states"),
            (self.synacks, "handshakes"),
            (self.queued_packets, "packets in queues"),
            (self.processes, "processes of the command"),
            (self.closed_conns, "closed connections"),
            (self.listen_states, "counts of listeners' drops"),
        ];
        let some = all.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        let some: Vec<String> = some.collect();
        let what = some.join(", ");
        (!some.is_empty())
            .then(|| format!("note: evicted for want of room (see --max-conns): {what}"))
    }
}

/// Of a run, so far or in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    pub duration_ns: u64,
    /// Events that came too late to be put in the order of time: they stand behind younger ones.
    pub late: u64,
    pub evicted: Evicted,
    /// EventType and counts.
    pub event_types: Vec<(&'static str, Counts)>,
}

impl Accounting {
    /// All event types together.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for (_, counts) in &self.event_types {
            total.add(counts);
        }
        total
    }

    /// For people, one line an event type.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let event_types =
            self.event_types.iter().map(|(event_type, counts)| line(event_type, counts));
        let late = (self.late > 0).then(|| {
            format!("note: {} events came late and stand behind younger ones (mono_ns)", self.late)
        });
        let undecided = self.total().lost_undecided;
        let undecided = (undecided > 0).then(|| {
            format!(
                "note: {undecided} of the lost are events of which it could not be decided whether they are wanted: \
                 who owns their connections was evicted; raise --max-conns"
            )
        });
        event_types.chain(late).chain(undecided).chain(self.evicted.line()).collect()
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
            "; {} of the lost were nested runs, which the kernel skips",
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
}
