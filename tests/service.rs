//! The unit of the service and its configuration.

mod support;

use std::process::Command;

use support::root;

/// The highest exposure, in tenths, that the unit may have.
const EXPOSURE: u32 = 45;

#[test]
fn the_unit_is_valid_and_hardened() {
    let unit = root().join("contrib/systemd/tcc-trace-export.service");
    let analyze = |args: &[&str]| Command::new("systemd-analyze").args(args).arg(&unit).output();
    let threshold = format!("--threshold={EXPOSURE}");
    let Ok(security) = analyze(&["security", "--offline=true", "--no-pager", &threshold]) else {
        eprintln!("skipped: the_unit_is_valid_and_hardened: there is no systemd-analyze");
        return;
    };
    let shown = String::from_utf8_lossy(&security.stdout);
    let why = String::from_utf8_lossy(&security.stderr);
    assert!(security.status.success(), "{shown}{why}");
    let exposure = shown.lines().find(|line| line.contains("Overall exposure level"));
    assert!(exposure.is_some_and(|line| line.contains("OK")), "{shown}{why}");
    let ignored = why.lines().find(|line| line.contains("ignoring"));
    assert!(ignored.is_none(), "{why}");
}

/// What the unit names is there, and its configuration is one.
#[test]
fn the_configuration_is_valid() {
    let unit = root().join("contrib/systemd/tcc-trace-export.service");
    let unit = std::fs::read_to_string(unit).expect("the unit");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/tcc-trace "));
    assert_eq!(start, Some("export --config /etc/tcc-trace/export.toml"));
    let example = root().join("contrib/systemd/export.toml");
    let text = std::fs::read_to_string(&example).expect("the file");
    // With all that is commented out, too.
    let whole: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(option) if option.contains(" = ") => format!("{option}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert!(whole.contains("\nflight = "), "{whole}");
    let path = std::env::temp_dir().join(format!("tcc-service-{}.toml", std::process::id()));
    for text in [&text, &whole] {
        std::fs::write(&path, text).expect("a file");
        let mut tcc = Command::new(env!("CARGO_BIN_EXE_tcc-trace"));
        let args = ["export", "--check-config", "--config"];
        let output = tcc.args(args).arg(&path).output().expect("it runs");
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{why}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}: valid\n", path.display()));
    }
    std::fs::remove_file(&path).expect("the file");
}
