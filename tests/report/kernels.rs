//! Pages of recordings that other kernels have made (`tests/recordings/linux-*`), with the variables of their algorithms.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::page::{data, section};
use super::{TempDir, check_values, report, samples};

fn recordings() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let names = ["linux-5.10.tcc", "linux-7.2.tcc", "linux-6.12-arm64.tcc"];
    names.map(|name| dir.join(name)).into()
}

/// The cookie of the socket that a section is of.
fn cookie(page: &str, id: usize) -> u64 {
    let text = section(page, id);
    let (_, rest) = text.split_once("cookie ").unwrap_or_else(|| panic!("no cookie: {text}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn every_value_of_other_kernels_is_that_of_the_json_lines() {
    let dir = TempDir::new("kernels");
    for path in recordings() {
        let page = report(&dir, &path);
        let all = samples(&path);
        let (mut compared, mut algorithms) = (0, Vec::new());
        // The connection under CUBIC, and that under BBR; the refused one has no samples.
        for id in 1..=2 {
            let cookie = cookie(&page, id);
            let lines: Vec<Value> =
                all.iter().filter(|line| line["cookie"] == cookie).cloned().collect();
            let data = data(&page, &format!("d{id}"));
            assert_eq!(data.head["rows"], lines.len(), "{}: {cookie}", path.display());
            compared += check_values(&data, &lines);
            for algorithm in ["cubic", "bbr"] {
                let own = format!("{algorithm}.");
                let variables: Vec<&String> =
                    data.columns.keys().filter(|name| name.starts_with(&own)).collect();
                if lines[0]["ca_name"] == algorithm {
                    assert!(variables.len() >= 4, "{algorithm}: {variables:?}");
                    algorithms.push(algorithm);
                } else {
                    assert!(variables.is_empty(), "{algorithm}: {variables:?}");
                }
            }
        }
        algorithms.sort_unstable();
        assert_eq!(algorithms, ["bbr", "cubic"], "{}", path.display());
        assert!(compared > 200, "{compared}");
    }
}
