//! `-o parquet`: DuckDB and ClickHouse find in it the sums of the JSON lines of the same run. script/exports runs this.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Exported, Launch, Running, Server, TempDir, Trace, Tracer, analytics, cells, compared, drawn,
    exported, is_root, python, traffic_program, wait_until,
};

/// Sums of numbers, and counts of what is true and of texts, by event type and column.
type Sums = BTreeMap<(String, String), Value>;

fn sums(trace: &Trace) -> Sums {
    let mut numbers: BTreeMap<(String, String), i128> = BTreeMap::new();
    let mut floats: BTreeMap<(String, String), f64> = BTreeMap::new();
    for event in &trace.events {
        let event_type = event["type"].as_str().expect("a type").to_owned();
        for (name, value) in cells(event) {
            let key = (event_type.clone(), name);
            let added = match &value {
                Value::Null => continue,
                Value::Bool(flag) => i128::from(*flag),
                // The time is in ns in the table.
                Value::Number(_) if key.1 == "time" => continue,
                Value::Number(n) => match (n.as_u64(), n.as_i64()) {
                    (Some(n), _) => n.into(),
                    (_, Some(n)) => n.into(),
                    _ => {
                        *floats.entry(key).or_default() += n.as_f64().expect("a number");
                        continue;
                    }
                },
                _ => 1,
            };
            *numbers.entry(key).or_default() += added;
        }
    }
    let numbers = numbers.into_iter().map(|(key, sum)| (key, json!(sum.to_string())));
    numbers.chain(floats.into_iter().map(|(key, sum)| (key, json!(sum)))).collect()
}

/// Prints `{TYPE: {COLUMN: SUM}}`: integers as text, and what is null in all rows left out.
const DUCKDB: &str = r#"
import duckdb, json, sys
path, con = sys.argv[1], duckdb.connect()
columns = con.execute("describe select * from read_parquet(?)", [path]).fetchall()
def term(name, of):
    q = '"' + name + '"'
    if of == "DOUBLE": return f"sum({q})"
    if of == "BOOLEAN": return f"case when count({q}) > 0 then count_if({q})::varchar end"
    if of == "VARCHAR": return f"nullif(count({q}), 0)::varchar"
    return f"sum({q})::varchar"
terms = ", ".join(term(c[0], c[1]) for c in columns)
rows = con.execute(f"select type, {terms} from read_parquet(?) group by type", [path]).fetchall()
sums = {row[0]: {c[0]: v for c, v in zip(columns, row[1:]) if v is not None} for row in rows}
metadata = con.execute("select decode(key), decode(value) from parquet_kv_metadata(?)", [path]).fetchall()
print(json.dumps({"sums": sums, "types": {c[0]: c[1] for c in columns}, "metadata": dict(metadata)}))
"#;

/// The same, for integers.
const CLICKHOUSE: &str = r#"
import chdb, json, sys
table = f"file('{sys.argv[1]}', Parquet)"
def query(sql): return [json.loads(line) for line in str(chdb.query(sql, "JSONEachRow")).splitlines()]
columns = [(c["name"], c["type"]) for c in query(f"describe {table}")]
numbers = [name for name, of in columns if "Int" in of and "." not in name]
terms = ", ".join(f"toString(sum(toInt128(`{name}`))) as `sum {name}`" for name in numbers)
rows = query(f"select type, {terms} from {table} group by type")
sums = {row["type"]: {name: row[f"sum {name}"] for name in numbers if row[f"sum {name}"] is not None} for row in rows}
print(json.dumps({"sums": sums, "types": dict(columns)}))
"#;

/// Of the compressed JSON lines: the columns that all of these event types have.
const LINES: &str = r#"
import duckdb, json, sys
names = ["snd_cwnd", "srtt_us", "snd_una", "snd_nxt", "rcv_wnd", "pid"]
terms = ", ".join(f"sum({name})::varchar" for name in names)
rows = duckdb.connect().execute(
    f"select type, {terms} from read_json(?, union_by_name = true, format = 'newline_delimited', sample_size = -1) where type <> 'end' group by type", [sys.argv[1]]).fetchall()
print(json.dumps({"sums": {row[0]: {name: v for name, v in zip(names, row[1:]) if v is not None} for row in rows}}))
"#;

fn read(python_path: &Path, program: &str, path: &Path) -> Value {
    let text = python(python_path, program, &[path]).expect("Python");
    serde_json::from_str(&text).expect("JSON")
}

