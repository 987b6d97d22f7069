//! The two ends of a connection: recordings of both on one time line, and where the time of its data went.

mod delay;
pub mod nat;
mod observed;
pub mod offset;

use std::collections::HashMap;

use anyhow::{Result, bail};

pub use self::delay::{Delay, PARTS};
use self::nat::Translation;
use self::observed::{Arrivals, Sent};
use self::offset::{Bounds, Offset};
use super::connection::{Connection, Ends};
use super::number;
use super::run::Run;

/// What is known of two recordings' clocks.
#[derive(Clone, Debug)]
pub struct TwoEnds {
    /// The other recording, its host and kernel.
    pub file: String,
    pub host: String,
    pub kernel: String,
    /// How far its clock is ahead, as its data shows.
    pub offset: Offset,
    /// Both are of one boot, so they have one clock.
    pub same_clock: bool,
    /// Connections that are in both.
    pub pairs: usize,
    /// Events that it lost, and all of them.
    pub lost: (u64, u64),
}

impl TwoEnds {
    /// What is to be taken from its times.
    fn shift(&self) -> Offset {
        if self.same_clock { Offset::default() } else { self.offset }
    }

    /// How the clocks differ, in a few words.
    #[must_use]
    pub fn clock(&self) -> String {
        let Offset { ns, half_width_ns, .. } = self.offset;
        let (ahead, half) = (ns as f64 / 1000.0, half_width_ns as f64 / 1000.0);
        let found = format!("{} ± {}", number::signed_time_us(ahead), number::time_us(half));
        match self.same_clock {
            true => format!("one clock (by data: {found})"),
            false => format!("its clock {found}"),
        }
    }

    /// In sentences.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let Offset { ns, half_width_ns, drift_ppb, matches, .. } = self.offset;
        let mut notes = vec![format!(
            "The other end: {}, host {}, Linux {}; {} in both recordings",
            self.file,
            self.host,
            self.kernel,
            number::plural(self.pairs as u64, "connection")
        )];
        let drift = match drift_ppb {
            0 => String::new(),
            ppb => format!(", and gains {:+.1}\u{202f}µs a second", ppb as f64 / 1000.0),
        };
        notes.push(format!(
            "Its clock is {} ± {} ahead{drift}, by {} that both ends saw: data arrives after it was sent, and ACKs after the data",
            number::signed_time_us(ns as f64 / 1000.0),
            number::time_us(half_width_ns as f64 / 1000.0),
            number::plural(matches, "packet")
        ));
        if self.same_clock {
            notes.push("Both recordings are of one boot, so they have one clock: times are used as they are".into());
        }
        let (lost, seen) = self.lost;
        if lost > 0 {
            notes.push(format!(
                "The other end's recording lost {} of {} events",
                number::count(lost),
                number::count(seen)
            ));
        }
        notes
    }
}

/// Puts the connections of another recording on the time line of the first, as other ends of its connections. Their addresses may
/// be translated on the way.
pub fn join(run: &mut Run, other: Run, nat: &[Translation]) -> Result<()> {
    let same_clock = !run.boot_id.is_empty() && run.boot_id == other.boot_id;
    let connections = &mut run.collected.connections;
    // Another recording of the same sockets would be a second truth.
    let known: Vec<u64> = connections.iter().filter_map(|one| one.cookie).collect();
    let is_new =
        |one: &Connection| !same_clock || one.cookie.is_none_or(|cookie| !known.contains(&cookie));
    let (file, host, kernel, lost) =
        (other.file.clone(), other.host.clone(), other.kernel.clone(), other.lost());
    let mut theirs: Vec<Connection> =
        other.collected.connections.into_iter().filter(is_new).collect();
    let pairs = pair(connections, &theirs, nat);
    if pairs.is_empty() && nat.is_empty() {
        bail!(
            "--ends: no connection is in both recordings; its ends in one must be those in the other, the other way round. If addresses \
             are translated between them (NAT), name them as the second recording and the first one have them: \
             --nat 198.51.100.7=10.0.0.2"
        );
    }
    if pairs.is_empty() {
        bail!(
            "--ends: no connection is in both recordings, with the addresses of --nat: THERE is an address of the second recording, HERE \
             the same one in the first, and `rcv_nxt` is needed where ports are not given"
        );
    }
    let mut bounds = Bounds::default();
    for (own, their) in &pairs {
        bounds.add(&connections[*own], &theirs[*their]);
    }
    let Some(offset) = bounds.offset() else {
        bail!(
            "--ends: the recordings do not show by how much their clocks differ: it needs `rcv_nxt`, `segs_in` and the standard fields of \
             samples at both ends while data is acknowledged, and clocks that run evenly"
        );
    };
    let two_ends = TwoEnds { file, host, kernel, offset, same_clock, pairs: pairs.len(), lost };
    let shift = two_ends.shift();
    theirs.iter_mut().for_each(|connection| shifted(connection, shift));
    let first = connections.len();
    connections.extend(theirs.into_iter().map(|theirs| Connection { other_end: None, ..theirs }));
    for (own, their) in pairs {
        connections[own].other_end = Some(first + their);
        connections[first + their].other_end = Some(own);
    }
    let half_width_ns = if same_clock { 0 } else { offset.half_width_ns };
    delays(connections, half_width_ns);
    run.two_ends = Some(two_ends);
    Ok(())
}

