//! Variables that are added to panels, and the strip of limits.

use crate::crafted::{Conn, Sample};
use crate::devtools::chromium;
use crate::{Fixture, place};

/// A variable of BBR and one of CUBIC are added to panels of segments and of bytes, and removed again.
#[test]
fn variables_are_added_to_any_panel() {
    let Some(program) = chromium("variables_are_added_to_any_panel") else { return };
    let fixture = Fixture::new("variables");
    let mut recording = fixture.recording();
    let algorithms = [Conn { ca: b"bbr", ..Conn::new(5) }, Conn::new(6)];
    for n in 0..400_u32 {
        for conn in algorithms {
            let (us, cwnd) = (1_000_000 + u64::from(n) * 10_000, 20 + n / 100);
            let sample = Sample { us, una: n * 1000, cwnd, srtt_us: 200_000, ..Sample::default() };
            recording.sample(conn, Sample { segs_in: n, flight_bytes: 20_000, ..sample });
        }
    }
    recording.end(10_000_000, 0);
    let page = fixture.report();
    let mut browser = fixture.browser(&program);
    // Sample 201 has a window of 22, and BBR's smallest RTT is that many microseconds above 12 ms; CUBIC's is the third hundred.
    for (id, variable, shown) in [
        (1, "bbr.min_rtt_us", "bbr.min_rtt_us 12.0 ms"),
        (2, "cubic.last_max_cwnd", "cubic.last_max_cwnd 42"),
    ] {
        browser.open(&page, &format!("#c={id}"));
        let choose = |panel: &str| {
            format!(
                "(() => {{ const menu = document.querySelector('#panel-{panel} .variables'); menu.value = '{variable}'; \
                 menu.dispatchEvent(new Event('change')); }})()"
            )
        };
        for panel in ["cwnd", "sequence"] {
            browser.value(&choose(panel));
            browser.wait(&format!(
                "document.querySelector('#panel-{panel} .legend').textContent.includes('{variable}')"
            ));
            let (x, y) = place(&mut browser, 2.005, (0.0, 3.99), panel);
            browser.mouse("mouseMoved", x, y);
            let legend = browser.text(&format!("#panel-{panel} .legend"));
            assert!(legend.contains(shown), "{legend}");
        }
        browser.picture(&format!("variables-{id}"));
        let entry = "#panel-cwnd .entry[title*=removes]";
        browser.value(&format!("document.querySelector('{entry}').click()"));
        browser.wait(&format!("!document.querySelector('{entry}')"));
    }
    assert!(browser.errors.is_empty(), "{:?}", browser.errors);
}

/// For three seconds the cause alternates with each sample; then the window is full throughout.
#[test]
fn the_strip_of_limits_does_not_flicker() {
    let Some(program) = chromium("the_strip_of_limits_does_not_flicker") else { return };
    let fixture = Fixture::new("flicker");
    let mut recording = fixture.recording();
    for n in 0..6_000_u32 {
        let is_full = n >= 3_000 || n % 2 == 0;
        recording.sample(
            Conn::new(9),
            Sample {
                us: 1000 + u64::from(n) * 1000,
                cwnd: 20,
                srtt_us: 20_000,
                una: n * 1448,
                flight_bytes: 1448 * if is_full { 20 } else { 4 },
                acked: u64::from(n) * 1448,
                delivered: n,
                segs_in: n,
                ..Sample::default()
            },
        );
    }
    recording.end(7_000_000, 0);
    let page = fixture.report();
    let mut browser = fixture.browser(&program);
    browser.open(&page, "");
    // The places at which the colour changes, as shares of the width, above the labels.
    let changes = browser.value(
        "(() => { const strip = [...document.querySelectorAll('.strip')].find(s => s.textContent === 'limited by').querySelector('canvas'); \
         const row = strip.getContext('2d').getImageData(0, 1, strip.width, 1).data; const found = []; \
         for (let x = 4; x < strip.width; x++) if ([0, 1, 2].some(c => Math.abs(row[4 * x + c] - row[4 * x - 4 + c]) > 8)) found.push(x / strip.width); \
         return found; })()",
    );
    let changes: Vec<f64> =
        changes.as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect();
    let times = browser.text(".key");
    assert!(!changes.is_empty() && changes.len() <= 3, "{changes:?} {times}");
    let near = changes.iter().any(|share| (share - 0.5).abs() < 0.02);
    assert!(near, "{changes:?}");
    browser.picture("limits");
    assert!(browser.errors.is_empty(), "{:?}", browser.errors);
}
