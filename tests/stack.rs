//! The stack of each chain of calls in the compiled object. A kernel adds up the frames of a chain and refuses more than 512
//! bytes; from 6.13 on it gives many programs a stack of their own and refuses only a single frame of that size, so that a chain
//! that is too long for older kernels loads there. Dead code counts here, as the compiler cannot know what the verifier removes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use object::elf::{FileHeader64, R_BPF_64_32};
use object::read::elf::ElfFile64;
use object::{
    Endianness, Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SymbolKind,
};

const MAX_STACK: u32 = 512;
const MAX_FRAMES: usize = 8;
/// A frame is rounded up to that, by kernels before 6.8 at least.
const ROUND: u32 = 32;

/// Of an instruction, and the frame pointer.
const CALL: u8 = 0x85;
const LOAD_IMM64: u8 = 0x18;
const MOVE_REGISTER: u8 = 0xbf;
const ADD_IMM: u8 = 0x07;
const BPF_TO_BPF: u8 = 1;
const FRAME_POINTER: u8 = 10;

struct Function {
    name: String,
    /// The deepest byte that it uses of its frame.
    frame: u32,
    /// Where the functions are that it calls.
    calls: Vec<(usize, u64)>,
}

type Functions = BTreeMap<(usize, u64), Function>;

fn functions(bytes: &[u8]) -> Functions {
    let file = ElfFile64::<Endianness>::parse(bytes).expect("the object");
    assert_eq!(size_of_val(file.elf_header()), size_of::<FileHeader64<Endianness>>());
    let of_kind =
        file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0);
    of_kind
        .map(|symbol| {
            let index = symbol.section_index().expect("a section");
            let section = file.section_by_index(index).expect("a section");
            // None: a function of the kernel's.
            let mut relocated: BTreeMap<u64, Option<(usize, u64)>> = BTreeMap::new();
            for (at, relocation) in section.relocations() {
                let RelocationTarget::Symbol(target) = relocation.target() else { continue };
                let is_call =
                    matches!(relocation.flags(), RelocationFlags::Elf { r_type: R_BPF_64_32 });
                let target = file.symbol_by_index(target).expect("a symbol");
                if is_call {
                    let section = target.section_index();
                    relocated.insert(at, section.map(|section| (section.0, target.address())));
                }
            }
            let code = section.data().expect("code");
            let range = symbol.address() as usize..(symbol.address() + symbol.size()) as usize;
            let mut function = Function {
                name: symbol.name().expect("a name").to_owned(),
                frame: 0,
                calls: Vec::new(),
            };
            function.scan(&code[range], symbol.address(), index.0, &relocated);
            ((index.0, symbol.address()), function)
        })
        .collect()
}

impl Function {
    fn scan(
        &mut self,
        code: &[u8],
        start: u64,
        section: usize,
        relocated: &BTreeMap<u64, Option<(usize, u64)>>,
    ) {
        // Registers that are copies of the frame pointer, to which an offset may be added next.
        let mut copies = [false; 16];
        let mut at = 0;
        while at < code.len() {
            let insn = &code[at..at + 8];
            let (op, dst, src) = (insn[0], insn[1] & 15, insn[1] >> 4);
            let offset = i16::from_le_bytes([insn[2], insn[3]]);
            let imm = i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]);
            let base = match op & 7 {
                1 => Some(src),
                2 | 3 => Some(dst),
                _ => None,
            };
            if base == Some(FRAME_POINTER) {
                self.uses(offset.into());
            }
            if op == ADD_IMM && copies[usize::from(dst)] {
                self.uses(imm);
            }
            copies[usize::from(dst)] = op == MOVE_REGISTER && src == FRAME_POINTER;
            let here = start + at as u64;
            if op == CALL && src == BPF_TO_BPF {
                let past = (i64::from(imm) + 1) * 8;
                if let Some((section, from)) =
                    relocated.get(&here).copied().unwrap_or(Some((section, here)))
                {
                    self.calls.push((section, from.checked_add_signed(past).expect("an address")));
                }
            }
            at += if op == LOAD_IMM64 { 16 } else { 8 };
        }
    }

    fn uses(&mut self, offset: i32) {
        self.frame = self.frame.max(offset.min(0).unsigned_abs());
    }
}

/// The deepest chain that begins there: its stack, and its functions.
fn deepest(functions: &Functions, at: (usize, u64), depth: usize) -> (u32, Vec<&Function>) {
    let function = functions.get(&at).unwrap_or_else(|| panic!("no function at {at:x?}"));
    assert!(depth <= MAX_FRAMES, "{}: more than {MAX_FRAMES} frames", function.name);
    let below = function.calls.iter().map(|&call| deepest(functions, call, depth + 1));
    let (stack, mut chain) = below.max_by_key(|(stack, _)| *stack).unwrap_or_default();
    chain.insert(0, function);
    (stack + function.frame.max(1).next_multiple_of(ROUND), chain)
}

#[test]
fn no_chain_of_calls_exceeds_the_stack() {
    let object = fs::read(Path::new(env!("OUT_DIR")).join("tcc_trace.o")).expect("the object");
    let functions = functions(&object);
    let calls: usize = functions.values().map(|function| function.calls.len()).sum();
    assert!(functions.len() > 80 && calls > 100, "{} functions, {calls} calls", functions.len());
    let mut chains: Vec<_> = functions.keys().map(|&at| deepest(&functions, at, 1)).collect();
    chains.sort_by_key(|(stack, _)| std::cmp::Reverse(*stack));
    let shown = |(stack, chain): &(u32, Vec<&Function>)| {
        let frames: Vec<String> = chain.iter().map(|f| format!("{} {}", f.name, f.frame)).collect();
        format!("{stack}: {}", frames.join(", "))
    };
    let table: Vec<String> = chains.iter().take(10).map(shown).collect();
    println!("{}", table.join("\n"));
    // A function whose frame was not found would make every sum too small.
    assert!(chains[0].0 > 300, "{table:#?}");
    assert!(chains[0].0 <= MAX_STACK, "{table:#?}");
}
