//! The other ways to run a node.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::desk::{error_line, has};
use crate::gate::{Gate, Moment, Step};
use crate::stage::{Stage, edit};
use crate::support::until;
use crate::support::{Output, exec};
use crate::web::{WORKBENCH, plain_get};

#[test]
fn without_a_proxy_each_instance_answers_on_this_machine() {
    let stage = Stage::new("alpha: [ada, bob]");
    let said = stage.run_with(&["--no-nginx"]).ok();
    let all = stage.thon(&["--json", "run", "--no-nginx"]).ok().json();
    for one in all.as_array().unwrap() {
        assert!(one["url"].is_null(), "{one}");
        let local = one["local_url"].as_str().unwrap();
        has(&said.stdout, &[local]);
        assert_eq!(plain_get(&format!("{local}healthz")).status, 200);
        assert!(plain_get(local).asks_for_login(), "{one}");
    }
    assert!(!stage.thon_home().join("nginx").exists() && !stage.thon_home().join("tls").exists());
    assert!(!said.stderr.contains("ca.crt"), "{}", said.stderr);
}

#[test]
fn passwords_are_given_up_only_with_a_yes() {
    let stage = Stage::new("alpha: [ada]");
    stage.run_with(&["--no-nginx"]).ok();
    let before = stage.traces();

    let said = stage.run_with(&["--no-nginx", "--no-password"]);
    let line = error_line(&said, 2);
    has(&line, &["alpha/ada", "Terminals and unsaved editors", "workspaces stay", "--yes"]);
    assert_eq!(stage.traces(), before);

    stage.run_with(&["--no-nginx", "--no-password", "--yes"]).ok();
    let open = stage.status_json();
    assert!(open[0].get("password").is_none(), "{open}");
    let local = open[0]["local_url"].as_str().unwrap();
    let page = plain_get(&format!("{local}{WORKBENCH}"));
    assert!(page.status == 200 && page.body.contains("workbench"), "{page:?}");

    // And back, with the password that was known.
    let seats = std::fs::read_to_string(stage.thon_home().join("seats.json")).unwrap();
    stage.run_with(&["--no-nginx", "--yes"]).ok();
    let closed = stage.status_json();
    assert!(plain_get(local).asks_for_login());
    has(&seats, &[closed[0]["password"].as_str().unwrap()]);
}

#[test]
fn workspaces_can_lie_in_a_folder() {
    let stage = Stage::new("alpha: [ada]\nbeta: [ada]");
    let folder = stage.folder().join("spaces");
    let run = ["--no-nginx", "--workspace-dir", "spaces"];
    stage.run_with(&run).ok();
    for group in ["alpha", "beta"] {
        let name = stage.container_name(&format!("{group}/ada"));
        let write = format!("echo {group} > notes.txt; mkdir -p src");
        exec(&name, &["sh", "-c", &write]);
        let file = folder.join(group).join("ada/notes.txt");
        assert_eq!(std::fs::read_to_string(file).unwrap(), format!("{group}\n"));
    }
    assert!(stage.volumes().is_empty());
    stage.thon(&["down", "--yes"]).ok();
    std::fs::write(folder.join("alpha/ada/from-the-host.txt"), "seed\n").unwrap();
    stage.run_with(&run).ok();
    let name = stage.container_name("alpha/ada");
    assert_eq!(exec(&name, &["cat", "notes.txt", "from-the-host.txt"]), "alpha\nseed");
}

#[test]
fn a_groups_file_takes_the_place_of_the_configured_groups() {
    let stage = Stage::new("alpha: [ada]");
    let text = "title: Spring\ngroups:\n  beta:\n    - {name: bob, display_name: Bob B.}\n";
    std::fs::write(stage.folder().join("groups.yaml"), text).unwrap();
    let said = stage.thon(&["--json", "run", "--no-nginx", "--groups", "groups.yaml"]).ok().json();
    assert_eq!((said.as_array().unwrap().len(), &said[0]["user"]), (1, &"bob".into()));
    assert_eq!(stage.traces().into_keys().collect::<Vec<_>>(), [stage.container_name("beta/bob")]);
}

#[test]
fn the_command_line_goes_before_the_environment_and_the_file() {
    let stage = Stage::new("alpha: [ada]");
    edit(&stage.config_file(), |text| {
        text.replace("external_ip: 127.0.0.1", "external_ip: 127.0.0.2")
    });
    let urls = |env: &[(&str, &str)], options: &[&str]| {
        let mut command = stage.command_in(env, &[&["--json", "run"], options].concat());
        let said = crate::desk::finish(&mut command).ok().json();
        said[0]["url"].as_str().unwrap().to_owned()
    };
    let env = [("EXTERNAL_IP", "127.0.0.3")];
    has(&urls(&[], &[]), &["https://127.0.0.2:"]);
    has(&urls(&env, &[]), &["https://127.0.0.3:"]);
    has(&urls(&env, &["--external-ip", "127.0.0.4"]), &["https://127.0.0.4:"]);
}

