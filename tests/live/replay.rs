//! `live -r` on recordings that are crafted: what it reads up to each time, and its screens.

#[path = "../report/crafted.rs"]
mod crafted;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::KeyCode;
use serde_json::Value;
use tcc_trace::config::{Config, Filters, KernelOptions, Read};
use tcc_trace::events::fields::FieldGroups;
use tcc_trace::live::Options;
use tcc_trace::live::app::{Action, App};
use tcc_trace::live::collect::Target;
use tcc_trace::live::filter::Filter;
use tcc_trace::live::history::History;
use tcc_trace::live::replay;
use tcc_trace::live::replay::player::Player;
use tcc_trace::live::rows::{Column, Sort};

use self::crafted::{Conn, Crafted, START_NS, Sample};
use super::{SECOND, check, drawn, lines, press};

fn path(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("live");
    std::fs::create_dir_all(&dir).unwrap();
    dir.join(format!("{name}.tcc"))
}

/// For 100 seconds, two connections with a sample each 100 ms: that of cookie 1 has 1000 bytes acknowledged each time, that of cookie
/// 2 has 200, from 50 s on. The first is closed at 90.05 s.
fn recorded(name: &str) -> PathBuf {
    let path = path(name);
    let mut file = Crafted::new(&path);
    let sample = |tick: u64, acked: u64| Sample {
        us: tick * 100_000,
        cwnd: 10 + (tick % 40) as u32,
        ssthresh: 30,
        srtt_us: 20_000 + tick as u32,
        una: 1000 + acked as u32,
        flight_bytes: 1448 * (5 + (tick % 20) as u32),
        acked,
        ..Sample::default()
    };
    let (first, second) = (Conn::new(1), Conn { ca: b"bbr", comm: b"other", ..Conn::new(2) });
    file.opened(first, 0);
    for tick in 0..=900 {
        file.sample(first, sample(tick, tick * 1000));
        if tick % 300 == 150 {
            file.retransmit(first, tick * 100_000, 1000);
        }
        if tick >= 500 {
            file.sample(second, sample(tick, (tick - 500) * 200));
        }
        if tick % 100 == 0 {
            file.cut();
        }
    }
    file.closed(first, 90_050_000);
    for tick in 901..=1000 {
        file.sample(second, sample(tick, (tick - 500) * 200));
    }
    file.end(100_000_000, 0);
    path
}

fn options(path: &Path) -> Options {
    Options {
        filters: Filters::default(),
        predicate: None,
        kernel_options: KernelOptions::default(),
        interval: Duration::from_secs(1),
        limits: false,
        sort: Sort::By(Column::Process),
        quiet: false,
        read: Read { files: vec![path.to_owned()], ..Read::default() },
        speed: 1.0,
    }
}

struct Replayed {
    app: App,
    player: Player,
    target: Target,
}

fn replayed(path: &Path) -> Replayed {
    replayed_each(path, SECOND)
}

fn replayed_each(path: &Path, interval_ns: u64) -> Replayed {
    let options = options(path);
    let config = Config { read: options.read.clone(), ..Config::default() };
    let target = Target::default();
    let player = Player::open(config, interval_ns, Rc::clone(&target)).unwrap();
    let app = replay::app(&options, &player).unwrap();
    Replayed { app, player, target }
}

impl Replayed {
    /// Shows that time of the recording, and the rows' cookies and rates.
    fn at(&mut self, second: f64) -> Vec<(u64, u64)> {
        self.at_ns(START_NS + (second * 1e9) as u64)
    }

    fn at_ns(&mut self, to_ns: u64) -> Vec<(u64, u64)> {
        let late = Instant::now() + Duration::from_secs(60);
        if to_ns > self.player.read_ns {
            assert!(self.player.read_until(to_ns, &mut self.app, late).unwrap());
        }
        self.app.frozen_ns = Some(to_ns);
        self.app.playback.as_mut().unwrap().is_reading = false;
        self.app.look_at(to_ns);
        let rows = self.app.rows.iter();
        rows.map(|row| (row.cookie(), row.tx_rate)).collect()
    }

