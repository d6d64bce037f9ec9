//! Two hundred users at once, on in-memory adapters with faults.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod room;

use std::collections::BTreeSet;
use std::time::Duration;

use room::{Room, everyone, urls};
use thon_core::adapter::FailureKind;
use thon_core::event::Event;
use thon_core::instance::InstanceState;
use thon_core::name::UserId;
use thon_core::orchestrator::{RunReport, RunRequest};
use thon_core::testing::fixture;

/// A full room.
const MANY: usize = 200;
/// Who comes, and goes.
const FEW: usize = 10;
/// How many sandboxes the machine can feed while they start.
const FED: usize = 4;

fn hungry_room() -> Room {
    Room::with(|runtime| runtime.starving_beyond(FED))
}

/// What each of these users has: their container and their URL.
fn belongings(report: &RunReport, users: &[UserId]) -> Vec<(Option<String>, Option<String>)> {
    let of = |user: &UserId| {
        let one = report.instances.iter().find(|one| one.user == *user).unwrap();
        (one.container_id.clone(), one.url.clone())
    };
    users.iter().map(of).collect()
}

/// Kills every tenth user's code-server while it starts, once.
async fn sabotage(room: &Room, users: &[UserId]) {
    let mut left: BTreeSet<&UserId> = users.iter().step_by(10).collect();
    while !left.is_empty() {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let starting = room.faults.calls("start");
        left.retain(|user| {
            let there = starting.contains(&user.to_string());
            if there {
                room.runtime.kill(user, 1);
            }
            !there
        });
    }
}

#[tokio::test(start_paused = true)]
async fn everyone_comes_up_though_many_die_on_the_way() {
    let room = hungry_room();
    let users = fixture::users(MANY);
    let orchestrator = room.orchestrator();
    let mut events = orchestrator.events().subscribe();
    let request = everyone(&users);
    let (report, ()) = tokio::join!(orchestrator.run(&request), sabotage(&room, &users));
    let report = report.unwrap();
    assert!(report.is_success(), "{:?}", report.failures);
    assert!(report.instances.iter().all(|one| one.state == InstanceState::Running));
    assert_eq!((report.instances.len(), report.started.len()), (MANY, MANY));
    assert!(room.runtime.most_starting() <= FED, "never more than the machine can feed");
    let urls: BTreeSet<String> = urls(&report).into_iter().collect();
    assert_eq!(urls.len(), MANY, "nobody shares a URL");

    let mut retried = BTreeSet::new();
    while let Ok(stamped) = events.try_recv() {
        if let Event::Retrying { user, .. } = &stamped.event {
            retried.insert(user.clone());
        }
    }
    assert_eq!(retried.len(), MANY / 10, "it was said of each");

    // One write of the proxy, one of the seats, and that before anyone uses one.
    let operations = room.faults.operations();
    let places = |name: &str| -> Vec<usize> {
        let named = operations.iter().enumerate().filter(|(_, operation)| operation.name == name);
        named.map(|(place, _)| place).collect()
    };
    let ([saved], [applied]) = (&places("save_seats")[..], &places("apply")[..]) else {
        panic!("{:?} {:?}", places("save_seats"), places("apply"));
    };
    assert!(saved < places("ensure_workspace").first().unwrap());
    assert!(saved < places("create").first().unwrap());
    assert!(places("start").last().unwrap() < applied);
    assert_eq!(room.proxy.reloads(), 1);
}

