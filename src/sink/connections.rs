//! Which connection an event is of, for the formats that draw each connection by itself.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::decode::Event;
use crate::table::{ColumnSet, Selected, Value};

/// The columns that identify a connection.
pub(super) const IDENTITY: [&str; 5] = ["cookie", "saddr", "sport", "daddr", "dport"];

/// The two ends; without those that tcp_disconnect() has cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub local: Option<SocketAddr>,
    pub peer: Option<SocketAddr>,
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |end: Option<SocketAddr>| end.map_or("?".to_owned(), |end| end.to_string());
        write!(f, "{} > {}", text(self.local), text(self.peer))
    }
}

/// What tells connections apart: the cookie, or the ends where the event has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Id {
    Cookie(u64),
    Ends(Ends),
}

/// Reads the identity from events of one type.
pub(super) struct Identity {
    columns: [Option<Selected>; IDENTITY.len()],
    /// The cookie is that of another socket.
    of_listener: bool,
}

/// Events whose cookie is a listener's, although their ends are a connection's.
const OF_LISTENER: &str = "synack_retransmit";
/// Events of a socket that has no connection.
const UNCONNECTED: &str = "listen_drop";

impl Identity {
    /// `None` for event types of sockets that have no connection.
    pub fn new(table: &ColumnSet) -> Option<Self> {
        let columns = IDENTITY.map(|name| find(table, name));
        (table.name != UNCONNECTED)
            .then(|| Identity { columns, of_listener: table.name == OF_LISTENER })
    }

    pub fn of(&self, event: &Event<'_>) -> (Id, Ends) {
        let value = |at: usize| event.selected(self.columns[at].as_ref());
        let end = |at: usize| match (value(at), value(at + 1)) {
            (Value::Ip(ip), Value::U64(port)) => Some((ip, port)),
            _ => None,
        };
        let socket = |(ip, port): (IpAddr, u64)| SocketAddr::new(ip, port as u16);
        let ends = Ends { local: end(1).map(socket), peer: end(3).map(socket) };
        match value(0) {
            Value::U64(cookie) if !self.of_listener => (Id::Cookie(cookie), ends),
            _ => (Id::Ends(ends), ends),
        }
    }
}

/// The column of that name.
pub(super) fn find(table: &ColumnSet, name: &str) -> Option<Selected> {
    table.columns.iter().find(|selected| selected.column.name == name).copied()
}

/// A column's number, if it has one.
pub(super) fn number(event: &Event<'_>, column: Option<&Selected>) -> Option<u64> {
    match event.selected(column) {
        Value::U64(number) => Some(number),
        _ => None,
    }
}

/// A column's name or word, if it has one.
pub(super) fn word<'e>(event: &'e Event<'_>, column: Option<&Selected>) -> Option<&'e str> {
    match event.selected(column) {
        Value::Str(word) => Some(word),
        _ => None,
    }
}

/// What is kept of the connections.
pub(super) struct Connections<T> {
    by_id: HashMap<Id, T>,
    most: usize,
}

impl<T> Connections<T> {
    pub fn new(most: usize) -> Self {
        Connections { by_id: HashMap::new(), most }
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.by_id.get_mut(&id)
    }

    pub fn insert(&mut self, id: Id, connection: T) {
        self.by_id.insert(id, connection);
    }

    /// Removes and returns the half that was least recently used, if another connection has no room.
    pub fn make_room(&mut self, last_used: impl Fn(&T) -> u64) -> Vec<T> {
        if self.by_id.len() < self.most {
            return Vec::new();
        }
        let mut times: Vec<u64> = self.by_id.values().map(&last_used).collect();
        let middle = times.len() / 2;
        let (_, &mut limit, _) = times.select_nth_unstable(middle);
        let idle = |connection: &T| last_used(connection) <= limit;
        self.by_id.extract_if(|_, connection| idle(connection)).map(|(_, c)| c).collect()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.by_id.values_mut()
    }

    /// All of them, in the order that `key` gives.
    pub fn take_all(&mut self, key: impl Fn(&T) -> u64) -> Vec<T> {
        let mut all: Vec<T> = self.by_id.drain().map(|(_, connection)| connection).collect();
        all.sort_by_key(key);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_half_makes_room() {
        let mut connections = Connections::new(4);
        for age in [5, 1, 9, 3] {
            assert!(connections.make_room(|age| *age).is_empty());
            connections.insert(Id::Cookie(age), age);
        }
        let mut removed = connections.make_room(|age| *age);
        removed.sort_unstable();
        assert_eq!(removed, [1, 3, 5]);
        assert_eq!(connections.get_mut(Id::Cookie(9)), Some(&mut 9));
        assert_eq!(connections.take_all(|age| *age), [9]);
    }

    #[test]
    fn ends_are_printed_as_addresses() {
        let ends = Ends { local: "[::1]:80".parse().ok(), peer: None };
        assert_eq!(ends.to_string(), "[::1]:80 > ?");
    }
}
