//! What `ss` says of one socket.

use std::collections::BTreeMap;

use super::Netns;

/// Values by ss's names; those in brackets as `skmem.rb`, `bbr.bw`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ss {
    pub text: String,
    values: BTreeMap<String, String>,
}

impl Ss {
    #[track_caller]
    pub fn of(ns: &Netns, sport: u16, dport: u16) -> Self {
        let filter = format!("sport = :{sport} and dport = :{dport}");
        Self::parse(ns.run(&["ss", "-tinmoeH", "state", "established", &filter]))
    }

    /// The one with that cookie: sockets of both families may have the same ports.
    #[track_caller]
    pub fn of_cookie(ns: &Netns, cookie: u64) -> Self {
        let text = ns.run(&["ss", "-OtinmoeH", "state", "established"]);
        let cookie = format!("sk:{cookie:x}");
        let of = |line: &&str| line.split_whitespace().any(|word| word == cookie);
        Self::parse(text.lines().find(of).unwrap_or_default().to_owned())
    }

    fn parse(text: String) -> Self {
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut values = BTreeMap::new();
        for (i, word) in words.iter().enumerate() {
            match word.split_once(':') {
                Some((group, inner)) if inner.starts_with('(') => {
                    for pair in inner.trim_matches(['(', ')']).split(',') {
                        // skmem has no colons.
                        let at = pair
                            .find(|c: char| c == ':' || c.is_ascii_digit())
                            .unwrap_or(pair.len());
                        let (name, value) = pair.split_at(at);
                        values.insert(
                            format!("{group}.{name}"),
                            value.trim_start_matches(':').to_owned(),
                        );
                    }
                }
                Some((name, value)) => drop(values.insert(name.to_owned(), value.to_owned())),
                // `pacing_rate 8000bps`, or a flag.
                None => {
                    let next = words.get(i + 1).filter(|next| next.ends_with("bps"));
                    values.insert((*word).to_owned(), next.map_or("", |next| *next).to_owned());
                }
            }
        }
        Ss { text, values }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub fn has(&self, flag: &str) -> bool {
        self.values.contains_key(flag)
    }

    /// Of `a/b` or `a,b`, all of them; units cut off.
    pub fn numbers(&self, name: &str) -> Option<Vec<f64>> {
        let parts = self.get(name)?.split(['/', ',']);
        let number = |part: &str| {
            let end = part
                .find(|c: char| !(c.is_ascii_digit() || "+-.e".contains(c)))
                .unwrap_or(part.len());
            part[..end].parse().ok()
        };
        parts.map(number).collect()
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.numbers(name)?.first().copied()
    }

    /// A counter, which ss leaves out if it is 0.
    pub fn count(&self, name: &str) -> u64 {
        self.number(name).map_or(0, |number| number as u64)
    }

    /// The second number of `retrans:NOW/EVER`.
    pub fn total_retrans(&self) -> u64 {
        self.numbers("retrans").map_or(0, |numbers| numbers[1] as u64)
    }
}
