//! Any bytes are BTF or not, and can be asked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tcc_trace::btf::Btf;

fuzz_target!(|bytes: &[u8]| {
    if let Some(btf) = Btf::parse(bytes.to_vec(), None) {
        let _ = btf.member("s", "a.b");
        let _ = btf.member("tcp_sock", "rtt_min.s.v");
        let _ = btf.has_func("f");
        if let Some(excerpt) = btf.excerpt(&["s", "tcp_sock"]) {
            assert!(Btf::parse(excerpt, None).is_some());
        }
    }
});
