//! From text to tokens.

use std::net::IpAddr;

use super::mistake::{Fault, Span};
use super::quantity::{Literal, is_of_rates};
use super::syntax::Net;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Number(Literal),
    Text(Vec<u8>),
    Net(Net),
    /// A field, a keyword or a function.
    Name(String),
    Sign(&'static str),
    End,
}

/// The longer first.
const SIGNS: &[&str] =
    &["==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "(", ")", ","];

/// What people write in place of a sign.
const OTHERS: &[(&str, &str)] = &[("=~", "=="), ("=", "=="), ("&", "&&"), ("|", "||")];

/// Digits of a number, which fit into 64 bits.
const DIGITS: usize = 19;

/// All tokens, each with its place; the last is the end.
pub fn tokens(text: &str) -> Result<Vec<(Token, Span)>, Fault> {
    let (mut found, mut at) = (Vec::new(), 0);
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            found.push((Token::End, at..at));
            return Ok(found);
        };
        let (token, length) = match address(rest, at) {
            Some(net) => net?,
            None if first.is_ascii_digit() => number(rest, at)?,
            None if is_name(first) => {
                let name = take(rest, |c| is_name(c) || c == '.');
                (Token::Name(name.to_owned()), name.len())
            }
            None if first == '"' || first == '\'' => string(rest, at)?,
            None => sign(rest, first, at)?,
        };
        found.push((token, at..at + length));
        at += length;
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn take(text: &str, is_part: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !is_part(c)).unwrap_or(text.len())]
}

fn sign(rest: &str, first: char, at: usize) -> Result<(Token, usize), Fault> {
    if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        return Ok((Token::Sign(sign), sign.len()));
    }
    let span = at..at + first.len_utf8();
    if first == '%' {
        return Err(Fault::new(&span, "`%` is reserved for later versions"));
    }
    Err(match OTHERS.iter().find(|(other, _)| rest.starts_with(other)) {
        Some((other, sign)) => {
            Fault::new(&(at..at + other.len()), format!("unknown operator `{other}`; use `{sign}`"))
        }
        None => Fault::new(&span, "unexpected character"),
    })
}

/// `10.0.0.1`, `fe80::/10`; `None` if it is something else.
fn address(rest: &str, at: usize) -> Option<Result<(Token, usize), Fault>> {
    let bare = take(rest, |c| c.is_ascii_hexdigit() || c == ':' || c == '.');
    let is_ipv4 = bare.matches('.').count() == 3 && bare.starts_with(|c: char| c.is_ascii_digit());
    if bare.matches(':').count() < 2 && !is_ipv4 {
        return None;
    }
    let mut length = bare.len();
    if rest[length..].starts_with('/') {
        length += 1 + take(&rest[length + 1..], |c| c.is_ascii_digit()).len();
    }
    length += take(&rest[length..], |c| is_name(c) || c == '%').len();
    let net = net(&rest[..length]).map_err(|message| Fault::new(&(at..at + length), message));
    Some(net.map(|net| (Token::Net(net), length)))
}

/// An address, or a network without host bits.
pub(super) fn net(text: &str) -> Result<Net, String> {
    if text.contains('%') {
        return Err("addresses here have no zone; use --addr, or compare `bound_dev_if`".into());
    }
    let unknown =
        || format!("`{text}` is not an address or network, such as 10.0.0.1 or 10.0.0.0/8");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| unknown())?;
    let (address, bits) = match address {
        IpAddr::V4(address) => (address.to_ipv6_mapped(), 32),
        IpAddr::V6(address) => (address, 128),
    };
    let prefix: u8 = prefix.map_or(Ok(bits), str::parse).map_err(|_| unknown())?;
    if prefix > bits {
        return Err(unknown());
    }
    let net = Net { address: address.octets(), prefix: 128 - bits + prefix };
    let first = u128::from_be_bytes(net.address) & net.mask();
    if first.to_be_bytes() != net.address {
        let first = std::net::Ipv6Addr::from(first);
        let first = if bits == 32 { first.to_canonical() } else { first.into() };
        return Err(format!("the network has host bits set; did you mean {first}/{prefix}?"));
    }
    Ok(net)
}

/// `100`, `0x4d`, `1.5ms`, `10MB/s`.
fn number(rest: &str, at: usize) -> Result<(Token, usize), Fault> {
    let hex = rest.strip_prefix("0x").map(|digits| take(digits, |c| c.is_ascii_hexdigit()));
    if let Some(digits) = hex.filter(|digits| !digits.is_empty()) {
        let length = 2 + digits.len() + take(&rest[2 + digits.len()..], is_name).len();
        let Ok(number) = u64::from_str_radix(&rest[2..length], 16) else {
            return Err(Fault::new(&(at..at + length), "not a number of 64 bits"));
        };
        let literal = Literal { digits: number.into(), exponent: 0, unit: None };
        return Ok((Token::Number(literal), length));
    }
    let whole = take(rest, |c| c.is_ascii_digit());
    let fraction =
        rest[whole.len()..].strip_prefix('.').map_or("", |rest| take(rest, |c| c.is_ascii_digit()));
    let mut length = whole.len() + if fraction.is_empty() { 0 } else { 1 + fraction.len() };
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let digits: u64 = match digits {
        "" => 0,
        _ => match digits.parse() {
            Ok(number) if fraction.len() <= DIGITS => number,
            _ => return Err(Fault::new(&(at..at + length), "the number has too many digits")),
        },
    };
    let exponent = -(fraction.len() as i8);
    let mut literal = Literal { digits: digits.into(), exponent, unit: None };
    let name = take(&rest[length..], is_name);
    if !name.is_empty() {
        let after = &rest[length + name.len()..];
        let per_second = is_of_rates(name)
            && after.strip_prefix("/s").is_some_and(|after| !after.starts_with(is_name));
        let end = length + name.len() + if per_second { 2 } else { 0 };
        literal = literal
            .with_unit(name, per_second)
            .map_err(|message| Fault::new(&(at + length..at + end), message))?;
        length = end;
    }
    Ok((Token::Number(literal), length))
}

