//! What an assertion is about.

use crate::events::EventType;
use crate::table::Column;

/// A number that is made of all events of a run.
#[derive(Clone, Debug)]
pub enum Measure {
    /// Events.
    Count(&'static EventType),
    /// Events per second.
    PerSecond(&'static EventType),
    /// Retransmitted segments, of those with data that were sent.
    RetransmittedShare,
    /// Of the values of a field.
    Values(Statistic, &'static EventType, &'static Column),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// In parts of one.
    Quantile(f64),
    Min,
    Max,
    Mean,
    Sum,
}

/// What the share of retransmitted segments is made of.
pub const RETRANSMIT: (&str, [&str; 2]) = ("retransmit", ["segs", "class"]);
pub const SENT: (&str, [&str; 3]) = ("probe", ["cookie", "data_segs_out", "bytes_acked"]);

/// A column of an event type.
#[must_use]
pub fn column(event_type: &EventType, name: &str) -> Option<&'static Column> {
    (event_type.columns)().into_iter().find(|column| column.name == name)
}

impl Measure {
    /// The event type that conditions are about.
    #[must_use]
    pub fn event_type(&self) -> Option<&'static EventType> {
        match self {
            Measure::Count(of) | Measure::PerSecond(of) | Measure::Values(_, of, _) => Some(of),
            Measure::RetransmittedShare => crate::events::event_type(RETRANSMIT.0),
        }
    }

    /// The event types that it is made from.
    #[must_use]
    pub fn event_types(&self) -> Vec<&'static EventType> {
        let sent = matches!(self, Measure::RetransmittedShare).then_some(SENT.0);
        let sent = sent.and_then(crate::events::event_type);
        self.event_type().into_iter().chain(sent).collect()
    }

    /// The columns of an event type that it reads.
    #[must_use]
    pub fn columns(&self, event_type: &EventType) -> Vec<&'static Column> {
        let named = |names: &[&str]| {
            names.iter().filter_map(|name| column(event_type, name)).collect::<Vec<_>>()
        };
        match self {
            Measure::Values(_, of, column) if of.number == event_type.number => vec![column],
            Measure::RetransmittedShare if event_type.name == RETRANSMIT.0 => named(&RETRANSMIT.1),
            Measure::RetransmittedShare if event_type.name == SENT.0 => named(&SENT.1),
            _ => Vec::new(),
        }
    }
}
