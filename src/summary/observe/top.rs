//! The connections of `export --top`: those that moved most since they were last chosen.
//!
//! A series must not come and go with each interval, nor may its counters fall. So a connection that has its series keeps them until it
//! ends, or until another one has moved more than twice as much; and its labels stay as they were when it was chosen.

use std::collections::{HashMap, HashSet};
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use super::labels::name;
use crate::config::summary::TopConnections;
use crate::events::tcp_probe::copy;
use crate::skel::TopConn;

/// Names of the labels, in the order of their values.
pub const LABELS: [&str; 8] = ["cookie", "netns", "laddr", "lport", "raddr", "rport", "cc", "comm"];
/// How much more another connection must have moved than one that has its series.
const HYSTERESIS: u64 = 2;
/// For so long Prometheus shows the last value of a series; until then its counters do not begin again with the same labels.
const REMEMBERED: Duration = Duration::from_secs(300);

/// A connection that has series of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamedConnection {
    /// As in [`LABELS`]; empty where there is none.
    pub labels: Vec<String>,
    pub sent: u64,
    pub acked: u64,
    pub received: u64,
    /// Segments.
    pub retransmitted: u64,
    pub srtt_us: Option<u32>,
    pub min_rtt_us: Option<u32>,
    /// Segments.
    pub snd_cwnd: u32,
    /// Bytes per second.
    pub delivery_rate: Option<u64>,
}

/// What has to be equal in two readings of one connection: sockets are found again by their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    cookie: u64,
    ends: ([u8; 16], u16, [u8; 16], u16),
}

impl Identity {
    fn of(read: &TopConn) -> Self {
        let ends = (read.saddr, read.sport, read.daddr, read.dport);
        Identity { cookie: read.cookie, ends }
    }

    /// A cookie may be generated between the two.
    fn is(&self, other: &Identity) -> bool {
        let cookies = self.cookie == other.cookie || self.cookie == 0 || other.cookie == 0;
        cookies && self.ends == other.ends
    }
}

/// A connection when connections were last chosen.
struct Known {
    identity: Identity,
    moved: u64,
    /// What it moved lately: in the last interval, half of that before, and so on.
    score: u64,
}

struct Member {
    identity: Identity,
    newest: NamedConnection,
}

pub struct Top {
    options: TopConnections,
    /// By the sockets' addresses.
    members: HashMap<u64, Member>,
    known: HashMap<u64, Known>,
    chosen: Option<Instant>,
    /// Series that have ended, and when, by their labels.
    ended: HashMap<Vec<String>, (Instant, NamedConnection)>,
    /// How many connections have got series so far.
    joined: u64,
}

/// The socket's address in a record.
fn sk(record: &[u8]) -> u64 {
    let at = std::mem::offset_of!(TopConn, sk);
    record.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |sk| u64::from_ne_bytes(*sk))
}

fn moved(read: &TopConn) -> u64 {
    read.totals.bytes_acked.saturating_add(read.totals.bytes_received)
}

fn labels(read: &TopConn) -> Vec<String> {
    let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
    let address = |bytes: [u8; 16]| Ipv6Addr::from(bytes).to_canonical().to_string();
    vec![
        number(read.cookie),
        number(read.netns.into()),
        address(read.saddr),
        number(read.sport.into()),
        address(read.daddr),
        number(read.dport.into()),
        name(&read.ca_name),
        name(&read.comm),
    ]
}

impl NamedConnection {
    fn new(labels: Vec<String>, read: &TopConn) -> Self {
        let rate = |interval: u32| {
            let bytes = u64::from(read.rate_delivered) * u64::from(read.mss);
            // As tcp_compute_delivery_rate() does.
            bytes.saturating_mul(1_000_000).checked_div(interval.into())
        };
        NamedConnection {
            labels,
            sent: read.totals.bytes_sent,
            acked: read.totals.bytes_acked,
            received: read.totals.bytes_received,
            retransmitted: read.total_retrans.into(),
            srtt_us: (read.srtt_us != 0).then_some(read.srtt_us),
            min_rtt_us: (read.min_rtt_us != u32::MAX).then_some(read.min_rtt_us),
            snd_cwnd: read.snd_cwnd,
            delivery_rate: rate(read.rate_interval_us).filter(|_| read.rate_delivered != 0),
        }
    }

    fn counters(&self) -> [u64; 4] {
        [self.sent, self.acked, self.received, self.retransmitted]
    }

    /// A reading of the same connection: tcp_disconnect() sets all counters to zero, for another one.
    fn continues(&self, before: &NamedConnection) -> bool {
        self.counters().iter().zip(before.counters()).all(|(now, before)| *now >= before)
    }
}

