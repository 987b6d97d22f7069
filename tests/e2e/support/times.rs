//! Where the seconds of the tests go, and what they compare: TCC_TEST_TIMES names a file, which gets a line for each thing that
//! is waited for or compared. `script/test` adds the seconds of the tests themselves and of the virtual machines.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Instant;

/// From its making to its end.
pub struct Timer {
    what: &'static str,
    start: Instant,
}

impl Timer {
    /// `what`: one word, the first of the line.
    pub fn start(what: &'static str) -> Self {
        Timer { what, start: Instant::now() }
    }

    /// Logs the time since it was made.
    pub fn log(&self, detail: &str) {
        let seconds = self.start.elapsed().as_secs_f64();
        write_line(self.what, &format!("{seconds:.3}"), detail);
    }
}

/// Logs that so many events were held against somebody else's, in so many values together.
pub fn compared(events: usize, values: usize) {
    write_line("compared", &events.to_string(), &values.to_string());
}

/// `WHAT NUMBER TEST DETAIL`
fn write_line(what: &str, number: &str, detail: &str) {
    let Some(path) = std::env::var_os("TCC_TEST_TIMES") else {
        return;
    };
    let thread = std::thread::current();
    let line = format!("{what} {number} {} {detail}\n", thread.name().unwrap_or("?"));
    let file = OpenOptions::new().create(true).append(true).open(path);
    // In one write, as tests run beside each other.
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the file of TCC_TEST_TIMES");
}
