//! `--since` and `--until`, names of network namespaces, and a damaged start.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{TempDir, all_records, events, lines, printed, run, write};

fn read(args: &str, files: &[&Path]) -> String {
    let args: Vec<&str> = args.split(' ').filter(|arg| !arg.is_empty()).collect();
    printed(&[&["events", "all", "-q", "-o", "jsonl"], &args[..]].concat(), files)
}

/// A file with all records, in frames of a few each.
fn file(dir: &TempDir, name: &str, boot_id: &str) -> std::path::PathBuf {
    let file = dir.file(name);
    write(&file, &all_records(), boot_id);
    file
}

#[test]
fn a_part_of_the_time_is_read() {
    let dir = TempDir::new("since");
    let file = file(&dir, "all.tcc", "boot-1");
    let whole = events(&read("", &[&file]));
    let time = |event: &Value| event["time"].as_str().unwrap().to_owned();
    // The trace began 200 ms before the first event, and the clock was set by a second in the middle.
    let begun = 5_000_000_000_000_u64;
    for (args, wanted) in [
        (
            "--since 210ms",
            &(|event: &Value| event["mono_ns"].as_u64() >= Some(begun + 210_000_000))
                as &dyn Fn(&Value) -> bool,
        ),
        ("--until 210ms", &|event| event["mono_ns"].as_u64() < Some(begun + 210_000_000)),
        ("--since 0s --until 1h", &|_| true),
        ("--since 2023-11-14T23:36:40.204Z --until 2023-11-14T23:36:41.222Z", &|event| {
            ("2023-11-14T23:36:40.204".."2023-11-14T23:36:41.222").contains(&&*time(event))
        }),
        ("--since 23:36:41", &|event| *time(event) >= *"2023-11-14T23:36:41"),
        ("--until 23:36:41.5", &|event| *time(event) < *"2023-11-14T23:36:41.5"),
        ("--since 205ms --until 2023-11-14T23:36:41", &|event| {
            event["mono_ns"].as_u64() >= Some(begun + 205_000_000)
                && *time(event) < *"2023-11-14T23:36:41"
        }),
        ("--until 2023-11-14T22:00:00-01:00", &|_| false),
    ] {
        let wanted: Vec<&Value> = whole.iter().filter(|event| wanted(event)).collect();
        let text = read(args, &[&file]);
        assert_eq!(events(&text).iter().collect::<Vec<_>>(), wanted, "{args}");
        // The counters are of what was read; five drops were lost in the second that all of it is in.
        let end = lines(&text).pop().unwrap();
        let lost = if args.contains("22:00") { 0 } else { 5 };
        assert_eq!(end["seen"], wanted.len() as u64 + lost, "{args}: {end}");
        assert_eq!((&end["emitted"], &end["lost"]), (&wanted.len().into(), &lost.into()), "{args}");
    }
    // With a filter, of which the counters say what it rejects.
    let some = read("--since 210ms -6", &[&file]);
    let end = lines(&some).pop().unwrap();
    assert!(end["filtered"].as_u64() > Some(0) && end["emitted"] == events(&some).len() as u64);
    // A summary begins where the time does.
    let text =
        printed(&["rtt", "-q", "-o", "jsonl", "--interval", "100ms", "--since", "200ms"], &[&file]);
    assert_eq!(events(&text)[0]["time"], "2023-11-14T23:36:40.300000000Z");
}

/// Of several machines, the wall clock counts.
#[test]
fn a_time_is_that_of_all_files() {
    let dir = TempDir::new("since-both");
    let files = [file(&dir, "a.tcc", "boot-1"), file(&dir, "b.tcc", "boot-2")];
    let one = events(&read("--since 210ms", &[&files[0]]));
    let wall = |event: &&Value| event["time"].as_str() >= Some("2023-11-14T23:36:40.210000000Z");
    let both = events(&read("--since 210ms", &[&files[0], &files[1]]));
    assert_eq!(both.len(), 2 * events(&read("", &[&files[0]])).iter().filter(wall).count());
    assert!(!one.is_empty());
    // A conversion has them, too.
    let some = dir.file("some.tcc");
    let args = ["convert", "--to", "tcc", "--since", "210ms", "-q", "-w"];
    let args = [&args[..], &[some.to_str().unwrap(), files[0].to_str().unwrap()]].concat();
    assert!(run(args).status.success());
    assert_eq!(events(&read("", &[&some])), one);
}

#[test]
fn a_time_that_cannot_be_is_refused() {
    let dir = TempDir::new("since-refused");
    let file = file(&dir, "all.tcc", "boot-1");
    let path = file.to_str().unwrap();
    for (args, words) in [
        (vec!["-r", path, "--since", "5s", "--until", "5s"], "--until must be later than --since"),
        (vec!["-r", path, "--since", "soon"], "not a time; use 10s"),
        (vec!["-r", path, "--since", "25:00"], "not a time; use 10s"),
        (
            vec!["-r", path, "--since", "5s", "--tail"],
            "--tail cannot be used with --since or --until",
        ),
        (vec!["--until", "5s"], "--since and --until need -r FILE"),
    ] {
        let output = run(&args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(words), "{args:?}: {stderr}");
    }
}

/// By the names that the host of the recording had.
#[test]
fn network_namespaces_have_the_names_of_their_host() {
    let dir = TempDir::new("netns");
    let file = file(&dir, "all.tcc", "boot-1");
    let named = events(&read("-a --netns blue", &[&file]));
    assert!(!named.is_empty() && named.iter().all(|event| event["netns"] == 10103));
    let path = file.to_str().unwrap();
    let output = run(["events", "all", "-r", path, "--netns", "bleu"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("names no such network namespace; did you mean `blue`?"), "{stderr}");
    let info = String::from_utf8(run(["info", path]).stdout).unwrap();
    for words in ["blue 10103", "HZ 250", "(0123456789ab)"] {
        assert!(info.contains(words), "{info}");
    }
}

/// All events, a warning, and status 1.
#[test]
fn a_damaged_start_costs_no_events() {
    let dir = TempDir::new("start");
    let file = file(&dir, "all.tcc", "boot-1");
    let (whole, path) = (read("", &[&file]), file.to_str().unwrap());
    let bytes = fs::read(&file).unwrap();
    for (at, words) in
        [(0, "damaged at byte 0 (16 bytes)"), (8, "damaged at byte 0"), (100, "damaged at byte 16")]
    {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        fs::write(&file, damaged).unwrap();
        let output = run(["events", "all", "-q", "-o", "jsonl", "-r", path]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && stderr.contains(words), "{stderr}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), whole);
        let info = run(["info", path]);
        assert!(
            info.status.code() == Some(1)
                && String::from_utf8_lossy(&info.stdout).contains("Damaged")
        );
    }
    // Another format is not damage.
    let mut other = bytes.clone();
    other[8] = 2;
    other[19] = 2;
    let end = other.len() - 45;
    other.truncate(end);
    fs::write(&file, other).unwrap();
    let output = run(["-r", path]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("format version 2"));
}
