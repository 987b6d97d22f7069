//! What BPF programs can do on this kernel, by its BTF.

use std::path::Path;

use super::{KERNEL_BTF, Kernel};
use crate::skel;

impl Kernel {
    /// The BPF ring buffer: Linux 5.8.
    #[must_use]
    pub fn has_ringbuf(&self) -> bool {
        self.query(|btf| btf.has_struct("bpf_ringbuf"))
    }

    /// tp_btf, programs that load typed memory directly: Linux 5.5.
    #[must_use]
    pub fn has_tp_btf(&self) -> bool {
        self.query(|btf| btf.has_func("bpf_skc_to_tcp_sock")) && self.has_tracepoint("tcp_probe")
    }

    /// bpf_get_socket_cookie() in tracing programs: Linux 5.12 (c5dbb89fc2ac), which added this function.
    #[must_use]
    pub fn has_cookie_helper(&self) -> bool {
        self.query(|btf| btf.has_func("bpf_get_socket_ptr_cookie"))
    }

    /// The ID of `struct tcp_sock` in this kernel's own BTF, which a program may cast a socket to.
    #[must_use]
    pub fn tcp_sock_type(&self) -> Option<u32> {
        let own = self.btf.as_ref().ok().filter(|_| self.btf_path == Path::new(KERNEL_BTF));
        own?.struct_id("tcp_sock")
    }

    /// Raw and typed tracepoint programs are not run where they have interrupted themselves on the same CPU: Linux 6.1
    /// (05b24ff9b2cf), which gave this function its name.
    #[must_use]
    pub fn skips_nested(&self) -> bool {
        self.query(|btf| btf.has_func("bpf_prog_inc_misses_counter"))
    }
}

/// Iterators over the elements of a map: Linux 5.8 (a5cbe05a6673). A kernel may refuse them, and not those over sockets and files.
#[must_use]
pub fn has_map_iterators() -> bool {
    skel::loads_iterator(c"bpf_map_elem")
}
