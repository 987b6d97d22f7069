//! The filters over records: the same as the programs apply to live connections (src/bpf/filter.bpf.h).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use anyhow::{Result, bail};

use super::input::Input;
use crate::config::zone::{self, Net};
use crate::config::{Config, EventFilters, Filters, Usage};
use crate::events::EventType;
use crate::recording::schema;
use crate::slot::Slot;
use crate::suggest;
use crate::table::{Column, Origin};

/// In the head of every record.
const COOKIE: Slot = Slot::number(8, 8);
const SADDR: usize = 16;
const DADDR: usize = 32;
const SPORT: Slot = Slot::number(48, 2);
const DPORT: Slot = Slot::number(50, 2);
/// `::ffff:0:0/96`
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// What a record must match.
enum Test {
    Family {
        mapped: bool,
    },
    /// One of these numbers is in a range.
    Port(Vec<Slot>, Vec<RangeInclusive<u16>>),
    /// One of these addresses is in a network; and the zone, if that matters.
    Net(Vec<usize>, Vec<Net>, Option<Slot>),
    Follow([SocketAddr; 2], Option<Slot>),
    /// One of these numbers is in the list.
    Number(Vec<Slot>, Vec<u64>),
    Text(Slot, Vec<[u8; 16]>),
    /// One of these numbers is at least that, or not known.
    AtLeast(Vec<Slot>, u64),
    /// The number is another.
    Not(Slot, u64),
}

/// The filters for one event type.
pub(super) struct Matcher(Vec<Test>);

impl Matcher {
    /// Compiles the filters. Those that need what the records do not have are refused.
    pub(super) fn new(
        config: &Config,
        event_type: &'static EventType,
        input: &Input,
    ) -> Result<Self> {
        let filters = &config.filters;
        let of = Of { event_type, input };
        let mut tests = Vec::new();
        if filters.ipv4_only || filters.ipv6_only {
            tests.push(Test::Family { mapped: filters.ipv4_only });
        }
        let ports = [
            (&filters.port, vec![SPORT, DPORT]),
            (&filters.lport, vec![SPORT]),
            (&filters.rport, vec![DPORT]),
        ];
        for (ranges, slots) in ports.into_iter().filter(|(ranges, _)| !ranges.is_empty()) {
            tests.push(Test::Port(slots, ranges.clone()));
        }
        let zone = match filters.has_zones() {
            true => Some(of.slot("an address with a zone", "bound_dev_if")?),
            false => None,
        };
        let nets = [
            (&filters.addr, vec![SADDR, DADDR]),
            (&filters.laddr, vec![SADDR]),
            (&filters.raddr, vec![DADDR]),
        ];
        for (nets, places) in nets.into_iter().filter(|(nets, _)| !nets.is_empty()) {
            tests.push(Test::Net(places, nets.clone(), zone));
        }
        if let Some(ends) = filters.follow {
            tests.push(Test::Follow(ends, zone));
        }
        if !filters.cookie.is_empty() {
            tests.push(Test::Number(vec![COOKIE], filters.cookie.clone()));
        }
        of.add_owner(filters, &mut tests)?;
        of.add_event(&config.event_filters, &mut tests);
        Ok(Matcher(tests))
    }

    /// Whether a record matches.
    pub(super) fn matches(&self, record: &[u8]) -> bool {
        self.0.iter().all(|test| test.holds(record))
    }
}

/// An event type of a file.
struct Of<'f> {
    event_type: &'static EventType,
    input: &'f Input,
}

