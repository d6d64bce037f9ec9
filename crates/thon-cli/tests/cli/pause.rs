//! Pausing, resuming and restarting.

use std::time::Instant;

use serde_json::json;

use crate::desk::has;
use crate::stage::Stage;
use crate::support::{docker, exec, try_docker};

const USERS: [&str; 2] = ["alpha/ada", "alpha/bob"];

#[test]
fn who_is_paused_is_kept_as_they_are_and_everyone_else_notices_nothing() {
    let stage = Stage::new("alpha: [ada, bob]");
    let all = stage.run();
    let before = stage.traces();
    let web = stage.web();
    let mut socket = web.websocket(&format!("{}healthz", all[1].url()));
    socket.ask_for_health();
    let container = stage.container_name("alpha/ada");
    docker(&["exec", "--detach", &container, "sleep", "4321"]);
    let (pid, reloads) = stage.proxy();

    let said = stage.thon(&["pause", "ada"]).ok();
    has(&said.stderr, &["alpha/ada: paused\n", "paused 1 sandbox; `thon resume` lets them go on"]);
    assert_eq!(stage.proxy(), (pid, reloads + 1));
    // Every request is answered, and at once: a frozen editor alone would leave it hanging.
    for path in ["", "healthz", "login"] {
        let begun = Instant::now();
        let page = web.get(&format!("{}{path}", all[0].url()));
        assert_eq!((page.status, page.header("retry-after")), (503, "10"), "{page:?}");
        has(&page.body, &["Your workspace is paused"]);
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
    let status = stage.thon(&["status"]).ok();
    has(&status.stdout, &["alpha/ada  Paused", all[0].url()]);
    has(&status.stderr, &["1 of 2 running, 1 paused"]);
    let ada = stage.instance("alpha", "ada");
    assert_eq!((ada.state.as_str(), ada.health.as_str()), ("Paused", "paused"));

    // Twice is as good as once, and for a program too.
    let said = stage.thon(&["pause", "ada"]).ok();
    has(&said.stderr, &["alpha/ada: paused already", "paused 0 sandboxes"]);
    let said = stage.thon(&["--json", "pause", "ada"]).ok().json();
    let ada = json!({ "group": "alpha", "user": "ada" });
    let unchanged = json!([{ "user": ada, "reason": "paused already" }]);
    assert_eq!(said, json!({ "paused": [], "unchanged": unchanged, "failures": [] }));
    assert_eq!(stage.proxy(), (pid, reloads + 1));

    // Resumed: what ran in it runs on.
    let said = stage.thon(&["resume"]).ok();
    has(&said.stderr, &["alpha/ada: running\n", "alpha/bob: running already", "resumed 1 sandbox"]);
    has(&docker(&["top", &container]), &["sleep 4321"]);
    assert_eq!(stage.proxy(), (pid, reloads + 2));
    socket.ask_for_health();
    assert_eq!((stage.traces(), stage.instances()), (before, all));
    stage.all_is_well(&USERS);
}

#[test]
fn a_paused_sandbox_is_resumed_stopped_restarted_replaced_and_removed_like_any_other() {
    let stage = Stage::new("alpha: [ada, bob]");
    let all = stage.run();
    let before = stage.traces();
    exec(all[0].container(), &["sh", "-c", "echo kept > work.txt; echo kept > /tmp/tmp.txt"]);

    // A run makes what runs into what is wanted.
    has(&stage.thon(&["pause", "--yes"]).ok().stderr, &["paused 2 sandboxes"]);
    let plan = stage.thon(&["run", "--dry-run"]).ok();
    has(
        &plan.stdout,
        &[
            "alpha/ada  resume  thon.yaml  it is paused",
            "alpha/bob  resume  thon.yaml  it is paused",
        ],
    );
    let said = stage.run_with(&[]).ok();
    has(&said.stderr, &["plan: 2 resume", "alpha/ada: running (", "proxy: reloaded, 2 routes"]);
    assert_eq!((stage.traces(), stage.instances()), (before.clone(), all.clone()));

    // Behind our back as well.
    docker(&["pause", &stage.container_name("alpha/ada")]);
    has(&stage.thon(&["pause", "ada"]).ok().stderr, &["paused already"]);
    assert_eq!(stage.web().get(all[0].url()).header("retry-after"), "10");
    docker(&["unpause", &stage.container_name("alpha/ada")]);
    has(&stage.thon(&["resume", "ada"]).ok().stderr, &["alpha/ada: running already"]);
    stage.all_is_well(&USERS);

    // Stopped while paused, and started again.
    stage.thon(&["pause", "ada"]).ok();
    has(&stage.thon(&["stop", "ada"]).ok().stderr, &["alpha/ada: stopped"]);
    assert_eq!(stage.inspect("alpha/ada")["State"]["Status"], "exited");
    for word in ["pause", "resume"] {
        let said = stage.thon(&[word, "ada"]).expect(1);
        has(&said.stderr, &["error: alpha/ada", "it is down", "`thon run` starts it"]);
    }
    has(&stage.thon(&["resume"]).ok().stderr, &["alpha/ada: down", "alpha/bob: running already"]);

    // Restarted: from down, from running, from paused; always the same sandbox at the same place.
    for prepare in [None, None, Some("pause")] {
        if let Some(word) = prepare {
            stage.thon(&[word, "ada"]).ok();
        }
        let earlier = stage.trace("alpha/ada").started;
        let said = stage.thon(&["restart", "ada"]).ok();
        has(&said.stderr, &["alpha/ada: running\n", "restarted 1 sandbox"]);
        assert_ne!(stage.trace("alpha/ada").started, earlier);
        assert_eq!(
            (stage.trace("alpha/bob"), stage.instances()),
            (before[&stage.container_name("alpha/bob")].clone(), all.clone())
        );
        stage.all_is_well(&USERS);
    }
    assert_eq!(exec(all[0].container(), &["cat", "work.txt", "/tmp/tmp.txt"]), "kept\nkept");

    // Replaced and removed while paused.
    stage.thon(&["pause", "--yes"]).ok();
    stage.run_with(&["--recreate", "--user", "ada", "--yes"]).ok();
    assert_eq!(exec(all[0].container(), &["cat", "work.txt"]), "kept");
    assert_eq!(stage.instance("alpha", "bob").state, "Paused", "a run for one leaves the others");
    stage.thon(&["down", "--yes"]).ok();
    assert!(stage.containers().is_empty() && stage.nginx_pid().is_none());
    let said = stage.thon(&["pause", "ada"]).expect(1);
    has(&said.stderr, &["alpha/ada", "there is none", "`thon run` makes one"]);
    assert!(stage.nginx_pid().is_none(), "a pause starts no proxy");
}

#[test]
fn one_that_cannot_be_paused_stops_nobody_else() {
    let stage = Stage::new("alpha: [ada, bob]");
    stage.run_with(&["--no-nginx"]).ok();
    try_docker(&["rm", "--force", &stage.container_name("alpha/ada")]);
    let said = stage.thon(&["pause", "--group", "alpha"]).expect(1);
    has(
        &said.stderr,
        &["error: alpha/ada: ", "there is none", "alpha/bob: paused", "paused 1 sandbox"],
    );
    assert_eq!(stage.instance("alpha", "bob").state, "Paused");
}
