//! Link-local addresses with their interface: `fe80::1%eth0`.

use std::net::{Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use ipnet::IpNet;

use super::resolve::{self, Netns};
use crate::config::zone::Net;

/// A value, and the name or number of its interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zoned<T> {
    pub value: T,
    pub zone: Option<String>,
}

/// Removes the zone from `fe80::1%eth0`, `fe80::%eth0/64` or `[fe80::1%eth0]:80`, and parses the rest.
pub fn parse<T>(
    text: &str,
    rest: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Zoned<T>, String> {
    let Some((address, behind)) = text.split_once('%') else {
        return Ok(Zoned { value: rest(text)?, zone: None });
    };
    let (zone, behind) = behind.split_at(behind.find(['/', ']']).unwrap_or(behind.len()));
    let value = rest(&format!("{address}{behind}"))?;
    let ip: Option<Ipv6Addr> = address.trim_start_matches('[').parse().ok();
    if !ip.is_some_and(|ip| ip.is_unicast_link_local()) {
        return Err("only link-local addresses (fe80::/10) have a zone; use --iface".into());
    }
    if zone.is_empty() {
        return Err("the zone is empty; name an interface, as in fe80::1%eth0".into());
    }
    Ok(Zoned { value, zone: Some(zone.to_owned()) })
}

/// Splits two ends at the `-` between them; interface names within brackets may contain one too.
pub fn split_ends(text: &str) -> Option<(&str, &str)> {
    let mut inside = false;
    let dash = text.find(|c| {
        inside = (inside || c == '[') && c != ']';
        c == '-' && !inside
    })?;
    Some((&text[..dash], &text[dash + 1..]))
}

/// Looks up the interfaces, as for `--iface`.
pub fn nets(option: &str, nets: Vec<Zoned<IpNet>>, netns: &mut Vec<Netns>) -> Result<Vec<Net>> {
    let net = |Zoned { value, zone }| {
        let ifindex = index(option, zone, netns)?;
        Ok(Net { net: value, ifindex })
    };
    nets.into_iter().map(net).collect()
}

/// The same for the two ends of a connection.
pub fn ends(
    [one, other]: [Zoned<SocketAddr>; 2],
    netns: &mut Vec<Netns>,
) -> Result<[SocketAddr; 2]> {
    let mut end = |Zoned { mut value, zone }| {
        let ifindex = index("--follow", zone, netns)?;
        if let SocketAddr::V6(v6) = &mut value {
            v6.set_scope_id(ifindex);
        }
        anyhow::Ok(value)
    };
    Ok([end(one)?, end(other)?])
}

fn index(option: &str, zone: Option<String>, netns: &mut Vec<Netns>) -> Result<u32> {
    let Some(zone) = zone else { return Ok(0) };
    let found = resolve::ifaces(std::slice::from_ref(&zone), netns)
        .with_context(|| format!("{option}: zone {zone}"))?;
    match found[..] {
        [ifindex] if ifindex > 0 => Ok(ifindex),
        _ => bail!("{option}: zone {zone}: not an interface number"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse::{Follow, follow, net};

    #[test]
    fn a_zone_is_of_a_link_local_address() {
        let zone = |text: &str| net(text).map(|net| (net.value.to_string(), net.zone));
        assert_eq!(zone("fe80::1%eth0"), Ok(("fe80::1/128".into(), Some("eth0".into()))));
        assert_eq!(zone("fe80::%7/64"), Ok(("fe80::/64".into(), Some("7".into()))));
        assert_eq!(zone("fe80::1"), Ok(("fe80::1/128".into(), None)));
        for wrong in ["::1%lo", "2001:db8::1%eth0", "10.0.0.1%eth0"] {
            assert!(zone(wrong).unwrap_err().contains("--iface"), "{wrong}");
        }
        assert!(zone("fe80::1%").is_err() && zone("fe80::1%/64").is_err() && zone("x%lo").is_err());
    }

    #[test]
    fn ends_have_zones_whose_names_may_have_dashes() {
        let Ok(Follow::Ends([one, other])) = follow("[fe80::1%veth-a]:80-[fe80::2]:4321") else {
            panic!("no ends");
        };
        assert_eq!((one.value.to_string().as_str(), other.zone), ("[fe80::1]:80", None));
        assert_eq!(one.zone.as_deref(), Some("veth-a"));
        assert!(follow("[::1%1]:80-[::1]:81").unwrap_err().contains("--iface"));
    }

    proptest! {
        #[test]
        fn any_zone_is_kept_as_it_is(name in "[a-zA-Z0-9._-]{1,15}", len in 10..=128_u8) {
            let zoned = net(&format!("fe80::%{name}/{len}")).unwrap();
            prop_assert_eq!(zoned.zone.as_deref(), Some(name.as_str()));
            let ends = format!("[fe80::1%{name}]:1-[fe80::2%{name}]:2");
            let Ok(Follow::Ends([one, other])) = follow(&ends) else { panic!("no ends: {ends}") };
            prop_assert_eq!([one.zone.as_deref(), other.zone.as_deref()], [Some(name.as_str()); 2]);
        }
    }
}