impl Top {
    #[must_use]
    pub fn new(options: TopConnections) -> Self {
        Top {
            options,
            members: HashMap::new(),
            known: HashMap::new(),
            chosen: None,
            ended: HashMap::new(),
            joined: 0,
        }
    }

    /// Takes all open connections as the kernel wrote them. Most of the time only the members among them matter.
    pub fn read(&mut self, bytes: &[u8], at: Instant) {
        let since = self.chosen.map(|chosen| at.saturating_duration_since(chosen));
        let chooses = since.is_none_or(|since| since >= self.options.interval);
        let records = bytes.chunks_exact(size_of::<TopConn>());
        let is_wanted = |record: &&[u8]| chooses || self.members.contains_key(&sk(record));
        let read: HashMap<u64, TopConn> = records
            .filter(is_wanted)
            .filter_map(copy::<TopConn>)
            .map(|read| (read.sk, read))
            .collect();
        self.update(&read, at);
        if chooses {
            self.choose(&read, at);
            self.chosen = Some(at);
        }
    }

    /// The newest values; those of connections that have ended go away.
    fn update(&mut self, read: &HashMap<u64, TopConn>, at: Instant) {
        self.ended.retain(|_, (ended, _)| at.saturating_duration_since(*ended) < REMEMBERED);
        let mut gone = Vec::new();
        for (sk, member) in &mut self.members {
            let newest = read.get(sk).filter(|read| member.identity.is(&Identity::of(read)));
            let newest = newest
                .map(|read| NamedConnection::new(member.newest.labels.clone(), read))
                .filter(|newest| newest.continues(&member.newest));
            match newest {
                Some(newest) => member.newest = newest,
                None => gone.push(*sk),
            }
        }
        gone.iter().for_each(|sk| self.leave(sk, at));
    }

    fn leave(&mut self, sk: &u64, at: Instant) {
        if let Some(Member { newest, .. }) = self.members.remove(sk) {
            self.ended.insert(newest.labels.clone(), (at, newest));
        }
    }

    /// Fills what is free, and replaces members by those that have moved much more.
    fn choose(&mut self, read: &HashMap<u64, TopConn>, at: Instant) {
        let known = read.iter().map(|(sk, read)| {
            let (identity, moved) = (Identity::of(read), moved(read));
            let before = self.known.get(sk).filter(|before| before.identity.is(&identity));
            // One that is new has moved all of it in the interval.
            let before = before.filter(|before| before.moved <= moved);
            let (base, score) = before.map_or((0, 0), |before| (before.moved, before.score / 2));
            (*sk, Known { identity, moved, score: score.saturating_add(moved - base) })
        });
        self.known = known.collect();
        let score = |sk: &u64| self.known.get(sk).map_or(0, |known| known.score);
        let mut others: Vec<(u64, u64)> = read
            .keys()
            .filter(|sk| !self.members.contains_key(*sk))
            .map(|sk| (score(sk), *sk))
            .collect();
        others.retain(|(score, _)| *score > 0);
        others.sort_unstable_by(|a, b| b.cmp(a));
        let mut weakest: Vec<(u64, u64)> = self.members.keys().map(|sk| (score(sk), *sk)).collect();
        weakest.sort_unstable();
        let mut weakest = weakest.into_iter();
        let mut taken: HashSet<Vec<String>> =
            self.members.values().map(|member| member.newest.labels.clone()).collect();
        for (score, sk) in others {
            let Some(read) = read.get(&sk) else { continue };
            let newest = NamedConnection::new(labels(read), read);
            let ended = self.ended.get(&newest.labels);
            let falls = ended.is_some_and(|(_, before)| !newest.continues(before));
            if taken.contains(&newest.labels) || falls {
                continue;
            }
            if self.members.len() >= self.options.count {
                let weaker = |(weak, _): &(u64, u64)| score / HYSTERESIS > *weak;
                let Some((_, weak)) = weakest.next().filter(weaker) else { return };
                self.leave(&weak, at);
            }
            taken.insert(newest.labels.clone());
            self.members.insert(sk, Member { identity: Identity::of(read), newest });
            self.joined += 1;
        }
    }

    /// Those that were chosen, in the order of their labels.
    #[must_use]
    pub fn connections(&self) -> Vec<NamedConnection> {
        let mut all: Vec<NamedConnection> =
            self.members.values().map(|member| member.newest.clone()).collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        all
    }

    /// How many connections have got series so far.
    #[must_use]
    pub fn joined(&self) -> u64 {
        self.joined
    }
}

#[cfg(test)]
mod tests;
