//! Figures of many values.
//!
//! For: percentiles, and the time between what Docker and what this program noted.
//! Not for: printing them.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The value that so many per cent of all don't exceed, by the nearest rank; nothing of nothing.
pub(super) fn percentile(values: &[Duration], per_cent: usize) -> Option<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort();
    let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// A moment as Docker writes it.
pub(super) fn moment(text: &str) -> Option<SystemTime> {
    Some(OffsetDateTime::parse(text, &Rfc3339).ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<Duration> = (1..=20).rev().map(Duration::from_secs).collect();
        let of = |per_cent| percentile(&values, per_cent).unwrap().as_secs();
        assert_eq!((of(0), of(50), of(95), of(99), of(100)), (1, 10, 19, 20, 20));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn moments_of_docker_are_read() {
        let moment = moment("2026-01-02T03:04:05.678901234Z").unwrap();
        let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since, Duration::new(1_767_323_045, 678_901_234));
        assert_eq!(super::moment("yesterday"), None);
    }
}
