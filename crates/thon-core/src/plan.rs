//! The plan: what is wanted against what is there, and what has to be done about it.
//!
//! For: a pure decision that the dry run prints and the orchestrator carries out.
//! Not for: carrying anything out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::config::Layout;
use crate::name::UserId;
use crate::sandbox::{ObservedSandbox, Phase, SandboxId, SandboxSpec};

/// One thing to do, for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// There is no sandbox: make one.
    Create {
        /// What to make.
        spec: SandboxSpec,
    },
    /// It is there, runs and is as wanted. It is not touched.
    Keep {
        /// Which one.
        id: SandboxId,
        /// What it is.
        spec: SandboxSpec,
    },
    /// It is as wanted but down: start it again, with everything that is in it.
    Start {
        /// Which one.
        id: SandboxId,
        /// What it is.
        spec: SandboxSpec,
    },
    /// It is as wanted but frozen: let it go on, with everything that runs in it.
    Resume {
        /// Which one.
        id: SandboxId,
        /// What it is.
        spec: SandboxSpec,
    },
    /// It is there but not as wanted: replace it. The workspace stays.
    Recreate {
        /// The one to replace.
        id: SandboxId,
        /// What to make in its place.
        spec: SandboxSpec,
        /// Why, in words.
        reason: String,
        /// True if someone may be working in it: their terminals and unsaved editors will be lost.
        disruptive: bool,
    },
    /// It is to go.
    Stop {
        /// Whose.
        user: UserId,
        /// Which one.
        id: SandboxId,
        /// Why, in words.
        reason: String,
    },
    /// Its user is not in the roster any more. It is left alone until someone prunes.
    Orphan {
        /// Whose.
        user: UserId,
        /// Which one.
        id: SandboxId,
    },
}

impl Action {
    /// Whose sandbox it is about.
    #[must_use]
    pub const fn user(&self) -> &UserId {
        match self {
            Self::Create { spec }
            | Self::Keep { spec, .. }
            | Self::Start { spec, .. }
            | Self::Resume { spec, .. }
            | Self::Recreate { spec, .. } => &spec.user,
            Self::Stop { user, .. } | Self::Orphan { user, .. } => user,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Create { .. } => Verb::Create,
            Self::Keep { .. } => Verb::Keep,
            Self::Start { .. } => Verb::Start,
            Self::Resume { .. } => Verb::Resume,
            Self::Recreate { .. } => Verb::Recreate,
            Self::Stop { .. } => Verb::Stop,
            Self::Orphan { .. } => Verb::Orphan,
        }
    }

    /// Why, where there is something to say.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Recreate { reason, .. } | Self::Stop { reason, .. } => Some(reason),
            Self::Orphan { .. } => Some("not in the roster; `--prune` removes it"),
            Self::Start { .. } => Some("it is down"),
            Self::Resume { .. } => Some("it is paused"),
            Self::Create { .. } | Self::Keep { .. } => None,
        }
    }
}

/// The kinds of action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Make a sandbox.
    Create,
    /// Leave it as it is.
    Keep,
    /// Start it again.
    Start,
    /// Let it go on.
    Resume,
    /// Replace it.
    Recreate,
    /// Stop and remove it.
    Stop,
    /// Leave it alone though nobody wants it.
    Orphan,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Keep => "keep",
            Self::Start => "start",
            Self::Resume => "resume",
            Self::Recreate => "recreate",
            Self::Stop => "stop",
            Self::Orphan => "orphan",
        })
    }
}

/// What the plan is made from.
#[derive(Debug, Clone)]
pub struct PlanInput<'a> {
    /// What is wanted, for the users that this run is about.
    pub desired: &'a [SandboxSpec],
    /// Everyone in the roster, also those that this run is not about.
    pub roster: &'a BTreeSet<UserId>,
    /// Everything of this node that is there.
    pub observed: &'a [ObservedSandbox],
    /// Whether sandboxes without a user in the roster are to go.
    pub prune: bool,
    /// Whether sandboxes are replaced even if nothing about them changed.
    pub recreate: bool,
}

/// What has to be done, in the order of the roster, then orphans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The actions.
    pub actions: Vec<Action>,
}

