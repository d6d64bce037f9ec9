//! What an organizer would notice of a run, on in-memory adapters with faults.
#![allow(clippy::unwrap_used, reason = "tests")]

mod room;

use std::sync::Arc;
use std::time::Duration;

use room::{Room, everyone, laid_out, urls};
use thon_core::adapter::FailureKind;
use thon_core::certificate::CertificateNames;
use thon_core::config::Layout;
use thon_core::disk::{DiskLevel, DiskUse};
use thon_core::endpoint::Port;
use thon_core::event::Event;
use thon_core::instance::InstanceState;
use thon_core::limits::ByteSize;
use thon_core::name::NodeName;
use thon_core::orchestrator::{NodeSettings, RunError, RunReport, RunRequest};
use thon_core::plan::Verb;
use thon_core::testing::contract::{self, RuntimeFixture};
use thon_core::testing::{CountingEntropy, Faults, MemoryProxy, MemoryRuntime, fixture};

#[tokio::test(start_paused = true)]
async fn one_run_gives_everyone_a_url_a_password_and_a_workspace() {
    let room = Room::new();
    let report = room.run(&fixture::users(6)).await;
    assert!(report.is_success(), "{:?}", report.failures);
    assert_eq!(urls(&report)[0], "https://203.0.113.7/20000/proxy/8443/");
    assert_eq!(urls(&report)[5], "https://203.0.113.7/20005/proxy/8448/");
    assert!(report.instances.iter().all(|i| i.state == InstanceState::Running));
    let passwords: std::collections::BTreeSet<_> =
        report.instances.iter().map(|i| i.password.clone().unwrap().reveal().to_owned()).collect();
    assert_eq!(passwords.len(), 6, "nobody shares a password");
    assert_eq!(room.runtime.workspaces(), 6);
    assert_eq!(room.proxy.reloads(), 1, "one change of the proxy for the whole batch");
}

