//! What `live` draws, without a kernel: crafted connections on screens of several sizes, compared with the files beside this one.
//! UPDATE=1 writes them anew.

mod limits;
mod replay;
mod steps;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::rc::Rc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use tcc_trace::environment::Environment;
use tcc_trace::limits::connection::Segment;
use tcc_trace::limits::rules::LimitCause;
use tcc_trace::live::app::{Action, App};
use tcc_trace::live::draw::{Theme, draw};
use tcc_trace::live::filter::Filter;
use tcc_trace::live::history::{EventLine, Sample, Series};
use tcc_trace::live::rows::{Column, Missing, Row, Sort};
use tcc_trace::skel::ConnSnapshot;

const SECOND: u64 = 1_000_000_000;
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (250, 60)];

struct Crafted {
    comm: &'static [u8],
    pid: u32,
    ends: [(&'static str, u16); 2],
    cc: &'static [u8],
    tx_rate: u64,
    rx_rate: u64,
    cwnd: u32,
    srtt_us: u32,
    retrans: u64,
}

impl Crafted {
    fn row(&self, id: u64) -> Row {
        let mut last = ConnSnapshot::default();
        let copy = |from: &[u8], to: &mut [u8]| to[..from.len()].copy_from_slice(from);
        let address = |text: &str| match text.parse().unwrap() {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => Ipv6Addr::octets(&address),
        };
        let (head, tcp) = (&mut last.event.head, &mut last.event.tcp);
        head.cookie = 0x1000 + id;
        (head.saddr, head.sport) = (address(self.ends[0].0), self.ends[0].1);
        (head.daddr, head.dport) = (address(self.ends[1].0), self.ends[1].1);
        (tcp.state, tcp.present, tcp.snd_cwnd, tcp.srtt_us) = (1, 1, self.cwnd, self.srtt_us);
        (tcp.packets_out, tcp.snd_ssthresh, tcp.snd_wnd) = (self.cwnd / 2, 0x7fff_ffff, 65_536);
        tcp.total_retrans = 3 * self.retrans as u32;
        (tcp.ca_state, tcp.bytes_acked) = (if self.retrans > 0 { 3 } else { 0 }, 12_345_678);
        last.event.owner.pid = self.pid;
        copy(self.comm, &mut last.event.owner.comm);
        copy(self.cc, &mut last.ca_name);
        let (tx_rate, rx_rate, retrans) = (self.tx_rate, self.rx_rate, self.retrans);
        Row {
            id,
            last: Rc::new(last),
            tx_rate,
            rx_rate,
            retrans,
            limit: None,
            missing: Missing::default(),
        }
    }
}

fn rows() -> Vec<Row> {
    let sender = Crafted {
        comm: b"rsync",
        pid: 4711,
        ends: [("192.0.2.1", 40_000), ("198.51.100.7", 873)],
        cc: b"cubic",
        tx_rate: 2_400_000,
        rx_rate: 800,
        cwnd: 42,
        srtt_us: 23_456,
        retrans: 7,
    };
    let others = [
        Crafted {
            comm: b"nginx",
            pid: 812,
            ends: [("2001:db8:85a3:1234:5678:8a2e:370:7334", 443), ("2001:db8::1", 51_000)],
            cc: b"bbr",
            tx_rate: 118_000_000,
            cwnd: 12_345,
            srtt_us: 812,
            retrans: 0,
            ..sender
        },
        // What must not reach a terminal as it is.
        Crafted {
            comm: b"\x1b[2J\x07\xff",
            pid: 3,
            tx_rate: 0,
            rx_rate: 0,
            srtt_us: 0,
            retrans: 0,
            ends: [("127.0.0.1", 22), ("127.0.0.1", 40_022)],
            ..sender
        },
        Crafted {
            comm: "日本語".as_bytes(),
            tx_rate: 10,
            rx_rate: 5_000_000,
            retrans: 0,
            ..sender
        },
        Crafted { comm: b"", pid: 0, tx_rate: 0, rx_rate: 9, retrans: 0, cc: b"reno", ..sender },
    ];
    [&sender].into_iter().chain(&others).zip(1..).map(|(crafted, id)| crafted.row(id)).collect()
}

fn app() -> App {
    let mut app = App::new(Environment::default(), Filter::default(), Sort::Traffic);
    app.update(rows(), SECOND, 99 * SECOND);
    app
}

fn press(app: &mut App, code: KeyCode) -> Action {
    app.key(KeyEvent::new(code, KeyModifiers::NONE), 100 * SECOND)
}

fn type_text(app: &mut App, text: &str) {
    for c in text.chars() {
        press(app, KeyCode::Char(c));
    }
}

fn drawn(app: &mut App, (width, height): (u16, u16), colours: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(app, Theme { colours }, 100 * SECOND, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let cells = buffer.content.chunks(width);
    cells.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>()).collect()
}

/// On each of the sizes as in the file of that name.
#[track_caller]
fn check(name: &str, app: &mut App) {
    let mut text = String::new();
    for size in SIZES {
        text += &format!("{} x {}\n", size.0, size.1);
        for line in lines(&drawn(app, size, true)) {
            text += line.trim_end();
            text.push('\n');
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/live/{name}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{}:\n{text}\nIf that is meant: UPDATE=1", path.display());
}

/// A connection that was followed for 50 seconds: cwnd grows by one each 100 ms from 20 to 60, where segments are lost.
fn followed(app: &mut App) {
    press(app, KeyCode::Down);
    press(app, KeyCode::Down);
    assert_eq!(press(app, KeyCode::Enter), Action::Follow);
    let history = Rc::clone(&app.shown.as_ref().unwrap().history);
    let mut history = history.borrow_mut();
    let (mut cwnd, mut retrans) = (20, 0);
    for at in 500..1_000_u64 {
        let lost = cwnd == 60;
        (cwnd, retrans) = if lost { (30, retrans + 3) } else { (cwnd + 1, retrans) };
        let mut sample = Sample {
            at_ns: at * SECOND / 10,
            ca_state: Some(if cwnd < 36 && retrans > 0 { 3 } else { 0 }),
            acked: Some(at * 240_000),
            received: Some(0),
            retrans: Some(retrans),
            ..Sample::default()
        };
        let values = [
            (Series::Cwnd, cwnd),
            (Series::Flight, cwnd - 2),
            (Series::Ssthresh, 42),
            (Series::Srtt, 10_000 + cwnd * 200),
            (Series::MinRtt, 10_000),
            (Series::Delivery, 2_500_000),
            (Series::Pacing, 3_000_000),
        ];
        values.iter().for_each(|(series, value)| sample.values[*series as usize] = Some(*value));
        history.add(&sample);
        let cause = if lost { LimitCause::Recovery } else { LimitCause::Path };
        let (from_ns, to_ns) = (sample.at_ns, sample.at_ns + SECOND / 10);
        history.add_cause(&Segment { from_ns, to_ns, cause });
        if lost {
            history.add_event(EventLine {
                at_ns: sample.at_ns,
                time: format!("12:00:{:02}.{}00000", at / 10 - 50, at % 10),
                event_type: "retransmit",
                text: "class=fast segs=3".to_owned(),
            });
        }
    }
}

#[test]
fn the_table() {
    let mut app = app();
    press(&mut app, KeyCode::Down);
    check("table", &mut app);
}

#[test]
fn a_filter_while_it_is_typed() {
    let mut app = app();
    press(&mut app, KeyCode::Char('/'));
    type_text(&mut app, "srtt_us > 1ms && cc == \"cubic\" && snd_cwnd >> 4");
    check("filter", &mut app);
}

#[test]
fn a_connection() {
    let mut app = app();
    followed(&mut app);
    check("connection", &mut app);
}

#[test]
fn the_help() {
    let mut app = app();
    press(&mut app, KeyCode::Char('?'));
    check("help", &mut app);
}

#[test]
fn rows_match_as_expressions_do() {
    let matching = |text: &str| -> Result<Vec<u64>, String> {
        let mut app = app();
        app.filter = Filter::new(text, &app.environment).map_err(|mistake| mistake.message)?;
        app.update(rows(), SECOND, 99 * SECOND);
        let mut ids: Vec<u64> = app.rows.iter().map(|row| row.id).collect();
        ids.sort_unstable();
        Ok(ids)
    };
    for (text, ids) in [
        ("", vec![1, 2, 3, 4, 5]),
        ("ca_name == \"bbr\"", vec![2]),
        ("cc == \"bbr\" || cc == \"reno\"", vec![2, 5]),
        ("srtt_us > 1ms", vec![1, 4, 5]),
        ("srtt_us is null", vec![3]),
        ("tx_rate >= 19.2Mbit/s", vec![1, 2]),
        ("rx_rate > 1MB/s", vec![4]),
        ("retrans_segs > 0 && ca_state == \"Recovery\"", vec![1]),
        ("dport == 873 && comm != \"rsync\"", vec![4]),
        ("raddr in 2001:db8::/32", vec![2]),
        ("pid is null", vec![5]),
        ("family == \"ipv6\"", vec![2]),
        ("state == \"ESTABLISHED\" && snd_cwnd < 1000", vec![1, 3, 4, 5]),
    ] {
        assert_eq!(matching(text), Ok(ids), "{text}");
    }
    let error = matching("lost > 3").unwrap_err();
    assert!(error.contains("lost"), "{error}");
}

#[test]
fn a_mistake_leaves_the_last_filter_in_use() {
    let mut app = app();
    press(&mut app, KeyCode::Char('/'));
    type_text(&mut app, "dport == 443");
    assert_eq!(app.rows.len(), 0);
    type_text(&mut app, " ||");
    assert!(app.filter.mistake.is_some() && app.filter.in_use() == "dport == 443");
    assert_eq!(press(&mut app, KeyCode::Enter), Action::Nothing);
    assert!(app.filter.is_open, "a mistake is not accepted");
    type_text(&mut app, " sport == 443");
    assert_eq!((app.filter.mistake.is_none(), app.rows.len()), (true, 1));
    press(&mut app, KeyCode::Enter);
    assert!(!app.filter.is_open);
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.rows.len(), 5);
}

#[test]
fn rows_are_sorted_by_each_column_both_ways() {
    for column in [Column::Process, Column::Peer, Column::Cwnd, Column::Srtt, Column::Tx] {
        let mut rows = rows();
        let ids = |rows: &[Row]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
        Sort::By(column).sort(&mut rows, false);
        let cells: Vec<String> = rows.iter().map(|row| column.cell(row)).collect();
        match column {
            Column::Cwnd => assert_eq!(ids(&rows), [2, 1, 3, 4, 5]),
            Column::Srtt => assert_eq!(ids(&rows), [1, 4, 5, 2, 3]),
            Column::Tx => assert_eq!(ids(&rows), [2, 1, 4, 3, 5]),
            Column::Peer => assert_eq!(ids(&rows)[0], 3),
            _ => assert!(cells.is_sorted(), "{cells:?}"),
        }
        let first = cells[0].clone();
        Sort::By(column).sort(&mut rows, true);
        assert_ne!(column.cell(&rows[0]), first);
    }
}

#[test]
fn the_chosen_connection_stays_chosen_and_on_the_screen() {
    let mut app = app();
    let many: Vec<Row> = (0..200).map(|id| Row { id: id + 1, ..rows().remove(0) }).collect();
    app.update(many.clone(), SECOND, 99 * SECOND);
    drawn(&mut app, (80, 24), true);
    for _ in 0..3 {
        press(&mut app, KeyCode::PageDown);
    }
    let chosen = app.chosen;
    let place = app.place().unwrap();
    assert!((app.top..app.top + app.room).contains(&place), "{place} {} {}", app.top, app.room);
    let faster = many.into_iter().map(|row| Row { tx_rate: row.id * 1_000, ..row }).collect();
    app.update(faster, SECOND, 100 * SECOND);
    assert_eq!(app.chosen, chosen);
    let place = app.place().unwrap();
    assert!((app.top..app.top + app.room).contains(&place));
    press(&mut app, KeyCode::End);
    assert_eq!(app.place(), Some(199));
}

#[test]
fn what_is_frozen_stays() {
    let mut app = app();
    press(&mut app, KeyCode::Char('f'));
    app.update(Vec::new(), SECOND, 101 * SECOND);
    assert_eq!(app.rows.len(), 5);
    press(&mut app, KeyCode::Char('f'));
    app.update(Vec::new(), SECOND, 101 * SECOND);
    assert_eq!(app.rows.len(), 0);
}

#[test]
fn a_connection_that_has_ended_is_marked_and_stays() {
    let mut app = app();
    followed(&mut app);
    app.update(Vec::new(), SECOND, 101 * SECOND);
    assert!(app.shown.as_ref().unwrap().ended);
    assert!(lines(&drawn(&mut app, (120, 40), true))[0].contains("ended"));
    assert_eq!(press(&mut app, KeyCode::Esc), Action::Follow);
    assert!(app.shown.is_none());
}

#[test]
fn any_size_can_be_drawn_and_no_control_character_is() {
    let mut states = [app(), app(), app(), app(), app()];
    press(&mut states[1], KeyCode::Char('/'));
    type_text(&mut states[1], "snd_cwnd > \u{1b}[2J");
    followed(&mut states[2]);
    press(&mut states[3], KeyCode::Char('?'));
    states[4].message = Some("a message".to_owned());
    for app in &mut states {
        for width in [1, 2, 7, 8, 39, 40, 41, 79, 80, 81, 103, 104, 131, 160, 250, 300] {
            for height in [1, 2, 7, 8, 9, 10, 12, 15, 18, 23, 24, 40, 60, 100] {
                let buffer = drawn(app, (width, height), true);
                let cells = buffer.content.iter().flat_map(|cell| cell.symbol().chars());
                assert!(cells.into_iter().all(|c| !c.is_control()), "{width} x {height}");
            }
        }
    }
}

/// NO_COLOR, and terminals without colours.
#[test]
fn without_colours_no_cell_has_one() {
    let mut states = [app(), app()];
    followed(&mut states[1]);
    for app in &mut states {
        press(app, KeyCode::Down);
        let has_colour = |buffer: &Buffer| {
            buffer.content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
        };
        assert!(!has_colour(&drawn(app, (120, 40), false)));
        assert!(has_colour(&drawn(app, (120, 40), true)));
    }
}

/// History and shown connection share no memory with those of the one before.
#[test]
fn each_connection_has_its_own_history() {
    let mut app = app();
    followed(&mut app);
    let first = Rc::clone(&app.shown.as_ref().unwrap().history);
    assert_eq!(press(&mut app, KeyCode::Char(']')), Action::Follow);
    let second: &RefCell<_> = &app.shown.as_ref().unwrap().history;
    assert_eq!((first.borrow().samples, second.borrow().samples), (500, 0));
}