/// Connections whose other end is in the recording, too: their clock is the same.
pub fn within(connections: &mut [Connection]) {
    delays(connections, 0);
}

fn delays(connections: &mut [Connection], half_width_ns: u64) {
    for at in 0..connections.len() {
        let Some(other) = connections[at].other_end else { continue };
        let delay = delay::of(&connections[at], &connections[other], half_width_ns);
        if let Some((delay, columns)) = delay {
            delay::set(&mut connections[at], &columns);
            connections[at].delay = Some(delay);
        }
    }
}

/// Each connection of the one list, and that of the other list which has most in common with it.
fn pair(own: &[Connection], theirs: &[Connection], nat: &[Translation]) -> Vec<(usize, usize)> {
    let mut by_ends: HashMap<Ends, Vec<usize>> = HashMap::new();
    for (at, connection) in theirs.iter().enumerate() {
        let ends = connection.ends.map(|ends| nat::as_here(ends, nat));
        ends.into_iter().for_each(|ends| by_ends.entry(ends).or_default().push(at));
    }
    let mut taken = vec![false; theirs.len()];
    let mut pairs = Vec::new();
    for (at, connection) in own.iter().enumerate() {
        let Some(ends) = connection.ends else { continue };
        let common = |their: usize| {
            let mut bounds = Bounds::default();
            bounds.add(connection, &theirs[their]);
            bounds.matches()
        };
        let [exact, without_port @ ..] = nat::keys(ends.mirrored());
        let of = |ends: &Ends| by_ends.get(ends).into_iter().flatten().copied();
        let free = of(&exact).filter(|their| !taken[*their]);
        // The same ports may be used again: sequence numbers tell.
        let found = free.max_by_key(|their| common(*their)).or_else(|| {
            // Where ports are not known, sequence numbers alone do.
            let free = without_port.iter().flat_map(of).filter(|their| !taken[*their]);
            let near = free.filter(|their| observed::is_near(connection, &theirs[*their]));
            let counted =
                near.map(|their| (common(their), their)).filter(|(common, _)| *common > 0);
            counted.max().map(|(_, their)| their)
        });
        if let Some(their) = found {
            taken[their] = true;
            pairs.push((at, their));
        }
    }
    pairs
}

fn shifted(connection: &mut Connection, offset: Offset) {
    let shift = |ns: &mut u64| *ns = offset.to_first(*ns);
    connection.samples.time_ns.iter_mut().for_each(shift);
    connection.events.iter_mut().for_each(|event| shift(&mut event.time_ns));
    connection.reads_ns.iter_mut().for_each(shift);
    connection.queued.iter_mut().for_each(|queued| shift(&mut queued.time_ns));
    for segment in &mut connection.causes.segments {
        shift(&mut segment.from_ns);
        shift(&mut segment.to_ns);
    }
}

impl Bounds {
    /// What the data of a connection shows, in both directions.
    fn add(&mut self, own: &Connection, their: &Connection) {
        if let (Some(sent), Some(base)) = (Sent::of(own), observed::base(own)) {
            self.add_way(&sent, &Arrivals::of(their, base), false);
        }
        if let (Some(sent), Some(base)) = (Sent::of(their), observed::base(their)) {
            self.add_way(&sent, &Arrivals::of(own, base), true);
        }
    }
}
