//! What belongs together: the two ends of a connection, and a dropped packet and its retransmission.

use std::collections::HashMap;

use super::connection::{Connection, Ends, Mark};
use super::number;

/// A connection whose other end is in the recording, too, is shown once: as the end that sent more has it.
pub fn ends(connections: &mut [Connection]) {
    let mut by_ends: HashMap<Ends, Vec<usize>> = HashMap::new();
    for (at, connection) in connections.iter().enumerate() {
        connection.ends.into_iter().for_each(|ends| by_ends.entry(ends).or_default().push(at));
    }
    for at in 0..connections.len() {
        let Some(ends) = connections[at].ends.filter(|_| connections[at].other_end.is_none())
        else {
            continue;
        };
        let others = by_ends.get(&ends.mirrored()).into_iter().flatten().copied();
        let (from, to) = span(&connections[at]);
        // The same ports may be used again: the ends overlap in time.
        let overlap = |other: &usize| {
            let (start, end) = span(&connections[*other]);
            let free = *other != at && connections[*other].other_end.is_none();
            let common = to.min(end).saturating_sub(from.max(start));
            (free && start <= to && from <= end).then_some(common)
        };
        let best = others.filter_map(|other| Some((overlap(&other)?, other))).max();
        if let Some((_, other)) = best {
            connections[at].other_end = Some(other);
            connections[other].other_end = Some(at);
        }
    }
}

/// The first and the last time that is known.
fn span(connection: &Connection) -> (u64, u64) {
    let times = &connection.samples.time_ns;
    let events = &connection.events;
    let firsts = [times.first().copied(), events.first().map(|event| event.time_ns)];
    let lasts = [times.last().copied(), events.last().map(|event| event.time_ns)];
    let first = firsts.into_iter().flatten().min().unwrap_or_default();
    (first, lasts.into_iter().flatten().max().unwrap_or_default())
}

/// Whether the page shows this end, and not the other one.
#[must_use]
pub fn is_shown(connections: &[Connection], at: usize) -> bool {
    let Some(other) = connections[at].other_end else { return true };
    let weight = |at: usize| {
        let samples = &connections[at].samples;
        (samples.column("bytes_acked").growth(), samples.read, std::cmp::Reverse(at))
    };
    weight(at) > weight(other)
}

/// Joins each dropped packet with data to the next retransmission that covers its first byte.
pub fn drops(connection: &mut Connection) {
    let mut waiting: Vec<usize> = Vec::new();
    for at in 0..connection.events.len() {
        let event = &connection.events[at];
        let (Some(offset), Some(len)) = (event.offset, event.len) else { continue };
        if event.mark == Mark::Drop && len > 0 {
            waiting.push(at);
        } else if event.mark.is_retransmission() {
            let range = offset..offset.saturating_add_unsigned(len.max(1));
            let time_ns = event.time_ns;
            let (joined, rest): (Vec<usize>, Vec<usize>) =
                waiting.into_iter().partition(|dropped| {
                    let dropped = &connection.events[*dropped];
                    dropped.offset.is_some_and(|offset| range.contains(&offset))
                });
            waiting = rest;
            for dropped in joined {
                let after = time_ns.saturating_sub(connection.events[dropped].time_ns);
                let after = number::time_us(after as f64 / 1000.0);
                let add = |detail: &mut String, text: String| {
                    if !detail.is_empty() {
                        detail.push_str("; ");
                    }
                    detail.push_str(&text);
                };
                let [drop, sent] = [dropped, at];
                add(&mut connection.events[drop].detail, format!("sent again {after} later"));
                if connection.events[sent].partner.is_none() {
                    add(&mut connection.events[sent].detail, format!("{after} after the drop"));
                    connection.events[sent].partner = Some(drop);
                }
                connection.events[drop].partner = Some(sent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::Event;
    use super::*;

    fn event(mark: Mark, ms: u64, offset: i64, len: u64) -> Event {
        Event {
            time_ns: ms * 1_000_000,
            mark,
            title: String::new(),
            detail: String::new(),
            offset: Some(offset),
            len: Some(len),
            segs: 1,
            class: String::new(),
            partner: None,
        }
    }

    #[test]
    fn a_drop_is_joined_to_the_next_retransmission_of_its_bytes() {
        let mut connection = Connection {
            events: vec![
                event(Mark::Drop, 1, 1000, 500),
                event(Mark::Drop, 2, 9000, 500),
                event(Mark::RetransmitFast, 5, 0, 500),
                event(Mark::RetransmitFast, 21, 500, 1000),
                event(Mark::Drop, 22, 1000, 500),
                event(Mark::RetransmitTimeout, 222, 1000, 500),
            ],
            ..Connection::default()
        };
        drops(&mut connection);
        let partners: Vec<Option<usize>> =
            connection.events.iter().map(|event| event.partner).collect();
        assert_eq!(partners, [Some(3), None, None, Some(0), Some(5), Some(4)]);
        assert_eq!(connection.events[0].detail, "sent again 20.0\u{202f}ms later");
        assert_eq!(connection.events[5].detail, "200\u{202f}ms after the drop");
    }

    #[test]
    fn ends_that_overlap_in_time_are_one_connection() {
        let ends: Ends =
            Ends { local: "10.0.0.1:1000".parse().unwrap(), peer: "10.0.0.2:80".parse().unwrap() };
        let connection = |ends: Ends, from_ms: u64, acked: u64| {
            let mut connection = Connection { ends: Some(ends), ..Connection::default() };
            for row in 0..2 {
                connection.samples.time_ns.push((from_ms + 10 * row) * 1_000_000);
                let column =
                    &mut connection.samples.columns[super::super::series::at("bytes_acked")];
                column.set(row as usize, Some(acked * row));
            }
            connection
        };
        let mut all = [
            connection(ends, 0, 1000),
            connection(ends, 100, 0),
            connection(ends.mirrored(), 101, 500),
            connection(ends.mirrored(), 1, 10),
        ];
        super::ends(&mut all);
        let others: Vec<Option<usize>> = all.iter().map(|one| one.other_end).collect();
        assert_eq!(others, [Some(3), Some(2), Some(1), Some(0)]);
        let shown: Vec<bool> = (0..all.len()).map(|at| is_shown(&all, at)).collect();
        assert_eq!(shown, [true, false, true, false]);
    }
}