    /// Opens the row that is chosen, as the loop does.
    fn open(&mut self) {
        assert_eq!(press(&mut self.app, KeyCode::Enter), Action::Follow);
        let shown = self.app.shown.as_ref().unwrap();
        self.target.replace(Some((shown.row.cookie(), Rc::clone(&shown.history))));
        self.player.rewind(&mut self.app).unwrap();
    }
}

#[test]
fn each_time_has_its_table() {
    let mut replayed = replayed(&recorded("table"));
    assert_eq!((replayed.player.start_ns, replayed.player.end_ns), {
        (START_NS, START_NS + 100 * SECOND)
    });
    // The first of ten samples shows where the traffic begins.
    assert_eq!(replayed.at(1.0), [(1, 9_000)]);
    assert_eq!(replayed.at(50.9), [(1, 10_000)], "the second one's interval is not over");
    assert_eq!(replayed.at(52.0), [(2, 2_000), (1, 10_000)]);
    let row = replayed.app.rows[1].clone();
    assert_eq!((Column::Process.cell(&row), Column::Cc.cell(&row)), {
        ("sender 77".to_owned(), "cubic".to_owned())
    });
    assert_eq!((Column::Cwnd.cell(&row), Column::Srtt.cell(&row)), {
        ("49".to_owned(), "20.5ms".to_owned())
    });
    // Its end is in the interval up to 91 s, and then it is gone.
    assert_eq!(replayed.at(91.0).iter().map(|(of, _)| *of).collect::<Vec<_>>(), [2, 1]);
    assert!(replayed.app.rows[1].is_closed());
    assert_eq!(replayed.at(100.0), [(2, 2_000)]);
    // What is kept is shown without reading again.
    let read_ns = replayed.player.read_ns;
    assert_eq!(replayed.at(52.0), [(2, 2_000), (1, 10_000)]);
    assert_eq!(replayed.player.read_ns, read_ns);
}

/// Over the whole recording, the main cause of each connection is that which `limits -r` prints.
#[test]
fn limits_are_those_of_the_command() {
    let path = recorded("limits");
    let mut replayed = replayed_each(&path, 200 * SECOND);
    replayed.at(100.0);
    assert!(replayed.app.has_limits);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcc-trace"));
    let args = ["limits", "--interval", "200s", "-o", "jsonl", "-q", "-r"];
    let output = command.args(args).arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut compared = 0;
    for row in rows.iter().filter(|row| row["type"] == "summary") {
        let cookie = row["key"]["cookie"].as_u64().unwrap();
        let shown = replayed.app.rows.iter().find(|row| row.cookie() == cookie).unwrap();
        let limit = shown.limit.unwrap();
        let main = row["main"].as_str().unwrap();
        let us = |name: &str| row[name].as_f64().unwrap();
        let percent = us(&format!("{main}_us")) * 100.0 / us("observed_us");
        assert_eq!(limit.name(), main, "{cookie}");
        assert!((limit.percent as f64 - percent).abs() <= 1.0, "{cookie}: {limit:?} {percent}");
        compared += 1;
    }
    assert_eq!(compared, 2, "{text}");
}

/// In each interval, too. The command knows what later events decide of it, so shares differ by what was open then.
#[test]
fn limits_of_each_interval_are_those_of_the_command() {
    let path = recorded("intervals");
    let mut replayed = replayed_each(&path, 10 * SECOND);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcc-trace"));
    let args = ["limits", "--interval", "10s", "-o", "jsonl", "-q", "-r"];
    let output = command.args(args).arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rows: Vec<&Value> = lines.iter().filter(|line| line["type"] == "summary").collect();
    let mut times: Vec<&str> = rows.iter().map(|row| row["time"].as_str().unwrap()).collect();
    times.dedup();
    assert_eq!(times.len(), 10, "{text}");
    let mut compared = 0;
    for (at, time) in (1..).zip(times) {
        replayed.at(f64::from(at) * 10.0);
        for row in rows.iter().filter(|row| row["time"] == *time) {
            let cookie = row["key"]["cookie"].as_u64().unwrap();
            let shown = replayed.app.rows.iter().find(|row| row.cookie() == cookie).unwrap();
            let limit = shown.limit.unwrap_or_else(|| panic!("none of {cookie} at {time}: {row}"));
            let main = row["main"].as_str().unwrap();
            let us = |name: &str| row[name].as_f64().unwrap();
            let percent = us(&format!("{main}_us")) * 100.0 / us("observed_us");
            assert_eq!(limit.name(), main, "{cookie} at {time}: {row}");
            assert!((limit.percent as f64 - percent).abs() <= 3.0, "{limit:?}: {row}");
            compared += 1;
        }
    }
    assert!(compared >= 15, "{compared}: {text}");
}

