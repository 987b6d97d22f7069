//! The table of connections.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Style};

use super::{Theme, footer, frozen, put};
use crate::live::app::App;
use crate::live::number;
use crate::live::rows::{Column, Row, Sort};

/// Columns of the screens that have room for them, each with its width, and the width up to which it takes room that is left.
type Columns = &'static [(Column, u16, u16)];

const NARROW: Columns = &[
    (Column::Process, 12, 24),
    (Column::LocalPort, 5, 5),
    (Column::Peer, 21, 30),
    (Column::Cc, 5, 6),
    (Column::Tx, 6, 6),
    (Column::Rx, 6, 6),
    (Column::Cwnd, 5, 5),
    (Column::Srtt, 6, 6),
    (Column::Retrans, 5, 5),
];

const MEDIUM: Columns = &[
    (Column::Process, 18, 24),
    (Column::Local, 21, 28),
    (Column::Peer, 21, 28),
    (Column::Cc, 6, 8),
    (Column::Tx, 6, 6),
    (Column::Rx, 6, 6),
    (Column::Cwnd, 5, 6),
    (Column::Srtt, 7, 7),
    (Column::Retrans, 5, 5),
];

const WIDE: Columns = &[
    (Column::Process, 22, 28),
    (Column::Local, 21, 47),
    (Column::Peer, 21, 47),
    (Column::State, 11, 11),
    (Column::Cc, 8, 10),
    (Column::CaState, 8, 8),
    (Column::Tx, 6, 7),
    (Column::Rx, 6, 7),
    (Column::Cwnd, 6, 7),
    (Column::Flight, 6, 7),
    (Column::Ssthresh, 6, 7),
    (Column::Srtt, 7, 8),
    (Column::Retrans, 5, 7),
    (Column::Total, 6, 8),
];

/// What limits a connection, if it is known. Narrow screens have it in place of others.
const LIMIT: (Column, u16, u16) = (Column::Limit, 10, 16);
const YIELD: [Column; 2] = [Column::Rx, Column::Cc];

/// The columns for a screen of that width, and their widths.
#[must_use]
pub fn columns(width: u16, has_limits: bool) -> Vec<(Column, u16)> {
    let of = |columns: Columns| {
        let is_narrow = columns.len() == NARROW.len() && columns[1].0 == Column::LocalPort;
        let kept = |column: &Column| !(has_limits && is_narrow && YIELD.contains(column));
        let kept = columns.iter().filter(|(column, ..)| kept(column));
        kept.copied().chain(has_limits.then_some(LIMIT)).collect::<Vec<_>>()
    };
    let needs = |columns: &[(Column, u16, u16)]| {
        columns.iter().map(|(_, least, _)| least + 1).sum::<u16>() - 1
    };
    let fitting = [WIDE, MEDIUM].map(of).into_iter().find(|columns| needs(columns) <= width);
    let columns = &fitting.unwrap_or_else(|| of(NARROW))[..];
    let mut left = width.saturating_sub(needs(columns));
    let mut widths: Vec<u16> = columns.iter().map(|(_, least, _)| *least).collect();
    // Evenly, until all have what they can use.
    loop {
        let before = left;
        for (width, (_, _, most)) in widths.iter_mut().zip(columns) {
            if left > 0 && *width < *most {
                (*width, left) = (*width + 1, left - 1);
            }
        }
        if left == before {
            break;
        }
    }
    columns.iter().zip(widths).map(|((column, ..), width)| (*column, width)).collect()
}

const KEYS: &[(&str, &str)] = &[
    ("Enter", "open"),
    ("/", "filter"),
    ("\u{2190}\u{2192}", "sort"),
    ("r", "reverse"),
    ("f", "freeze"),
    (", .", "step"),
    ("?", "help"),
    ("q", "quit"),
];

/// Draws it; returns the place of the cursor, if an expression is being typed.
pub fn draw(app: &mut App, theme: Theme, area: Rect, buf: &mut Buffer) -> Option<Position> {
    title(app, theme, area, buf);
    let (below, cursor) = filter(app, theme, area, buf);
    let columns = columns(area.width, app.has_limits);
    let mut x = 0;
    for (column, width) in &columns {
        let sorted = app.sort == Sort::By(*column);
        let style = if sorted { theme.bold().patch(theme.chosen()) } else { theme.bold() };
        cell(buf, area, (x, below), *width, column.title(), column.is_number(), style);
        x += width + 1;
    }
    let first = below + 1;
    let room = area.height.saturating_sub(first + 1);
    app.room = usize::from(room);
    app.scroll();
    if app.rows.is_empty() {
        let why = if app.total() == 0 { "no TCP connections" } else { "no connection matches" };
        put(buf, area, 0, first, why, theme.dim());
    }
    for (y, row) in (first..).zip(app.rows.iter().skip(app.top).take(app.room)) {
        let chosen = app.chosen == Some(row.id);
        if chosen {
            buf.set_style(Rect { y: area.y + y, height: 1, ..area }, theme.chosen());
        }
        let mut x = 0;
        for (column, width) in &columns {
            let style = if chosen { theme.chosen() } else { style(*column, row, theme) };
            cell(buf, area, (x, y), *width, &column.cell(row), column.is_number(), style);
            x += width + 1;
        }
    }
    footer(app, theme, KEYS, area, buf);
    cursor
}

