//! Docker being slow, failing, or not answering at all.
//!
//! For: every request that a command makes ends in time, in one line that says what to do; whoever
//! works goes on, and once Docker is well the next run brings everything to where it should be.
//! Not for: Docker going away; see `faults` and `engine`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::desk::{finish, has, sane};
use crate::gate::{FAULT, Fault, Gate, Moment};
use crate::stage::{Stage, edit};
use crate::support::until;
use crate::support::{Output, docker};

/// What a run with a newcomer asks Docker for: the method, a part of the address, and whether the
/// newcomer alone is hurt when it fails.
/// The workspace goes first: once it is there it isn't asked for again.
const ASKED: [(&str, &str, bool); 7] = [
    ("POST", "/volumes/create", true),
    ("GET", "/containers/json", false),
    ("GET", "/networks", false),
    ("GET", "/images/", false),
    ("POST", "/containers/create", true),
    ("PUT", "/archive", true),
    ("POST", "/start", true),
];

/// Far more than the limits that the tests set, and less than those that hold by default.
const SOON: Duration = Duration::from_secs(25);

/// A node with `alpha/ada` at work and `alpha/bob` to come, whose commands give Docker a second to
/// answer.
fn impatient() -> Stage {
    let stage = Stage::new("alpha: [ada]");
    stage.run();
    stage.set_groups("alpha: [ada, bob]");
    edit(&stage.config_file(), |text| {
        text.replace("sandbox:\n", "sandbox:\n  docker_timeout_seconds: 1\n")
    });
    stage
}

/// Runs a command behind the gate to its end, which comes by itself and soon.
#[track_caller]
fn ends(stage: &Stage, gate: &Gate, args: &[&str]) -> Output {
    let start = Instant::now();
    let mut command = stage.command_in(&[("DOCKER_HOST", &gate.docker_host())], args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(&format!("the end of {args:?}"), || child.try_wait().unwrap());
    assert!(start.elapsed() < SOON, "{args:?} took {:?}", start.elapsed());
    let said = Output::from(child.wait_with_output().unwrap());
    sane(&said);
    said
}

/// The lines `error: …` of a command that failed, each with a cause and an advice.
#[track_caller]
fn errors<'o>(said: &'o Output, gate: &Gate, part: &str) -> Vec<&'o str> {
    assert_eq!(said.code, 1, "{said:?}, asked for {:?}", gate.requests());
    let lines: Vec<&str> =
        said.stderr.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert!(!lines.is_empty(), "{said:?}");
    for line in &lines {
        has(line, &[part, "; "]);
    }
    lines
}

/// Docker is well again: the next run converges, and then the newcomer goes.
#[track_caller]
fn heals(stage: &Stage, gate: &Gate) {
    gate.recover();
    stage.run_with(&[]).ok();
    stage.all_is_well(&["alpha/ada", "alpha/bob"]);
    let with_bob = std::fs::read_to_string(stage.config_file()).unwrap();
    stage.write_config(&with_bob.replace("[ada, bob]", "[ada]"));
    stage.run_with(&["--prune"]).ok();
    docker(&["volume", "rm", &stage.volume_name("alpha/bob")]);
    stage.write_config(&with_bob);
}

#[test]
fn a_docker_that_fails_is_quoted_and_costs_nobody_who_works() {
    let stage = impatient();
    let (ada, web) = (stage.instance("alpha", "ada"), stage.web());
    let before = stage.trace("alpha/ada");
    let gate = Gate::new(stage.folder());
    for (method, address, newcomer) in ASKED {
        gate.disturb(method, address, Fault::Fails);
        let said = ends(&stage, &gate, &["run"]);
        let lines = errors(&said, &gate, FAULT);
        if newcomer {
            assert!(lines.iter().all(|line| line.starts_with("alpha/bob: ")), "{lines:?}");
        }
        assert_eq!(web.get(&format!("{}healthz", ada.url())).status, 200, "{address}");
        assert_eq!(stage.trace("alpha/ada"), before, "{address}");
        if newcomer {
            heals(&stage, &gate);
        }
    }
    heals(&stage, &gate);
    assert_eq!(stage.trace("alpha/ada"), before);
}

#[test]
fn a_docker_that_never_answers_is_given_up_in_time() {
    let stage = impatient();
    let (ada, web) = (stage.instance("alpha", "ada"), stage.web());
    let before = stage.trace("alpha/ada");
    let gate = Gate::new(stage.folder());
    for (method, address, newcomer) in ASKED {
        // What was asked for and done without an answer is the harder case.
        let done = ["/containers/create", "/start"].contains(&address);
        gate.disturb(
            method,
            address,
            Fault::Hangs(if done { Moment::After } else { Moment::Before }),
        );
        let said = ends(&stage, &gate, &["run"]);
        for line in errors(&said, &gate, "did not answer within") {
            has(line, &["docker_timeout_seconds"]);
        }
        assert_eq!(web.get(&format!("{}healthz", ada.url())).status, 200, "{address}");
        assert_eq!(stage.trace("alpha/ada"), before, "{address}");
        if newcomer {
            heals(&stage, &gate);
        }
    }
    // The same goes for every other command.
    gate.disturb("GET", "/containers/json", Fault::Hangs(Moment::Before));
    for args in [
        ["status"].as_slice(),
        &["run", "--dry-run"],
        &["stop", "--yes"],
        &["down", "--yes"],
        &["logs", "ada"],
        &["nginx", "sync"],
    ] {
        errors(&ends(&stage, &gate, args), &gate, "did not answer within");
        assert_eq!(stage.trace("alpha/ada"), before, "{args:?}");
    }
    heals(&stage, &gate);
    assert_eq!(web.get(&format!("{}healthz", ada.url())).status, 200);
}

#[test]
fn a_docker_that_is_slow_is_waited_for() {
    let stage = Stage::new("alpha: [ada, bob]");
    let gate = Gate::new(stage.folder());
    for (method, address, _) in ASKED {
        gate.disturb(method, address, Fault::Slow(Duration::from_millis(700)));
        let env = [("DOCKER_HOST", gate.docker_host())];
        let env: Vec<(&str, &str)> =
            env.iter().map(|(name, host)| (*name, host.as_str())).collect();
        finish(&mut stage.command_in(&env, &["run"])).ok();
    }
    gate.open();
    stage.all_is_well(&["alpha/ada", "alpha/bob"]);
}
