//! Options over recordings: what they leave out, and those that are refused.

use std::fs;
use std::path::Path;

use tcc_trace::events::EVENT_TYPES;

use crate::{TempDir, all_records, events, lines, printed, run, write};

#[test]
fn filters_conditions_and_limits_apply() {
    let dir = TempDir::new("filters");
    let file = dir.file("all.tcc");
    write(&file, &all_records(), "boot-1");
    let count = |args: &[&str]| {
        events(&printed(&[&["events", "all", "-q", "-o", "jsonl"], args].concat(), &[&file])).len()
    };
    let all = count(&[]);
    // The first record of each event type is IPv4; of `probe` it is not recorded.
    let ipv4 = count(&["-4"]);
    assert_eq!((ipv4, count(&["-6"])), (EVENT_TYPES.len() - 1, all - ipv4));
    assert_eq!(count(&["-P", "443"]), all);
    assert_eq!(count(&["-L", "443", "-R", "50412"]), all);
    assert_eq!(count(&["-R", "443"]), 0);
    assert_eq!(count(&["--addr", "192.0.2.0/24"]), ipv4);
    assert_eq!(count(&["--raddr", "192.0.2.1"]), 0);
    assert_eq!(count(&["--cookie", "4711"]), ipv4);
    assert_eq!(count(&["--follow", "192.0.2.2:50412-192.0.2.1:443"]), ipv4);
    assert_eq!(count(&["--where", "type == \"drop\""]), 2);
    assert_eq!(count(&["--where", "type != \"drop\" && sport == 443"]), all - 2);
    assert_eq!(count(&["-c", "5"]), 5);
    assert_eq!(count(&["-d", "5ms"]), 5);
    assert_eq!(count(&["--rate", "100/s"]), 13, "a burst of 10, and one each 10 ms");
    let probe =
        |args: &[&str]| events(&printed(&[&["-q", "-o", "jsonl"], args].concat(), &[&file])).len();
    assert_eq!(probe(&[]), 3);
    assert_eq!(probe(&["--cc", "bbr"]), 1);
    assert_eq!(probe(&["--on-change"]), 3, "of three connections");
}

/// What is left out, and what the recording lost, is in the counters.
#[test]
fn counters_add_up() {
    let dir = TempDir::new("counters");
    let file = dir.file("all.tcc");
    write(&file, &all_records(), "boot-1");
    let text = printed(&["events", "drop,state", "-4", "-q", "-o", "jsonl"], &[&file]);
    let end = lines(&text).pop().unwrap();
    let drop = &end["event_types"]["drop"];
    let of = |name: &str| drop[name].as_u64().unwrap();
    assert_eq!((of("seen"), of("emitted"), of("filtered"), of("lost")), (7, 1, 1, 5));
    assert_eq!(end["event_types"]["state"]["seen"], 1);
    assert_eq!(end["duration_ns"], 1_000_000_001);
}

