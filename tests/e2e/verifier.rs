//! What the verifier has to do for the largest programs: the time to load them grows with it, and a kernel gives up at a million
//! instructions.

use std::fmt::Write;
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use libbpf_rs::PrintLevel;
use libbpf_rs::skel::OpenSkel;
use tcc_trace::config::{Config, Fields, KernelOptions, Output, Reader};
use tcc_trace::environment::Environment;
use tcc_trace::events::fields::{FieldGroups, RecordLayout};
use tcc_trace::events::{EVENT_TYPES, EventType};
use tcc_trace::kernel::Kernel;
use tcc_trace::loader::plan::{Request, plan};
use tcc_trace::loader::{CoreTypes, open_variant};
use tcc_trace::predicate::{Predicate, Side};
use tcc_trace::session::features;

use crate::support::is_root;

/// Instructions that the verifier may process in a program, on any kernel.
const MOST: u64 = 250_000;
/// The same with the largest condition, whose ways older kernels follow more often.
const MOST_WITH_CONDITION: u64 = 500_000;
/// BPF_LOG_STATS: the kernel ends each log with what it has processed. Unlike `verified_insns`, which came with 5.16, every kernel
/// has it.
const LOG_STATS: u32 = 4;

/// libbpf's messages are those of all loads in this process.
static ALONE: Mutex<()> = Mutex::new(());
static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keep(_: PrintLevel, message: String) {
    if message.contains("processed ") || message.contains("failed") {
        MESSAGES.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }
}

/// `prog 'NAME': …`, and a line `processed N insns …`.
fn processed(message: &str) -> Option<(String, u64)> {
    let name = message.split('\'').nth(1)?.to_owned();
    let line = message.lines().find_map(|line| line.strip_prefix("processed "))?;
    let count = line.split(' ').next()?;
    Some((name, count.parse().ok()?))
}

/// As many tests as the kernel makes for --where, with as many ways through them as there can be.
const CONDITION: &str = "(lport == 1 || rport == 2) && (lport == 3 || rport == 4) && (lport == 5 || mono_ns > 6) && \
    (lport == 7 || mono_ns < 1h) && (lport in 8-9 || cookie > 10) && (lport == 11 || raddr in 10.0.0.0/8)";

/// All event types that this kernel has, with all fields and the owner.
fn check(reader: Reader, condition: Option<&str>) {
    need!(is_root(), "not root");
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let kernel = Kernel::new(None);
    let event_types: Vec<&'static EventType> =
        EVENT_TYPES.iter().filter(|event_type| kernel.missing(event_type).is_none()).collect();
    let config = Config {
        output: Output { fields: Fields::All, stack: true, ..Output::default() },
        kernel_options: KernelOptions { reader: Some(reader), ..KernelOptions::default() },
        ..Config::default()
    };
    let request = Request {
        event_types,
        reader: Some(reader),
        owner: true,
        samples: true,
        per_connection: true,
        list_open: true,
        ..Request::default()
    };
    let plan = plan(&request, &features(&kernel, &request)).expect("a plan");
    let (mut storage, types) = (MaybeUninit::uninit(), CoreTypes::new(&kernel));
    let variant = &plan.variants[0];
    let layout = RecordLayout::new(FieldGroups::ALL);
    let filter = condition.map(|condition| {
        let environment = Environment { layout: layout.clone(), ..Environment::default() };
        let event_types: Vec<&'static EventType> = variant.event_types().collect();
        let checked = Predicate::parse(condition).unwrap().check(&event_types, None).unwrap();
        let compiled = checked.compile(&event_types, &environment);
        let in_kernel = compiled.parts.iter().flat_map(|part| &part.sides);
        assert!(in_kernel.into_iter().all(|side| matches!(side, Side::Kernel(_))));
        compiled
    });
    let mut open =
        open_variant(&mut storage, &types, &config, &plan, variant, &layout, filter.as_ref())
            .expect("it opens");
    for mut program in open.open_object_mut().progs_mut() {
        program.set_log_level(LOG_STATS);
    }
    let before = libbpf_rs::set_print(Some((PrintLevel::Debug, keep)));
    let loaded = open.load().map(drop);
    libbpf_rs::set_print(before);
    let messages = std::mem::take(&mut *MESSAGES.lock().unwrap_or_else(PoisonError::into_inner));
    loaded.unwrap_or_else(|error| panic!("{error}: {messages:#?}"));

    let mut counts: Vec<(String, u64)> =
        messages.iter().filter_map(|text| processed(text)).collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), name.clone()));
    let mut table = String::new();
    for (name, count) in &counts {
        let _ = writeln!(table, "{count:>8} {name}");
    }
    println!("{table}");
    for name in variant.program_names() {
        // The kernel has 15 bytes of a name, libbpf all of it.
        assert!(counts.iter().any(|(of, _)| of == name), "nothing of {name}: {messages:#?}");
    }
    let (name, most) = &counts[0];
    let allowed = if condition.is_some() { MOST_WITH_CONDITION } else { MOST };
    assert!(*most <= allowed, "{name}: {most} instructions; {allowed} are allowed: {table}");
}

#[test]
fn programs_are_small_enough_by_sock() {
    check(Reader::Sock, None);
}

#[test]
fn programs_are_small_enough_by_raw() {
    check(Reader::Raw, None);
}

#[test]
fn programs_with_a_condition_by_sock() {
    check(Reader::Sock, Some(CONDITION));
}

#[test]
fn programs_with_a_condition_by_raw() {
    check(Reader::Raw, Some(CONDITION));
}
