//! What is counted, as the programs are told.

use anyhow::Result;
use libbpf_rs::MapType;

use crate::config::summary::{By, Field, Keys, Summarise, What};
use crate::skel::{BpfConfig, By as Bits, OpenTccTraceSkel, Value};

/// The constants.
pub fn set(cfg: &mut BpfConfig, summarise: Option<&Summarise>) {
    match summarise.map(|summarise| &summarise.what) {
        Some(What::Rtt(histograms) | What::Connlat(histograms)) => {
            cfg.value = histograms.fields.first().copied().map_or(Value::TCC_VALUE_NONE, value);
            set_keys(cfg, &histograms.keys);
        }
        Some(What::Retrans(sums) | What::Cong(sums)) => {
            cfg.sums = 1;
            set_keys(cfg, &sums.keys);
        }
        Some(What::Listeners(_)) => cfg.listeners = 1,
        Some(What::Top(_)) | None => {}
    }
}

fn value(field: Field) -> Value {
    match field {
        Field::Srtt => Value::TCC_VALUE_SRTT,
        Field::MinRtt => Value::TCC_VALUE_MIN_RTT,
        Field::Rttvar => Value::TCC_VALUE_RTTVAR,
        Field::Mdev => Value::TCC_VALUE_MDEV,
        Field::Latency => Value::TCC_VALUE_LATENCY,
        Field::Failed => Value::TCC_VALUE_FAILED,
        Field::Handshake => Value::TCC_VALUE_HANDSHAKE,
        Field::Wait => Value::TCC_VALUE_WAIT,
    }
}

/// As a row's key has it.
#[must_use]
pub fn number(field: Field) -> u32 {
    value(field).0
}

fn set_keys(cfg: &mut BpfConfig, keys: &Keys) {
    cfg.by = Bits(keys.by.iter().fold(0, |bits, by| bits | part(*by)));
    let mask6 = u128::MAX.checked_shl(128 - u32::from(keys.prefix6)).unwrap_or(0).to_be_bytes();
    for (word, bytes) in cfg.prefix6.iter_mut().zip(mask6.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    let mask4 = u32::MAX.checked_shl(32 - u32::from(keys.prefix)).unwrap_or(0);
    cfg.prefix4 = u32::from_ne_bytes(mask4.to_be_bytes());
}

/// The maps, before they are made.
pub fn size(
    open: &mut OpenTccTraceSkel<'_>,
    summarise: Option<&Summarise>,
    connections: u32,
) -> Result<()> {
    let maps = &mut open.maps;
    let histograms = summarise.and_then(|summarise| summarise.what.histograms());
    let sums = summarise.and_then(|summarise| summarise.what.sums());
    maps.dwelling.set_autocreate(sums.is_some())?;
    maps.dwelling.set_max_entries(connections)?;
    maps.sums.set_autocreate(sums.is_some())?;
    maps.sums_rest.set_autocreate(sums.is_some())?;
    if let Some(sums) = sums {
        maps.sums.set_max_entries(sums.max_rows)?;
    }
    maps.flow_copies.set_autocreate(of_flows(summarise))?;
    maps.listener_copies.set_autocreate(of_listeners(summarise))?;
    maps.histograms.set_autocreate(histograms.is_some())?;
    maps.histogram_rest.set_autocreate(histograms.is_some())?;
    if let Some(histograms) = histograms {
        maps.histograms.set_max_entries(histograms.rows())?;
        if histograms.per_cpu() {
            maps.histograms.set_type(MapType::PercpuHash)?;
        }
    }
    Ok(())
}

/// Are connections read as a whole?
pub fn of_flows(summarise: Option<&Summarise>) -> bool {
    summarise.is_some_and(|summarise| matches!(summarise.what, What::Top(_)))
}

/// Are listening sockets?
pub fn of_listeners(summarise: Option<&Summarise>) -> bool {
    summarise.is_some_and(|summarise| matches!(summarise.what, What::Listeners(_)))
}

fn part(by: By) -> u32 {
    let (saddr, sport) = (Bits::TCC_BY_SADDR.0, Bits::TCC_BY_SPORT.0);
    let (daddr, dport) = (Bits::TCC_BY_DADDR.0, Bits::TCC_BY_DPORT.0);
    match by {
        By::Conn => Bits::TCC_BY_COOKIE.0 | saddr | sport | daddr | dport,
        By::Ends => Bits::TCC_BY_NETNS.0 | saddr | sport | daddr | dport,
        By::Laddr => saddr,
        By::Raddr => daddr,
        By::Lport => sport,
        By::Rport => dport,
        By::Cgroup => Bits::TCC_BY_CGROUP.0,
        By::Netns => Bits::TCC_BY_NETNS.0,
        By::Cc => Bits::TCC_BY_CA.0,
    }
}
