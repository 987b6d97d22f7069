//! Reads a page without a browser.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine;
use serde_json::Value;

/// The content of an element by its ID: up to the next `</script>`.
pub fn script(page: &str, id: &str) -> String {
    let start = format!("id=\"{id}\">");
    let from = page.find(&start).unwrap_or_else(|| panic!("no {id}")) + start.len();
    let len = page[from..].find("</script>").unwrap();
    page[from..from + len].to_owned()
}

/// The columns and the head of a connection's data, as the page's script reads them.
pub struct Data {
    pub head: Value,
    pub columns: BTreeMap<String, Vec<Option<f64>>>,
}

pub fn data(page: &str, id: &str) -> Data {
    let packed = base64::engine::general_purpose::STANDARD.decode(script(page, id)).unwrap();
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
    let len = u32::from_le_bytes(plain[..4].try_into().unwrap()) as usize;
    let head: Value = serde_json::from_slice(&plain[4..4 + len]).unwrap();
    let rows = head["rows"].as_u64().unwrap() as usize;
    let mut planes = plain[4 + len..].chunks(rows.max(1));
    let mut columns = BTreeMap::new();
    for column in head["columns"].as_array().unwrap() {
        let present = column["planes"].as_u64().unwrap();
        let mut stored = vec![0_u64; rows];
        for half in 0..2 {
            let mut codes = vec![0_u32; rows];
            for byte in (0..4).filter(|byte| present >> (4 * half + byte) & 1 == 1) {
                let plane = planes.next().unwrap();
                codes.iter_mut().zip(plane).for_each(|(c, b)| *c |= u32::from(*b) << (8 * byte));
            }
            let mut sum = 0_u32;
            for (stored, code) in stored.iter_mut().zip(codes) {
                sum = sum.wrapping_add(code >> 1 ^ 0_u32.wrapping_sub(code & 1));
                *stored |= u64::from(sum) << (32 * half);
            }
        }
        let scale = if column["millionths"] == true { 1e6 } else { 1.0 };
        let values = stored.iter().map(|v| v.checked_sub(1).map(|v| v as f64 / scale)).collect();
        columns.insert(column["name"].as_str().unwrap().to_owned(), values);
    }
    assert!(planes.next().is_none());
    Data { head, columns }
}

/// The text of HTML, without its elements.
pub fn text(html: &str) -> String {
    let mut out = String::new();
    for part in html.split('<') {
        let (tag, rest) = part.split_once('>').unwrap_or(("", part));
        if tag.starts_with('/') || tag.starts_with("td") || tag.starts_with("li") {
            out.push(' ');
        }
        out.push_str(rest);
    }
    let out = out.replace('\u{202f}', " ").replace("&lt;", "<").replace("&gt;", ">");
    out.replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}

/// The section of a connection.
pub fn section(page: &str, id: usize) -> String {
    let from = page.find(&format!("id=\"c{id}\"")).unwrap();
    let len = page[from..].find("</section>").unwrap();
    text(&page[from..from + len])
}
