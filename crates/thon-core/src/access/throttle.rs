//! How often somebody may be wrong about a password.
//!
//! For: making guesses slow without shutting out who knows the password: each address that was wrong
//! a few times waits, twice as long after each further mistake; and where many addresses guess
//! together, every address waits a little that was never right.
//! Not for: tokens; nobody guesses 32 random bytes.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// How much of something is borne.
#[derive(Debug, Clone, Copy)]
struct Bound {
    /// Mistakes that cost nothing.
    free: u32,
    /// The longest wait.
    longest: Duration,
}

/// Of one address: whoever types a password by hand makes a few mistakes.
const ONE: Bound = Bound { free: 5, longest: Duration::from_mins(15) };

/// Of all together. The wait stays short: it holds for those who know the password, too.
const ALL: Bound = Bound { free: 50, longest: Duration::from_secs(20) };

/// The wait after the first mistake that costs something.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// After so long without a mistake, all is forgotten.
const FORGOTTEN: Duration = Duration::from_hours(1);

/// Addresses that are remembered. Whoever comes from more of them than that is slowed down together
/// with everyone who isn't remembered.
const REMEMBERED: usize = 10_000;

/// Addresses that are remembered for having been right.
const WELCOME: usize = 1_000;

#[derive(Debug, Clone, Copy)]
struct Mistakes {
    count: u32,
    last: SystemTime,
}

impl Mistakes {
    /// How long the next try isn't taken yet.
    fn wait(self, bound: Bound, now: SystemTime) -> Option<Duration> {
        let over = self.count.checked_sub(bound.free)?;
        let doubled = 1_u32.checked_shl(over).unwrap_or(u32::MAX);
        let wait = FIRST_WAIT.saturating_mul(doubled).min(bound.longest);
        // Mistakes of the future are those of a clock that was set back.
        let since = now.duration_since(self.last).ok()?;
        wait.checked_sub(since).filter(|left| !left.is_zero())
    }

    fn is_forgotten(self, now: SystemTime) -> bool {
        now.duration_since(self.last).is_ok_and(|since| since >= FORGOTTEN)
    }

    /// With one more.
    fn and_one(before: Option<Self>, now: SystemTime) -> Self {
        let known = before.filter(|mistakes| !mistakes.is_forgotten(now));
        Self { count: known.map_or(0, |known| known.count).saturating_add(1), last: now }
    }
}

/// What an address is judged together with: itself, or for version 6 the network of 64 bits, which a
/// single machine has for itself.
#[must_use]
pub fn source(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [one, two, three, four, ..] = address.segments();
            format!("{one:x}:{two:x}:{three:x}:{four:x}::/64")
        }
    }
}

/// Who was wrong how often.
#[derive(Debug, Default)]
pub struct Throttle {
    by_source: BTreeMap<String, Mistakes>,
    all: Option<Mistakes>,
    /// Who was right, the latest last: others' guesses cost them nothing.
    welcome: VecDeque<String>,
}

impl Throttle {
    /// Takes a try of `source`, or says how long it has to wait for one. A try that is taken counts
    /// as a mistake until [`Self::right`] says otherwise, so that many at once are as slow as one
    /// after the other.
    pub fn attempt(&mut self, source: &str, now: SystemTime) -> Result<(), Duration> {
        if self.by_source.len() >= REMEMBERED {
            self.by_source.retain(|_, mistakes| !mistakes.is_forgotten(now));
        }
        if let Some(wait) = self.wait(source, now) {
            return Err(wait);
        }
        let known = self.known(source).to_owned();
        let before = self.by_source.get(&known).copied();
        self.by_source.insert(known, Mistakes::and_one(before, now));
        self.all = Some(Mistakes::and_one(self.all, now));
        Ok(())
    }

    /// How long `source` has to wait before its next try is taken; nothing where it may try now.
    #[must_use]
    pub fn wait(&self, source: &str, now: SystemTime) -> Option<Duration> {
        let own = self.by_source.get(self.known(source));
        let own = own.and_then(|mistakes| mistakes.wait(ONE, now));
        let welcome = self.welcome.iter().any(|welcome| welcome == source);
        let all = self.all.filter(|_| !welcome).and_then(|mistakes| mistakes.wait(ALL, now));
        own.max(all)
    }

