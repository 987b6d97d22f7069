//! Events in words: what the page's table and the marks show.

use super::connection::{Connection, Event as Shown, Mark};
use super::fields::Fields;
use super::number;
use crate::decode::Event;
use crate::table::Value;

/// An event without its time.
pub struct Described(Shown);

impl Described {
    #[must_use]
    pub fn at(self, time_ns: u64) -> Shown {
        Shown { time_ns, ..self.0 }
    }
}

/// An event and its fields.
struct Source<'a, 'e> {
    event: &'a Event<'e>,
    fields: &'a Fields,
}

impl<'a> Source<'a, '_> {
    fn word(&self, name: &str) -> &'a str {
        self.fields.word(self.event, name).unwrap_or("unknown")
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.fields.number(self.event, name)
    }

    fn is(&self, name: &str) -> bool {
        self.fields.value(self.event, name) == Value::Bool(true)
    }

    fn time(&self, name: &str) -> Option<String> {
        Some(number::time_us(self.number(name)? as f64))
    }

    /// `cwnd 53, in flight 31, Recovery`
    fn state(&self) -> Vec<String> {
        let mut parts = Vec::new();
        parts.extend(self.number("snd_cwnd").map(|cwnd| format!("cwnd {cwnd}")));
        parts.extend(self.number("packets_in_flight").map(|n| format!("{n} in flight")));
        parts.extend(self.fields.word(self.event, "ca_state").map(str::to_owned));
        parts
    }

    /// Where the code lies that dropped a packet.
    fn location(&self) -> Option<String> {
        let Value::Code(address, symbols) = self.fields.value(self.event, "location") else {
            return None;
        };
        let text = symbols.shown(address)?;
        let name = text.split('+').next().unwrap_or_default();
        Some(format!("in {name}()"))
    }
}

/// What an event of a connection shows.
#[must_use]
pub fn describe(event: &Event<'_>, fields: &Fields, connection: &Connection) -> Described {
    let source = Source { event, fields };
    let offset = source.number("seq").and_then(|seq| connection.samples.offset(seq as u32));
    let segs = source.number("segs").unwrap_or(1);
    let len = source.number("data_len");
    let (mark, title, class, mut parts) = match event.event_type().name {
        "retransmit" => retransmit(&source),
        "drop" => drop(&source, connection),
        "spurious" => spurious(&source),
        "cong_state" => cong_state(&source),
        "zero_window" => zero_window(&source),
        "state" => state(&source),
        "reset_sent" | "reset_received" => reset(&source),
        name => other(&source, name),
    };
    // The sequence numbers of packets from the peer are its own.
    let offset = offset.filter(|_| !matches!(mark, Mark::AckDrop | Mark::DropIn));
    if let (Some(len), Some(offset)) = (len.filter(|len| *len > 0), offset) {
        let position = if offset < 0 {
            format!("-{}", number::count(offset.unsigned_abs()))
        } else {
            number::count(offset.unsigned_abs())
        };
        parts.insert(0, format!("{}\u{202f}B at {position}", number::count(len)));
    }
    Described(Shown {
        time_ns: 0,
        mark,
        title,
        detail: parts.join(", "),
        offset,
        len,
        segs,
        class,
        partner: None,
    })
}

type Parts = (Mark, String, String, Vec<String>);

fn retransmit(source: &Source<'_, '_>) -> Parts {
    let class = source.word("class");
    let (mark, title) = match class {
        "fast" => (Mark::RetransmitFast, "fast retransmission"),
        "slow_start" => (Mark::RetransmitLoss, "retransmission in Loss"),
        "rto" => (Mark::RetransmitTimeout, "timeout"),
        "tlp" => (Mark::RetransmitProbe, "loss probe"),
        "syn" => (Mark::RetransmitOther, "SYN retransmission"),
        _ => (Mark::RetransmitOther, "retransmission"),
    };
    let mut parts = Vec::new();
    match source.number("segs") {
        Some(segs) if segs > 1 => parts.push(format!("{segs} segments")),
        _ => {}
    }
    parts.extend(source.state());
    if let Value::I64(err) = source.fields.value(source.event, "err")
        && err < 0
    {
        parts.push(format!("not sent: error {err}"));
    }
    (mark, title.into(), class.into(), parts)
}

