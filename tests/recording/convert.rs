//! `convert`: other formats, recordings again, and recordings without what identifies anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use serde_json::Value;
use tcc_trace::events::{EVENT_TYPES, EventType};
use tcc_trace::recording::codec::{ByteOrder, Decoder};
use tcc_trace::recording::frame::FrameType;
use tcc_trace::recording::frames::Frames;
use tcc_trace::sink::FORMATS;
use tcc_trace::slot::Form;
use tcc_trace::table::Origin;

use super::{TempDir, all_records, events, lines, printed, run, write, write_of};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A conversion that succeeds, and what it prints.
#[track_caller]
fn convert(args: &[&str]) -> String {
    let output = run([&["convert"], args].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(args: &[&str], words: &str) {
    let output = run([&["convert"], args].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains(words), "{args:?}: {stderr}");
}

fn all_fields(files: &[&Path]) -> String {
    printed(&["events", "all", "-a", "-q", "-o", "jsonl"], files)
}

#[test]
fn a_conversion_is_what_a_command_prints() {
    let dir = TempDir::new("formats");
    let file = dir.file("all.tcc");
    write(&file, &all_records(), "boot-1");
    let path = text(&file);
    assert_eq!(convert(&[path, "--to", "jsonl", "-a"]), all_fields(&[&file]));
    let to = dir.file("out.csv");
    let options = ["-q", "--fields", "mono_ns,snd_cwnd", "--where", "snd_cwnd > 0"];
    let own = ["--event-types", "probe,state", "--to", "csv", "-w", text(&to)];
    assert_eq!(convert(&[&[path], &options[..], &own].concat()), "");
    let types = ["events", "probe,state", "-o", "csv"];
    assert_eq!(
        fs::read_to_string(&to).unwrap(),
        printed(&[&types[..], &options].concat(), &[&file])
    );
    // It is neither overwritten nor are its sources.
    refused(&[path, "--to", "csv", "-w", text(&to)], "overwrite it with --force");
    convert(&[path, "--to", "csv", "-w", text(&to), "--force"]);
    for target in ["csv", "tcc"] {
        refused(&[path, "--to", target, "-w", path, "--force"], "this file is read");
    }
    refused(&[path, "--to", "tcc"], "--to tcc needs -w FILE");
    refused(&[path, "--to", "tcc", "-a", "-w", text(&to)], "--all-fields cannot be used");
    refused(&[path, "--to", "csv", "-o", "csv"], "-o cannot be used with `convert`");
    refused(&[path, "--to", "csv", "--event-types", "prope"], "did you mean `probe`");
    assert_eq!(events(&all_fields(&[&file])).len(), all_records().len());
}

/// Also by formats that keep rows back until the end. xplot has a directory, with files of some event types only.
#[test]
fn each_format_of_this_build_has_all_events() {
    let dir = TempDir::new("each");
    let file = dir.file("all.tcc");
    write(&file, &all_records(), "boot-1");
    for format in FORMATS {
        let to = dir.file(format.name);
        let output = run(["convert", text(&file), "--to", format.name, "-w", text(&to)]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stderr}", format.name);
        let emitted =
            stderr.lines().filter_map(|line| line.split_once(" seen = ")?.1.split_once(" emitted"));
        let emitted: usize = emitted.map(|(count, _)| count.parse::<usize>().unwrap()).sum();
        assert_eq!(emitted, all_records().len(), "{}: {stderr}", format.name);
        assert!(to.is_dir() || fs::metadata(&to).unwrap().len() > 0, "{}", format.name);
    }
}

/// With its counters, names and clock.
#[test]
fn a_recording_of_a_recording_is_the_same() {
    let dir = TempDir::new("again");
    let (file, again) = (dir.file("all.tcc"), dir.file("again.tcc"));
    write(&file, &all_records(), "boot-1");
    let stderr = run(["convert", text(&file), "--to", "tcc", "-w", text(&again)]).stderr;
    let count = all_records().len();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stderr.contains(&format!("recorded {count} events in ")), "{stderr}");
    assert_eq!(all_fields(&[&again]), all_fields(&[&file]));
    let info = |path: &Path| {
        let mut found =
            lines(&String::from_utf8(run(["info", "-o", "jsonl", text(path)]).stdout).unwrap());
        let own = ["file", "bytes", "frames", "recording", "command_line", "config", "commit"];
        own.iter().for_each(|name| drop(found[0].as_object_mut().unwrap().remove(*name)));
        found
    };
    assert_eq!(info(&again), info(&file));
    // With what a filter rejects in its counters.
    let some = dir.file("some.tcc");
    convert(&[
        text(&file),
        "-q",
        "-6",
        "--to",
        "tcc",
        "-w",
        text(&some),
        "--where",
        "type != \"drop\"",
    ]);
    let filtered = printed(
        &["events", "all", "-6", "--where", "type != \"drop\"", "-a", "-q", "-o", "jsonl"],
        &[&file],
    );
    // Where a condition was decided does not matter.
    let [mut again, mut filtered] = [all_fields(&[&some]), filtered].map(|text| lines(&text));
    let [one, other] = [again.pop(), filtered.pop()].map(Option::unwrap);
    assert_eq!(again, filtered);
    for name in ["seen", "emitted", "filtered", "lost"] {
        assert_eq!(one[name], other[name], "{name}");
    }
    let found = info(&some);
    filtered.retain(|line| line["type"] != "notice");
    assert_eq!(found[0]["records"], filtered.len() as u64);
}

#[test]
fn files_of_one_boot_become_one() {
    let dir = TempDir::new("merged");
    let all = all_records();
    let (even, odd): (Vec<_>, Vec<_>) =
        all.iter().cloned().enumerate().partition(|(index, _)| index % 2 == 0);
    let without_index = |of: Vec<(usize, _)>| of.into_iter().map(|(_, of)| of).collect::<Vec<_>>();
    let [even, odd] = [even, odd].map(without_index);
    let files = ["all.tcc", "even.tcc", "odd.tcc", "elsewhere.tcc", "short.tcc"];
    let files = files.map(|name| dir.file(name));
    write(&files[0], &all, "boot-1");
    write(&files[1], &even, "boot-1");
    write(&files[2], &odd, "boot-1");
    write(&files[3], &odd, "boot-2");
    let merged = dir.file("merged.tcc");
    convert(&[text(&files[1]), text(&files[2]), "-q", "--to", "tcc", "-w", text(&merged)]);
    let times = |file: &Path| {
        let events = events(&all_fields(&[file]));
        events.iter().map(|event| event["mono_ns"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(times(&merged), times(&files[0]));
    let from = [text(&files[1]), text(&files[3]), "--to", "tcc", "-w", text(&merged), "--force"];
    refused(&from, "recordings of several boots");
    // Of samples one has fewer fields.
    let standard: Vec<(&'static EventType, Vec<u8>)> = Vec::new();
    write_of(&files[4], &standard, "boot-1", |header| {
        for shape in &mut header.shapes {
            shape.members.retain(|member| !member.path.starts_with("mss."));
        }
    });
    let from = [text(&files[1]), text(&files[4]), "--to", "tcc", "-w", text(&merged), "--force"];
    refused(&from, "have different fields");
    // What one does not have is null in its own conversion, too.
    let short = dir.file("again.tcc");
    write_of(&files[4], &all, "boot-1", |header| {
        for shape in &mut header.shapes {
            shape.members.retain(|member| !member.path.starts_with("mss."));
        }
    });
    convert(&[text(&files[4]), "-q", "--to", "tcc", "-w", text(&short)]);
    assert_eq!(all_fields(&[&short]), all_fields(&[&files[4]]));
    let events = events(&all_fields(&[&short]));
    assert!(
        events.iter().filter(|event| event["type"] == "probe").all(|event| event["pmtu"].is_null())
    );
}

/// A name that nothing else has.
const SECRETS: [&str; 4] = ["sekret-comm", "sekret-host", "sekret-command", "/sekret/path"];

/// Ends of connections, of which some have a network in common.
fn ends(index: usize) -> [IpAddr; 2] {
    let index = index as u8;
    let v6 = |last: u16| {
        Ipv6Addr::new(0x2001, 0xdb8, 0x7777, (index % 3).into(), 0x5e, 0xc2e, 0x7, last)
    };
    match index % 2 {
        0 => [[203, 0, 113, 64 + index].into(), [198, 51, 100, 128 + index].into()],
        _ => [v6(0x4200 + u16::from(index)).into(), v6(0x4300 + u16::from(index)).into()],
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Records with these ends, each of its own connection, and names in all their places.
fn secret_records() -> Vec<(&'static EventType, Vec<u8>)> {
    let mut all = all_records();
    for (index, (event_type, record)) in all.iter_mut().enumerate() {
        record[8..16].copy_from_slice(&(1000 + index as u64).to_ne_bytes());
        let [saddr, daddr] = ends(index).map(octets);
        record[16..32].copy_from_slice(&saddr);
        record[32..48].copy_from_slice(&daddr);
        for column in (event_type.columns)() {
            let Origin::Slot(slot) = &column.origin else { continue };
            let is_name = slot.form == Form::Text && !["ca_name", "qdisc"].contains(&column.name);
            if is_name && slot.end() <= record.len() {
                let place = &mut record[slot.offset.into()..slot.end()];
                place.fill(0);
                place[..11].copy_from_slice(SECRETS[0].as_bytes());
            }
        }
    }
    all
}

/// All of a file: its bytes, what is in each frame, and each record.
fn contents(path: &Path) -> Vec<Vec<u8>> {
    let mut all = vec![fs::read(path).unwrap()];
    let mut frames = Frames::new(File::open(path).unwrap()).unwrap();
    while let Some(header) = frames.advance().unwrap() {
        all.push(frames.plain.clone());
        if header.frame_type == FrameType::Data {
            let mut decoder =
                Decoder::new(ByteOrder::NATIVE, frames.plain.clone(), header.records).unwrap();
            while let Some(place) = decoder.advance().unwrap() {
                all.push(decoder.record(place).to_vec());
            }
        }
    }
    assert!(all.len() > 20);
    all
}

fn has(contents: &[Vec<u8>], part: &[u8]) -> bool {
    contents.iter().any(|bytes| bytes.windows(part.len()).any(|window| window == part))
}

/// In the ways that an address may be written: as bytes in both orders, and as text.
fn forms(address: IpAddr) -> Vec<Vec<u8>> {
    let mut forms = vec![address.to_string().into_bytes()];
    let bytes = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    forms.push(bytes.iter().rev().copied().collect());
    forms.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes());
    forms.push(bytes);
    forms
}

/// The addresses of each connection, by its cookie.
fn by_cookie(path: &Path) -> BTreeMap<u64, [IpAddr; 2]> {
    let events = events(&all_fields(&[path]));
    let ip = |value: &Value| value.as_str().unwrap().parse().unwrap();
    let of = |event: &Value| {
        (event["cookie"].as_u64().unwrap(), [ip(&event["saddr"]), ip(&event["daddr"])])
    };
    // Of a closed socket only one end is known.
    events
        .iter()
        .filter(|event| event["saddr"].is_string() && event["daddr"].is_string())
        .map(of)
        .collect()
}

fn common(a: IpAddr, b: IpAddr) -> Option<u32> {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        _ => None,
    }
}

#[test]
fn nothing_of_the_original_is_left() {
    let dir = TempDir::new("anonymous");
    let [file, one, two, three] =
        ["all.tcc", "one.tcc", "two.tcc", "three.tcc"].map(|name| dir.file(name));
    let (all, key) = (secret_records(), dir.file("site.key"));
    write(&file, &all, "sekret-boot");
    let to = |to: &Path, more: &[&str]| {
        let args = ["-q", "--to", "tcc", "--anonymize", "-w", text(to)];
        convert(&[&[text(&file)], &args[..], more].concat());
    };
    let key = ["--anonymize-key", text(&key)];
    let condition = ["--where", "comm != \"sekret\" || raddr == 203.0.113.77 || sport > 0"];
    to(&one, &[&key[..], &condition].concat());
    to(&two, &[&key[..], &["--anonymize-ports"]].concat());
    to(&three, &[]);
    let before = contents(&file);
    let mut secrets: Vec<Vec<u8>> = SECRETS.iter().map(|name| name.as_bytes().to_vec()).collect();
    secrets.push(b"sekret".to_vec());
    secrets.push(b"site.key".to_vec());
    secrets.push(b"all.tcc".to_vec());
    for (index, _) in all.iter().enumerate() {
        secrets.extend(ends(index).into_iter().flat_map(forms));
    }
    // They are found where they are.
    let found = secrets.iter().filter(|secret| has(&before, secret)).count();
    assert!(found > all.len() * 2 && SECRETS.iter().all(|name| has(&before, name.as_bytes())));
    for file in [&one, &two, &three] {
        let after = contents(file);
        for secret in &secrets {
            let shown = String::from_utf8_lossy(secret);
            assert!(!has(&after, secret), "{}: {shown} {secret:?}", file.display());
        }
        // Nor the original of the recording, which has its own number.
        assert!(!has(&after, b"a6b1f0de-0000-4000-8000-000000000001"));
    }

    // Everything else is as it was.
    let replaced = ["saddr", "daddr", "sport", "dport", "comm", "dev", "cgroup_id"];
    let [originals, ones, twos] = [&file, &one, &two].map(|file| events(&all_fields(&[file])));
    assert_eq!(originals.len(), ones.len());
    let mut compared = 0;
    for ((original, one), two) in originals.iter().zip(&ones).zip(&twos) {
        for (name, value) in super::cells(original) {
            if !replaced.contains(&name.as_str()) {
                assert_eq!(super::cells(one).get(&name), Some(&value), "{name}");
                compared += 1;
            }
        }
        assert_eq!((&one["sport"], &one["dport"]), (&original["sport"], &original["dport"]));
        assert!(original["sport"].is_null() || two["sport"] != original["sport"]);
        assert_eq!((&one["saddr"], &one["daddr"]), (&two["saddr"], &two["daddr"]));
    }
    assert!(compared > 1000, "{compared}");

    // Networks and connections are as before, and one key makes the same of both files.
    let [old, new, same, other] = [&file, &one, &two, &three].map(|file| by_cookie(file));
    assert!(old.len() > 15 && old.keys().eq(new.keys()) && new == same && new != other);
    let pairs: Vec<_> =
        old.iter().flat_map(|(cookie, ends)| ends.iter().zip(new[cookie])).collect();
    for (a, c) in &pairs {
        for (b, d) in &pairs {
            assert_eq!(common(**a, **b), common(*c, *d), "{a} {b}: {c} {d}");
        }
    }
    let distinct: BTreeSet<_> = new.values().collect();
    assert_eq!(distinct.len(), old.values().collect::<BTreeSet<_>>().len());

    // With the same key, files of one boot can still be merged; with another one, they are of different machines.
    let merged = dir.file("merged.tcc");
    convert(&[text(&one), text(&two), "-q", "--to", "tcc", "-w", text(&merged)]);
    refused(
        &[text(&one), text(&three), "--to", "tcc", "-w", text(&merged), "--force"],
        "several boots",
    );
    let info = String::from_utf8(run(["info", text(&one)]).stdout).unwrap();
    assert!(info.contains("anonymized"), "{info}");
}

/// The event types that records were chosen from.
#[test]
fn event_types_are_chosen() {
    let dir = TempDir::new("chosen");
    let (file, some) = (dir.file("all.tcc"), dir.file("some.tcc"));
    write(&file, &all_records(), "boot-1");
    convert(&[text(&file), "-q", "--event-types", "probe,drop", "--to", "tcc", "-w", text(&some)]);
    let found =
        lines(&String::from_utf8(run(["info", "-o", "jsonl", text(&some)]).stdout).unwrap());
    let types: Vec<&str> = found.iter().filter_map(|line| line["event_type"].as_str()).collect();
    assert_eq!(types, ["probe", "drop"]);
    assert!(EVENT_TYPES.len() > types.len());
    assert_eq!(
        found[0]["config"]["sources"][0]["recording"],
        "a6b1f0de-0000-4000-8000-000000000001"
    );
}
