//! Compiles `src/bpf/tcc_trace.bpf.c` into a skeleton. Needs clang only: no bpftool, no BTF, no network.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use libbpf_cargo::SkeletonBuilder;
use libbpf_rs::btf::types::{Array, Composite, Int, IntEncoding, MemberAttr};
use libbpf_rs::btf::{Btf, BtfKind, BtfType, HasSize};
use object::build::elf::{Builder, SectionData};
use object::elf;

const SOURCE: &str = "src/bpf/tcc_trace.bpf.c";
/// clang 12 is the first with the CO-RE relocations (type and enum existence) that libbpf's headers need.
const OLDEST_CLANG: u32 = 12;

const CLANG_ARGS: &[&str] = &[
    "-Wall",
    "-Werror",
    "-Ivmlinux",
    "-Isrc/bpf",
    // Linux 5.10 has no v3 atomics, which came with 5.12.
    "-mcpu=v2",
    // No absolute path in the object's line info, so that builds from two directories are identical.
    "-ffile-compilation-dir=.",
];

fn main() {
    println!("cargo:rerun-if-changed=src/bpf");
    println!("cargo:rerun-if-changed=vmlinux");
    println!("cargo:rerun-if-env-changed=CLANG");

    name_commit();

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
    skeleton.source(SOURCE).obj(&object).clang(&clang).clang_args(CLANG_ARGS);
    // Where the kernel has no types of its own, libbpf refuses an object that names functions of the kernel.
    let without_kfuncs = out.join("without_kfuncs.o");
    let mut other = SkeletonBuilder::new();
    other
        .source(SOURCE)
        .obj(&without_kfuncs)
        .clang(&clang)
        .clang_args(CLANG_ARGS.iter().chain(&["-DTCC_WITHOUT_KFUNCS"]));
    let built = skeleton
        .build()
        .and_then(|()| other.build())
        .and_then(|()| drop_labels(&without_kfuncs))
        .and_then(|()| drop_labels(&object))
        .and_then(|()| skeleton.generate(out.join("tcc_trace.skel.rs")))
        .and_then(|()| choose_object(&out.join("tcc_trace.skel.rs")))
        .and_then(|()| list_core_types(&object, &out.join("core_types.rs")))
        .and_then(|()| list_records(&object, &out.join("records.rs")));
    if let Err(error) = built {
        // clang's messages go to stderr, which cargo shows if a build script fails.
        eprintln!("{error:#}");
        stop(&format!("cannot compile {SOURCE}"));
    }
}

/// Sets TCC_TRACE_COMMIT, which a builder without git may set: the commit that recordings name. Only of a release build, as all others
/// would be built again after each commit.
fn name_commit() {
    println!("cargo:rerun-if-env-changed=TCC_TRACE_COMMIT");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if env::var_os("TCC_TRACE_COMMIT").is_some() || !is_release {
        return;
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    // Not that of another tree around this one.
    let Some(log) = git(&["ls-files", "--error-unmatch", SOURCE])
        .and_then(|_| git(&["rev-parse", "--git-path", "logs/HEAD"]))
    else {
        return;
    };
    println!("cargo:rerun-if-changed={log}");
    if let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) {
        println!("cargo:rustc-env=TCC_TRACE_COMMIT={commit}");
    }
}

/// Lets the skeleton open the object that `crate::skel` chooses.
fn choose_object(path: &Path) -> Result<()> {
    const NEW: &str = "ObjectSkeletonConfigBuilder::new(&DATA)";
    let text = fs::read_to_string(path)?;
    if text.matches(NEW).count() != 1 {
        bail!("{}: the skeleton is not as libbpf-cargo 0.27 makes it", path.display());
    }
    let chosen = "ObjectSkeletonConfigBuilder::new(crate::skel::object(&DATA))";
    Ok(fs::write(path, text.replace(NEW, chosen))?)
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

/// Lists the members of all records, for src/recording/schema.rs: name, offset, width, how many, and whether they are signed.
fn list_records(object: &Path, out: &Path) -> Result<()> {
    let btf = Btf::from_path(object)?;
    let records: Composite<'_> = btf.type_by_name("tcc_record").context("no union tcc_record")?;
    let mut text = String::from(
        "/// Every record, with its size and its members.\npub const RECORDS: &[Record] = &[\n",
    );
    for record in records.iter() {
        let of = btf.type_by_id::<BtfType<'_>>(record.ty).context("no type of a record")?;
        // Enums are there to be in the object.
        let Ok(of) = Composite::try_from(of.skip_mods_and_typedefs()) else { continue };
        let mut members = Vec::new();
        list_members(&btf, &of, "", 0, &mut members)?;
        let name = record.name.and_then(|name| name.to_str()).context("a record has no name")?;
        text += &format!("    Record {{ name: {name:?}, size: {}, members: &[\n", of.size());
        members.iter().for_each(|member| text += &format!("        {member},\n"));
        text += "    ] },\n";
    }
    fs::write(out, text + "];\n").with_context(|| format!("{}", out.display()))
}

/// Those of nested structs have a path as their name.
fn list_members(
    btf: &Btf<'_>,
    of: &Composite<'_>,
    path: &str,
    base: u32,
    members: &mut Vec<String>,
) -> Result<()> {
    for member in of.iter() {
        let name = member.name.and_then(|name| name.to_str()).context("a member has no name")?;
        let path = format!("{path}{name}");
        let MemberAttr::Normal { offset } = member.attr else { bail!("{path} is a bit-field") };
        let offset = base + offset / 8;
        let is = btf.type_by_id::<BtfType<'_>>(member.ty).context("no type of a member")?;
        let is = is.skip_mods_and_typedefs();
        if let Ok(inner) = Composite::try_from(is) {
            // What a record begins with has the same names in all of them.
            let first = inner.iter().next().and_then(|first| first.name);
            let begins = first.is_some_and(|first| first == "head" || first == "event");
            let inside = if begins { String::new() } else { format!("{path}.") };
            list_members(btf, &inner, &inside, offset, members)?;
            continue;
        }
        let (count, element) = match Array::try_from(is) {
            Ok(array) => (array.capacity(), array.contained_type().skip_mods_and_typedefs()),
            Err(_) => (1, is),
        };
        let Ok(int) = Int::try_from(element) else { bail!("{path} is not an integer") };
        let (width, signed) = (int.bits / 8, matches!(int.encoding, IntEncoding::Signed));
        members.push(format!("({path:?}, {offset}, {width}, {count}, {signed})"));
    }
    Ok(())
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
