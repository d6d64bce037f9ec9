//! What an organizer would notice of lifetimes and idleness, on in-memory adapters.
#![allow(clippy::unwrap_used, reason = "tests")]

mod room;

use std::time::{Duration, SystemTime};

use room::{Room, everyone};
use thon_core::adapter::{Clock, FailureKind};
use thon_core::config::IdleAction;
use thon_core::idle::Ledger;
use thon_core::instance::InstanceState::{self, Paused, Running, Terminated};
use thon_core::lifecycle::Change;
use thon_core::name::UserId;
use thon_core::orchestrator::{Enforced, IdlePolicy, Orchestrator, RunRequest};
use thon_core::testing::fixture;

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);
const IGNORE: IdlePolicy = IdlePolicy { after: HOUR, action: IdleAction::Ignore };

async fn run(orchestrator: &Orchestrator, users: &[UserId], lifetime: Option<Duration>) {
    let request = RunRequest { lifetime, ..everyone(users) };
    assert!(orchestrator.run(&request).await.unwrap().is_success());
}

async fn ends(orchestrator: &Orchestrator, users: &[UserId]) -> Vec<Option<SystemTime>> {
    orchestrator.status(users).await.unwrap().iter().map(|view| view.expires_at).collect()
}

async fn states(orchestrator: &Orchestrator, users: &[UserId]) -> Vec<InstanceState> {
    orchestrator.status(users).await.unwrap().iter().map(|view| view.state).collect()
}

