//! The command line, as far as it goes without rights: every mistake is one line on standard error and status 2, and
//! what needs no kernel is printed.

#[path = "cli/conditions.rs"]
mod conditions;

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};

use serde_json::Value;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tcc-trace")).args(args).output().expect("it runs")
}

/// Nothing printed, one line of complaint with these words in it, status 2.
#[track_caller]
fn refused(args: &[&str], words: &[&str]) {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    assert!(text.starts_with("tcc-trace: ") && text.ends_with('\n'), "{args:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{args:?}: no {word}: {text}");
    }
}

/// Its output; nothing on standard error.
#[track_caller]
fn printed(args: &[&str]) -> String {
    let output = run(args);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), complaint.as_ref()), (Some(0), ""), "{args:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn wrong_values_are_refused_with_a_hint() {
    for (args, words) in [
        (["-P", "70000"], &["70000", "65535"][..]),
        (["-P", "90-80"], &["80-90"]),
        (["-P", "80,x"], &["`x`"]),
        (["-P", ""], &["port"]),
        (["-L", "-1"], &["-1"]),
        (["-R", "1-2-3"], &["2-3"]),
        (["--addr", "10.0.0.1/8"], &["host bits", "10.0.0.0/8"]),
        (["--addr", "2001:db8::1/32"], &["2001:db8::/32"]),
        (["--laddr", "10.0.0.0/33"], &["10.0.0.0/33"]),
        (["--raddr", "example.com"], &["example.com", "address"]),
        (["--raddr", "::1%lo"], &["link-local", "--iface"]),
        (["--addr", "fe80::1%no-such-if0"], &["--addr", "no-such-if0"]),
        (["--laddr", "fe80::%0/64"], &["--laddr", "zone 0"]),
        (["--follow", "[::1%1]:80-[::1]:81"], &["link-local"]),
        (["--follow", "[fe80::1%no-such-if0]:80-[fe80::2]:81"], &["--follow", "no-such-if0"]),
        (["--pid", "0"], &["0"]),
        (["--pid", "me"], &["me"]),
        (["--pid", "4194305"], &["4194305", "no such process"]),
        (["--uid", "root"], &["root", "id -u"]),
        (["--comm", "a-name-that-is-too-long"], &["15 bytes", "a-name-that-is-"]),
        (["--cc", ""], &["empty"]),
        (["--cgroup", "/no/such/group"], &["/no/such/group", "no such cgroup"]),
        (["--cgroup", "/proc/self"], &["cgroup2"]),
        (["--netns", "no-such-name"], &["no-such-name"]),
        (["--netns", "/no/such/file"], &["/no/such/file"]),
        (["--netns", "/proc/self/status"], &["/proc/self/status", "not a network namespace"]),
        (["--netns", "/proc/self/ns/mnt"], &["/proc/self/ns/mnt", "not a network"]),
        (["--netns", "/proc/self/ns/uts"], &["not a network namespace"]),
        (["--netns", "/proc/self/ns/pid_for_children"], &["not a network namespace"]),
        (["--netns", "12345"], &["12345", "4026531832"]),
        (["--netns", "pid:0"], &["pid:0"]),
        (["--netns", "pid:me"], &["`me`"]),
        (["--iface", "no-such-if0"], &["no-such-if0", "no such interface"]),
        (["--iface", "0"], &["--iface 0", "1 to"]),
        (["--iface", "1,2147483648"], &["2147483648", "1 to"]),
        (["--mark", "0x100000000"], &["32 bits"]),
        (["--mark", "red"], &["red", "0x4d"]),
        (["--cookie", "0xg"], &["0xg"]),
        (["--cookie", "0"], &["starts at 1"]),
        (["--follow", "0x0"], &["0x0", "starts at 1"]),
        (["--follow", "[::1%1]:80-[::1]:81"], &["[::1%1]:80", "zone", "--iface"]),
        (["--follow", "0.0.0.0:80-10.0.0.2:81"], &["0.0.0.0:80", "cannot be an end"]),
        (["--follow", "10.0.0.1:80-10.0.0.2:0"], &["10.0.0.2:0", "cannot be an end"]),
        (["--follow", "10.0.0.1:80"], &["10.0.0.1:80", "not a cookie"]),
        (["--follow", "10.0.0.1:80-10.0.0.2"], &["`10.0.0.2`", "ADDRESS:PORT"]),
        (["--follow", "[::1]:80-10.0.0.2:1"], &["IPv4", "IPv6"]),
        (["--format", "{time"], &["`{time`"]),
        (["--format", "time"], &["no field"]),
        (["--count", "0"], &["0"]),
        (["--sample", "0"], &["0"]),
        (["--duration", "0s"], &["greater than zero"]),
        (["--duration", "10"], &["10s"]),
        (["--every", "soon"], &["10s"]),
        (["--stats", "0ms"], &["greater than zero"]),
        (["--rate", "0/s"], &["0/s"]),
        (["--rate", "5/fortnight"], &["fortnight"]),
        (["--rate-per-conn", "many"], &["many"]),
        (["--buffer-size", "0"], &["size"]),
        (["--buffer-size", "2G"], &["1G"]),
        (["--buffer-size", "1X"], &["`X`"]),
        (["-o", "xml"], &["xml", "jsonl"]),
        (["-o", "cvs=events.csv"], &["cvs", "did you mean `csv`?"]),
        (["-o", "csv="], &["-o csv=", "empty path"]),
        (["--reader", "magic"], &["magic", "sock"]),
        (["--transport", "pigeon"], &["pigeon", "ringbuf"]),
        (["--time", "later"], &["later", "mono"]),
        (["--color", "red"], &["red", "always"]),
    ] {
        refused(&args, words);
        refused(&[&["probe"], &args[..]].concat(), words);
    }
}

