//! Charts in Braille: two by four dots a cell.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Context, Line, Points};

use super::{Theme, put, put_all};
use crate::live::number;

/// Columns of the labels at the left.
pub const MARGIN: u16 = 7;

/// Smallest, largest and last value of a column of dots.
pub type Dots = Option<(f64, f64, f64)>;

/// A line of a chart.
pub struct Curve {
    pub name: &'static str,
    /// The value now, as text.
    pub value: String,
    pub color: Color,
    /// It is dotted, and the scale need not have room for it.
    pub is_bound: bool,
    /// By column of dots.
    pub dots: Vec<Dots>,
}

pub struct Chart {
    pub title: &'static str,
    pub curves: Vec<Curve>,
    /// The text of a value of the scale.
    pub label: fn(u64) -> String,
}

impl Chart {
    pub fn draw(&self, theme: Theme, area: Rect, buf: &mut Buffer) {
        if area.height < 2 || area.width <= MARGIN + 2 {
            return;
        }
        let mut texts =
            vec![(format!("{:<w$}", self.title, w = usize::from(MARGIN) + 1), theme.bold())];
        for curve in &self.curves {
            texts.push((format!("{} ", curve.name), self.style(curve, theme)));
            texts.push((format!("{}   ", curve.value), theme.bold()));
        }
        put_all(buf, area, 0, &texts);
        let plot = Rect {
            x: area.x + MARGIN + 1,
            y: area.y + 1,
            width: area.width - MARGIN - 1,
            height: area.height - 1,
        };
        let top = number::ceiling(self.largest());
        for (y, text) in [(1, (self.label)(top as u64)), (area.height - 1, "0".to_owned())] {
            if y > 1 || area.height > 2 {
                put(buf, area, 0, y, &format!("{text:>w$}", w = usize::from(MARGIN)), theme.dim());
            }
        }
        for y in 0..plot.height {
            put(buf, area, MARGIN, y + 1, "\u{2502}", theme.dim());
        }
        let canvas = Canvas::default()
            .marker(Marker::Braille)
            .x_bounds([0.0, f64::from(plot.width * 2 - 1)])
            .y_bounds([0.0, top])
            .paint(|context| {
                self.curves.iter().for_each(|curve| paint(curve, theme, top, context))
            });
        canvas.render(plot, buf);
    }

    fn style(&self, curve: &Curve, theme: Theme) -> Style {
        if theme.colours { theme.color(curve.color) } else { Style::new() }
    }

    /// Of the values that the scale has to have room for.
    fn largest(&self) -> f64 {
        let bounds_only = self.curves.iter().all(|curve| curve.is_bound);
        let curves = self.curves.iter().filter(|curve| bounds_only || !curve.is_bound);
        let values = curves.flat_map(|curve| curve.dots.iter().flatten());
        values.map(|(_, max, _)| *max).fold(0.0, f64::max)
    }
}

/// A line of steps; a value holds until the next one.
fn paint(curve: &Curve, theme: Theme, top: f64, context: &mut Context<'_>) {
    let color = if theme.colours { curve.color } else { Color::Reset };
    let mut before: Option<f64> = None;
    for (column, dots) in curve.dots.iter().enumerate() {
        let Some((min, max, last)) = *dots else {
            before = None;
            continue;
        };
        let x = column as f64;
        if curve.is_bound {
            if column % 3 == 0 && last <= top {
                context.draw(&Points { coords: &[(x, last)], color });
            }
            continue;
        }
        let (low, high) = match before {
            Some(before) => (min.min(before), max.max(before)),
            None => (min, max),
        };
        context.draw(&Line { x1: x, y1: low, x2: x, y2: high, color });
        before = Some(last);
    }
}
