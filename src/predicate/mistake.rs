//! What is wrong with an expression, and where.

use std::fmt;
use std::ops::Range;

use crate::escape;

/// Bytes of the expression's text.
pub type Span = Range<usize>;

/// The longest part of an expression that an error shows, in characters.
const SHOWN: usize = 76;
/// Of it, what stands before the mistake at most.
const BEFORE: usize = 40;

/// A mistake in an expression, before its text is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub span: Span,
    pub message: String,
}

impl Fault {
    pub(super) fn new(span: &Span, message: impl Into<String>) -> Self {
        Fault { span: span.clone(), message: message.into() }
    }

    /// The error that the user sees, in the expression of that option.
    #[must_use]
    pub fn within(self, option: &str, text: &str) -> Mistake {
        let Fault { span, message } = self;
        let (shown, mark) = excerpt(text, &span);
        Mistake { message: format!("{option}: {message}"), excerpt: format!("  {shown}\n  {mark}") }
    }
}

/// An error in an expression: a message, and two lines with the mistake underlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub message: String,
    pub excerpt: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

/// The part of the text around the span, escaped, and a line that underlines the span.
fn excerpt(text: &str, span: &Span) -> (String, String) {
    let escaped = |part: Option<&str>| escape::line(part.unwrap_or_default());
    let (before, marked) = (escaped(text.get(..span.start)), escaped(text.get(span.clone())));
    let after = escaped(text.get(span.end..));
    let mut shown = String::new();
    let skipped = before.chars().count().saturating_sub(BEFORE);
    if skipped > 0 {
        shown.push_str("...");
    }
    shown.extend(before.chars().skip(skipped));
    let mark = " ".repeat(shown.chars().count());
    let room = SHOWN.saturating_sub(shown.chars().count());
    let rest: Vec<char> = marked.chars().chain(after.chars()).collect();
    shown.extend(rest.iter().take(room));
    if rest.len() > room {
        shown.push_str("...");
    }
    (shown, mark + &"^".repeat(marked.chars().count().clamp(1, room)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mistake_is_underlined() {
        assert_eq!(excerpt("a > b", &(0..1)), ("a > b".into(), "^".into()));
        assert_eq!(excerpt("a > bcd", &(4..7)), ("a > bcd".into(), "    ^^^".into()));
        assert_eq!(excerpt("a >", &(3..3)), ("a >".into(), "   ^".into()), "behind the end");
    }

    #[test]
    fn only_the_part_around_it_is_shown() {
        let text = format!("{}bad{}", "x ".repeat(100), " y".repeat(100));
        let (shown, mark) = excerpt(&text, &(200..203));
        assert!(shown.starts_with("...") && shown.ends_with("...") && shown.chars().count() < 80);
        assert_eq!(shown.get(mark.find('^').unwrap()..mark.len()), Some("bad"));
        assert!(excerpt(&text, &(0..403)).1.chars().count() <= SHOWN);
    }

    #[test]
    fn hidden_characters_are_escaped() {
        let (shown, mark) = excerpt("\u{1b}[2J == x", &(8..9));
        assert_eq!((shown.as_str(), mark.len()), ("\\x1b[2J == x", 12));
    }
}
