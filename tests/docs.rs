//! The documentation says what the program says.

use std::fs;
use std::path::Path;

#[test]
fn the_reference_page_is_what_the_program_prints() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let printed = tcc_trace::cmd::docs::reference();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&page, &printed).unwrap();
    }
    let written = fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == printed,
        "docs/reference.md is out of date: UPDATE=1 cargo test --test docs"
    );
}