fn drop(source: &Source<'_, '_>, connection: &Connection) -> Parts {
    let reason = source.word("reason");
    let has_data = source.number("data_len").is_some_and(|len| len > 0);
    let ends = source.fields.ends(source.event);
    let is_out = source.word("direction") == "out";
    let sender = ends.map(|ends| if is_out { ends.local } else { ends.peer });
    let is_own = connection.ends.is_some_and(|ends| sender == Some(ends.local));
    let (mark, title) = match (is_own, has_data) {
        (true, _) => (Mark::Drop, format!("drop, {reason}")),
        (false, false) => (Mark::AckDrop, format!("ACK drop, {reason}")),
        (false, true) => (Mark::DropIn, format!("incoming drop, {reason}")),
    };
    let mut parts = Vec::new();
    match source.fields.word(source.event, "flags") {
        Some(flags) if !has_data || flags.contains("SYN") || flags.contains("RST") => {
            parts.push(flags.to_owned());
        }
        _ => {}
    }
    parts.extend(source.location());
    (mark, title, reason.into(), parts)
}

fn spurious(source: &Source<'_, '_>) -> Parts {
    let evidence = source.word("evidence");
    let mut parts = Vec::new();
    match evidence {
        "dsack" => parts.push("the peer had the data already (DSACK)".to_owned()),
        _ => parts.push(format!("the window reduction is undone ({})", source.word("undo"))),
    }
    parts.extend(source.number("segs").map(|segs| number::plural(segs, "segment")));
    parts.extend(source.state());
    (Mark::Spurious, "spurious retransmission".into(), evidence.into(), parts)
}

fn cong_state(source: &Source<'_, '_>) -> Parts {
    let (old, new) = (source.word("old_ca_state"), source.word("new_ca_state"));
    let mut parts = Vec::new();
    parts.extend(source.time("old_ca_state_us").map(|time| format!("after {time}")));
    parts.extend(source.number("snd_cwnd").map(|cwnd| format!("cwnd {cwnd}")));
    parts.extend(source.number("snd_ssthresh").map(|ssthresh| format!("ssthresh {ssthresh}")));
    (Mark::CaState, format!("{old} → {new}"), new.into(), parts)
}

fn zero_window(source: &Source<'_, '_>) -> Parts {
    let (side, phase) = (source.word("side"), source.word("phase"));
    let owner = if side == "peer" { "peer's window" } else { "own window" };
    let title = match phase {
        "begin" => format!("{owner} closes"),
        _ if source.is("closed") => format!("{owner} stays closed to the end"),
        _ => format!("{owner} opens"),
    };
    let mut parts = Vec::new();
    parts.extend(source.time("duration_us").map(|time| format!("after {time}")));
    let probes = source.number("probes").filter(|probes| *probes > 0);
    parts.extend(probes.map(|probes| number::plural(probes, "probe")));
    let unsent = source.number("notsent_bytes").filter(|bytes| *bytes > 0);
    parts.extend(unsent.map(|unsent| format!("{} unsent", number::bytes(unsent))));
    (Mark::ZeroWindow, title, format!("{side} {phase}"), parts)
}

fn state(source: &Source<'_, '_>) -> Parts {
    let (old, new) = (source.word("old_state"), source.word("new_state"));
    let parts = source.time("old_state_us").map(|time| format!("after {time}"));
    (Mark::State, format!("{old} → {new}"), new.into(), parts.into_iter().collect())
}

fn reset(source: &Source<'_, '_>) -> Parts {
    let name = source.event.event_type().name;
    let title = if name == "reset_sent" { "RST sent" } else { "RST received" };
    let mut parts = Vec::new();
    parts.extend(source.fields.word(source.event, "reason").map(str::to_owned));
    let state = source.fields.word(source.event, "sk_state");
    parts.extend(state.map(|state| format!("in {state}")));
    (Mark::Reset, title.into(), name.into(), parts)
}

/// `connect`, `accept`, `life` and others.
fn other(source: &Source<'_, '_>, name: &'static str) -> Parts {
    let mut parts = Vec::new();
    for field in ["outcome", "error"] {
        parts.extend(source.fields.word(source.event, field).map(str::to_owned));
    }
    for field in ["latency_us", "handshake_us", "duration_us"] {
        let shown = field.trim_end_matches("_us");
        parts.extend(source.time(field).map(|time| format!("{shown} {time}")));
    }
    (Mark::Other, name.replace('_', " "), name.into(), parts)
}
