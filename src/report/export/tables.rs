//! Series as CSV: the samples as they are, without thinning.

use std::fmt::Write;

use super::figures::{Figure, Table};

/// A cell that is a text.
#[must_use]
pub fn text(text: &str) -> String {
    let text = crate::escape::line(text);
    // A spreadsheet would take these for formulas.
    let plain = |c: char| c.is_ascii_alphanumeric() || "_. -%×/".contains(c);
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    match text.chars().all(plain) && starts_well {
        true => text,
        false => format!("\"{}\"", text.replace('"', "\"\"")),
    }
}

/// A row for each sample; an empty cell is null.
#[must_use]
pub fn lines(table: &Table) -> String {
    let mut out = String::from(table.x_name);
    for (name, _) in &table.columns {
        out.push(',');
        out.push_str(&text(name));
    }
    out.push('\n');
    for (row, x) in table.x.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(out, "{x}");
        for (_, values) in &table.columns {
            out.push(',');
            if let Some(value) = values.get(row).copied().flatten() {
                let _ = write!(out, "{value}");
            }
        }
        out.push('\n');
    }
    out
}

/// A row for each mark.
#[must_use]
pub fn marks(figure: &Figure) -> String {
    let mut out = String::from("time_s,kB,class\n");
    for mark in &figure.marks {
        let _ = writeln!(out, "{},{},{}", mark.x, mark.y, mark.class);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_are_empty_and_texts_quoted() {
        let table = Table {
            name: String::new(),
            x_name: "time_s",
            x: vec![0.0, 0.5],
            columns: vec![
                ("cwnd".into(), vec![Some(10.0), None]),
                ("=a\"b".into(), vec![None, Some(1.5)]),
            ],
            gaps: Vec::new(),
        };
        assert_eq!(lines(&table), "time_s,cwnd,\"=a\"\"b\"\n0,10,\n0.5,,1.5\n");
    }
}
