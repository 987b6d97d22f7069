//! What works with this kernel, these privileges and this binary. The JSON report is these structs, serialised.

pub mod predicate;
mod system;

use std::mem::MaybeUninit;

use anyhow::Result;
use serde::Serialize;

use self::system::{WITHOUT_BTF, no_layout, not_loaded};
use crate::config::{self, Config};
use crate::events::ca::{ALGORITHMS, Algorithm, Layouts};
use crate::events::fields::{FieldGroups, RecordLayout};
use crate::events::{EVENT_TYPES, EventType};
use crate::kernel::{self, CaState, Kernel, Rights};
use crate::loader::plan::{KernelFeatures, Plan, Request, Variant, plan};
use crate::loader::{self, CoreTypes};
use crate::session;
use crate::table::{Column, Set};

#[derive(Serialize)]
pub struct CheckReport {
    pub version: &'static str,
    pub kernel: String,
    /// Whether anything can be traced.
    pub ready: bool,
    pub system: Vec<CheckItem>,
    pub events: Vec<EventStatus>,
    pub algorithms: Vec<CheckItem>,
}

/// A feature, and whether it is available.
#[derive(Serialize)]
pub struct CheckItem {
    pub name: String,
    /// Null: unknown.
    pub ok: Option<bool>,
    /// How it works, why it does not, or why that is unknown.
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

#[derive(Serialize)]
pub struct EventStatus {
    pub name: &'static str,
    pub hook: &'static str,
    pub requests: Vec<RequestStatus>,
    pub fields: Vec<FieldStatus>,
}

/// The readers for a set of fields.
#[derive(Serialize)]
pub struct RequestStatus {
    pub name: &'static str,
    /// Whether there is a reader. Null: unknown.
    pub available: Option<bool>,
    /// Best first.
    pub readers: Vec<ReaderStatus>,
    pub transport: Option<&'static str>,
    /// Why there is no reader, or why that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Serialize)]
pub struct ReaderStatus {
    pub name: &'static str,
    pub description: &'static str,
    pub programs: Vec<String>,
    pub notes: Vec<String>,
    /// Whether the kernel accepts the programs. Null: not tried, without the privileges.
    pub loads: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Serialize)]
pub struct FieldStatus {
    pub name: &'static str,
    /// Null: unknown.
    pub available: Option<bool>,
    /// Readers that provide it, best first.
    pub readers: String,
    /// Why it is null, or why that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the kernel supports; determined once for all event types.
struct Environment<'k> {
    kernel: &'k Kernel,
    rights: Rights,
    features: KernelFeatures,
    states: Vec<CaState>,
    layouts: Layouts,
    core_types: CoreTypes,
    /// Readers for which the kernel accepts the programs of all event types together.
    loaded: Vec<config::Reader>,
}

impl CheckReport {
    /// With sufficient privileges the programs are loaded, but not attached.
    #[must_use]
    pub fn new(kernel: &Kernel, rights: Rights) -> Self {
        loader::set_log(false);
        let mut environment = Environment {
            kernel,
            rights,
            features: session::features(kernel, &Request::default()),
            states: ALGORITHMS.iter().map(|algorithm| kernel.ca_state(algorithm)).collect(),
            layouts: kernel.ca_layouts(),
            core_types: CoreTypes::new(kernel),
            loaded: Vec::new(),
        };
        environment.loaded = load_all(&environment);
        let events: Vec<EventStatus> =
            EVENT_TYPES.iter().map(|event_type| event_status(event_type, &environment)).collect();
        let usable = events.iter().any(|p| p.readers().any(|reader| reader.loads != Some(false)));
        CheckReport {
            version: env!("CARGO_PKG_VERSION"),
            kernel: kernel::release(),
            ready: rights.check().is_ok() && usable,
            system: system::items(&environment),
            events,
            algorithms: std::iter::zip(ALGORITHMS, &environment.states)
                .map(|(algorithm, state)| system::algorithm(algorithm, *state, kernel))
                .collect(),
        }
    }
}

impl EventStatus {
    /// The readers of all requests.
    pub fn readers(&self) -> impl Iterator<Item = &ReaderStatus> {
        self.requests.iter().flat_map(|request| &request.readers)
    }
}

fn event_status(event_type: &'static EventType, environment: &Environment<'_>) -> EventStatus {
    let list_open = event_type.name == "life";
    let standard = Request { event_types: vec![event_type], list_open, ..Request::default() };
    let beyond_record = event_type.is_probe().then_some("--all-fields");
    let all = Request { beyond_record, owner: true, ..standard.clone() };
    let requests: Vec<RequestStatus> = [
        ("standard fields", standard, FieldGroups::default()),
        ("all fields", all, FieldGroups::ALL),
    ]
    .into_iter()
    // All other records are the same for any fields.
    .skip(usize::from(!event_type.is_probe()))
    .map(|(name, request, groups)| {
        let none = |available, reason: &str| RequestStatus {
            name,
            available,
            readers: Vec::new(),
            transport: None,
            reason: Some(reason.to_owned()),
        };
        if environment.kernel.btf().is_err() {
            return none(None, WITHOUT_BTF);
        }
        match plan(&request, &environment.features) {
            Ok(plan) => RequestStatus {
                name,
                available: Some(true),
                readers: plan
                    .variants
                    .iter()
                    .map(|variant| reader(variant, &plan, environment, groups))
                    .collect(),
                transport: Some(plan.transport.name()),
                reason: None,
            },
            Err(why) => none(Some(false), why.text()),
        }
    })
    .collect();
    let fields = (event_type.columns)()
        .into_iter()
        .map(|column| field(event_type, column, environment))
        .collect();
    EventStatus { name: event_type.name, hook: event_type.hook, requests, fields }
}

fn field(
    event_type: &EventType,
    column: &'static Column,
    environment: &Environment<'_>,
) -> FieldStatus {
    let record =
        event_type.is_probe() && column.set == Set::Standard && environment.features.record.is_ok();
    let readers = [("record", record), ("sock", environment.features.tp_btf), ("raw", true)];
    let (available, reason) = match unavailable(event_type, column, environment) {
        Ok(()) => (Some(true), None),
        Err((available, why)) => (available, Some(why)),
    };
    FieldStatus {
        name: column.name,
        available,
        readers: readers
            .iter()
            .filter(|(_, gives)| *gives && available != Some(false))
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", "),
        reason,
    }
}

