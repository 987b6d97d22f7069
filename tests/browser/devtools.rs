//! Chromium without a window, driven by its DevTools protocol over a pipe.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};

/// How long a condition is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The browser to test with; without one, the reason is printed.
pub fn chromium(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("TCC_CHROMIUM").map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: {test}: needs Chromium: script/report-test");
    }
    path
}

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    last: u64,
    /// Exceptions and errors of the page.
    pub errors: Vec<String>,
    profile: PathBuf,
}

impl Browser {
    pub fn start(program: &Path, profile: PathBuf) -> Self {
        // The protocol is on descriptors 3 and 4.
        let script = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"#;
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        let mut browser =
            Browser { child, to, from, session: None, last: 0, errors: Vec::new(), profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = browser.call(
            "Target.attachToTarget",
            json!({"targetId": target["targetId"], "flatten": true}),
        );
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.size(1280, 1000);
        browser
    }

    /// Calls a method, and waits for its result.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("the browser runs");
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).expect("the browser runs");
            assert_eq!(bytes.pop(), Some(0), "the browser ended");
            let message: Value = serde_json::from_slice(&bytes).unwrap();
            match message["method"].as_str() {
                Some("Runtime.exceptionThrown") => {
                    self.errors.push(message["params"]["exceptionDetails"].to_string());
                }
                Some("Log.entryAdded") if message["params"]["entry"]["level"] == "error" => {
                    self.errors.push(message["params"]["entry"]["text"].to_string());
                }
                _ => {}
            }
            if message["id"] == self.last {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    pub fn size(&mut self, width: u32, height: u32) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        );
    }

    /// The value of an expression.
    pub fn value(&mut self, expression: &str) -> Value {
        let result = self.call(
            "Runtime.evaluate",
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
        );
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    pub fn text(&mut self, selector: &str) -> String {
        let value = self.value(&format!("document.querySelector({selector:?}).textContent"));
        value.as_str().unwrap().replace('\u{202f}', " ")
    }

    /// Waits until an expression is true; returns how long that took.
    #[track_caller]
    pub fn wait(&mut self, expression: &str) -> Duration {
        let start = Instant::now();
        while self.value(&format!("!!({expression})")) != true {
            assert!(start.elapsed() < PATIENCE, "{expression}: {:?}", self.errors);
        }
        start.elapsed()
    }

    /// Opens a page; returns how long it took until a connection was drawn.
    pub fn open(&mut self, page: &Path, address: &str) -> Duration {
        self.call("Page.navigate", json!({"url": "about:blank"}));
        let start = Instant::now();
        let url = format!("file://{}{address}", page.display());
        self.call("Page.navigate", json!({"url": url}));
        self.wait("document.documentElement?.dataset.shown");
        start.elapsed()
    }

    pub fn mouse(&mut self, event: &str, x: f64, y: f64) {
        let pressed = u8::from(event != "mouseMoved");
        let button = if event == "mouseMoved" { "none" } else { "left" };
        self.call(
            "Input.dispatchMouseEvent",
            json!({"type": event, "x": x, "y": y, "button": button, "clickCount": pressed}),
        );
    }

    pub fn key(&mut self, key: &str) {
        for event in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({"type": event, "key": key}));
        }
    }

    /// A picture of the whole page, for those who want to look at it: in the directory of `TCC_REPORT_PICTURES`.
    pub fn picture(&mut self, name: &str) {
        let Some(dir) = std::env::var_os("TCC_REPORT_PICTURES") else { return };
        let shot = self.call(
            "Page.captureScreenshot",
            json!({"format": "png", "captureBeyondViewport": true}),
        );
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(shot["data"].as_str().unwrap())
            .unwrap();
        std::fs::write(Path::new(&dir).join(format!("{name}.png")), bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
