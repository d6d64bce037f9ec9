//! What an organizer would notice of pausing, resuming and restarting, on in-memory adapters.
#![allow(clippy::unwrap_used, reason = "tests")]

mod room;

use room::{Room, everyone, urls};
use thon_core::adapter::FailureKind;
use thon_core::event::Event;
use thon_core::instance::InstanceState;
use thon_core::lifecycle::Change;
use thon_core::name::UserId;
use thon_core::orchestrator::{ChangeReport, RunRequest};
use thon_core::plan::Verb;
use thon_core::testing::fixture;

async fn change(room: &Room, change: Change, users: Option<&[UserId]>) -> ChangeReport {
    room.orchestrator().change(change, users).await.unwrap()
}

fn paused(room: &Room) -> Vec<bool> {
    room.proxy.serving().unwrap().routes.iter().map(|route| route.paused).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_paused_and_resumed_with_one_reload_each_and_twice_is_as_good_as_once() {
    let room = Room::new();
    let users = fixture::users(5);
    let before = room.run(&users).await;
    for _ in 0..2 {
        let report = change(&room, Change::Pause, Some(&users[..3])).await;
        assert!(report.is_success(), "{:?}", report.failures);
        assert_eq!(report.changed.len() + report.unchanged.len(), 3);
    }
    assert_eq!(room.proxy.reloads(), 2, "the first run's, and one for the whole batch");
    assert_eq!(paused(&room), [true, true, true, false, false]);
    let again = change(&room, Change::Pause, Some(&users[..1])).await;
    assert_eq!(again.unchanged[0].reason, "paused already");
    let status = room.orchestrator().status(&users).await.unwrap();
    assert_eq!((status[0].state, status[0].health.as_str()), (InstanceState::Paused, "paused"));
    assert!(status[0].url.is_some());

    for _ in 0..2 {
        assert!(change(&room, Change::Resume, None).await.is_success());
    }
    assert_eq!((paused(&room), room.proxy.reloads()), (vec![false; 5], 3));
    assert_eq!(room.faults.calls("pause").len(), 3, "nobody was frozen twice");
    assert_eq!(room.faults.calls("resume").len(), 3);
    assert_eq!(urls(&room.run(&users).await), urls(&before));
}

#[tokio::test(start_paused = true)]
async fn a_run_resumes_whom_it_is_about_and_leaves_the_others_paused() {
    let room = Room::new();
    let users = fixture::users(3);
    room.run(&users).await;
    change(&room, Change::Pause, None).await;
    let one = RunRequest {
        roster: users.clone(),
        selected: users[..1].to_vec(),
        ..RunRequest::default()
    };
    let report = room.orchestrator().run(&one).await.unwrap();
    assert_eq!(report.plan.summary().get(&Verb::Resume), Some(&1));
    assert!(report.is_success() && report.started.is_empty(), "{:?}", report.failures);
    assert_eq!(report.instances[0].state, InstanceState::Running);
    assert_eq!(paused(&room), [false, true, true]);
    let rest = room.orchestrator().run(&everyone(&users)).await.unwrap();
    assert_eq!(rest.plan.summary().get(&Verb::Resume), Some(&2));
    assert_eq!((paused(&room), room.faults.calls("create").len()), (vec![false; 3], 3));
}

#[tokio::test(start_paused = true)]
async fn one_failure_stops_nobody_else_and_the_next_try_makes_up_for_it() {
    for (what, operation) in
        [(Change::Pause, "pause"), (Change::Resume, "resume"), (Change::Restart, "restart")]
    {
        let room = Room::new();
        let users = fixture::users(4);
        room.run(&users).await;
        if what == Change::Resume {
            change(&room, Change::Pause, None).await;
        }
        room.faults.fail(operation, Some("group-0/user-1"), FailureKind::Other, 1);
        let report = change(&room, what, None).await;
        assert_eq!((report.changed.len(), report.failures.len()), (3, 1), "{what}");
        assert_eq!(report.failures[0].user, users[1]);
        let expected = match what {
            Change::Pause => [true, false, true, true],
            Change::Resume => [false, true, false, false],
            Change::Restart => [false; 4],
        };
        assert_eq!(paused(&room), expected, "the proxy tells what is so");
        assert!(change(&room, what, None).await.is_success());
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_waits_until_everyone_answers_at_the_place_where_they_were() {
    let room = Room::with(|runtime| runtime.starving_beyond(4));
    let users = fixture::users(40);
    let before = room.run(&users).await;
    room.runtime.kill(&users[7], 1);
    change(&room, Change::Pause, Some(&users[..2])).await;
    let reloads = room.proxy.reloads();
    let report = change(&room, Change::Restart, None).await;
    assert!(report.is_success() && report.changed.len() == 40, "{:?}", report.failures);
    assert_eq!(room.runtime.most_starting(), 4, "no more at once than the machine can feed");
    assert_eq!(
        room.proxy.reloads(),
        reloads + 1,
        "two were paused, and the proxy hears of it once"
    );
    let status = room.orchestrator().status(&users).await.unwrap();
    assert!(status.iter().all(|one| one.state == InstanceState::Running));
    let ids = |all: &[thon_core::orchestrator::InstanceView]| -> Vec<_> {
        all.iter().map(|one| (one.url.clone(), one.container_id.clone())).collect()
    };
    assert_eq!(ids(&status), ids(&before.instances));
    change(&room, Change::Restart, Some(&users[..1])).await;
    assert_eq!(room.proxy.reloads(), reloads + 1, "routes are what they were");
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_to_pause_hears_of_it_only_if_they_were_named() {
    let room = Room::new();
    let users = fixture::users(4);
    room.run(&users[..3]).await;
    room.orchestrator().stop(Some(&users[..1]), false).await.unwrap();
    let all = change(&room, Change::Pause, None).await;
    assert!(all.is_success());
    assert_eq!((all.changed.len(), all.unchanged[0].reason.as_str()), (2, "down"));
    let named = change(&room, Change::Pause, Some(&[users[0].clone(), users[3].clone()])).await;
    let said: Vec<String> = named.failures.iter().map(|f| f.failure.to_string()).collect();
    assert_eq!(
        said,
        [
            "pausing the sandbox of group-0/user-0: it is down; `thon run` starts it",
            "pausing the sandbox of group-0/user-3: there is none; `thon run` makes one for \
             everyone in the roster",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_proxy_does_not_get_one_by_a_pause() {
    let room = Room::new();
    let users = fixture::users(2);
    let bare = room.orchestrator_with(|settings| settings.site = None);
    bare.run(&everyone(&users)).await.unwrap();
    assert!(change(&room, Change::Pause, None).await.is_success());
    assert!(room.proxy.serving().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_refuses_is_told_and_the_next_try_makes_up_for_it() {
    let room = Room::new();
    room.run(&fixture::users(2)).await;
    room.faults.fail("apply", None, FailureKind::Other, 1);
    let report = change(&room, Change::Pause, None).await;
    assert!(!report.is_success() && report.failures.is_empty());
    assert!(change(&room, Change::Pause, None).await.is_success());
    assert_eq!(paused(&room), [true, true]);
}

/// Every step that is said is one that the rules know.
#[tokio::test(start_paused = true)]
async fn the_stream_tells_a_way_through_the_states() {
    let room = Room::new();
    let users = fixture::users(3);
    room.run(&users).await;
    let orchestrator = room.orchestrator();
    let mut events = orchestrator.events().subscribe();
    room.faults.fail("pause", Some("group-0/user-2"), FailureKind::Other, 1);
    for what in [Change::Pause, Change::Resume, Change::Pause, Change::Restart] {
        orchestrator.change(what, None).await.unwrap();
    }
    orchestrator.stop(Some(&users[..1]), false).await.unwrap();
    orchestrator.change(Change::Restart, None).await.unwrap();
    let mut states = std::collections::BTreeMap::new();
    let mut steps = 0;
    while let Ok(stamped) = events.try_recv() {
        let Event::InstanceChanged { user, from, to, .. } = &stamped.event else { continue };
        let was = states.insert(user.clone(), *to).unwrap_or(InstanceState::Running);
        assert_eq!(from.unwrap_or(was), was, "{user}");
        was.go(*to).unwrap();
        steps += 1;
    }
    assert!(steps > 20, "{steps}");
    assert!(states.values().all(|state| *state == InstanceState::Running));
}
