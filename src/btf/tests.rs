use super::*;
use proptest::prelude::*;

const KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// `struct s { int a:3 at bit 5; struct { int b; } at bit 32; }`.
fn sample() -> Vec<u8> {
    let (int, s, a, b) = (1u32, 5u32, 7u32, 9u32);
    let types: Vec<u32> = [
        vec![int, INT << 24, 4, 32],
        vec![0, STRUCT << 24 | 1, 4, b, 1, 0],
        vec![s, 1 << 31 | STRUCT << 24 | 2, 8, a, 1, 3 << 24 | 5, 0, 2, 32],
    ]
    .concat();
    file(&types, b"\0int\0s\0a\0b\0")
}

fn file(types: &[u32], strings: &[u8]) -> Vec<u8> {
    let len = (types.len() * 4) as u32;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC.to_ne_bytes());
    bytes.extend_from_slice(&[1, 0]);
    for word in [24, 0, len, len, strings.len() as u32].iter().chain(types) {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend_from_slice(strings);
    bytes
}

#[test]
fn a_modules_struct_is_followed_into_the_kernels() {
    let base = Btf::parse(sample(), None).unwrap();
    // Ids from 4 and strings from 11 on: `struct m { int int; struct s x[2] at bit 32; }`.
    let (m, x, int, s) = (12u32, 14u32, 1u32, 3u32);
    let types: Vec<u32> =
        [vec![0, ARRAY << 24, 0, s, int, 2], vec![m, STRUCT << 24 | 2, 20, 1, int, 0, x, 4, 32]]
            .concat();
    let module = Btf::parse(file(&types, b"\0m\0x\0"), Some(&base)).unwrap();
    let at = |offset, size| Some(Location { offset, size });
    assert_eq!(module.member("m", "int"), at(0, 32));
    assert_eq!(module.member("m", "x.a"), at(32 + 5, 3));
    assert_eq!(module.member("m", "x.b"), at(32 + 32, 32));
    assert_eq!(module.member("m", "x"), at(32, 128));
    assert_eq!(module.member("s", "b"), at(32, 32));
}

#[test]
fn members_are_found_in_bit_fields_and_anonymous_structs() {
    let btf = Btf::parse(sample(), None).unwrap();
    assert_eq!(btf.member("s", "a"), Some(Location { offset: 5, size: 3 }));
    assert_eq!(btf.member("s", "b"), Some(Location { offset: 32, size: 32 }));
    assert_eq!(btf.member("s", "c"), None);
    assert_eq!(btf.member("t", "a"), None);
}

#[test]
fn this_kernel_is_read() {
    if !Path::new(KERNEL).exists() {
        eprintln!("skipped: no {KERNEL}");
        return;
    }
    let btf = Btf::from_file(Path::new(KERNEL)).unwrap();
    // Fixed since 4.4, and behind anonymous unions.
    assert_eq!(btf.member("sock_common", "skc_num"), Some(Location { offset: 14 * 8, size: 16 }));
    assert!(btf.member("inet_connection_sock", "icsk_ca_state").unwrap().size < 8);
    assert_eq!(btf.member("tcp_sock", "rtt_min.s.v").unwrap().size, 32);
    assert!(btf.has_func("tcp_rcv_established") && btf.has_typedef("btf_trace_tcp_probe"));
    assert!(!btf.has_struct("tcp_sock___none"));
}

proptest! {
    #[test]
    fn broken_btf_is_refused_or_read_but_never_panics(
        at in 0usize..150, byte in any::<u8>(), cut in 0usize..150,
    ) {
        let mut bytes = sample();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len().max(cut) - cut % 7);
        if let Some(btf) = Btf::parse(bytes, None) {
            let _ = (btf.member("s", "a"), btf.member("s", "b"), btf.has_func("int"));
        }
    }
}
