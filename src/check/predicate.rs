//! `check --where`: which conditions the kernel decides, and which user space.

use anyhow::{Result, anyhow};
use serde::Serialize;

use crate::environment::Environment;
use crate::events::fields::{FieldGroups, RecordLayout};
use crate::events::{EventType, drop};
use crate::kernel::Kernel;
use crate::predicate::{Compiled, Conjunct, Part, Predicate, Side};

#[derive(Serialize)]
pub struct WhereReport {
    pub expression: String,
    pub event_types: Vec<WhereStatus>,
}

/// How the expression is evaluated for an event type.
#[derive(Serialize)]
pub struct WhereStatus {
    pub name: &'static str,
    /// All of them must hold.
    pub conditions: Vec<ConditionStatus>,
    /// The fields that are read.
    pub fields: Vec<&'static str>,
}

#[derive(Serialize)]
pub struct ConditionStatus {
    pub condition: String,
    pub decided: Decided,
    /// The number of the kernel's tests.
    pub tests: usize,
    /// Why the kernel does not decide it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decided {
    Kernel,
    UserSpace,
    /// All events match.
    Always,
    /// No event matches.
    Never,
}

impl WhereReport {
    /// Checks the expression against this kernel.
    pub fn new(
        predicate: &Predicate,
        event_types: &[&'static EventType],
        kernel: &Kernel,
    ) -> Result<Self> {
        predicate.check(event_types, None)?;
        kernel.btf().map_err(|why| anyhow!(why))?;
        let mut environment = Environment { types: kernel.types(), ..Environment::default() };
        if event_types.iter().any(|of| of.number == drop::EVENT_TYPE.number) {
            environment.types.drop_reasons = kernel.drop_reasons();
        }
        let checked = predicate.check(event_types, Some(&environment.types))?;
        let columns = || event_types.iter().flat_map(|of| checked.columns(of));
        for member in columns().filter_map(|column| column.need) {
            if !kernel.has_member(member) {
                environment.add_missing(member);
            }
        }
        let of_probe = event_types.iter().filter(|of| of.is_probe());
        let groups = FieldGroups::of(of_probe.flat_map(|of| checked.columns(of)));
        environment.layout = RecordLayout::new(groups);
        let Compiled { parts, .. } = checked.compile(event_types, &environment);
        let event_types = parts.iter().map(|part| WhereStatus::new(part, &checked.conjuncts));
        Ok(WhereReport { expression: predicate.text.clone(), event_types: event_types.collect() })
    }
}

impl WhereStatus {
    fn new(part: &Part, conjuncts: &[Conjunct]) -> Self {
        let condition = |(conjunct, side): (&Conjunct, &Side)| {
            let (decided, tests, reason) = match *side {
                Side::Kernel(tests) => (Decided::Kernel, tests, None),
                Side::User(why) => (Decided::UserSpace, 0, Some(why)),
                Side::Always(true) => (Decided::Always, 0, None),
                Side::Always(false) => (Decided::Never, 0, None),
            };
            ConditionStatus { condition: conjunct.text.clone(), decided, tests, reason }
        };
        WhereStatus {
            name: part.event_type.name,
            conditions: conjuncts.iter().zip(&part.sides).map(condition).collect(),
            fields: part.columns.iter().map(|column| column.name).collect(),
        }
    }
}
