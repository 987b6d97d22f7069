//! Runs BPF iterators.

use std::io::{ErrorKind, Read};

use anyhow::{Context, Result};
use libbpf_rs::ProgramMut;

/// Bytes to read from an iterator at a time; the kernel buffers 8 pages.
const CHUNK: usize = 32 << 10;

/// Runs an iterator to its end and returns its output.
pub(super) fn run(program: &ProgramMut<'_>, name: &str) -> Result<Vec<u8>> {
    let link = program.attach().with_context(|| format!("cannot attach {name}"))?;
    let mut iter = libbpf_rs::Iter::new(&link).with_context(|| format!("cannot run {name}"))?;
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
