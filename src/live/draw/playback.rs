//! The last line of a replay: its speed, and its place in the recording.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;

use super::{Theme, put};
use crate::live::app::{App, Playback};

pub fn draw(
    app: &App,
    playback: &Playback,
    theme: Theme,
    now_ns: u64,
    area: Rect,
    buf: &mut Buffer,
) {
    let y = area.height - 1;
    let length_ns = playback.end_ns.saturating_sub(playback.start_ns);
    let passed_ns = app.view_ns(now_ns).saturating_sub(playback.start_ns).min(length_ns);
    let state = match (playback.is_reading, app.frozen_ns) {
        (true, _) => " reading ".to_owned(),
        (_, Some(_)) => " paused ".to_owned(),
        _ => format!(" {}x ", playback.speed),
    };
    let x = put(buf, area, 0, y, &state, theme.chosen());
    let time = format!("  {} of {}  ", time(passed_ns, length_ns), time(length_ns, length_ns));
    let x = put(buf, area, x, y, &time, theme.bold());
    let right = area.width.saturating_sub(playback.wall.len() as u16);
    let Some(width) = right.checked_sub(x + 1).filter(|width| *width > 4) else { return };
    put(buf, area, right, y, &playback.wall, theme.dim());
    let part = passed_ns as f64 / length_ns.max(1) as f64;
    let passed = (f64::from(width) * part).round() as u16;
    for place in 0..width {
        let (sign, style) = match place < passed {
            true => ("\u{2501}", theme.color(Color::Cyan)),
            false => ("\u{2500}", theme.dim()),
        };
        put(buf, area, x + place, y, sign, style);
    }
}

/// Seconds, or minutes and seconds of a long recording.
fn time(ns: u64, length_ns: u64) -> String {
    let (minutes, seconds) = (ns / 60_000_000_000, (ns % 60_000_000_000) as f64 / 1e9);
    match length_ns >= 120_000_000_000 {
        true => format!("{minutes}:{seconds:04.1}"),
        false => format!("{:.2} s", ns as f64 / 1e9),
    }
}
