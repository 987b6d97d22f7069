//! Compiles `src/bpf/tcc_trace.bpf.c` into a skeleton. Needs clang only: no bpftool, no BTF, no network.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, fs};

use anyhow::{Context, Result};
use libbpf_cargo::SkeletonBuilder;
use libbpf_rs::btf::{Btf, BtfKind, BtfType};
use object::build::elf::{Builder, SectionData};
use object::elf;

const SOURCE: &str = "src/bpf/tcc_trace.bpf.c";
/// clang 12 is the first with the CO-RE relocations (type and enum existence) that libbpf's headers need.
const OLDEST_CLANG: u32 = 12;

fn main() {
    println!("cargo:rerun-if-changed=src/bpf");
    println!("cargo:rerun-if-changed=vmlinux");
    println!("cargo:rerun-if-env-changed=CLANG");

    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".into());
    match clang_version(&clang) {
        Some(version) if version >= OLDEST_CLANG => {}
        Some(version) => unusable_clang(&format!("{clang} is version {version}")),
        None => unusable_clang(&format!("cannot run {clang}")),
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let object = out.join("tcc_trace.o");
    let mut skeleton = SkeletonBuilder::new();
    // As a literal, its bytes would be 150 000 lines, which take clippy half a minute.
    skeleton.reference_obj(true);
    skeleton.source(SOURCE).obj(&object).clang(&clang).clang_args([
        "-Wall",
        "-Werror",
        "-Ivmlinux",
        "-Isrc/bpf",
        // Linux 5.10 has no v3 atomics, which came with 5.12.
        "-mcpu=v2",
        // No absolute path in the object's line info, so that builds from two directories are identical.
        "-ffile-compilation-dir=.",
    ]);
    let built = skeleton
        .build()
        .and_then(|()| drop_labels(&object))
        .and_then(|()| skeleton.generate(out.join("tcc_trace.skel.rs")))
        .and_then(|()| list_core_types(&object, &out.join("core_types.rs")));
    if let Err(error) = built {
        // clang's messages go to stderr, which cargo shows if a build script fails.
        eprintln!("{error:#}");
        stop(&format!("cannot compile {SOURCE}"));
    }
}

/// Removes the labels of basic blocks from the symbol table: libbpf scans all of it for each program.
fn drop_labels(path: &Path) -> Result<()> {
    let bytes = fs::read(path)?;
    let mut object = Builder::read(&*bytes)?;
    for symbol in &mut object.symbols {
        symbol.delete = symbol.st_type() == elf::STT_NOTYPE && symbol.st_bind() == elf::STB_LOCAL;
    }
    // libbpf's linker stores the names of sections and symbols in one table, this crate in two.
    let names = object.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = elf::SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut written = Vec::new();
    object.write(&mut written)?;
    fs::write(path, written)?;
    Ok(())
}

/// Lists the types that CO-RE relocations may use, for src/loader/types.rs.
fn list_core_types(object: &Path, out: &Path) -> Result<()> {
    const ROOTS: [BtfKind; 5] =
        [BtfKind::Struct, BtfKind::Union, BtfKind::Enum, BtfKind::Enum64, BtfKind::Typedef];
    let btf = Btf::from_path(object)?;
    let types = btf.type_by_kind::<BtfType<'_>>().filter(|found| ROOTS.contains(&found.kind()));
    let names = types.filter_map(|found| found.name()?.to_str());
    // A suffix after three underscores marks our variants, and libbpf ignores it.
    let mut names: Vec<&str> = names.filter_map(|name| name.split("___").next()).collect();
    names.sort_unstable();
    names.dedup();
    let text = format!(
        "/// Kernel types that CO-RE relocations may use.\npub const CORE_TYPES: &[&str] = &{names:?};\n"
    );
    fs::write(out, text).with_context(|| format!("{}", out.display()))
}

/// The major version, from the first line of `clang --version`.
fn clang_version(clang: &str) -> Option<u32> {
    let output = Command::new(clang).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = text.split_once("version ")?.1;
    after.split('.').next()?.parse().ok()
}

fn unusable_clang(what: &str) -> ! {
    stop(&format!(
        "{what}; tcc-trace needs clang {OLDEST_CLANG} or newer to build: apt-get install clang, or set CLANG"
    ))
}

fn stop(what: &str) -> ! {
    println!("cargo:warning={what}");
    exit(1);
}
