//! `events all --follow`: of connections that do the same side by side one is followed, by its cookie and by its ends.
//! What is told of it is all that a tracer of everything tells of it at that time, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Launch, Socket, Trace, Tracer, is_root, is_whole, some_turn, text, u64_of,
};

/// In each client's life here, and in each server's, on every kernel.
const SENT: [&str; 7] =
    ["probe", "state", "retransmit", "cong_state", "rcv_space", "destroy", "life"];
const RECEIVED: [&str; 4] = ["probe", "state", "destroy", "life"];
/// They do not wait for who has the connection, so that they have no place among the others.
const APART: [&str; 2] = ["drop", "queue"];

/// Its own address, and the peer's.
type Ends = (SocketAddr, SocketAddr);

fn ends(event: &Value) -> Ends {
    let end = |ip: &str, port: &str| {
        SocketAddr::new(text(event, ip).parse().expect("an address"), u64_of(event, port) as u16)
    };
    (end("saddr", "sport"), end("daddr", "dport"))
}

/// The events of each end in their order, in a form in which equal is equal: without what each tracer measures by itself.
fn reported<'e>(
    events: impl IntoIterator<Item = &'e Value>,
) -> BTreeMap<(Ends, String), Vec<String>> {
    let mut reported: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for event in events {
        let mut values = event.as_object().expect("an object").clone();
        values.retain(|name, _| {
            let measured = name.ends_with("_us") && name != "srtt_us";
            !measured && !["time", "mono_ns"].contains(&name.as_str())
        });
        let event_type = text(event, "type");
        let group = if APART.contains(&event_type) { event_type } else { "" };
        let line = Value::Object(values).to_string();
        reported.entry((ends(event), group.to_owned())).or_default().push(line);
    }
    reported
}

/// A loss by silence, after which all goes on, and the end; of all at once.
#[track_caller]
fn play(fixture: &mut Fixture, tracer: &Tracer, names: &[String], clients: &[Socket]) {
    for name in names {
        fixture.client.transfer(name, &mut fixture.server, 20_000);
    }
    fixture.silence();
    for name in names {
        fixture.client.send(name, 3000);
    }
    tracer.wait_events("retransmissions", |events| {
        clients.iter().all(|client| {
            let of = events.iter().filter(|event| event["cookie"] == client.cookie);
            of.filter(|event| event["class"] == "rto").count() >= 2
        })
    });
    fixture.speak();
    for name in names {
        fixture.server.receive(name, 3000);
        fixture.client.transfer(name, &mut fixture.server, 50_000);
        fixture.server.transfer(name, &mut fixture.client, 1000);
    }
    for name in names {
        fixture.client.close(name);
        fixture.server.close(name);
    }
    fixture.settle();
}

/// What the other tracer has of it, which is not everything.
#[track_caller]
fn check_follower(what: &str, found: &Trace, reference: &Trace, keep: impl Fn(&Value) -> bool) {
    let wanted = reported(reference.events.iter().filter(|event| keep(event)));
    let found = reported(&found.events);
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{what}");
    for (of, wanted) in wanted {
        let found = &found[&of];
        let differ = (0..found.len().max(wanted.len())).find(|&i| found.get(i) != wanted.get(i));
        if let Some(i) = differ {
            panic!(
                "--follow {what}: {of:?}: {} of {}, at {i}\n{:?}\n{:?}",
                found.len(),
                wanted.len(),
                found.get(i),
                wanted.get(i)
            );
        }
    }
}

/// Whether none lost an event.
fn turn(reader: &str) -> bool {
    let mut fixture = Fixture::new();
    fixture.listen();
    let (mut names, mut sockets) = (Vec::new(), Vec::new());
    for family in FAMILIES {
        for name in ["a", "b", "c"] {
            names.push(format!("{name}{family}"));
            sockets.push(fixture.connect(&names[names.len() - 1], family));
        }
    }
    let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
    let both = |of: &(Socket, Socket)| (canonical(of.0.local), canonical(of.1.local));
    // The second of each three.
    let [ipv4, ipv6, mapped] = [1, 4, 7].map(|i| sockets[i]);
    let ((here4, there4), (here6, there6)) = (both(&ipv4), both(&ipv6));
    let start = |more: &[&str]| {
        let args = [&["--reader", reader], more].concat();
        Tracer::events_in(&Launch::here().with_tracefs(), "all", &args)
    };
    let reference = start(&["--port", &fixture.port.to_string()]);
    let by_cookie = [ipv4.0, ipv6.1, mapped.0].map(|socket| socket.cookie);
    let by_ends = [[here4, there4], [there6, here6]];
    let cookies = by_cookie.map(|cookie| start(&["--follow", &format!("{cookie:#x}")]));
    let pairs = by_ends.map(|[one, other]| start(&["--follow", &format!("{one}-{other}")]));
    let clients: Vec<Socket> = sockets.iter().map(|(client, _)| *client).collect();
    play(&mut fixture, &reference, &names, &clients);
    let (reference, cookies, pairs) =
        (reference.stop(), cookies.map(Tracer::stop), pairs.map(Tracer::stop));
    let all = || cookies.iter().chain(&pairs).chain([&reference]);
    all().for_each(Trace::check_account);
    if !all().all(is_whole) {
        return false;
    }
    // There is as much of the others.
    for (client, server) in &sockets {
        let event_types = |cookie: u64| -> BTreeSet<&str> {
            reference.of_cookie(cookie).into_iter().map(|event| text(event, "type")).collect()
        };
        let (sent, received) = (event_types(client.cookie), event_types(server.cookie));
        assert!(SENT.iter().all(|event_type| sent.contains(event_type)), "{sent:?}");
        assert!(RECEIVED.iter().all(|event_type| received.contains(event_type)), "{received:?}");
    }
    for (trace, cookie) in cookies.iter().zip(by_cookie) {
        check_follower(&cookie.to_string(), trace, &reference, |event| event["cookie"] == cookie);
    }
    for (trace, [one, other]) in pairs.iter().zip(by_ends) {
        let what = format!("{one}-{other}");
        check_follower(&what, trace, &reference, |event| {
            [(one, other), (other, one)].contains(&ends(event))
        });
    }
    true
}

fn check_follow(reader: &str) {
    need!(is_root(), "not root");
    some_turn(|| turn(reader));
}

by_sock_and_raw! {
    check_follow: one_of_several_by_sock one_of_several_by_raw;
}
