//! A Docker engine that is killed or restarted while people work.
//!
//! For: an engine of the test's own in a network of its own, so that everybody else's stays as it
//! is; everyone's editor comes back at its URL, by Docker's own policies after a restart and by one
//! run after a crash.
//! Not for: an engine that answers badly; see `sluggish`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::desk::has;
use crate::gate::{Gate, Moment, Step};
use crate::root::{as_root, go_on, is_inside};
use crate::stage::{Stage, Turn};
use crate::support::until;
use crate::support::{Output, Ports, docker, exec, image, try_docker};

/// Where the engine that everybody uses is, for the test inside; empty for the usual place.
const SHARED: &str = "THON_TEST_SHARED_DOCKER";
/// The folder of the engine of its own.
const FOLDER: &str = "THON_TEST_ENGINE";
/// Where the engine writes down the process that it has its containers run by.
const CONTAINERD: &str = "exec/containerd/containerd.pid";

/// A network namespace, gone with this.
struct Network(String);

impl Network {
    fn new(name: String) -> Self {
        // Left from a run that was cut off.
        drop(as_root("ip").args(["netns", "delete", &name]).output());
        let network = Self(name);
        for args in [
            ["netns", "add", &network.0].as_slice(),
            &["-n", &network.0, "link", "set", "lo", "up"],
        ] {
            Output::from(as_root("ip").args(args).output().unwrap()).ok();
        }
        network
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(as_root("ip").args(["netns", "delete", &self.0]).output());
    }
}

/// The engine; ended with everything of it when it is dropped.
struct Engine {
    folder: PathBuf,
    process: Child,
}

impl Engine {
    /// Starts one in `folder` with the sandboxes' image, which the shared one has.
    fn start(folder: &Path, shared: &str) -> Self {
        let engine = Self { folder: folder.to_owned(), process: spawn(folder) };
        Self::until_it_answers();
        copy_image(shared);
        engine
    }

    fn until_it_answers() {
        until("the engine", || (try_docker(&["version"]).code == 0).then_some(()));
    }

    /// Ends it with this signal. What it runs goes on as far as it can without it.
    fn end(&mut self, signal: Signal) {
        let containerd = std::fs::read_to_string(self.folder.join(CONTAINERD)).unwrap();
        kill_process(Pid::from_child(&self.process), signal).unwrap();
        self.process.wait().unwrap();
        // It goes when its parent goes; where nobody buries the dead it stays as one of them.
        let status = format!("/proc/{}/stat", containerd.trim());
        until("the end of containerd", || {
            let stat = std::fs::read_to_string(&status).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z')).then_some(())
        });
    }

    fn restart(&mut self) {
        self.process = spawn(&self.folder);
        Self::until_it_answers();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
            // Its containers run on without it.
            self.process = spawn(&self.folder);
            Self::until_it_answers();
        }
        let left = try_docker(&["ps", "--all", "--quiet"]).stdout;
        for container in left.lines() {
            drop(try_docker(&["rm", "--force", container]));
        }
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        drop(self.process.wait());
        // Docker mounts its own folder onto itself and forgets it when it was killed before.
        drop(Command::new("umount").arg(self.folder.join("data")).output());
    }
}

/// Gives the engine the sandboxes' image, which the shared one has: its files in one layer, which
/// takes a third of the time that all layers take, and the settings that containers are made with.
fn copy_image(shared: &str) {
    let at_shared = |args: &[&str]| {
        let mut command = Command::new("docker");
        command.args(args).env_remove("DOCKER_HOST");
        if !shared.is_empty() {
            command.env("DOCKER_HOST", shared);
        }
        command
    };
    let ask = |args: &[&str]| {
        Output::from(at_shared(args).output().unwrap()).ok().stdout.trim_end().to_owned()
    };
    let image = image();
    let config = ask(&["image", "inspect", "--format", "{{json .Config}}", &image]);
    let config: Value = serde_json::from_str(&config).unwrap();
    let mut changes = vec![
        format!("ENTRYPOINT {}", config["Entrypoint"]),
        format!("USER {}", config["User"].as_str().unwrap()),
        format!("WORKDIR {}", config["WorkingDir"].as_str().unwrap()),
    ];
    if config["Cmd"].is_array() {
        changes.push(format!("CMD {}", config["Cmd"]));
    }
    for variable in config["Env"].as_array().into_iter().flatten() {
        let (name, value) = variable.as_str().unwrap().split_once('=').unwrap();
        changes.push(format!("ENV {name}={}", Value::from(value)));
    }
    let container = ask(&["create", &image]);
    let mut export = at_shared(&["export", &container]).stdout(Stdio::piped()).spawn().unwrap();
    let mut import = Command::new("docker");
    import.arg("import");
    for change in &changes {
        import.args(["--change", change]);
    }
    let import = import.args(["-", &image]).stdin(export.stdout.take().unwrap()).output();
    assert!(export.wait().unwrap().success());
    ask(&["rm", &container]);
    Output::from(import.unwrap()).ok();
}

