//! Reports in headless Chromium: what the page shows against the recording's numbers, by hand of a pointer and keys. Skipped without
//! a browser; `script/report-test` has one.

#[path = "../report/crafted.rs"]
mod crafted;
mod devtools;
mod ends;
mod panels;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crafted::{Conn, Crafted, Sample};
use devtools::{Browser, chromium};
use serde_json::Value;

/// A directory that is removed, with a recording and its page.
struct Fixture(PathBuf);

impl Fixture {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("tcc-browser-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Fixture(dir)
    }

    fn recording(&self) -> Crafted {
        Crafted::new(&self.0.join("a.tcc"))
    }

    fn browser(&self, program: &Path) -> Browser {
        Browser::start(program, self.0.join("profile"))
    }

    fn report(&self) -> PathBuf {
        let page = self.0.join("page.html");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tcc-trace"));
        let output =
            command.arg("report").arg(self.0.join("a.tcc")).arg("-w").arg(&page).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        page
    }

    fn jsonl(&self) -> Vec<Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tcc-trace"));
        let args = ["probe", "-a", "-o", "jsonl", "-q", "-r"];
        let output = command.args(args).arg(self.0.join("a.tcc")).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["type"] == "probe").collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// 400 samples, 10 ms apart, with a loss at 2 s.
fn sawtooth(recording: &mut Crafted, conn: Conn) {
    let first = u32::MAX - 1_000_000;
    for n in 0..400_u32 {
        recording.sample(
            conn,
            Sample {
                us: 100_000 + u64::from(n) * 10_000,
                cwnd: 10 + n % 97,
                ssthresh: 20,
                srtt_us: 20_000 + 100 * (n % 97),
                una: first.wrapping_add(n * 14_480),
                flight_bytes: 1448 * (5 + n % 97),
                acked: 1 + u64::from(n) * 14_480,
                delivered: n * 10,
                segs_in: n,
                ca_state: if (200..210).contains(&n) { 3 } else { 0 },
                interval_us: 5_000 + n,
            },
        );
        if n == 200 {
            recording.drop_in_router(conn, 2_100_500, first.wrapping_add(205 * 14_480));
            recording.retransmit(conn, 2_140_500, first.wrapping_add(205 * 14_480));
        }
    }
}

/// Where a time is in the window, and the middle of a panel.
fn place(browser: &mut Browser, time: f64, range: (f64, f64), panel: &str) -> (f64, f64) {
    let expression = format!(
        "(() => {{ document.querySelector('#panel-{panel}').scrollIntoView({{block: 'center'}}); \
         const box = document.querySelector('#panel-{panel} .canvas').getBoundingClientRect(); \
         return [box.left, box.top, box.width, box.height]; }})()"
    );
    let place = browser.value(&expression);
    let [left, top, width, height] = [0, 1, 2, 3].map(|at| place[at].as_f64().unwrap());
    let (gutter, right) = (92.0, 14.0);
    let share = (time - range.0) / (range.1 - range.0);
    (left + gutter + share * (width - gutter - right), top + height / 2.0)
}

/// What the read-out shows, by label.
fn readout(browser: &mut Browser) -> Value {
    browser.value(
        "Object.fromEntries([...document.querySelectorAll('#read span')].filter(s => s.querySelector('b')).map(s => \
         [s.firstChild.textContent.trim(), s.querySelector('b').textContent.replaceAll('\\u202f', ' ')]))",
    )
}

#[test]
fn the_pointer_shows_the_recorded_values() {
    let Some(program) = chromium("the_pointer_shows_the_recorded_values") else { return };
    let fixture = Fixture::new("values");
    let mut recording = fixture.recording();
    sawtooth(&mut recording, Conn::new(9));
    recording.end(5_000_000, 0);
    let page = fixture.report();
    let lines = fixture.jsonl();
    let mut browser = fixture.browser(&program);
    browser.open(&page, "");
    let range = (0.0, 3.99);
    let mut compared = 0;
    for n in [1, 50, 133, 250, 301, 398_usize] {
        // Between two samples, the state is that of the later one.
        let time = (n as f64 - 0.5) * 0.01;
        let (x, y) = place(&mut browser, time, range, "cwnd");
        browser.mouse("mouseMoved", x, y);
        let shown = readout(&mut browser);
        let line = &lines[n];
        assert_eq!(shown["cwnd"], line["snd_cwnd"].to_string(), "{n}: {shown}");
        assert_eq!(shown["in flight"], line["packets_in_flight"].to_string(), "{n}");
        let srtt = line["srtt_us"].as_f64().unwrap() / 1000.0;
        assert_eq!(shown["srtt"], format!("{srtt:.1} ms"), "{n}");
        // 10 segments of 1448 bytes in 10 ms, once the window of 100 ms is full.
        if n > 20 {
            assert_eq!(shown["delivered"], "11.6 Mbit/s", "{n}");
        }
        let near = shown["t"].as_str().unwrap().trim_end_matches(" s").parse::<f64>().unwrap();
        assert!((near - time).abs() < 0.005, "{near} {time}");
        compared += 1;
    }
    assert_eq!(compared, 6);
    browser.picture("pointer");
    assert!(browser.errors.is_empty(), "{:?}", browser.errors);
}

