//! Idleness: since when nobody has used an instance.
//!
//! For: the one rule behind `sandbox.idle`: an instance is idle once there was neither a browser nor
//! work in it for a while. Whatever can't be told counts as use.
//! Not for: looking, waiting, or what becomes of those who are idle.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::name::UserId;
use crate::sandbox::SandboxId;

/// From this share of one core on, in percent, an instance works, browser or not: a training or a
/// build that somebody left running. A code-server that waits stays below.
pub const WORK_PERCENT: u32 = 2;

/// An instance that was not looked at for longer than this may have been anything meanwhile, paused
/// and resumed too: its time counts from now.
pub const BLIND: Duration = Duration::from_mins(10);

/// What one look at a running instance tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Whose.
    pub user: UserId,
    /// Which sandbox.
    pub id: SandboxId,
    /// When a browser was last there, as its code-server knows it.
    pub heartbeat: Option<SystemTime>,
    /// The CPU time that it has used since its start; nothing where that can't be told.
    pub cpu: Option<Duration>,
}

/// What is remembered of an instance from look to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which sandbox.
    pub id: SandboxId,
    /// When it was looked at.
    pub looked_at: SystemTime,
    /// When it was last used, as far as is known.
    pub active_at: SystemTime,
    /// The CPU time that it had used by then.
    pub cpu: Option<Duration>,
}

/// What is remembered of all running instances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger(pub BTreeMap<UserId, Seen>);

impl Ledger {
    /// Takes a look down. Whoever isn't among those who run is forgotten: paused, stopped or removed,
    /// their time counts anew once they run again.
    pub fn look(&mut self, samples: &[Sample], now: SystemTime) {
        let before = std::mem::take(&mut self.0);
        for sample in samples {
            let seen = before.get(&sample.user).filter(|seen| seen.id == sample.id);
            let rested = seen.filter(|seen| rested(seen, sample, now)).map(|seen| seen.active_at);
            // A heart that beats in the future is a clock that was set.
            let heartbeat = sample.heartbeat.map(|heartbeat| heartbeat.min(now));
            let active_at = rested.max(heartbeat).filter(|_| rested.is_some()).unwrap_or(now);
            let (id, cpu) = (sample.id.clone(), sample.cpu);
            self.0.insert(sample.user.clone(), Seen { id, looked_at: now, active_at, cpu });
        }
    }

    /// When this sandbox of `user` was last used, by what is remembered.
    #[must_use]
    pub fn active_at(&self, user: &UserId, id: &SandboxId) -> Option<SystemTime> {
        self.0.get(user).filter(|seen| seen.id == *id).map(|seen| seen.active_at)
    }
}

/// True if it is certain that an instance did not work between two looks.
fn rested(seen: &Seen, sample: &Sample, now: SystemTime) -> bool {
    let Ok(between) = now.duration_since(seen.looked_at) else { return false };
    let used = seen.cpu.zip(sample.cpu).and_then(|(before, now)| now.checked_sub(before));
    used.is_some_and(|used| between <= BLIND && used * 100 <= between * WORK_PERCENT)
}

/// How long an instance has been idle, if it has for at least `after`.
#[must_use]
pub fn idle_for(active_at: SystemTime, after: Duration, now: SystemTime) -> Option<Duration> {
    now.duration_since(active_at).ok().filter(|unused| *unused >= after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_000_000;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(START + seconds)
    }

    fn user() -> UserId {
        "alpha/ada".parse().unwrap()
    }

    fn sample(heartbeat: Option<u64>, cpu_ms: Option<u64>) -> Sample {
        Sample {
            user: user(),
            id: SandboxId("one".to_owned()),
            heartbeat: heartbeat.map(at),
            cpu: cpu_ms.map(Duration::from_millis),
        }
    }

    /// When it was last used after these looks, each at its second.
    fn last(looks: &[(u64, Sample)]) -> SystemTime {
        let mut ledger = Ledger::default();
        for (second, sample) in looks {
            ledger.look(std::slice::from_ref(sample), at(*second));
        }
        ledger.active_at(&user(), &SandboxId("one".to_owned())).unwrap()
    }

    #[test]
    fn neither_a_browser_nor_work_is_idleness() {
        let quiet = sample(Some(20), Some(5000));
        let looks = [(10, quiet.clone()), (40, quiet.clone()), (70, quiet)];
        assert_eq!(last(&looks), at(20));
        assert_eq!(
            idle_for(at(20), Duration::from_secs(50), at(70)),
            Some(Duration::from_secs(50))
        );
        assert_eq!(idle_for(at(20), Duration::from_secs(51), at(70)), None);
        assert_eq!(idle_for(at(20), Duration::ZERO, at(10)), None);
    }

    #[test]
    fn a_browser_is_use_and_so_is_work_without_one() {
        let looks = [(0, sample(None, Some(0))), (30, sample(Some(29), Some(0)))];
        assert_eq!(last(&looks), at(29));
        // 2 % of half a minute are 600 ms.
        let looks = [(0, sample(None, Some(0))), (30, sample(None, Some(600)))];
        assert_eq!(last(&looks), at(0));
        let looks = [(0, sample(None, Some(0))), (30, sample(None, Some(601)))];
        assert_eq!(last(&looks), at(30));
    }

    #[test]
    fn what_cannot_be_told_counts_as_use() {
        for second in [sample(None, None), sample(None, Some(90))] {
            // Unknown, or begun anew.
            assert_eq!(last(&[(0, sample(None, Some(100))), (30, second)]), at(30));
        }
        let late = BLIND.as_secs() + 1;
        let quiet = sample(None, Some(0));
        assert_eq!(last(&[(0, quiet.clone()), (late, quiet.clone())]), at(late));
        // The clock was set back.
        assert_eq!(last(&[(50, quiet.clone()), (20, quiet)]), at(20));
        let early = sample(Some(900), Some(0));
        assert_eq!(last(&[(0, early.clone()), (30, early)]), at(30));
    }

    #[test]
    fn who_did_not_run_meanwhile_begins_anew() {
        let mut ledger = Ledger::default();
        let quiet = sample(None, Some(0));
        ledger.look(std::slice::from_ref(&quiet), at(0));
        ledger.look(&[], at(30));
        assert_eq!(ledger, Ledger::default());
        ledger.look(std::slice::from_ref(&quiet), at(60));
        assert_eq!(ledger.0[&user()].active_at, at(60));
        let other = Sample { id: SandboxId("two".to_owned()), ..quiet };
        ledger.look(&[other], at(90));
        assert_eq!(ledger.0[&user()].active_at, at(90));
    }

    proptest! {
        /// Whatever is seen, nobody counts as idle for longer than they were really without a
        /// browser and without work.
        #[test]
        fn use_is_never_forgotten(
            looks in prop::collection::vec((1_u64..900, prop::option::of(0_u64..100), 0_u64..4000), 1..30),
        ) {
            let (mut ledger, mut now, mut cpu, mut used) = (Ledger::default(), 0, 0, 0);
            for (index, (pause, browser_ago, work)) in looks.into_iter().enumerate() {
                now += pause;
                cpu += work;
                let heartbeat = browser_ago.map(|ago| now.saturating_sub(ago));
                used = used.max(heartbeat.unwrap_or(0));
                if index == 0 || work * 100 > pause * 1000 * u64::from(WORK_PERCENT) {
                    used = now;
                }
                ledger.look(&[sample(heartbeat, Some(cpu))], at(now));
                let seen = &ledger.0[&user()];
                prop_assert!(seen.active_at >= at(used));
                prop_assert!(seen.active_at <= at(now) && seen.looked_at == at(now));
            }
        }
    }
}
