//! Names of processes with any bytes: each format has all of them, escaped, and `--comm` finds them as they are printed.

use std::fs;

use rustix::process::Signal;

use crate::support::{FAMILIES, Fixture, Tcc, assert_events, is_root, wait_until};

/// Not UTF-8 at their ends, at their beginning and within; what looks like an escape; what a terminal acts upon.
const NAMES: [&[u8]; 6] = [
    b"sshd\xff\xff",
    b"\xffx",
    b"a\xc3b",
    b"a\\xff",
    b"e\x1b[2J\r\n",
    "a\u{202e},\"\u{9b}".as_bytes(),
];

/// Each `\xNN` is that byte.
fn unescaped(text: &str) -> Vec<u8> {
    let mut pieces = text.split("\\x");
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).expect("two digits"));
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    bytes
}

/// As the kernel has it.
fn comm(pid: u32) -> Vec<u8> {
    let mut comm = fs::read(format!("/proc/{pid}/comm")).expect("a process");
    assert_eq!(comm.pop(), Some(b'\n'));
    comm
}

#[test]
fn a_name_is_printed_to_its_last_byte() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = |format: &str| Tcc::connect().output(format).ports(&[fixture.port]).start();
    let (json, mut csv, mut text) = (tracer("jsonl"), tracer("csv"), tracer("text"));
    let mut truth = Vec::new();
    for (i, name) in NAMES.iter().enumerate() {
        fixture.client.rename(name);
        truth.push(comm(fixture.client.pid));
        fixture.connect(&i.to_string(), FAMILIES[0]);
    }
    let trace = json.stop();
    trace.check_account();
    let names: Vec<&str> = trace.events.iter().filter_map(|event| event["comm"].as_str()).collect();
    assert_eq!(names.iter().map(|name| unescaped(name)).collect::<Vec<_>>(), truth);

    for tracer in [&mut csv, &mut text] {
        wait_until("all lines", || tracer.stdout().lines().count() > NAMES.len());
        tracer.signal(Signal::INT);
        wait_until("its end", || tracer.ended());
        let stdout = tracer.stdout();
        assert!(!stdout.replace('\n', "").contains(|c: char| c.is_control() || c == '\u{202e}'));
        let all = unescaped(&stdout);
        // CSV doubles quotes.
        for name in &truth[..5] {
            assert!(all.windows(name.len()).any(|found| found == name), "{name:?}: {stdout}");
        }
    }
}

#[test]
fn a_filter_takes_a_name_as_it_was_printed() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let wanted = r"sshd\xff\xff";
    let tracer = Tcc::connect().option("--comm", wanted).ports(&[fixture.port]).start();
    for (i, name) in NAMES.iter().enumerate() {
        fixture.client.rename(name);
        fixture.connect(&i.to_string(), FAMILIES[0]);
    }
    let trace = tracer.stop();
    trace.check_account();
    assert_events(&trace.events, [event!(connect { comm: wanted, pid: fixture.client.pid })]);
}
