//! What is at the other end of the output: a terminal, which has colours, or a reader who may go.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::support::{Launch, Running, is_root, tcc_trace, terminal};

#[test]
fn colours_only_where_they_are_wanted() {
    need!(is_root(), "not root");
    let run = |args: &[&str], no_color: &str| {
        let mut command = Launch::here().command(tcc_trace());
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
        let mut command = Launch::here().command(tcc_trace());
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

/// `| head -1` where nothing happens: that the reader has gone is seen without an event, and ends it as one would.
#[test]
fn a_reader_that_goes_is_noticed_without_an_event() {
    need!(is_root(), "not root");
    for transport in ["ringbuf", "perfbuf"] {
        for socket in [false, true] {
            let mut command = Launch::here().command(tcc_trace());
            command.args(["-o", "csv", "-P", "1", "--transport", transport]).stdin(Stdio::null());
            let (ours, theirs): (OwnedFd, OwnedFd) = if socket {
                let (ours, theirs) = UnixStream::pair().expect("a pair");
                (ours.into(), theirs.into())
            } else {
                let (ours, theirs) = std::io::pipe().expect("a pipe");
                (ours.into(), theirs.into())
            };
            let mut tracer = Running::spawn(command.stdout(theirs));
            tracer.wait_for_line("tcc-trace: tracing");
            assert!(!tracer.ended(), "{transport}: {}", tracer.stderr());
            drop(ours);
            let (status, stderr) = tracer.wait();
            assert_eq!(status.code(), Some(0), "{transport}: {stderr}");
            // The books are what is said besides.
            assert_eq!(stderr.lines().count(), 2, "{transport}: {stderr}");
            assert!(stderr.contains(" seen = 0 emitted"), "{transport}: {stderr}");
        }
    }
}
