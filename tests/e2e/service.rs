//! `export` as a service: what the service manager hears, what the journal gets, and the configuration that is read again.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Launch, Scrape, TempDir, Tracer, http, is_root, patience, wait_until};

/// The service manager's end.
struct Manager(UnixDatagram);

impl Manager {
    fn new(dir: &Path) -> Self {
        let socket = UnixDatagram::bind(dir.join("notify")).expect("a socket");
        socket.set_read_timeout(Some(patience())).expect("a socket");
        Manager(socket)
    }

    #[track_caller]
    fn receive(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// The next message but those of the watchdog.
    #[track_caller]
    fn next(&self) -> String {
        loop {
            let text = self.receive();
            if text != "WATCHDOG=1\n" {
                return text;
            }
        }
    }

    #[track_caller]
    fn hears_watchdog(&self) {
        while self.receive() != "WATCHDOG=1\n" {}
    }
}

fn launch(dir: &Path, more: &[&str]) -> Launch {
    let notify = format!("NOTIFY_SOCKET={}", dir.join("notify").display());
    let words = [&["env", &notify, "WATCHDOG_USEC=200000"], more].concat();
    Launch::here().with_tracefs().inside(&words)
}

/// The addresses that it has printed.
fn addresses(tracer: &Tracer) -> Vec<String> {
    let stderr = tracer.stderr();
    let lines = stderr.lines().filter_map(|line| line.split("metrics at http://").nth(1));
    lines.map(|line| line.trim_end_matches("/metrics").to_owned()).collect()
}

#[track_caller]
fn scrape(addr: &str) -> Scrape {
    let request = "GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n";
    Scrape::parse(&http(addr.parse().expect("an address"), request).1)
}

#[test]
fn the_configuration_is_read_again() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let manager = Manager::new(dir.path());
    let (config, prom) = (dir.path().join("export.toml"), dir.path().join("tcc.prom"));
    let write = |text: &str| fs::write(&config, text).expect("a file");
    let metrics = "metrics = 'connections'\n";
    write(&format!("listen = '127.0.0.1:0'\nlabels = 'none'\n{metrics}"));
    let args = ["export", "--config", config.to_str().expect("UTF-8")];
    let mut tracer = Tracer::spawn(&launch(dir.path(), &[]), &args);
    tracer.wait_ready();
    assert_eq!(manager.next(), "READY=1\nSTATUS=metrics at http://127.0.0.1:0/metrics\n");
    manager.hears_watchdog();
    let first = addresses(&tracer);
    let before = scrape(&first[0]);
    let reload = |text: &str, line: &str| {
        write(text);
        let printed = |line: &str| {
            let stderr = tracer.stderr();
            stderr.lines().filter(|printed| printed.starts_with(line)).count()
        };
        let earlier = printed(line);
        tracer.signal(Signal::HUP);
        let started = manager.next();
        assert!(started.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{started}");
        let ready = manager.next();
        assert!(ready.starts_with("READY=1\nSTATUS=metrics at "), "{ready}");
        wait_until(line, || printed(line) > earlier);
        ready
    };
    // Another address beside the first, and a file.
    let file = prom.display();
    let status = reload(
        &format!(
            "listen = ['127.0.0.1:0', '[::1]:0']\ntextfile = '{file}'\ninterval = '50ms'\nlabels = 'none'\n{metrics}"
        ),
        "tcc-trace: note: the configuration was read again",
    );
    assert!(status.contains(&format!("http://[::1]:0/metrics, {file}")), "{status}");
    let both = addresses(&tracer);
    assert_eq!((both.len(), &both[0]), (2, &first[0]));
    // Counting has not begun anew.
    both.iter().for_each(|addr| scrape(addr).check_grown_from(&before));
    wait_until("the file", || prom.exists());
    // What the programs were loaded with cannot change.
    reload(
        &format!("listen = '127.0.0.1:0'\nlabels = 'cc'\n{metrics}"),
        "tcc-trace: warning: the configuration stays: --labels cannot change while tracing; restart instead",
    );
    reload(
        "listen = 1\n",
        &format!("tcc-trace: warning: the configuration stays: {}:1:10: ", config.display()),
    );
    both.iter().for_each(|addr| drop(scrape(addr)));
    // Without the first address and the file.
    reload(
        &format!("listen = '[::1]:0'\nlabels = 'none'\n{metrics}"),
        "tcc-trace: note: the configuration was read again",
    );
    scrape(&both[1]).check_grown_from(&before);
    let gone = both[0].parse().expect("an address");
    assert!(std::net::TcpStream::connect_timeout(&gone, Duration::from_secs(5)).is_err());
    assert!(!prom.exists());
    tracer.signal(Signal::TERM);
    assert_eq!(manager.next(), "STOPPING=1\n");
    let output = tracer.wait_raw();
    assert!(output.status.success(), "{}", output.stderr);
}

/// Lines with priorities, without a name and without times.
#[test]
fn the_journal_gets_priorities() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    // JOURNAL_STREAM names the file of standard error.
    let script = r#"JOURNAL_STREAM=$(stat -L -c %d:%i /dev/fd/2) exec "$0" "$@""#;
    let words = launch(dir.path(), &["sh", "-c", script]);
    let missing = dir.path().join("missing/tcc.prom");
    let file = missing.to_str().expect("UTF-8");
    let args = ["export", "--textfile", file, "--listen", "127.0.0.1:0"];
    let mut tracer = Tracer::spawn(&words, &args);
    tracer.wait_for_line("<6>metrics at http://127.0.0.1:");
    tracer.wait_for_line("<6>tracing ");
    tracer.wait_for_line(&format!("<4>warning: cannot write {file}"));
    tracer.signal(Signal::TERM);
    let output = tracer.wait_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let has_priority = |line: &str| line.starts_with('<') && line.get(2..3) == Some(">");
    assert!(output.stderr.lines().all(has_priority), "{}", output.stderr);
    assert!(!output.stderr.contains("Ctrl-C"), "{}", output.stderr);
    // Mistakes of the unit, and of the configuration: each line is an error.
    for args in [&["export", "--lable", "cc"][..], &["export", "-w", "x.tcc", "--detail", "a ="]] {
        let output = Tracer::spawn(&words, args).wait_raw();
        assert_eq!(output.status.code(), Some(2), "{}", output.stderr);
        let is_error = |line: &str| line.starts_with("<3>");
        assert!(output.stderr.lines().all(is_error), "{}", output.stderr);
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("its address").to_string();
    let output = Tracer::spawn(&words, &["export", "--listen", &addr]).wait_raw();
    assert!(output.stderr.starts_with(&format!("<3>--listen {addr}: ")), "{}", output.stderr);
}
