//! Two recordings of the two ends of a connection, with clocks and delays that the test chooses.

use std::ffi::OsStr;
use std::fs;

use serde_json::Value;

use super::crafted::{Conn, Crafted, Sample};
use super::page::{data, script, section};
use super::{TempDir, run};

/// A segment.
const LEN: u32 = 1000;
const IN_FLIGHT: u32 = 20;
/// A packet each 10 ms.
const TICK_US: u64 = 10_000;
/// On the way to the other end.
const PATH_US: u64 = 120_000;
/// Between TCP and the driver, and until the application reads.
const QUEUE_US: u64 = 3_000;
const READ_US: u64 = 7_000;
/// The window is full, so this is the round-trip time.
const RTT_US: u64 = IN_FLIGHT as u64 * TICK_US;
/// Sequence numbers wrap.
const FIRST: u32 = u32::MAX - 100_000;

/// The one of the `n`th segment, of a transfer whose window is full.
fn sample(n: u32, us: u64, una: u32) -> Sample {
    Sample {
        us,
        una,
        cwnd: IN_FLIGHT,
        srtt_us: RTT_US as u32,
        flight_bytes: IN_FLIGHT * LEN,
        acked: 1 + u64::from(n * LEN),
        delivered: n,
        segs_in: n,
        ..Sample::default()
    }
}

/// The second clock is ahead by `ahead_us`, and gains `gain_ppm`. With `all`, the events that divide the delay are there.
fn record(dir: &TempDir, ahead_us: i64, gain_ppm: i64, all: bool) {
    let conn = Conn::new(5);
    let mut sender = Crafted::new(&dir.file("sender.tcc"));
    let mut receiver = Crafted::new(&dir.file("receiver.tcc"));
    let start_us = 1_000_000;
    let there = |us: u64| us.saturating_add_signed(ahead_us + us as i64 * gain_ppm / 1_000_000);
    for n in 0..1_000_u32 {
        let us = start_us + u64::from(n) * TICK_US;
        let una = FIRST.wrapping_add(n * LEN);
        // Of two events at one time the first stays the first: this sample's ACK has the next segment sent.
        sender.sample(conn, sample(n, us, una));
        let seq = una.wrapping_add(IN_FLIGHT * LEN);
        if all {
            sender.queue(conn, us + QUEUE_US, seq, LEN, QUEUE_US);
        }
        let arrives_us = us + PATH_US;
        receiver.receive(conn, there(arrives_us), seq, LEN);
        if all {
            receiver.read(conn, there(arrives_us + READ_US));
        }
    }
    sender.end(20_000_000, 0);
    receiver.end(there(20_000_000), 3);
}

