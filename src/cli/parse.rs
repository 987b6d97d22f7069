//! Parsers of option values. Errors do not repeat the value: the caller prints `--option value: ` before them.

use std::ffi::OsStr;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::zone::{self, Zoned};
use crate::config::{Point, Rate};
use crate::escape;

/// `80` or `8000-8999`.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let port = |text: &str| {
        let text = text.trim();
        text.parse::<u16>().map_err(|_| format!("`{text}` is not a port (0 to 65535)"))
    };
    let Some((first, last)) = text.split_once('-') else {
        let only = port(text)?;
        return Ok(only..=only);
    };
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(format!("the range ends before it starts; did you mean {last}-{first}?"));
    }
    Ok(first..=last)
}

/// An address, or a network in CIDR form without host bits; a link-local one may have a zone. An IPv4-mapped one is the
/// IPv4 one.
pub fn net(text: &str) -> Result<Zoned<IpNet>, String> {
    zone::parse(text, bare_net)
}

fn bare_net(text: &str) -> Result<IpNet, String> {
    if let Ok(addr) = text.parse::<std::net::IpAddr>() {
        return Ok(IpNet::from(addr.to_canonical()));
    }
    let net: IpNet = text.parse().map_err(|_| {
        "not an address or network; use 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32".to_owned()
    })?;
    if net.addr() != net.network() {
        return Err(format!("the network has host bits set; did you mean {}?", net.trunc()));
    }
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && v6.prefix_len() >= 96
    {
        return ipnet::Ipv4Net::new(v4, v6.prefix_len() - 96)
            .map(IpNet::from)
            .map_err(|error| error.to_string());
    }
    Ok(net)
}

/// `--follow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    Cookie(u64),
    Ends([Zoned<SocketAddr>; 2]),
}

/// A cookie, or the two ends of a connection as `ss` prints them with a `-` between them.
pub fn follow(text: &str) -> Result<Follow, String> {
    let Some((one, other)) = zone::split_ends(text) else {
        let Ok(number) = number64(text) else {
            return Err(
                "not a cookie or two ends; use 0x2a, 10.0.0.1:80-10.0.0.2:4321 or [::1]:80-[::1]:4321"
                    .to_owned(),
            );
        };
        return cookie_number(number).map(Follow::Cookie);
    };
    let bare_end = |text: &str| {
        let end: SocketAddr = text.parse().map_err(|_| {
            format!("`{text}` is not ADDRESS:PORT; use 10.0.0.1:80 or [2001:db8::1]:80")
        })?;
        if end.ip().is_unspecified() || end.port() == 0 {
            return Err(format!("`{text}` cannot be an end of a connection"));
        }
        Ok(SocketAddr::new(end.ip().to_canonical(), end.port()))
    };
    let end = |text: &str| zone::parse(text.trim(), bare_end);
    let ends = [end(one)?, end(other)?];
    if ends[0].value.is_ipv4() != ends[1].value.is_ipv4() {
        return Err("one end is IPv4, the other IPv6".into());
    }
    Ok(Follow::Ends(ends))
}

/// A connection's cookie.
pub fn cookie(text: &str) -> Result<u64, String> {
    cookie_number(number64(text)?)
}

fn cookie_number(number: u64) -> Result<u64, String> {
    match number {
        0 => Err("not a cookie; the kernel starts at 1".into()),
        _ => Ok(number),
    }
}

/// A user, by number: the same name may have another number in a container.
pub fn uid(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "not a number; `id -u NAME` prints it".into())
}

/// A process or algorithm name as it is printed: the kernel keeps 15 bytes and a NUL.
pub fn comm(text: &str) -> Result<[u8; 16], String> {
    let (name, mut kept) = (escape::unescape(text), [0; 16]);
    if name.is_empty() || name.contains(&0) {
        return Err("the name is empty or has a NUL byte".into());
    }
    match kept[..15].get_mut(..name.len()) {
        Some(start) => start.copy_from_slice(&name),
        None => {
            let kept = escape::path(OsStr::from_bytes(&name[..15]));
            return Err(format!(
                "the kernel keeps only 15 bytes of a name; did you mean `{kept}`?"
            ));
        }
    }
    Ok(kept)
}

