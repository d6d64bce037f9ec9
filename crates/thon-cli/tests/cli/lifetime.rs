//! Lifetimes and idleness, on the real Docker.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::desk::has;
use crate::stage::{Stage, edit};
use crate::support::exec;
use crate::support::until;

/// The watcher of the node; nothing where none is.
fn watcher(stage: &Stage) -> Option<i32> {
    let lock = std::fs::read_to_string(stage.thon_home().join("watch.lock")).ok()?;
    let pid = lock.trim().parse().ok()?;
    // The number may be somebody else's by now.
    let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let ours = arguments.contains(stage.config_file().to_str()?) && arguments.contains("\0watch\0");
    ours.then_some(pid)
}

/// Ends the watcher as a reboot would: at once.
fn kill_watcher(stage: &Stage) {
    let pid = until("a watcher", || watcher(stage));
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    until("the watcher's end", || watcher(stage).is_none().then_some(()));
}

fn with(stage: &Stage, keys: &str) {
    edit(&stage.config_file(), |text| text.replace("sandbox:\n", &format!("sandbox:\n  {keys}\n")));
}

/// What status says of a user.
fn row(stage: &Stage, user: &str) -> Value {
    let rows = stage.status_json();
    let found = rows.as_array().unwrap().iter().find(|row| row["user"] == user);
    found.unwrap_or_else(|| panic!("no {user} in {rows}")).clone()
}

/// Changes one user's entry in what THON remembers, where there is one.
fn change_entry(entries: &mut Value, user: &str, change: impl Fn(&mut Value)) {
    let entries = entries.as_array_mut().unwrap();
    entries.iter_mut().filter(|entry| entry["user"] == user).for_each(change);
}

/// Lets the time of a user be up.
fn expire(stage: &Stage, user: &str) {
    edit(&stage.thon_home().join("seats.json"), |text| {
        let mut file: Value = serde_json::from_str(&text).unwrap();
        change_entry(&mut file["seats"], user, |seat| {
            assert!(seat["expires_at"].is_u64(), "{seat}");
            seat["expires_at"] = json!(1_700_000_000);
        });
        file.to_string()
    });
}

/// Lets more than half an hour pass since users were last used.
fn age(stage: &Stage, users: &[&str]) {
    edit(&stage.thon_home().join("activity.json"), |text| {
        let mut entries: Value = serde_json::from_str(&text).unwrap();
        for user in users {
            change_entry(&mut entries, user, |entry| {
                entry["active_at"] = json!(entry["looked_at"].as_u64().unwrap() - 31 * 60_000);
            });
        }
        entries.to_string()
    });
}

