//! Draws the model. It reads nothing else, so a test draws any state on any size.

mod chart;
mod connection;
mod help;
mod playback;
pub mod table;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::app::App;

/// Colours, unless they are not wanted; then bold, dim and reverse remain.
#[derive(Clone, Copy)]
pub struct Theme {
    pub colours: bool,
}

impl Theme {
    fn color(self, color: Color) -> Style {
        if self.colours { Style::new().fg(color) } else { Style::new() }
    }

    fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    fn alarm(self) -> Style {
        self.color(Color::Red).add_modifier(Modifier::BOLD)
    }
}

/// The smallest screen that anything is drawn on.
const LEAST: (u16, u16) = (40, 8);

/// Draws everything.
pub fn draw(app: &mut App, theme: Theme, now_ns: u64, frame: &mut Frame<'_>) {
    let area = frame.area();
    app.width = area.width;
    let buf = frame.buffer_mut();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        put(buf, area, 0, 0, "the terminal is too small", Style::new());
        return;
    }
    // A recording's place takes the last line.
    let whole = area;
    let area = Rect { height: area.height - u16::from(app.playback.is_some()), ..area };
    if let Some(playback) = &app.playback {
        playback::draw(app, playback, theme, now_ns, whole, buf);
    }
    match &app.shown {
        Some(shown) => connection::draw(app, shown, theme, now_ns, area, buf),
        None => {
            if let Some(cursor) = table::draw(app, theme, area, buf) {
                frame.set_cursor_position(cursor);
            }
        }
    }
    if app.help {
        help::draw(app.playback.is_some(), theme, whole, frame.buffer_mut());
    }
}

/// Puts text there, cut off at the end of the area; returns the column behind it.
fn put(buf: &mut Buffer, area: Rect, x: u16, y: u16, text: &str, style: Style) -> u16 {
    if y >= area.height || x >= area.width {
        return x;
    }
    let room = usize::from(area.width - x);
    let (end, _) = buf.set_stringn(area.x + x, area.y + y, text, room, style);
    end - area.x
}

/// Puts texts one behind the other.
fn put_all(buf: &mut Buffer, area: Rect, y: u16, texts: &[(String, Style)]) {
    let mut x = 0;
    for (text, style) in texts {
        x = put(buf, area, x, y, text, *style);
    }
}

/// Marks a live view that is frozen; returns the column of the mark.
fn frozen(app: &App, theme: Theme, area: Rect, buf: &mut Buffer) -> u16 {
    let text = if app.frozen_ns.is_some() && app.playback.is_none() { " FROZEN " } else { "" };
    let x = area.width.saturating_sub(text.len() as u16);
    put(buf, area, x, 0, text, theme.chosen());
    x
}

/// The last line: keys, or a message.
fn footer(app: &App, theme: Theme, keys: &[(&str, &str)], area: Rect, buf: &mut Buffer) {
    let y = area.height - 1;
    if let Some(message) = &app.message {
        put(buf, area, 0, y, message, theme.bold());
        return;
    }
    let mut x = 0;
    for (key, does) in keys {
        if usize::from(x) + key.len() + does.len() + 3 > usize::from(area.width) {
            break;
        }
        x = put(buf, area, x, y, key, theme.bold());
        x = put(buf, area, x, y, &format!(" {does}   "), theme.dim());
    }
}
