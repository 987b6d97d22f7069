//! The series of a snapshot: what every format encodes.

use super::families::{FAMILIES, Family, Of, Own, Values};
use super::{Snapshot, histogram};
use crate::accounting::AggregateCounts;
use crate::config::summary::TimeField;
use crate::events::names::LIMIT_CAUSES;
use crate::summary::counted::Counted;
use crate::summary::observe::columns::{CA_STATES, LIMITS, OPEN};
use crate::summary::observe::exported::LabelledTotals;
use crate::summary::observe::labels::OTHER;
use crate::summary::observe::top::{LABELS, NamedConnection};

/// The labels of a series: those of --labels, and that of the metric.
#[derive(Clone, Copy, Default)]
pub(super) struct Labels<'l> {
    names: &'l [&'static str],
    /// `None`: what found no room.
    values: Option<&'l [String]>,
    own: Option<(&'static str, &'l str)>,
}

impl<'l> Labels<'l> {
    fn of(snapshot: &'l Snapshot, row: &'l LabelledTotals) -> Self {
        Labels { names: &snapshot.label_names, values: row.labels.as_deref(), own: None }
    }

    fn and(self, own: Option<(&'static str, &'l str)>) -> Self {
        Labels { own, ..self }
    }

    fn own(label: &'static str, value: &'l str) -> Self {
        Labels { own: Some((label, value)), ..Labels::default() }
    }

    /// Those that have a value: an empty label is the same as none.
    pub(super) fn iter(self) -> impl Iterator<Item = (&'static str, &'l str)> {
        let value = move |at: usize| match self.values {
            Some(values) => values.get(at).map_or("", String::as_str),
            None => OTHER,
        };
        let names = self.names.iter().enumerate().map(move |(at, name)| (*name, value(at)));
        names.chain(self.own).filter(|(_, value)| !value.is_empty())
    }

    /// Of a metric that never has any.
    pub(super) fn are_none(self) -> bool {
        self.names.is_empty() && self.own.is_none()
    }
}

/// A value of a series.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sample<'s> {
    Count(u64),
    /// A counter, in seconds.
    Seconds(f64),
    Number(u64),
    Gauge(f64),
    /// Each value is that much of the unit.
    Distribution(TimeField, f64, &'s Counted),
}

/// Takes a sample.
type Take<'t, E> = &'t mut dyn FnMut(Labels<'_>, Sample<'_>) -> Result<(), E>;

/// Visits all series of a metric.
pub(super) fn visit<E>(family: &Family, snapshot: &Snapshot, take: Take<'_, E>) -> Result<(), E> {
    match family.values {
        Values::Own(of) => own(of, snapshot, take),
        Values::Connection(of) => {
            snapshot.named.iter().try_for_each(|connection| named(of, connection, take))
        }
        _ => snapshot.totals.iter().try_for_each(|totals| row(family, snapshot, totals, take)),
    }
}

fn row<E>(
    family: &Family,
    snapshot: &Snapshot,
    row: &LabelledTotals,
    take: Take<'_, E>,
) -> Result<(), E> {
    let labels = Labels::of(snapshot, row);
    let count = |at: usize| row.counts.get(at).copied().unwrap_or(0);
    let seconds = |ns: u64| Sample::Seconds(ns as f64 / 1e9);
    match family.values {
        Values::Sum(at) => take(labels, Sample::Count(count(at))),
        Values::Sums(label, sums) => sums.iter().try_for_each(|(value, at)| {
            take(labels.and(Some((label, value))), Sample::Count(count(*at)))
        }),
        Values::Open => take(labels, Sample::Number(count(OPEN))),
        Values::Reasons(of) => {
            let reasons = row.reasons.iter().filter(|(found, ..)| *found == of.0);
            reasons.into_iter().try_for_each(|(_, reason, count)| {
                let own = reason.as_deref().map(|reason| ("reason", reason));
                take(labels.and(own), Sample::Count(*count))
            })
        }
        Values::StateTimes => {
            let times = CA_STATES.iter().zip(&row.state_times);
            times.into_iter().try_for_each(|((state, _), ns)| {
                take(labels.and(Some(("state", state))), seconds(*ns))
            })
        }
        Values::LimitTimes => {
            let causes = LIMIT_CAUSES.iter().enumerate();
            causes.into_iter().try_for_each(|(at, cause)| {
                take(labels.and(Some(("cause", cause))), seconds(count(LIMITS + at)))
            })
        }
        Values::Distribution(field, scale) => {
            match row.distributions.iter().find(|(of, _)| *of == field) {
                Some((_, counted)) => take(labels, Sample::Distribution(field, scale, counted)),
                None => Ok(()),
            }
        }
        Values::Unset => row.distributions.iter().try_for_each(|(field, counted)| {
            let name = distribution_of(*field);
            take(labels.and(Some(("metric", &name))), Sample::Count(counted.unset))
        }),
        Values::Connection(_) | Values::Own(_) => Ok(()),
    }
}