/// `-- $COMMAND` of an empty variable is no wish to trace everything.
#[test]
fn an_empty_command_is_refused() {
    for args in [&["--"][..], &["states", "--"], &["-P", "80", "--"], &["top", "-q", "--"]] {
        refused(args, &["no command after `--`"]);
    }
    refused(&["life", "--", ""], &["command", "empty"]);
    // Where none could follow it means nothing.
    assert_eq!(printed(&["schema", "--"]), printed(&["schema"]));
}

/// Numbers of namespaces are unique among all kinds of them.
#[test]
fn other_namespaces_are_refused_by_number() {
    let link = std::fs::read_link("/proc/self/ns/uts").expect("a link");
    let number = link.to_str().and_then(|link| link.strip_prefix("uts:[")).expect("its name");
    refused(
        &["--netns", number.trim_end_matches(']')],
        &["not a network namespace, but of type uts"],
    );
}

/// A status is what scripts go by, and nobody may be there to be told why.
#[test]
fn an_error_that_cannot_be_printed_keeps_its_status() {
    let mistakes: [&[&str]; 4] =
        [&["--no-such-option"], &["--cgroup", "/no/such"], &["--fields", "x"], &["tpo"]];
    for args in mistakes {
        let status = |stderr: std::process::Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tcc-trace"));
            command.args(args).stderr(stderr).status().expect("it runs").code()
        };
        let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        let (reader, unread) = std::io::pipe().expect("a pipe");
        drop(reader);
        assert_eq!(status(full.into()), Some(2), "{args:?}");
        assert_eq!(status(unread.into()), Some(2), "{args:?}");
    }
}

#[test]
fn the_nearest_field_is_suggested() {
    refused(&["--fields", "snd_cwmd"], &["`snd_cwmd`", "did you mean `snd_cwnd`?"]);
    refused(&["--fields", "cwnd"], &["did you mean `snd_cwnd`?"]);
    refused(&["--fields", "cookie,srtt"], &["`srtt`", "srtt_us"]);
    refused(&["--fields", "bbr.bww"], &["bbr.bw"]);
    refused(&["--fields", "qqqqqqqq"], &["`qqqqqqqq`", "tcc-trace schema probe"]);
    refused(&["--fields", "cookie,,family"], &["empty"]);
    refused(&["--fields", "type"], &["`type`"]);
    refused(&["--format", "{sprot}"], &["`sprot`", "did you mean `sport`?"]);
    refused(&["--format", "{bbr}"], &["`bbr`", "bbr.bw"]);
    refused(&["events", "state,error", "--format", "{class}"], &["`class` of state, error"]);
}

