//! The help: keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{Theme, put};

type Lines = &'static [(&'static str, &'static str)];

const LINES: Lines = &[
    ("", "Connections"),
    ("\u{2191} \u{2193} PgUp PgDn", "choose a connection"),
    ("Enter", "open it: charts and events, at full rate"),
    ("\u{2190} \u{2192}  r", "sort by another column; reverse"),
    ("/", "filter: ca_name == \"bbr\" && srtt_us > 20ms"),
    ("Esc", "remove the filter"),
    ("", "A connection"),
    ("[ ]", "previous and next connection"),
    ("+ - 0", "shorter or longer time; one minute"),
    ("\u{2191} \u{2193} PgUp PgDn", "older and newer events"),
    ("w", "write its events as a recording, into the current directory"),
    ("Esc", "back to the table; its events are no longer recorded"),
    ("", "Anywhere"),
    ("f, space", "freeze, go on"),
    (", .", "freeze, and step back and forward in time"),
    ("Ctrl-L  Ctrl-Z", "redraw; suspend"),
    ("?  q", "this help; quit"),
];

const REPLAY: Lines = &[
    ("", "Connections"),
    ("\u{2191} \u{2193} PgUp PgDn", "choose a connection"),
    ("Enter", "open it: charts and events"),
    ("\u{2190} \u{2192}  r", "sort by another column; reverse"),
    ("/", "filter: ca_name == \"bbr\" && srtt_us > 20ms"),
    ("Esc", "remove the filter"),
    ("", "A connection"),
    ("[ ]", "previous and next connection"),
    ("+ - 0", "shorter or longer time; one minute"),
    ("\u{2191} \u{2193} PgUp PgDn", "older and newer events"),
    ("w", "how to have its events as a recording"),
    ("Esc", "back to the table"),
    ("", "Anywhere"),
    ("f, space", "pause, go on; at the end, begin again"),
    (", .", "pause, and step back and forward in time"),
    ("< >", "half and twice the speed"),
    ("{ }  1 \u{2026} 9", "to the start, the end, and tenths of the recording"),
    ("Ctrl-L  Ctrl-Z", "redraw; suspend"),
    ("?  q", "this help; quit"),
];

/// Draws it over the rest.
pub fn draw(is_replay: bool, theme: Theme, area: Rect, buf: &mut Buffer) {
    let lines = if is_replay { REPLAY } else { LINES };
    let (width, height) = (74.min(area.width), (lines.len() as u16 + 2).min(area.height));
    let inner = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    for y in 0..height {
        put(buf, inner, 0, y, &" ".repeat(width.into()), theme.chosen());
    }
    for (y, (key, does)) in (1..height.saturating_sub(1)).zip(lines) {
        put(buf, inner, 1, y, &" ".repeat(usize::from(width.saturating_sub(2))), Style::reset());
        let (x, style) = if key.is_empty() { (2, theme.bold()) } else { (20, Style::new()) };
        put(buf, inner, 4, y, key, theme.bold());
        let area = Rect { width: inner.width - 1, ..inner };
        put(buf, area, x, y, does, style);
    }
}