#[test]
fn a_range_is_chosen_and_linked() {
    let Some(program) = chromium("a_range_is_chosen_and_linked") else { return };
    let fixture = Fixture::new("range");
    let mut recording = fixture.recording();
    sawtooth(&mut recording, Conn::new(9));
    recording.end(5_000_000, 0);
    let page = fixture.report();
    let mut browser = fixture.browser(&program);
    browser.open(&page, "");
    let range = (0.0, 3.99);
    let (from, y) = place(&mut browser, 1.0, range, "rtt");
    let (to, _) = place(&mut browser, 3.0, range, "rtt");
    browser.mouse("mouseMoved", from, y);
    browser.mouse("mousePressed", from, y);
    browser.mouse("mouseMoved", (from + to) / 2.0, y);
    browser.mouse("mouseMoved", to, y);
    browser.mouse("mouseReleased", to, y);
    browser.wait("location.hash.includes('a=')");
    let hash = browser.value("location.hash").as_str().unwrap().to_owned();
    let chosen: Vec<f64> = hash
        .split('&')
        .filter_map(|part| part.split_once('=').filter(|(name, _)| name.len() == 1))
        .map(|(_, value)| value.parse().unwrap())
        .collect();
    assert!(hash.starts_with("#c=1&"), "{hash}");
    assert!((chosen[0] - 1.0).abs() < 0.01 && (chosen[1] - 3.0).abs() < 0.01, "{hash}");
    // The address opens the same range, and a click on all shows all.
    browser.open(&page, &hash);
    let shown = browser.text("#read .range");
    assert_eq!(shown, format!("{:.3} – {:.3} s", chosen[0], chosen[1]));
    browser.key("0");
    browser.wait("location.hash === '#c=1'");
    browser.wait("document.querySelector('#read .range').textContent.startsWith('0.000')");
    assert_eq!(browser.text("#read .range"), "0.000 – 3.990 s");
    assert!(browser.errors.is_empty(), "{:?}", browser.errors);
}

#[test]
fn events_are_found_by_pointer_and_keys() {
    let Some(program) = chromium("events_are_found_by_pointer_and_keys") else { return };
    let fixture = Fixture::new("events");
    let mut recording = fixture.recording();
    let conn = Conn { cookie: 9, comm: b"</script><b>\x1b", ca: b"<i>&" };
    sawtooth(&mut recording, conn);
    recording.end(5_000_000, 0);
    let page = fixture.report();
    let mut browser = fixture.browser(&program);
    browser.open(&page, "");
    assert_eq!(browser.text("#connections td.process"), "</script><b>\\x1b");
    // The drop is 2.0005 s after the first sample, 5 × 14480 bytes beyond what is acknowledged then.
    let (x, _) = place(&mut browser, 2.0005, (0.0, 3.99), "sequence");
    let box_of = "document.querySelector('.strip:nth-child(2) canvas').getBoundingClientRect()";
    browser.value("document.querySelector('#strips').scrollIntoView({block: 'center'})");
    let top = browser.value(&format!("{box_of}.top")).as_f64().unwrap();
    browser.mouse("mouseMoved", x, top + 6.0);
    let tip = browser.text("#tip");
    assert!(tip.contains("drop, QDISC_DROP 2.000500 s"), "{tip}");
    assert!(tip.contains("1 448 B at 2 968 400"), "{tip}");
    assert!(tip.contains("sent again 40.0 ms later"), "{tip}");
    assert_eq!(browser.text("#read .t b"), "2.000500 s");
    browser.key("n");
    browser.wait(
        "document.querySelector('#rows tr.chosen')?.textContent.includes('fast retransmission')",
    );
    browser.key("p");
    browser.wait("document.querySelector('#rows tr.chosen')?.textContent.includes('QDISC_DROP')");
    // A row opens the event in the panels.
    browser.value("document.querySelector('#rows tr.chosen').click()");
    browser.wait("location.hash.includes('a=')");
    // A chip hides its marks and rows.
    browser.value("document.querySelector('.chip').click()");
    browser.wait("!document.querySelector('#rows').textContent.includes('QDISC_DROP')");
    assert!(browser.errors.is_empty(), "{:?}", browser.errors);
}