#[test]
fn conflicting_options_are_refused() {
    refused(&["-4", "-6"], &["--ipv4", "--ipv6"]);
    refused(&["-q", "-v"], &["--quiet", "--verbose"]);
    refused(&["-a", "--fields", "cookie"], &["--all-fields", "--fields"]);
    refused(&["--format", "{time}", "-o", "csv"], &["--format", "--output"]);
    refused(
        &["-o", "text", "-o", "csv"],
        &["-o text and -o csv", "standard output", "-o csv=FILE"],
    );
    refused(&["-o", "csv", "-o", "jsonl=-"], &["-o csv and -o jsonl", "standard output"]);
    refused(&["-o", "text=a", "-o", "csv=a"], &["-o text=a and -o csv=a", "its own path"]);
    refused(&["top", "-o", "text", "-o", "jsonl"], &["standard output"]);
    refused(&["check", "-o", "text", "-o", "json"], &["--output", "only once"]);
    refused(&["--format", "{time}", "-a"], &["--format", "--all-fields"]);
    refused(&["--follow", "1", "--cookie", "1"], &["--follow", "--cookie"]);
    refused(
        &["--iface", "lo", "--netns", "4294967294", "--netns", "4294967295"],
        &["lo", "number"],
    );
    refused(&["--iface", "lo", "--netns", "4294967295"], &["lo", "number"]);
    refused(&["-P", "1", "probe"], &["options go after the command"]);
}

#[test]
fn a_summary_has_no_events_to_choose_from() {
    refused(&["rtt", "--by", "all,raddr"], &["--by all"]);
    refused(&["rtt", "--by", "conn,cc"], &["--by conn"]);
    refused(&["rtt", "--by", "moon"], &["moon", "raddr"]);
    refused(&["rtt", "--by", "rport", "--prefix", "24"], &["--prefix", "raddr"]);
    refused(&["rtt", "--by", "raddr", "--prefix", "33"], &["33"]);
    refused(&["rtt", "--field", "cwnd"], &["cwnd", "min_rtt_us"]);
    refused(&["rtt", "--unit", "ms", "-o", "csv"], &["--unit", "microseconds"]);
    refused(&["rtt", "--reader", "record"], &["--reader record", "--reader sock"]);
    refused(&["rtt", "--max-rows", "0"], &["0"]);
    refused(&["retrans", "--by", "all,raddr"], &["--by all"]);
    refused(&["retrans", "--interval", "1s"], &["--interval", "--by"]);
    refused(&["retrans", "--max-rows", "5"], &["--max-rows", "--by"]);
    refused(&["retrans", "--by", "conn", "--prefix", "24"], &["--prefix", "raddr"]);
    for option in [&["-c", "5"][..], &["-a"], &["--fields", "time"], &["--transport", "perfbuf"]] {
        refused(&[&["retrans", "--by", "conn"], option].concat(), &["cannot be used", "`retrans"]);
    }
    refused(&["cong", "--interval", "1s"], &["--interval", "--by"]);
    for option in [&["-c", "5"][..], &["-a"], &["--rate", "1/s"], &["--transport", "perfbuf"]] {
        refused(&[&["cong", "--by", "conn"], option].concat(), &["cannot be used", "`cong"]);
    }
    refused(&["connlat", "--interval", "1s"], &["--interval", "--histogram"]);
    refused(&["connlat", "--unit", "ms"], &["--unit", "--histogram"]);
    refused(&["connlat", "--by", "conn"], &["--by conn", "once"]);
    refused(&["connlat", "--histogram", "--unit", "ms", "-o", "csv"], &["--unit", "microseconds"]);
    for option in [&["-c", "5"][..], &["-a"], &["--fields", "time"], &["--transport", "perfbuf"]] {
        refused(&[&["connlat", "--histogram"], option].concat(), &["cannot be used", "`connlat"]);
    }
    refused(&["top", "--sort", "name"], &["name", "retrans"]);
    refused(&["top", "--rows", "0"], &["0"]);
    for option in [&["-c", "5"][..], &["-a"], &["--every", "1s"], &["--rate", "1/s"]] {
        refused(&[&["top"], option].concat(), &["cannot be used", "`top`"]);
    }
    for option in [&["-c", "5"][..], &["-a"], &["--fields", "time"], &["--transport", "perfbuf"]] {
        refused(&[&["rtt"], option].concat(), &["cannot be used", "`rtt`"]);
    }
    refused(&["rtt", "--sample", "2"], &["cannot be used", "`rtt`"]);
}

