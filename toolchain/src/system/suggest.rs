//! "did you mean …?"

use alloc::{format, string::String, vec::Vec};

/// The candidate nearest to `word`, if one is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // names are short; what is not must not cost a quadratic amount of time
    if word.len() > 128 {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 128)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A help line that names the nearest candidate, or else all of them.
pub(crate) fn help<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(near) = nearest(word, candidates.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let all: Vec<&str> = candidates.into_iter().collect();
    match all[..] {
        [] => None,
        [one] => Some(format!("there is only `{one}`")),
        _ if all.len() <= 24 => Some(format!("there are `{}`", all.join("`, `"))),
        _ => None,
    }
}

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours, each counting one.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, ca) in a.chars().flat_map(char::to_lowercase).enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, cb) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(ca != *cb)).min(last[j + 1] + 1).min(row[j] + 1);
            if j > 0 && previous == Some(*cb) && ca == b[j - 1] {
                best = best.min(before.get(j - 1).copied().unwrap_or(usize::MAX - 1) + 1);
            }
            row.push(best);
        }
        before = core::mem::replace(&mut last, row);
        previous = Some(ca);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("memroy", "memory", 1),
            ("Box", "box", 0),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn only_what_is_near() {
        let keys = ["memory", "cpu", "component"];
        assert_eq!(nearest("memroy", keys), Some("memory"));
        assert_eq!(nearest("components", keys), Some("component"));
        assert_eq!(nearest("cpus", keys), Some("cpu"));
        assert_eq!(nearest("storage", keys), None);
        assert_eq!(help("storage", keys).unwrap(), "there are `memory`, `cpu`, `component`");
    }
}