impl Plan {
    /// Makes the plan.
    #[must_use]
    pub fn new(input: &PlanInput<'_>) -> Self {
        let mut present: BTreeMap<&UserId, Vec<&ObservedSandbox>> = BTreeMap::new();
        for sandbox in input.observed {
            present.entry(&sandbox.user).or_default().push(sandbox);
        }
        let mut actions = Vec::with_capacity(input.desired.len());
        for spec in input.desired {
            let Some(found) = present.remove(&spec.user) else {
                actions.push(Action::Create { spec: spec.clone() });
                continue;
            };
            let best = found.iter().max_by_key(|sandbox| rank(sandbox, spec)).copied();
            for sandbox in &found {
                if Some(*sandbox) == best {
                    actions.push(decide(spec, sandbox, input.recreate));
                } else {
                    actions.push(Action::Stop {
                        user: spec.user.clone(),
                        id: sandbox.id.clone(),
                        reason: "a second sandbox of the same user".to_owned(),
                    });
                }
            }
        }
        for (user, found) in present {
            if input.roster.contains(user) {
                continue;
            }
            actions.extend(found.into_iter().map(|sandbox| {
                let (user, id) = (user.clone(), sandbox.id.clone());
                if input.prune {
                    Action::Stop { user, id, reason: "not in the roster".to_owned() }
                } else {
                    Action::Orphan { user, id }
                }
            }));
        }
        Self { actions }
    }

    /// How many actions of each kind, without those that don't occur.
    #[must_use]
    pub fn summary(&self) -> BTreeMap<Verb, usize> {
        let mut summary = BTreeMap::new();
        for action in &self.actions {
            *summary.entry(action.verb()).or_default() += 1;
        }
        summary
    }

    /// True if nothing has to be made, started, replaced or removed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.actions.iter().all(|action| matches!(action.verb(), Verb::Keep | Verb::Orphan))
    }
}

/// Which of several sandboxes of one user is worth keeping most.
fn rank(sandbox: &ObservedSandbox, spec: &SandboxSpec) -> (bool, bool) {
    let wanted = spec.fingerprint();
    let fits = sandbox.fingerprint.as_ref().is_some_and(|it| it.differences(&wanted).is_empty());
    (fits, sandbox.phase == Phase::Running)
}

fn decide(spec: &SandboxSpec, sandbox: &ObservedSandbox, recreate: bool) -> Action {
    let (id, spec) = (sandbox.id.clone(), spec.clone());
    let differences =
        sandbox.fingerprint.as_ref().map(|found| found.differences(&spec.fingerprint()));
    let reason = match differences {
        None => "its label can't be read".to_owned(),
        Some(differences) if !differences.is_empty() => differences.join(", "),
        Some(_) if mixes_sessions(&spec, sandbox) => {
            "its session's cookie would be mixed up with others' in layout port".to_owned()
        }
        Some(_) if recreate => "asked for".to_owned(),
        Some(_) => match sandbox.phase {
            Phase::Running | Phase::Restarting => return Action::Keep { id, spec },
            Phase::Paused => return Action::Resume { id, spec },
            Phase::Exited => return Action::Start { id, spec },
            Phase::Created => "it was left half-made".to_owned(),
            Phase::Unknown => "its state is unknown".to_owned(),
        },
    };
    let disruptive = matches!(sandbox.phase, Phase::Running | Phase::Paused);
    Action::Recreate { id, spec, reason, disruptive }
}

