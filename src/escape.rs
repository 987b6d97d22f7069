//! Escaping of all output. Processes, files and arguments may have any name: characters that a terminal would interpret, or that
//! are invisible, are never printed as they are.
//!
//! The only escape is `\xNN`, the byte NN. In names, in every format, it stands for a byte that is not UTF-8 and for the
//! backslash (`\x5c`); so different names never look the same, and [`unescape`] restores them. Text and CSV also use it for the
//! bytes of hidden characters; JSON has `\uNNNN` for those, which its parsers undo.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Whether a terminal would interpret the character, or not show it as it is: controls (C0, DEL, C1), format characters such as
/// U+202E, line separators, spaces other than U+0020, unassigned characters, and those that may be invisible.
fn hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    if is_blank(c) {
        return true;
    }
    // After a letter, combining marks are valid, and the standard library does not escape them.
    let mut pair = [b'x', 0, 0, 0, 0];
    let len = 1 + c.encode_utf8(&mut pair[1..]).len();
    let pair = std::str::from_utf8(&pair[..len]).unwrap_or_default();
    pair.escape_debug().nth(1) == Some('\\')
}

/// Invisible letters and marks (Default_Ignorable_Code_Point: variation selectors, fillers, joiners), and the blank Braille
/// pattern, which the standard library does not escape.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
        || matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}')
        || matches!(c, '\u{2800}' | '\u{3164}' | '\u{ffa0}')
}

/// ASCII that needs no escape in any format.
#[must_use]
pub fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| is_plain(byte))
}

fn push_byte(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| HEX[usize::from(nibble & 15)];
    out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte)]);
}

/// Appends text for a terminal or a CSV cell.
pub fn text(text: &str, out: &mut Vec<u8>) {
    if plain(text.as_bytes()) {
        return out.extend_from_slice(text.as_bytes());
    }
    let mut buffer = [0; 4];
    for c in text.chars() {
        let bytes = c.encode_utf8(&mut buffer).as_bytes();
        if hidden(c) {
            bytes.iter().for_each(|&byte| push_byte(byte, out));
        } else {
            out.extend_from_slice(bytes);
        }
    }
}

/// Appends a name of any bytes for a terminal or a CSV cell.
pub fn name(bytes: &[u8], out: &mut Vec<u8>) {
    if plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    text(&to_text(bytes), out);
}

/// Appends text as a JSON string, quotes and all.
pub fn json(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    if plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                out.push(b'\\');
            }
            json_char(c, out);
        }
    }
    out.push(b'"');
}

fn json_char(c: char, out: &mut Vec<u8>) {
    if hidden(c) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
        }
    } else {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Appends a name of any bytes as a JSON string.
pub fn json_name(bytes: &[u8], out: &mut Vec<u8>) {
    if plain(bytes) {
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
    } else {
        json(&to_text(bytes), out);
    }
}

/// A serialised JSON document: hidden characters in its strings are escaped, its line ends are kept.
#[must_use]
pub fn json_document(document: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len());
    for c in document.chars() {
        if c == '\n' {
            out.push(b'\n');
        } else {
            json_char(c, &mut out);
        }
    }
    out
}