#[test]
fn a_lifetime_outlives_every_process_of_thon() {
    let stage = Stage::new("alpha: [ada, bob]");
    with(&stage, "timeout_minutes: 90");
    let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let earliest = seconds();
    let said = stage.run_with(&["--no-nginx"]).ok();
    has(&said.stderr, &["stopped 90 minutes after their start", "`thon watch` was started"]);
    let end = row(&stage, "ada")["expires_at"].clone();
    let file = std::fs::read_to_string(stage.thon_home().join("seats.json")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let written = Duration::from_secs(file["seats"][0]["expires_at"].as_u64().unwrap());
    let lifetime = Duration::from_mins(90);
    assert!(written + Duration::from_secs(1) >= earliest + lifetime, "{written:?}");
    assert!(written <= seconds() + lifetime, "{written:?}");

    // Another run prolongs nothing, and there is one watcher, however often somebody runs.
    let pid = until("a watcher", || watcher(&stage));
    let said = stage.run_with(&["--no-nginx"]).ok();
    assert!(!said.stderr.contains("was started"), "{}", said.stderr);
    assert_eq!(
        (row(&stage, "ada")["expires_at"].clone(), watcher(&stage)),
        (end.clone(), Some(pid))
    );
    let said = stage.thon(&["watch"]).expect(1);
    has(&said.stderr, &[&format!("process {pid} watches this node already")]);
    has(&stage.thon(&["status"]).ok().stdout, &["ENDS", end.as_str().unwrap()]);

    // It dies, and is missed.
    kill_watcher(&stage);
    has(&stage.thon(&["status"]).ok().stderr, &["nobody watches for lifetimes"]);
    let said = stage.thon(&["--json", "extend", "30", "bob"]).ok().json();
    assert_eq!(said[0]["expires_at"], row(&stage, "bob")["expires_at"]);
    assert_ne!(said[0]["expires_at"], end);

    // Time goes by. Whoever looks next finds it in what is written down.
    expire(&stage, "ada");
    let before = stage.trace("alpha/bob");
    let said = stage.thon(&["watch", "--once"]).ok();
    has(&said.stdout, &["stopped alpha/ada: its time is up", "`thon run --user alpha/ada`"]);
    assert!(!said.stdout.contains("bob"), "{}", said.stdout);
    assert_eq!(row(&stage, "ada")["health"], "down");
    assert_eq!(stage.trace("alpha/bob"), before);
    assert_eq!(stage.thon(&["watch", "--once"]).ok().stdout, "", "nothing is done twice");

    // Run again, they have a whole lifetime; and the watcher that comes with it does its work too.
    let said = stage.run_with(&["--no-nginx", "--user", "ada"]).ok();
    has(&said.stderr, &["`thon watch` was started"]);
    assert!(row(&stage, "ada")["expires_at"].as_str() > end.as_str());
    kill_watcher(&stage);
    expire(&stage, "bob");
    let mut watching = stage
        .command(&["--json", "watch", "--interval", "1"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("bob's end", || (!stage.trace("alpha/bob").running).then_some(()));
    assert!(stage.trace("alpha/ada").running);
    // With the node it ends, too.
    stage.thon(&["down", "--yes"]).ok();
    let ended = until("the watcher's end", || watching.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn who_has_neither_a_browser_nor_work_is_idle_and_fares_as_configured() {
    let stage = Stage::new("alpha: [ada, bob, carol]");
    with(&stage, "idle_minutes: 30");
    let said = stage.run_with(&["--no-nginx"]).ok();
    assert!(!said.stderr.contains("watch"), "{}", said.stderr);
    assert_eq!(watcher(&stage), None, "nothing is to be done");
    let all = stage.instances();
    let work = || {
        let script = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done";
        exec(all[1].container(), &["sh", "-c", script]);
    };
    let browse = || {
        let address = format!("127.0.0.1:{}", all[2].port.unwrap());
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        std::io::Write::write_all(&mut socket, request.as_bytes()).unwrap();
        std::io::copy(&mut socket, &mut std::io::sink()).unwrap();
    };
    // One look to begin with, time goes by, bob's machine works and carol opens her editor; asking
    // for anybody's health is no use of it.
    let look_later = |users: &[&str]| {
        let first = stage.thon(&["watch", "--once"]).ok().stdout;
        age(&stage, users);
        work();
        browse();
        stage.instances();
        first + &stage.thon(&["watch", "--once"]).ok().stdout
    };

    // It is only reported. An editor that has just started may still be busy with itself.
    let everyone = ["ada", "bob", "carol"];
    let said = until("ada to be idle", || {
        let said = look_later(&everyone);
        said.contains("idle alpha/ada: not used since").then_some(said)
    });
    assert!(said.lines().all(|line| line.contains(" idle alpha/ada: ")), "{said}");
    has(&stage.thon(&["status"]).ok().stdout, &["NOT USED FOR", "31 min"]);
    assert!(row(&stage, "carol")["active_at"].is_string());
    assert_eq!(row(&stage, "ada")["state"], "Running");

    // Paused, and back again: then everyone has the whole time before them.
    with(&stage, "idle: pause");
    let said = until("ada's pause", || {
        let said = look_later(&everyone);
        said.contains("paused alpha/ada: not used since").then_some(said)
    });
    assert_eq!(said.lines().count(), 1, "{said}");
    let states = || everyone.map(|user| row(&stage, user)["state"].as_str().unwrap().to_owned());
    assert_eq!(states(), ["Paused", "Running", "Running"]);
    stage.thon(&["resume", "ada"]).ok();
    assert_eq!(stage.thon(&["watch", "--once"]).ok().stdout, "");
    assert_eq!(states(), ["Running"; 3]);

    // Stopped; a run brings them back, and a watcher with them.
    edit(&stage.config_file(), |text| text.replace("idle: pause", "idle: stop"));
    until("ada's end", || {
        let said = look_later(&everyone);
        said.contains("stopped alpha/ada: not used since").then_some(())
    });
    assert_eq!(row(&stage, "ada")["health"], "down");
    assert_eq!(states()[1..], ["Running", "Running"]);
    let said = stage.run_with(&["--no-nginx"]).ok();
    has(&said.stderr, &["nobody uses for 30 minutes are stopped", "`thon watch` was started"]);
    assert_eq!(states(), ["Running"; 3]);
    let pid = until("a watcher", || watcher(&stage));
    stage.thon(&["down", "--yes"]).ok();
    until("the watcher's end", || (watcher(&stage) != Some(pid)).then_some(()));
}
