//! What is remembered of sandboxes and what a look has seen, brought together.
//!
//! For: which facts a complete look adds to the history: who was found, who went where, who is gone.
//! Not for: looking. A look that failed or was filtered is none: from it nothing may follow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::{Fact, InstanceHistory};
use crate::instance::InstanceState;
use crate::name::UserId;
use crate::sandbox::SandboxId;

/// Why a sandbox that nobody here made is known from now on.
const FOUND: &str = "found running already";
/// Why one is over that isn't there any more and whose end nobody here asked for.
const GONE: &str = "its sandbox is gone";

/// A sandbox as a look has seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which one.
    pub sandbox: SandboxId,
    /// Whose it is.
    pub user: UserId,
    /// The image that it was made from, where that is known.
    pub image: Option<String>,
    /// Its state.
    pub state: InstanceState,
    /// Why it is in that state, where somebody knows.
    pub reason: Option<String>,
}

/// What is remembered of a sandbox that isn't over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Whose it was, under the names of that time.
    pub user: UserId,
    /// The last state that was written down.
    pub state: InstanceState,
}

/// What is remembered, by sandbox: the last state of each.
#[must_use]
pub fn known(history: &[InstanceHistory]) -> BTreeMap<SandboxId, Known> {
    let last = |instance: &InstanceHistory| {
        let state = instance.states.last()?.state;
        Some((instance.sandbox.clone(), Known { user: instance.user.clone(), state }))
    };
    history.iter().filter_map(last).collect()
}

/// What a complete look adds to what is known. Saying it to the store and putting it into `known`
/// with [`learn`] makes a second look at the same sight add nothing.
#[must_use]
pub fn facts(seen: &[Seen], known: &BTreeMap<SandboxId, Known>, now: SystemTime) -> Vec<Fact> {
    let mut facts = Vec::new();
    for sight in seen {
        let before = known.get(&sight.sandbox);
        if before.is_some_and(|before| before.state == sight.state) {
            continue;
        }
        let found = before.is_none() && sight.state != InstanceState::Pending;
        let reason = match &sight.reason {
            Some(reason) => reason.clone(),
            None if found => FOUND.to_owned(),
            None => String::new(),
        };
        facts.push(Fact {
            sandbox: sight.sandbox.clone(),
            user: sight.user.clone(),
            image: sight.image.clone(),
            state: sight.state,
            at: now,
            reason,
        });
    }
    let there: BTreeSet<&SandboxId> = seen.iter().map(|sight| &sight.sandbox).collect();
    let gone = known
        .iter()
        .filter(|(id, known)| !there.contains(id) && known.state != InstanceState::Terminated);
    facts.extend(gone.map(|(id, known)| Fact {
        sandbox: id.clone(),
        user: known.user.clone(),
        image: None,
        state: InstanceState::Terminated,
        at: now,
        reason: GONE.to_owned(),
    }));
    facts
}

/// Puts facts that were written down into what is known.
pub fn learn(known: &mut BTreeMap<SandboxId, Known>, facts: &[Fact]) {
    for fact in facts {
        let entry = Known { user: fact.user.clone(), state: fact.state };
        known.insert(fact.sandbox.clone(), entry);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn sight(id: &str, state: InstanceState) -> Seen {
        Seen {
            sandbox: SandboxId(id.to_owned()),
            user: "a/b".parse().unwrap(),
            image: None,
            state,
            reason: None,
        }
    }

    #[test]
    fn what_runs_already_is_adopted_and_what_is_gone_is_over() {
        let mut known = BTreeMap::new();
        let found = facts(&[sight("s", InstanceState::Running)], &known, NOW);
        assert_eq!((found.len(), found[0].reason.as_str()), (1, FOUND));
        learn(&mut known, &found);
        let gone = facts(&[], &known, NOW);
        assert_eq!((gone[0].state, gone[0].reason.as_str()), (InstanceState::Terminated, GONE));
        learn(&mut known, &gone);
        assert_eq!(facts(&[], &known, NOW), []);
    }

    #[test]
    fn why_it_died_is_kept() {
        let mut known = BTreeMap::new();
        let running = facts(&[sight("s", InstanceState::Running)], &known, NOW);
        learn(&mut known, &running);
        let mut dead = sight("s", InstanceState::Failed);
        dead.reason = Some("out of memory".to_owned());
        assert_eq!(facts(&[dead], &known, NOW)[0].reason, "out of memory");
    }

    proptest! {
        #[test]
        fn a_second_look_at_the_same_adds_nothing(
            before in prop::collection::btree_map(0_u8..8, 0_usize..7, 0..8),
            after in prop::collection::btree_map(0_u8..8, 0_usize..7, 0..8),
        ) {
            let look = |states: &BTreeMap<u8, usize>| -> Vec<Seen> {
                let state = |at: usize| InstanceState::ALL[at];
                states.iter().map(|(id, at)| sight(&id.to_string(), state(*at))).collect()
            };
            let mut known = BTreeMap::new();
            for seen in [look(&before), look(&after)] {
                let new = facts(&seen, &known, NOW);
                learn(&mut known, &new);
                prop_assert_eq!(facts(&seen, &known, NOW), []);
                for sight in &seen {
                    prop_assert_eq!(known[&sight.sandbox].state, sight.state);
                }
                for (id, known) in &known {
                    let there = seen.iter().any(|sight| sight.sandbox == *id);
                    prop_assert!(there || known.state == InstanceState::Terminated);
                }
            }
        }
    }
}