/// The error says why the column is null, or why that is unknown.
fn unavailable(
    event_type: &EventType,
    column: &Column,
    environment: &Environment<'_>,
) -> Result<(), (Option<bool>, String)> {
    let kernel = environment.kernel;
    if kernel.btf().is_err() {
        return Err((None, WITHOUT_BTF.into()));
    }
    if let Some((_, why)) =
        environment.features.missing_events.iter().find(|(name, _)| *name == event_type.name)
    {
        return Err((Some(false), why.clone()));
    }
    if let Some(need) = column.need.filter(|need| !kernel.has_member(*need)) {
        let why = format!("this kernel's {} has no {}", need.type_name, need.member);
        return Err((Some(false), why));
    }
    let of_group = |algorithm: &Algorithm| Some(algorithm.name) == column.group();
    let Some(index) = ALGORITHMS.iter().position(of_group) else {
        return Ok(());
    };
    let algorithm = &ALGORITHMS[index];
    match environment.states[index] {
        _ if environment.layouts.knows(column.name) => Ok(()),
        CaState::NotLoaded => Err((None, not_loaded(algorithm))),
        CaState::Unknown => Err((Some(false), no_layout(algorithm))),
        _ => Err((
            Some(false),
            format!("this kernel's struct {} has no such member", algorithm.type_name),
        )),
    }
}

/// Loads the programs of all event types at once for each reader, which is much faster than loading each event type. Only if
/// the kernel rejects one of the programs is each event type tried by itself.
fn load_all(environment: &Environment<'_>) -> Vec<config::Reader> {
    let missing_events = |event_type: &EventType| {
        environment.features.missing_events.iter().any(|(name, _)| *name == event_type.name)
    };
    let request = Request {
        event_types: EVENT_TYPES.iter().filter(|event_type| !missing_events(event_type)).collect(),
        beyond_record: Some("--all-fields"),
        owner: true,
        list_open: true,
        ..Request::default()
    };
    if environment.kernel.btf().is_err() || environment.rights.check().is_err() {
        return Vec::new();
    }
    let Ok(plan) = plan(&request, &environment.features) else { return Vec::new() };
    let loads = |variant: &&Variant| load(variant, &plan, environment, FieldGroups::ALL).is_ok();
    plan.variants.iter().filter(loads).map(|variant| variant.reader).collect()
}

/// Loads the programs without attaching them.
fn load(
    variant: &Variant,
    plan: &Plan,
    environment: &Environment<'_>,
    groups: FieldGroups,
) -> Result<()> {
    let mut storage = MaybeUninit::uninit();
    let (types, config) = (&environment.core_types, Config::default());
    let layout = RecordLayout::new(groups);
    loader::load(&mut storage, types, &config, plan, variant, &layout, None).map(drop)
}

/// Tries to load the programs, given the privileges. Those of `probe` depend on its fields.
fn reader(
    variant: &Variant,
    plan: &Plan,
    environment: &Environment<'_>,
    groups: FieldGroups,
) -> ReaderStatus {
    let of_probe = plan.variants.iter().any(|variant| variant.has("probe"));
    let tried = environment.rights.check().is_ok().then(|| {
        if environment.loaded.contains(&variant.reader) && !of_probe {
            return Ok(());
        }
        load(variant, plan, environment, groups)
    });
    ReaderStatus {
        name: variant.reader.name(),
        description: variant.description,
        programs: variant.program_names().map(str::to_owned).collect(),
        notes: variant.notes.clone(),
        loads: tried.as_ref().map(Result::is_ok),
        error: tried.and_then(Result::err).map(|error| format!("{error:#}")),
    }
}
