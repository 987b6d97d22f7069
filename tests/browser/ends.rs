//! Two ends of a connection on one page.

use std::path::PathBuf;
use std::process::Command;

use crate::crafted::{Conn, Crafted, Sample};
use crate::devtools::chromium;
use crate::{Fixture, place};

/// Of the connection's data, as `tests/report/ends.rs` has it: a full window of 20 segments, and a packet each 10 ms.
fn record(fixture: &Fixture) -> PathBuf {
    let conn = Conn { ca: b"bbr", ..Conn::new(5) };
    let mut sender = fixture.recording();
    let mut receiver = Crafted::new(&fixture.0.join("b.tcc"));
    for n in 0..400_u32 {
        let us = 1_000_000 + u64::from(n) * 10_000;
        sender.sample(
            conn,
            Sample {
                us,
                una: n * 1000,
                cwnd: 20 + n / 100,
                srtt_us: 200_000,
                flight_bytes: 20_000,
                acked: 1 + u64::from(n * 1000),
                delivered: n,
                segs_in: n,
                ..Sample::default()
            },
        );
        let seq = n * 1000 + 20_000;
        sender.queue(conn, us + 3_000, seq, 1000, 3_000);
        receiver.receive(conn, us + 120_000, seq, 1000);
        receiver.read(conn, us + 127_000);
    }
    sender.end(10_000_000, 0);
    receiver.end(10_000_000, 0);
    let page = fixture.0.join("page.html");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcc-trace"));
    command.arg("report").arg(fixture.0.join("a.tcc")).arg(fixture.0.join("b.tcc"));
    let output = command.arg("--ends").arg("-w").arg(&page).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    page
}

#[test]
fn the_delay_is_shown_from_end_to_end() {
    let Some(program) = chromium("the_delay_is_shown_from_end_to_end") else { return };
    let fixture = Fixture::new("ends");
    let page = record(&fixture);
    let mut browser = fixture.browser(&program);
    browser.open(&page, "");
    assert!(browser.text("header .ends").contains("its clock +20.0 ms ± 100 ms"));
    let (x, y) = place(&mut browser, 2.005, (0.0, 3.99), "delay");
    browser.mouse("mouseMoved", x, y);
    let legend = browser.text("#panel-delay .legend");
    for part in ["path 97.0 ms", "qdisc and driver 3.00 ms", "receiver's queue 7.00 ms"] {
        assert!(legend.contains(part), "{part}: {legend}");
    }
    assert!(browser.text("#panel-queueing .legend").contains("to the driver 3.00 ms"));
    assert!(browser.text("#panel-queues .legend").contains("backlog of the qdisc 3.00 kB"));
    browser.picture("ends");
    // The other end has the same time line, but nothing of these.
    browser.value(
        "[...document.querySelectorAll('button')].find(b => b.textContent === 'other end').click()",
    );
    browser.wait("location.hash.includes('end=other')");
    browser.wait("!document.querySelector('#panel-delay')");
    assert!(browser.errors.is_empty(), "{:?}", browser.errors);
}