fn spawn(folder: &Path) -> Child {
    let path = |name: &str| folder.join(name);
    // Numbers that a killed one left are of the dead, or somebody else's by now.
    for name in ["docker.pid", CONTAINERD] {
        drop(std::fs::remove_file(path(name)));
    }
    let log = File::options().create(true).append(true).open(path("dockerd.log")).unwrap();
    Command::new("dockerd")
        .arg("--data-root")
        .arg(path("data"))
        .arg("--exec-root")
        .arg(path("exec"))
        .arg("--pidfile")
        .arg(path("docker.pid"))
        .arg(format!("--host={}", host(folder)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn host(folder: &Path) -> String {
    format!("unix://{}", folder.join("docker.sock").display())
}

/// The test goes on inside, with an engine of its own as the one that everything finds.
fn go_inside(name: &str) {
    let _turn = Turn::take();
    let slot = Ports::take();
    let network = Network::new(format!("thon-engine-{}", slot.slot()));
    // On a disk: an image is large, and a temporary folder may be memory.
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let shared = std::env::var("DOCKER_HOST").unwrap_or_default();
    let namespace = format!("--net=/run/netns/{}", network.0);
    go_on(
        name,
        &["nsenter", &namespace],
        &[
            ("DOCKER_HOST", &host(folder.path())),
            (SHARED, &shared),
            (FOLDER, folder.path().to_str().unwrap()),
        ],
    );
    // Its files are root's.
    let path = folder.keep();
    Output::from(as_root("rm").args(["--recursive", "--force"]).arg(path).output().unwrap()).ok();
}

#[test]
fn an_engine_that_is_killed_or_restarted_costs_nobody_their_work_or_their_url() {
    if !is_inside() {
        go_inside(
            "outage::an_engine_that_is_killed_or_restarted_costs_nobody_their_work_or_their_url",
        );
        return;
    }
    let variable = |name: &str| std::env::var(name).unwrap();
    let mut engine = Engine::start(Path::new(&variable(FOLDER)), &variable(SHARED));
    let stage = Stage::new("alpha: [ada, bob]");
    let all = stage.run();
    let (before, web) = (stage.traces(), stage.web());
    exec(all[0].container(), &["sh", "-c", "echo kept > work.txt"]);
    // Every URL that was printed answers again.
    let all_answer = || {
        for one in &all {
            let url = format!("{}healthz", one.url());
            until(&url, || (web.get(&url).status == 200).then_some(()));
        }
        assert_eq!(stage.instances(), all);
        assert_eq!(exec(all[0].container(), &["cat", "work.txt"]), "kept");
        for (name, trace) in &before {
            assert_eq!(stage.traces()[name].id, trace.id);
        }
    };

    for signal in [Signal::TERM, Signal::KILL] {
        engine.end(signal);
        for args in [["run"].as_slice(), &["status"], &["stop", "--yes"]] {
            let said = stage.thon(args).expect(1);
            let [line] = said.stderr.lines().collect::<Vec<_>>()[..] else { panic!("{said:?}") };
            has(line, &["error: ", "Docker", &host(&engine.folder), "; "]);
        }
        // nginx is there and says what is the matter, save where nobody noticed.
        let status = web.get(&format!("{}healthz", all[0].url())).status;
        assert!([200, 502, 503].contains(&status), "{status}");
        engine.restart();
        if signal == Signal::KILL {
            // An engine that crashed ends what it finds still running, as if somebody had asked for
            // it, and its policy then leaves it so.
            stage.run_with(&[]).ok();
        }
        all_answer();
        stage.all_is_well(&["alpha/ada", "alpha/bob"]);
    }

    // In the middle of a launch.
    stage.set_groups("alpha: [ada, bob, carol]");
    let gate = Gate::new(stage.folder());
    gate.stop_at(Step { moment: Moment::After, method: "POST", address: "/start", nth: 1 });
    let mut command = stage.command_in(&[("DOCKER_HOST", &gate.docker_host())], &["run"]);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("carol's sandbox", || gate.holds().then_some(()));
    engine.end(Signal::KILL);
    gate.open();
    let said = Output::from(run.wait_with_output().unwrap()).expect(1);
    has(&said.stderr, &["error: ", "Docker", "; "]);
    engine.restart();
    let with_carol = stage.run();
    assert_eq!(with_carol[..2], all);
    stage.all_is_well(&["alpha/ada", "alpha/bob", "alpha/carol"]);
    assert_eq!(exec(all[0].container(), &["cat", "work.txt"]), "kept");
    let networks = docker(&["network", "ls", "--quiet", "--filter", "label=thon.node"]);
    assert_eq!(networks.lines().count(), 1);
}
