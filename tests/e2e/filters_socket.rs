//! Filters by what else a socket has: namespace, interface, mark, congestion control; and all filters at once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{
    Cgroup, FilteredTracers, Launch, Netns, Pair, QUICK, Running, Server, TempDir, cgroup2,
    is_one_of, is_root, named, pingpong, text, traffic_in, traffic_program, turns, unique,
    unique_port,
};

fn interface(ns: &Netns, name: &str) -> u64 {
    let line = ns.run(&["ip", "-o", "link", "show", "dev", name]);
    let number = line.split_once(':').expect("a number").0;
    number.trim().parse().expect("a number")
}

fn check_places(reader: &str) {
    need!(is_root(), "not root");
    turns(|| places(reader));
}

fn places(reader: &str) -> Result<(), String> {
    let pair = Pair::new();
    let server = Server::start_in(&pair.right.launch(), &format!("[::]:{}", unique_port()), None);
    let here = Server::start("127.0.0.1:0", None);
    let ports = format!("{},{}", server.port(), here.port());
    let (left, right) = (&pair.left.name, &pair.right.name);
    let number = interface(&pair.right, "eth0");
    let sides = FilteredTracers::start(
        &ports,
        reader,
        &[
            format!("-P {ports} --netns {}", pair.left.inode()),
            format!("-P {ports} --netns /run/netns/{right}"),
            format!("-P {ports} --netns pid:{}", server.pid()),
            format!("-P {ports} --netns {left} --netns {}", pair.right.inode()),
            format!("-P {ports} --netns {right} --iface eth0"),
            format!("-P {ports} --netns {right} --iface 1"),
            format!("-P {} --iface {number}", server.port()),
            format!("-P {ports} --iface lo"),
        ],
    );
    for (launch, to) in [
        (pair.left.launch(), "10.0.0.2"),
        (pair.left.launch(), "[fd00::2]"),
        (pair.right.launch(), "127.0.0.1"),
    ] {
        let to = format!("{to}:{}", server.port());
        traffic_in(&launch, &[&["pingpong", "--to", &to], QUICK].concat());
    }
    pingpong(&Launch::here(), &traffic_program(), here.addr, &[]);

    // Only connections of the left have addresses of the left on their side.
    let is = |e: &Value, key: &str, addrs: &[&str]| addrs.contains(&text(e, key));
    let is_left = |e: &Value| is(e, "saddr", &["10.0.0.1", "fd00::1"]);
    let port = |e: &Value, port: u16| {
        is_one_of(e, "sport", &[port.into()]) || is_one_of(e, "dport", &[port.into()])
    };
    let is_right = |e: &Value| port(e, server.port()) && !is_left(e);
    let by_eth = |e: &Value| is(e, "daddr", &["10.0.0.1", "fd00::1"]);
    sides.finish(|sides| {
        sides.expect(0, is_left)?;
        sides.expect(1, is_right)?;
        sides.expect(2, is_right)?;
        sides.expect(3, |e| port(e, server.port()))?;
        sides.expect(4, by_eth)?;
        sides.expect(5, |e| is_right(e) && !by_eth(e))?;
        let as_left = interface(&pair.left, "eth0") == number;
        sides.expect(6, |e| by_eth(e) || (as_left && is_left(e)))?;
        sides.expect(7, |e| port(e, here.port()))?;
        Ok(())
    })?;
    Ok(())
}

fn check_marks_and_algorithms(reader: &str) {
    need!(is_root(), "not root");
    turns(|| marks_and_algorithms(reader));
}

fn marks_and_algorithms(reader: &str) -> Result<(), String> {
    let server = Server::start("127.0.0.1:0", Some("cubic"));
    let port = server.port();
    let filters = ["--mark 5,0x4d", "--cc reno", "--cc bic,cubic", "--cc cubic --mark 0x4d"];
    let filters = filters.map(|filter| format!("-P {port} {filter}"));
    let sides = FilteredTracers::start(&server.port_text(), reader, &filters);
    let here = Launch::here();
    let reno = pingpong(&here, &traffic_program(), server.addr, &["--cc", "reno"]);
    pingpong(&here, &traffic_program(), server.addr, &["--cc", "cubic"]);
    let marked = marked_client(77, server.addr);
    sides.finish(|sides| {
        sides.expect(0, |e| marked.is_end(e))?;
        sides.expect(1, |e| is_one_of(e, "sport", &reno))?;
        sides.expect(2, |e| !is_one_of(e, "sport", &reno))?;
        sides.expect(3, |e| marked.is_end(e))?;
        Ok(())
    })?;
    Ok(())
}