/// Of a connection of --top.
fn named<E>(of: Of, named: &NamedConnection, take: Take<'_, E>) -> Result<(), E> {
    let labels = Labels { names: &LABELS, values: Some(&named.labels), own: None };
    let seconds = |us: u32| Sample::Gauge(f64::from(us) / 1e6);
    let sample = match of {
        Of::Sent => Some(Sample::Count(named.sent)),
        Of::Acked => Some(Sample::Count(named.acked)),
        Of::Received => Some(Sample::Count(named.received)),
        Of::Retransmitted => Some(Sample::Count(named.retransmitted)),
        Of::Srtt => named.srtt_us.map(seconds),
        Of::MinRtt => named.min_rtt_us.map(seconds),
        Of::Cwnd => Some(Sample::Number(named.snd_cwnd.into())),
        Of::DeliveryRate => named.delivery_rate.map(Sample::Number),
    };
    sample.map_or(Ok(()), |sample| take(labels, sample))
}

fn own<E>(of: Own, snapshot: &Snapshot, take: Take<'_, E>) -> Result<(), E> {
    let none = Labels::default();
    let by_type = |count: fn(&AggregateCounts) -> u64| -> Vec<(&str, u64)> {
        let counts = snapshot.event_types.iter();
        counts.map(|(event_type, counts)| (*event_type, count(counts))).collect()
    };
    let mut counters = |label: &'static str, counts: &[(&str, u64)]| {
        let mut counts = counts.iter();
        counts.try_for_each(|(name, count)| take(Labels::own(label, name), Sample::Count(*count)))
    };
    match of {
        Own::Seen => counters("type", &by_type(|counts| counts.seen)),
        Own::Lost => counters("type", &by_type(|counts| counts.lost)),
        Own::Overflow => counters("type", &by_type(|counts| counts.overflow)),
        Own::Evicted => counters("map", &snapshot.evicted.by_name()),
        Own::Dropped => {
            take(none, Sample::Count(snapshot.dropped))?;
            let mut folded = snapshot.folded.iter();
            folded.try_for_each(|(name, count)| {
                take(Labels::own("label", name), Sample::Count(*count))
            })
        }
        Own::Named => take(none, Sample::Count(snapshot.named_so_far)),
        Own::Read => take(none, Sample::Gauge(snapshot.read.as_secs_f64())),
        Own::Build => {
            let values = [env!("CARGO_PKG_VERSION").to_owned()];
            let labels = Labels { names: &["version"], values: Some(&values), own: None };
            take(labels.and(Some(("kernel", &snapshot.kernel))), Sample::Number(1))
        }
    }
}

fn distribution_of(field: TimeField) -> String {
    let is_of =
        |family: &&Family| matches!(family.values, Values::Distribution(of, _) if of == field);
    FAMILIES.iter().find(is_of).map(Family::base_name).unwrap_or_default()
}

/// Upper bounds and counts of a distribution, its sum, and how many values it has.
pub(super) struct Classic {
    /// The last one has no bound.
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) sum: f64,
    pub(super) count: u64,
}

impl Classic {
    pub(super) fn new(field: TimeField, scale: f64, counted: &Counted) -> Self {
        Classic {
            buckets: histogram::classic(field, scale, counted),
            sum: histogram::sum(scale, counted),
            count: counted.count(),
        }
    }
}
