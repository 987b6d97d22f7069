//! What this kernel, these rights and this binary can do, as data; its JSON form is these structs.

mod system;

use std::mem::MaybeUninit;

use anyhow::Result;
use serde::Serialize;

use self::system::{WITHOUT_TYPES, no_layout, not_loaded};
use crate::config::{self, Config};
use crate::kernel::{self, CaState, Kernel, Rights};
use crate::loader::plan::{Facts, Plan, Request, Variant, plan};
use crate::loader::{self, CoreTypes};
use crate::probe::ca::{ALGORITHMS, Algorithm, Layouts};
use crate::probe::{KINDS, Kind};
use crate::session;
use crate::table::{Column, Set};

/// The whole.
#[derive(Serialize)]
pub struct Report {
    pub version: &'static str,
    pub kernel: String,
    /// Can anything be traced as things are?
    pub ready: bool,
    pub system: Vec<Item>,
    pub probes: Vec<Probe>,
    pub algorithms: Vec<Item>,
}

/// One thing that is there, or is not.
#[derive(Serialize)]
pub struct Item {
    pub name: String,
    /// Null: it is not known.
    pub ok: Option<bool>,
    /// What is so, or why not, or why that is not known.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

#[derive(Serialize)]
pub struct Probe {
    pub name: &'static str,
    pub hook: &'static str,
    pub uses: Vec<Use>,
    pub fields: Vec<Field>,
}

/// What would be used for a request.
#[derive(Serialize)]
pub struct Use {
    pub request: &'static str,
    /// Is there a reader for it? Null: it is not known.
    pub possible: Option<bool>,
    /// Best first.
    pub readers: Vec<Reader>,
    pub transport: Option<&'static str>,
    /// Why there is none, or why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

#[derive(Serialize)]
pub struct Reader {
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
pub struct Field {
    pub name: &'static str,
    /// Null: it is not known.
    pub available: Option<bool>,
    /// That would give it, best first.
    pub readers: String,
    /// Why it is null, or why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// What the kernel was asked, once for all kinds.
struct Asked<'k> {
    kernel: &'k Kernel,
    rights: Rights,
    facts: Facts,
    states: Vec<CaState>,
    layouts: Layouts,
    core_types: CoreTypes,
    /// Readers for which the kernel took the programs of all event types together.
    loaded: Vec<config::Reader>,
}

impl Report {
    /// Asks the kernel; with enough rights the programs are loaded too, and not attached.
    #[must_use]
    pub fn new(kernel: &Kernel, rights: Rights) -> Self {
        loader::set_log(false);
        let mut asked = Asked {
            kernel,
            rights,
            facts: session::facts(kernel),
            states: ALGORITHMS.iter().map(|algorithm| kernel.ca_state(algorithm)).collect(),
            layouts: kernel.ca_layouts(),
            core_types: CoreTypes::new(kernel),
            loaded: Vec::new(),
        };
        asked.loaded = load_all(&asked);
        let probes: Vec<Probe> = KINDS.iter().map(|kind| probe(kind, &asked)).collect();
        let usable = probes.iter().any(|p| p.readers().any(|reader| reader.loads != Some(false)));
        Report {
            version: env!("CARGO_PKG_VERSION"),
            kernel: kernel::release(),
            ready: rights.check().is_ok() && usable,
            system: system::items(&asked),
            probes,
            algorithms: std::iter::zip(ALGORITHMS, &asked.states)
                .map(|(algorithm, state)| system::algorithm(algorithm, *state, kernel))
                .collect(),
        }
    }
}

impl Probe {
    /// Of all requests.
    pub fn readers(&self) -> impl Iterator<Item = &Reader> {
        self.uses.iter().flat_map(|usage| &usage.readers)
    }
}

fn probe(kind: &'static Kind, asked: &Asked<'_>) -> Probe {
    let list_open = kind.name == "life";
    let standard = Request { kinds: vec![kind], list_open, ..Request::default() };
    let beyond_record = kind.is_probe().then_some("--all-fields");
    let all = Request { beyond_record, owner: true, ..standard.clone() };
    let uses: Vec<Use> = [("standard fields", standard, false), ("all fields", all, true)]
        .into_iter()
        // The others' records are the same whatever is shown of them.
        .skip(usize::from(!kind.is_probe()))
        .map(|(request, wanted, full)| {
            let none = |possible, why: &str| Use {
                request,
                possible,
                readers: Vec::new(),
                transport: None,
                refused: Some(why.to_owned()),
            };
            if asked.kernel.btf().is_err() {
                return none(None, WITHOUT_TYPES);
            }
            match plan(&wanted, &asked.facts) {
                Ok(plan) => Use {
                    request,
                    possible: Some(true),
                    readers: plan
                        .variants
                        .iter()
                        .map(|variant| reader(variant, &plan, asked, full))
                        .collect(),
                    transport: Some(plan.transport.name()),
                    refused: None,
                },
                Err(why) => none(Some(false), why.text()),
            }
        })
        .collect();
    let fields = (kind.columns)().into_iter().map(|column| field(kind, column, asked)).collect();
    Probe { name: kind.name, hook: kind.hook, uses, fields }
}

fn field(kind: &Kind, column: &'static Column, asked: &Asked<'_>) -> Field {
    let record = kind.is_probe() && column.set == Set::Standard && asked.facts.record.is_ok();
    let readers = [("record", record), ("sock", asked.facts.tp_btf), ("raw", true)];
    let (available, missing) = match missing(kind, column, asked) {
        Ok(()) => (Some(true), None),
        Err((available, why)) => (available, Some(why)),
    };
    Field {
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
fn missing(kind: &Kind, column: &Column, asked: &Asked<'_>) -> Result<(), (Option<bool>, String)> {
    let kernel = asked.kernel;
    if kernel.btf().is_err() {
        return Err((None, WITHOUT_TYPES.into()));
    }
    if let Some((_, why)) = asked.facts.lacking.iter().find(|(name, _)| *name == kind.name) {
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
    match asked.states[index] {
        _ if asked.layouts.knows(column.name) => Ok(()),
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
fn load_all(asked: &Asked<'_>) -> Vec<config::Reader> {
    let lacking = |kind: &Kind| asked.facts.lacking.iter().any(|(name, _)| *name == kind.name);
    let request = Request {
        kinds: KINDS.iter().filter(|kind| !lacking(kind)).collect(),
        beyond_record: Some("--all-fields"),
        owner: true,
        list_open: true,
        ..Request::default()
    };
    if asked.kernel.btf().is_err() || asked.rights.check().is_err() {
        return Vec::new();
    }
    let Ok(plan) = plan(&request, &asked.facts) else { return Vec::new() };
    let loads = |variant: &&Variant| load(variant, &plan, asked, true).is_ok();
    plan.variants.iter().filter(loads).map(|variant| variant.reader).collect()
}

/// Loads them, without attaching.
fn load(variant: &Variant, plan: &Plan, asked: &Asked<'_>, full: bool) -> Result<()> {
    let mut storage = MaybeUninit::uninit();
    loader::load(&mut storage, &asked.core_types, &Config::default(), plan, variant, full).map(drop)
}

/// Tries to load, where we may. The programs of `probe` differ with its fields.
fn reader(variant: &Variant, plan: &Plan, asked: &Asked<'_>, full: bool) -> Reader {
    let of_probe = plan.variants.iter().any(|variant| variant.has("probe"));
    let tried = asked.rights.check().is_ok().then(|| {
        if asked.loaded.contains(&variant.reader) && !of_probe {
            return Ok(());
        }
        load(variant, plan, asked, full)
    });
    Reader {
        name: variant.reader.name(),
        why: variant.why,
        programs: variant
            .hooks
            .iter()
            .chain(variant.programs.iter().map(|(_, name)| name))
            .chain(&variant.seconds)
            .cloned()
            .collect(),
        notes: variant.notes.clone(),
        loads: tried.as_ref().map(Result::is_ok),
        error: tried.and_then(Result::err).map(|error| format!("{error:#}")),
    }
}
