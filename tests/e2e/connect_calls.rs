//! `connect`: errors that only the system call returns, against the errno that the process got from it.

use rustix::io::Errno;

use crate::support::{FAMILIES, Fixture, Reader, Tcc, assert_events, is_root};

fn check_no_port(reader: Reader, transport: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    fixture.ns.sysctl("ipv4/ip_local_port_range", "40000 40000");
    FAMILIES[..2].iter().for_each(|family| {
        let addr = fixture.addr(family);
        fixture.client.connect(family, addr);
    });
    let connect = Tcc::connect().all_fields().reader(reader).option("--transport", transport);
    let trace = connect.ports(&[fixture.port]).trace(|| {
        for family in FAMILIES {
            let addr = fixture.addr(family);
            let client = &mut fixture.client;
            assert_eq!(client.try_connect(addr), Some(Errno::ADDRNOTAVAIL));
            assert_eq!(client.try_fast_open(addr), Some(Errno::ADDRNOTAVAIL));
        }
        // With a port again: the same thread's next attempt has no error left over from these.
        fixture.ns.sysctl("ipv4/ip_local_port_range", "40000 40010");
        assert_eq!(fixture.client.try_connect(fixture.addr(FAMILIES[0])), None);
        // Given up by close(), while what the call returned was no error.
        fixture.silence();
        fixture.client.start_connect("a", fixture.addr(FAMILIES[0]));
        fixture.client.close("a");
    });
    let failed = event!(connect {
        outcome: "error",
        err: "EADDRNOTAVAIL",
        errno: Errno::ADDRNOTAVAIL.raw_os_error(),
        pid: fixture.client.pid,
        sport: 0_u16,
        dport: fixture.port,
    });
    let rest = [
        event!(connect { outcome: "established", err: None::<&str> }),
        event!(connect { outcome: "aborted", err: None::<&str> }),
    ];
    assert_events(&trace.events, [(); 6].map(|()| failed.clone()).into_iter().chain(rest));
}

#[test]
fn a_lack_of_ports_is_the_error_of_the_call_sock() {
    check_no_port(Reader::Sock, "ringbuf");
}

#[test]
fn a_lack_of_ports_is_the_error_of_the_call_raw() {
    check_no_port(Reader::Raw, "perfbuf");
}
