//! Packs a connection for the page: columns of numbers as differences, divided in planes of bytes, compressed, in base64.
//!
//! After decompression there are the length of a head (32 bits, little-endian), the head (JSON), and the planes. `unpack()` in
//! `assets/data.js` is the other side.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::connection::{Connection, Event};
use super::html;
use super::series::{Column, SERIES, Store};

/// The packed form. `html` is the section of the connection, if it is not in the page already.
pub fn pack(connection: &Connection, html: Option<&str>) -> std::io::Result<String> {
    let samples = &connection.samples;
    let rows = samples.len();
    let start_ns = connection.start_ns();
    let mut planes = Vec::new();
    let mut columns = Vec::new();
    let mut times = Column::default();
    for (row, time_ns) in samples.time_ns.iter().enumerate() {
        times.set(row, Some(time_ns.saturating_sub(start_ns) / 1000));
    }
    columns.push(column("time_us", &times, rows, &mut planes));
    for (at, (name, store)) in SERIES.iter().enumerate() {
        if samples.columns[at].is_empty() || *store == Store::Hidden {
            continue;
        }
        let mut head = column(name, &samples.columns[at], rows, &mut planes);
        match store {
            Store::Word => head["words"] = json!(samples.words[at].all()),
            Store::Millionths => head["millionths"] = true.into(),
            _ => {}
        }
        columns.push(head);
    }
    let events: Vec<Value> =
        connection.events.iter().map(|event| packed_event(event, start_ns)).collect();
    let gaps = connection.gaps.iter().map(|gap| json!([gap.row, gap.packets, gap.damaged]));
    let head = json!({
        "rows": rows,
        "read": samples.read,
        "columns": columns,
        "events": events,
        "more_events": connection.more_events,
        "gaps": gaps.collect::<Vec<_>>(),
        "html": html,
        "causes": causes(connection, start_ns),
    });
    let head = head.to_string();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let len = u32::try_from(head.len()).map_err(std::io::Error::other)?;
    encoder.write_all(&len.to_le_bytes())?;
    encoder.write_all(head.as_bytes())?;
    encoder.write_all(&planes)?;
    Ok(STANDARD.encode(encoder.finish()?))
}

/// Times in µs, each as the distance to the one before, and the number of the cause up to it; 0 is none.
fn causes(connection: &Connection, start_ns: u64) -> Value {
    let (mut times, mut numbers) = (Vec::new(), Vec::new());
    let since = |ns: u64| ns.cast_signed().wrapping_sub(start_ns.cast_signed()) / 1000;
    let mut before = 0;
    let mut add = |us: i64, number: usize| {
        times.push(us - std::mem::replace(&mut before, us));
        numbers.push(number);
    };
    let mut end_ns = None;
    for segment in &connection.causes.segments {
        if end_ns != Some(segment.from_ns) {
            add(since(segment.from_ns), 0);
        }
        add(since(segment.to_ns), segment.cause as usize + 1);
        end_ns = Some(segment.to_ns);
    }
    json!({ "times": times, "numbers": numbers })
}

/// A text in the same packing, without a head.
pub fn pack_text(text: &str) -> std::io::Result<String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    Ok(STANDARD.encode(encoder.finish()?))
}

/// Appends the planes of a column that are not zero. A bit for each tells which those are, the lowest byte's first.
fn column(name: &str, column: &Column, rows: usize, planes: &mut Vec<u8>) -> Value {
    let mut present = 0_u32;
    for (half, values) in column.halves(rows).into_iter().enumerate() {
        let Some(values) = values else { continue };
        let mut before = 0_u32;
        let differences: Vec<u32> = values
            .iter()
            .map(|value| {
                let difference = value.wrapping_sub(std::mem::replace(&mut before, *value));
                // Small ones of either sign have zeros above.
                difference << 1 ^ (difference.cast_signed() >> 31).cast_unsigned()
            })
            .collect();
        for byte in 0..4 {
            if differences.iter().any(|difference| difference >> (8 * byte) & 0xff != 0) {
                present |= 1 << (4 * half + byte);
                planes.extend(differences.iter().map(|d| (d >> (8 * byte)) as u8));
            }
        }
    }
    json!({ "name": name, "planes": present })
}

/// Time in µs, number of the mark, title, detail, offset, length, partner, segments.
fn packed_event(event: &Event, start_ns: u64) -> Value {
    let time_us = event.time_ns.cast_signed().wrapping_sub(start_ns.cast_signed()) / 1000;
    json!([
        time_us,
        event.mark.number(),
        html::visible(&event.title),
        html::visible(&event.detail),
        event.offset,
        event.len,
        event.partner,
        event.segs
    ])
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::series::at;
    use super::*;

    /// As `unpack()` of the page.
    fn unpack(text: &str) -> (Value, Vec<Vec<Option<u64>>>) {
        let bytes = STANDARD.decode(text).unwrap();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
        let len = u32::from_le_bytes(plain[..4].try_into().unwrap()) as usize;
        let head: Value = serde_json::from_slice(&plain[4..4 + len]).unwrap();
        let rows = head["rows"].as_u64().unwrap() as usize;
        let (mut at, mut columns) = (4 + len, Vec::new());
        for column in head["columns"].as_array().unwrap() {
            let present = column["planes"].as_u64().unwrap();
            let mut stored = vec![0_u64; rows];
            for half in 0..2 {
                let mut codes = vec![0_u32; rows];
                for byte in 0..4 {
                    if present >> (4 * half + byte) & 1 == 1 {
                        let plane = &plain[at..at + rows];
                        codes
                            .iter_mut()
                            .zip(plane)
                            .for_each(|(c, b)| *c |= u32::from(*b) << (8 * byte));
                        at += rows;
                    }
                }
                let mut sum = 0_u32;
                for (row, code) in codes.iter().enumerate() {
                    sum = sum.wrapping_add(code >> 1 ^ 0_u32.wrapping_sub(code & 1));
                    stored[row] |= u64::from(sum) << (32 * half);
                }
            }
            columns.push(stored.iter().map(|value| value.checked_sub(1)).collect());
        }
        assert_eq!(at, plain.len());
        (head, columns)
    }

    #[test]
    fn numbers_come_out_as_they_went_in() {
        let mut connection = Connection::default();
        let rows = 1000_usize;
        let value = |row: usize| match row % 5 {
            0 => None,
            1 => Some(row as u64),
            2 => Some(u64::from(u32::MAX) + row as u64),
            3 => Some(0),
            _ => Some(1 << 45),
        };
        for row in 0..rows {
            connection.samples.time_ns.push(5_000 + 7_000_000_000 * row as u64);
            connection.samples.columns[at("bytes_acked")].set(row, value(row));
            connection.samples.columns[at("snd_cwnd")].set(row, Some(10 + row as u64 % 3));
        }
        let (head, columns) = unpack(&pack(&connection, Some("<p>")).unwrap());
        let names: Vec<&str> = head["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["time_us", "snd_cwnd", "bytes_acked"]);
        assert_eq!(head["html"], "<p>");
        assert_eq!(
            columns[0],
            (0..rows as u64).map(|row| Some(7_000_000 * row)).collect::<Vec<_>>()
        );
        assert_eq!(columns[2], (0..rows).map(value).collect::<Vec<_>>());
        // A small column takes one plane.
        assert_eq!(head["columns"][1]["planes"], 1);
    }

    #[test]
    fn a_connection_without_samples_has_events() {
        let (head, columns) = unpack(&pack(&Connection::default(), None).unwrap());
        assert_eq!((head["rows"].as_u64(), columns), (Some(0), vec![vec![]]));
        assert!(head["html"].is_null());
    }
}
