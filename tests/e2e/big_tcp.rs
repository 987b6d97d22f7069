//! Segments beyond 64 KiB (BIG TCP): the readers of the socket tell the whole length; the kernel's record cannot.

use std::fs::File;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Socket, Type};

use crate::support::{Launch, Netns, Server, Trace, Tracer, is_root, kernel, traffic_in, u64_of};

const BYTES: u64 = 20_000_000;
const SIZE: u32 = 400_000;

const AF_NETLINK: i32 = 16;
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST_ACK: u16 = 1 | 4;
/// IFLA_GSO_MAX_SIZE, and IFLA_GSO_IPV4_MAX_SIZE (6.3).
pub const IPV6_SIZE: u16 = 41;
const IPV4_SIZE: u16 = 63;
const LOOPBACK: u32 = 1;

/// By netlink, because only newer versions of `ip` know the second one. False where the kernel does not take it.
pub fn set_gso_size(ns: &Netns, attribute: u16) -> bool {
    let mut message = Vec::new();
    message.extend(40_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(8_u16.to_ne_bytes());
    message.extend(attribute.to_ne_bytes());
    message.extend(SIZE.to_ne_bytes());
    let file = File::open(format!("/run/netns/{}", ns.name)).expect("the namespace");
    // A thread of its own, whose namespace goes with it.
    let answer = std::thread::spawn(move || {
        move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&file),
            Some(LinkNameSpaceType::Network),
        )
        .expect("setns");
        let socket =
            Socket::new(Domain::from(AF_NETLINK), Type::RAW, None).expect("a netlink socket");
        socket.send(&message).expect("netlink");
        let mut answer = [0; 64];
        std::io::Read::read(&mut &socket, &mut answer).expect("an answer");
        answer
    });
    // nlmsghdr, then nlmsgerr's error.
    answer.join().expect("no panic")[16..20] == [0; 4]
}

/// The samples of the server's socket while it receives. None where the kernel refuses the size.
fn received(reader: &str, listen: &str, to: &str) -> Option<Trace> {
    let ns = Netns::new();
    let attribute = if to.starts_with('[') { IPV6_SIZE } else { IPV4_SIZE };
    if !set_gso_size(&ns, attribute) {
        return None;
    }
    let server = Server::start_in(&ns.launch(), listen, None);
    let netns = ns.inode().to_string();
    let args =
        ["--all-fields", "--netns", &netns, "--lport", &server.port_text(), "--reader", reader];
    let tracer = Tracer::start_in(&Launch::here().with_tracefs(), &args);
    let to = format!("{to}:{}", server.port());
    traffic_in(&ns.launch(), &["bulk", "--to", &to, "--bytes", &BYTES.to_string()]);
    server.settle();
    let trace = tracer.stop();
    trace.check_account();
    Some(trace)
}

fn check(listen: &str, to: &str, since: (u32, u32)) {
    need!(is_root(), "not root");
    for reader in ["sock", "raw"] {
        let trace = received(reader, listen, to);
        let samples = trace.as_ref().map_or(&[][..], |trace| &trace.events);
        let largest = samples.iter().map(|sample| u64_of(sample, "data_len")).max().unwrap_or(0);
        // Before that version, a size that the kernel takes is cut without a word.
        need!(largest > 65536, "no BIG TCP for that family", legitimate: kernel() < since);
        let (mut sum, mut large, mut delivered) = (0, 0, 0);
        for pair in samples.windows(2) {
            let length = u64_of(&pair[0], "data_len");
            let taken = u64_of(&pair[1], "bytes_received") - u64_of(&pair[0], "bytes_received");
            sum += length;
            // All of a segment that comes in order is taken; none of one that is dropped for want of memory or repeated;
            // more than its own where it fills a gap.
            delivered += taken;
            large += u64::from(taken == length && length > 65536);
        }
        assert!(large > 10, "reader {reader}: {large} segments beyond 64 KiB");
        // What the kernel skipped the program for is not in the sum.
        let lost = trace.as_ref().map_or(0, |trace| u64_of(&trace.end, "lost"));
        assert!(lost * 100 <= samples.len() as u64, "{lost} lost");
        assert!(
            lost > 0 || sum >= delivered,
            "reader {reader}: {sum} came, but {delivered} were delivered"
        );
        // From the beginning: on a slow machine the first segment completes the handshake, which is no sample.
        // The last sample has the FIN and no data, or the last of the data.
        let last = samples.last().expect("a sample");
        let before = u64_of(last, "bytes_received");
        let all = [before, before + u64_of(last, "data_len")].contains(&BYTES);
        assert!(lost > 0 || all, "reader {reader}: {last}");
    }
}

#[test]
fn the_whole_length_is_shown_for_ipv4() {
    check("127.0.0.1:0", "127.0.0.1", (6, 3));
}

#[test]
fn the_whole_length_is_shown_for_ipv6() {
    check("[::1]:0", "[::1]", (5, 19));
}
