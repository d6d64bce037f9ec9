//! How much may go wrong in a minute.
//!
//! For: bounding what somebody who isn't let in costs: lines of the audit log, questions to providers.
//! Not for: passwords; guesses of those are slowed down for longer, by [`super::Throttle`].

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// From one address: a whole venue may come from one, and a few of them with a wrong account.
const ONE: u32 = 60;

/// From all together.
const ALL: u32 = 600;

const MINUTE: u64 = 60;

/// What went wrong in the present minute.
#[derive(Debug, Default)]
pub struct Pace {
    minute: u64,
    all: u32,
    by_source: BTreeMap<String, u32>,
}

impl Pace {
    /// Takes something that `source` tries, or says how long it has to wait. What is taken counts as
    /// gone wrong until [`Self::right`] says otherwise.
    pub fn attempt(&mut self, source: &str, now: SystemTime) -> Result<(), Duration> {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.minute != seconds / MINUTE {
            *self = Self { minute: seconds / MINUTE, ..Self::default() };
        }
        let own = self.by_source.get(source).copied().unwrap_or_default();
        if own >= ONE || self.all >= ALL {
            return Err(Duration::from_secs(MINUTE - seconds % MINUTE));
        }
        self.all += 1;
        self.by_source.insert(source.to_owned(), own + 1);
        Ok(())
    }

    /// What `source` tried went well.
    pub fn right(&mut self, source: &str) {
        if let Some(own) = self.by_source.get_mut(source).filter(|own| **own > 0) {
            *own -= 1;
            self.all = self.all.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_goes_wrong_is_bounded_and_what_goes_well_is_not() {
        let mut pace = Pace::default();
        for _ in 0..10 * ALL {
            assert_eq!(pace.attempt("venue", at(600)), Ok(()));
            pace.right("venue");
        }
        let taken = (0..ALL).filter(|_| pace.attempt("eve", at(610)).is_ok()).count();
        assert_eq!(taken, ONE as usize);
        assert_eq!(pace.attempt("eve", at(610)), Err(Duration::from_secs(50)));
        assert_eq!(pace.attempt("venue", at(610)), Ok(()), "others go on");
        assert_eq!(pace.attempt("eve", at(660)), Ok(()), "the next minute is another");
    }

    #[test]
    fn many_addresses_together_are_bounded_and_take_no_more_room() {
        let mut pace = Pace::default();
        let taken = (0..10 * ALL).filter(|n| pace.attempt(&n.to_string(), at(0)).is_ok()).count();
        assert_eq!((taken, pace.by_source.len()), (ALL as usize, ALL as usize));
    }
}