/// Each sum that was read is that of the events; how many there are.
#[track_caller]
fn check(read: &Value, expected: &Sums) -> usize {
    let mut checked = 0;
    for (event_type, columns) in read["sums"].as_object().expect("types") {
        for (name, sum) in columns.as_object().expect("columns") {
            if name == "time" || name == "type" && sum.is_null() {
                continue;
            }
            let wanted = expected.get(&(event_type.clone(), name.clone()));
            let wanted = wanted.unwrap_or_else(|| panic!("{event_type}.{name}: {sum}"));
            match (sum.as_f64(), wanted.as_f64()) {
                (Some(sum), Some(wanted)) => {
                    assert!((sum - wanted).abs() <= wanted.abs() * 1e-9, "{event_type}.{name}");
                }
                // A float without a fraction.
                (Some(sum), None) => assert_eq!(wanted.as_str(), Some(&*format!("{sum}"))),
                _ => assert_eq!(sum, wanted, "{event_type}.{name}"),
            }
            checked += 1;
        }
    }
    checked
}

#[test]
fn tables_have_the_sums_of_the_lines() {
    need!(is_root(), "not root");
    need!(cfg!(feature = "parquet"), "built without the feature parquet", legitimate: true);
    let python = match analytics() {
        Ok(python) => python,
        Err(why) => return crate::support::skip(&why, true),
    };
    let Exported { trace, paths, .. } = &exported(&["parquet", "jsonl.zst"], &drawn());
    let [parquet, lines] = &paths[..] else { panic!("{paths:?}") };
    let expected = sums(trace);
    let by_duckdb = read(&python, DUCKDB, parquet);
    let checked = check(&by_duckdb, &expected);
    // And none is missing.
    let of_time = expected.keys().filter(|(_, name)| name == "time").count();
    assert_eq!(checked, expected.len() - of_time);
    assert!(checked > 300, "{checked}");
    let (types, metadata) = (&by_duckdb["types"], &by_duckdb["metadata"]);
    for (column, of, unit) in [
        ("type", "VARCHAR", None),
        ("mono_ns", "UBIGINT", Some("ns")),
        ("snd_cwnd", "UINTEGER", Some("segments")),
        ("pacing_rate", "UBIGINT", Some("bytes/s")),
        ("wmem_queued", "INTEGER", Some("bytes")),
        ("app_limited", "BOOLEAN", None),
        ("saddr", "VARCHAR", None),
        ("bbr.pacing_gain", "DOUBLE", None),
        ("time", "BIGINT", None),
    ] {
        assert_eq!(types[column], of, "{column}");
        assert_eq!(metadata[&format!("unit:{column}")], unit.map_or(Value::Null, Value::from));
        assert!(metadata[&format!("doc:{column}")].is_string(), "{column}");
    }
    compared(trace.events.len(), checked);

    let by_clickhouse = read(&python, CLICKHOUSE, parquet);
    assert!(check(&by_clickhouse, &expected) > 200, "{by_clickhouse}");
    let by_lines = read(&python, LINES, lines);
    assert!(check(&by_lines, &expected) >= 20, "{by_lines}");
}

/// A signal ends it in order: the file is complete, with the time of day as a timestamp.
#[test]
fn a_signal_completes_a_table() {
    need!(is_root(), "not root");
    need!(cfg!(feature = "parquet"), "built without the feature parquet", legitimate: true);
    let python = match analytics() {
        Ok(python) => python,
        Err(why) => return crate::support::skip(&why, true),
    };
    let dir = TempDir::new();
    let path = dir.path().join("run.parquet");
    let server = Server::start("127.0.0.1:0", None);
    let mut command = Launch::here().command(traffic_program());
    let to = server.addr.to_string();
    command.args(["pingpong", "--to", &to, "--seconds", "300", "--interval", "1ms"]);
    let _steady = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
    let output = format!("parquet={}", path.display());
    let fields = "time,mono_ns,snd_cwnd";
    let tracer = Tracer::start(&["-P", &server.port_text(), "--fields", fields, "-o", &output]);
    tracer.wait_events("events", |events| events.len() > 500);
    tracer.signal(Signal::TERM);
    let mut tracer = tracer;
    wait_until("its end", || tracer.ended());
    let trace = tracer.wait();
    let read = read(&python, TIMES, &path);
    // Its name differs between versions of DuckDB.
    assert!(read["type"].as_str().is_some_and(|of| of.starts_with("TIMESTAMP")), "{read}");
    assert_eq!(read["rows"], trace.events.len());
    let expected =
        [trace.events.first(), trace.events.last()].map(|event| event.map(|e| &e["time"]));
    assert_eq!([Some(&read["first"]), Some(&read["last"])], expected);
}

/// With nanoseconds, as in JSON.
const TIMES: &str = r#"
import datetime, duckdb, json, sys
con, path = duckdb.connect(), sys.argv[1]
of = con.execute("select column_type from (describe select time from read_parquet(?))", [path]).fetchone()[0]
rows, first, last = con.execute("select count(*), min(epoch_ns(time)), max(epoch_ns(time)) from read_parquet(?)", [path]).fetchone()
def text(ns): return datetime.datetime.fromtimestamp(ns // 10**9, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 10**9:09}Z"
print(json.dumps({"type": of, "rows": rows, "first": text(first), "last": text(last)}))
"#;
