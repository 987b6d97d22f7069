//! What limited each connection in the interval, for `top --limits`.

use super::columns::OF_LIMITS;
use crate::events::life::percent;
use crate::events::names::LIMIT_CAUSES;
use crate::limits::rules::CAUSES;
use crate::skel::{ConnLimits, ConnSnapshot, Limits};
use crate::table::Value;

/// A connection at one moment, with its account if that was requested.
pub(super) struct Reading {
    pub(super) snapshot: ConnSnapshot,
    pub(super) limits: Option<Box<Limits>>,
}

impl From<ConnSnapshot> for Reading {
    fn from(snapshot: ConnSnapshot) -> Self {
        Reading { snapshot, limits: None }
    }
}

impl From<ConnLimits> for Reading {
    /// A copy that was made during an update of the account does not count; the next one has its time, too.
    fn from(ConnLimits { conn, limits }: ConnLimits) -> Self {
        let sum = limits.ns.iter().fold(0_u64, |sum, ns| sum.wrapping_add(*ns));
        let is_whole = limits.begin_ns != 0 && sum == limits.t0_ns.wrapping_sub(limits.begin_ns);
        Reading { snapshot: conn, limits: is_whole.then(|| Box::new(limits)) }
    }
}

/// Adds what an account has beyond an earlier one. If that was of another connection, or evicted, all of it is new.
pub(super) fn add(causes: &mut [u64], before: Option<&Limits>, now: &Limits) {
    let before = before.filter(|before| before.begin_ns == now.begin_ns);
    for (at, (cause, ns)) in causes.iter_mut().zip(now.ns).enumerate() {
        let known = before.and_then(|before| before.ns.get(at)).copied().unwrap_or(0);
        *cause = cause.saturating_add(ns.saturating_sub(known));
    }
}

/// The values of these columns.
pub(super) fn values(causes: &[u64; CAUSES]) -> [Value<'static>; OF_LIMITS] {
    let observed = causes.iter().fold(0_u64, |sum, ns| sum.saturating_add(*ns));
    let mut main = (0, 0);
    for (cause, ns) in causes.iter().enumerate().filter(|(_, ns)| **ns > 0) {
        if *ns > main.1 {
            main = (cause, *ns);
        }
    }
    let name = LIMIT_CAUSES.get(main.0).filter(|_| observed > 0);
    [
        name.map_or(Value::Null, |name| Value::Str(name)),
        Value::U64(main.1 / 1000),
        percent([main.1, observed, 0, 0]),
        Value::U64(observed / 1000),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(begin_ns: u64, times: &[(usize, u64)]) -> Limits {
        let mut limits = Limits { begin_ns, t0_ns: begin_ns, ..Limits::default() };
        for (cause, ns) in times {
            limits.ns[*cause] += ns;
            limits.t0_ns += ns;
        }
        limits
    }

    #[test]
    fn an_interval_has_what_the_account_gained() {
        let (first, next) = (account(5, &[(1, 700)]), account(5, &[(1, 900), (11, 5_000)]));
        let mut causes = [0; CAUSES];
        add(&mut causes, None, &first);
        assert_eq!(causes[1], 700);
        causes = [0; CAUSES];
        add(&mut causes, Some(&first), &next);
        assert_eq!((causes[1], causes[11]), (200, 5_000));
        assert_eq!(values(&causes)[0], Value::Str("path"));
        assert_eq!(values(&causes)[1..], [5, 96, 5].map(Value::U64));
        // The socket has another connection.
        add(&mut causes, Some(&next), &account(9, &[(1, 100)]));
        assert_eq!((causes[1], causes[11]), (300, 5_000));
    }

    #[test]
    fn what_is_not_observed_has_no_cause() {
        let [name, us, percent, observed] = values(&[0; CAUSES]);
        assert_eq!([name, percent], [Value::Null; 2]);
        assert_eq!([us, observed], [Value::U64(0); 2]);
    }

    #[test]
    fn a_copy_of_an_account_that_is_being_updated_is_left_out() {
        let limits = account(5, &[(1, 700)]);
        let torn = Limits { t0_ns: limits.t0_ns + 1, ..limits };
        let reading = |limits| Reading::from(ConnLimits { limits, ..ConnLimits::default() }).limits;
        assert!(reading(limits).is_some());
        assert!(reading(torn).is_none() && reading(Limits::default()).is_none());
    }
}
