//! A host that opens and closes thousands of connections a second: each is told once, none gets another's times, and
//! those that stay are listed as `ss` lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Launch, Tracer, flooding, is_root, kernel, mono_ns, text, u64_of,
};

/// At least; with TCC_CHURN_SECONDS, as many as come about in that time.
const CONNECTIONS: usize = 6_000;
const ROUND: usize = 2_000;
const BYTES: u64 = 100;
const HELD: usize = 50;

#[track_caller]
fn start(command: &[&str], args: &[&str]) -> Tracer {
    let args = [command, &["-o", "jsonl"], args].concat();
    let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &args);
    tracer.wait_ready();
    tracer
}

/// Each end's records of that event type.
fn by_ends<'e>(
    events: impl Iterator<Item = &'e Value>,
) -> BTreeMap<(u64, u64, u64), Vec<&'e Value>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in events {
        let key = (u64_of(event, "cookie"), u64_of(event, "sport"), u64_of(event, "dport"));
        found.entry(key).or_default().push(event);
    }
    found
}

#[test]
fn thousands_of_connections_are_each_reported_once() {
    need!(is_root(), "not root");
    need!(kernel() >= (5, 12), "not every record has a cookie", legitimate: true);
    let seconds = std::env::var("TCC_CHURN_SECONDS").ok().and_then(|text| text.parse().ok());
    let _alone = flooding();
    let mut fixture = Fixture::new();
    fixture.listen();
    let ports = fixture.ports();
    let names: Vec<String> = (0..HELD).map(|i| format!("held{i}")).collect();
    for name in &names {
        fixture.connect(name, FAMILIES[0]);
    }
    let began = mono_ns();
    // For so long the ends alone, as all of it is kept for the comparison.
    let long = seconds.is_some();
    let event_types = if long { "life" } else { "state,life" };
    let fields = "cookie,sport,dport,event,duration_us,bytes_sent".to_owned();
    let fields = fields + if long { "" } else { ",old_state,new_state,old_state_us" };
    let args = ["--port", &ports, "--buffer-size", "64MiB", "--fields", &fields];
    let events = start(&["events", event_types], &args);
    let table = start(&["top"], &["--port", &ports, "--interval", "1s", "--rows", "100000"]);
    let mut count = 0;
    while count < CONNECTIONS || seconds.is_some_and(|s: u64| mono_ns() - began < s * 1_000_000_000)
    {
        // Others of 127/8, as the ports of one pair of addresses run out.
        let addr = format!("127.0.{}.1:{}", count / ROUND % 250, fixture.port);
        fixture.client.burst(&mut fixture.server, addr.parse().expect("an address"), ROUND, BYTES);
        count += ROUND;
    }
    let took = mono_ns() - began;
    // Of the table only those that are there, and each once.
    let late = start(&["life"], &["--port", &ports]);
    late.wait_events("the open ones", |events| events.len() >= 2 * HELD);
    let late = late.stop();
    let listed = by_ends(late.events.iter().filter(|event| event["event"] == "open"));
    let listed: BTreeSet<(u64, u64)> = listed
        .into_iter()
        .map(|((_, sport, dport), rows)| {
            assert_eq!(rows.len(), 1, "{rows:?}");
            (sport, dport)
        })
        .collect();
    assert_eq!(listed, established(&fixture));
    for name in &names {
        fixture.client.close(name);
        fixture.server.close(name);
    }
    fixture.settle();
    let (events, table) = (events.stop(), table.stop());
    events.check_accounts(&event_types.split(',').collect::<Vec<_>>());
    table.aggregated();
    let lost = u64_of(&events.end, "lost");
    assert!(lost < count as u64 / 100, "{}", events.end);

    let of_life = events.of_type("life");
    let lives = by_ends(of_life.iter().copied().filter(|event| event["event"] == "end"));
    let ends = 2 * (count + HELD);
    assert!(
        lives.len() <= ends && lives.len() as u64 + lost >= ends as u64,
        "{} of {ends}",
        lives.len()
    );
    for rows in lives.values() {
        let [event] = rows[..] else { panic!("told more than once: {rows:?}") };
        assert!(
            event["duration_us"].as_u64().is_none_or(|us| us * 1000 <= mono_ns() - began),
            "{event}"
        );
        assert!(u64_of(event, "bytes_sent") <= 2 * BYTES, "{event}");
    }
    for event in events.of_type("state") {
        // None is older than itself.
        let us = event["old_state_us"].as_u64().unwrap_or(0);
        let fresh = ["CLOSE", "LISTEN"].contains(&text(event, "old_state"));
        assert!(us * 1000 <= mono_ns() - began && (!fresh || us == 0), "{event}");
    }
    // What all rows of the table sum to is what was sent, but for the SYNs and FINs.
    let sum: u64 = table.events.iter().map(|row| u64_of(row, "rx_bytes")).sum();
    let sent = count as u64 * BYTES;
    assert!(
        sum <= sent + ends as u64
            && sum >= sent - u64_of(&table.end["aggregate"], "lost") * (BYTES + 1),
        "{sum} of {sent}"
    );
    let rate = count as f64 * 1e9 / took as f64;
    let _ = writeln!(std::io::stderr(), "{count} connections, {rate:.0} a second, {lost} lost");
}

/// Ports of every established end, as ss lists them.
fn established(fixture: &Fixture) -> BTreeSet<(u64, u64)> {
    let text = fixture.ns.run(&["ss", "-tnH", "state", "established"]);
    let port = |word: &str| word.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let ends = |line: &str| {
        // Recv-Q Send-Q Local Peer
        let words: Vec<&str> = line.split_whitespace().collect();
        (port(words[2]).expect("a port"), port(words[3]).expect("a port"))
    };
    text.lines().map(ends).collect()
}