/// True if browsers would take the sessions of two such sandboxes for one: they share cookies between
/// the ports of a host.
fn mixes_sessions(spec: &SandboxSpec, sandbox: &ObservedSandbox) -> bool {
    spec.layout == Layout::Port
        && sandbox.fingerprint.as_ref().is_some_and(|found| !found.has_own_session())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sandbox::Access;
    use crate::seat::Password;
    use crate::secret::Secret;
    use crate::testing::fixture;

    fn plan(wanted: &[SandboxSpec], observed: &[ObservedSandbox], prune: bool) -> Plan {
        let roster = wanted.iter().map(|spec| spec.user.clone()).collect();
        Plan::new(&PlanInput { desired: wanted, roster: &roster, observed, prune, recreate: false })
    }

    fn verbs(plan: &Plan) -> Vec<(String, Verb)> {
        plan.actions.iter().map(|a| (a.user().to_string(), a.verb())).collect()
    }

    #[test]
    fn a_newcomer_is_created_and_nobody_else_is_touched() {
        let specs = fixture::specs(3);
        let observed: Vec<_> = specs[..2].iter().map(fixture::running).collect();
        let plan = plan(&specs, &observed, false);
        let found: Vec<_> = verbs(&plan).into_iter().map(|(_, verb)| verb).collect();
        assert_eq!(found, [Verb::Keep, Verb::Keep, Verb::Create]);
        assert!(!plan.is_settled());
    }

    #[test]
    fn who_left_the_roster_is_left_alone_until_pruned() {
        let specs = fixture::specs(2);
        let observed: Vec<_> = specs.iter().map(fixture::running).collect();
        let left = plan(&specs[..1], &observed, false);
        assert_eq!(left.actions[1].verb(), Verb::Orphan);
        assert!(left.is_settled());
        let pruned = plan(&specs[..1], &observed, true);
        assert_eq!(pruned.actions[1].verb(), Verb::Stop);
    }

    #[test]
    fn a_run_for_one_group_does_not_orphan_the_others() {
        let specs = fixture::specs(2);
        let observed: Vec<_> = specs.iter().map(fixture::running).collect();
        let roster = specs.iter().map(|spec| spec.user.clone()).collect();
        let plan = Plan::new(&PlanInput {
            desired: &specs[..1],
            roster: &roster,
            observed: &observed,
            prune: true,
            recreate: false,
        });
        assert_eq!(plan.actions.len(), 1);
    }

    #[test]
    fn a_change_is_named_and_a_half_made_one_is_made_again() {
        let mut specs = fixture::specs(2);
        let mut observed: Vec<_> = specs.iter().map(fixture::running).collect();
        observed[1].phase = Phase::Created;
        specs[0].image = "other:2".parse().unwrap();
        let plan = plan(&specs, &observed, false);
        assert_eq!(plan.actions[0].reason(), Some("image waterpistol/thon:latest -> other:2"));
        assert_eq!(plan.actions[1].reason(), Some("it was left half-made"));
    }

    #[test]
    fn one_that_is_down_is_started_with_all_that_is_in_it() {
        let specs = fixture::specs(1);
        let mut observed: Vec<_> = specs.iter().map(fixture::running).collect();
        observed[0].phase = Phase::Exited;
        assert_eq!(plan(&specs, &observed, false).actions[0].verb(), Verb::Start);
    }

    #[test]
    fn one_that_is_paused_is_resumed_and_replaced_only_after_asking() {
        let mut specs = fixture::specs(1);
        let mut observed: Vec<_> = specs.iter().map(fixture::running).collect();
        observed[0].phase = Phase::Paused;
        let resumes = plan(&specs, &observed, false);
        assert_eq!(resumes.actions[0].verb(), Verb::Resume);
        assert_eq!(resumes.actions[0].reason(), Some("it is paused"));
        assert!(!resumes.is_settled());
        specs[0].image = "other:2".parse().unwrap();
        let replaces = plan(&specs, &observed, false);
        assert!(matches!(replaces.actions[0], Action::Recreate { disruptive: true, .. }));
    }

    #[test]
    fn one_from_before_sessions_had_names_is_replaced_only_where_they_would_meet() {
        let password = Password {
            secret: Secret::new("s3cret"),
            hash: Secret::new("h4sh"),
            id: "k7m2".to_owned(),
        };
        let mut specs = fixture::specs(1);
        specs[0].access = Access::Password(password);
        let mut observed = vec![fixture::running(&specs[0])];
        let label = serde_json::to_string(&observed[0].fingerprint).unwrap();
        let older = label.replace(",\"session\":\"k7m2\"", "");
        assert_ne!(older, label);
        for layout in Layout::ALL {
            specs[0].layout = *layout;
            observed[0].fingerprint = serde_json::from_str(&label).unwrap();
            assert_eq!(plan(&specs, &observed, false).actions[0].verb(), Verb::Keep, "{layout}");
            observed[0].fingerprint = serde_json::from_str(&older).unwrap();
            let verb = plan(&specs, &observed, false).actions[0].verb();
            assert_eq!(verb == Verb::Recreate, *layout == Layout::Port, "{layout}");
        }
    }

    #[test]
    fn of_two_sandboxes_of_one_user_the_fitting_one_stays() {
        let specs = fixture::specs(1);
        let mut observed = vec![fixture::running(&specs[0]), fixture::running(&specs[0])];
        observed[0].id = SandboxId("stray".to_owned());
        observed[0].fingerprint = None;
        let plan = plan(&specs, &observed, false);
        let stopped: Vec<_> =
            plan.actions.iter().filter(|action| action.verb() == Verb::Stop).collect();
        assert!(matches!(stopped[..], [Action::Stop { id, .. }] if id.0 == "stray"));
    }

    proptest! {
        #[test]
        fn carrying_a_plan_out_settles_it(wanted in 0_usize..12, there in 0_usize..12, prune: bool) {
            let all = fixture::specs(12);
            let observed: Vec<_> = all[..there].iter().map(fixture::running).collect();
            let first = plan(&all[..wanted], &observed, prune);
            let mut after = observed.clone();
            for action in &first.actions {
                match action {
                    Action::Create { spec } => after.push(fixture::running(spec)),
                    Action::Stop { id, .. } => after.retain(|sandbox| sandbox.id != *id),
                    _ => {}
                }
            }
            prop_assert!(plan(&all[..wanted], &after, prune).is_settled());
            let users: Vec<_> = first.actions.iter().map(Action::user).collect();
            let distinct: BTreeSet<_> = users.iter().collect();
            prop_assert_eq!(users.len(), distinct.len());
        }
    }
}