impl Of<'_> {
    /// A column that the records must have for an option.
    fn slot(&self, option: &str, column: &str) -> Result<Slot> {
        match self.find(column) {
            Some(slot) => Ok(slot),
            None => bail!(Usage(format!(
                "{option} needs `{column}`, which the {} records in {} do not have",
                self.event_type.name, self.input.name
            ))),
        }
    }

    /// The network namespace of that name on the host of the recording.
    fn netns(&self, name: &str) -> Result<u64> {
        let known = &self.input.recording.header.network_namespaces;
        if let Some(found) = known.iter().find(|netns| netns.name == name) {
            return Ok(found.inode);
        }
        let names: Vec<&str> = known.iter().map(|netns| netns.name.as_str()).collect();
        let hint =
            suggest::did_you_mean(name, names, "give its inode, which the field `netns` shows");
        bail!(Usage(format!(
            "--netns {name}: {} names no such network namespace; {hint}",
            self.input.name
        )))
    }

    fn find(&self, name: &str) -> Option<Slot> {
        let columns = (self.event_type.columns)();
        let column: &'static Column = columns.into_iter().find(|column| column.name == name)?;
        let Origin::Slot(slot) = column.origin else { return None };
        self.input.recording.has(self.event_type, column).then_some(slot)
    }

    /// What the socket, its owner or the packet has.
    fn add_owner(&self, filters: &Filters, tests: &mut Vec<Test>) -> Result<()> {
        let wide = |list: &[u32]| list.iter().map(|&number| number.into()).collect::<Vec<u64>>();
        let netns = filters.netns.iter().copied().map(Ok);
        let netns = netns.chain(filters.netns_names.iter().map(|name| self.netns(name)));
        let numbers = [
            ("--pid", "pid", wide(&filters.pid)),
            ("--uid", "uid", wide(&filters.uid)),
            ("--netns", "netns", netns.collect::<Result<_>>()?),
        ];
        for (option, column, list) in numbers.into_iter().filter(|(.., list)| !list.is_empty()) {
            tests.push(Test::Number(vec![self.slot(option, column)?], list));
        }
        let names = [("--comm", "comm", &filters.comm), ("--cc", "ca_name", &filters.cc)];
        for (option, column, list) in names.into_iter().filter(|(.., list)| !list.is_empty()) {
            tests.push(Test::Text(self.slot(option, column)?, list.clone()));
        }
        if !filters.ifindex.is_empty() {
            let bound = self.slot("--iface", "bound_dev_if")?;
            let passed = schema::member(self.event_type, "owner.ifindex");
            let slots = passed.into_iter().chain([bound]).collect();
            tests.push(Test::Number(slots, wide(&filters.ifindex)));
        }
        if !filters.mark.is_empty() {
            // The socket's counts too, which only `probe` records.
            let socket = match self.event_type.is_probe() {
                true => Some(self.slot("--mark", "sk_mark")?),
                false => None,
            };
            let slots = [self.slot("--mark", "mark")?].into_iter().chain(socket).collect();
            tests.push(Test::Number(slots, wide(&filters.mark)));
        }
        Ok(())
    }

    /// What the command shows of its event type.
    fn add_event(&self, filters: &EventFilters, tests: &mut Vec<Test>) {
        let min_ns =
            filters.min_duration.map(|min| u64::try_from(min.as_nanos()).unwrap_or(u64::MAX));
        let member = |path: &str| schema::member(self.event_type, path);
        if filters.failed
            && let Some(Origin::Slot(slot)) = self.column("outcome").map(|column| column.origin)
            && let Some(established) = number_of(&slot, "established")
        {
            tests.push(Test::Not(slot, established));
        }
        let Some(min_ns) = min_ns else { return };
        let times: Vec<Slot> = match self.event_type.name {
            "connect" => vec![member("latency_ns")],
            "life" => vec![member("duration_ns")],
            "queue" => vec![member("queue_ns")],
            "accept" => vec![member("wait_ns"), member("handshake_us")],
            _ => return,
        }
        .into_iter()
        .flatten()
        .collect();
        let known = |slot: &Slot| Slot { unset: self.unknown(), ..*slot };
        tests.push(Test::AtLeast(times.iter().map(known).collect(), min_ns));
    }

    fn column(&self, name: &str) -> Option<&'static Column> {
        (self.event_type.columns)().into_iter().find(|column| column.name == name)
    }

    /// The number that stands for an unknown time, which may have been long.
    fn unknown(&self) -> Option<u64> {
        (self.event_type.name == "life").then_some(0)
    }
}

/// The number with that name.
fn number_of(slot: &Slot, name: &str) -> Option<u64> {
    (0..64).find(|number| slot.names.and_then(|names| names.name(*number)) == Some(name))
}

impl Test {
    fn holds(&self, record: &[u8]) -> bool {
        let stored = |slot: &Slot| slot.stored(record);
        match self {
            Test::Family { mapped } => {
                record.get(DADDR..DADDR + 12).is_some_and(|start| (start == MAPPED) == *mapped)
            }
            Test::Port(slots, ranges) => slots.iter().filter_map(stored).any(|port| {
                u16::try_from(port)
                    .is_ok_and(|port| ranges.iter().any(|range| range.contains(&port)))
            }),
            Test::Net(places, nets, zone) => {
                let zone = zone.as_ref().and_then(stored).unwrap_or_default();
                let inside = |address: IpAddr| {
                    nets.iter().any(|Net { net, ifindex }| {
                        (*ifindex == 0 || u64::from(*ifindex) == zone) && net.contains(&address)
                    })
                };
                places.iter().filter_map(|place| address(record, *place)).any(inside)
            }
            Test::Follow(ends, zone) => {
                let zone = zone.as_ref().and_then(stored).unwrap_or_default();
                follows(ends, zone, record) || follows(&[ends[1], ends[0]], zone, record)
            }
            Test::Number(slots, list) => slots
                .iter()
                .filter_map(|slot| slot.integer_value(record))
                .any(|n| list.contains(&n)),
            Test::Text(slot, list) => slot.text(record).is_some_and(|text| {
                list.iter().any(|name| name.strip_prefix(text).is_some_and(|rest| rest[0] == 0))
            }),
            Test::AtLeast(slots, min_ns) => slots.iter().any(|slot| match stored(slot) {
                Some(unknown) if slot.unset == Some(unknown) => true,
                // Of the members, the wide ones are in ns, the others in µs.
                Some(time) => {
                    time.saturating_mul(if slot.width == 8 { 1 } else { 1000 }) >= *min_ns
                }
                None => false,
            }),
            Test::Not(slot, number) => stored(slot) != Some(*number),
        }
    }
}

fn address(record: &[u8], place: usize) -> Option<IpAddr> {
    let bytes: [u8; 16] = record.get(place..place + 16)?.try_into().ok()?;
    Some(Ipv6Addr::from(bytes).to_canonical())
}

/// The first end is ours, and the zone is that of our end or, failing that, of the peer's.
fn follows([ours, peer]: &[SocketAddr; 2], zone: u64, record: &[u8]) -> bool {
    let is_end = |end: &SocketAddr, place: usize, port: &Slot| {
        address(record, place) == Some(end.ip()) && port.stored(record) == Some(end.port().into())
    };
    let wanted = [*ours, *peer].map(zone::of_end).into_iter().find(|zone| *zone != 0);
    is_end(ours, SADDR, &SPORT)
        && is_end(peer, DADDR, &DPORT)
        && wanted.is_none_or(|wanted| u64::from(wanted) == zone)
}
