//! `--where`: its mistakes, and who decides what.

use serde_json::Value;

use super::{printed, refused, run};

/// The same with the expression below the complaint, and the mistake underlined.
#[track_caller]
fn underlined(args: &[&str], complaint: &str, mistake: &str) {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "{args:?}");
    let [first, expression, mark] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_eq!(first, format!("tcc-trace: --where: {complaint}"), "{args:?}");
    let from = mark.find('^').expect("a mark");
    assert!(mark.bytes().skip(from).all(|byte| byte == b'^'), "{text}");
    assert_eq!(expression.get(from..mark.len()), Some(mistake), "{args:?}: {text}");
}

#[test]
fn mistakes_in_a_condition_are_underlined() {
    for (args, complaint, mistake) in [
        (
            &["--where", "srt_us > 100ms"][..],
            "unknown field `srt_us` of probe; did you mean `srtt_us`?",
            "srt_us",
        ),
        (
            &["retrans", "--where", "snd_cwnd < 10 && class == \"tro\""],
            "`class` is never \"tro\"; did you mean `rto`?",
            "\"tro\"",
        ),
        (
            &["states", "--where", "snd_wnd > 100ms"],
            "`snd_wnd` is a number of bytes, but `100ms` is a time",
            "100ms",
        ),
        (
            &["events", "state,drop", "--where", "lport == 70000"],
            "out of range: `lport` is from 0 to 65535",
            "70000",
        ),
        (&["--where", "snd_cwnd % 2 == 0"], "`%` is reserved for later versions", "%"),
        (
            &["--where", "rate(bytes_acked) > 1MB/s"],
            "`rate()` is reserved for later versions",
            "rate(",
        ),
        (&["--where", "(snd_cwnd > 1"], "no closing parenthesis for this", "("),
        (
            &["--where", "raddr in 10.0.0.1/8"],
            "the network has host bits set; did you mean 10.0.0.0/8?",
            "10.0.0.1/8",
        ),
        (
            &["probe", "--where", "-snd_cwnd"],
            "`-snd_cwnd` is a number, not a condition; compare it, as in `-snd_cwnd > 0`",
            "-snd_cwnd",
        ),
        (&["check", "--where", "snd_cwnd = 1"], "unknown operator `=`; use `==`", "="),
        (
            &["check", "--where", "class == 'rto'", "states"],
            "`class` is a field of retransmit events, which are not requested",
            "class",
        ),
    ] {
        underlined(args, complaint, mistake);
    }
    // At the end of the expression there is nothing to underline but its end.
    let output = run(&["--where", "snd_cwnd >"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.ends_with("  snd_cwnd >\n            ^\n"), "{text}");
}

#[test]
fn conditions_are_for_events_only() {
    for command in [&["rtt"][..], &["top"], &["listeners"], &["retrans", "--by", "cc"]] {
        let args = [command, &["--where", "snd_cwnd > 1"]].concat();
        refused(&args, &["--where cannot be used", "tables"]);
    }
    refused(&["check", "retrans"], &["--where"]);
    refused(&["check", "--where", "snd_cwnd > 1", "retarns"], &["did you mean `retrans`?"]);
}

#[test]
fn check_shows_who_decides_a_condition() {
    let expression = "snd_cwnd < 10 && snd_cwnd > snd_ssthresh && !(raddr in 10.0.0.0/8)";
    let args = ["check", "--where", expression];
    assert_eq!(
        printed(&args),
        "probe\n  kernel      snd_cwnd < 10\n  user space  snd_cwnd > snd_ssthresh\n              \
         because it compares fields with each other\n  kernel      !(raddr in 10.0.0.0/8)\n  fields      \
         snd_cwnd, snd_ssthresh, daddr\n"
    );
    let report: Value =
        serde_json::from_str(&printed(&[&args[..], &["state,life", "-o", "json"]].concat()))
            .unwrap();
    assert_eq!(report["expression"], expression);
    let names = ["state", "life"];
    for (event_type, name) in report["event_types"].as_array().unwrap().iter().zip(names) {
        assert_eq!(event_type["name"], name);
        let decided: Vec<&Value> =
            event_type["conditions"].as_array().unwrap().iter().map(|c| &c["decided"]).collect();
        assert_eq!(decided, ["kernel", "user_space", "kernel"]);
    }
    let never =
        printed(&["check", "--where", "type == 'state' && old_state is null", "state,drop"]);
    assert!(
        never.contains("drop\n  never       type == 'state'\n  never       old_state is null"),
        "{never}"
    );
}
