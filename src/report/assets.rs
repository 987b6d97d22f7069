//! The parts of the page that are files of their own.

use super::html::escape;

/// uPlot 1.6.32 as published. `tests/report/` checks its hash.
const UPLOT: &str = include_str!("assets/uPlot.iife.min.js");
/// Its licence wants to be in all copies.
const UPLOT_LICENCE: &str = include_str!("assets/uPlot.LICENSE");
/// The panels, which scripts fill.
pub const STACK: &str = include_str!("assets/stack.html");
/// The overlays of a comparison.
pub const OVERLAYS: &str = include_str!("assets/overlays.html");

const STYLES: [&str; 4] = [
    include_str!("assets/uPlot.min.css"),
    include_str!("assets/page.css"),
    include_str!("assets/panels.css"),
    include_str!("assets/compare.css"),
];

/// In the order in which they need each other.
const SCRIPTS: [&str; 13] = [
    include_str!("assets/format.js"),
    include_str!("assets/theme.js"),
    include_str!("assets/data.js"),
    include_str!("assets/decimate.js"),
    include_str!("assets/series.js"),
    include_str!("assets/variables.js"),
    include_str!("assets/strips.js"),
    include_str!("assets/marks.js"),
    include_str!("assets/panels.js"),
    include_str!("assets/readout.js"),
    include_str!("assets/events.js"),
    include_str!("assets/overview.js"),
    include_str!("assets/main.js"),
];

/// What a page begins with. It may not load anything.
#[must_use]
pub fn head(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>{}</title>\n<style>{}</style></head><body>\n",
        escape(title),
        STYLES.concat()
    )
}

/// The scripts at a page's end.
#[must_use]
pub fn scripts(own: &str) -> String {
    format!("<script>/*! uPlot 1.6.32\n{UPLOT_LICENCE}*/\n{UPLOT}</script>\n<script>{own}</script>")
}

/// That of the panels; one scope for all files.
#[must_use]
pub fn script() -> String {
    scope(&SCRIPTS.concat())
}

/// That of a comparison.
#[must_use]
pub fn compare_script() -> String {
    scope(&[&SCRIPTS[..5], &[include_str!("assets/compare.js")]].concat().concat())
}

fn scope(script: &str) -> String {
    format!("(() => {{\n\"use strict\";\n{script}}})();")
}
