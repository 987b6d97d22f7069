//! Figures as SVG, drawn by plotters.

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::RGBColor;

use super::figures::{Figure, Table};

const SIZE: (u32, u32) = (900, 340);
/// Columns of the picture: of each, the first, last, smallest and largest numbers are drawn.
const COLUMNS: usize = 1600;

/// Okabe and Ito's, which the colour-blind can tell apart, some darker for white paper.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 122, 90),
    RGBColor(168, 72, 127),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(89, 99, 110),
];

/// The picture.
pub fn draw(figure: &Figure) -> Result<String> {
    let mut picture = String::new();
    drawn(figure, &mut picture).map_err(|error| anyhow!("{error}"))?;
    Ok(picture)
}

fn drawn(figure: &Figure, picture: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let tables = || figure.tables.iter().filter(|table| !table.x.is_empty());
    let x_of = |least: bool| {
        let all = tables().flat_map(|table| table.x.iter().copied());
        if least { all.fold(f64::MAX, f64::min) } else { all.fold(f64::MIN, f64::max) }
    };
    let (from, to) = (x_of(true), x_of(false));
    let to = if to > from { to } else { from + 1.0 };
    let values = tables().flat_map(|table| &table.columns).flat_map(|(_, values)| values);
    let most = values.flatten().copied().fold(0.0, f64::max);
    // With room for the names above the lines.
    let top = range(figure).unwrap_or(most).max(f64::MIN_POSITIVE) * 1.25;
    let root = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(from..to, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(figure.x_title)
        .y_desc(figure.y_title)
        .label_style(("sans-serif", 13))
        .draw()?;
    let mut names: Vec<&str> = Vec::new();
    for table in tables() {
        for (name, values) in &table.columns {
            let known = names.iter().position(|known| known == name);
            let at = known.unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            let style = COLOURS[at % COLOURS.len()].stroke_width(if at == 0 { 2 } else { 1 });
            let mut parts = lines(table, values, figure.stepped, from, to).into_iter();
            let first = parts.next().unwrap_or_default();
            let clip =
                |points: Vec<(f64, f64)>| points.into_iter().map(move |(x, y)| (x, y.min(top)));
            let series = chart.draw_series(LineSeries::new(clip(first), style))?;
            if known.is_none() {
                series
                    .label(name.as_str())
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
            }
            for part in parts {
                chart.draw_series(LineSeries::new(clip(part), style))?;
            }
        }
    }
    let drop = figure.marks.iter().filter(|mark| mark.class == "drop");
    chart.draw_series(drop.map(|mark| Cross::new((mark.x, mark.y), 4, BLACK)))?;
    let sent = figure.marks.iter().filter(|mark| mark.class != "drop");
    chart.draw_series(
        sent.map(|mark| TriangleMarker::new((mark.x, mark.y), 5, COLOURS[1].filled())),
    )?;
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.85))
        .border_style(TRANSPARENT)
        .label_font(("sans-serif", 13))
        .position(SeriesLabelPosition::UpperRight)
        .draw()?;
    root.present()?;
    Ok(())
}

/// The largest number of the first series, or of others up to 1.45 times that.
fn range(figure: &Figure) -> Option<f64> {
    let largest = |values: &[Option<f64>]| values.iter().flatten().copied().fold(0.0, f64::max);
    let first = figure.tables.iter().filter_map(|table| table.columns.first());
    let first = first.map(|(_, values)| largest(values)).fold(0.0, f64::max);
    let others = figure.tables.iter().flat_map(|table| table.columns.iter().skip(1));
    let others = others.map(|(_, values)| largest(values)).fold(first, f64::max);
    (first > 0.0).then_some(others.min(1.45 * first))
}

