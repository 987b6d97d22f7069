//! Several event types as CSV and as lines of the user's own making (`--format`), against the JSON of the same ones.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Launch, TestProcess, Tracer, cells, is_root, text, wait_until};

/// Each event type has columns that the others have not.
const TEMPLATE: &str = r"{cookie}|{type:<12}|{sport:>6}|{uid:7}|{old_state}->{new_state:11}|{bytes_retrans}|{{{ino}}}\t{bbr.bw}";
const EVENT_TYPES: &str = "state,destroy,probe";

/// The JSON of the events of a connection, and what a tracer with those arguments wrote.
fn of_the_same(args: &[&str]) -> (Vec<Value>, String) {
    let (mut server, mut client) = (TestProcess::start(), TestProcess::start());
    let to = server.listen("127.0.0.1:0");
    let port = to.port().to_string();
    let json = Tracer::events_in(&Launch::here(), EVENT_TYPES, &["-a", "-P", &port]);
    let args = [&["events", EVENT_TYPES, "-P", &port], args].concat();
    let mut other = Tracer::spawn(&Launch::here(), &args);
    other.wait_ready();
    client.connect("a", to);
    server.accept("a");
    client.send("a", 1000);
    server.receive("a", 1000);
    client.close("a");
    server.close("a");
    let ended = |events: &[Value]| events.iter().filter(|e| e["type"] == "destroy").count() >= 2;
    json.wait_events("both ends", ended);
    let events = json.stop().events;
    wait_until("as many lines", || other.stdout().lines().count() >= events.len());
    let output = other.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    (events, output.stdout)
}

/// Two tracers see a connection's events in one order, but not those of two.
fn by_connection<T>(mut of: Vec<T>, cookie: impl Fn(&T) -> String) -> Vec<T> {
    of.sort_by_key(cookie);
    of
}

/// Each tracer reads the clock for itself, and learns in its own time who holds a socket.
fn is_its_own(column: &str) -> bool {
    ["time", "mono_ns", "pid", "comm"].contains(&column) || column.ends_with("_us")
}

#[test]
fn lines_have_the_values_of_the_events() {
    need!(is_root(), "not root");
    let (events, text) = of_the_same(&["--format", TEMPLATE]);
    let cookie = |line: &String| line.split('|').next().unwrap_or_default().to_owned();
    let expected = by_connection(events.iter().map(line).collect(), cookie);
    assert_eq!(by_connection(text.lines().map(str::to_owned).collect(), cookie), expected);
    for event_type in EVENT_TYPES.split(',') {
        assert!(text.contains(&format!("|{event_type:<12}|")), "{event_type}");
    }
}

#[test]
fn a_table_has_the_columns_of_all_types() {
    need!(is_root(), "not root");
    let (events, text) = of_the_same(&["-a", "-o", "csv"]);
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(text.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let known: BTreeSet<String> =
        events.iter().flat_map(|event| cells(event).into_keys()).collect();
    let titles: BTreeSet<String> = header.iter().map(str::to_owned).collect();
    assert_eq!(titles.len(), header.len(), "each once");
    // A group that no event has (`bbr`) is null in JSON.
    assert!(
        known.iter().all(|name| titles.contains(name)
            || name == "bbr"
            || name == "cubic"
            || name == "dctcp")
    );
    let at = header.iter().position(|title| title == "cookie").expect("a cookie");
    let rows: Vec<_> = reader.records().map(|row| row.expect("of that width")).collect();
    let rows = by_connection(rows, |row| row[at].to_owned());
    let events = by_connection(events, |event| plain(&event["cookie"]));
    assert_eq!(rows.len(), events.len());
    for (row, event) in rows.iter().zip(&events) {
        let cells = cells(event);
        for (title, cell) in header.iter().zip(row).filter(|(title, _)| !is_its_own(title)) {
            let value = cells.get(title).map_or(String::new(), plain);
            assert_eq!(cell, value, "{title} of {event}");
        }
    }
}

/// As CSV has it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What the template makes of an event, from its JSON.
fn line(event: &Value) -> String {
    let cell = |name: &str| {
        let value = name.split('.').fold(event, |value, key| &value[key]);
        if value.is_null() { "-".to_owned() } else { plain(value) }
    };
    format!(
        "{}|{:<12}|{:>6}|{:>7}|{}->{:<11}|{}|{{{}}}\t{}",
        cell("cookie"),
        text(event, "type"),
        cell("sport"),
        cell("uid"),
        cell("old_state"),
        cell("new_state"),
        cell("bytes_retrans"),
        cell("ino"),
        cell("bbr.bw"),
    )
}
