//! The roster changes while the event is on.

use crate::desk::has;
use crate::stage::Stage;
use crate::support::exec;
use crate::web::plain_get;

/// Someone comes, someone goes, and nobody else notices.
#[test]
fn whoever_comes_or_goes_disturbs_nobody() {
    let stage = Stage::new("alpha: [ada, bob]\nbeta: [carol]");
    stage.run();
    let web = stage.web();
    let ada = stage.instance("alpha", "ada");
    let mut socket = web.websocket(&format!("{}healthz", ada.url()));
    assert!(socket.ask_for_health()["status"].is_string());
    exec(ada.container(), &["sh", "-c", "echo kept > notes.txt"]);
    let (before, (pid, reloads)) = (stage.traces(), stage.proxy());

    // Someone comes.
    stage.set_groups("alpha: [ada, bob]\nbeta: [carol, dave]");
    let said = stage.run_with(&[]).ok();
    has(&said.stderr, &["plan: 1 create, 3 keep", "beta/dave: running (1/1)"]);
    let after = stage.traces();
    assert_eq!(after.len(), 4);
    for (name, trace) in &before {
        assert_eq!(&after[name], trace, "{name} was disturbed");
    }
    assert_eq!(stage.proxy(), (pid, reloads + 1));
    assert!(socket.ask_for_health()["status"].is_string());
    stage.all_is_well(&["alpha/ada", "alpha/bob", "beta/carol", "beta/dave"]);

    // Someone goes: left alone, and said so.
    stage.set_groups("alpha: [bob]\nbeta: [carol, dave]");
    let said = stage.run_with(&[]).ok();
    has(&said.stderr, &["left alone: alpha/ada", "--prune"]);
    assert!(!said.stdout.contains("alpha/ada"), "{}", said.stdout);
    assert_eq!((stage.traces(), stage.proxy()), (after.clone(), (pid, reloads + 1)));
    assert_eq!(web.get(&format!("{}healthz", ada.url())).status, 200);
    assert!(socket.ask_for_health()["status"].is_string());
    assert_eq!(stage.instance("alpha", "ada"), ada);
    has(&stage.thon(&["run", "--dry-run"]).ok().stdout, &["alpha/ada   orphan", "--prune"]);

    // Their sandbox goes when it is said, their workspace stays.
    stage.run_with(&["--prune"]).ok();
    let pruned = stage.traces();
    assert_eq!(pruned.len(), 3);
    for (name, trace) in &pruned {
        assert_eq!(&after[name], trace, "{name} was disturbed");
    }
    assert!(stage.volumes().contains(&stage.volume_name("alpha/ada")));
    assert_eq!(web.get(&format!("{}healthz", ada.url())).status, 404);

    // And is theirs again when they come back, with their place and their password.
    stage.set_groups("alpha: [ada, bob]\nbeta: [carol, dave]");
    stage.run_with(&[]).ok();
    let back = stage.instance("alpha", "ada");
    assert_eq!((back.url(), back.password()), (ada.url(), ada.password()));
    assert_eq!(exec(back.container(), &["cat", "notes.txt"]), "kept");
}

/// A run that is about some leaves the others alone, whether they run or not.
#[test]
fn a_run_can_be_about_some() {
    let stage = Stage::new("alpha: [ada, bob]\nbeta: [bob]");
    let said = stage.run_with(&["--user", "beta/bob"]).ok();
    assert!(!said.stdout.contains("alpha/"), "{}", said.stdout);
    assert!(!said.stderr.contains("left alone"), "{}", said.stderr);
    assert_eq!(stage.traces().into_keys().collect::<Vec<_>>(), [stage.container_name("beta/bob")]);
    let first = stage.trace("beta/bob");

    stage.run_with(&["--group", "alpha", "--user", "bob"]).ok();
    assert_eq!(stage.traces().len(), 2);
    assert_eq!(stage.trace("beta/bob"), first);
    assert_eq!(stage.instance("alpha", "ada").health, "none");

    // The others' places are not given away meanwhile.
    let places: Vec<_> = stage.instances().into_iter().filter_map(|one| one.url).collect();
    stage.run_with(&["--prune", "--group", "alpha"]).ok();
    assert_eq!(stage.trace("beta/bob"), first);
    let everyone: Vec<_> = stage.instances().into_iter().filter_map(|one| one.url).collect();
    assert_eq!(everyone.len(), 3);
    assert!(places.iter().all(|place| everyone.contains(place)), "{places:?} {everyone:?}");
    stage.all_is_well(&["alpha/ada", "alpha/bob", "beta/bob"]);

    // Stopping can be about some as well.
    stage.thon(&["stop", "alpha/bob"]).ok();
    let running = |user: &str| stage.trace(user).running;
    assert_eq!(
        [running("alpha/ada"), running("alpha/bob"), running("beta/bob")],
        [true, false, true]
    );
    stage.thon(&["stop", "--group", "beta"]).ok();
    assert_eq!([running("alpha/ada"), running("beta/bob")], [true, false]);
    let local = stage.status_json()[0]["local_url"].as_str().unwrap().to_owned();
    assert_eq!(plain_get(&format!("{local}healthz")).status, 200);
}