/// The parts of a line between nulls and gaps.
fn lines(
    table: &Table,
    values: &[Option<f64>],
    stepped: bool,
    from: f64,
    to: f64,
) -> Vec<Vec<(f64, f64)>> {
    let mut parts = vec![Vec::new()];
    let mut before: Option<f64> = None;
    for row in thinned(table, values, from, to) {
        let (x, value) = (table.x[row], values[row]);
        let is_gap = table
            .gaps
            .iter()
            .any(|gap| before.is_some_and(|before| table.x[*gap] > before && table.x[*gap] <= x));
        let Some(value) = value else {
            parts.push(Vec::new());
            before = None;
            continue;
        };
        if is_gap {
            parts.push(Vec::new());
        } else if let (true, Some(before)) = (stepped, before) {
            // A sample is the state before its packet, so it held since the one before.
            parts.last_mut().into_iter().for_each(|part| part.push((before, value)));
        }
        parts.last_mut().into_iter().for_each(|part| part.push((x, value)));
        before = Some(x);
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Rows that are drawn: of each column the first, the last, and those with the smallest and the largest number.
fn thinned(table: &Table, values: &[Option<f64>], from: f64, to: f64) -> Vec<usize> {
    let rows = table.x.len().min(values.len());
    if rows < 4 * COLUMNS {
        return (0..rows).collect();
    }
    let column = |row: usize| ((table.x[row] - from) / (to - from) * COLUMNS as f64) as usize;
    let (mut kept, mut start) = (Vec::new(), 0);
    while start < rows {
        let end = (start..rows).find(|row| column(*row) != column(start)).unwrap_or(rows);
        let compare = |a: &usize, b: &usize| values[*a].partial_cmp(&values[*b]);
        let order = |a: &usize, b: &usize| compare(a, b).unwrap_or(std::cmp::Ordering::Equal);
        let known = || (start..end).filter(|row| values[*row].is_some());
        let mut of: Vec<usize> = vec![start, end - 1];
        of.extend(known().min_by(order));
        of.extend(known().max_by(order));
        of.sort_unstable();
        of.dedup();
        kept.extend(of);
        start = end;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_backwards_and_stop_at_gaps() {
        let table = Table {
            name: String::new(),
            x_name: "time_s",
            x: vec![0.0, 1.0, 2.0, 3.0, 4.0],
            columns: Vec::new(),
            gaps: vec![3],
        };
        let values = [Some(1.0), Some(2.0), Some(3.0), Some(4.0), None];
        let parts = lines(&table, &values, true, 0.0, 4.0);
        assert_eq!(
            parts,
            [vec![(0.0, 1.0), (0.0, 2.0), (1.0, 2.0), (1.0, 3.0), (2.0, 3.0)], vec![(3.0, 4.0)]]
        );
    }

    #[test]
    fn extremes_are_drawn() {
        let rows = 100_000;
        let x: Vec<f64> = (0..rows).map(f64::from).collect();
        let mut values: Vec<Option<f64>> = (0..rows).map(|row| Some(f64::from(row % 7))).collect();
        values[54_321] = Some(99.0);
        let table = Table {
            name: String::new(),
            x_name: "time_s",
            x,
            columns: Vec::new(),
            gaps: Vec::new(),
        };
        let kept = thinned(&table, &values, 0.0, f64::from(rows));
        assert!(kept.len() <= 4 * COLUMNS + 4 && kept.contains(&54_321), "{}", kept.len());
    }

    #[test]
    fn a_figure_becomes_a_picture() {
        let table = Table {
            name: String::new(),
            x_name: "time_s",
            x: vec![0.0, 1.0],
            columns: vec![("<cwnd>".into(), vec![Some(10.0), Some(20.0)])],
            gaps: Vec::new(),
        };
        let figure = Figure {
            name: "cwnd",
            x_title: "time (s)",
            y_title: "segments",
            tables: vec![table],
            marks: Vec::new(),
            stepped: true,
        };
        let picture = draw(&figure).unwrap();
        assert!(picture.starts_with("<svg") && picture.contains("polyline"), "{picture}");
        assert!(!picture.contains("<cwnd>"), "names are escaped");
    }
}