/// `10s`, `250ms`; greater than zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| "not a time; use 10s, 250ms or 5min".to_owned())?;
    if duration.is_zero() {
        return Err("must be greater than zero".into());
    }
    Ok(duration)
}

/// A time in a recording: `10s` after its start, `17:05:00` or `2026-11-29T17:05:00Z`.
pub fn point(text: &str) -> Result<Point, String> {
    const USE: &str = "not a time; use 10s after the start, 17:05:00 or 2026-11-29T17:05:00Z (UTC)";
    if !text.contains(':') {
        let elapsed = humantime::parse_duration(text).map_err(|_| USE.to_owned())?;
        return Ok(Point::Elapsed(elapsed));
    }
    let parse = |text: &str| {
        let moment = OffsetDateTime::parse(text, &Rfc3339);
        moment.map(OffsetDateTime::unix_timestamp_nanos).map_err(|_| USE.to_owned())
    };
    match text.split_once(['T', ' ']) {
        Some((date, time)) => {
            let zone = if time.contains(['Z', '+', '-']) { "" } else { "Z" };
            parse(&format!("{date}T{time}{zone}")).map(Point::Wall)
        }
        None => {
            let seconds = if text.matches(':').count() == 1 { ":00" } else { "" };
            parse(&format!("1970-01-01T{text}{seconds}Z")).map(Point::OfDay)
        }
    }
}

/// `200/s`, `6000/min`; a bare number is per second.
pub fn rate(text: &str) -> Result<Rate, String> {
    let (count, per) = text.split_once('/').unwrap_or((text, "s"));
    let per = match per {
        "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        _ => return Err(format!("`{per}` is not a unit of time; use 200/s or 6000/min")),
    };
    match count.parse::<u64>() {
        Ok(0) => Err("must be greater than zero".into()),
        Ok(count) => Ok(Rate::new(count, Duration::from_secs(per))),
        Err(_) => Err("not a rate; use 200/s or 6000/min".into()),
    }
}

/// `65536`, `512K`, `8M`, `1G`.
pub fn size(text: &str) -> Result<u32, String> {
    match bytes(text)? {
        bytes if bytes <= 1 << 30 => Ok(bytes as u32),
        _ => Err("must be at most 1G".into()),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        unit => return Err(format!("`{unit}` is not a unit of size; use 65536, 512K or 8M")),
    };
    let number: u64 = digits.parse().map_err(|_| "not a size; use 65536, 512K or 8M".to_owned())?;
    match number.checked_mul(1 << shift) {
        Some(0) => Err("must be greater than zero".into()),
        Some(bytes) => Ok(bytes),
        None => Err("too large".into()),
    }
}

/// When a part of a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    Bytes(u64),
    Age(Duration),
}

/// `256MB` or `10min`: units of size are in capitals, those of time are not.
pub fn rotate(text: &str) -> Result<Rotate, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let is_time = unit.starts_with(|c: char| c.is_ascii_lowercase());
    let age = || duration(text).map(Rotate::Age);
    let parsed = if is_time { age() } else { bytes(text).map(Rotate::Bytes) };
    match parsed {
        Ok(Rotate::Bytes(bytes)) if bytes < LEAST_PART => Err("must be at least 1M".into()),
        Ok(Rotate::Age(age)) if age < Duration::from_secs(1) => Err("must be at least 1s".into()),
        Err(_) => Err("not a size or a time; use 256MB or 10min".into()),
        parsed => parsed,
    }
}

/// Of which an eighth is a part.
pub fn flight_size(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        bytes if bytes < 8 * LEAST_PART => Err("must be at least 8M".into()),
        bytes => Ok(bytes),
    }
}

/// The header alone takes some kilobytes.
const LEAST_PART: u64 = 1 << 20;

/// Decimal, or hexadecimal after `0x`.
pub fn number64(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "not a number; use 77 or 0x4d".to_owned())
}