/// One line for standard error or a report, which may contain arguments.
#[must_use]
pub fn line(line: &str) -> String {
    let mut out = Vec::with_capacity(line.len());
    text(line, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A file or a program in a message.
#[must_use]
pub fn path(path: impl AsRef<OsStr>) -> String {
    line(&to_text(path.as_ref().as_bytes()))
}

/// A name's bytes as text: `\xNN` for bytes that are not UTF-8 and for the backslash.
fn to_text(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            if byte == b'\\' { push_byte(byte, &mut out) } else { out.push(byte) }
        }
        chunk.invalid().iter().for_each(|&byte| push_byte(byte, &mut out));
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The bytes of a printed name. A backslash without `xNN` after it is literal.
#[must_use]
pub fn unescape(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| Some(char::from(*byte?).to_digit(16)? as u8);
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        let escaped = bytes[at..].starts_with(b"\\x");
        match (digit(bytes.get(at + 2)), digit(bytes.get(at + 3))) {
            (Some(high), Some(low)) if escaped => {
                out.push(high << 4 | low);
                at += 4;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_seen_stays_and_what_is_hidden_has_its_bytes() {
        for (name_, printed) in [
            ("nginx: worker", "nginx: worker"),
            ("grüße 日本 हिन्दी", "grüße 日本 हिन्दी"),
            ("say \"a\", 'b'", "say \"a\", 'b'"),
            ("e\x1b[2J\n", r"e\x1b[2J\x0a"),
            ("\u{9b}\u{7f}\0", r"\xc2\x9b\x7f\x00"),
            ("a\u{202e}b\u{feff}", r"a\xe2\x80\xaeb\xef\xbb\xbf"),
            ("\u{2028}\u{a0}\u{e0001}", r"\xe2\x80\xa8\xc2\xa0\xf3\xa0\x80\x81"),
            (r"C:\x41", r"C:\x5cx41"),
        ] {
            assert_eq!(made(|out| name(name_.as_bytes(), out)), printed);
        }
        assert_eq!(made(|out| name(b"sshd\xff\xff", out)), r"sshd\xff\xff");
        assert_eq!(made(|out| name(b"a\xc3b", out)), r"a\xc3b");
        assert_eq!(made(|out| text(r"as it is: \", out)), r"as it is: \");
    }

    #[test]
    fn json_has_its_own_escape_for_hidden_characters() {
        assert_eq!(
            made(|out| json("a\"\\\n\u{9b}\u{202e}\u{e0001}é", out)),
            r#""a\"\\\u000a\u009b\u202e\udb40\udc01é""#
        );
        assert_eq!(made(|out| json_name(b"a\xff\\\x1b", out)), r#""a\\xff\\x5c\u001b""#);
        let report = serde_json::to_string_pretty(&["\u{9b}", "é"]).unwrap();
        assert_eq!(
            String::from_utf8(json_document(&report)).unwrap(),
            "[\n  \"\\u009b\",\n  \"é\"\n]"
        );
    }

    /// As Unicode has them: what is ignored where it is not supported, separators, controls; and blank Braille.
    const NEVER_SHOWN: [(u32, u32); 24] = [
        (0x7f, 0xa0),
        (0xad, 0xad),
        (0x34f, 0x34f),
        (0x61c, 0x61c),
        (0x115f, 0x1160),
        (0x1680, 0x1680),
        (0x17b4, 0x17b5),
        (0x180b, 0x180f),
        (0x2000, 0x200f),
        (0x2028, 0x202f),
        (0x205f, 0x206f),
        (0x2800, 0x2800),
        (0x3000, 0x3000),
        (0x3164, 0x3164),
        (0xfe00, 0xfe0f),
        (0xfeff, 0xfeff),
        (0xffa0, 0xffa0),
        (0xfff0, 0xfffb),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0xe0000, 0xe00ff),
        (0xe0100, 0xe01ef),
        (0xe01f0, 0xe0fff),
        (0x10fffd, 0x10ffff),
    ];

    #[test]
    fn what_is_never_shown_is_escaped_everywhere() {
        for c in NEVER_SHOWN.iter().flat_map(|&(from, to)| (from..=to).filter_map(char::from_u32)) {
            let bytes: String =
                c.to_string().bytes().map(|byte| format!("\\x{byte:02x}")).collect();
            assert_eq!(line(&format!("a{c}b")), format!("a{bytes}b"), "{c:?}");
            assert_eq!(made(|out| name(c.to_string().as_bytes(), out)), bytes, "{c:?}");
            let units: String =
                c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
            assert_eq!(made(|out| json(&c.to_string(), out)), format!("\"{units}\""), "{c:?}");
        }
    }

    /// Names as they come: of any bytes, and rich in what has a meaning here.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let rich = r#"([\\x0-9a-f"',;{}]|[[:cntrl:]]|\p{Cf}|\p{Zs}|\PC){0,12}"#;
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..24),
            rich.prop_map(String::into_bytes),
            (rich, any::<u8>(), rich)
                .prop_map(|(a, b, c)| [a.as_bytes(), &[b], c.as_bytes()].concat()),
        ]
    }

    proptest! {
        #[test]
        fn a_name_comes_back_from_every_format(bytes in bytes()) {
            let printed = made(|out| name(&bytes, out));
            prop_assert!(!printed.contains(hidden), "{printed:?}");
            prop_assert_eq!(unescape(&printed), &bytes[..]);
            prop_assert_eq!(unescape(&path(OsStr::from_bytes(&bytes))), &bytes[..]);
            let quoted = made(|out| json_name(&bytes, out));
            prop_assert!(!quoted.contains(hidden), "{quoted:?}");
            let read: String = serde_json::from_str(&quoted).unwrap();
            prop_assert_eq!(unescape(&read), &bytes[..]);
        }

        #[test]
        fn text_shows_nothing_hidden_and_json_reads_it_back(bytes in bytes()) {
            let given = String::from_utf8_lossy(&bytes);
            prop_assert!(!line(&given).contains(hidden));
            let quoted = made(|out| json(&given, out));
            prop_assert!(!quoted.contains(hidden), "{quoted:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), &given[..]);
            let document = serde_json::to_string_pretty(&[&given]).unwrap();
            let document = String::from_utf8(json_document(&document)).unwrap();
            prop_assert!(!document.replace('\n', "").contains(hidden), "{document:?}");
            prop_assert_eq!(serde_json::from_str::<[String; 1]>(&document).unwrap(), [&given[..]]);
        }

        #[test]
        fn any_text_can_be_unescaped(text in r"(\\x?|[0-9a-fg]|\PC){0,20}") {
            let _ = unescape(&text);
        }
    }
}
