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

/// Runs an iterator over a map's elements.
pub(super) fn run_over(
    program: &ProgramMut<'_>,
    name: &str,
    map: BorrowedFd<'_>,
) -> Result<Vec<u8>> {
    let link = program.attach_iter(map).with_context(|| format!("cannot attach {name}"))?;
    read(&link, name)
}

fn read(link: &Link, name: &str) -> Result<Vec<u8>> {
    let mut iter = libbpf_rs::Iter::new(link).with_context(|| format!("cannot run {name}"))?;
    let (mut written, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    loop {
        match iter.read(&mut chunk) {
            Ok(0) => return Ok(written),
            Ok(n) => written.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            // The kernel pauses after a million files; the next read continues.
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot run {name}")),
        }
    }
}