struct Marked(u64);

impl Marked {
    fn is_end(&self, event: &Value) -> bool {
        is_one_of(event, "sport", &[self.0]) || is_one_of(event, "dport", &[self.0])
    }
}

/// A client of our own with SO_MARK; on loopback the mark arrives with its packets.
fn marked_client(mark: u32, to: SocketAddr) -> Marked {
    let domain = socket2::Domain::for_address(to);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).expect("a socket");
    socket.set_mark(mark).expect("SO_MARK");
    socket.set_tcp_congestion(b"cubic").expect("cubic");
    socket.connect(&to.into()).expect("connect");
    let mut stream = TcpStream::from(socket);
    stream.write_all(&[b'B'; 1000]).expect("write");
    stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
    stream.read_to_end(&mut Vec::new()).expect("read");
    Marked(stream.local_addr().expect("an address").port().into())
}

/// Every filter in one program, and each of the socket's with one value wrong.
fn check_all_at_once(reader: &str) {
    need!(is_root(), "not root");
    let Some(mount) = cgroup2() else {
        return need!(false, "no cgroup2 is mounted");
    };
    turns(|| all_at_once(reader, &mount));
}

fn all_at_once(reader: &str, mount: &Path) -> Result<(), String> {
    let name = unique("all");
    let dir = TempDir::new();
    let program = named(&dir, &name);
    let group = Cgroup::new(mount.join(&name));
    let pair = Pair::new();
    pair.left.firewall("input", &["meta mark set 0x4d"]);
    let server =
        Server::start_in(&pair.right.launch(), &format!("10.0.0.2:{}", unique_port()), None);
    let port = server.port();
    // Waits for a word, so that its pid is known before it is the client.
    let wait = "read _ && exec setpriv --reuid 4242 --clear-groups \"$0\" \"$@\"";
    let launch = group.launch(pair.left.launch());
    let mut command = launch.command(Path::new("sh"));
    command.args(["-c", wait]).arg(&program);
    command.args(["pingpong", "--to", &server.addr.to_string(), "--cc", "reno"]).args(QUICK);
    let mut client = Running::spawn(command.stdin(Stdio::piped()).stdout(Stdio::null()));

    let left = &pair.left.name;
    let own = [
        format!("--pid {}", client.pid()),
        "--uid 4242".into(),
        format!("--comm {name}"),
        format!("--cgroup {name}"),
        format!("--netns {left}"),
        "--iface eth0".into(),
        "--mark 77".into(),
        "--cc reno".into(),
    ];
    let wrong = [
        "--pid 1".into(),
        "--uid 4241".into(),
        "--comm nobody".into(),
        "--cgroup /".into(),
        format!("--netns {}", pair.right.name),
        "--iface lo".into(),
        "--mark 78".into(),
        "--cc cubic".into(),
    ];
    let head = format!(
        "-P {port} -L 1-65535 -R {port} -4 --addr 10.0.0.0/24 --laddr 10.0.0.1 --raddr 10.0.0.2"
    );
    let filter = |changed: Option<usize>| {
        let words = (0..own.len()).map(|i| if changed == Some(i) { &wrong[i] } else { &own[i] });
        let words: Vec<&str> = words.map(String::as_str).collect();
        format!("{head} {}", words.join(" "))
    };
    // The root group has every group below it: not wrong at all.
    let root = 3;
    let changed = if reader == "sock" { 0..own.len() } else { root..root + 1 };
    let all: Vec<String> = std::iter::once(format!("{} -a", filter(None)))
        .chain(changed.clone().map(|i| filter(Some(i))))
        .collect();
    let sides = FilteredTracers::start(&server.port_text(), reader, &all);
    client.child().stdin.take().expect("piped").write_all(b"go\n").expect("write");
    let (status, stderr) = client.wait();
    assert!(status.success(), "{stderr}");
    let is_client = |e: &Value| text(e, "saddr") == "10.0.0.1";
    let traces = sides.finish(|sides| {
        sides.expect(0, is_client)?;
        Ok(())
    })?;
    for (i, trace) in changed.zip(&traces[2..]) {
        let expected = if i == root { traces[1].events.len() } else { 0 };
        assert_eq!(trace.events.len(), expected, "{}", filter(Some(i)));
    }
    Ok(())
}

by_sock_and_raw! {
    check_places: namespaces_and_interfaces_by_sock namespaces_and_interfaces_by_raw;
    check_marks_and_algorithms: marks_and_algorithms_by_sock marks_and_algorithms_by_raw;
    check_all_at_once: all_at_once_by_sock all_at_once_by_raw;
}
