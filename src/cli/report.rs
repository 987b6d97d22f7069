//! Options of `report`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::report::compare::{Align, Comparison};
use crate::report::ends::nat::{Endpoint, Translation};
use crate::report::{Export, Options};

#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Recordings. Several are compared.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The page to write.
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub write: PathBuf,
    /// Overwrite existing files.
    #[arg(long)]
    pub force: bool,
    /// Write panels as SVG into this directory: those of the ten connections that moved most, or of the comparison.
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
    /// Write the series behind these panels as CSV into this directory.
    #[arg(long, value_name = "DIR")]
    pub csv: Option<PathBuf>,
    /// The two recordings are of the two ends of the same connections: put them on one time line.
    ///
    /// The difference of their clocks is found by sequence numbers. `record --profile full` records what divides the delay most finely.
    #[arg(long, conflicts_with_all = ["labels", "align", "bottleneck"])]
    pub ends: bool,
    /// With --ends, an address that is translated between the two ends: as the second recording has it, and as the first one has it.
    ///
    /// Both with a port, 198.51.100.7:443=10.0.0.2:8443, or neither. Without ports, connections are found by their sequence numbers,
    /// whatever their ports are.
    #[arg(long, value_name = "THERE=HERE", value_delimiter = ',', value_parser = translation, requires = "ends")]
    pub nat: Vec<Translation>,
    /// Names of the recordings, one for each; those of the same name are repetitions: cubic,bbr.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Where the time of a recording begins if several are compared.
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = AlignArg::FirstData)]
    pub align: AlignArg,
    /// Rate of the link that the recordings share, for its utilisation: 20mbit, 1gbit.
    #[arg(long, value_name = "RATE", value_parser = bit_rate)]
    pub bottleneck: Option<u64>,
}

/// Where the time of a recording begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AlignArg {
    /// At its start.
    Start,
    /// When the first data is delivered.
    FirstData,
}

impl ReportArgs {
    pub fn into_options(self) -> Result<Options> {
        let options = [
            ("--labels", !self.labels.is_empty()),
            ("--bottleneck", self.bottleneck.is_some()),
            ("--align start", self.align == AlignArg::Start),
        ];
        if let Some((option, _)) = options.iter().find(|(_, given)| *given && self.files.len() == 1)
        {
            bail!("{option} compares recordings; name at least two");
        }
        if self.ends && self.files.len() != 2 {
            bail!("--ends needs two recordings: of the one end, and of the other");
        }
        if self.labels.iter().any(String::is_empty) {
            bail!("--labels: empty name");
        }
        let align = match self.align {
            AlignArg::Start => Align::Start,
            AlignArg::FirstData => Align::FirstData,
        };
        let comparison = Comparison { labels: self.labels, align, bottleneck: self.bottleneck };
        let export = Export { svg: self.svg, csv: self.csv, force: self.force };
        Ok(Options {
            files: self.files,
            path: self.write,
            force: self.force,
            comparison,
            ends: self.ends,
            nat: self.nat,
            export,
        })
    }
}

/// `198.51.100.7=10.0.0.2`, both with a port or neither.
fn translation(text: &str) -> Result<Translation, String> {
    let (there, here) = text.split_once('=').ok_or("not THERE=HERE; use 198.51.100.7=10.0.0.2")?;
    let (there, here) = (endpoint(there)?, endpoint(here)?);
    if there.port.is_some() != here.port.is_some() {
        return Err("give a port on both sides, or on neither".into());
    }
    if there.ip.is_ipv4() != here.ip.is_ipv4() {
        return Err("one address is IPv4, the other IPv6".into());
    }
    Ok(Translation { there, here })
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    let text = text.trim();
    if let Ok(end) = text.parse::<SocketAddr>() {
        if end.port() == 0 {
            return Err(format!("`{text}`: 0 cannot be a port of a connection"));
        }
        return Ok(Endpoint { ip: end.ip().to_canonical(), port: Some(end.port()) });
    }
    let ip: IpAddr = text.parse().map_err(|_| {
        format!("`{text}` is not an address; use 10.0.0.1, 10.0.0.1:443 or [2001:db8::1]:443")
    })?;
    Ok(Endpoint { ip: ip.to_canonical(), port: None })
}

/// `20mbit`, `1gbit`: bits per second in powers of 1000, as `tc` reads them.
fn bit_rate(text: &str) -> Result<u64, String> {
    const WRONG: &str = "not a bit rate; use 500kbit, 20mbit or 1gbit";
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale: u64 = match &lower[digits.len()..] {
        "bit" => 1,
        "kbit" => 1_000,
        "mbit" => 1_000_000,
        "gbit" => 1_000_000_000,
        _ => return Err(WRONG.into()),
    };
    let (whole, tenths) = digits.split_once('.').unwrap_or((digits, "0"));
    let number = |text: &str| text.parse::<u64>().map_err(|_| WRONG.to_owned());
    let (whole, decimals) = (number(whole)?, tenths.len());
    let part = 10_u64.checked_pow(decimals as u32).filter(|part| *part <= scale.max(1));
    let part = part.or((number(tenths)? == 0).then_some(1)).ok_or(WRONG)?;
    let rate = whole
        .checked_mul(scale)
        .and_then(|rate| rate.checked_add(number(tenths).ok()?.checked_mul(scale / part)?));
    match rate {
        Some(0) => Err("must be greater than zero".into()),
        rate => rate.ok_or(WRONG.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translations_are_addresses_with_or_without_ports() {
        let found = translation("198.51.100.7:443=[::ffff:10.0.0.2]:8443").unwrap();
        assert_eq!((found.there.port, found.here.port), (Some(443), Some(8443)));
        assert_eq!(found.here.ip, "10.0.0.2".parse::<IpAddr>().unwrap());
        assert_eq!(translation("2001:db8::1=fd00::1").unwrap().there.port, None);
        for wrong in
            ["", "10.0.0.1", "a=b", "10.0.0.1:1=10.0.0.2", "::1=10.0.0.2", "10.0.0.1:0=10.0.0.2:1"]
        {
            assert!(translation(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bit_rates_are_powers_of_1000() {
        let rates = ["20mbit", "1.5Gbit", "9bit"].map(bit_rate);
        assert_eq!(rates, [Ok(20_000_000), Ok(1_500_000_000), Ok(9)]);
        for wrong in ["", "20", "mbit", "0mbit", "1.5bit", "-1mbit", "99999999999999gbit", "2mb"] {
            assert!(bit_rate(wrong).is_err(), "{wrong}");
        }
    }
}
