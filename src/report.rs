//! What this kernel, these rights and this binary can do, as data; its JSON form is these structs.

use std::mem::MaybeUninit;

use serde::Serialize;

use crate::config::{Config, Tap};
use crate::kernel::{self, CaState, Kernel, Rights};
use crate::loader;
use crate::loader::plan::{Plan, Request, Variant, plan};
use crate::probe::ca::ALGORITHMS;
use crate::probe::{KINDS, Kind};
use crate::session;
use crate::table::Set;

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
    pub ok: bool,
    /// What is so, or why not.
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
    /// Best first.
    pub readers: Vec<Reader>,
    pub transport: Option<&'static str>,
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
    pub available: bool,
    pub readers: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

impl Report {
    /// Asks the kernel; with enough rights the programs are loaded too, and not attached.
    #[must_use]
    pub fn new(kernel: &Kernel, rights: Rights) -> Self {
        loader::set_log(false);
        let probes: Vec<Probe> = KINDS.iter().map(|kind| probe(kind, kernel, rights)).collect();
        let usable = probes.iter().any(|p| p.readers().any(|reader| reader.loads != Some(false)));
        Report {
            version: env!("CARGO_PKG_VERSION"),
            kernel: kernel::release(),
            ready: rights.check().is_ok() && usable,
            system: system(kernel, rights),
            probes,
            algorithms: ALGORITHMS
                .iter()
                .map(|algorithm| algorithm_item(algorithm, kernel))
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

fn item(name: &str, found: Result<String, (String, Option<&str>)>) -> Item {
    let (ok, detail, mend) = match found {
        Ok(detail) => (true, detail, None),
        Err((detail, mend)) => (false, detail, mend.map(str::to_owned)),
    };
    Item { name: name.to_owned(), ok, detail, mend }
}

fn system(kernel: &Kernel, rights: Rights) -> Vec<Item> {
    let rights_item = match rights.check() {
        Ok(()) => item("rights", Ok("enough to load and attach programs".into())),
        Err(why) => {
            let (detail, mend) = why
                .split_once("; ")
                .map_or_else(|| (why.clone(), None), |(a, b)| (a.into(), Some(b.into())));
            Item { name: "rights".into(), ok: false, detail, mend }
        }
    };
    let yes = |there: bool, what: &str, without: &str| {
        if there { Ok(what.into()) } else { Err((without.into(), None)) }
    };
    vec![
        rights_item,
        item(
            "types",
            kernel.btf().map(|_| format!("BTF in {}", kernel.btf_path.display())).map_err(|why| {
                (why, Some("a kernel with CONFIG_DEBUG_INFO_BTF, or its BTF with --btf FILE"))
            }),
        ),
        item(
            "tracefs",
            kernel::tracefs_event("tcp", "tcp_probe")
                .map(|()| "mounted, tcp:tcp_probe is in it".into())
                .map_err(|why| {
                    let without = if kernel.has_cookie_helper() {
                        "no record reader, which nothing else depends on"
                    } else {
                        "no record reader and no new cookies"
                    };
                    (format!("{why}; without it: {without}"), None)
                }),
        ),
        item(
            "record",
            kernel
                .record()
                .map(|()| "the tcp_probe record has a layout that we know".into())
                .map_err(|why| (why, None)),
        ),
        item(
            "ring buffer",
            yes(
                kernel.has_ringbuf(),
                "BPF ring buffer",
                "none (5.8): per-CPU perf buffers are used",
            ),
        ),
        item(
            "typed programs",
            yes(
                kernel.has_tp_btf(),
                "tp_btf: direct loads of struct tcp_sock",
                "none (5.5): probe reads are used",
            ),
        ),
        item(
            "cookies",
            yes(
                kernel.has_cookie_helper(),
                "made when a connection is first seen",
                "programs cannot make them (5.12): the classic tracepoint does, where tracefs is mounted",
            ),
        ),
        item(
            "owners",
            yes(
                kernel.has_tracepoint("tcp_sendmsg_locked"),
                "seen when a process connects, sends or receives",
                "seen when a process connects or receives; of one that only sends, found among the open files within a second (6.16 has a hook)",
            ),
        ),
        item(
            "lockdown",
            if kernel::locked_down() == Some(true) {
                Err((
                    "the kernel is locked down: programs may not read its memory".into(),
                    Some("boot without lockdown=confidentiality"),
                ))
            } else {
                Ok("not in the way".into())
            },
        ),
    ]
}

fn algorithm_item(algorithm: &crate::probe::ca::Algorithm, kernel: &Kernel) -> Item {
    let found = match kernel.ca_state(algorithm) {
        CaState::Kernel => Ok("built in, layout from the kernel's BTF".into()),
        CaState::Module => Ok(format!("module {}, layout from its BTF", algorithm.module)),
        CaState::Mainline => Ok(format!(
            "module {} has no BTF on this kernel: mainline's layout is taken",
            algorithm.module
        )),
        CaState::NotLoaded => Ok(format!(
            "module {} is not loaded; its layout is looked up once it is",
            algorithm.module
        )),
        CaState::Unknown => Err((
            format!("no BTF for struct {}: {}.* are null", algorithm.type_name, algorithm.name),
            None,
        )),
    };
    item(algorithm.name, found)
}

fn probe(kind: &'static Kind, kernel: &Kernel, rights: Rights) -> Probe {
    let list_open = kind.name == "life";
    let standard = Request { kinds: vec![kind], list_open, ..Request::default() };
    let beyond_record = kind.is_probe().then_some("--all-fields");
    let all = Request { beyond_record, owner: true, ..standard.clone() };
    let uses = [("standard fields", standard, false), ("all fields", all, true)]
        .into_iter()
        // The others' records are the same whatever is shown of them.
        .skip(usize::from(!kind.is_probe()))
        .map(|(request, wanted, full)| match plan(&wanted, &session::facts(kernel)) {
            Ok(plan) => Use {
                request,
                readers: plan
                    .variants
                    .iter()
                    .map(|variant| reader(variant, &plan, kernel, rights, full))
                    .collect(),
                transport: Some(plan.transport.name()),
                refused: None,
            },
            Err(why) => Use {
                request,
                readers: Vec::new(),
                transport: None,
                refused: Some(why.text().to_owned()),
            },
        })
        .collect();
    let record = kernel.record().is_ok();
    let fields = (kind.columns)()
        .into_iter()
        .map(|column| {
            let lacking = column.need.filter(|need| !kernel.has_member(*need));
            Field {
                name: column.name,
                available: lacking.is_none(),
                readers: if column.set == Set::Standard && kind.is_probe() && record {
                    "record, sock, raw"
                } else {
                    "sock, raw"
                },
                missing: lacking
                    .map(|need| format!("this kernel's {} has no {}", need.type_name, need.member)),
            }
        })
        .collect();
    Probe { name: kind.name, hook: kind.hook, uses, fields }
}

/// Tries to load, without attaching, where we may.
fn reader(variant: &Variant, plan: &Plan, kernel: &Kernel, rights: Rights, full: bool) -> Reader {
    let tried = rights.check().is_ok().then(|| {
        let mut storage = MaybeUninit::uninit();
        let tap = Tap { btf: Some(kernel.btf_path.clone()), ..Tap::default() };
        let config = Config { tap, ..Config::default() };
        loader::load(&mut storage, &config, plan, variant, full).map(drop)
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
