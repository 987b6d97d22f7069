//! Records without what identifies hosts and people: addresses are permuted by a key, names are cleared.
//!
//! The permutation preserves prefixes: two addresses that agree in their first N bits do so afterwards, and no further. So networks
//! stay networks, and connections stay apart. Special addresses stay what they are (see [`network`]).

pub mod key;
mod network;
mod places;
mod rows;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use ipcrypt_rs::{Ipcrypt, IpcryptPfx};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

pub use self::key::Key;
use self::places::{Place, Places, What};
use crate::environment::Environment;
use crate::events::fields::RecordLayout;
use crate::recording::header::Header;

/// How to anonymize.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The file of the key; `None`: a random one, which nobody learns.
    pub key: Option<PathBuf>,
    /// Ports are permuted, too.
    pub ports: bool,
}

impl Options {
    /// The key of the file, or a random one.
    pub fn load(&self) -> Result<Key> {
        match &self.key {
            Some(path) => Key::of_file(path),
            None => Key::random().context("cannot make a key"),
        }
    }
}

/// The most addresses whose result is kept.
const CACHED: usize = 1 << 16;
/// Of the numbers of ports, 0 among them.
const PORTS: usize = 1 << 16;
/// What the keys of other permutations are made from.
const PORTS_LABEL: [u8; 16] = *b"tcc-trace: ports";
const BOOTS_LABEL: [u8; 16] = *b"tcc-trace: boots";

/// Anonymizes records.
pub struct Anonymizer {
    addresses: IpcryptPfx,
    /// By number.
    ports: Option<Vec<u16>>,
    boots: Ipcrypt,
    cache: HashMap<[u8; 16], [u8; 16]>,
    places: Places,
    copy: Vec<u8>,
}

impl Anonymizer {
    /// `layout` is that of the records of `probe` that do not have all field groups.
    #[must_use]
    pub fn new(key: &Key, ports: bool, layout: &RecordLayout) -> Self {
        Anonymizer {
            addresses: IpcryptPfx::new(key.bytes()),
            ports: ports.then(|| permuted_ports(&derived(key, PORTS_LABEL))),
            boots: derived(key, BOOTS_LABEL),
            cache: HashMap::new(),
            places: Places::new(layout),
            copy: Vec::new(),
        }
    }

    /// Anonymizes a record in its place. Any bytes are safe; those that are no record are cleared.
    pub fn record(&mut self, bytes: &mut [u8]) {
        let Anonymizer { addresses, ports, cache, places, .. } = self;
        let Some(places) = places.of(bytes) else { return bytes.fill(0) };
        for Place { at, what } in places {
            let Some(place) = bytes.get_mut(at.clone()) else { continue };
            match what {
                What::Name => place.fill(0),
                What::Address => {
                    if let Ok(address) = <&mut [u8; 16]>::try_from(place) {
                        *address = permuted(addresses, cache, *address);
                    }
                }
                What::Port => {
                    if let (Some(ports), Ok(port)) = (&*ports, <&mut [u8; 2]>::try_from(place)) {
                        let permuted = ports.get(usize::from(u16::from_ne_bytes(*port)));
                        *port = permuted.copied().unwrap_or(0).to_ne_bytes();
                    }
                }
            }
        }
    }

    /// An anonymized copy of a record, until the next one.
    pub fn copy(&mut self, bytes: &[u8]) -> &[u8] {
        let mut copy = std::mem::take(&mut self.copy);
        copy.clear();
        copy.extend_from_slice(bytes);
        self.record(&mut copy);
        self.copy = copy;
        &self.copy
    }

    /// The address that stands for another one in records.
    pub fn address(&mut self, address: IpAddr) -> IpAddr {
        let bytes = octets(address);
        Ipv6Addr::from(permuted(&self.addresses, &mut self.cache, bytes)).to_canonical()
    }

    /// Removes the host's name.
    pub fn environment(&self, environment: &mut Environment) {
        environment.host.clear();
    }

    /// Removes from a recording's header what identifies a host or a person. Recordings of one boot have one boot ID still.
    pub fn header(&self, header: &mut Header) {
        self.environment(&mut header.environment);
        header.command_line.clear();
        header.network_namespaces.clear();
        if let Some(config) = header.config.as_object_mut() {
            // It names addresses and processes.
            config.insert("where".into(), Value::Null);
            config.remove("sources");
            config.insert("anonymized".into(), json!({"ports": self.ports.is_some()}));
        }
        // The system's log has it.
        let mut id = xxh3_128(header.boot_id.as_bytes()).to_be_bytes();
        self.boots.encrypt_ip16(&mut id);
        header.boot_id = id.iter().map(|byte| format!("{byte:02x}")).collect();
    }
}

/// As in records: IPv4-mapped.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn permuted(
    cipher: &IpcryptPfx,
    cache: &mut HashMap<[u8; 16], [u8; 16]>,
    address: [u8; 16],
) -> [u8; 16] {
    if let Some(known) = cache.get(&address) {
        return *known;
    }
    let ip = Ipv6Addr::from(address).to_canonical();
    let keep = network::kept_bits(ip);
    let result = if keep == u128::MAX {
        address
    } else {
        let [before, after] = [address, octets(cipher.encrypt_ipaddr(ip))].map(u128::from_be_bytes);
        (before & keep | after & !keep).to_be_bytes()
    };
    if cache.len() >= CACHED {
        cache.clear();
    }
    cache.insert(address, result);
    result
}

/// A cipher with a key of its own.
fn derived(key: &Key, label: [u8; 16]) -> Ipcrypt {
    let [_, second] = key.halves();
    let mut derived = label;
    Ipcrypt::new(second).encrypt_ip16(&mut derived);
    Ipcrypt::new(derived)
}

/// A permutation of the ports from 1 on, by the method of Fisher and Yates; 0 is none.
fn permuted_ports(cipher: &Ipcrypt) -> Vec<u16> {
    let mut ports: Vec<u16> = (0..=u16::MAX).collect();
    for last in (2..PORTS).rev() {
        let mut block = (last as u128).to_be_bytes();
        cipher.encrypt_ip16(&mut block);
        // The remainder's bias is below 2^-112.
        let other = 1 + u128::from_be_bytes(block) % last as u128;
        ports.swap(last, other as usize);
    }
    ports
}

#[cfg(test)]
mod tests;
