//! The section of the guide on many machines: recordings of several hosts as tables in a directory, and its queries over all of them. DuckDB and
//! ClickHouse (chDB) give what the JSON lines of the same runs have. script/exports runs this.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{
    Fixture, Launch, Server, TempDir, Tracer, analytics, compared, is_root, python, text,
    traffic_in, u64_of,
};

const HOSTS: [&str; 3] = ["web1", "web2", "db1"];
const ALGORITHMS: [&str; 2] = ["cubic", "reno"];

/// Runs the queries, in the directory above the tables.
const DUCKDB: &str = r#"
import duckdb, json, os, sys
os.chdir(sys.argv[1])
def rows(sql):
    result = duckdb.connect().execute(sql)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row)) for row in result.fetchall()]
print(json.dumps([rows(open(path).read()) for path in sys.argv[2:]]))
"#;

const CLICKHOUSE: &str = r#"
import chdb, json, os, sys
os.chdir(sys.argv[1])
def rows(sql):
    settings = " settings output_format_json_quote_64bit_integers = 0"
    return [json.loads(line) for line in str(chdb.query(sql + settings, "JSONEachRow")).splitlines()]
print(json.dumps([rows(open(path).read()) for path in sys.argv[2:]]))
"#;

/// The queries of the guide's section, which are in blocks of SQL: two for each program.
fn queries() -> [[String; 2]; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide.md");
    let guide = fs::read_to_string(path).expect("docs/guide.md");
    let section = guide.split("\n## Many machines\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("the section");
    let blocks = section.split("```sql\n").skip(1);
    let mut blocks = blocks.map(|rest| rest.split("\n```").next().expect("a block").to_owned());
    let mut next = || blocks.next().expect("a query");
    [[next(), next()], [next(), next()]]
}

/// Of each group its values, sorted.
type Groups = BTreeMap<Vec<String>, Vec<u64>>;

fn groups(hosts: &[(&str, Vec<Value>)], key: impl Fn(&str, &Value) -> Vec<String>) -> Groups {
    let mut groups = Groups::new();
    for (host, events) in hosts {
        for event in events.iter().filter(|event| event["type"] == "probe") {
            let values = groups.entry(key(host, event)).or_default();
            values.extend(event["srtt_us"].as_u64());
        }
    }
    groups.values_mut().for_each(|values| values.sort_unstable());
    groups
}

/// Connections of that algorithm, on all hosts: both ends of one may have different ones.
fn conns_of(hosts: &[(&str, Vec<Value>)], algorithm: &str) -> u64 {
    let of_host = |events: &[Value]| {
        let events = events.iter().filter(|event| event["type"] == "probe");
        let events = events.filter(|event| text(event, "ca_name") == algorithm);
        events.map(|event| u64_of(event, "cookie")).collect::<BTreeSet<u64>>().len() as u64
    };
    hosts.iter().map(|(_, events)| of_host(events)).sum()
}

/// Programs take one of the two values around the quantile.
#[track_caller]
fn check_p99(found: &Value, sorted: &[u64], of: &str) {
    let at = sorted.len() as f64 * 0.99;
    let last = sorted.len() - 1;
    let near = [(at.ceil() as usize).saturating_sub(1), at as usize].map(|at| sorted[at.min(last)]);
    assert!(
        found.as_u64().is_some_and(|found| near.contains(&found)),
        "{of}: {found}, not {near:?}"
    );
}

fn conn(event: &Value) -> Vec<String> {
    let ends = ["saddr", "sport", "daddr", "dport", "ca_name"];
    ends.map(|name| event[name].to_string().trim_matches('"').to_owned()).to_vec()
}

/// Two transfers, of which each packet may be lost.
fn run(fixture: &mut Fixture) {
    let port = fixture.port;
    fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500", "gso_max_segs", "2"]);
    fixture.rule(&format!("tcp dport {port} tcp flags & syn == 0 numgen random mod 100 < 2 drop"));
    let server = Server::start_in(&fixture.ns.launch(), &format!("[::]:{port}"), None);
    let to = fixture.addr("127.0.0.1").to_string();
    for cc in ALGORITHMS {
        traffic_in(&fixture.ns.launch(), &["bulk", "--to", &to, "--bytes", "1000000", "--cc", cc]);
    }
    fixture.settle();
    drop(server);
}

#[test]
fn one_query_asks_all_machines() {
    need!(is_root(), "not root");
    need!(cfg!(feature = "parquet"), "built without the feature parquet", legitimate: true);
    let python_path = match analytics() {
        Ok(python) => python,
        Err(why) => return crate::support::skip(&why, true),
    };
    let dir = TempDir::new();
    let tables = dir.path().join("fleet");
    fs::create_dir(&tables).expect("a directory");
    let mut hosts: Vec<(&str, Vec<Value>)> = Vec::new();
    for host in HOSTS {
        let mut fixture = Fixture::new();
        let (ports, file) = (fixture.ports(), dir.path().join(format!("{host}.tcc")));
        let path = file.to_str().expect("UTF-8");
        let args = ["-a", "--port", &ports, "-w", path];
        let tracer = Tracer::events_in(&Launch::here().with_tracefs(), "probe,retransmit", &args);
        run(&mut fixture);
        hosts.push((host, tracer.stop().events));
        let table = tables.join(format!("{host}.parquet"));
        let to = ["--to", "parquet", "-a", "-w", table.to_str().expect("UTF-8")];
        let converted = Tracer::spawn(&Launch::here(), &[&["convert", path], &to[..]].concat());
        let output = converted.wait_raw();
        assert!(output.status.success(), "{}", output.stderr);
    }

    let by_algorithm = groups(&hosts, |_, event| vec![text(event, "ca_name").to_owned()]);
    let by_conn = groups(&hosts, |host, event| [vec![host.to_owned()], conn(event)].concat());
    let mut retransmitted: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    for (host, events) in &hosts {
        for event in events.iter().filter(|event| event["type"] == "probe") {
            let key = [vec![(*host).to_owned()], conn(event)].concat();
            let most = retransmitted.entry(key).or_default();
            *most = u64_of(event, "total_retrans").max(*most);
        }
    }
    assert_eq!(by_conn.len(), HOSTS.len() * ALGORITHMS.len() * 2, "both ends of each");

    for (program, name, queries) in [DUCKDB, CLICKHOUSE]
        .into_iter()
        .zip(["DuckDB", "ClickHouse"])
        .zip(queries())
        .map(|((a, b), c)| (a, b, c))
    {
        let files = ["one.sql", "two.sql"].map(|name| dir.path().join(name));
        files
            .iter()
            .zip(&queries)
            .for_each(|(file, query)| fs::write(file, query).expect("a file"));
        let read = python(&python_path, program, &[dir.path(), &files[0], &files[1]]);
        let read: Value = serde_json::from_str(&read.expect("Python")).expect("JSON");
        let rows = |at: usize| read[at].as_array().expect("rows").clone();
        let algorithms = rows(0);
        assert_eq!(algorithms.len(), by_algorithm.len(), "{name}: {algorithms:?}");
        for row in &algorithms {
            let sorted = &by_algorithm[&vec![text(row, "ca_name").to_owned()]];
            check_p99(&row["p99_srtt_us"], sorted, name);
            assert_eq!(
                u64_of(row, "conns"),
                conns_of(&hosts, text(row, "ca_name")),
                "{name}: {row}"
            );
        }
        let worst = rows(1);
        assert_eq!(worst.len(), 10, "{name}: {worst:?}");
        for row in &worst {
            let file = text(row, "host").rsplit('/').next().expect("a name").to_owned();
            let host = file.strip_suffix(".parquet").expect("a table").to_owned();
            let key = [vec![host], conn(row)].concat();
            check_p99(&row["p99_srtt_us"], &by_conn[&key], name);
            assert_eq!(u64_of(row, "retransmitted"), retransmitted[&key], "{name}: {row}");
        }
        let shown: Vec<u64> = worst.iter().map(|row| u64_of(row, "retransmitted")).collect();
        let mut all: Vec<u64> = retransmitted.values().copied().collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        assert_eq!(shown, all[..10], "{name}");
        assert!(shown[0] > 0);
        compared(
            hosts.iter().map(|(_, events)| events.len()).sum(),
            algorithms.len() + worst.len(),
        );
    }
}
