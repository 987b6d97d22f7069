//! The programs' test of `--where`, compiled alone and run in the kernel on random records: it says what user space says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libbpf_rs::btf::types::{DataSec, Var};
use libbpf_rs::libbpf_sys::API_HEADERS;
use libbpf_rs::{Btf, Linker, MapCore, MapFlags, ObjectBuilder, ProgramInput};
use tcc_trace::events::{EVENT_TYPES, EventType};
use tcc_trace::predicate::{Compiled, Predicate, Side};
use tcc_trace::skel::bytes;

use crate::generated::random::{Random, expression, record};
use crate::generated::{decode, environment, json};
use crate::support::{TempDir, guest, is_root};

const EXPRESSIONS: usize = 150;
const RECORDS: usize = 40;

/// Compiles the program and links it, which resolves the places of its variables.
fn build(dir: &Path) -> PathBuf {
    let include = dir.join("bpf");
    fs::create_dir(&include).unwrap();
    for (name, text) in API_HEADERS {
        fs::write(include.join(name), text).unwrap();
    }
    let (object, linked) = (dir.join("predicate.o"), dir.join("predicate.bpf.o"));
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".into());
    let output = Command::new(&clang)
        .args(["-g", "-O2", "-target", "bpf", "-mcpu=v2", "-Wall", "-Werror"])
        .args(["-Ivmlinux", "-Isrc/bpf", "-I"])
        .arg(dir)
        .args(["-c", "tests/e2e/predicate.bpf.c", "-o"])
        .arg(&object)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap_or_else(|error| panic!("{clang}: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut linker = Linker::new(&linked).unwrap();
    linker.add_file(&object).unwrap();
    linker.link().unwrap();
    linked
}

/// Where a constant lies among all.
fn place(btf: &Btf<'_>, name: &str) -> usize {
    let constants: DataSec<'_> = btf.type_by_name(".rodata").expect("constants");
    let is_named = |ty| {
        let variable: Option<Var<'_>> = btf.type_by_id(ty);
        variable.and_then(|variable| variable.name().map(|found| found == name)) == Some(true)
    };
    let found = constants.iter().find(|constant| is_named(constant.ty));
    found.unwrap_or_else(|| panic!("no {name}")).offset as usize
}

/// The kernel's part of a condition on these records.
fn in_kernel(
    object: &Path,
    btf: &Btf<'_>,
    event_type: &EventType,
    compiled: &Compiled,
    records: &[Vec<u8>],
) -> Result<Vec<bool>, String> {
    let mut open = ObjectBuilder::default().open_file(object).unwrap();
    let mut constants =
        open.maps_mut().find(|map| map.name().to_string_lossy().ends_with(".rodata")).unwrap();
    let constants = constants.initial_value_mut().expect("values");
    let mut set = |at: usize, value: &[u8]| constants[at..at + value.len()].copy_from_slice(value);
    let terms = place(btf, "where_terms");
    for (at, step) in compiled.steps().iter().enumerate() {
        let term = step.term();
        set(terms + at * bytes(&term).len(), bytes(&term));
    }
    for (number, start) in compiled.starts() {
        set(place(btf, "where_start") + number, &[start]);
    }
    set(place(btf, "event_type"), &u32::from(event_type.number).to_ne_bytes());
    let object = open.load().map_err(|error| format!("{error:#}"))?;
    let map = |name: &str| object.maps().find(|map| map.name() == name).unwrap();
    let (input, output) = (map("records"), map("results"));
    let program = object.progs_mut().find(|program| program.name() == "run_predicate").unwrap();
    let key = 0_u32.to_ne_bytes();
    let run = |record: &Vec<u8>| {
        let mut padded = record.clone();
        padded.resize(1024, 0);
        input.update(&key, &padded, MapFlags::ANY).unwrap();
        program.test_run(ProgramInput::default()).unwrap();
        output.lookup(&key, MapFlags::ANY).unwrap().unwrap()[0] == 1
    };
    Ok(records.iter().map(run).collect())
}

#[test]
fn the_kernel_says_what_user_space_says() {
    need!(is_root(), "not root");
    need!(!guest(), "no compiler in the machine", legitimate: true);
    let dir = TempDir::new();
    let object = build(dir.path());
    let btf = Btf::from_path(&object).unwrap();
    let environment = environment();
    let (mut tried, mut results) = (0, [0; 2]);
    for seed in 0.. {
        if tried == EXPRESSIONS {
            break;
        }
        let mut random = Random(seed);
        let event_type = &EVENT_TYPES[random.below(EVENT_TYPES.len())];
        let records: Vec<Vec<u8>> = (0..RECORDS).map(|_| record(&mut random, event_type)).collect();
        let first = json(&decode(&records[0], &environment.types));
        let text = expression(&mut random, event_type, &first, 3);
        let predicate = Predicate::parse(&text).unwrap();
        let Ok(checked) = predicate.check(&[event_type], Some(&environment.types)) else {
            continue;
        };
        let compiled = checked.compile(&[event_type], &environment);
        if !compiled.parts[0].sides.iter().all(|side| matches!(side, Side::Kernel(_))) {
            continue;
        }
        tried += 1;
        let found = in_kernel(&object, &btf, event_type, &compiled, &records);
        let found = found.unwrap_or_else(|error| panic!("seed {seed}: {text}: {error}"));
        let user = Compiled::in_user_space(&checked, &environment);
        for (record, found) in records.iter().zip(found) {
            let event = decode(record, &environment.types);
            let expected = user.matches(&event);
            assert_eq!(found, expected, "seed {seed}: {text} on {}", json(&event));
            results[usize::from(found)] += 1;
        }
    }
    assert!(results.iter().all(|count| *count > 500), "one-sided: {results:?}");
}
