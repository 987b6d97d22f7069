//! Text in HTML. Names may have any characters.

/// Escapes a text for an element or a quoted attribute. Control characters and the like are escaped before, as in all output.
#[must_use]
pub fn escape(text: &str) -> String {
    let text = crate::escape::line(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// The same for a text of ours, with spaces that do not break.
#[must_use]
pub fn own(text: &str) -> String {
    by_parts(text, escape)
}

/// For a script that inserts it as text: without characters that are hidden.
#[must_use]
pub fn visible(text: &str) -> String {
    by_parts(text, crate::escape::line)
}

/// In parts, as spaces that do not break are among the hidden characters.
fn by_parts(text: &str, escape: fn(&str) -> String) -> String {
    text.split('\u{202f}').map(escape).collect::<Vec<_>>().join("\u{202f}")
}

/// JSON for a script element, which only `</` can end.
#[must_use]
pub fn json(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_an_element() {
        assert_eq!(
            escape("</script><b a='\"'>&\n\u{202e}"),
            "&lt;/script&gt;&lt;b a=&#39;&quot;&#39;&gt;&amp;\\x0a\\xe2\\x80\\xae"
        );
        assert_eq!(own("1\u{202f}448 <"), "1\u{202f}448 &lt;");
    }
}
