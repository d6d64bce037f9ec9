//! What an organizer would notice of the layouts, on in-memory adapters with faults.
#![allow(clippy::unwrap_used, reason = "tests")]

mod room;

use room::{Room, everyone, laid_out, urls};
use thon_core::adapter::CertificateProvider as _;
use thon_core::certificate::{CertificateChange, CertificateNames};
use thon_core::config::Layout;
use thon_core::endpoint::Port;
use thon_core::lifecycle::Change;
use thon_core::name::UserId;
use thon_core::orchestrator::RunRequest;
use thon_core::testing::fixture;

#[tokio::test(start_paused = true)]
async fn in_layout_port_everyone_has_an_origin_that_stays_theirs() {
    let room = Room::new();
    let users = fixture::users(4);
    let run =
        async |users: &[UserId]| laid_out(&room, Layout::Port).run(&everyone(users)).await.unwrap();
    let first = run(&users[1..3]).await;
    assert_eq!(urls(&first), ["https://203.0.113.7:30000/", "https://203.0.113.7:30001/"]);
    // Whoever comes before them in the roster takes nobody's place.
    let second = run(&users).await;
    assert_eq!(urls(&second)[0], "https://203.0.113.7:30002/");
    assert_eq!(urls(&second)[1..3], urls(&first));
    assert_eq!((room.faults.calls("create").len(), room.proxy.reloads()), (4, 2));
    let third = run(&users).await;
    assert!(third.plan.is_settled());
    assert_eq!((urls(&third), room.proxy.reloads()), (urls(&second), 2));
}

#[tokio::test(start_paused = true)]
async fn another_layout_is_one_run_that_touches_no_sandbox() {
    let room = Room::new();
    let users = fixture::users(3);
    let path = room.run(&users).await;
    let expected = [
        (Layout::Port, "https://203.0.113.7:30002/"),
        (Layout::Subdomain, "https://user-2.group-0.hack.example.org/"),
        (Layout::Path, "https://203.0.113.7/20002/proxy/8445/"),
        (Layout::Port, "https://203.0.113.7:30002/"),
    ];
    for (reloads, (layout, url)) in (2..).zip(expected) {
        for _ in 0..2 {
            let report = laid_out(&room, layout).run(&everyone(&users)).await.unwrap();
            assert!(report.is_success() && report.plan.is_settled(), "{layout}");
            assert_eq!(urls(&report)[2], url);
            assert_eq!(room.proxy.reloads(), reloads, "{layout}: once, and then nothing");
        }
    }
    assert_eq!((room.faults.calls("create").len(), room.faults.calls("start").len()), (3, 3));
    assert_eq!(urls(&room.run(&users).await), urls(&path));
}

#[tokio::test(start_paused = true)]
async fn a_run_for_one_user_after_the_layout_was_changed_leaves_nobody_without_a_way_in() {
    let room = Room::new();
    let users = fixture::users(3);
    room.run(&users).await;
    let request = RunRequest {
        roster: users.clone(),
        selected: users[2..].to_vec(),
        ..RunRequest::default()
    };
    laid_out(&room, Layout::Port).run(&request).await.unwrap();
    assert_eq!(room.proxy.serving().unwrap().routes.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_pause_changes_nobody_s_way_in() {
    let room = Room::new();
    let users = fixture::users(3);
    for layout in [Layout::Port, Layout::Subdomain] {
        let orchestrator = laid_out(&room, layout);
        orchestrator.run(&everyone(&users)).await.unwrap();
        let entrances = || {
            let routes = room.proxy.serving().unwrap().routes;
            routes.into_iter().map(|route| route.entrance).collect::<Vec<_>>()
        };
        let before = entrances();
        assert_eq!(before.len(), 3);
        let paused = orchestrator.change(Change::Pause, Some(&users[..1])).await.unwrap();
        assert!(paused.is_success(), "{paused:?}");
        assert!(room.proxy.serving().unwrap().routes[0].paused);
        assert_eq!(entrances(), before, "{layout}");
        orchestrator.change(Change::Resume, None).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn writing_the_routes_anew_gives_public_ports_that_are_kept() {
    let room = Room::new();
    let users = fixture::users(2);
    room.run(&users).await;
    laid_out(&room, Layout::Port).sync_proxy().await.unwrap();
    let routes = room.proxy.serving().unwrap().routes;
    assert_eq!(routes.len(), 2);
    laid_out(&room, Layout::Port).run(&everyone(&users)).await.unwrap();
    assert_eq!(room.proxy.serving().unwrap().routes, routes);
}

#[tokio::test(start_paused = true)]
async fn a_public_port_of_another_program_is_skipped_and_one_taken_later_stops_only_its_user() {
    let room = Room::new();
    let users = fixture::users(3);
    let port = |number| Port::new(number).unwrap();
    room.proxy.occupy(port(30_000));
    let run = async || laid_out(&room, Layout::Port).run(&everyone(&users)).await.unwrap();
    let report = run().await;
    assert_eq!(urls(&report)[0], "https://203.0.113.7:30001/");
    room.proxy.occupy(port(30_002));
    let report = run().await;
    let failed: Vec<_> = report.failures.iter().map(|failure| failure.user.clone()).collect();
    assert_eq!(failed, users[1..2]);
    assert!(report.instances[1].health.contains("public port 30002"), "{:?}", report.instances[1]);
    assert_eq!(room.proxy.serving().unwrap().routes.len(), 2, "the others are served");
    assert_eq!(report.proxy_failure, None);
}

#[tokio::test(start_paused = true)]
async fn public_ports_run_out_before_anything_is_made() {
    let room = Room::new();
    let orchestrator = room.orchestrator_with(|settings| {
        let site = settings.site.as_mut().unwrap();
        (site.layout, site.instance_ports) = (Layout::Port, 30_000..=30_001);
    });
    let error = orchestrator.run(&everyone(&fixture::users(3))).await.unwrap_err().to_string();
    assert!(error.contains("group-0/user-2") && error.contains("nginx.instance_ports"), "{error}");
    assert!(room.faults.calls("create").is_empty() && room.faults.calls("save_seats").is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_certificate_covers_whoever_has_a_name() {
    let room = Room::new();
    let users = fixture::users(10);
    laid_out(&room, Layout::Subdomain).run(&everyone(&users[..9])).await.unwrap();
    // Someone more in a group that has a wildcard needs no other certificate.
    let names = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned());
        CertificateNames::for_node("203.0.113.7", None).with(names)
    };
    let covered = names(&["*.group-0.hack.example.org", "*.group-1.hack.example.org"]);
    assert!(room.certificates.current(&covered).await.unwrap().is_some());
    let report = laid_out(&room, Layout::Subdomain).run(&everyone(&users)).await.unwrap();
    assert_eq!(report.certificate.unwrap().change, CertificateChange::Reused);
}
