//! Written tables, read by the library's own reader.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

use super::*;
use crate::events::{EVENT_TYPES, Types, event_type};
use crate::sink::text::Layout;
use crate::skel::{LifeRecord, StateRecord, bytes};
use crate::table::{ColumnSet, Selected};

#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn table(name: &str) -> ColumnSet {
    let of = event_type(name).unwrap();
    let columns = (of.columns)().into_iter().enumerate();
    let columns = columns.map(|(index, column)| Selected { index, column, present: true });
    ColumnSet { event_type: of.number.into(), name: of.name, columns: columns.collect() }
}

fn head(record: &mut crate::skel::Event, name: &str, len: usize, mono_ns: u64) {
    record.head.event_type = event_type(name).unwrap().number;
    record.head.len = len as u16;
    record.head.mono_ns = mono_ns;
}

fn print(sink: &mut impl Sink, record: &[u8], wall: bool) {
    let types = Types::default();
    let moment = |ns: u64| {
        if wall { Moment::Wall(ns.cast_signed()) } else { Moment::Elapsed(ns.cast_signed()) }
    };
    sink.event(&Event::decode(record, &types, moment).unwrap()).unwrap();
}

/// So many states, and a life.
fn written(rows: u64, wall: bool) -> SerializedFileReader<File> {
    let columns = Columns {
        tables: vec![table("state"), table("life")],
        header: true,
        layout: Layout::default(),
    };
    let file = Written::default();
    let mut sink = Parquet::new(file.clone(), &columns);
    sink.begin().unwrap();
    for row in 0..rows {
        let mut state = StateRecord::default();
        head(&mut state.event, "state", size_of::<StateRecord>(), row);
        state.old_state_ns = 5000;
        print(&mut sink, bytes(&state), wall);
    }
    let mut life = LifeRecord {
        bytes_sent: u64::MAX,
        srtt_samples: 2,
        srtt_sum_us: 9,
        reason: 1,
        ..LifeRecord::default()
    };
    head(&mut life.event, "life", size_of::<LifeRecord>(), rows);
    print(&mut sink, bytes(&life), wall);
    assert_eq!(sink.progress().made, rows + 1);
    sink.finish().unwrap();
    assert_eq!(sink.progress().written, rows + 1);
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name =
        format!("tcc-parquet-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, file.0.take()).unwrap();
    let opened = File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    SerializedFileReader::new(opened).unwrap()
}

/// The values of a row by the name of their column, without nulls.
fn row(row: &Row) -> BTreeMap<String, Field> {
    let cells = row.get_column_iter().map(|(name, field)| (name.clone(), field.clone()));
    cells.filter(|(_, field)| *field != Field::Null).collect()
}

#[test]
fn values_have_the_types_of_their_columns() {
    let reader = written(2, true);
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|of| row(&of.unwrap())).collect();
    assert_eq!(rows.len(), 3);
    let text = |text: &str| Some(Field::Str(text.to_owned()));
    let [_, state, life] = &rows[..] else { panic!() };
    assert_eq!(state.get("type").cloned(), text("state"));
    assert_eq!(state["mono_ns"], Field::ULong(1));
    assert_eq!(state["sport"], Field::UInt(0));
    assert_eq!(state["old_state_us"], Field::ULong(5));
    assert_eq!(state["family"], Field::Str("ipv6".to_owned()));
    assert!(
        !state.contains_key("bytes_sent") && !state.contains_key("cookie"),
        "of another type; null"
    );
    assert_eq!(life.get("type").cloned(), text("life"));
    assert_eq!(life["bytes_sent"], Field::ULong(u64::MAX));
    assert_eq!(life["open_before"], Field::Bool(true));
    assert_eq!(life["srtt_avg_us"], Field::ULong(5));
    assert!(!life.contains_key("old_state_us"));
    let schema = format!("{:?}", reader.metadata().file_metadata().schema());
    assert!(schema.contains("NANOS"), "{schema}");
    // On a clock without a calendar, it is a number.
    let elapsed = written(1, false);
    let first = elapsed.get_row_iter(None).unwrap().next().unwrap().unwrap();
    assert_eq!(row(&first)["time"], Field::Long(0));
}

#[test]
fn the_metadata_has_units_and_meanings() {
    let reader = written(1, true);
    let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let value =
        |key: &str| metadata.iter().find(|of| of.key == key).and_then(|of| of.value.clone());
    assert_eq!(value("unit:duration_us").as_deref(), Some("us"));
    assert_eq!(value("source:bytes_sent").as_deref(), Some("tp->bytes_sent"));
    assert!(value("doc:cookie").is_some_and(|doc| doc.starts_with("Socket cookie")));
    assert_eq!(value("unit:family"), None);
}

/// Row groups end before they take much memory, and begin anew with nulls in their places.
#[test]
fn many_rows_are_in_several_groups() {
    let rows = 60_000;
    let reader = written(rows, true);
    let groups = reader.num_row_groups();
    assert!(groups > 1, "{groups}");
    let counts: Vec<i64> =
        (0..groups).map(|at| reader.metadata().row_group(at).num_rows()).collect();
    assert_eq!(counts.iter().sum::<i64>(), rows as i64 + 1);
    for (at, of) in reader.get_row_iter(None).unwrap().enumerate() {
        let cells = row(&of.unwrap());
        assert_eq!(cells["mono_ns"], Field::ULong(at as u64));
        assert_eq!(cells.contains_key("bytes_sent"), at as u64 == rows);
    }
}

/// Without events, it is a table without rows.
#[test]
fn an_empty_table_is_a_table() {
    let columns = Columns { tables: vec![table("probe")], header: true, layout: Layout::default() };
    let file = Written::default();
    let mut sink = Parquet::new(file.clone(), &columns);
    sink.begin().unwrap();
    sink.finish().unwrap();
    let bytes = file.0.take();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}

/// One name has one type in all event types, or else their union is text: `err` is a number in `retransmit`.
#[test]
fn columns_of_one_name_have_one_type() {
    use crate::table::Type::{Address, Text, TextList};
    let tables: Vec<ColumnSet> = EVENT_TYPES.iter().map(|of| table(of.name)).collect();
    let all = MergedColumn::all(&tables);
    let differing = all.iter().filter(|merged| {
        let is_text = matches!(Data::of(merged, &tables), Data::Text(_));
        is_text != matches!(merged.column().ty, Text | TextList | Address)
    });
    assert_eq!(differing.map(|merged| merged.column().name).collect::<Vec<_>>(), ["err"]);
}
