//! Configures the programs and maps for what is done with events, and for aggregation.

use anyhow::Result;
use libbpf_rs::MapType;

use crate::config::Actions;
use crate::config::observe::{REASONS, REASONS_EACH};
use crate::config::summary::{By, Keys, Metric, Observe, RowOptions, SummaryOptions, TimeField};
use crate::skel::{Action, BpfConfig, By as Bits, OpenTccTraceMaps, OpenTccTraceSkel, Value};

/// A bit for each action.
#[must_use]
pub fn action_bits(actions: Actions, yields: bool) -> u8 {
    let bits = [
        (yields, Action::TCC_YIELD),
        (actions.count, Action::TCC_COUNT),
        (actions.aggregate, Action::TCC_AGGREGATE),
        (actions.record, Action::TCC_RECORD),
    ];
    let bits = bits.iter().filter(|(on, _)| *on).fold(0, |bits, (_, action)| bits | action.0);
    u8::try_from(bits).unwrap_or(u8::MAX)
}

/// Sets the programs' constants.
pub fn set(cfg: &mut BpfConfig, summary: Option<&SummaryOptions>) {
    match summary.map(|summary| &summary.rows) {
        Some(RowOptions::Histograms(histograms)) => {
            cfg.value = histograms.fields.first().copied().map_or(Value::TCC_VALUE_NONE, value);
            set_keys(cfg, &histograms.keys);
        }
        Some(RowOptions::Sums(sums)) => {
            set_keys(cfg, &sums.keys);
        }
        Some(RowOptions::Listeners(_)) => cfg.listeners = 1,
        Some(RowOptions::Observe(observe)) => {
            cfg.observe = 1;
            cfg.top = observe.top.is_some().into();
            cfg.values = observe
                .histograms()
                .fields
                .iter()
                .fold(0, |bits, field| bits | 1_u32.checked_shl(number(*field)).unwrap_or(0));
            set_keys(cfg, &observe.keys);
        }
        Some(RowOptions::Connections(_) | RowOptions::Limits(_)) | None => {}
    }
}

fn value(field: TimeField) -> Value {
    match field {
        TimeField::Srtt => Value::TCC_VALUE_SRTT,
        TimeField::MinRtt => Value::TCC_VALUE_MIN_RTT,
        TimeField::Rttvar => Value::TCC_VALUE_RTTVAR,
        TimeField::Mdev => Value::TCC_VALUE_MDEV,
        TimeField::Cwnd => Value::TCC_VALUE_CWND,
        TimeField::InFlight => Value::TCC_VALUE_IN_FLIGHT,
        TimeField::DeliveryRate => Value::TCC_VALUE_DELIVERY_RATE,
        TimeField::PacingRate => Value::TCC_VALUE_PACING_RATE,
        TimeField::Unsent => Value::TCC_VALUE_UNSENT,
        TimeField::Queue => Value::TCC_VALUE_QUEUE,
        TimeField::Latency => Value::TCC_VALUE_LATENCY,
        TimeField::Failed => Value::TCC_VALUE_FAILED,
        TimeField::Handshake => Value::TCC_VALUE_HANDSHAKE,
        TimeField::Wait => Value::TCC_VALUE_WAIT,
    }
}

/// Its number in a row's key.
#[must_use]
pub fn number(field: TimeField) -> u32 {
    value(field).0
}

