//! `report --ends`: one run over a path with a round-trip time that the test chooses, recorded at both ends. Both have one clock, so the
//! difference that the data shows is known; and it is known how far another clock is ahead, which a recording is given afterwards.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tcc_trace::recording::codec::ByteOrder;
use tcc_trace::recording::header::ClockSample;
use tcc_trace::recording::reader::{Recording, Step};
use tcc_trace::recording::writer::Writer;

use crate::support::{Launch, Relay, Running, TempDir, Tracer, Way, has_tun, is_root, tcc_trace};

const RTT: Duration = Duration::from_millis(20);
/// The other clock's: more than a day.
const AHEAD_NS: u64 = 100_000_123_456_789;

/// What the page shows of the clocks.
#[track_caller]
fn ends(page: &str) -> Value {
    let start = "id=\"meta\">";
    let from = page.find(start).expect("its data") + start.len();
    let len = page[from..].find("</script>").expect("its end");
    let meta: Value = serde_json::from_str(&page[from..from + len]).expect("JSON");
    meta["ends"].clone()
}

#[track_caller]
fn report(dir: &TempDir, files: [&Path; 2]) -> String {
    let page = dir.path().join("page.html");
    let mut command = Launch::here().command(tcc_trace());
    command.arg("report").args(files).args(["--ends", "--force", "-w"]).arg(&page);
    let (status, stderr) = Running::spawn(&mut command).wait();
    assert!(status.success(), "{stderr}");
    std::fs::read_to_string(page).expect("the page")
}

/// The recording as a machine with another clock would have made it.
fn ahead(from: &Path, to: &Path) {
    let mut recording = Recording::open(File::open(from).expect("the file")).expect("a recording");
    let mut header = recording.header.clone();
    header.boot_id = "00000000-0000-4000-8000-000000000000".into();
    header.environment.clock.start_ns += AHEAD_NS;
    header.environment.clock.wall_offset_ns -= AHEAD_NS.cast_signed();
    header.shapes = recording.shapes(&recording.event_types(), &header.environment);
    let mut writer = Writer::new(File::create(to).expect("a file"), ByteOrder::NATIVE).expect("it");
    writer.begin(&header).expect("the header");
    while recording.advance().expect("a record") == Step::Record {
        let mut record = recording.record().to_vec();
        let ns = u64::from_ne_bytes(record[..8].try_into().expect("eight bytes")) + AHEAD_NS;
        record[..8].copy_from_slice(&ns.to_ne_bytes());
        writer.record(record[52].into(), &record).expect("written");
    }
    let sample =
        ClockSample { after_ns: 0, wall_offset_ns: header.environment.clock.wall_offset_ns };
    writer.clock(&[sample]).expect("written");
    let end_ns = recording.end.as_ref().expect("its end").mono_ns + AHEAD_NS;
    writer.end(end_ns, None).expect("written");
}

/// Median of a part of the delay, in ms.
#[track_caller]
fn part(page: &str, name: &str) -> f64 {
    let start = format!("<dt>{name}</dt><dd>");
    let from = page.find(&start).unwrap_or_else(|| panic!("no {name}")) + start.len();
    let text: String = page[from..].chars().take_while(|c| *c != '(' && *c != '<').collect();
    let (number, unit) = text.trim().split_once('\u{202f}').expect("a unit");
    let scale = match unit {
        "µs" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        _ => panic!("{text}"),
    };
    number.parse::<f64>().expect("a number") * scale
}

#[test]
fn two_ends_are_put_on_one_time_line() {
    need!(is_root(), "not root");
    need!(has_tun(), "no TUN devices");
    let dir = TempDir::new();
    let file = |name: &str| dir.path().join(name);
    let mut relay = Relay::new(Way::far(RTT));
    let port = relay.port.to_string();
    let record = |name: &str, filter: &str| {
        let path = file(name);
        let path = path.to_str().expect("UTF-8");
        let args = ["record", "--profile", "full", "-w", path, filter, &port];
        let mut tracer = Tracer::spawn(&Launch::here(), &args);
        tracer.wait_ready();
        tracer
    };
    let tracers = [record("left.tcc", "-R"), record("right.tcc", "-L")];
    let addr = relay.addr();
    relay.client.connect("a", addr);
    relay.server.accept("a");
    relay.client.transfer("a", &mut relay.server, 3_000_000);
    for tracer in tracers {
        let output = tracer.stop_raw();
        assert!(output.status.success(), "{}", output.stderr);
    }
    let [left, right] = ["left.tcc", "right.tcc"].map(file);
    let page = report(&dir, [&left, &right]);
    let one = ends(&page);
    let number = |ends: &Value, name: &str| ends[name].as_i64().expect("a number");
    let (offset, half) = (number(&one, "offset_ns"), number(&one, "half_width_ns"));
    assert_eq!(one["same_clock"], true);
    assert!(offset.abs() <= half, "the clock is one: {one}");
    // Half the way there and back, and what the relay and the hosts take.
    let rtt_ns = RTT.as_nanos() as i64;
    assert!((rtt_ns / 2 - 1..rtt_ns * 2).contains(&half), "{one}");
    assert!(number(&one, "matches") > 50, "{one}");
    // With one clock, the path takes half the round-trip time, and more while the relay is late.
    let path_ms = part(&page, "path");
    let half_ms = RTT.as_secs_f64() * 500.0;
    assert!((half_ms - 0.5..half_ms * 3.0).contains(&path_ms), "{path_ms} ms");
    assert!(part(&page, "ACK&#39;s way back") >= half_ms - 0.5);

    let other = file("ahead.tcc");
    ahead(&right, &other);
    let page = report(&dir, [&left, &other]);
    let shifted = ends(&page);
    assert_eq!(shifted["same_clock"], false);
    let difference = number(&shifted, "offset_ns") - AHEAD_NS.cast_signed();
    assert_eq!((difference, number(&shifted, "half_width_ns")), (offset, half), "{shifted}");
    // Between the bounds the middle is taken: there, path and way back are alike where they are shortest.
    let [there, back] = ["path", "ACK&#39;s way back"].map(|name| part(&page, name));
    assert!(there > 0.0 && back > 0.0, "{there} {back}");
}
