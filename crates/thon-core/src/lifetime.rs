//! Lifetimes: when an instance's time is up, and what is due then.
//!
//! For: the rule behind `sandbox.timeout_minutes`: who gets which end, who is stopped now, and who
//! is told beforehand; and who has been idle for too long.
//! Not for: looking, stopping or waiting; what idle means is in [`crate::idle`].

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::idle::{Ledger, idle_for};
use crate::name::UserId;
use crate::sandbox::{ObservedSandbox, Phase};
use crate::seat::Seat;

/// How long before its end an instance's end is announced.
pub const NOTICE: Duration = Duration::from_mins(10);

/// The end that a run gives an instance: one that lies ahead stays, so that a run does not prolong
/// what runs; one that has passed is followed by a whole lifetime, because whoever runs it again
/// wants it to run.
#[must_use]
pub fn end(
    present: Option<SystemTime>,
    lifetime: Option<Duration>,
    now: SystemTime,
) -> Option<SystemTime> {
    let lifetime = lifetime?;
    present.filter(|end| *end > now).or_else(|| now.checked_add(lifetime))
}

/// An end that lies `by` later. Counted from now where it has passed already: whoever is given half
/// an hour more has half an hour.
#[must_use]
pub fn extended(present: SystemTime, by: Duration, now: SystemTime) -> Option<SystemTime> {
    present.max(now).checked_add(by)
}

/// What is due at one look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// Those whose time is up and who still run.
    pub stop: Vec<UserId>,
    /// Those who run and whose time is nearly up, with their end.
    pub notice: BTreeMap<UserId, SystemTime>,
    /// Those who run and are idle, with when they were last used. Whoever is stopped anyway isn't
    /// among them.
    pub idle: BTreeMap<UserId, SystemTime>,
}

/// What is due now for what was seen. Whoever was not seen, or is down already, is left alone.
#[must_use]
pub fn due(
    observed: &[ObservedSandbox],
    seats: &[Seat],
    ledger: &Ledger,
    idle_after: Duration,
    now: SystemTime,
) -> Due {
    let mut due = Due::default();
    for seat in seats {
        let runs = observed.iter().any(|sandbox| sandbox.user == seat.user && is_up(sandbox.phase));
        let Some(end) = seat.expires_at.filter(|_| runs) else { continue };
        if end <= now {
            due.stop.push(seat.user.clone());
        } else if end.duration_since(now).is_ok_and(|left| left <= NOTICE) {
            due.notice.insert(seat.user.clone(), end);
        }
    }
    for sandbox in observed.iter().filter(|sandbox| sandbox.phase == Phase::Running) {
        let active_at = ledger.active_at(&sandbox.user, &sandbox.id);
        let idle = active_at.filter(|at| idle_for(*at, idle_after, now).is_some());
        if let Some(active_at) = idle.filter(|_| !due.stop.contains(&sandbox.user)) {
            due.idle.insert(sandbox.user.clone(), active_at);
        }
    }
    due
}

const fn is_up(phase: Phase) -> bool {
    matches!(phase, Phase::Running | Phase::Restarting | Phase::Paused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::idle::Seen;
    use crate::testing::fixture;

    const IDLE_AFTER: Duration = Duration::from_mins(30);
    const LIFETIME: Option<Duration> = Some(Duration::from_hours(1));

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn scene(ends: &[Option<u64>]) -> (Vec<ObservedSandbox>, Vec<Seat>) {
        let specs = fixture::specs(ends.len());
        let seat = |(spec, end): (&crate::sandbox::SandboxSpec, &Option<u64>)| Seat {
            user: spec.user.clone(),
            code_port: spec.code_port,
            host_port: spec.host_port,
            public_port: None,
            password: None,
            expires_at: end.map(at),
        };
        let seats = specs.iter().zip(ends).map(seat).collect();
        (specs.iter().map(fixture::running).collect(), seats)
    }

    #[test]
    fn a_run_prolongs_nothing_that_runs_and_renews_what_is_over() {
        assert_eq!(end(None, LIFETIME, at(100)), Some(at(3700)));
        assert_eq!(end(Some(at(200)), LIFETIME, at(100)), Some(at(200)));
        assert_eq!(end(Some(at(100)), LIFETIME, at(100)), Some(at(3700)));
        assert_eq!(end(Some(at(200)), None, at(100)), None);
    }

    #[test]
    fn half_an_hour_more_is_half_an_hour_whether_it_is_over_or_not() {
        let more = Duration::from_mins(30);
        assert_eq!(extended(at(500), more, at(100)), Some(at(2300)));
        assert_eq!(extended(at(50), more, at(100)), Some(at(1900)));
    }

    #[test]
    fn the_end_is_announced_once_it_is_near() {
        let (observed, seats) = scene(&[Some(10_600), Some(10_601), None]);
        let due = due(&observed, &seats, &Ledger::default(), IDLE_AFTER, at(10_000));
        assert_eq!(
            due.notice.into_iter().collect::<Vec<_>>(),
            [(seats[0].user.clone(), at(10_600))]
        );
        assert!(due.stop.is_empty());
    }

    proptest! {
        #[test]
        fn nobody_is_stopped_before_their_time_or_without_being_seen_up(
            ends in prop::collection::vec(prop::option::of(0_u64..100_000), 0..20),
            hidden in prop::collection::vec(any::<bool>(), 20),
            down in prop::collection::vec(any::<bool>(), 20),
            now in 0_u64..100_000,
            unused in 0_u64..4000,
        ) {
            let (mut observed, seats) = scene(&ends);
            for (sandbox, down) in observed.iter_mut().zip(&down) {
                if *down { sandbox.phase = Phase::Exited; }
            }
            let seen = |sandbox: &ObservedSandbox| Seen {
                id: sandbox.id.clone(),
                looked_at: at(now),
                active_at: at(now.saturating_sub(unused)),
                cpu: None,
            };
            let ledger = Ledger(observed.iter().map(|s| (s.user.clone(), seen(s))).collect());
            let mut hidden = hidden.into_iter();
            observed.retain(|_| !hidden.next().unwrap_or(false));
            let due = due(&observed, &seats, &ledger, IDLE_AFTER, at(now));
            for user in due.idle.keys() {
                prop_assert!(unused >= IDLE_AFTER.as_secs() && !due.stop.contains(user));
                prop_assert!(observed.iter().any(|s| s.user == *user && s.phase == Phase::Running));
            }
            for user in &due.stop {
                let seat = seats.iter().find(|seat| seat.user == *user).unwrap();
                prop_assert!(seat.expires_at.unwrap() <= at(now));
                prop_assert!(observed.iter().any(|s| s.user == *user && s.phase == Phase::Running));
                prop_assert!(!due.notice.contains_key(user), "one action for each");
            }
            let distinct: std::collections::BTreeSet<_> = due.stop.iter().collect();
            prop_assert_eq!(distinct.len(), due.stop.len());
        }
    }
}
