//! Special networks, which the permutation does not leave or enter.
//!
//! A prefix-preserving permutation flips each bit of an address, or does not, depending on the bits before it. Here it does not flip a
//! bit if the bits before it begin a special prefix. So a special network stays where it is, no other address gets into it, and the
//! result is a permutation that preserves prefixes still. The price: the first bits of addresses that begin as a special one
//! does stay, too.

use std::net::IpAddr;

/// A network whose prefix stays.
struct Network {
    /// Its first bits, from the highest.
    prefix: u128,
    len: u32,
    /// All of the address stays.
    whole: bool,
}

const fn ipv4(octets: [u8; 4], len: u32) -> Network {
    Network { prefix: (u32::from_be_bytes(octets) as u128) << 96, len, whole: true }
}

const fn ipv6(prefix: u128, len: u32, whole: bool) -> Network {
    Network { prefix, len, whole }
}

/// Unspecified, loopback, multicast.
const IPV4: &[Network] =
    &[ipv4([0, 0, 0, 0], 32), ipv4([127, 0, 0, 0], 8), ipv4([224, 0, 0, 0], 4)];

/// The same; link-local addresses, of which only the prefix stays; and IPv4-mapped ones, which are permuted as IPv4.
const IPV6: &[Network] = &[
    ipv6(0, 128, true),
    ipv6(1, 128, true),
    ipv6(0xff << 120, 8, true),
    ipv6(0xfe80 << 112, 10, false),
    ipv6(0xffff << 32, 96, false),
];

/// The bits of an address that stay; of an IPv4 one, those of the mapped form.
pub(super) fn kept_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => {
            let bits = u128::from(address.to_bits()) << 96;
            kept(bits, IPV4) >> 96 | !u128::from(u32::MAX)
        }
        IpAddr::V6(address) => kept(address.to_bits(), IPV6),
    }
}

fn kept(address: u128, networks: &[Network]) -> u128 {
    let mut kept = 0;
    for network in networks {
        let common = (address ^ network.prefix).leading_zeros().min(network.len);
        let inside = common == network.len;
        // The bit after the common ones is where the address leaves the special prefix.
        let bits = match (inside, network.whole) {
            (true, true) => 128,
            (true, false) => network.len,
            (false, _) => common + 1,
        };
        kept |= first(bits);
    }
    kept
}

/// That many bits from the highest.
fn first(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}
