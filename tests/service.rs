//! The unit of the service, its configuration, and the manifest for Kubernetes.

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

/// The program accepts the arguments in the manifest, and its port is that of the annotations and of the probes.
#[test]
fn the_manifest_is_consistent() {
    let manifest = root().join("contrib/kubernetes/daemonset.yaml");
    let manifest = std::fs::read_to_string(manifest).expect("the manifest");
    let values = |key: &str| -> Vec<&str> {
        let lines = manifest.lines().filter_map(|line| line.trim_start().strip_prefix(key));
        lines.map(str::trim).collect()
    };
    let [args] = values("args: [")[..] else { panic!("{manifest}") };
    let args: Vec<&str> = args
        .strip_suffix(']')
        .expect("a list")
        .split(", ")
        .map(|word| word.trim_matches('"'))
        .collect();
    let mut tcc = Command::new(env!("CARGO_BIN_EXE_tcc-trace"));
    let output = tcc.args(&args).arg("--check-config").output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listen = args.iter().find_map(|word| word.rsplit_once("]:"));
    let (_, port) = listen.expect("an address and a port");
    assert_eq!(values("containerPort:"), [port]);
    assert_eq!(values("prometheus.io/port:"), [format!("{port:?}")]);
    assert_eq!(values("httpGet:"), ["{path: /-/healthy, port: metrics}"; 3]);
    assert_eq!(values("prometheus.io/path:"), ["/metrics"]);
}
