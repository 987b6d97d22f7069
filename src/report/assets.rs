//! The parts of the page that are files of their own.

/// uPlot 1.6.32 as published. `tests/report/` checks its hash.
pub const UPLOT: &str = include_str!("assets/uPlot.iife.min.js");
/// Its licence wants to be in all copies.
pub const UPLOT_LICENCE: &str = include_str!("assets/uPlot.LICENSE");
/// The panels, which scripts fill.
pub const STACK: &str = include_str!("assets/stack.html");

const STYLES: [&str; 3] = [
    include_str!("assets/uPlot.min.css"),
    include_str!("assets/page.css"),
    include_str!("assets/panels.css"),
];

/// In the order in which they need each other.
const SCRIPTS: [&str; 12] = [
    include_str!("assets/format.js"),
    include_str!("assets/theme.js"),
    include_str!("assets/data.js"),
    include_str!("assets/decimate.js"),
    include_str!("assets/series.js"),
    include_str!("assets/strips.js"),
    include_str!("assets/marks.js"),
    include_str!("assets/panels.js"),
    include_str!("assets/readout.js"),
    include_str!("assets/events.js"),
    include_str!("assets/overview.js"),
    include_str!("assets/main.js"),
];

#[must_use]
pub fn style() -> String {
    STYLES.concat()
}

/// One scope for all of them.
#[must_use]
pub fn script() -> String {
    format!("(() => {{\n\"use strict\";\n{}}})();", SCRIPTS.concat())
}
