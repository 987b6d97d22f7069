//! `convert` of recordings that other kernels and machines have made (`tests/recordings/linux-*`). That they are read at all is in `main.rs`.

use std::fs;

use serde_json::Value;

use super::{TempDir, events, lines, path, printed, run};

#[test]
fn recordings_of_other_kernels_are_converted() {
    let dir = TempDir::new("kernels");
    for (name, release, machine) in [
        ("linux-5.10.tcc", "5.10.", "x86_64"),
        ("linux-7.2.tcc", "7.2", "x86_64"),
        ("linux-6.12-arm64.tcc", "6.12.", "aarch64"),
    ] {
        let file = path(name);
        let known = events(&fs::read_to_string(file.with_extension("jsonl")).unwrap());
        let info = run(["info", "-o", "jsonl", file.to_str().unwrap()]);
        let info = lines(&String::from_utf8(info.stdout).unwrap());
        let kernel = info[0]["kernel"].as_str().unwrap();
        assert!(kernel.starts_with(release), "{name}: {kernel}");
        assert_eq!(info[0]["machine"], machine, "{name}");
        assert_eq!(info[0]["records"], known.len(), "{name}");
        let all = printed(&["events", "all", "-a", "-q", "-o", "jsonl"], &[&file]);
        let to = |format: &str| {
            let converted = dir.file(&format!("{name}.{format}"));
            let args = ["convert", file.to_str().unwrap(), "-q", "--force", "--to", format];
            // The others choose fields of their own.
            let all = ["jsonl", "csv"].contains(&format).then_some("-a");
            let out = ["-w", converted.to_str().unwrap()];
            let output = run(args.into_iter().chain(all).chain(out));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            converted
        };
        assert_eq!(events(&fs::read_to_string(to("jsonl")).unwrap()), events(&all), "{name}");
        let again = printed(&["events", "all", "-a", "-q", "-o", "jsonl"], &[&to("tcc")]);
        assert_eq!(events(&again), events(&all), "{name}, a recording again");
        let rows = fs::read_to_string(to("csv")).unwrap();
        let rows = rows.lines().filter(|row| !row.starts_with("type,")).count();
        assert_eq!(rows, known.len(), "{name}");
        let trace: Value = serde_json::from_slice(&fs::read(to("perfetto")).unwrap()).unwrap();
        let counters = trace.as_array().or_else(|| trace["traceEvents"].as_array()).unwrap();
        // Each sample changes something.
        let samples = known.iter().filter(|event| event["type"] == "probe").count();
        let counted = counters.iter().filter(|event| event["ph"] == "C").count();
        assert!(counted >= samples, "{name}: {counted} of {samples}");
    }
}