#[tokio::test(start_paused = true)]
async fn a_second_run_touches_nothing() {
    let room = Room::new();
    let users = fixture::users(5);
    let first = room.run(&users).await;
    let second = room.run(&users).await;
    assert_eq!(urls(&first), urls(&second));
    let ids = |report: &RunReport| -> Vec<_> {
        report.instances.iter().map(|instance| instance.container_id.clone()).collect()
    };
    assert_eq!(ids(&first), ids(&second));
    assert_eq!(room.faults.calls("create").len(), 5);
    assert_eq!(room.faults.calls("start").len(), 5);
    assert_eq!(room.proxy.reloads(), 1);
    assert!(second.plan.is_settled() && second.started.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_costs_one_container_and_one_reload() {
    let room = Room::new();
    let users = fixture::users(4);
    room.run(&users[..3]).await;
    let report = room.run(&users).await;
    assert_eq!(report.started, users[3..]);
    assert_eq!(room.faults.calls("create").len(), 4);
    assert_eq!((room.faults.calls("stop").len(), room.proxy.reloads()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_keeps_their_sandbox_until_pruned_and_their_workspace_after() {
    let room = Room::new();
    let users = fixture::users(3);
    room.run(&users).await;
    room.run(&users[..2]).await;
    assert_eq!(room.proxy.serving().unwrap().routes.len(), 3, "left alone");
    let prune = RunRequest { prune: true, ..everyone(&users[..2]) };
    room.orchestrator().run(&prune).await.unwrap();
    assert_eq!(room.proxy.serving().unwrap().routes.len(), 2);
    assert_eq!(room.runtime.workspaces(), 3);
    let back = room.run(&users).await;
    assert_eq!(urls(&back)[2], "https://203.0.113.7/20002/proxy/8445/", "their URL is kept too");
}

#[tokio::test(start_paused = true)]
async fn one_group_is_launched_without_touching_the_routes_of_another() {
    let room = Room::new();
    let users = fixture::users(12);
    room.run(&users).await;
    let (one, other): (Vec<_>, Vec<_>) =
        users.iter().cloned().partition(|user| user.group.as_str() == "group-0");
    let request = RunRequest { roster: users.clone(), selected: other, ..RunRequest::default() };
    let report = room.orchestrator().run(&request).await.unwrap();
    assert_eq!(report.instances.len(), users.len() - one.len());
    assert_eq!(room.proxy.serving().unwrap().routes.len(), 12);
    assert_eq!(room.proxy.reloads(), 1);
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_operation_the_next_run_converges() {
    for layout in [Layout::Path, Layout::Port] {
        killed_at_any_operation(layout).await;
    }
}

async fn killed_at_any_operation(layout: Layout) {
    let users = fixture::users(3);
    let whole = Room::new();
    let expected = laid_out(&whole, layout).run(&everyone(&users)).await.unwrap();
    let operations = whole.faults.count();
    for step in 1..=operations {
        let room = Room::new();
        room.faults.halt_at(step);
        let orchestrator = laid_out(&room, layout);
        let request = everyone(&users);
        tokio::select! {
            biased;
            () = room.faults.until_halted() => {}
            result = orchestrator.run(&request) => drop(result),
        }
        room.faults.halt_at(0);
        let report = laid_out(&room, layout).run(&request).await.unwrap();
        assert!(report.is_success(), "killed at {step}: {:?}", report.failures);
        assert_eq!(urls(&report), urls(&expected), "killed at {step}");
        let status = laid_out(&room, layout).status(&users).await.unwrap();
        assert_eq!(status.len(), 3, "killed at {step}: no duplicate and no orphan");
        assert!(status.iter().all(|i| i.state == InstanceState::Running), "killed at {step}");
        let again = laid_out(&room, layout).run(&request).await.unwrap();
        assert!(again.plan.is_settled(), "killed at {step}: {:?}", again.plan.summary());
    }
}

#[tokio::test(start_paused = true)]
async fn one_failure_stops_nobody_else() {
    let room = Room::new();
    let users = fixture::users(5);
    room.faults.fail("create", Some("group-0/user-2"), FailureKind::Other, 1);
    room.faults.fail("ensure_workspace", Some("group-0/user-3"), FailureKind::Denied, 1);
    let report = room.run(&users).await;
    let failed: Vec<_> = report.failures.iter().map(|f| f.user.to_string()).collect();
    assert_eq!(failed, ["group-0/user-3", "group-0/user-2"]);
    assert_eq!(room.proxy.serving().unwrap().routes.len(), 3, "the others are served");
    assert!(room.run(&users).await.is_success(), "and the next run makes up for it");
}

#[tokio::test(start_paused = true)]
async fn without_a_certificate_nothing_is_made() {
    let room = Room::new();
    room.faults.fail("ensure", None, FailureKind::Missing, 1);
    let error = room.orchestrator().run(&everyone(&fixture::users(2))).await.unwrap_err();
    assert!(matches!(error, RunError::Adapter(failure) if failure.kind == FailureKind::Missing));
    assert!(room.faults.calls("create").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_is_said_before_anything_is_made() {
    let room = Room::new();
    room.runtime.without_images();
    let error = room.orchestrator().run(&everyone(&fixture::users(2))).await.unwrap_err();
    assert!(error.to_string().contains("thon image build"), "{error}");
    assert!(room.faults.calls("create").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_refuses_leaves_instances_running() {
    let room = Room::new();
    let users = fixture::users(2);
    room.faults.fail("apply", None, FailureKind::Other, 1);
    let report = room.run(&users).await;
    assert!(report.proxy_failure.is_some() && !report.is_success());
    assert!(report.instances.iter().all(|i| i.state == InstanceState::Running));
    assert!(room.run(&users).await.is_success());
    assert_eq!(room.faults.calls("create").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_url_that_does_not_answer_through_the_proxy_is_a_failure() {
    let room = Room::new();
    let users = fixture::users(2);
    room.proxy.lose_route(users[1].clone());
    let report = room.run(&users).await;
    assert_eq!(report.failures.len(), 1);
    assert_eq!(report.failures[0].user, users[1]);
    assert_eq!(report.instances[1].health, "unreachable: 502");
}

#[tokio::test(start_paused = true)]
async fn two_hundred_pass_through_the_queue_and_nobody_starves() {
    let room = Room::with(|runtime| runtime.starving_beyond(4));
    let orchestrator = room.orchestrator();
    let mut events = orchestrator.events().subscribe();
    let report = orchestrator.run(&everyone(&fixture::users(200))).await.unwrap();
    assert!(report.is_success(), "{:?}", report.failures);
    assert_eq!(room.runtime.most_starting(), 4, "the slots are used and never overrun");
    let (mut first, mut later) = (None, None);
    while let Ok(stamped) = events.try_recv() {
        if let Event::Queued { position, of, estimate, .. } = &stamped.event {
            first.get_or_insert((*position, *of, *estimate));
            later = estimate.map(|estimate| (*position, estimate)).or(later);
        }
    }
    assert_eq!(first, Some((1, 200, None)));
    assert!(later.is_some(), "whoever waits is told for how long");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_died_of_starvation_is_tried_again() {
    let room = Room::with(|runtime| runtime.starving_beyond(3));
    let orchestrator = room.orchestrator_with(|settings| settings.launch_concurrency = 6);
    let report = orchestrator.run(&everyone(&fixture::users(6))).await.unwrap();
    assert!(room.faults.calls("start").len() > 6, "some starved");
    assert!(!report.instances.is_empty());
    let report = room.run(&fixture::users(6)).await;
    assert!(report.is_success(), "and all are up in the end: {:?}", report.failures);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_fell_over_is_started_with_all_that_is_in_it() {
    let room = Room::new();
    let users = fixture::users(2);
    room.run(&users).await;
    room.runtime.kill(&users[0], 1);
    let status = room.orchestrator().status(&users).await.unwrap();
    assert_eq!(status[0].state, InstanceState::Failed);
    let report = room.run(&users).await;
    assert_eq!(report.started, users[..1]);
    assert_eq!(report.plan.summary().get(&Verb::Start), Some(&1));
    assert_eq!((room.faults.calls("create").len(), room.proxy.reloads()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn ports_and_passwords_survive_stop_and_down() {
    let room = Room::new();
    let users = fixture::users(2);
    let before = room.run(&users).await;
    let orchestrator = room.orchestrator();
    let (stopped, failures) = orchestrator.stop(None, true).await.unwrap();
    assert_eq!((stopped.len(), failures.len()), (2, 0));
    orchestrator.cleanup_proxy().await.unwrap();
    let after = room.run(&users).await;
    assert_eq!(urls(&before), urls(&after));
    let password = |report: &RunReport| report.instances[1].password.clone();
    assert_eq!(password(&before), password(&after));
}

#[tokio::test(start_paused = true)]
async fn stopping_is_refused_for_whoever_never_had_a_sandbox_and_for_nobody_else() {
    let room = Room::new();
    let users = fixture::users(3);
    room.run(&users[..2]).await;
    let orchestrator = room.orchestrator();
    orchestrator.stop(Some(&users[..1]), true).await.unwrap();
    let (stopped, failures) = orchestrator.stop(Some(&users), false).await.unwrap();
    assert_eq!(stopped, users[1..2]);
    let failed: Vec<_> =
        failures.iter().map(|failed| (&failed.user, failed.failure.kind)).collect();
    assert_eq!(failed, [(&users[2], FailureKind::Missing)]);
}

#[tokio::test(start_paused = true)]
async fn lost_seats_are_found_again_from_what_runs() {
    let room = Room::new();
    let users = fixture::users(3);
    let before = room.run(&users[1..]).await;
    room.store.lose();
    let after = room.run(&users).await;
    assert_eq!(urls(&after)[1..], urls(&before), "URLs on printed sheets stay right");
    assert!(after.is_success());
}

#[tokio::test(start_paused = true)]
async fn a_port_held_by_another_program_is_skipped() {
    let room = Room::new();
    room.runtime.occupy(Port::new(20_000).unwrap());
    let report = room.run(&fixture::users(1)).await;
    assert_eq!(report.instances[0].port.unwrap().get(), 20_001);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing() {
    let room = Room::new();
    let prepared = room.orchestrator().prepare(&everyone(&fixture::users(3))).await.unwrap();
    assert_eq!(prepared.plan.summary().get(&Verb::Create), Some(&3));
    for operation in ["save_seats", "ensure", "ensure_workspace", "prepare", "create", "apply"] {
        assert!(room.faults.calls(operation).is_empty(), "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_passwords_nobody_is_asked_and_with_them_again_it_is_the_same_one() {
    let room = Room::new();
    let users = fixture::users(1);
    let first = room.run(&users).await;
    let open = room.orchestrator_with(|settings| settings.secure = false);
    let report = open.run(&everyone(&users)).await.unwrap();
    assert!(report.instances[0].password.is_none());
    assert_eq!(report.plan.actions[0].reason(), Some("no password is asked for any more"));
    let again = room.run(&users).await;
    assert_eq!(again.instances[0].password, first.instances[0].password);
}

#[tokio::test(start_paused = true)]
async fn the_in_memory_adapters_keep_the_contracts() {
    let room = Room::new();
    let spec = fixture::specs(1).remove(0);
    let mut without_image = spec.clone();
    without_image.image = "not/there:1".parse().unwrap();
    let runtime = MemoryRuntime::new(
        NodeName::default(),
        Arc::new(Faults::default()),
        Duration::from_secs(1),
    );
    runtime.only_image(&spec.image);
    contract::runtime(&RuntimeFixture { runtime: &runtime, spec, without_image }).await;
    contract::store(&*room.store, &CountingEntropy::default()).await;
    let names = CertificateNames::for_node("203.0.113.7", None);
    let more = CertificateNames::for_node("hack.example.org", None);
    contract::certificate(&*room.certificates, &names).await;
    contract::certificate_names_changed(&*room.certificates, &names, &more).await;
    room.run(&fixture::users(2)).await;
    let site = room.proxy.serving().unwrap();
    contract::proxy(&MemoryProxy::new(Arc::new(Faults::default())), &site).await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_limit_is_measured_and_who_presses_it_is_named() {
    let room = Room::new();
    let users = fixture::users(3);
    let limited = |settings: &mut NodeSettings| settings.limits.disk = Some(ByteSize::mib(100));
    let full = DiskUse { sandbox: ByteSize::mib(1), workspace: ByteSize::mib(120) };
    room.runtime.fill(&users[1], full);
    let orchestrator = room.orchestrator_with(limited);
    let mut events = orchestrator.events().subscribe();
    let report = orchestrator.run(&everyone(&users)).await.unwrap();
    assert!(report.is_success(), "a full workspace is no failure: {:?}", report.failures);
    let (mut warnings, mut pressing) = (Vec::new(), Vec::new());
    while let Ok(stamped) = events.try_recv() {
        match &stamped.event {
            Event::Warning { text } => warnings.push(text.clone()),
            Event::DiskPressing { user, level, used, limit } => {
                pressing.push((user.clone(), *level, *used, *limit));
            }
            _ => {}
        }
    }
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("the disk limit is soft"), "{warnings:?}");
    assert_eq!(pressing, [(users[1].clone(), DiskLevel::Over, 121 << 20, 100 << 20)]);
    for views in [&report.instances, &orchestrator.status(&users).await.unwrap()] {
        let levels: Vec<_> = views.iter().map(|view| view.disk.unwrap().level()).collect();
        let fine = Some(DiskLevel::Fine);
        assert_eq!(levels, [fine, Some(DiskLevel::Over), fine]);
    }

    // Who can't be measured is shown without a number.
    room.faults.fail("disk_use", Some(&users[2].to_string()), FailureKind::TimedOut, 1);
    let views = orchestrator.status(&users).await.unwrap();
    let known: Vec<_> = views.iter().map(|view| view.disk.unwrap().used.is_some()).collect();
    assert_eq!(known, [true, true, false]);

    // Without a limit nobody is measured.
    let report = Room::new().run(&users).await;
    assert!(report.instances.iter().all(|view| view.disk.is_none()));
}