fn set_keys(cfg: &mut BpfConfig, keys: &Keys) {
    cfg.by = Bits(keys.by.iter().fold(0, |bits, by| bits | part(*by)));
    if keys.iface {
        cfg.by.0 |= Bits::TCC_BY_IFACE.0 | Bits::TCC_BY_NETNS.0;
    }
    let mask6 = u128::MAX.checked_shl(128 - u32::from(keys.prefix6)).unwrap_or(0).to_be_bytes();
    for (word, bytes) in cfg.prefix6.iter_mut().zip(mask6.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    let mask4 = u32::MAX.checked_shl(32 - u32::from(keys.prefix)).unwrap_or(0);
    cfg.prefix4 = u32::from_ne_bytes(mask4.to_be_bytes());
}

/// Sets the sizes of the maps.
pub fn size(
    open: &mut OpenTccTraceSkel<'_>,
    summary: Option<&SummaryOptions>,
    connections: u32,
) -> Result<()> {
    let maps = &mut open.maps;
    let observe = summary.and_then(|summary| summary.rows.observe());
    let observed = observe.map(Observe::histograms).filter(|observed| !observed.fields.is_empty());
    let histograms = summary.and_then(|summary| summary.rows.histograms()).or(observed.as_ref());
    size_observe(maps, observe, connections)?;
    let sums = summary.and_then(|summary| summary.rows.sums().cloned());
    let sums = sums.or_else(|| observe.and_then(Observe::state_times));
    maps.ca_state_times.set_autocreate(sums.is_some())?;
    maps.ca_state_times.set_max_entries(connections)?;
    maps.sums.set_autocreate(sums.is_some())?;
    maps.sums_rest.set_autocreate(sums.is_some())?;
    if let Some(sums) = &sums {
        maps.sums.set_max_entries(sums.max_rows)?;
    }
    maps.conn_snapshot_copies
        .set_autocreate(summary.is_some_and(|summary| summary.aggregate.reads_connections()))?;
    maps.limits_copies
        .set_autocreate(summary.is_some_and(|summary| summary.aggregate.reads_limits()))?;
    maps.listener_copies
        .set_autocreate(summary.is_some_and(|summary| summary.aggregate.reads_listeners()))?;
    maps.histograms.set_autocreate(histograms.is_some())?;
    maps.histogram_rest.set_autocreate(histograms.is_some())?;
    if let Some(histograms) = histograms {
        maps.histograms.set_max_entries(histograms.rows())?;
        if histograms.is_array() {
            // The value comes first in the key, and is all of it.
            maps.histograms.set_type(MapType::PercpuArray)?;
            maps.histograms.set_key_size(size_of::<u32>() as u32)?;
            maps.histograms.set_max_entries(Value::TCC_VALUES.0)?;
        } else if histograms.per_cpu() {
            maps.histograms.set_type(MapType::PercpuHash)?;
        }
    }
    Ok(())
}

/// The maps of `observe`.
fn size_observe(
    maps: &mut OpenTccTraceMaps<'_>,
    observe: Option<&Observe>,
    connections: u32,
) -> Result<()> {
    let counts = observe.is_some_and(Observe::counts);
    let reasons = observe.is_some_and(Observe::reasons);
    let follows = observe.is_some_and(Observe::connections);
    let rows = observe.map_or(1, |observe| if observe.is_one_row() { 1 } else { observe.max_rows });
    maps.observed.set_autocreate(counts)?;
    maps.observed_rest.set_autocreate(counts)?;
    maps.observed.set_max_entries(rows)?;
    maps.observed_reasons.set_autocreate(reasons)?;
    maps.observed_reasons_rest.set_autocreate(reasons)?;
    maps.observed_reasons.set_max_entries(rows.saturating_mul(REASONS_EACH).max(REASONS))?;
    maps.observed_conns.set_autocreate(follows)?;
    maps.observed_conns.set_max_entries(connections)?;
    maps.observed_limits
        .set_autocreate(observe.is_some_and(|observe| observe.has(Metric::Limits)))?;
    maps.observed_limits.set_max_entries(connections)?;
    maps.observe_busy.set_autocreate(follows)?;
    maps.observe_left.set_autocreate(follows)?;
    maps.observe_copies.set_autocreate(follows)?;
    maps.observe_top.set_autocreate(observe.is_some_and(|observe| observe.top.is_some()))?;
    Ok(())
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
        By::Pid => Bits::TCC_BY_PID.0,
        By::Comm => Bits::TCC_BY_COMM.0,
    }
}
