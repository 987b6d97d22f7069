//! `--format`: lines of the user's own making, against the JSON of the same events.

use crate::support::{Launch, Puppet, Tracer, is_root, text, wait_until};

/// Each kind has columns that the others have not.
const TEMPLATE: &str = r"{cookie}|{type:<12}|{sport:>6}|{pid:7}|{old_state}->{new_state:11}|{bytes_retrans}|{{{ino}}}\t{bbr.bw}";
const KINDS: &str = "state,destroy,probe";

#[test]
fn lines_have_the_values_of_the_events() {
    need!(is_root(), "not root");
    let (mut server, mut client) = (Puppet::start(), Puppet::start());
    let to = server.listen("127.0.0.1:0");
    let port = to.port().to_string();
    let json = Tracer::events_in(&Launch::here(), KINDS, &["-a", "-P", &port]);
    let args = ["events", KINDS, "-P", &port, "--format", TEMPLATE];
    let mut lines = Tracer::spawn(&Launch::here(), &args);
    lines.wait_ready();
    client.connect("a", to);
    server.accept("a");
    client.send("a", 1000);
    server.receive("a", 1000);
    client.close("a");
    server.close("a");
    // Both ends' states, the client's CLOSE last or before the last.
    let ended = |events: &[serde_json::Value]| {
        events.iter().filter(|event| event["type"] == "destroy").count() >= 2
    };
    json.wait_events("both ends", ended);
    let expected: Vec<String> = json.stop().events.iter().map(line).collect();
    wait_until("as many lines", || lines.stdout().lines().count() >= expected.len());
    let output = lines.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines, expected);
    for kind in KINDS.split(',') {
        assert!(lines.iter().any(|line| line.contains(&format!("|{kind:<12}|"))), "{kind}");
    }
}

/// What the template makes of an event, from its JSON.
fn line(event: &serde_json::Value) -> String {
    let cell = |name: &str| {
        let value = name.split('.').fold(event, |value, key| &value[key]);
        match value {
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            number => number.to_string(),
        }
    };
    format!(
        "{}|{:<12}|{:>6}|{:>7}|{}->{:<11}|{}|{{{}}}\t{}",
        cell("cookie"),
        text(event, "type"),
        cell("sport"),
        cell("pid"),
        cell("old_state"),
        cell("new_state"),
        cell("bytes_retrans"),
        cell("ino"),
        cell("bbr.bw"),
    )
}
