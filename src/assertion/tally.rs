//! What the events of a run give for an assertion.

use std::collections::HashMap;

use super::distribution::Distribution;
use super::measure::{Measure, RETRANSMIT, SENT, Statistic, column};
use super::{Assertion, Finding, Outcome};
use crate::decode::Event;
use crate::table::Value;

/// Of one assertion.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    events: u64,
    values: Distribution,
    /// Segments with data that each connection has sent: at its first sample, and at its last.
    sent: HashMap<u64, (u64, u64)>,
    retransmitted: u64,
}

/// What is known at the end beside the events.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    pub duration_ns: u64,
    /// Events that were lost, by event type.
    pub lost: HashMap<&'static str, u64>,
}

fn number(value: Value<'_>) -> Option<f64> {
    match value {
        Value::U64(number) => Some(number as f64),
        Value::I64(number) => Some(number as f64),
        Value::F64(number) => Some(number),
        _ => None,
    }
}

impl Tally {
    /// Takes an event that matches the condition.
    pub fn event(&mut self, of: &Assertion, event: &Event<'_>) {
        let event_type = event.event_type();
        match &of.measure {
            Measure::Count(of) | Measure::PerSecond(of) if of.number == event_type.number => {
                self.events += 1;
            }
            Measure::Values(_, of, column) if of.number == event_type.number => {
                if let Some(value) = number(event.value(column)) {
                    self.values.add(value);
                }
            }
            Measure::RetransmittedShare => self.segments(event),
            _ => {}
        }
    }

    fn segments(&mut self, event: &Event<'_>) {
        let get = |name| Some(event.value(column(event.event_type(), name)?));
        let count = |name| get(name).and_then(number).unwrap_or_default() as u64;
        if event.event_type().name == SENT.0 {
            let [cookie, sent, acked] = SENT.1.map(count);
            // One that began in this run has sent nothing before.
            let before = if acked <= 1 { 0 } else { sent };
            self.sent.entry(cookie).or_insert((before, sent)).1 = sent;
        } else if event.event_type().name == RETRANSMIT.0
            && !matches!(get("class"), Some(Value::Str("syn")))
        {
            self.retransmitted += count("segs");
        }
    }

    /// The value, and its range with what was lost.
    fn value(&self, of: &Assertion, ending: &Ending) -> (Option<f64>, (f64, f64)) {
        let lost = self.lost(of, ending);
        let counts = |per: f64| {
            let least = self.events as f64 / per;
            (Some(least), (least, (self.events + lost) as f64 / per))
        };
        let values = &self.values;
        let beyond = if lost > 0 { f64::INFINITY } else { 0.0 };
        match &of.measure {
            Measure::Count(_) => counts(1.0),
            Measure::PerSecond(_) if ending.duration_ns == 0 => (None, (0.0, f64::INFINITY)),
            Measure::PerSecond(_) => counts(ending.duration_ns as f64 / 1e9),
            Measure::RetransmittedShare => {
                let sent = self.sent() as f64;
                let share = |segments: u64| segments as f64 * 100.0 / sent;
                if sent == 0.0 {
                    return (None, (0.0, 100.0));
                }
                let least = share(self.retransmitted);
                (Some(least), (least, share(self.retransmitted + lost)))
            }
            Measure::Values(..) if values.count == 0 => (None, (f64::NEG_INFINITY, f64::INFINITY)),
            Measure::Values(Statistic::Quantile(quantile), ..) => {
                let value = values.quantile(*quantile, 0).0;
                (Some(value), values.quantile(*quantile, lost))
            }
            Measure::Values(Statistic::Min, ..) => {
                let value = values.min().unwrap_or_default();
                (Some(value), (value - beyond, value))
            }
            Measure::Values(Statistic::Max, ..) => {
                let value = values.max().unwrap_or_default();
                (Some(value), (value, value + beyond))
            }
            Measure::Values(..) => {
                let value = self.moment(of);
                (Some(value), (value - beyond, value + beyond))
            }
        }
    }

    /// The sum or the mean.
    fn moment(&self, of: &Assertion) -> f64 {
        match of.measure {
            Measure::Values(Statistic::Mean, ..) => {
                self.values.sum / self.values.count.max(1) as f64
            }
            _ => self.values.sum,
        }
    }

    fn sent(&self) -> u64 {
        self.sent.values().map(|(first, last)| last.saturating_sub(*first)).sum()
    }

    fn lost(&self, of: &Assertion, ending: &Ending) -> u64 {
        let event_types = of.measure.event_types();
        event_types.iter().filter_map(|of| ending.lost.get(of.name)).sum()
    }

    /// The result.
    #[must_use]
    pub fn finding(&self, of: &Assertion, ending: &Ending) -> Finding {
        let (value, range) = self.value(of, ending);
        let lost = self.lost(of, ending);
        let result = match of.relation.holds(range, of.limit.value).filter(|_| value.is_some()) {
            Some(true) => Outcome::Pass,
            Some(false) => Outcome::Fail,
            None if value.is_none() => Outcome::Undecided("nothing was measured".to_owned()),
            None => Outcome::Undecided(format!("{lost} events were lost, which may decide")),
        };
        let basis = match &of.measure {
            Measure::Count(of) => format!("{} events", of.name),
            Measure::PerSecond(_) => {
                format!("{} events in {:.3} s", self.events, ending.duration_ns as f64 / 1e9)
            }
            Measure::RetransmittedShare => {
                format!("{} segments, {} retransmitted", self.sent(), self.retransmitted)
            }
            Measure::Values(..) => format!("{} values", self.values.count),
        };
        Finding {
            text: of.text.clone(),
            result,
            value: value.map(|value| value / of.limit.per),
            unit: of.limit.unit.clone(),
            basis,
        }
    }
}
