//! What this kernel, these rights and this binary can do, as data; its JSON form is these structs.

mod system;

use std::mem::MaybeUninit;

use anyhow::Result;
use serde::Serialize;

use self::system::{WITHOUT_TYPES, no_layout, not_loaded};
use crate::config::{self, Config};
use crate::events::ca::{ALGORITHMS, Algorithm, Layouts};
use crate::events::{EVENT_TYPES, EventType};
use crate::kernel::{self, CaState, Kernel, Rights};
use crate::loader::plan::{KernelFeatures, Plan, Request, Variant, plan};
use crate::loader::{self, CoreTypes};
use crate::session;
use crate::table::{Column, Set};

/// The whole.
#[derive(Serialize)]
pub struct CheckReport {
    pub version: &'static str,
    pub kernel: String,
    /// Can anything be traced as things are?
    pub ready: bool,
    pub system: Vec<CheckItem>,
    pub events: Vec<EventStatus>,
    pub algorithms: Vec<CheckItem>,
}

/// One thing that is there, or is not.
#[derive(Serialize)]
pub struct CheckItem {
    pub name: String,
    /// Null: it is not known.
    pub ok: Option<bool>,
    /// What is so, or why not, or why that is not known.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

#[derive(Serialize)]
pub struct EventStatus {
    pub name: &'static str,
    pub hook: &'static str,
    pub uses: Vec<RequestStatus>,
    pub fields: Vec<FieldStatus>,
}

/// What would be used for a request.
#[derive(Serialize)]
pub struct RequestStatus {
    pub request: &'static str,
    /// Is there a reader for it? Null: it is not known.
    pub possible: Option<bool>,
    /// Best first.
    pub readers: Vec<ReaderStatus>,
    pub transport: Option<&'static str>,
    /// Why there is none, or why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

#[derive(Serialize)]
pub struct ReaderStatus {
    pub name: &'static str,
    pub why: &'static str,
    pub programs: Vec<String>,
    pub notes: Vec<String>,
    /// Did the kernel take the programs? Null: not tried, for want of rights.
    pub loads: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Serialize)]
pub struct FieldStatus {
    pub name: &'static str,
    /// Null: it is not known.
    pub available: Option<bool>,
    /// That would give it, best first.
    pub readers: String,
    /// Why it is null, or why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// What the kernel was answers, once for all event types.
struct KernelAnswers<'k> {
    kernel: &'k Kernel,
    rights: Rights,
    features: KernelFeatures,
    states: Vec<CaState>,
    layouts: Layouts,
    core_types: CoreTypes,
    /// Readers for which the kernel took the programs of all event types together.
    loaded: Vec<config::Reader>,
}

impl CheckReport {
    /// Asks the kernel; with enough rights the programs are loaded too, and not attached.
    #[must_use]
    pub fn new(kernel: &Kernel, rights: Rights) -> Self {
        loader::set_log(false);
        let mut answers = KernelAnswers {
            kernel,
            rights,
            features: session::features(kernel),
            states: ALGORITHMS.iter().map(|algorithm| kernel.ca_state(algorithm)).collect(),
            layouts: kernel.ca_layouts(),
            core_types: CoreTypes::new(kernel),
            loaded: Vec::new(),
        };
        answers.loaded = load_all(&answers);
        let events: Vec<EventStatus> =
            EVENT_TYPES.iter().map(|event_type| event_status(event_type, &answers)).collect();
        let usable = events.iter().any(|p| p.readers().any(|reader| reader.loads != Some(false)));
        CheckReport {
            version: env!("CARGO_PKG_VERSION"),
            kernel: kernel::release(),
            ready: rights.check().is_ok() && usable,
            system: system::items(&answers),
            events,
            algorithms: std::iter::zip(ALGORITHMS, &answers.states)
                .map(|(algorithm, state)| system::algorithm(algorithm, *state, kernel))
                .collect(),
        }
    }
}

impl EventStatus {
    /// Of all requests.
    pub fn readers(&self) -> impl Iterator<Item = &ReaderStatus> {
        self.uses.iter().flat_map(|usage| &usage.readers)
    }
}

fn event_status(event_type: &'static EventType, answers: &KernelAnswers<'_>) -> EventStatus {
    let list_open = event_type.name == "life";
    let standard = Request { event_types: vec![event_type], list_open, ..Request::default() };
    let beyond_record = event_type.is_probe().then_some("--all-fields");
    let all = Request { beyond_record, owner: true, ..standard.clone() };
    let uses: Vec<RequestStatus> =
        [("standard fields", standard, false), ("all fields", all, true)]
            .into_iter()
            // The others' records are the same whatever is shown of them.
            .skip(usize::from(!event_type.is_probe()))
            .map(|(request, wanted, full)| {
                let none = |possible, why: &str| RequestStatus {
                    request,
                    possible,
                    readers: Vec::new(),
                    transport: None,
                    refused: Some(why.to_owned()),
                };
                if answers.kernel.btf().is_err() {
                    return none(None, WITHOUT_TYPES);
                }
                match plan(&wanted, &answers.features) {
                    Ok(plan) => RequestStatus {
                        request,
                        possible: Some(true),
                        readers: plan
                            .variants
                            .iter()
                            .map(|variant| reader(variant, &plan, answers, full))
                            .collect(),
                        transport: Some(plan.transport.name()),
                        refused: None,
                    },
                    Err(why) => none(Some(false), why.text()),
                }
            })
            .collect();
    let fields = (event_type.columns)()
        .into_iter()
        .map(|column| field(event_type, column, answers))
        .collect();
    EventStatus { name: event_type.name, hook: event_type.hook, uses, fields }
}

fn field(
    event_type: &EventType,
    column: &'static Column,
    answers: &KernelAnswers<'_>,
) -> FieldStatus {
    let record =
        event_type.is_probe() && column.set == Set::Standard && answers.features.record.is_ok();
    let readers = [("record", record), ("sock", answers.features.tp_btf), ("raw", true)];
    let (available, missing) = match missing(event_type, column, answers) {
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
        missing,
    }
}

/// Why there is no such value here, or why that is not known.
fn missing(
    event_type: &EventType,
    column: &Column,
    answers: &KernelAnswers<'_>,
) -> Result<(), (Option<bool>, String)> {
    let kernel = answers.kernel;
    if kernel.btf().is_err() {
        return Err((None, WITHOUT_TYPES.into()));
    }
    if let Some((_, why)) =
        answers.features.missing_events.iter().find(|(name, _)| *name == event_type.name)
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
    match answers.states[index] {
        _ if answers.layouts.knows(column.name) => Ok(()),
        CaState::NotLoaded => Err((None, not_loaded(algorithm))),
        CaState::Unknown => Err((Some(false), no_layout(algorithm))),
        _ => Err((
            Some(false),
            format!("this kernel's struct {} has no such member", algorithm.type_name),
        )),
    }
}

/// Loads the programs of all event types at once, for each reader: the object is opened and the kernel's types are read once.
/// Where the kernel refuses one of the programs, each event type is tried by itself.
fn load_all(answers: &KernelAnswers<'_>) -> Vec<config::Reader> {
    let missing_events = |event_type: &EventType| {
        answers.features.missing_events.iter().any(|(name, _)| *name == event_type.name)
    };
    let request = Request {
        event_types: EVENT_TYPES.iter().filter(|event_type| !missing_events(event_type)).collect(),
        beyond_record: Some("--all-fields"),
        owner: true,
        list_open: true,
        ..Request::default()
    };
    if answers.kernel.btf().is_err() || answers.rights.check().is_err() {
        return Vec::new();
    }
    let Ok(plan) = plan(&request, &answers.features) else { return Vec::new() };
    let loads = |variant: &&Variant| load(variant, &plan, answers, true).is_ok();
    plan.variants.iter().filter(loads).map(|variant| variant.reader).collect()
}

/// Loads them, without attaching.
fn load(variant: &Variant, plan: &Plan, answers: &KernelAnswers<'_>, full: bool) -> Result<()> {
    let mut storage = MaybeUninit::uninit();
    loader::load(&mut storage, &answers.core_types, &Config::default(), plan, variant, full)
        .map(drop)
}

/// Tries to load, where we may. The programs of `probe` differ with its fields.
fn reader(variant: &Variant, plan: &Plan, answers: &KernelAnswers<'_>, full: bool) -> ReaderStatus {
    let of_probe = plan.variants.iter().any(|variant| variant.has("probe"));
    let tried = answers.rights.check().is_ok().then(|| {
        if answers.loaded.contains(&variant.reader) && !of_probe {
            return Ok(());
        }
        load(variant, plan, answers, full)
    });
    ReaderStatus {
        name: variant.reader.name(),
        why: variant.why,
        programs: variant
            .helpers
            .iter()
            .chain(variant.programs.iter().map(|(_, name)| name))
            .chain(&variant.recursion_fallbacks)
            .cloned()
            .collect(),
        notes: variant.notes.clone(),
        loads: tried.as_ref().map(Result::is_ok),
        error: tried.and_then(Result::err).map(|error| format!("{error:#}")),
    }
}