#[test]
fn it_reads_without_scripts_and_on_a_narrow_screen() {
    let Some(program) = chromium("it_reads_without_scripts_and_on_a_narrow_screen") else { return };
    let fixture = Fixture::new("plain");
    let mut recording = fixture.recording();
    sawtooth(&mut recording, Conn::new(9));
    sawtooth(&mut recording, Conn::new(10));
    recording.end(5_000_000, 0);
    let page = fixture.report();
    let mut browser = fixture.browser(&program);
    browser.size(360, 800);
    browser.open(&page, "#c=2");
    let width = browser.value("document.documentElement.scrollWidth");
    assert!(width.as_f64() <= Some(360.0), "{width}");
    browser.picture("narrow");
    browser.call("Emulation.setScriptExecutionDisabled", serde_json::json!({"value": true}));
    let url = format!("file://{}", page.display());
    browser.call("Page.navigate", serde_json::json!({"url": url}));
    browser.wait("document.querySelectorAll('section.conn').length === 2");
    let shown = browser.value("document.body.innerText").as_str().unwrap().replace('\u{202f}', " ");
    for text in ["Goodput", "11.6 Mbit/s", "192.0.2.1:1033 → 192.0.2.2:443", "sent again"] {
        assert!(shown.contains(text), "{text} in {shown}");
    }
    assert_eq!(browser.value("document.documentElement.dataset.shown ?? null"), Value::Null);
}

#[test]
fn a_million_samples_open_at_once() {
    let Some(program) = chromium("a_million_samples_open_at_once") else { return };
    let fixture = Fixture::new("million");
    let mut recording = fixture.recording();
    let conn = Conn::new(9);
    let (mut us, mut random) = (1000_u64, 12_345_u32);
    let mut next = |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    let count = 1_000_000_u32;
    let mut srtt = 30_000;
    for n in 0..count {
        us += 250 + u64::from(next(600));
        srtt = (srtt + next(161)).saturating_sub(80).clamp(20_000, 60_000);
        recording.sample(
            conn,
            Sample {
                us,
                cwnd: 20 + n / 50 % 200,
                ssthresh: 20,
                srtt_us: srtt,
                una: n.wrapping_mul(2896),
                flight_bytes: 1448 * (20 + next(4)),
                acked: u64::from(n) * 2896,
                delivered: n * 2,
                segs_in: n,
                ca_state: if n % 10_000 < 40 { 3 } else { 0 },
                interval_us: 5_000 + next(256),
            },
        );
    }
    recording.end(us, 0);
    let start = Instant::now();
    let page = fixture.report();
    let made = start.elapsed();
    let bytes = page.metadata().unwrap().len();
    let per_sample = bytes as f64 / f64::from(count);
    let mut browser = fixture.browser(&program);
    let opened = browser.open(&page, "");
    let zoom = Instant::now();
    browser.key("+");
    browser.wait("location.hash.includes('a=')");
    browser.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
    eprintln!(
        "1 000 000 samples: {per_sample:.1} bytes each, made in {made:.1?}, opened in {opened:.2?}, zoomed in {:.2?}",
        zoom.elapsed()
    );
    assert!(per_sample <= 14.0, "{per_sample}");
    assert!(opened <= Duration::from_secs(4), "{opened:?}");
    browser.picture("million");
    assert!(browser.errors.is_empty(), "{:?}", browser.errors);
}

#[test]
fn ten_thousand_connections_stay_usable() {
    let Some(program) = chromium("ten_thousand_connections_stay_usable") else { return };
    let fixture = Fixture::new("many");
    let mut recording = fixture.recording();
    for n in 0..10_000_u64 {
        let conn = Conn { comm: if n == 7777 { b"needle" } else { b"hay" }, ..Conn::new(n + 1) };
        for at in 0..5_u32 {
            let (us, acked) = (n * 100 + u64::from(at) * 1000, u64::from(at) * (n + 1));
            let (cwnd, segs_in) = (10 + at, at);
            recording.sample(conn, Sample { us, cwnd, acked, segs_in, ..Sample::default() });
        }
    }
    recording.end(2_000_000, 0);
    let page = fixture.report();
    let mut browser = fixture.browser(&program);
    let opened = browser.open(&page, "");
    let start = Instant::now();
    browser.value(
        "(() => { const input = document.querySelector('.tools input'); input.value = 'needle'; input.dispatchEvent(new Event('input')); })()",
    );
    browser.wait("document.querySelectorAll('#connections tbody tr').length === 1");
    let filtered = start.elapsed();
    assert!(browser.text("#connections tbody").contains("needle"));
    browser.value("document.querySelector('#connections tbody td').click()");
    browser.wait("document.documentElement.dataset.shown === '7778'");
    // Its section was packed with its data.
    assert!(browser.text("section.conn.on").contains("needle 77"));
    let start = Instant::now();
    browser.value(
        "(() => { const input = document.querySelector('.tools input'); input.value = ''; input.dispatchEvent(new Event('input')); document.querySelector('th.bytes button').click(); })()",
    );
    browser.wait("document.querySelector('#connections tbody tr').dataset.c === '10000'");
    let sorted = start.elapsed();
    eprintln!(
        "10 000 connections: opened in {opened:.2?}, filtered in {filtered:.2?}, sorted in {sorted:.2?}, {} bytes",
        page.metadata().unwrap().len()
    );
    assert!(opened < Duration::from_secs(6), "{opened:?}");
    assert!(filtered.max(sorted) < Duration::from_secs(1), "{filtered:?} {sorted:?}");
    assert!(browser.errors.is_empty(), "{:?}", browser.errors);
}
