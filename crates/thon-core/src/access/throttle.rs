//! How often somebody may be wrong about a password.
//!
//! For: making guesses slow without shutting out who knows the password: each address that was wrong
//! a few times waits, twice as long after each further mistake.
//! Not for: tokens; nobody guesses 32 random bytes.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Mistakes that cost nothing: whoever types a password by hand makes them.
const FREE: u32 = 5;

/// The wait after the first mistake that costs something.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_mins(15);

/// After so long without a mistake, all is forgotten.
const FORGOTTEN: Duration = Duration::from_hours(1);

/// Addresses that are remembered. Whoever comes from more of them than that is slowed down together
/// with everyone who isn't remembered.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Mistakes {
    count: u32,
    last: SystemTime,
}

impl Mistakes {
    /// When the next try is taken.
    fn until(self) -> SystemTime {
        let Some(over) = self.count.checked_sub(FREE) else { return self.last };
        let doubled = 1_u32.checked_shl(over).unwrap_or(u32::MAX);
        self.last + FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
    }

    fn is_forgotten(self, now: SystemTime) -> bool {
        now.duration_since(self.last).is_ok_and(|since| since >= FORGOTTEN)
    }
}

/// Who was wrong how often.
#[derive(Debug, Default)]
pub struct Throttle {
    by_source: BTreeMap<String, Mistakes>,
}

impl Throttle {
    /// How long `source` has to wait before its next try is looked at; nothing where it may try now.
    #[must_use]
    pub fn wait(&self, source: &str, now: SystemTime) -> Option<Duration> {
        let mistakes = self.by_source.get(self.known(source))?;
        mistakes.until().duration_since(now).ok().filter(|wait| !wait.is_zero())
    }

    /// `source` was wrong.
    pub fn wrong(&mut self, source: &str, now: SystemTime) {
        if self.by_source.len() >= REMEMBERED {
            self.by_source.retain(|_, mistakes| !mistakes.is_forgotten(now));
        }
        let source = self.known(source).to_owned();
        let entry = self.by_source.entry(source).or_insert(Mistakes { count: 0, last: now });
        let count = if entry.is_forgotten(now) { 0 } else { entry.count };
        *entry = Mistakes { count: count.saturating_add(1), last: now };
    }

    /// `source` was right.
    pub fn right(&mut self, source: &str) {
        self.by_source.remove(source);
    }

    /// The name under which `source` is remembered: the one of all others where there is no room.
    fn known<'a>(&self, source: &'a str) -> &'a str {
        let room = self.by_source.len() < REMEMBERED;
        if room || self.by_source.contains_key(source) { source } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_few_mistakes_are_free_and_each_further_one_costs_twice_as_much() {
        let mut throttle = Throttle::default();
        for _ in 0..FREE - 1 {
            throttle.wrong("a", at(0));
            assert_eq!(throttle.wait("a", at(0)), None);
        }
        let mut waits = Vec::new();
        for _ in 0..4 {
            throttle.wrong("a", at(0));
            waits.push(throttle.wait("a", at(0)).map(|wait| wait.as_secs()));
        }
        assert_eq!(waits, [Some(1), Some(2), Some(4), Some(8)]);
        assert_eq!(throttle.wait("a", at(8)), None);
        assert_eq!(throttle.wait("b", at(0)), None, "another one's mistakes cost nothing");
        for _ in 0..100 {
            throttle.wrong("a", at(0));
        }
        assert_eq!(throttle.wait("a", at(0)), Some(LONGEST_WAIT));
    }

    #[test]
    fn who_was_right_or_waited_long_enough_begins_anew() {
        let mut throttle = Throttle::default();
        for _ in 0..9 {
            throttle.wrong("a", at(0));
        }
        throttle.wrong("a", at(FORGOTTEN.as_secs()));
        assert_eq!(throttle.wait("a", at(FORGOTTEN.as_secs())), None);
        for _ in 0..9 {
            throttle.wrong("a", at(9000));
        }
        throttle.right("a");
        assert_eq!(throttle.wait("a", at(9000)), None);
    }

    #[test]
    fn many_addresses_take_no_more_room_and_are_slowed_down_together() {
        let mut throttle = Throttle::default();
        for number in 0..REMEMBERED + 50 {
            throttle.wrong(&number.to_string(), at(0));
        }
        assert!(throttle.by_source.len() <= REMEMBERED + 1);
        assert!(throttle.wait("nobody yet", at(0)).is_some());
        assert_eq!(throttle.wait("1", at(0)), None, "who is remembered is judged by itself");
    }
}
