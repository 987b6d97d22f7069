//! What is said of the files: where they are from, and what could not be read of them.

use super::input::Input;
use crate::recording::frames::Gap;
use crate::sink::TimeFormat;
use crate::table::Moment;

/// Gaps that are listed one by one.
const LISTED: usize = 5;

/// `reading a.tcc: host web1, Linux 6.18.5, from 2026-11-29T17:00:00.000000000Z`
pub(super) fn opened(input: &Input) -> String {
    let environment = &input.recording.header.environment;
    format!(
        "reading {}: host {}, Linux {}, from {}",
        input.name,
        environment.host,
        environment.kernel,
        wall(input, environment.clock.start_ns)
    )
}

fn wall(input: &Input, mono_ns: u64) -> String {
    let mut text = Vec::new();
    let moment = Moment::Wall(input.origin.clock.wall_ns(mono_ns));
    TimeFormat::default().full(moment, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether a part in the middle of the file could not be read, or its end is not that of a frame.
pub(crate) fn is_damaged(input: &Input) -> bool {
    let (gaps, more) = input.recording.gaps();
    !gaps.is_empty() || more > 0 || (input.recording.end.is_some() && rest(input) > 0)
}

fn rest(input: &Input) -> u64 {
    input.recording.rest().unwrap_or_default()
}

/// A line for each part that could not be read.
pub(crate) fn missing(input: &Input, names_file: bool) -> Vec<String> {
    let file = if names_file { format!("{}: ", input.name) } else { String::new() };
    let (gaps, more) = input.recording.gaps();
    let line = |gap: &Gap| {
        let frames = match gap.frames {
            0 => String::new(),
            1 => ", 1 frame".to_owned(),
            frames => format!(", {frames} frames"),
        };
        let from = gap.after_ns.map_or("the start".to_owned(), |ns| wall(input, ns));
        let to = gap.before_ns.map_or("the end".to_owned(), |ns| wall(input, ns));
        format!(
            "warning: {file}damaged at byte {} ({} bytes{frames}): events from {from} to {to} may be missing",
            gap.offset, gap.bytes
        )
    };
    let mut lines: Vec<String> = gaps.iter().take(LISTED).map(line).collect();
    let others = gaps.len().saturating_sub(LISTED) as u64 + more;
    if others > 0 {
        lines.push(format!("warning: {file}{others} more parts are damaged"));
    }
    if input.recording.end.is_some() && rest(input) > 0 {
        let rest = rest(input);
        lines.push(format!(
            "warning: {file}{rest} bytes behind the last frame are not part of a recording"
        ));
    }
    lines
}

/// Other things to know.
pub(crate) fn notes(input: &Input) -> Vec<String> {
    let (recording, name) = (&input.recording, &input.name);
    let mut lines = Vec::new();
    match &recording.end {
        None => {
            let rest = match rest(input) {
                0 => String::new(),
                rest => format!("; {rest} bytes of an incomplete frame are left out"),
            };
            lines.push(format!(
                "note: {name} has no end: its tracer was killed, or still writes it{rest}"
            ));
        }
        Some(end) => {
            let error = end.error.as_ref();
            lines.extend(error.map(|error| format!("note: {name} ended early: {error}")));
        }
    }
    if recording.unknown > 0 {
        lines.push(format!(
            "note: {name} has {} records of event types that this version does not know",
            recording.unknown
        ));
    }
    if recording.is_foreign() {
        lines.push(format!(
            "note: {name} is from a machine of another byte order: the algorithms' own fields are null"
        ));
    }
    if input.has_other_errors() {
        lines.push(format!(
            "note: {name} is from {}, which has other numbers of errors: `err` is null, `errno` is that number",
            recording.header.machine
        ));
    }
    lines
}
