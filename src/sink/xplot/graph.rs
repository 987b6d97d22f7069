//! The lines of one graph.

use std::io::Write;
use std::mem::take;

/// Colours, as tcptrace uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    /// Data that is sent.
    White,
    /// What is acknowledged.
    Green,
    /// What the peer's window permits.
    Yellow,
    Red,
    Purple,
    Orange,
}

impl Color {
    fn name(self) -> &'static str {
        match self {
            Color::White => "white",
            Color::Green => "green",
            Color::Yellow => "yellow",
            Color::Red => "red",
            Color::Purple => "purple",
            Color::Orange => "orange",
        }
    }
}

/// A line of steps: its last value, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Steps(Option<(u64, i64)>);

/// A graph that is being drawn.
#[derive(Default)]
pub(super) struct Graph {
    lines: Vec<u8>,
    color: Option<Color>,
    /// The last `snd_una`, from which other numbers are not far.
    last_seq: Option<i64>,
    una: Steps,
    nxt: Steps,
    window: Steps,
}

impl Graph {
    /// With a title if it is a new one.
    pub fn new(title: Option<String>) -> Self {
        let mut graph = Graph::default();
        if let Some(title) = title {
            let title = title.replace(" > ", "_==>_");
            let head = format!(
                "timeval double\ntitle\n{title} (time sequence graph)\nxlabel\ntime\nylabel\nsequence number\n"
            );
            graph.lines.extend_from_slice(head.as_bytes());
        }
        graph
    }

    /// Bytes of lines that were not taken.
    pub fn len(&self) -> u64 {
        self.lines.len() as u64
    }

    pub fn take(&mut self) -> Vec<u8> {
        take(&mut self.lines)
    }

    /// The sequence number without its wraps at 2^32.
    fn unwrapped(&mut self, seq: u32) -> i64 {
        let last = *self.last_seq.get_or_insert(seq.into());
        last + i64::from(seq.wrapping_sub(last as u32).cast_signed())
    }

    fn color(&mut self, color: Color) {
        if self.color.replace(color) != Some(color) {
            self.lines.extend_from_slice(color.name().as_bytes());
            self.lines.push(b'\n');
        }
    }

    fn line(&mut self, from: (u64, i64), to: (u64, i64)) {
        self.lines.extend_from_slice(b"line");
        for (time, value) in [from, to] {
            self.point(time, value);
        }
        self.lines.push(b'\n');
    }

    /// A time as seconds with µs, and a value.
    fn point(&mut self, ns: u64, value: i64) {
        let us = ns / 1000;
        // Writing to a Vec does not fail.
        let _ = write!(self.lines, " {}.{:06} {value}", us / 1_000_000, us % 1_000_000);
    }

    /// What the connection's sequence numbers are now.
    pub fn state(&mut self, now: u64, una: u32, nxt: u32, wnd: u32) {
        let una = self.unwrapped(una);
        self.last_seq = Some(una);
        let nxt = una + i64::from(nxt.wrapping_sub(una as u32));
        let window = una + i64::from(wnd);
        for (color, value) in [(Color::Green, una), (Color::White, nxt), (Color::Yellow, window)] {
            let steps = self.steps(color);
            let Some((since, old)) = steps.0 else {
                steps.0 = Some((now, value));
                continue;
            };
            if old != value {
                steps.0 = Some((now, value));
                self.color(color);
                self.line((since, old), (now, old));
                self.line((now, old), (now, value));
            }
        }
    }

    fn steps(&mut self, color: Color) -> &mut Steps {
        match color {
            Color::Green => &mut self.una,
            Color::Yellow => &mut self.window,
            _ => &mut self.nxt,
        }
    }

    /// Data with a text above it.
    pub fn segment(&mut self, now: u64, color: Color, seq: u32, len: u32, text: &str) {
        let from = self.unwrapped(seq);
        let to = from + i64::from(len);
        self.color(color);
        for (arrow, at) in [("darrow", from), ("uarrow", to)] {
            self.mark(arrow, now, at);
        }
        self.line((now, from), (now, to));
        if !text.is_empty() {
            self.above(now, to, text);
        }
    }

    /// A cross with a text above it.
    pub fn cross(&mut self, now: u64, seq: u32, text: &str) {
        let at = self.unwrapped(seq);
        self.color(Color::Orange);
        self.mark("x", now, at);
        self.above(now, at, text);
    }

    /// A text above the data that was sent.
    pub fn text(&mut self, now: u64, text: &str) {
        let at = self.nxt.0.map(|(_, value)| value).or(self.last_seq).unwrap_or(0);
        self.color(Color::Red);
        self.above(now, at, text);
    }

    fn mark(&mut self, what: &str, now: u64, at: i64) {
        self.lines.extend_from_slice(what.as_bytes());
        self.point(now, at);
        self.lines.push(b'\n');
    }

    fn above(&mut self, now: u64, at: i64, text: &str) {
        self.mark("atext", now, at);
        self.lines.extend_from_slice(text.as_bytes());
        self.lines.push(b'\n');
    }

    /// Draws the lines up to the last event.
    pub fn close(&mut self, now: u64) {
        for color in [Color::Green, Color::White, Color::Yellow] {
            if let Some((since, value)) = self.steps(color).0.take() {
                self.color(color);
                self.line((since, value), (now.max(since), value));
            }
        }
    }

    /// Nothing follows.
    pub fn end(&mut self) {
        self.lines.extend_from_slice(b"go\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(graph: &mut Graph) -> Vec<String> {
        String::from_utf8(graph.take()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn values_are_drawn_as_steps() {
        let mut graph = Graph::new(Some("a > b".to_owned()));
        assert_eq!(
            lines(&mut graph)[..3],
            ["timeval double", "title", "a_==>_b (time sequence graph)"]
        );
        graph.state(1_000_000, 100, 200, 1000);
        graph.state(2_000_000, 100, 300, 1000);
        graph.state(3_500_500, 200, 300, 900);
        graph.close(4_000_000);
        graph.end();
        let expected = [
            "white",
            "line 0.001000 200 0.002000 200",
            "line 0.002000 200 0.002000 300",
            "green",
            "line 0.001000 100 0.003500 100",
            "line 0.003500 100 0.003500 200",
            "line 0.003500 200 0.004000 200",
            "white",
            "line 0.002000 300 0.004000 300",
            "yellow",
            "line 0.001000 1100 0.004000 1100",
            "go",
        ];
        assert_eq!(lines(&mut graph), expected);
    }

    #[test]
    fn numbers_continue_where_they_wrap() {
        let mut graph = Graph::new(None);
        graph.state(0, u32::MAX - 9, 20, 5000);
        graph.segment(1000, Color::Red, 0, 10, "R");
        graph.cross(2000, u32::MAX, "D");
        graph.state(3000, 10, 20, 5000);
        let wrapped = 1_u64 << 32;
        let lines = lines(&mut graph);
        assert!(
            lines.contains(&format!("line 0.000001 {wrapped} 0.000001 {}", wrapped + 10)),
            "{lines:?}"
        );
        assert!(lines.contains(&format!("atext 0.000001 {}", wrapped + 10)), "{lines:?}");
        assert!(lines.contains(&format!("x 0.000002 {}", wrapped - 1)), "{lines:?}");
        let [old, new] = [wrapped - 10, wrapped + 10];
        assert!(lines.contains(&format!("line 0.000003 {old} 0.000003 {new}")), "{lines:?}");
    }
}
