//! Steps back and forward in time.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tcc_trace::live::app::App;
use tcc_trace::live::rows::Row;

use super::{SECOND, app, drawn, followed, lines, press, rows};

/// `,` and `.` go back and forth among the tables that were there, while new ones arrive.
#[test]
fn steps_show_earlier_tables() {
    let mut app = app();
    let row = |tx_rate| Row { tx_rate, ..rows().remove(0) };
    for second in 1..=5 {
        app.update(vec![row(second)], SECOND, (99 + second) * SECOND);
    }
    let shown = |app: &App| app.rows[0].tx_rate;
    assert_eq!(shown(&app), 5);
    let now = 104 * SECOND;
    let step = |app: &mut App, key| {
        app.key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE), now);
        shown(app)
    };
    assert_eq!([',', ',', '.', ','].map(|key| step(&mut app, key)), [4, 3, 4, 3]);
    app.update(vec![row(6)], SECOND, 105 * SECOND);
    assert_eq!(shown(&app), 3, "it is frozen");
    assert!(lines(&drawn(&mut app, (80, 24), true))[0].ends_with(" FROZEN "));
    for _ in 0..9 {
        press(&mut app, KeyCode::Char(','));
    }
    assert_eq!((app.rows.len(), app.frozen_ns), (5, Some(99 * SECOND)), "the first table");
    press(&mut app, KeyCode::Char('f'));
    assert_eq!((shown(&app), app.frozen_ns), (6, None));
}

/// In a connection they move the time axis, and all that is of a time follows.
#[test]
fn steps_show_a_connection_as_it_was() {
    let mut app = app();
    followed(&mut app);
    let now = |app: &mut App| lines(&drawn(app, (120, 40), true)).join("\n");
    assert!(now(&mut app).contains("samples 500") && now(&mut app).contains("cwnd 55"));
    for _ in 0..20 {
        press(&mut app, KeyCode::Char(','));
    }
    // From 100 s back by 20 steps of a second: after 300 of the samples, of which that of 79.9 s is the last.
    let then = now(&mut app);
    assert!(then.contains("FROZEN") && then.contains("samples 301"), "{then}");
    assert!(!then.contains("12:00:31") && then.contains("12:00:28"), "{then}");
    press(&mut app, KeyCode::Char('.'));
    assert!(now(&mut app).contains("samples 311"));
    press(&mut app, KeyCode::Char(' '));
    assert!(now(&mut app).contains("samples 500") && !now(&mut app).contains("FROZEN"));
}
