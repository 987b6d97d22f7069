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

/// Those of this kernel; says so where it has none.
fn kernels() -> Option<Btf<'static>> {
    if !Path::new(KERNEL).exists() {
        eprintln!("skipped: no {KERNEL}");
        return None;
    }
    Some(Btf::from_file(Path::new(KERNEL)).unwrap())
}

#[test]
fn this_kernel_is_read() {
    let Some(btf) = kernels() else { return };
    // Fixed since 4.4, and behind anonymous unions.
    assert_eq!(btf.member("sock_common", "skc_num"), Some(Location { offset: 14 * 8, size: 16 }));
    assert!(btf.member("inet_connection_sock", "icsk_ca_state").unwrap().size < 8);
    assert_eq!(btf.member("tcp_sock", "rtt_min.s.v").unwrap().size, 32);
    assert!(btf.has_func("tcp_rcv_established") && btf.has_typedef("btf_trace_tcp_probe"));
    assert!(!btf.has_struct("tcp_sock___none"));
}

/// `struct s` of [`sample`], and `struct p { struct s *to; struct s has; struct q *other; }; struct q { int b; }; typedef int s_t;`
/// with a function of the same name as a struct.
fn nested() -> Vec<u8> {
    let (int, s, a, b) = (1u32, 5u32, 7u32, 9u32);
    let (p, to, has, q, s_t, f) = (11u32, 13u32, 16u32, 20u32, 22u32, 26u32);
    let types: Vec<u32> = [
        vec![int, INT << 24, 4, 32],
        vec![0, STRUCT << 24 | 1, 4, b, 1, 0],
        vec![s, 1 << 31 | STRUCT << 24 | 2, 8, a, 1, 3 << 24 | 5, 0, 2, 32],
        vec![0, PTR << 24, 3],
        vec![0, PTR << 24, 7],
        vec![p, STRUCT << 24 | 3, 24, to, 4, 0, has, 3, 64, q, 5, 128],
        vec![q, STRUCT << 24 | 1, 4, b, 1, 0],
        vec![s_t, TYPEDEF << 24, 1],
        vec![0, FUNC_PROTO << 24, 1],
        vec![p, FUNC << 24, 9],
        vec![f, ENUM << 24 | 1, 4, a, 5],
    ]
    .concat();
    file(&types, b"\0int\0s\0a\0b\0p\0to\0has\0q\0s_t\0f\0")
}

#[test]
fn an_excerpt_has_what_its_types_hold_and_nothing_else() {
    let whole = Btf::parse(nested(), None).unwrap();
    let excerpt = Btf::parse(whole.excerpt(&["p", "s_t", "f", "none"]).unwrap(), None).unwrap();
    for path in ["to", "has", "has.a", "has.b", "q"] {
        assert!(whole.member("p", path).is_some(), "{path}");
        assert_eq!(excerpt.member("p", path), whole.member("p", path), "{path}");
    }
    assert!(excerpt.has_struct("s") && excerpt.has_typedef("s_t"));
    assert_eq!(excerpt.enumerators("f"), [("a".to_owned(), 5)]);
    // Behind a pointer, and no type.
    assert!(!excerpt.has_struct("q") && !excerpt.has_func("p"));
    assert_eq!(excerpt.types.len(), 8, "p, s_t, f, two pointers, int, s and the nameless");
    assert_eq!(excerpt.excerpt(&["p", "s_t", "f"]), Some(excerpt.bytes.clone()));
}

/// libbpf takes it, and every type that a program may be relocated by is in there as it is in the kernel.
#[test]
fn an_excerpt_of_this_kernel_is_the_kernels() {
    let Some(whole) = kernels() else { return };
    let bytes = whole.excerpt(crate::skel::CORE_TYPES).unwrap();
    let path = std::env::temp_dir().join(format!("tcc-excerpt-{}", std::process::id()));
    std::fs::write(&path, &bytes).unwrap();
    let theirs = libbpf_rs::btf::Btf::from_path(&path);
    std::fs::remove_file(&path).unwrap();
    let theirs = theirs.unwrap();
    let excerpt = Btf::parse(bytes, None).unwrap();
    assert_eq!(theirs.len(), excerpt.types.len() + 1);
    assert!(excerpt.types.len() * 10 < whole.types.len(), "{}", excerpt.types.len());
    for name in crate::skel::CORE_TYPES {
        let members = |btf: &Btf<'_>| -> Vec<_> {
            btf.named(name).map(|(_, entry)| btf.members(entry)).collect()
        };
        assert_eq!(members(&excerpt), members(&whole), "{name}");
    }
    assert_ne!(excerpt.member("tcp_sock", "inet_conn.icsk_inet.sk.sk_rcvbuf"), None);
}

impl Btf<'_> {
    /// Name, place and size of each, as far as they can be asked for by name.
    fn members(&self, entry: Entry<'_>) -> Vec<(String, Option<Location>)> {
        let of = self.string(entry.name).unwrap();
        let names = (0..entry.len()).filter_map(|i| self.string(entry.word(12 + i * 12)?));
        let named = names.filter(|name| matches!(entry.kind(), STRUCT | UNION) && !name.is_empty());
        named.map(|name| (name.to_owned(), self.member(of, name))).collect()
    }
}

proptest! {
    #[test]
    fn broken_btf_is_refused_or_read_but_never_panics(
        at in 0usize..300, byte in any::<u8>(), cut in 0usize..150,
    ) {
        let mut bytes = nested();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len().max(cut) - cut % 7);
        if let Some(btf) = Btf::parse(bytes, None) {
            let _ = (btf.member("s", "a"), btf.member("s", "b"), btf.has_func("int"));
            let _ = btf.excerpt(&["s"]).map(|excerpt| Btf::parse(excerpt, None).expect("BTF"));
        }
    }
}
