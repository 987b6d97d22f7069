//! Turns the filter options into the maps and constants of the programs.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags};

use crate::config::zone::{self, Net};
use crate::config::{Config, Filters};
use crate::skel::{AddrKey, BpfConfig, Filter, FilterKey, TccTraceSkel};

/// The active filters, a bit each.
#[must_use]
pub fn mask(filters: &Filters) -> u32 {
    let values = value_lists(filters).map(|(filter, list)| (filter, !list.is_empty()));
    let addrs = addr_lists(filters).map(|(filter, list)| (filter, !list.is_empty()));
    let others = [
        (Filter::TCC_FILTER_PORT, !filters.port.is_empty()),
        (Filter::TCC_FILTER_LPORT, !filters.lport.is_empty()),
        (Filter::TCC_FILTER_RPORT, !filters.rport.is_empty()),
        (Filter::TCC_FILTER_IPV4, filters.ipv4_only),
        (Filter::TCC_FILTER_IPV6, filters.ipv6_only),
        (Filter::TCC_FILTER_FOLLOW, filters.follow.is_some()),
        (Filter::TCC_FILTER_ZONE, filters.has_zones()),
    ];
    values
        .into_iter()
        .chain(addrs)
        .chain(others)
        .filter(|(_, on)| *on)
        .fold(0, |mask, (filter, _)| mask | filter.0)
}

/// Entries needed in filter_values and filter_addrs.
#[must_use]
pub fn sizes(filters: &Filters) -> (u32, u32) {
    let values: usize = value_lists(filters).iter().map(|(_, list)| list.len()).sum();
    let addrs: usize = addr_lists(filters).iter().map(|(_, list)| list.len()).sum();
    (values.max(1) as u32, addrs.max(1) as u32)
}

/// Sets the bits of the ports.
pub fn set_ports(set: &mut [u64; 1024], ranges: &[RangeInclusive<u16>]) {
    for port in ranges.iter().cloned().flatten() {
        set[usize::from(port >> 6)] |= 1 << (port & 63);
    }
}

/// Writes filter_values and filter_addrs.
pub fn fill(skel: &TccTraceSkel<'_>, config: &Config) -> Result<()> {
    for (filter, list) in value_lists(&config.filters) {
        for value in list {
            let key = FilterKey { value, filter };
            skel.maps
                .filter_values
                .update(crate::skel::bytes(&key), &[1], MapFlags::ANY)
                .context("cannot write the filters")?;
        }
    }
    for (filter, list) in addr_lists(&config.filters) {
        for net in list {
            skel.maps
                .filter_addrs
                .update(crate::skel::bytes(&addr_key(filter, *net)), &[1], MapFlags::ANY)
                .context("cannot write the address filters")?;
        }
    }
    Ok(())
}

/// IPv4 addresses as mapped ones, as in records.
fn octets(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Sets the two ends of the connection to follow.
pub fn set_follow(cfg: &mut BpfConfig, ends: &[SocketAddr; 2]) {
    cfg.follow_addr = ends.map(|end| octets(end.ip()));
    cfg.follow_ifindex = ends.map(zone::of_end);
    cfg.follow_port = ends.map(|end| end.port());
}

fn addr_key(filter: Filter, Net { net, ifindex }: Net) -> AddrKey {
    let offset = if net.addr().is_ipv4() { 96 } else { 0 };
    let prefixlen = 64 + offset + u32::from(net.prefix_len());
    AddrKey { prefixlen, filter, ifindex, addr: octets(net.addr()) }
}

fn number(value: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&value.to_ne_bytes());
    bytes
}

fn value_lists(f: &Filters) -> [(Filter, Vec<[u8; 16]>); 9] {
    let numbers = |list: &[u32]| list.iter().map(|&n| number(n.into())).collect();
    let wide = |list: &[u64]| list.iter().map(|&n| number(n)).collect();
    [
        (Filter::TCC_FILTER_PID, numbers(&f.pid)),
        (Filter::TCC_FILTER_UID, numbers(&f.uid)),
        (Filter::TCC_FILTER_COMM, f.comm.clone()),
        (Filter::TCC_FILTER_CGROUP, wide(&f.cgroup)),
        (Filter::TCC_FILTER_NETNS, wide(&f.netns)),
        (Filter::TCC_FILTER_IFACE, numbers(&f.ifindex)),
        (Filter::TCC_FILTER_MARK, numbers(&f.mark)),
        (Filter::TCC_FILTER_CC, f.cc.clone()),
        (Filter::TCC_FILTER_COOKIE, wide(&f.cookie)),
    ]
}

fn addr_lists(f: &Filters) -> [(Filter, &[Net]); 3] {
    [
        (Filter::TCC_FILTER_ADDR, &f.addr),
        (Filter::TCC_FILTER_LADDR, &f.laddr),
        (Filter::TCC_FILTER_RADDR, &f.raddr),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_zone(net: &str) -> Net {
        Net { net: net.parse().unwrap(), ifindex: 0 }
    }

    #[test]
    fn ports_are_bits() {
        let mut set = [0; 1024];
        set_ports(&mut set, &[80..=80, 65534..=65535]);
        assert_eq!(set[1], 1 << 16);
        assert_eq!(set[1023], 3 << 62);
        assert_eq!(set.iter().map(|word| word.count_ones()).sum::<u32>(), 3);
    }

    #[test]
    fn an_ipv4_network_is_a_mapped_one() {
        let key = addr_key(Filter::TCC_FILTER_ADDR, any_zone("10.0.0.0/8"));
        assert_eq!(key.prefixlen, 64 + 96 + 8);
        assert_eq!(key.addr[10..13], [0xff, 0xff, 10]);
    }

    #[test]
    fn the_mask_and_sizes_follow_the_lists() {
        let filters = Filters {
            pid: vec![1, 2],
            raddr: vec![any_zone("::/0")],
            lport: vec![1..=2],
            ..Filters::default()
        };
        let mask = mask(&filters);
        let expected =
            Filter::TCC_FILTER_PID.0 | Filter::TCC_FILTER_RADDR.0 | Filter::TCC_FILTER_LPORT.0;
        assert_eq!(mask, expected);
        assert_eq!(sizes(&filters), (2, 1));
        assert_eq!(sizes(&Filters::default()), (1, 1));
    }
}
