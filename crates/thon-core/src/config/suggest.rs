//! "Did you mean …?"
//!
//! For: finding the known word that a mistyped one was most likely meant to be.
//! Not for: accepting anything but the exact word.

/// The known word closest to `typed`, where one is close enough to be worth naming: at most a third
/// of its characters (and one at least) inserted, dropped, replaced or swapped with a neighbour.
#[must_use]
pub(crate) fn closest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed: Vec<char> = typed.to_lowercase().chars().take(64).collect();
    known
        .into_iter()
        .map(|word| (distance(&typed, &word.chars().collect::<Vec<_>>()), word))
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How an error line goes on after naming an unknown word: the likely one, or the first of all.
#[must_use]
pub(crate) fn hint<'a>(typed: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    const SHOWN: usize = 16;
    if let Some(word) = closest(typed, known.clone()) {
        return format!("; did you mean `{word}`?");
    }
    let all: Vec<&str> = known.into_iter().collect();
    if all.is_empty() {
        return "; there are none".to_owned();
    }
    let listed =
        all.iter().take(SHOWN).map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let more = all.len().checked_sub(SHOWN).filter(|rest| *rest > 0);
    let more = more.map_or_else(String::new, |rest| format!(" and {rest} more"));
    format!("; known are {listed}{more}")
}

/// Edits that lead from one word to the other; two neighbours swapped count as one (the optimal
/// string alignment distance).
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, left) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, right) in to.iter().enumerate() {
            let replaced = last[column] + usize::from(left != right);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped =
                row > 0 && column > 0 && *left == to[column - 1] && from[row - 1] == *right;
            if swapped {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_recognised() {
        let known = ["sandbox", "nginx", "groups", "gateway"];
        assert_eq!(closest("sanbox", known), Some("sandbox"));
        assert_eq!(closest("Sandbox", known), Some("sandbox"));
        assert_eq!(closest("gropus", known), Some("groups"));
        assert_eq!(closest("ngnix", known), Some("nginx"));
        assert_eq!(closest("kubernetes", known), None);
        assert_eq!(closest("", known), None);
    }

    #[test]
    fn without_a_likely_word_the_known_ones_are_listed() {
        assert_eq!(hint("kubernetes", ["a", "b"]), "; known are `a`, `b`");
        assert_eq!(hint("x-y-z", []), "; there are none");
    }
}