#[test]
fn what_cannot_be_had_is_refused_in_one_line() {
    let dir = TempDir::new("refused");
    let (file, missing, text) = (dir.file("all.tcc"), dir.file("none.tcc"), dir.file("text"));
    let states: Vec<_> = all_records().into_iter().filter(|(of, _)| of.name == "state").collect();
    write(&file, &states, "boot-1");
    fs::write(&text, "no recording").unwrap();
    let name = |path: &Path| path.to_str().unwrap().to_owned();
    let (file, missing, text) = (name(&file), name(&missing), name(&text));
    for (args, words) in [
        (format!("states -r {missing}"), "No such file"),
        (format!("states -r {text}"), "not a recording"),
        ("states -r /dev/null".into(), "not a regular file"),
        (format!("states -r {file} --cc bbr"), "--cc needs `ca_name`, which the state records"),
        (format!("states -r {file} --mark 7"), "--mark needs `mark`"),
        (format!("states -r {file} --cgroup /"), "--cgroup cannot be used with -r"),
        (format!("states -r {file} --stats 1s"), "--stats cannot be used with -r"),
        (format!("states -r {file} -w other.tcc"), "-w cannot be used with -r"),
        (format!("states -r {file} -- true"), "-- CMD cannot be used with -r"),
        (format!("states -r {file} --reader raw"), "--reader cannot be used with -r"),
        (format!("states -r {file} -r {file} --tail"), "--tail follows one file"),
        ("states --tail".into(), "--tail needs -r"),
        ("states --force".into(), "--force needs -w"),
        (format!("record -r {file}"), "-r cannot be used with `record`"),
        (format!("top -r {file}"), "-r cannot be used with `top`"),
        (format!("listeners -r {file}"), "-r cannot be used with `listeners`"),
        (format!("rtt -r {file} --events jsonl=a"), "--events cannot be used with -r"),
        (format!("retrans --by cc -r {file}"), "`retrans` needs `ca_name`, which the retransmit"),
        (format!("cong --by all -r {file}"), "-r cannot be used with `cong --by`"),
        (format!("check -r {file}"), "-r"),
        ("top -w a.tcc".into(), "-w cannot be used with `top`"),
        ("events state --counters-only -w a.tcc".into(), "-w cannot be used with --counters-only"),
        ("states -w a -o jsonl=a".into(), "-w write to the same file"),
        (format!("states -r {file} --where srtt_us>x"), "x"),
        (format!("info {text}"), "not a recording"),
    ] {
        let output = run(args.split(' '));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{args}: {:?}", output.status);
        assert!(stderr.contains(words), "{args}: {stderr}");
        let excerpt = args.contains("--where");
        assert!(excerpt || stderr.lines().count() == 1, "{args}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

/// Summaries of known records, whose values are those of the events.
#[test]
fn summaries_count_recorded_events() {
    let dir = TempDir::new("summaries");
    let file = dir.file("all.tcc");
    write(&file, &all_records(), "boot-1");
    let summary = |args: &str| {
        let args: Vec<&str> = args.split(' ').chain(["-q", "-o", "jsonl"]).collect();
        let mut found = lines(&printed(&args, &[&file]));
        let end = found.pop().unwrap();
        assert_eq!(end["type"], "end");
        (found, end)
    };
    let all = events(&printed(&["events", "all", "-a", "-q", "-o", "jsonl"], &[&file]));
    let of = |name: &str| all.iter().filter(|event| event["type"] == name).collect::<Vec<_>>();
    let (rtt, end) = summary("rtt");
    let srtt: Vec<u64> = of("probe").iter().filter_map(|event| event["srtt_us"].as_u64()).collect();
    assert_eq!((rtt.len(), &rtt[0]["count"]), (1, &(srtt.len() as u64).into()));
    assert_eq!(rtt[0]["sum_us"], srtt.iter().sum::<u64>());
    assert_eq!(end["aggregate"]["event_types"]["probe"]["aggregated"], 3);
    let (by_cc, _) = summary("rtt --by cc --field min_rtt_us");
    assert_eq!(by_cc.len(), 3);
    let (networks, _) = summary("rtt --by raddr --prefix6 32");
    assert_eq!(networks[0]["key"]["daddr"], "2001:db8::/32");
    let (retrans, _) = summary("retrans --by all");
    let synacks = retrans[0]["synack_segs"].as_u64();
    assert_eq!(synacks, Some(of("synack_retransmit").len() as u64), "{}", retrans[0]);
    let (latencies, _) = summary("connlat --histogram");
    let row = |field: &str| latencies.iter().find(|row| row["field"] == field).unwrap();
    let connect = of("connect")[0];
    let (name, outcome) = ("latency_us", connect["outcome"].as_str().unwrap());
    let field = if outcome == "established" { name } else { "failed_us" };
    assert_eq!(row(field)["sum_us"], connect[name]);
    assert_eq!(row("wait_us")["sum_us"], of("accept")[0]["wait_us"]);
    let (intervals, _) = summary("rtt --interval 100ms");
    // Others have no events.
    let [interval] = &intervals[..] else { panic!("{intervals:?}") };
    assert_eq!(interval["count"], srtt.len() as u64);
    assert_eq!(interval["interval_ns"], 100_000_000);
    assert_eq!(interval["time"], "2023-11-14T23:36:40.300000000Z");
}
