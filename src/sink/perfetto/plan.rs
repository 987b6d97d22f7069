//! What a trace shows of each event type.

use super::super::connections::{Identity, find, word};
use crate::decode::Event;
use crate::table::{ColumnSet, Selected};

/// Columns that are drawn as they change.
pub(super) const COUNTERS: [&str; 8] = [
    "snd_cwnd",
    "ssthresh",
    "snd_ssthresh",
    "srtt_us",
    "bytes_in_flight",
    "snd_wnd",
    "delivery_rate",
    "pacing_rate",
];

/// All columns that are read.
#[rustfmt::skip]
pub(super) const READS: &[&str] = &[
    "mono_ns", "cookie", "saddr", "sport", "daddr", "dport",
    "snd_cwnd", "ssthresh", "snd_ssthresh", "srtt_us", "bytes_in_flight", "snd_wnd", "delivery_rate", "pacing_rate",
    "ca_state", "old_ca_state", "new_ca_state", "old_ca_state_us", "bbr.mode",
    "class", "seq", "data_len", "segs", "err", "attempt", "evidence", "undo", "reason", "direction", "flags", "location", "state",
    "side", "phase", "duration_us", "ago_us", "wnd_bytes", "probes",
];

/// Tracks of a connection, by their number in its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Track {
    CaState = 1,
    BbrMode,
    Retransmissions,
    Drops,
    Resets,
    ZeroWindows,
    PeerWindow,
    LocalWindow,
}

impl Track {
    pub fn name(self) -> &'static str {
        match self {
            Track::CaState => "ca_state",
            Track::BbrMode => "bbr.mode",
            Track::Retransmissions => "retransmissions",
            Track::Drops => "drops",
            Track::Resets => "resets",
            Track::ZeroWindows => "zero windows",
            Track::PeerWindow => "zero window of the peer",
            Track::LocalWindow => "local zero window",
        }
    }
}

/// An event type that is a mark: its track, the columns that name the mark, its name without these, and columns that it shows.
struct MarkType {
    event_type: &'static str,
    track: Track,
    name: &'static [&'static str],
    otherwise: &'static str,
    args: &'static [&'static str],
}

#[rustfmt::skip]
const MARKS: &[MarkType] = &[
    MarkType { event_type: "retransmit", track: Track::Retransmissions, name: &["class"], otherwise: "retransmit", args: &["seq", "data_len", "segs", "err"] },
    MarkType { event_type: "synack_retransmit", track: Track::Retransmissions, name: &[], otherwise: "synack", args: &["attempt"] },
    MarkType { event_type: "spurious", track: Track::Retransmissions, name: &[], otherwise: "spurious", args: &["evidence", "undo", "seq", "segs"] },
    MarkType { event_type: "drop", track: Track::Drops, name: &["reason"], otherwise: "drop", args: &["direction", "flags", "seq", "data_len", "location"] },
    MarkType { event_type: "reset_sent", track: Track::Resets, name: &[], otherwise: "reset_sent", args: &["reason", "state"] },
    MarkType { event_type: "reset_received", track: Track::Resets, name: &[], otherwise: "reset_received", args: &["state"] },
    MarkType { event_type: ZERO_WINDOW, track: Track::ZeroWindows, name: &["side", "phase"], otherwise: "", args: &["duration_us", "ago_us", "wnd_bytes", "probes"] },
];
const ZERO_WINDOW: &str = "zero_window";
const CONG_STATE: &str = "cong_state";

/// What is read of an event type.
pub(super) struct Plan {
    pub mono_ns: Selected,
    pub identity: Identity,
    /// With their places in [`COUNTERS`].
    pub counters: Vec<(usize, Selected)>,
    /// The state before the event.
    pub ca_state: Option<Selected>,
    pub change: Option<Change>,
    pub bbr_mode: Option<Selected>,
    pub mark: Option<Mark>,
}

/// A change of the recovery state.
pub(super) struct Change {
    pub old: Selected,
    pub new: Selected,
    pub old_us: Selected,
}

/// The columns of a mark.
pub(super) struct Mark {
    pub track: Track,
    pub name: Vec<Selected>,
    pub otherwise: &'static str,
    pub args: Vec<Selected>,
    /// Of a time that has ended: how long it was, and how long ago.
    pub duration: Option<[Selected; 2]>,
    side: Option<Selected>,
}

impl Plan {
    /// `None` for event types of which nothing is drawn.
    pub fn new(table: &ColumnSet) -> Option<Self> {
        let column = |name: &str| find(table, name);
        let counters = COUNTERS.iter().enumerate();
        let change = || {
            let (old, new) = (column("old_ca_state")?, column("new_ca_state")?);
            Some(Change { old, new, old_us: column("old_ca_state_us")? })
        };
        Some(Plan {
            mono_ns: column("mono_ns")?,
            identity: Identity::new(table)?,
            counters: counters.filter_map(|(at, name)| Some((at, column(name)?))).collect(),
            ca_state: column("ca_state"),
            // `spurious` has both states, too: what an undo changes is in an event of its own.
            change: if table.name == CONG_STATE { change() } else { None },
            bbr_mode: column("bbr.mode"),
            mark: MARKS.iter().find(|mark| mark.event_type == table.name).map(|mark| Mark {
                track: mark.track,
                name: mark.name.iter().filter_map(|name| column(name)).collect(),
                otherwise: mark.otherwise,
                args: mark.args.iter().filter_map(|name| column(name)).collect(),
                duration: column("duration_us").zip(column("ago_us")).map(<[_; 2]>::from),
                side: column("side"),
            }),
        })
    }
}

impl Mark {
    /// The track of the time that it ends.
    pub fn slices(&self, event: &Event<'_>) -> Track {
        match word(event, self.side.as_ref()) {
            Some("local") => Track::LocalWindow,
            _ => Track::PeerWindow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EVENT_TYPES;

    /// A name that no event type has would never be drawn.
    #[test]
    fn every_column_is_of_an_event_type() {
        let has = |event_type: &str, name: &str| {
            let types =
                EVENT_TYPES.iter().filter(|of| event_type.is_empty() || of.name == event_type);
            let mut columns = types.flat_map(|of| (of.columns)());
            columns.any(|column| column.name == name)
        };
        for name in READS {
            assert!(has("", name), "{name}");
        }
        for name in COUNTERS {
            assert!(READS.contains(&name), "{name}");
        }
        for mark in MARKS {
            for name in mark.name.iter().chain(mark.args) {
                assert!(has(mark.event_type, name), "{}: {name}", mark.event_type);
                assert!(READS.contains(name), "{name}");
            }
        }
    }
}