/// Sends a signal to one process.
fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// Starts a run that stays and waits until it says so.
fn stay(stage: &Stage, options: &[&str]) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut command = stage.command(&[&["run"], options].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("Staying") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it did not stay");
    }
    (child, said)
}

#[test]
fn in_the_foreground_it_stops_what_it_started_and_only_that() {
    let stage = Stage::new("alpha: [ada, bob]");
    stage.run_with(&["--user", "ada"]).ok();
    let ada = stage.trace("alpha/ada");
    for (options, name) in [
        (["--foreground"].as_slice(), "INT"),
        (&["--foreground"], "TERM"),
        (&["--foreground"], "HUP"),
        (&["--timeout", "600"], "INT"),
    ] {
        let (mut child, mut said) = stay(&stage, options);
        assert!(stage.trace("alpha/bob").running);
        // Others may work on the node meanwhile.
        stage.run_with(&["--dry-run"]).ok();
        signal(&child, name);
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut said, &mut rest).unwrap();
        let status = until("the end of the run", || child.try_wait().unwrap());
        assert!(status.success(), "{name}: {status} {rest}");
        has(&rest, &["stopped 1; "]);
        assert!(!stage.trace("alpha/bob").running);
        assert_eq!(stage.trace("alpha/ada"), ada, "{name}");
    }
}

/// The same in the middle of the launch: nothing is left running that nobody watches over.
#[test]
fn an_interrupted_launch_stops_what_it_has_started() {
    let stage = Stage::new("alpha: [ada, bob, carol]");
    edit(&stage.config_file(), |text| {
        text.replace("sandbox:\n", "sandbox:\n  launch_concurrency: 1\n")
    });
    stage.run_with(&["--no-nginx", "--user", "carol"]).ok();
    let carol = stage.trace("alpha/carol");
    let gate = Gate::new(stage.folder());
    gate.stop_at(Step { moment: Moment::Before, method: "POST", address: "/start", nth: 2 });
    let run = ["run", "--no-nginx", "--foreground"];
    let mut command = stage.command_in(&[("DOCKER_HOST", &gate.docker_host())], &run);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the second start", || gate.holds().then_some(()));
    let running = || stage.traces().into_values().filter(|trace| trace.running).count();
    assert_eq!(running(), 2);

    signal(&child, "INT");
    let said = Output::from(child.wait_with_output().unwrap());
    assert_eq!(said.code, 1, "{said:?}");
    has(&said.stderr, &["error: ", "interrupted", "stopped (1)", "`thon run` goes on"]);
    assert_eq!((running(), stage.trace("alpha/carol")), (1, carol));
    stage.run_with(&[]).ok();
    stage.all_is_well(&["alpha/ada", "alpha/bob", "alpha/carol"]);
}

/// How much is said, in which form, and where.
#[test]
fn results_and_everything_else_stay_apart() {
    let stage = Stage::new("alpha: [ada]");
    edit(&stage.config_file(), |text| text.replace("nginx:\n", "nginx:\n  enabled: false\n"));
    let run = ["run"];
    let said = stage.thon(&[&["-v"], run.as_slice()].concat()).ok();
    has(&said.stderr, &["plan: 1 create", "alpha/ada: workspace made", "alpha/ada: waits"]);
    let quiet = stage.thon(&[&["--quiet"], run.as_slice()].concat()).ok();
    assert_eq!((quiet.stderr.as_str(), quiet.stdout.as_str()), ("", said.stdout.as_str()));
    let rows: Vec<&str> = quiet.stdout.lines().collect();
    assert_eq!(rows.len(), 2, "{quiet:?}");
    has(rows[0], &["USER", "STATE", "URL", "PASSWORD", "WORKSPACE"]);

    // For a program the same, with everything that status says.
    let json = stage.thon(&[&["--json", "--quiet"], run.as_slice()].concat()).ok();
    assert_eq!((json.stderr.as_str(), json.json()), ("", stage.status_json()));

    // Colours where they are wanted, and nowhere else.
    for (env, args, colours) in [
        (("NO_COLOR", ""), ["--color", "always"].as_slice(), true),
        (("NO_COLOR", "1"), &["--color", "always"], true),
        (("TERM", "xterm"), &["--color", "never"], false),
        (("TERM", "xterm"), &[], false),
    ] {
        let mut command = stage.command_in(&[env], &[args, &["status"]].concat());
        let said = crate::desk::finish(&mut command).ok();
        assert_eq!(said.stdout.contains('\u{1b}'), colours, "{env:?} {args:?}: {said:?}");
    }

    let log = stage.thon(&["logs", "ada"]).ok().stdout;
    has(&log, &["HTTP server listening on"]);
    let last = stage.thon(&["logs", "alpha/ada", "-n", "1"]).ok().stdout;
    assert_eq!(
        last.lines().collect::<Vec<_>>(),
        log.lines().next_back().into_iter().collect::<Vec<_>>()
    );
}
