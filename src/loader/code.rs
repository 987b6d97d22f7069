//! The names of the kernel's code where /proc/kallsyms hides its addresses from us: by the iterator over the same table
//! (6.0), which is loaded by itself, read once and gone before the trace begins.

use std::mem::MaybeUninit;

use anyhow::Result;
use libbpf_rs::skel::OpenSkel;

use super::{CoreTypes, log};
use crate::symbols::Symbols;

const PROGRAM: &str = "code_iter";

/// Those names; an error where this kernel has no such iterator or refuses it.
pub fn symbols(types: &CoreTypes) -> Result<Symbols> {
    let mut storage = MaybeUninit::uninit();
    let mut open = super::open(&mut storage, types)?;
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
