//! Links in the documentation lead somewhere.

mod support;

use std::fs;

use support::{documents, root};

/// The anchors that GitHub makes of headings.
fn anchors(text: &str) -> Vec<String> {
    let headings = outside_code(text).filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

fn outside_code(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let lines = outside_code(text).collect::<Vec<_>>().join("\n");
    lines.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let there = fs::read(&target).ok().or_else(|| target.is_dir().then(Vec::new));
            // A picture has no headings.
            let there = there.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let is_right = there.is_some_and(|text| {
                anchor.is_empty() || anchors(&text).iter().any(|known| known == anchor)
            });
            if !is_right {
                wrong.push(format!("{}: {link}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(count > 20, "{count} links");
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

/// Every page of docs/ can be reached from the README.
#[test]
fn every_page_is_linked() {
    let mut reached = vec![root().join("README.md")];
    let mut at = 0;
    while at < reached.len() {
        let path = reached[at].clone();
        at += 1;
        for link in links(&fs::read_to_string(&path).unwrap()) {
            let file = link.split('#').next().unwrap_or_default();
            let target = path.parent().unwrap().join(file);
            if let Ok(target) = fs::canonicalize(target)
                && target.extension().is_some_and(|e| e == "md")
                && !reached.contains(&target)
            {
                reached.push(target);
            }
        }
    }
    let lost: Vec<_> = documents().into_iter().filter(|page| !reached.contains(page)).collect();
    assert!(lost.is_empty(), "no link leads to {lost:?}");
}