    /// `source` was right in its last try.
    pub fn right(&mut self, source: &str) {
        self.by_source.remove(source);
        if let Some(all) = &mut self.all {
            all.count = all.count.saturating_sub(1);
        }
        self.welcome.retain(|welcome| welcome != source);
        if self.welcome.len() >= WELCOME {
            self.welcome.pop_front();
        }
        self.welcome.push_back(source.to_owned());
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

    /// Tries until it may not, and says how often that was.
    fn tries(throttle: &mut Throttle, source: &str, now: SystemTime) -> usize {
        (0..REMEMBERED).take_while(|_| throttle.attempt(source, now).is_ok()).count()
    }

    #[test]
    fn a_few_mistakes_are_free_and_each_further_one_costs_twice_as_much() {
        let mut throttle = Throttle::default();
        assert_eq!(tries(&mut throttle, "a", at(0)), 5, "at once, before any was judged");
        let (mut now, mut waits) = (at(0), Vec::new());
        for _ in 0..12 {
            let wait = throttle.attempt("a", now).unwrap_err();
            waits.push(wait.as_secs());
            assert!(throttle.attempt("a", now + wait - Duration::from_millis(1)).is_err());
            now += wait;
            assert_eq!(throttle.attempt("a", now), Ok(()));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(throttle.attempt("b", now), Ok(()), "another one's mistakes cost nothing");
    }

    #[test]
    fn who_was_right_or_waited_long_enough_begins_anew() {
        let mut throttle = Throttle::default();
        tries(&mut throttle, "a", at(0));
        let later = at(FORGOTTEN.as_secs());
        assert_eq!(tries(&mut throttle, "a", later), 5);
        throttle.right("a");
        assert_eq!(tries(&mut throttle, "a", later), 5);
    }

    #[test]
    fn a_clock_that_is_set_back_shuts_nobody_out_and_opens_nothing() {
        let mut throttle = Throttle::default();
        tries(&mut throttle, "a", at(9000));
        assert_eq!(throttle.attempt("a", at(0)), Ok(()));
        assert!(throttle.attempt("a", at(0)).is_err());
    }

    #[test]
    fn many_who_guess_together_are_slowed_down_together_save_who_was_right_before() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.attempt("organizer", at(0)), Ok(()));
        throttle.right("organizer");
        let taken =
            (0..500).filter(|n| throttle.attempt(&format!("guess {n}"), at(0)).is_ok()).count();
        assert_eq!(taken, 50);
        assert_eq!(throttle.attempt("organizer", at(0)), Ok(()));
        // However long they go on, the password is of use to a newcomer after a short wait.
        let mut now = at(0);
        for number in 0..100 {
            now += throttle.wait("newcomer", now).unwrap_or_default();
            let _ = throttle.attempt(&format!("further {number}"), now);
        }
        assert_eq!(throttle.wait("newcomer", now), Some(ALL.longest));
        assert_eq!(throttle.attempt("newcomer", now + ALL.longest), Ok(()));
    }

    #[test]
    fn many_addresses_take_no_more_room() {
        let mut throttle = Throttle::default();
        let mut now = at(0);
        for number in 0..REMEMBERED + 50 {
            // So far apart that they aren't slowed down together.
            throttle.all = None;
            let _ = throttle.attempt(&number.to_string(), now);
            throttle.right(&format!("welcome {number}"));
        }
        assert!(throttle.by_source.len() <= REMEMBERED + 1);
        assert_eq!(throttle.welcome.len(), WELCOME);
        throttle.all = None;
        assert!(throttle.wait("nobody yet", now).is_some());
        assert_eq!(throttle.wait("1", now), None, "who is remembered is judged by itself");
        now += FORGOTTEN;
        assert_eq!(throttle.attempt("nobody yet", now), Ok(()));
        assert_eq!(throttle.by_source.len(), 1);
    }

    #[test]
    fn a_machine_has_one_name_whichever_of_its_addresses_it_uses() {
        let of = |text: &str| source(text.parse().unwrap());
        assert_eq!(of("203.0.113.7"), "203.0.113.7");
        assert_eq!(of("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