fn report(dir: &TempDir, more: &[&str]) -> Result<String, String> {
    let path = dir.file("page.html");
    let files = ["sender.tcc", "receiver.tcc"].map(|name| dir.file(name));
    let args = [OsStr::new("report"), files[0].as_os_str(), files[1].as_os_str()];
    let more = more.iter().map(OsStr::new);
    let out = [OsStr::new("-w"), path.as_os_str(), OsStr::new("--force")];
    let output = run(args.into_iter().chain(more).chain(out));
    match output.status.success() {
        true => Ok(fs::read_to_string(path).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn ends(page: &str) -> Value {
    serde_json::from_str::<Value>(&script(page, "meta")).unwrap()["ends"].take()
}

#[test]
fn the_difference_of_the_clocks_is_within_its_bounds() {
    for ahead_us in [0, 3_600_000_000, 250] {
        let dir = TempDir::new("offset");
        record(&dir, ahead_us, 0, false);
        let page = report(&dir, &["--ends"]).unwrap();
        let ends = ends(&page);
        let [offset, half] =
            ["offset_ns", "half_width_ns"].map(|name| ends[name].as_i64().unwrap());
        // It is known but for where in the round-trip time the other end is.
        assert_eq!(half, RTT_US as i64 * 500, "{ends}");
        assert_eq!(offset, ahead_us * 1000 + (PATH_US - RTT_US / 2) as i64 * 1000, "{ends}");
        assert!((offset - ahead_us * 1000).abs() <= half, "{ends}");
        assert_eq!((&ends["drift_ppb"], &ends["same_clock"]), (&0.into(), &false.into()));
        let text = super::page::text(&page);
        assert!(
            text.contains("other end: host <b>host</b>") && text.contains("± 100 ms"),
            "{ends}"
        );
        assert!(text.contains("The other end's recording lost 3 of"));
    }
}

#[test]
fn a_clock_that_gains_is_followed() {
    let dir = TempDir::new("drift");
    // 30 000 ppm would be no clock; 900 ppm over 10 s are 9 ms, less than the round-trip time, so none must be assumed.
    record(&dir, 0, 900, false);
    let small = ends(&report(&dir, &["--ends"]).unwrap());
    assert_eq!(small["drift_ppb"], 0);
    record(&dir, 0, 30_000, false);
    let error = report(&dir, &["--ends"]).unwrap_err();
    assert!(error.contains("clocks that run evenly"), "{error}");
}

#[test]
fn the_delay_is_divided_as_it_was_made() {
    let dir = TempDir::new("delay");
    record(&dir, 50_000, 0, true);
    let page = report(&dir, &["--ends"]).unwrap();
    let data = data(&page, "d1");
    // The middle of the bounds has path and way back equal, with what is not in the qdisc.
    let half = RTT_US as f64 / 2.0;
    let expected = [
        ("delay.unsent_us", 4.0 * TICK_US as f64),
        ("delay.qdisc_us", QUEUE_US as f64),
        ("delay.path_us", half - QUEUE_US as f64),
        ("delay.read_us", READ_US as f64),
        ("delay.return_us", half),
    ];
    for (name, value) in expected {
        let known: Vec<f64> = data.columns[name].iter().copied().flatten().collect();
        // Of segments that were sent while the sender was recorded.
        assert!(known.len() > 900, "{name}: {}", known.len());
        assert!(
            known.iter().all(|us| (us - value).abs() <= 1.0),
            "{name}: {value} {:?}",
            &known[..5]
        );
    }
    let text = section(&page, 1);
    for part in
        ["unsent 40.0 ms", "qdisc and driver 3.00 ms", "path 97.0 ms", "receiver's queue 7.00 ms"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("path and way back ± 100 ms"), "{text}");
    // The other end is on the same time line.
    let other = super::page::data(&page, "o1");
    let first = &other.columns["time_us"];
    assert_eq!(first[0], Some(0.0));
    // Of the packets of a sample, the largest wait is with it.
    let waits: Vec<f64> = data.columns["queue.queue_us"].iter().copied().flatten().collect();
    assert!(waits.len() > 990 && waits.iter().all(|us| *us == QUEUE_US as f64));
    assert!(data.columns["queue.backlog_bytes"].iter().flatten().all(|b| *b == 3000.0));
}

#[test]
fn what_the_recordings_lack_is_said() {
    let dir = TempDir::new("lacks");
    record(&dir, 0, 0, false);
    let page = report(&dir, &["--ends"]).unwrap();
    let text = section(&page, 1);
    assert!(text.contains("not recorded: `queue` events of the sender"), "{text}");
    assert!(text.contains("not recorded: `rcv_space` events of the receiver"), "{text}");
    assert!(!data(&page, "d1").columns.contains_key("delay.qdisc_us"));
}

#[test]
fn recordings_of_other_connections_are_refused() {
    let dir = TempDir::new("others");
    record(&dir, 0, 0, false);
    fs::copy(dir.file("sender.tcc"), dir.file("receiver.tcc")).unwrap();
    let error = report(&dir, &["--ends"]).unwrap_err();
    assert!(error.contains("no connection is in both recordings"), "{error}");
    let output =
        run([OsStr::new("report"), dir.file("sender.tcc").as_os_str(), OsStr::new("--ends")]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--ends needs two recordings"));
}

/// Two connections, each from the port and by the sequence numbers of its own. The receiver has other addresses and ports.
fn record_translated(dir: &TempDir) {
    let mut sender = Crafted::new(&dir.file("sender.tcc"));
    let mut receiver = Crafted::new(&dir.file("receiver.tcc"));
    receiver.nat = 10;
    for n in 0..200_u32 {
        for (cookie, first) in [(5, FIRST), (6, FIRST / 2)] {
            let conn = Conn::new(cookie);
            let us = 1_000_000 + u64::from(n) * TICK_US + cookie;
            let una = first.wrapping_add(n * LEN);
            sender.sample(conn, sample(n, us, una));
            receiver.receive(conn, us + PATH_US, una.wrapping_add(IN_FLIGHT * LEN), LEN);
        }
    }
    sender.end(20_000_000, 0);
    receiver.end(20_000_000, 0);
}

#[test]
fn translated_addresses_are_named() {
    let dir = TempDir::new("nat");
    record_translated(&dir);
    let error = report(&dir, &["--ends"]).unwrap_err();
    assert!(error.contains("--nat 198.51.100.7=10.0.0.2"), "{error}");
    // The other end of 192.0.2.1 is 192.0.2.2:443, which has them as 192.0.2.11 and 192.0.2.12:453.
    let right = ["--ends", "--nat", "192.0.2.11=192.0.2.1,192.0.2.12:453=192.0.2.2:443"];
    let check = |page: &str| {
        let text = super::page::text(page);
        assert!(text.contains("2 connections in both recordings"), "{text}");
        for id in ["d1", "d2"] {
            let data = data(page, id);
            let path: Vec<f64> = data.columns["delay.path_us"].iter().copied().flatten().collect();
            // Not the other connection's, whose packets are 1 µs apart from these.
            let half = RTT_US as f64 / 2.0;
            assert!(path.len() > 100 && path.iter().all(|us| (us - half).abs() < 0.5), "{path:?}");
        }
    };
    check(&report(&dir, &right).unwrap());
    // With all ports, sequence numbers need not decide.
    let ports = [5, 6]
        .map(|cookie| format!("192.0.2.11:{}=192.0.2.1:{}", 1024 + cookie + 10, 1024 + cookie));
    let all = format!("{},{},192.0.2.12:453=192.0.2.2:443", ports[0], ports[1]);
    check(&report(&dir, &["--ends", "--nat", &all]).unwrap());
    for wrong in ["192.0.2.11=192.0.2.1", "192.0.2.1=192.0.2.11,192.0.2.2:443=192.0.2.12:453"] {
        let error = report(&dir, &["--ends", "--nat", wrong]).unwrap_err();
        assert!(error.contains("with the addresses of --nat"), "{error}");
    }
    let error = report(&dir, &["--nat", "192.0.2.11=192.0.2.1"]).unwrap_err();
    assert!(error.contains("--ends"), "{error}");
}
