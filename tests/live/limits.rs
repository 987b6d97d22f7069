//! What limits connections, in the table and in expressions.

use tcc_trace::environment::Environment;
use tcc_trace::live::filter::{Filter, without_limits};
use tcc_trace::live::rows::{Limit, Row};

use super::{SECOND, app, check, rows};

/// With what limits each connection, which expressions know, too.
#[test]
fn the_table_with_limits() {
    let mut app = app();
    app.has_limits = true;
    let limits = [Some((11, 62)), Some((5, 100)), None, Some((2, 51)), Some((1, 97))];
    let limit =
        |limit: Option<(usize, u64)>| limit.map(|(cause, percent)| Limit { cause, percent });
    let rows = rows().into_iter().zip(limits);
    let rows: Vec<Row> = rows.map(|(row, of)| Row { limit: limit(of), ..row }).collect();
    app.update(rows, SECOND, 100 * SECOND);
    check("limits", &mut app);
    app.filter = Filter::new("limit == \"path\"", &app.environment).unwrap();
    app.look_at(99 * SECOND);
    app.look_at(100 * SECOND);
    assert_eq!(app.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [1]);
    app.filter = Filter::new("limit is null", &app.environment).unwrap();
    app.look_at(99 * SECOND);
    app.look_at(100 * SECOND);
    assert_eq!(app.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [3]);
    let mut types = app.environment.types.clone();
    without_limits(&mut types);
    let environment = Environment { types, ..Environment::default() };
    let mistake = Filter::new("limit == \"path\"", &environment).err().unwrap();
    assert!(mistake.message.contains("--limits"), "{}", mistake.message);
}

/// The main cause and its share; the first of those that are equal.
#[test]
fn the_cause_with_the_most_time_is_the_main_one() {
    let main = |ns: &[u64]| Limit::main(ns).map(|limit| (limit.cause, limit.percent));
    assert_eq!([main(&[0, 0]), main(&[])], [None, None]);
    assert_eq!(main(&[0, 3, 1]), Some((1, 75)));
    assert_eq!(main(&[5, 5]), Some((0, 50)));
    assert_eq!(main(&[u64::MAX, u64::MAX, 1]), Some((0, 50)));
}
