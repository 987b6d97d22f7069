//! The kernel types that the programs' CO-RE relocations use.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::kernel::{KERNEL_BTF, Kernel};
use crate::skel::CORE_TYPES;

/// A BTF file for libbpf.
pub struct CoreTypes {
    /// None: libbpf finds the kernel's own.
    path: Option<PathBuf>,
    /// Keeps the excerpt open that the path leads to.
    _file: Option<File>,
}

impl CoreTypes {
    /// An excerpt, or without /proc, through which libbpf opens it, the whole BTF.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        if let Some(file) = excerpt(kernel) {
            let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            if path.exists() {
                return CoreTypes { path: Some(path), _file: Some(file) };
            }
        }
        let given = (kernel.btf_path != Path::new(KERNEL_BTF)).then(|| kernel.btf_path.clone());
        CoreTypes { path: given, _file: None }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

fn excerpt(kernel: &Kernel) -> Option<File> {
    let bytes = kernel.btf().ok()?.excerpt(CORE_TYPES)?;
    let mut file = File::from(memfd_create("btf", MemfdFlags::CLOEXEC).ok()?);
    file.write_all(&bytes).ok()?;
    Some(file)
}