/// Idle and ended connections stand back; losses stand out.
fn style(column: Column, row: &Row, theme: Theme) -> Style {
    let losing = row.retrans > 0 && column == Column::Retrans;
    if losing || (column == Column::CaState && !matches!(row.ca_state(), "Open")) {
        return theme.alarm();
    }
    if row.is_closed() || row.tx_rate + row.rx_rate == 0 {
        return theme.dim();
    }
    match column {
        Column::Tx | Column::Rx => theme.color(Color::Cyan),
        Column::Cc => theme.color(Color::Green),
        _ => Style::new(),
    }
}

fn cell(
    buf: &mut Buffer,
    area: Rect,
    (x, y): (u16, u16),
    width: u16,
    text: &str,
    right: bool,
    style: Style,
) {
    let len = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    let indent = if right { width.saturating_sub(len) } else { 0 };
    let area = Rect { width: (x + width).min(area.width), ..area };
    if len <= width {
        put(buf, area, x + indent, y, text, style);
        return;
    }
    // The end of an address has the port, which counts most.
    let kept: String = text.chars().take(usize::from(width.saturating_sub(1))).collect();
    put(buf, area, x, y, &(kept + "\u{2026}"), style);
}

fn title(app: &App, theme: Theme, area: Rect, buf: &mut Buffer) {
    let sum = |of: fn(&Row) -> u64| app.rows.iter().map(of).fold(0, u64::saturating_add);
    let active = app.rows.iter().filter(|row| row.tx_rate + row.rx_rate > 0).count();
    let matching = if app.rows.len() == app.total() {
        format!("{} connections", app.total())
    } else {
        format!("{} of {} connections", app.rows.len(), app.total())
    };
    let interval = format!(" in {:.1} s", app.interval_ns as f64 / 1e9);
    let text = format!(
        "{matching}, {active} active   TX {}bit/s   RX {}bit/s   {} retransmitted{}",
        number::bits(sum(|row| row.tx_rate)),
        number::bits(sum(|row| row.rx_rate)),
        sum(|row| row.retrans),
        if area.width < 100 { "" } else { &interval }
    );
    put(buf, area, 0, 0, &text, theme.bold());
    frozen(app, theme, area, buf);
}

/// The lines of the expression; returns the line below them, and the place of the cursor.
fn filter(app: &App, theme: Theme, area: Rect, buf: &mut Buffer) -> (u16, Option<Position>) {
    let filter = &app.filter;
    if !filter.is_open {
        if filter.in_use().is_empty() {
            return (1, None);
        }
        let x = put(buf, area, 0, 1, "filter: ", theme.dim());
        put(buf, area, x, 1, &crate::escape::line(filter.in_use()), theme.color(Color::Yellow));
        return (2, None);
    }
    // The mistake is marked in its own lines; without one, the cursor is in this.
    let room = usize::from(area.width.saturating_sub(3));
    let before = filter.text[..filter.cursor].chars().count();
    let skipped = before.saturating_sub(room);
    let text: String = filter.text.chars().skip(skipped).collect();
    let x = put(buf, area, 0, 1, "/ ", theme.bold());
    put(buf, area, x, 1, &text, Style::new());
    let shown: String = text.chars().take(before - skipped).collect();
    let width = ratatui::text::Line::from(shown).width();
    let x = (x + u16::try_from(width).unwrap_or(0)).min(area.width - 1);
    let cursor = Position { x: area.x + x, y: area.y + 1 };
    let Some(mistake) = &filter.mistake else { return (2, Some(cursor)) };
    let mut y = 2;
    for line in mistake.excerpt.lines() {
        put(buf, area, 0, y, line, theme.dim());
        y += 1;
    }
    put(buf, area, 0, y, &mistake.message, theme.alarm());
    (y + 1, Some(cursor))
}
