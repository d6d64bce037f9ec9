//! The world failing while an event is on.
//!
//! For: each failure ends in one line that says what to do, exit code 1, and whatever ran keeps
//! running; once the cause is gone the next run heals what is left.
//! Not for: being killed; see `crash`.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::desk::{finish, has};
use crate::gate::{Gate, Moment, Step};
use crate::stage::{Stage, edit};
use crate::standin::StandIn;
use crate::support::until;
use crate::support::{Output, docker, exec};

/// The lines `error: …` of a command that failed.
#[track_caller]
fn errors(said: &Output, code: i32) -> Vec<&str> {
    assert_eq!(said.code, code, "{said:?}");
    let lines: Vec<&str> =
        said.stderr.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert!(!lines.is_empty(), "{said:?}");
    lines
}

#[test]
fn a_port_that_somebody_took_costs_one_user_their_editor_until_it_is_free() {
    let stage = Stage::new("alpha: [ada, bob]");
    let all = stage.run();
    stage.thon(&["stop", "--yes"]).ok();
    let port = all[0].port.unwrap();
    let squatter = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let said = stage.run_with(&[]);
    let [line] = errors(&said, 1)[..] else { panic!("{said:?}") };
    has(line, &["alpha/ada", &port.to_string(), "in use"]);
    assert!(!stage.trace("alpha/ada").running);
    let web = stage.web();
    assert_eq!(web.get(&format!("{}healthz", all[1].url())).status, 200);
    drop(squatter);
    assert_eq!(stage.run(), all);
    stage.all_is_well(&["alpha/ada", "alpha/bob"]);
}

#[test]
fn the_port_of_the_proxy_being_taken_is_said_and_nobody_is_disturbed() {
    let stage = Stage::new("alpha: [ada]");
    stage.run();
    let before = stage.traces();
    stage.thon(&["nginx", "cleanup", "--yes"]).ok();
    for port in [stage.ports.https, stage.ports.http] {
        let squatter = TcpListener::bind(("0.0.0.0", port)).unwrap();
        let said = stage.run_with(&[]);
        let [line] = errors(&said, 1)[..] else { panic!("{said:?}") };
        let holder = format!("process {}", std::process::id());
        has(line, &[&format!("port {port} is in use"), &holder, "nginx.https_port"]);
        assert_eq!(stage.traces(), before);
        drop(squatter);
    }
    stage.run();
    assert_eq!(stage.traces(), before);
    stage.all_is_well(&["alpha/ada"]);
}

#[test]
fn an_image_that_is_not_there_is_found_out_before_anything_is_touched() {
    let stage = Stage::new("alpha: [ada]");
    let text = std::fs::read_to_string(stage.config_file()).unwrap();
    let lost = |text: &str| text.replace(&crate::support::image(), "nope/nope:1");
    stage.write_config(&lost(&text));
    let said = stage.run_with(&[]);
    has(errors(&said, 1)[0], &["nope/nope:1", "`thon image build`", "sandbox.image"]);
    assert!(stage.containers().is_empty());
    let status = stage.thon(&["image", "status"]).expect(1);
    has(&status.stdout, &["nope/nope:1: missing", "`thon image build`"]);

    stage.write_config(&text);
    stage.run();
    let before = (stage.traces(), stage.proxy());
    stage.write_config(&lost(&text));
    let said = stage.run_with(&["--yes"]);
    has(errors(&said, 1)[0], &["nope/nope:1", "`thon image build`"]);
    assert_eq!((stage.traces(), stage.proxy()), before);
    stage.write_config(&text);
    stage.all_is_well(&["alpha/ada"]);
}

