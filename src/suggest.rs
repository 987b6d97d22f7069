//! Suggests a known name for a mistyped one.

/// Similarity from which a name is suggested.
const SIMILAR: f64 = 0.8;

/// `did you mean …?`; the other advice if no known name is similar.
pub fn did_you_mean<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    nearest(name, known)
        .map_or_else(|| otherwise.to_owned(), |near| format!("did you mean `{near}`?"))
}

/// The most similar known name; of equals, the first.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = (SIMILAR, None);
    for other in known {
        let score = similarity(name, other);
        if score > best.0 {
            best = (score, Some(other));
        }
    }
    best.1
}

/// One typing error in a short name, or the last part of a name (`cwnd` of `snd_cwnd`), counts as similar too.
fn similarity(name: &str, known: &str) -> f64 {
    let typed = strsim::jaro_winkler(name, known);
    if known.ends_with(&format!("_{name}")) {
        typed.max(0.9)
    } else if name.len() > 2 && strsim::osa_distance(name, known) == 1 {
        typed.max(0.85)
    } else {
        typed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_suggested() {
        let fields = ["snd_cwnd", "snd_cwnd_max", "srtt_us"];
        assert_eq!(nearest("snd_cwdn", fields), Some("snd_cwnd"));
        assert_eq!(nearest("cwnd", fields), Some("snd_cwnd"));
        assert_eq!(nearest("tpo", ["probe", "top"]), Some("top"));
        assert_eq!(nearest("qq", ["rtt", "cc"]), None);
        assert_eq!(did_you_mean("srtt", fields, ""), "did you mean `srtt_us`?");
        assert_eq!(did_you_mean("qqqq", fields, "see the list"), "see the list");
    }
}
