//! The machine going down and coming up in the middle of an event.

use std::process::Command;

use crate::desk::has;
use crate::stage::Stage;
use crate::support::until;
use crate::support::{docker, exec};

const USERS: [&str; 3] = ["alpha/ada", "alpha/bob", "alpha/carol"];

/// Ends a process of this machine as a power cut does.
fn cut(pid: u64) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

/// Everything is ended from outside, past Docker's knowledge, which is what it finds after a
/// reboot: containers that run no more though nobody stopped them.
#[test]
fn after_a_reboot_everyone_is_where_they_were() {
    let stage = Stage::new("alpha: [ada, bob, carol]");
    let all = stage.run();
    exec(all[0].container(), &["sh", "-c", "echo kept > work.txt; echo kept > ~/home.txt"]);
    // Stopped by the organizer, who doesn't want it back by itself.
    stage.thon(&["stop", "carol"]).ok();
    let before = stage.traces();

    for user in &USERS[..2] {
        cut(stage.inspect(user)["State"]["Pid"].as_u64().unwrap());
    }
    let nginx = stage.nginx_pid().unwrap();
    let workers = Command::new("pgrep").args(["-P", &nginx.to_string()]).output().unwrap();
    cut(nginx.into());
    for worker in String::from_utf8_lossy(&workers.stdout).lines() {
        // May have ended with its master.
        drop(Command::new("kill").args(["-KILL", worker]).output());
    }

    // By their own policy: the same sandboxes, at their ports, before anybody does anything.
    until("everyone's return", || {
        let now = stage.instances();
        let healthy = now[..2].iter().all(|one| one.health == "healthy");
        (healthy
            && USERS[..2].iter().all(|user| {
                stage.trace(user).started != before[&stage.container_name(user)].started
            }))
        .then_some(())
    });
    assert!(!stage.trace("alpha/carol").running);
    assert_eq!(stage.nginx_pid(), None, "a process of ours is nobody's service");
    let said = stage.thon(&["status"]).ok();
    has(&said.stderr, &["2 of 3 running", "`thon nginx sync` brings it back"]);

    // And with one run at the URLs that were printed.
    let said = stage.run_with(&[]).ok();
    has(&said.stderr, &["plan: 2 keep, 1 start", "proxy: started, 3 routes"]);
    assert_eq!(stage.instances(), all);
    for (name, trace) in stage.traces() {
        assert_eq!(trace.id, before[&name].id, "nobody was replaced");
    }
    assert_eq!(
        exec(all[0].container(), &["cat", "work.txt", "/home/vscode/home.txt"]),
        "kept\nkept"
    );
    let web = stage.web();
    web.websocket(&format!("{}healthz", all[0].url())).ask_for_health();
    stage.all_is_well(&USERS);
}

/// After a reboot Docker starts what was paused, and it isn't paused any more.
#[test]
fn who_was_paused_before_a_reboot_runs_after_it_and_is_served_by_the_next_run() {
    let stage = Stage::new("alpha: [ada]");
    let all = stage.run();
    stage.thon(&["pause", "ada"]).ok();
    let before = stage.trace("alpha/ada");
    docker(&["restart", "--time", "1", &stage.container_name("alpha/ada")]);
    until("ada's return", || (stage.instances()[0].health == "healthy").then_some(()));
    assert_eq!(stage.web().get(all[0].url()).status, 503, "nginx hasn't heard of it");
    has(&stage.run_with(&[]).ok().stderr, &["plan: 1 keep", "proxy: reloaded"]);
    assert_eq!((stage.instances(), stage.trace("alpha/ada").id), (all, before.id));
    stage.all_is_well(&["alpha/ada"]);
}
