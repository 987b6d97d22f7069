//! Where the seconds of the tests go: TCC_TEST_TIMES names a file, which gets a line for each thing that is waited for.
//! `script/test` adds those of the tests themselves and of the virtual machines.

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
        let Some(path) = std::env::var_os("TCC_TEST_TIMES") else {
            return;
        };
        let seconds = self.start.elapsed().as_secs_f64();
        let thread = std::thread::current();
        let line =
            format!("{} {seconds:.3} {} {detail}\n", self.what, thread.name().unwrap_or("?"));
        let file = OpenOptions::new().create(true).append(true).open(path);
        // In one write, as tests run beside each other.
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("the file of TCC_TEST_TIMES");
    }
}
