//! Connections that are opened, used for one exchange and closed, as many as the machine allows.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::client::{connect, print};
use crate::{ChurnArgs, Target};

/// Addresses of the server that are used in turn: the ports of each are taken for a minute (TIME_WAIT).
const ADDRESSES: u32 = 64;

pub fn run(args: &ChurnArgs) -> Result<()> {
    let IpAddr::V4(first) = args.target.to.ip() else { bail!("churn needs an IPv4 address") };
    let start = Instant::now();
    let (opened, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let client = |number: u32| {
        let mut turn = number;
        while start.elapsed() < args.seconds {
            let address = Ipv4Addr::from_bits(first.to_bits() + turn % ADDRESSES);
            let to = SocketAddr::new(address.into(), args.target.to.port());
            let done = one(&Target { to, ..args.target.clone() });
            if done.is_ok() { &opened } else { &failed }.fetch_add(1, Ordering::Relaxed);
            turn = turn.wrapping_add(1);
        }
    };
    thread::scope(|scope| {
        (0..args.parallel).for_each(|number| {
            scope.spawn(move || client(number));
        });
    });
    let seconds = start.elapsed().as_secs_f64();
    let (opened, failed) = (opened.into_inner(), failed.into_inner());
    print(&format!(
        r#"{{"type":"churn","opened":{opened},"failed":{failed},"seconds":{seconds:.6},"per_second":{:.0}}}"#,
        opened as f64 / seconds
    ))
}

/// The server answers with a byte, and closes after the client.
fn one(target: &Target) -> Result<()> {
    let mut socket = connect(target, None)?;
    socket.write_all(b"H")?;
    socket.read_exact(&mut [0])?;
    Ok(())
}