#[test]
fn an_nginx_that_the_admin_broke_is_repaired_or_its_own_words_are_repeated() {
    let stage = Stage::new("alpha: [ada]");
    let ada = stage.run().remove(0);
    let before = stage.traces();
    let url = format!("{}healthz", ada.url());
    let conf = stage.thon_home().join("nginx/nginx.conf");
    let web = stage.web();

    // Our own file, changed by hand under a running nginx, which goes on with what it has read.
    let text = std::fs::read_to_string(&conf).unwrap();
    edit(&conf, |text| format!("{text}\nlissten 443;\n"));
    assert_eq!(web.get(&url).status, 200);
    stage.run();
    assert_eq!(std::fs::read_to_string(&conf).unwrap(), text);

    // The same while nothing runs, and the process killed besides.
    edit(&conf, |_| "server {".to_owned());
    let pid = stage.nginx_pid().unwrap();
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    until("the end of nginx", || stage.nginx_pid().is_none().then_some(()));
    stage.run();
    assert_eq!(web.get(&url).status, 200);
    assert_eq!(std::fs::read_to_string(&conf).unwrap(), text);

    // A program that doesn't do its work any more: a newcomer can't be served, everyone else is.
    let emerg =
        "nginx: [emerg] dlopen() \"ngx_http_geoip_module.so\" failed in /etc/nginx/nginx.conf:1";
    let broken = StandIn::fails(stage.folder(), "nginx", emerg);
    stage.set_groups("alpha: [ada, bob]");
    let said = finish(&mut stage.command_in(&[("PATH", &broken.path())], &["run"]));
    has(errors(&said, 1)[0], &["dlopen() \"ngx_http_geoip_module.so\" failed"]);
    assert_eq!(web.get(&url).status, 200);
    for (name, trace) in &before {
        assert_eq!(&stage.traces()[name], trace);
    }
    assert_eq!(std::fs::read_to_string(&conf).unwrap(), text);
    drop(broken);
    stage.run();
    stage.all_is_well(&["alpha/ada", "alpha/bob"]);
}

#[test]
fn without_a_certificate_nobody_is_started() {
    let stage = Stage::new("alpha: [ada]");
    edit(&stage.config_file(), |text| text.replace("nginx:\n", "nginx:\n  ssl_provider: mkcert\n"));
    let broken = StandIn::fails(stage.folder(), "mkcert", "ERROR: the root key is on holiday");
    let said = finish(&mut stage.command_in(&[("PATH", &broken.path())], &["run"]));
    has(errors(&said, 1)[0], &["mkcert", "the root key is on holiday", "nginx.ssl_provider"]);
    assert!(stage.containers().is_empty());
}

#[test]
fn sandboxes_that_somebody_killed_removed_or_froze_are_healed() {
    let stage = Stage::new("alpha: [ada, bob, carol]");
    let all = stage.run();
    let before = stage.traces();
    let name = |user: &str| stage.container_name(user);
    exec(&name("alpha/bob"), &["sh", "-c", "echo kept > work.txt"]);

    docker(&["kill", &name("alpha/ada")]);
    docker(&["rm", "--force", &name("alpha/bob")]);
    let states: Vec<String> = stage.instances().into_iter().map(|one| one.health).collect();
    assert_eq!(states, ["down", "none", "healthy"]);
    let plan: Vec<String> = stage.plan(&[]).into_values().collect();
    assert_eq!(plan, ["start", "create", "keep"]);

    let said = stage.run_with(&[]).ok();
    has(&said.stderr, &["plan: 1 create, 1 keep, 1 start"]);
    assert_eq!(stage.trace("alpha/ada").id, before[&name("alpha/ada")].id);
    assert_eq!(stage.trace("alpha/carol"), before[&name("alpha/carol")]);
    assert_eq!(exec(&name("alpha/bob"), &["cat", "work.txt"]), "kept");
    let again = stage.instances();
    for (one, other) in all.iter().zip(&again) {
        assert_eq!((one.url(), one.password()), (other.url(), other.password()));
    }
    stage.all_is_well(&["alpha/ada", "alpha/bob", "alpha/carol"]);
}

#[test]
fn a_second_command_is_told_that_another_is_at_work() {
    let stage = Stage::new("alpha: [ada]");
    let gate = Gate::new(stage.folder());
    gate.stop_at(Step {
        moment: Moment::Before,
        method: "POST",
        address: "/containers/create",
        nth: 1,
    });
    let mut command = stage.command_in(&[("DOCKER_HOST", &gate.docker_host())], &["run"]);
    let mut first = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the first sandbox", || gate.holds().then_some(()));

    let busy = format!("another thon (process {}) is changing this node", first.id());
    for args in [
        ["run"].as_slice(),
        &["stop", "--yes"],
        &["down", "--yes"],
        &["pause", "ada"],
        &["resume"],
        &["restart", "ada"],
        &["nginx", "sync"],
        &["nginx", "cleanup", "--yes"],
        &["tls", "issue"],
        &["image", "build"],
        &["setup"],
    ] {
        let said = stage.thon(args);
        let [line] = errors(&said, 1)[..] else { panic!("{args:?}: {said:?}") };
        has(line, &[&busy, "with `thon --config", " since 20", "wait until it has ended"]);
    }
    // Looking is allowed.
    for args in [["status"].as_slice(), &["run", "--dry-run"], &["nginx", "status"]] {
        stage.thon(args).ok();
    }
    gate.open();
    let ended = until("the first run's end", || first.try_wait().unwrap());
    assert!(ended.success(), "{ended}");
    stage.all_is_well(&["alpha/ada"]);
}

