//! Reads fields of recorded events by name.

use std::collections::HashMap;

use super::collect;
use super::connection::Ends;
use super::series::SERIES;
use crate::decode::Event;
use crate::events::{EVENT_TYPES, EventType, Types};
use crate::recording::frames::Bytes;
use crate::recording::reader::Recording;
use crate::table::{Column, Value};

/// What events of one type are read with.
pub struct Fields {
    /// The columns that the records have, by name.
    columns: HashMap<&'static str, &'static Column>,
    /// Of [`SERIES`], in its order.
    series: Vec<Option<&'static Column>>,
    ends: [Option<&'static Column>; 4],
}

impl Fields {
    fn new<B: Bytes>(event_type: &'static EventType, recording: &Recording<B>) -> Self {
        let environment = &recording.header.environment;
        let has = |column: &&'static Column| {
            column.need.is_none_or(|member| environment.has(member))
                && recording.has(event_type, column)
        };
        let columns = (event_type.columns)().into_iter().filter(has);
        let columns: HashMap<_, _> = columns.map(|column| (column.name, column)).collect();
        let find = |name: &str| columns.get(name).copied();
        let series = SERIES.iter().map(|(name, _)| find(name)).collect();
        let ends = ["saddr", "sport", "daddr", "dport"].map(find);
        Fields { columns, series, ends }
    }

    /// Null if the records do not have it.
    #[must_use]
    pub fn value<'e>(&self, event: &'e Event<'_>, name: &str) -> Value<'e> {
        self.columns.get(name).map_or(Value::Null, |column| event.value(column))
    }

    #[must_use]
    pub fn number(&self, event: &Event<'_>, name: &str) -> Option<u64> {
        match self.value(event, name) {
            Value::U64(number) => Some(number),
            _ => None,
        }
    }

    #[must_use]
    pub fn word<'e>(&self, event: &'e Event<'_>, name: &str) -> Option<&'e str> {
        match self.value(event, name) {
            Value::Str(word) => Some(word),
            _ => None,
        }
    }

    /// The value of a column of [`SERIES`].
    #[must_use]
    pub fn series<'e>(&self, event: &'e Event<'_>, at: usize) -> Value<'e> {
        let column = self.series.get(at).copied().flatten();
        column.map_or(Value::Null, |column| event.value(column))
    }

    /// The two ends, unless tcp_disconnect() has cleared them.
    #[must_use]
    pub fn ends(&self, event: &Event<'_>) -> Option<Ends> {
        let value = |column: Option<&'static Column>| {
            column.map_or(Value::Null, |column| event.value(column))
        };
        let [local, sport, peer, dport] = self.ends;
        collect::ends([value(local), value(sport), value(peer), value(dport)])
    }
}

/// The fields of all event types in a recording, and the names and layouts at its last record.
#[derive(Default)]
pub struct Reader {
    fields: Vec<Option<Fields>>,
    types: Types,
    revision: Option<u64>,
}

impl Reader {
    /// Takes what became known up to the last record.
    pub fn prepare<B: Bytes>(&mut self, recording: &Recording<B>) {
        if self.revision == Some(recording.revision) {
            return;
        }
        self.revision = Some(recording.revision);
        self.types = recording.types.clone();
        let present = recording.event_types();
        let is_present = |of: &EventType| present.iter().any(|known| known.number == of.number);
        let fields = |of: &'static EventType| is_present(of).then(|| Fields::new(of, recording));
        self.fields = EVENT_TYPES.iter().map(fields).collect();
    }

    #[must_use]
    pub fn types(&self) -> &Types {
        &self.types
    }

    #[must_use]
    pub fn fields(&self, event_type: &EventType) -> Option<&Fields> {
        self.fields.get(usize::from(event_type.number))?.as_ref()
    }
}
