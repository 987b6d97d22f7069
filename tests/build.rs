//! What the build script says where it cannot build: of a missing compiler what to install, of our own code what is wrong.
//! Run as cargo runs it, without building anything again.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The build script that cargo has built last.
fn build_script() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_tcc-trace")).parent().expect("a directory");
    let built = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let ours = path.file_name()?.to_str()?.starts_with("tcc-trace-");
        let script = path.join("build-script-build");
        let made = script.metadata().ok()?.modified().ok()?;
        ours.then_some((made, script))
    };
    // Where cargo builds for a target, build scripts are in the host's directory, above the target's.
    let profile = target.file_name().expect("the profile");
    let places = target.ancestors().skip(1).take(2).map(|above| above.join(profile).join("build"));
    let all = places.filter_map(|place| std::fs::read_dir(place).ok()).flatten();
    all.filter_map(built).max().expect("a build script").1
}

/// What it says, on stdout to cargo and on stderr, where it fails.
fn fails(directory: &Path, clang: &str) -> (String, String) {
    let output = Command::new(build_script())
        .current_dir(directory)
        .env("OUT_DIR", directory)
        .env("CLANG", clang)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn without_clang_it_says_what_to_install() {
    let dir = std::env::temp_dir();
    for clang in ["/nonexistent", "true"] {
        let (told, stderr) = fails(&dir, clang);
        let warning = told.lines().find(|line| line.starts_with("cargo:warning="));
        let warning = warning.unwrap_or_else(|| panic!("{told}"));
        assert!(warning.contains(&format!("cannot run {clang}; ")), "{warning}");
        assert!(warning.contains("apt-get install clang"), "{warning}");
        assert_eq!(stderr, "");
    }
}

#[test]
fn where_our_code_is_wrong_it_says_what() {
    let dir = std::env::temp_dir().join(format!("tcc-build-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("src/bpf")).expect("a directory");
    std::fs::write(dir.join("src/bpf/tcc_trace.bpf.c"), "int wrong = nothing_like_it;\n")
        .expect("a file");
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".into());
    let (told, stderr) = fails(&dir, &clang);
    let _ = std::fs::remove_dir_all(&dir);
    assert!(told.contains("cargo:warning=cannot compile src/bpf/tcc_trace.bpf.c\n"), "{told}");
    assert!(!told.contains("install"), "{told}");
    assert!(stderr.contains("nothing_like_it"), "{stderr}");
}