/// Recordings that other kernels have made: the rows are what the last event of each connection shows.
#[test]
fn other_kernels_recordings_are_replayed() {
    for name in ["linux-5.10.tcc", "linux-7.2.tcc", "linux-6.12-arm64.tcc"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tcc-trace"));
        let args = ["events", "all", "-a", "-o", "jsonl", "-q", "-r"];
        let output = command.args(args).arg(&path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let all: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let samples: Vec<&Value> = all.iter().filter(|line| line["type"] == "probe").collect();
        // One interval has all of it.
        let mut replayed = replayed_each(&path, 1000 * SECOND);
        let (start_ns, end_ns) = (replayed.player.start_ns, replayed.player.end_ns);
        let mono = |sample: &Value| sample["mono_ns"].as_u64().unwrap();
        assert!(samples.iter().all(|sample| (start_ns..=end_ns).contains(&mono(sample))));
        replayed.at_ns(end_ns);
        let mut cookies: Vec<u64> =
            samples.iter().map(|sample| sample["cookie"].as_u64().unwrap()).collect();
        cookies.sort_unstable();
        cookies.dedup();
        assert_eq!(cookies.len(), 4, "{name}: both ends of two connections");
        for cookie in cookies {
            let sample = samples.iter().rfind(|sample| sample["cookie"] == cookie).unwrap();
            let has_values = |event: &&Value| event["srtt_us"].is_u64() && event["type"] != "life";
            let mut values = all.iter().filter(|event| event["cookie"] == cookie);
            let last = values.rfind(has_values).unwrap();
            let row = replayed.app.rows.iter().find(|row| row.cookie() == cookie);
            let row = row.unwrap_or_else(|| panic!("{name}: no row of {cookie}"));
            assert_eq!(row.last.event.tcp.srtt_us, last["srtt_us"].as_u64().unwrap() as u32);
            assert_eq!(u64::from(row.last.event.tcp.snd_cwnd), last["snd_cwnd"]);
            assert_eq!(Column::Cc.cell(row), sample["ca_name"].as_str().unwrap());
            assert!(row.is_closed(), "{name}: {cookie}");
        }
    }
}

/// Reading in small steps, all at once, and again after a rewind show the same.
#[test]
fn reading_again_shows_the_same() {
    let path = recorded("again");
    let (mut one, mut other) = (replayed(&path), replayed(&path));
    for tenth in 1..=1000 {
        one.at(f64::from(tenth) / 10.0);
    }
    other.at(100.0);
    for second in [1.0, 33.0, 60.0, 91.0, 100.0] {
        let now = one.at(second);
        assert_eq!(now, other.at(second), "{second}");
        other.player.rewind(&mut other.app).unwrap();
        assert_eq!(now, other.at(second), "{second}, read again");
    }
}

#[test]
fn a_connection_has_the_history_up_to_that_time() {
    let mut replayed = replayed(&recorded("history"));
    replayed.at(60.0);
    press(&mut replayed.app, KeyCode::Down);
    press(&mut replayed.app, KeyCode::Down);
    replayed.open();
    replayed.at(60.0);
    {
        let shown = replayed.app.shown.as_ref().unwrap();
        let history: &History = &shown.history.borrow();
        // At 0, 0.1 … 60 s.
        assert_eq!((shown.row.cookie(), history.samples), (1, 601));
        let events: Vec<_> = history.events.iter().map(|event| event.event_type).collect();
        assert_eq!(events, ["state", "retransmit", "retransmit"]);
    }
    check("replay", &mut replayed.app);
    replayed.at(95.0);
    let text = lines(&drawn(&mut replayed.app, (120, 40), true));
    assert!(text[0].contains("ended"), "{text:?}");
    // Back: it is open again, and the bar is where it was.
    replayed.at(60.0);
    let text = lines(&drawn(&mut replayed.app, (120, 40), true));
    assert!(text[0].contains("ESTABLISHED") && !text[0].contains("ended"), "{text:?}");
    assert!(text[39].contains("60.00 s of 100.00 s"), "{text:?}");
}

#[test]
fn keys_choose_place_and_speed() {
    let mut replayed = replayed(&recorded("keys"));
    replayed.at(1.0);
    let start = START_NS;
    let app = &mut replayed.app;
    for (key, action) in [
        ('5', Action::Seek(start + 50 * SECOND)),
        ('{', Action::Seek(start)),
        ('}', Action::Seek(start + 100 * SECOND)),
        (',', Action::Nothing),
    ] {
        assert_eq!(press(app, KeyCode::Char(key)), action, "{key}");
    }
    // A step of an interval back from the end.
    assert_eq!(app.frozen_ns, Some(start + 99 * SECOND));
    press(app, KeyCode::Char('.'));
    assert_eq!(app.frozen_ns, Some(start + 100 * SECOND));
    press(app, KeyCode::Char('.'));
    assert_eq!(app.frozen_ns, Some(start + 100 * SECOND), "not beyond the end");
    assert_eq!(press(app, KeyCode::Char(' ')), Action::Seek(start), "it begins again");
    let speed = |app: &App| app.playback.as_ref().unwrap().speed;
    press(app, KeyCode::Char('>'));
    press(app, KeyCode::Char('>'));
    assert_eq!(speed(app), 4.0);
    for _ in 0..40 {
        press(app, KeyCode::Char('<'));
    }
    assert!(speed(app) >= 0.01 && speed(app) < 0.02, "{}", speed(app));
    assert!(lines(&drawn(app, (80, 24), true))[23].contains('x'));
}

/// What samples do not have is shown as missing, not as zero.
#[test]
fn fields_that_were_not_recorded_are_missing() {
    let path = path("standard");
    let mut file = Crafted::with_fields(&path, FieldGroups::default());
    for tick in 0..50 {
        let una = tick as u32 * 1448;
        let sample = Sample { us: tick * 100_000, cwnd: 10, srtt_us: 9, una, ..Sample::default() };
        file.standard_sample(Conn::new(1), sample);
    }
    file.end(5_000_000, 0);
    let mut replayed = replayed(&path);
    replayed.at(4.0);
    let row = replayed.app.rows[0].clone();
    let cells = [Column::Cwnd, Column::Srtt, Column::Tx, Column::Retrans, Column::Ssthresh];
    assert_eq!(cells.map(|column| column.cell(&row)), ["10", "9us", "-", "-", "-"]);
    assert_eq!(Column::Process.cell(&row), "-");
    let mistake = |text: &str| Filter::new(text, &replayed.app.environment).err();
    assert!(mistake("snd_cwnd > 3").is_none());
    let message = mistake("tx_rate > 3").unwrap().message;
    assert!(message.contains("the recording does not have `tx_rate`"), "{message}");
    replayed.open();
    replayed.at(4.0);
    let text = lines(&drawn(&mut replayed.app, (120, 40), true)).join("\n");
    assert!(text.contains("cwnd 10   ssthresh -") && text.contains("in flight -"), "{text}");
    assert!(text.contains("delivery -   tx -   rx -   pacing -"), "{text}");
}

/// A recording is untrusted: whatever its bytes are, nothing panics.
#[test]
fn damaged_recordings_are_read_as_far_as_they_can_be() {
    let bytes = std::fs::read(recorded("whole")).unwrap();
    let path = path("damaged");
    for at in (200..bytes.len()).step_by(997) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x5a;
        damaged.truncate(bytes.len() - at / 7);
        std::fs::write(&path, &damaged).unwrap();
        let config = Config { read: options(&path).read, ..Config::default() };
        let Ok(player) = Player::open(config, SECOND, Target::default()) else { continue };
        let app = replay::app(&options(&path), &player).unwrap();
        let mut replayed = Replayed { app, player, target: Target::default() };
        let end_ns = replayed.player.end_ns;
        let late = Instant::now() + Duration::from_secs(60);
        assert!(replayed.player.read_until(end_ns, &mut replayed.app, late).unwrap());
        replayed.app.look_at(end_ns);
        drawn(&mut replayed.app, (80, 24), true);
    }
}
