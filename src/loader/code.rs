//! The names of the kernel's code where /proc/kallsyms hides its addresses from us: by the iterator over the same table
//! (6.0), which is loaded by itself, read once and gone before the trace begins.

use std::mem::MaybeUninit;
use std::path::Path;

use anyhow::{Context, Result};
use libbpf_rs::skel::{OpenSkel, SkelBuilder};

use super::log;
use crate::kernel::KERNEL_BTF;
use crate::skel::TccTraceSkelBuilder;
use crate::symbols::Symbols;

const PROGRAM: &str = "code_iter";

/// Those names; an error where this kernel has no such iterator or refuses it.
pub fn symbols(btf: Option<&Path>) -> Result<Symbols> {
    let mut storage = MaybeUninit::uninit();
    let mut builder = TccTraceSkelBuilder::default();
    if let Some(path) = btf.filter(|path| *path != Path::new(KERNEL_BTF)) {
        builder.obj_builder.btf_custom_path(path).context("--btf")?;
    }
    let mut open = builder.open(&mut storage).context("cannot open the BPF object")?;
    for mut program in open.open_object_mut().progs_mut() {
        let wanted = program.name() == PROGRAM;
        program.set_autoload(wanted);
    }
    for mut map in open.open_object_mut().maps_mut() {
        // The program's text stands in there.
        let wanted = map.name().to_string_lossy().ends_with(".rodata");
        map.set_autocreate(wanted)?;
    }
    let skel = open.load();
    // That is no reason why the trace itself would not go.
    log::take_refused();
    let written = super::run(&skel?.progs.code_iter, PROGRAM)?;
    Ok(Symbols::parse(&String::from_utf8_lossy(&written)))
}
