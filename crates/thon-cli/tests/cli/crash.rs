//! `kill -9` in the middle of a run.
//!
//! For: wherever it is killed, the next run brings everything to where one run would have brought
//! it, and nothing is there twice, left over or lost.
//! Not for: what a failing part of the world does to a run; see `faults`.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::gate::{Gate, Moment, Step};
use crate::stage::{Stage, edit};
use crate::standin::StandIn;
use crate::support::until;
use crate::support::{docker, exec, try_docker};

const USERS: [&str; 2] = ["alpha/ada", "alpha/bob"];
const MOMENTS: [Moment; 2] = [Moment::Before, Moment::After];

/// What a first run asks Docker to do, the how manieth of its kind.
const LAUNCH: [(&str, &str, usize); 6] = [
    ("POST", "/networks/create", 1),
    ("POST", "/volumes/create", 1),
    ("POST", "/containers/create", 1),
    ("PUT", "/archive", 2),
    ("POST", "/start", 1),
    ("POST", "/start", 2),
];

/// Everything that replacing one sandbox asks Docker to do, and whether the old one is still there
/// for the next run.
const REPLACE: [(Moment, &str, &str, bool); 10] = [
    (Moment::Before, "POST", "/stop", true),
    (Moment::After, "POST", "/stop", true),
    (Moment::Before, "DELETE", "/containers/", true),
    (Moment::After, "DELETE", "/containers/", false),
    (Moment::Before, "POST", "/containers/create", false),
    (Moment::After, "POST", "/containers/create", false),
    (Moment::Before, "PUT", "/archive", false),
    (Moment::After, "PUT", "/archive", false),
    (Moment::Before, "POST", "/start", false),
    (Moment::After, "POST", "/start", false),
];

fn start(stage: &Stage, env: &[(&str, &str)], args: &[&str]) -> Child {
    let mut command = stage.command_in(env, args);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until the run stands where it is held, and kills it there.
#[track_caller]
fn kill(mut child: Child, what: &str, held: impl Fn() -> bool) {
    until(what, || {
        assert!(child.try_wait().unwrap().is_none(), "{what}: the run ended by itself");
        held().then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Seats as they are remembered at this moment.
fn seats(stage: &Stage) -> Option<Value> {
    let text = std::fs::read(stage.thon_home().join("seats.json")).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

/// The next run, and what it has to come to.
#[track_caller]
fn converges(stage: &Stage) {
    let known = seats(stage);
    stage.run_with(&[]).ok();
    stage.all_is_well(&USERS);
    assert!(known.is_none_or(|known| Some(known) == seats(stage)));
}

/// Takes everything away, as before the first run ever.
fn wipe(stage: &Stage) {
    stage.thon(&["down", "--yes"]).ok();
    for volume in stage.volumes() {
        docker(&["volume", "rm", &volume]);
    }
    try_docker(&["network", "rm", &stage.name]);
    std::fs::remove_dir_all(stage.thon_home()).unwrap();
}

#[test]
fn a_first_run_that_is_killed_at_docker_is_finished_by_the_next() {
    let stage = Stage::new("alpha: [ada, bob]");
    // Its keys are made in no time, and this is about Docker.
    edit(&stage.config_file(), |text| {
        text.replace("nginx:\n", "nginx:\n  ssl_provider: embedded\n")
    });
    let gate = Gate::new(stage.folder());
    let host = gate.docker_host();
    for (method, address, nth) in LAUNCH {
        for moment in MOMENTS {
            let step = Step { moment, method, address, nth };
            gate.stop_at(step);
            let child = start(&stage, &[("DOCKER_HOST", &host)], &["run"]);
            kill(child, &format!("{step:?}"), || gate.holds());
            gate.shut();
            converges(&stage);
            wipe(&stage);
        }
    }
}

#[test]
fn a_first_run_that_is_killed_at_nginx_or_mkcert_is_finished_by_the_next() {
    let stage = Stage::new("alpha: [ada, bob]");
    for (program, pattern) in [("mkcert", "-cert-file*"), ("nginx", "-t*"), ("nginx", "-p*")] {
        for moment in MOMENTS {
            let stand_in = StandIn::stops(stage.folder(), program, pattern, moment);
            let child = start(&stage, &[("PATH", &stand_in.path())], &["run"]);
            let what = format!("{moment:?} {program} {pattern}");
            kill(child, &what, || stand_in.holds());
            drop(stand_in);
            converges(&stage);
            wipe(&stage);
        }
    }
}

#[test]
fn a_replacement_that_is_killed_loses_no_work_and_disturbs_nobody() {
    let stage = Stage::new("alpha: [ada, bob]");
    let gate = Gate::new(stage.folder());
    let host = gate.docker_host();
    let all: BTreeMap<_, _> = stage.run().into_iter().map(|one| (one.user.clone(), one)).collect();
    exec(all["ada"].container(), &["sh", "-c", "echo kept > work.txt"]);
    let bob = stage.trace("alpha/bob");
    for (moment, method, address, same) in REPLACE {
        let step = Step { moment, method, address, nth: 1 };
        let before = stage.trace("alpha/ada");
        gate.stop_at(step);
        let env = [("DOCKER_HOST", host.as_str())];
        let child = start(&stage, &env, &["run", "--user", "ada", "--recreate", "--yes"]);
        kill(child, &format!("{step:?}"), || gate.holds());
        gate.shut();
        converges(&stage);
        assert_eq!(stage.trace("alpha/bob"), bob, "{step:?}");
        let ada = stage.instance("alpha", "ada");
        assert_eq!((ada.url(), ada.password()), (all["ada"].url(), all["ada"].password()));
        assert_eq!(exec(ada.container(), &["cat", "work.txt"]), "kept", "{step:?}");
        assert_eq!(stage.trace("alpha/ada").id == before.id, same, "{step:?}");
    }
}
