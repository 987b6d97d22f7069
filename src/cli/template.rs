//! `--format`: `{time} {saddr}:{sport} {old_state:<12}`.

use crate::sink::template::{Align, Piece};

/// The value of `--format`; not a bare list, which clap would take for a repeatable option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineTemplate(pub Vec<Piece>);

impl LineTemplate {
    /// The names of the fields, without duplicates.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for piece in &self.0 {
            if let Piece::Column { name, .. } = piece
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
        names
    }
}

/// Parses text and fields. Doubled braces are literal; `\t`, `\n` and `\\` are as in C.
pub fn template(text: &str) -> Result<LineTemplate, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' if rest.next_if_eq(&c).is_some() => plain.push(c),
            '{' => {
                let mut inner = String::new();
                loop {
                    match rest.next() {
                        Some('}') => break,
                        Some(c) => inner.push(c),
                        None => return Err(format!("`{{{inner}` has no closing `}}`")),
                    }
                }
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(column(&inner)?);
            }
            '}' => return Err("a single `}`; write `}}` for a literal one".into()),
            '\\' => plain.push(match rest.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('\\') => '\\',
                _ => return Err("unknown escape after `\\`; use \\t, \\n or \\\\".into()),
            }),
            c => plain.push(c),
        }
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) {
        return Err("no field named; use {time}, {saddr} and so on".into());
    }
    Ok(LineTemplate(pieces))
}

/// `name`, `name:12`, `name:<12` or `name:>12`.
fn column(text: &str) -> Result<Piece, String> {
    let (name, width) = text.split_once(':').unwrap_or((text, ""));
    let (align, width) = match width.strip_prefix('<') {
        Some(width) => (Align::Left, width),
        None => match width.strip_prefix('>') {
            Some(width) => (Align::Right, width),
            None => (Align::ByType, width),
        },
    };
    if name.is_empty() {
        return Err(format!("`{{{text}}}` names no field"));
    }
    let width = match width {
        "" if !text.contains(':') => 0,
        width => width
            .parse::<u8>()
            .map_err(|_| format!("`{{{text}}}`: the width must be a number up to 255"))?
            .into(),
    };
    Ok(Piece::Column { name: name.to_owned(), align, width })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    fn col(name: &str, align: Align, width: usize) -> Piece {
        Piece::Column { name: name.into(), align, width }
    }

    #[test]
    fn fields_are_in_braces() {
        let pieces = template(r"{{{saddr}:{sport:>5}}}\t{a:<3}{b:9}").unwrap().0;
        let expected = [
            text("{"),
            col("saddr", Align::ByType, 0),
            text(":"),
            col("sport", Align::Right, 5),
            text("}\t"),
            col("a", Align::Left, 3),
            col("b", Align::ByType, 9),
        ];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (wrong, words) in [
            ("{time", "`{time` has no closing `}`"),
            ("time}", "single `}`"),
            ("{}", "field"),
            ("{time:}", "up to 255"),
            ("{time:<999}", "up to 255"),
            (r"{time}\x", r"\t"),
            ("time", "field"),
            ("", "field"),
        ] {
            let error = template(wrong).unwrap_err();
            assert!(error.contains(words), "{wrong}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_template_or_an_error(text in "[{}\\\\:<>a-z0-9]{0,24}|\\PC{0,24}") {
            if let Ok(LineTemplate(pieces)) = template(&text) {
                // No text follows another, and none is empty.
                let texts: Vec<bool> = pieces.iter().map(|p| matches!(p, Piece::Text(_))).collect();
                prop_assert!(!texts.windows(2).any(|pair| pair[0] && pair[1]));
                prop_assert!(!pieces.contains(&Piece::Text(String::new())));
            }
        }

        #[test]
        fn plain_text_is_literal(plain in "[^{}\\\\]{1,24}") {
            let template = template(&format!("{plain}{{time}}")).unwrap();
            prop_assert_eq!(template.0.first(), Some(&Piece::Text(plain)));
        }
    }
}
