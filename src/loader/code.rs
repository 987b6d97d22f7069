//! Kernel symbols for users who may not see the addresses in /proc/kallsyms: read through the iterator over the same table
//! (Linux 6.0), which is loaded separately and removed before the trace begins.

use std::mem::MaybeUninit;

use anyhow::Result;
use libbpf_rs::skel::OpenSkel;

use super::{CoreTypes, log};
use crate::symbols::Symbols;

const PROGRAM: &str = "code_iter";

/// Fails if this kernel has no such iterator or rejects it.
pub fn symbols(types: &CoreTypes) -> Result<Symbols> {
    let mut storage = MaybeUninit::uninit();
    let mut open = super::open(&mut storage, types)?;
    for mut program in open.open_object_mut().progs_mut() {
        let wanted = program.name() == PROGRAM;
        program.set_autoload(wanted);
    }
    for mut map in open.open_object_mut().maps_mut() {
        // It holds the program's format strings.
        let wanted = map.name().to_string_lossy().ends_with(".rodata");
        map.set_autocreate(wanted)?;
    }
    let skel = open.load();
    // A rejected iterator says nothing about the trace itself.
    log::take_rejected();
    let written = super::run(&skel?.progs.code_iter, PROGRAM)?;
    Ok(Symbols::parse(&String::from_utf8_lossy(&written)))
}
