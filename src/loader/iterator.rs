//! Runs BPF iterators.

use std::io::{ErrorKind, Read};
use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use libbpf_rs::{Link, ProgramMut};

/// Bytes to read from an iterator at a time; the kernel buffers 8 pages.
const CHUNK: usize = 32 << 10;

/// Runs an iterator to its end and returns its output.
pub(super) fn run(program: &ProgramMut<'_>, name: &str) -> Result<Vec<u8>> {
    read(&program.attach().with_context(|| format!("cannot attach {name}"))?, name)
}

/// Runs an iterator over a map's elements; `written` gets its output.
pub(super) fn run_over(
    program: &ProgramMut<'_>,
    name: &str,
    map: BorrowedFd<'_>,
    written: &mut Vec<u8>,
) -> Result<()> {
    let link = program.attach_iter(map).with_context(|| format!("cannot attach {name}"))?;
    written.clear();
    read_into(&link, name, written)
}

fn read(link: &Link, name: &str) -> Result<Vec<u8>> {
    let mut written = Vec::new();
    read_into(link, name, &mut written)?;
    Ok(written)
}

fn read_into(link: &Link, name: &str, written: &mut Vec<u8>) -> Result<()> {
    let mut iter = libbpf_rs::Iter::new(link).with_context(|| format!("cannot run {name}"))?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match iter.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => written.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            // The kernel pauses after a million files; the next read continues.
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot run {name}")),
        }
    }
}
