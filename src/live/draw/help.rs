//! The help: keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{Theme, put};

const LINES: &[(&str, &str)] = &[
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
    ("Ctrl-L  Ctrl-Z", "redraw; suspend"),
    ("?  q", "this help; quit"),
];

/// Draws it over the rest.
pub fn draw(theme: Theme, area: Rect, buf: &mut Buffer) {
    let (width, height) = (74.min(area.width), (LINES.len() as u16 + 2).min(area.height));
    let inner = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    for y in 0..height {
        put(buf, inner, 0, y, &" ".repeat(width.into()), theme.chosen());
    }
    for (y, (key, does)) in (1..height.saturating_sub(1)).zip(LINES) {
        put(buf, inner, 1, y, &" ".repeat(usize::from(width.saturating_sub(2))), Style::reset());
        let (x, style) = if key.is_empty() { (2, theme.bold()) } else { (20, Style::new()) };
        put(buf, inner, 4, y, key, theme.bold());
        let area = Rect { width: inner.width - 1, ..inner };
        put(buf, area, x, y, does, style);
    }
}