#[test]
fn events_of_a_summary_go_to_another_output() {
    refused(&["cong", "--events", "jsonl=a"], &["--events needs --by"]);
    refused(&["rtt", "--events", "jsonl"], &["standard output", "--events jsonl=FILE"]);
    refused(&["rtt", "-o", "csv=a", "--events", "jsonl=a"], &["--events jsonl=a", "same file"]);
    refused(&["rtt", "--events", "xml=a"], &["xml", "jsonl"]);
    refused(&["rtt", "--events", "jsonl=a", "-c", "5"], &["--count"]);
    refused(&["cong", "--by", "all", "--events", "csv=a", "--sample", "2"], &["--sample", "probe"]);
    refused(&["top", "--events", "jsonl=a"], &["--events"]);
}

#[test]
fn counters_alone_have_no_events() {
    let options = "--stack|-c 5|--format {mono_ns}|--rate 1/s|--fields time|--transport perfbuf|--buffer-size 1M";
    for option in options.split('|') {
        let args = format!("events state --counters-only {option}");
        let name = option.split(' ').next().unwrap_or_default().trim_start_matches('-');
        refused(&args.split(' ').collect::<Vec<_>>(), &[name, "--counters-only"]);
    }
}

#[test]
fn unknown_words_are_refused_with_a_hint() {
    refused(&["--no-such-option"], &["--no-such-option"]);
    refused(&["--ports", "1"], &["--ports", "did you mean `--port`?"]);
    refused(&["retran"], &["`retran`", "did you mean `retrans`?"]);
    refused(&["help", "tpo"], &["tpo", "did you mean `top`?"]);
    refused(&["events", "-d", "1s"], &["missing", "<EVENT_TYPES>", "tcc-trace events -h"]);
    refused(&["events", "stat"], &["`stat`", "did you mean `state`?"]);
    refused(&["rtt", "--by", "radr"], &["--by radr", "did you mean `raddr`?"]);
    refused(&["cong", "--min", "3"], &["--min", "option of connlat, queue"]);
    refused(&["-d", "1s", "-d", "2s"], &["--duration", "only once"]);
    refused(&["-P"], &["--port"]);
    refused(&["--no-header=1"], &["--no-header"]);
    refused(&["completions"], &["SHELL"]);
    refused(&["completions", "csh"], &["csh", "bash"]);
    refused(&["check", "-o", "xml"], &["xml"]);
    refused(&["schema", "no-such-type"], &["no-such-type", "probe, state, ", ", stats, end"]);
}

#[test]
fn help_and_version_are_printed() {
    for args in [
        &["--help"][..],
        &["-h"],
        &["rtt", "--help"],
        &["check", "--help"],
        &["help"],
        &["help", "rtt"],
    ] {
        let help = printed(args);
        assert!(help.contains("Usage: tcc-trace"), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
    let version = printed(&["--version"]);
    assert_eq!(version, format!("tcc-trace {}\n", env!("CARGO_PKG_VERSION")));
    for option in ["--cgroup", "--rate-per-conn", "--all-fields", "--transport"] {
        assert!(printed(&["--help"]).contains(option), "{option}");
        assert!(printed(&["help", "options"]).contains(option), "{option}");
        assert!(!printed(&["rtt", "-h"]).contains(option), "{option}");
    }
}

#[test]
fn completions_and_manual_are_made() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        assert!(script.contains("tcc-trace") && script.contains("all-fields"), "{shell}");
    }
    let man = printed(&["man"]);
    assert!(man.contains(".TH tcc-trace 1") && man.contains("\\-\\-all\\-fields"), "{man}");
    for section in ["SYNOPSIS", "COMMANDS", "OPTIONS", "EXAMPLES", "\"EXIT STATUS\"", "FILES"] {
        assert!(man.contains(&format!("\n.SH {section}\n")), "{section}: {man}");
    }
}