/// First come, first served: nobody is overtaken by more than the slots allow.
#[tokio::test(start_paused = true)]
async fn the_order_is_the_rosters() {
    let room = hungry_room();
    let users = fixture::users(MANY);
    let (report, ()) = tokio::join!(room.run(&users), sabotage(&room, &users));
    assert!(report.is_success());
    let mut seen = BTreeSet::new();
    let mut first_starts = room.faults.calls("start");
    first_starts.retain(|user| seen.insert(user.clone()));
    for (place, user) in users.iter().enumerate() {
        let started = first_starts.iter().position(|other| *other == user.to_string()).unwrap();
        assert!(started.abs_diff(place) < FED, "{user} is number {place} and was {started}th");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_who_come_or_go_touch_nobody_else() {
    let room = hungry_room();
    let users = fixture::users(MANY + FEW);
    let (all, guests) = users.split_at(MANY);
    let before = room.run(all).await;
    let count = |name: &str| room.faults.calls(name).len();

    let with_guests = room.run(&users).await;
    assert_eq!(with_guests.started, guests);
    assert_eq!((count("create"), count("start")), (MANY + FEW, MANY + FEW));
    assert_eq!((count("stop"), count("remove")), (0, 0));
    assert_eq!((count("apply"), room.proxy.reloads()), (2, 2));
    assert_eq!(room.proxy.serving().unwrap().routes.len(), MANY + FEW);
    assert_eq!(belongings(&with_guests, all), belongings(&before, all));

    let prune = RunRequest { prune: true, ..everyone(all) };
    let after = room.orchestrator().run(&prune).await.unwrap();
    assert!(after.is_success() && after.started.is_empty());
    assert_eq!((count("create"), count("stop"), count("remove")), (MANY + FEW, FEW, FEW));
    assert_eq!((count("apply"), room.proxy.reloads()), (3, 3));
    assert_eq!(room.proxy.serving().unwrap().routes.len(), MANY);
    assert_eq!(belongings(&after, all), belongings(&before, all));
    assert_eq!(room.runtime.workspaces(), MANY + FEW, "no work is lost");
}

#[tokio::test(start_paused = true)]
async fn whoever_fails_is_made_up_for_by_the_next_run_alone() {
    let room = hungry_room();
    let users = fixture::users(MANY);
    for (number, user) in users.iter().enumerate() {
        let kind = if number % 2 == 0 { FailureKind::TimedOut } else { FailureKind::Other };
        match number % 20 {
            3 => room.faults.fail("create", Some(&user.to_string()), kind, 1),
            7 => room.faults.fail("start", Some(&user.to_string()), kind, 1),
            11 => room.faults.fail("ensure_workspace", Some(&user.to_string()), kind, 1),
            _ => {}
        }
    }
    let first = room.run(&users).await;
    assert_eq!(first.failures.len(), 3 * MANY / 20);
    let well: Vec<UserId> = first
        .instances
        .iter()
        .filter(|one| one.state == InstanceState::Running)
        .map(|one| one.user.clone())
        .collect();
    assert_eq!(well.len(), MANY - 3 * MANY / 20);
    let served = room.proxy.serving().unwrap().routes;
    assert!(well.iter().all(|user| served.iter().any(|route| route.user == *user)));

    let second = room.run(&users).await;
    assert!(second.is_success(), "{:?}", second.failures);
    assert_eq!(second.started.len(), first.failures.len());
    assert_eq!(belongings(&second, &well), belongings(&first, &well));
    assert_eq!(room.faults.calls("apply").len(), 2);
    assert!(room.run(&users).await.plan.is_settled());
}

/// A few places of a long run. What was starting when it was killed goes on to start beside what the
/// next run starts, so that twice as many are on their way.
/// `killed_at_any_operation_the_next_run_converges` tries them all on a
/// short one.
#[tokio::test(start_paused = true)]
async fn killed_in_the_middle_of_a_full_room_the_next_run_converges() {
    let room = || Room::with(|runtime| runtime.starving_beyond(2 * FED));
    let users = fixture::users(MANY);
    let whole = room();
    let expected = urls(&whole.run(&users).await);
    for eighth in 1..8 {
        let room = room();
        room.faults.halt_at(whole.faults.count() * eighth / 8);
        tokio::select! {
            biased;
            () = room.faults.until_halted() => {}
            report = room.run(&users) => panic!("it ended: {:?}", report.failures),
        }
        room.faults.halt_at(0);
        let report = room.run(&users).await;
        assert!(report.is_success(), "killed at {eighth}/8: {:?}", report.failures);
        assert_eq!(urls(&report), expected, "killed at {eighth}/8");
        assert!(room.runtime.most_starting() <= 2 * FED, "killed at {eighth}/8");
        assert!(room.run(&users).await.plan.is_settled(), "killed at {eighth}/8");
    }
}