/// One look and what follows from it, as a watcher does it.
async fn look(room: &Room, ledger: &mut Ledger, policy: IdlePolicy) -> Enforced {
    // A new one each time: nothing is kept in memory but the ledger.
    let orchestrator = room.orchestrator();
    orchestrator.sample(ledger).await.unwrap();
    orchestrator.enforce(ledger, policy).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_end_is_kept_over_restarts_of_everything_and_stops_only_whose_time_is_up() {
    let room = Room::new();
    let users = fixture::users(3);
    let start = room.clock.now();
    run(&room.orchestrator(), &users[..2], Some(HOUR)).await;
    run(&room.orchestrator(), &users[2..], None).await;
    let first = vec![Some(start + HOUR), Some(start + HOUR), None];
    assert_eq!(ends(&room.orchestrator(), &users).await, first);

    // Neither a run nor a restart prolongs it.
    room.clock.advance(20 * MINUTE);
    run(&room.orchestrator(), &users[..2], Some(HOUR)).await;
    room.orchestrator().change(Change::Restart, None).await.unwrap();
    assert_eq!(ends(&room.orchestrator(), &users).await, first);

    // More time for one.
    let more = room.orchestrator().extend(Some(&users[1..]), 30 * MINUTE).await.unwrap();
    assert_eq!(more, [(users[1].clone(), start + HOUR + 30 * MINUTE)]);

    let mut ledger = Ledger::default();
    room.clock.advance(39 * MINUTE + Duration::from_secs(59));
    assert_eq!(look(&room, &mut ledger, IGNORE).await, Enforced::default());
    let due = room.orchestrator().due(&ledger, IGNORE).await.unwrap();
    assert_eq!(due.notice.keys().collect::<Vec<_>>(), [&users[0]]);
    assert!(!due.calls_for_action(IGNORE));
    room.clock.advance(Duration::from_secs(1));
    assert_eq!(look(&room, &mut ledger, IGNORE).await.expired, users[..1]);
    assert_eq!(states(&room.orchestrator(), &users).await, [Terminated, Running, Running]);
    assert_eq!(look(&room, &mut ledger, IGNORE).await, Enforced::default(), "once");

    // Whoever is run again has a whole lifetime; nothing else of theirs has changed.
    run(&room.orchestrator(), &users[..2], Some(HOUR)).await;
    let now = room.clock.now();
    let second = [Some(now + HOUR), Some(start + HOUR + 30 * MINUTE), None];
    assert_eq!(ends(&room.orchestrator(), &users).await, second);
    assert_eq!(room.faults.calls("create").len(), 3);
    // Without a limit there is no end any more.
    run(&room.orchestrator(), &users, None).await;
    assert_eq!(ends(&room.orchestrator(), &users).await, [None; 3]);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_stopped_is_tried_again_and_keeps_nobody_else_running() {
    let room = Room::new();
    let users = fixture::users(3);
    run(&room.orchestrator(), &users, Some(HOUR)).await;
    room.clock.advance(HOUR);
    room.faults.fail("stop", None, FailureKind::Other, 1);
    let mut ledger = Ledger::default();
    let first = look(&room, &mut ledger, IGNORE).await;
    assert_eq!((first.expired.len(), first.failures.len()), (2, 1));
    let second = look(&room, &mut ledger, IGNORE).await;
    assert_eq!((second.expired.len(), second.failures.len()), (1, 0));
    assert_eq!(states(&room.orchestrator(), &users).await, [Terminated; 3]);
}

/// Someone with a browser, someone whose machine works, someone who is gone, and someone whose use
/// can't be told.
#[tokio::test(start_paused = true)]
async fn only_who_has_neither_a_browser_nor_work_is_idle() {
    for action in [IdleAction::Ignore, IdleAction::Pause, IdleAction::Stop] {
        let room = Room::new();
        let users = fixture::users(4);
        let policy = IdlePolicy { after: 30 * MINUTE, action };
        run(&room.orchestrator(), &users, None).await;
        let mut ledger = Ledger::default();
        for minute in 0..=30 {
            room.runtime.browse(&users[0], room.clock.now());
            room.runtime.work(&users[1], Duration::from_secs(2));
            room.faults.fail("usage", Some("group-0/user-3"), FailureKind::TimedOut, 1);
            let done = look(&room, &mut ledger, policy).await;
            let expected = if minute == 30 && action != IdleAction::Ignore {
                users[2..3].to_vec()
            } else {
                Vec::new()
            };
            assert_eq!(done.idle, expected, "{action}, minute {minute}");
            assert!(done.failures.is_empty() && done.expired.is_empty());
            if minute < 30 {
                room.clock.advance(MINUTE);
            }
        }
        let left = match action {
            IdleAction::Ignore => Running,
            IdleAction::Pause => Paused,
            IdleAction::Stop => Terminated,
        };
        let mut views = room.orchestrator().status(&users).await.unwrap();
        room.orchestrator().remember(&mut views, &ledger, policy);
        let now: Vec<_> = views.iter().map(|view| (view.state, view.idle)).collect();
        let idle = (left == Running).then_some(30 * MINUTE);
        assert_eq!(now, [(Running, None), (Running, None), (left, idle), (Running, None)]);

        // Back again, everyone has the whole while before them.
        run(&room.orchestrator(), &users, None).await;
        if action != IdleAction::Ignore {
            room.clock.advance(MINUTE);
            assert!(look(&room, &mut ledger, policy).await.idle.is_empty());
        }
        assert_eq!(room.faults.calls("create").len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_for_idleness_is_told_to_the_proxy_once_for_all() {
    let room = Room::new();
    let users = fixture::users(5);
    let policy = IdlePolicy { after: MINUTE, action: IdleAction::Pause };
    run(&room.orchestrator(), &users, None).await;
    let reloads = room.proxy.reloads();
    let mut ledger = Ledger::default();
    look(&room, &mut ledger, policy).await;
    room.clock.advance(MINUTE);
    assert_eq!(look(&room, &mut ledger, policy).await.idle, users);
    assert_eq!(room.proxy.reloads(), reloads + 1);
    assert!(room.proxy.serving().unwrap().routes.iter().all(|route| route.paused));
}

/// What answers is in a participant's hands, and no calendar has the year that it may name.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_in_the_future_is_one_of_now() {
    let room = Room::new();
    let users = fixture::users(1);
    run(&room.orchestrator(), &users, None).await;
    room.runtime.browse(&users[0], room.clock.now() + Duration::from_millis(u64::MAX / 2));
    let views = room.orchestrator().status(&users).await.unwrap();
    assert_eq!(views[0].active_at, Some(room.clock.now()));
}