/// The same, of 32 bits.
pub fn number32(text: &str) -> Result<u32, String> {
    u32::try_from(number64(text)?).map_err(|_| "does not fit into 32 bits".to_owned())
}

/// A number greater than zero.
pub fn positive<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, String> {
    match text.parse() {
        Ok(number) if number == T::default() => Err("must be greater than zero".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("not a positive number, or too large".into()),
    }
}

/// A number of a range.
pub fn within<T: FromStr + Display + PartialOrd + Clone + Send + Sync + 'static>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("must be a number from {} to {}", range.start(), range.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ports_and_ranges() {
        assert_eq!(ports("80"), Ok(80..=80));
        assert_eq!(ports("80-90"), Ok(80..=90));
        assert!(ports("70000").unwrap_err().contains("70000"));
        assert!(ports("90-80").unwrap_err().contains("80-90"));
        assert!(ports("").is_err() && ports("-").is_err() && ports("1-2-3").is_err());
    }

    #[test]
    fn parts_have_a_size_or_an_age() {
        assert_eq!(rotate("256MB"), Ok(Rotate::Bytes(256 << 20)));
        assert_eq!(rotate("4G"), Ok(Rotate::Bytes(4 << 30)));
        assert_eq!(rotate("10min"), Ok(Rotate::Age(Duration::from_secs(600))));
        assert_eq!(rotate("10m"), Ok(Rotate::Age(Duration::from_secs(600))));
        for wrong in ["", "10", "1K", "100ms", "0s", "10X", "99999999999G", "1.5MB"] {
            assert!(rotate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn networks_have_no_host_bits() {
        assert_eq!(bare_net("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(bare_net("2001:db8::/32").unwrap().to_string(), "2001:db8::/32");
        assert_eq!(bare_net("::ffff:10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(bare_net("::ffff:10.0.0.0/104").unwrap().to_string(), "10.0.0.0/8");
        assert!(net("10.0.0.1/8").unwrap_err().contains("10.0.0.0/8"));
        assert!(net("10.0.0.0/33").is_err() && net("example").is_err());
    }

    #[test]
    fn rates_sizes_numbers_and_durations() {
        assert_eq!(rate("200/s").unwrap().interval_ns, 5_000_000);
        assert_eq!(rate("60/min").unwrap().interval_ns, 1_000_000_000);
        assert!(rate("0/s").is_err() && rate("5/fortnight").is_err() && rate("x").is_err());
        assert_eq!(size("8M"), Ok(8 << 20));
        assert!(size("0").is_err() && size("2G").is_err() && size("1X").is_err());
        assert_eq!(number32("0x4d"), Ok(77));
        assert!(number32("0x100000000").is_err());
        assert!(duration("0s").is_err() && duration("10").is_err());
        assert_eq!((positive("7"), within(-20..=19)("-20")), (Ok(7_u32), Ok(-20)));
        assert!(positive::<u32>("0").is_err() && within(1..=9_u8)("10").is_err());
    }

    #[test]
    fn a_printed_name_is_parsed_back() {
        assert_eq!(
            comm("a-name-that-is-too-long").unwrap_err().split('`').nth(1),
            Some("a-name-that-is-")
        );
        assert!(comm("fifteen bytes\u{e9}x").unwrap_err().contains("`fifteen bytes\u{e9}`"));
        assert_eq!(comm(r"sshd\xff\x5cx").unwrap()[..8], *b"sshd\xff\\x\0");
        assert_eq!(comm(r"a\b").unwrap()[..4], *b"a\\b\0");
        assert!(comm(r"\x00").is_err() && comm("").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_an_error(text in ".{0,40}") {
            let _ = (ports(&text), net(&text), comm(&text), duration(&text), rate(&text), size(&text));
            let _ = number32(&text);
        }

        #[test]
        fn a_printed_range_is_parsed_back(first in any::<u16>(), more in any::<u16>()) {
            let last = first.saturating_add(more);
            prop_assert_eq!(ports(&format!("{first}-{last}")), Ok(first..=last));
        }
    }
}
