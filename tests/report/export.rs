//! Figures and series for papers, against the JSON lines of the recording.

use std::ffi::OsStr;
use std::fs;

use serde_json::Value;

use super::crafted::{Conn, Crafted};
use super::{TempDir, run, samples, sawtooth};

#[test]
fn series_are_those_of_the_json_lines() {
    let dir = TempDir::new("export");
    let (path, csv, svg) = (dir.file("a.tcc"), dir.file("csv"), dir.file("svg"));
    let mut recording = Crafted::new(&path);
    sawtooth(&mut recording, Conn::new(9));
    recording.end(3_000_000, 0);
    let page = dir.file("page.html");
    let args = [
        OsStr::new("report"),
        path.as_os_str(),
        OsStr::new("-w"),
        page.as_os_str(),
        OsStr::new("--csv"),
        csv.as_os_str(),
        OsStr::new("--svg"),
        svg.as_os_str(),
    ];
    let output = run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("wrote 11 files of figures and series"), "{stderr}");
    let lines = samples(&path);
    let of = |line: &Value, name: &str| line[name].as_f64();
    // Name of the file, of its column, and the truth.
    type Truth<'t> = &'t dyn Fn(&Value) -> Option<f64>;
    let all: [(&str, &str, Truth<'_>); 6] = [
        ("cwnd", "cwnd", &|line| of(line, "snd_cwnd")),
        ("cwnd", "ssthresh", &|line| of(line, "ssthresh")),
        ("cwnd", "peer_window", &|line| Some(of(line, "snd_wnd")? / of(line, "mss")?)),
        ("rtt", "srtt", &|line| Some(of(line, "srtt_us")? / 1e3)),
        ("rates", "pacing_rate", &|line| Some(of(line, "pacing_rate")? * 8.0 / 1e6)),
        ("queues", "unsent", &|line| Some(of(line, "notsent_bytes")? / 1e3)),
    ];
    let mut compared = 0;
    for (file, column, truth) in all {
        let mut reader = csv::Reader::from_path(csv.join(format!("c1-{file}.csv"))).unwrap();
        let at = reader.headers().unwrap().iter().position(|name| name == column).expect(column);
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), lines.len());
        for (row, line) in rows.iter().zip(&lines) {
            let shown = row[at].parse::<f64>().ok();
            let same = match (shown, truth(line)) {
                (Some(shown), Some(truth)) => (shown - truth).abs() < 1e-9 * truth.abs().max(1.0),
                (shown, truth) => shown.is_none() && truth.is_none(),
            };
            assert!(same, "{column}: {shown:?} {:?}", truth(line));
            compared += 1;
        }
    }
    assert_eq!(compared, 1200);
    // The rate that the connection had: 10 segments of 1448 bytes in 10 ms.
    let rates = fs::read_to_string(csv.join("c1-rates.csv")).unwrap();
    let last = rates.lines().last().unwrap().split(',').nth(1).unwrap();
    assert!((last.parse::<f64>().unwrap() - 11.584).abs() < 1e-6, "{last}");
    let marks = fs::read_to_string(csv.join("c1-sequence-marks.csv")).unwrap();
    assert_eq!(marks.lines().count(), 3, "{marks}");
    assert!(marks.contains(",drop") && marks.contains(",fast"), "{marks}");
    for name in ["cwnd", "rtt", "rates", "sequence", "queues"] {
        let picture = fs::read_to_string(svg.join(format!("c1-{name}.svg"))).unwrap();
        assert!(picture.contains("<polyline") && picture.contains("time (s)"), "{name}");
    }
    // Nothing is overwritten without --force, and nothing is half written.
    fs::remove_file(&page).unwrap();
    let again = run(args);
    assert!(!again.status.success() && !page.exists());
    assert!(String::from_utf8_lossy(&again.stderr).contains("the file exists"));
}