#[test]
fn the_reference_is_printed_page_by_page() {
    let printed = printed(&["reference"]);
    for (name, page) in tcc_trace::cmd::reference::pages() {
        assert!(printed.contains(&format!("<!-- docs/reference/{name} -->\n\n{page}")), "{name}");
    }
}

/// Whatever an argument has in it, a complaint about it is one line that commands no terminal.
#[test]
fn arguments_are_escaped_in_errors() {
    for (args, shown) in [
        (&["-P", "80\n\x1b[31m9"][..], r"80\x0a\x1b[31m9"),
        (&["-P", "8\r0"], r"8\x0d0"),
        (&["--addr", "10.0.0.1\u{202e}"], r"10.0.0.1\xe2\x80\xae"),
        (&["--rate", "1/\u{9b}2J"], r"\xc2\x9b2J"),
        (&["--duration", "1\x1b]0;title\x07"], r"\x1b]0;title\x07"),
        (&["--format", "{\nUsage: a"], r"\x0aUsage: a"),
        (&["--reader", "so\x08ck"], r"so\x08ck"),
        (&["--cgroup", "/no\n/group"], r"/no\x0a/group"),
        (&["--netns", "\x1b[2Jblue"], r"\x1b[2Jblue"),
        (&["--iface", "eth0\u{2066}"], r"eth0\xe2\x81\xa6"),
        (&["--fields", "cwnd\x1b"], r"cwnd\x1b"),
        (&["--po\x1b[2Jrt", "1"], r"--po\x1b[2Jrt"),
        (&["--\nerror: x"], r"--\x0aerror: x"),
        (&["sta\ntes"], r"sta\x0ates"),
        (&["events", "sta\u{ad}te"], r"sta\xc2\xadte"),
        (&["schema", "sta\x7fte"], r"sta\x7fte"),
    ] {
        refused(args, &[shown]);
        let stderr = run(args).stderr;
        let text = String::from_utf8(stderr).expect("UTF-8");
        let hidden = |c: char| c.is_control() || matches!(c, '\u{ad}' | '\u{202e}' | '\u{2066}');
        assert!(!text.trim_end_matches('\n').contains(hidden), "{args:?}: {text:?}");
    }
}

/// A path may have any bytes; one that is shown names the file.
#[test]
fn paths_are_shown_byte_by_byte() {
    for (bytes, shown) in
        [(&b"/no/gr\xfc\xdfe"[..], r"/no/gr\xfc\xdfe"), (b"/no/\\xff", r"/no/\x5cxff")]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_tcc-trace"))
            .arg("--cgroup")
            .arg(OsStr::from_bytes(bytes))
            .output()
            .expect("it runs");
        let text = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(text.contains(shown) && text.lines().count() == 1, "{text}");
        let report = Command::new(env!("CARGO_BIN_EXE_tcc-trace"))
            .args(["check", "-o", "json", "--btf"])
            .arg(OsStr::from_bytes(bytes))
            .output()
            .expect("it runs");
        let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
        let types = report["system"].as_array().expect("items").iter();
        let reported = types.filter_map(|item| item["detail"].as_str()).any(|d| d.contains(shown));
        assert!(reported, "{report}");
    }
}

/// What was asked for and could not be printed is no success.
#[test]
fn output_that_cannot_be_written_is_an_error() {
    for args in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["help", "events"],
        &["events", "--help"],
        &["--version"],
        &["schema"],
        &["man"],
        &["completions", "bash"],
        &["reference"],
        &["check"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let output = Command::new(env!("CARGO_BIN_EXE_tcc-trace"))
            .args(args)
            .stdout(full)
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert!(text.contains("No space left on device"), "{args:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    }
}
