//! Recordings of other machines, made from the records of this one.

use std::path::Path;

use serde_json::Value;
use tcc_trace::recording::codec::ByteOrder;
use tcc_trace::recording::header::Header;
use tcc_trace::recording::schema::Shape;

use super::{OsStr, TempDir, all_records, cells, events, printed, run, write, write_of};

const ALL: [&str; 5] = ["events", "all", "-a", "-o", "jsonl"];
const OTHER: ByteOrder = match ByteOrder::NATIVE {
    ByteOrder::Little => ByteOrder::Big,
    ByteOrder::Big => ByteOrder::Little,
};

/// A record as a machine of that byte order makes it.
pub fn in_order(record: &[u8], shapes: &[Shape], order: ByteOrder) -> Vec<u8> {
    let mut record = record.to_vec();
    let (number, len) = (record[52], record.len());
    let of_record = |shape: &&Shape| shape.number == number && usize::from(shape.len) == len;
    let shape = shapes.iter().find(of_record).filter(|_| order != ByteOrder::NATIVE);
    for member in shape.iter().flat_map(|shape| &shape.members) {
        let (start, width) = (usize::from(member.offset), usize::from(member.width));
        let bytes = &mut record[start..start + width * usize::from(member.count)];
        bytes.chunks_mut(width).for_each(<[u8]>::reverse);
    }
    record
}

/// The events of a file, and what is printed beside them.
fn read(path: &Path) -> (Vec<Value>, String) {
    let output = run(ALL.map(OsStr::new).into_iter().chain([OsStr::new("-r"), path.as_os_str()]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    (events(&String::from_utf8(output.stdout).unwrap()), stderr)
}

fn of_machine(path: &Path, machine: &str, byte_order: ByteOrder) {
    let header = |header: &mut Header| {
        (header.machine, header.byte_order) = (machine.to_owned(), byte_order);
    };
    write_of(path, &all_records(), "boot-1", header);
}

#[test]
fn another_architecture_of_the_same_byte_order_has_the_same_values() {
    let dir = TempDir::new("arm64");
    let (here, there) = (dir.file("here.tcc"), dir.file("arm64.tcc"));
    write(&here, &all_records(), "boot-1");
    of_machine(&there, "aarch64", ByteOrder::NATIVE);
    let (found, stderr) = read(&there);
    assert_eq!(found, read(&here).0);
    assert!(!stderr.contains("machine"), "{stderr}");
}

/// Of an algorithm's own state a copy of bytes is recorded, of which another machine does not know the order.
#[test]
fn another_byte_order_is_converted() {
    let dir = TempDir::new("s390x");
    let (here, there) = (dir.file("here.tcc"), dir.file("s390x.tcc"));
    write(&here, &all_records(), "boot-1");
    of_machine(&there, "s390x", OTHER);
    let ((known, _), (found, stderr)) = (read(&here), read(&there));
    assert!(
        stderr.contains("of another byte order: the algorithms' own fields are null"),
        "{stderr}"
    );
    assert_eq!(found.len(), known.len());
    let (mut compared, mut null) = (0, 0);
    for (known, found) in known.iter().zip(&found) {
        let found = cells(found);
        for (name, value) in cells(known) {
            if name.contains('.') {
                null += 1;
                assert!(found.get(&name).is_none_or(Value::is_null), "{name}");
            } else {
                compared += 1;
                assert_eq!(found.get(&name).unwrap_or(&Value::Null), &value, "{name}");
            }
        }
    }
    assert!(compared > 800 && null > 5, "{compared}, {null}");
    // Conditions and filters read the same values.
    let where_ = ["states", "-q", "-o", "csv", "--where", "snd_cwnd > 5 && dport == 50412"];
    assert_eq!(printed(&where_, &[&there]), printed(&where_, &[&here]));
}

/// ETIMEDOUT is 110 here, and 145 there.
#[test]
fn other_numbers_of_errors_have_no_names() {
    let dir = TempDir::new("mips");
    let there = dir.file("mips64.tcc");
    of_machine(&there, "mips64", ByteOrder::NATIVE);
    let (found, stderr) = read(&there);
    assert!(stderr.contains("mips64, which has other numbers of errors"), "{stderr}");
    let life = found.iter().find(|event| event["type"] == "life").unwrap();
    assert_eq!((&life["err"], &life["errno"]), (&Value::Null, &110.into()));
    let output = run([OsStr::new("info"), there.as_os_str()]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("mips64"));
}
