//! Names that nobody has yet.
//!
//! For: two people whose names come to the same slug.
//! Not for: what a slug is; see [`crate::name`].

use crate::name::MAX_LENGTH;

/// `base`, `base-2`, `base-3`, … each at most as long as a slug may be.
pub(super) fn candidates(base: &str) -> impl Iterator<Item = String> + '_ {
    (1_u32..).map(move |number| {
        if number == 1 {
            return base.to_owned();
        }
        let suffix = format!("-{number}");
        let kept: String = base.chars().take(MAX_LENGTH - suffix.len()).collect();
        format!("{}{suffix}", kept.trim_end_matches('-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Username;

    #[test]
    fn every_candidate_is_a_name_of_its_own() {
        let base = "x".repeat(30) + "-y";
        let names: Vec<String> = candidates(&base).take(120).collect();
        assert_eq!(names[0], base);
        assert_eq!(names[1], "x".repeat(30) + "-2");
        assert!(names.iter().all(|name| Username::new(name.as_str()).is_ok()));
        let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