#[test]
fn of_several_runs_at_once_each_does_its_work_or_names_who_does() {
    let stage = Stage::new("alpha: [ada, bob]");
    let crowd: Vec<_> = (0..4)
        .map(|_| {
            let mut command = stage.command(&["run", "--yes"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let processes: Vec<u32> = crowd.iter().map(std::process::Child::id).collect();
    let ended: Vec<Output> =
        crowd.into_iter().map(|run| Output::from(run.wait_with_output().unwrap())).collect();
    assert!(ended.iter().any(|said| said.code == 0), "{ended:?}");
    for said in ended.iter().filter(|said| said.code != 0) {
        let [line] = errors(said, 1)[..] else { panic!("{said:?}") };
        has(
            line,
            &["another thon (process ", ") is changing this node", "wait until it has ended"],
        );
        assert!(processes.iter().any(|process| line.contains(&process.to_string())), "{line}");
    }
    let all = stage.instances();
    stage.all_is_well(&["alpha/ada", "alpha/bob"]);
    assert_eq!(stage.run(), all);
}

#[test]
fn docker_going_away_in_the_middle_is_said_and_the_next_run_goes_on() {
    let stage = Stage::new("alpha: [ada]");
    stage.run();
    let before = stage.traces();
    stage.set_groups("alpha: [ada, bob]");
    let gate = Gate::new(stage.folder());
    gate.stop_at(Step {
        moment: Moment::After,
        method: "POST",
        address: "/containers/create",
        nth: 1,
    });
    let mut command = stage.command_in(&[("DOCKER_HOST", &gate.docker_host())], &["run"]);
    let first = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the first sandbox", || gate.holds().then_some(()));
    gate.shut();
    let said = Output::from(first.wait_with_output().unwrap());
    for line in errors(&said, 1) {
        has(line, &["Docker", ";"]);
    }
    for (name, trace) in &before {
        assert_eq!(&stage.traces()[name], trace);
    }
    stage.run();
    stage.all_is_well(&["alpha/ada", "alpha/bob"]);
}

#[test]
fn a_folder_that_cannot_hold_workspaces_is_named() {
    let stage = Stage::new("alpha: [ada]");
    let said = stage.run_with(&["--no-nginx", "--workspace-dir", "thon.yaml/spaces"]);
    let [line] = errors(&said, 1)[..] else { panic!("{said:?}") };
    has(line, &["alpha/ada", "thon.yaml/spaces"]);
    assert!(stage.containers().is_empty());
}

#[test]
fn seats_that_were_damaged_are_never_guessed() {
    let stage = Stage::new("alpha: [ada]");
    let ada = stage.run().remove(0);
    let before = stage.traces();
    let seats = stage.thon_home().join("seats.json");
    let text = std::fs::read_to_string(&seats).unwrap();
    edit(&seats, |text| text.replacen("\"secret\"", "\"secret", 1));
    for args in [["run", "--yes"].as_slice(), &["status"], &["run", "--dry-run"]] {
        let said = stage.thon(args);
        let [line] = errors(&said, 1)[..] else { panic!("{args:?}: {said:?}") };
        has(line, &[seats.to_str().unwrap(), "damaged at line", "backup"]);
        assert!(!said.stderr.contains(ada.password()), "{said:?}");
    }
    assert_eq!(stage.traces(), before);

    // Without the file the place is found on the sandbox; only the password has to be made anew, and
    // that is asked for.
    std::fs::remove_file(&seats).unwrap();
    let said = stage.run_with(&[]);
    has(errors(&said, 2)[0], &["alpha/ada", "the password changed", "--yes"]);
    assert_eq!(stage.traces(), before);
    std::fs::write(&seats, text).unwrap();
    assert_eq!(stage.run(), [ada]);
    assert_eq!(stage.traces(), before);
}
