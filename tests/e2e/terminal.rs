//! A terminal at the other end of the output.

use std::io::Read;
use std::process::Stdio;

use crate::support::{Launch, Running, is_root, tcc_trace, terminal};

#[test]
fn colours_only_where_they_are_wanted() {
    need!(is_root(), "not root");
    let run = |args: &[&str], no_color: &str| {
        let mut command = Launch::here().command(&tcc_trace());
        command.args(["-P", "1", "-d", "1ms"]).args(args).env("NO_COLOR", no_color);
        crate::support::run::output(command).unwrap()
    };
    assert!(!run(&[], "").contains('\x1b'));
    assert!(!run(&["--color", "never"], "").contains('\x1b'));
    let always = run(&["--color", "always"], "");
    assert!(always.contains("\x1b[1m") && always.contains("\x1b[0m"), "{always}");
    assert!(run(&["--color", "always"], "1").contains('\x1b'), "what is said outright counts");
}

/// On a terminal the titles are bold, unless NO_COLOR says something.
#[test]
fn a_terminal_has_colours() {
    need!(is_root(), "not root");
    for (no_color, args, bold) in [
        (None, &[][..], true),
        (Some(""), &[], true),
        (Some("1"), &[], false),
        (None, &["--color", "never"], false),
        (Some("1"), &["--color", "always"], true),
        (None, &["-o", "csv"], false),
    ] {
        let (mut ours, theirs) = terminal();
        let mut command = Launch::here().command(&tcc_trace());
        command.args(["-q", "-P", "1", "-d", "1ms"]).args(args).env_remove("NO_COLOR");
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let mut tracer = Running::spawn(command.stdin(Stdio::null()).stdout(theirs));
        let (status, stderr) = tracer.wait();
        assert!(status.success(), "{stderr}");
        // Else the other end stays open.
        drop(command);
        let mut text = Vec::new();
        // Ends with an error: the other end is closed.
        let _ = ours.read_to_end(&mut text);
        let text = String::from_utf8(text).expect("UTF-8");
        assert!(text.to_lowercase().contains("time"), "{no_color:?} {args:?}: {text}");
        let colours = [text.contains("\x1b[1mTIME "), text.contains('\x1b')];
        assert_eq!(colours, [bold; 2], "{no_color:?} {args:?}: {text:?}");
    }
}