/// Between quotes of either form; `\xNN` is the byte NN, as in the output, and `\\` a backslash.
fn string(rest: &str, at: usize) -> Result<(Token, usize), Fault> {
    let quote = rest.as_bytes()[0];
    let (mut text, mut next) = (Vec::new(), 1);
    let bytes = rest.as_bytes();
    loop {
        match bytes.get(next) {
            None => return Err(Fault::new(&(at..at + 1), "the text has no closing quote")),
            Some(&byte) if byte == quote => return Ok((Token::Text(text), next + 1)),
            Some(b'\\') => {
                let hex = rest.get(next + 2..next + 4).and_then(byte_of);
                let (byte, length) = match (bytes.get(next + 1), hex) {
                    (Some(b'x'), Some(byte)) => (byte, 4),
                    (Some(&byte @ (b'\\' | b'"' | b'\'')), _) => (byte, 2),
                    _ => {
                        let end = rest[next + 1..].chars().next().map_or(1, |c| 1 + c.len_utf8());
                        let span = at + next..at + next + end;
                        return Err(Fault::new(&span, r#"unknown escape; use \xNN, \\, \" or \'"#));
                    }
                };
                text.push(byte);
                next += length;
            }
            Some(&byte) => {
                text.push(byte);
                next += 1;
            }
        }
    }
}

fn byte_of(hex: &str) -> Option<u8> {
    let digits = hex.chars().all(|c| c.is_ascii_hexdigit());
    u8::from_str_radix(hex, 16).ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Token {
        let mut found = tokens(text).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        found.remove(0).0
    }

    fn message(text: &str) -> String {
        tokens(text).unwrap_err().message
    }

    fn number(digits: i128, exponent: i8) -> Token {
        Token::Number(Literal { digits, exponent, unit: None })
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(one("0"), number(0, 0));
        assert_eq!(one("0x4d"), number(77, 0));
        assert_eq!(one("1.50"), number(150, -2));
        assert_eq!(one("18446744073709551615"), number(u64::MAX.into(), 0));
        assert!(message("18446744073709551616").contains("too many digits"));
        assert!(message("0x1g").contains("64 bits"));
        assert!(message("5parsecs").contains("unknown unit `parsecs`"));
        let Token::Number(rate) = one("10Mbit/s") else { panic!() };
        assert_eq!((rate.digits, rate.exponent), (1250, 3));
    }

    #[test]
    fn a_quotient_is_not_a_rate() {
        assert_eq!(tokens("10MB/snd_cwnd").unwrap().len(), 4);
        assert_eq!(tokens("10s/s").unwrap().len(), 4);
    }

    #[test]
    fn addresses_need_no_quotes() {
        for text in ["10.0.0.1", "10.0.0.0/8", "::", "::1", "fe80::/10", "::ffff:10.0.0.1"] {
            assert!(matches!(one(text), Token::Net(_)), "{text}");
        }
        assert!(matches!(one("dead.beef"), Token::Name(_)));
        assert!(message("10.0.0.1/8").ends_with("did you mean 10.0.0.0/8?"));
        assert!(message("fe80::1/64").ends_with("did you mean fe80::/64?"));
        assert!(message("10.0.0.0/33").contains("not an address"));
        assert!(message("300.0.0.1").contains("not an address"));
        assert!(message("fe80::1%eth0").contains("no zone"));
    }

    #[test]
    fn texts_may_have_any_bytes() {
        let text = |bytes: &[u8]| Token::Text(bytes.to_vec());
        assert_eq!(one(r#""a'b""#), text(b"a'b"));
        assert_eq!(one(r#"'a\x41\\\'\xff'"#), text(b"aA\\'\xff"));
        assert!(message("'abc").contains("no closing quote"));
        assert!(message(r#"'\n'"#).contains("unknown escape"));
        assert!(message(r#"'\x+1'"#).contains("unknown escape"));
        assert!(message("'\\\u{e9}'").contains("unknown escape"));
    }

    #[test]
    fn other_signs_have_a_hint() {
        assert!(message("a = 1").contains("use `==`"));
        assert!(message("a & b").contains("use `&&`"));
        assert!(message("a % 2").contains("reserved"));
        assert!(message("a # b").contains("unexpected character"));
    }
}
