//! A node on the real Docker, one of few at a time.
//!
//! For: what the tests with sandboxes look at besides what the command says.
//! Not for: running the command; the node does that.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::sync::{Condvar, Mutex};

use serde_json::Value;

use crate::desk::sane;
use crate::support::{Node, Output, docker};
use crate::web::Web;

/// How many nodes have sandboxes at the same time: each start keeps a core busy for most of a
/// second, and a machine that is starved only tells how it behaves when it is starved.
const AT_ONCE: usize = 2;

static FREE: Mutex<usize> = Mutex::new(AT_ONCE);
static GIVEN_BACK: Condvar = Condvar::new();

/// One of the few who may have sandboxes now.
pub(crate) struct Turn;

impl Turn {
    pub(crate) fn take() -> Self {
        let free = FREE.lock().unwrap();
        *GIVEN_BACK.wait_while(free, |free| *free == 0).unwrap() -= 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *FREE.lock().unwrap() += 1;
        GIVEN_BACK.notify_one();
    }
}

/// A container as Docker describes it: its id and when it was last started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) id: String,
    pub(crate) started: String,
    pub(crate) running: bool,
}

/// A node that waited for its turn.
pub(crate) struct Stage {
    // In this order: the node is removed before the next one's turn.
    node: Node,
    _turn: Turn,
}

impl Deref for Stage {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Stage {
    /// A node with these groups. Nothing is started.
    pub(crate) fn new(groups: &str) -> Self {
        let turn = Turn::take();
        Self { node: Node::new(groups), _turn: turn }
    }

    /// Runs `thon` with these arguments to its end.
    #[track_caller]
    pub(crate) fn thon(&self, args: &[&str]) -> Output {
        let said = self.node.thon(args);
        sane(&said);
        said
    }

    /// `thon run` with these options, to its end.
    #[track_caller]
    pub(crate) fn run_with(&self, options: &[&str]) -> Output {
        self.thon(&[&["run"], options].concat())
    }

    /// The command with other variables in its environment.
    pub(crate) fn command_in(&self, env: &[(&str, &str)], args: &[&str]) -> Command {
        let mut command = self.command(args);
        command.envs(env.iter().copied());
        command
    }

    /// A client that trusts what participants are told to trust.
    #[track_caller]
    pub(crate) fn web(&self) -> Web {
        Web::trusting(&self.root_certificate())
    }

    /// Every container of the node by its name.
    pub(crate) fn traces(&self) -> BTreeMap<String, Trace> {
        let ids = self.containers();
        if ids.is_empty() {
            return BTreeMap::new();
        }
        let format = "{{.Name}} {{.Id}} {{.State.StartedAt}} {{.State.Running}}";
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let said =
            docker(&[&["container", "inspect", "--format", format], ids.as_slice()].concat());
        let trace = |line: &str| {
            let [name, id, started, running] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let trace = Trace {
                id: id.to_owned(),
                started: started.to_owned(),
                running: running == "true",
            };
            (name.trim_start_matches('/').to_owned(), trace)
        };
        said.lines().map(trace).collect()
    }

    /// The trace of one user's container.
    #[track_caller]
    pub(crate) fn trace(&self, user: &str) -> Trace {
        let name = self.container_name(user);
        let traces = self.traces();
        traces.get(&name).unwrap_or_else(|| panic!("no {name} in {traces:?}")).clone()
    }

    /// The name of the container of `group/user`.
    pub(crate) fn container_name(&self, user: &str) -> String {
        format!("{}-sandbox-{}", self.name, user.replace('/', "_"))
    }

    /// The name of the volume of `group/user`.
    pub(crate) fn volume_name(&self, user: &str) -> String {
        format!("{}-workspace-{}", self.name, user.replace('/', "_"))
    }

    /// What `docker inspect` says of the container of `group/user`.
    #[track_caller]
    pub(crate) fn inspect(&self, user: &str) -> Value {
        let said = docker(&["container", "inspect", &self.container_name(user)]);
        serde_json::from_str::<Value>(&said).unwrap()[0].take()
    }

    /// The process of nginx and how often it was given a new configuration.
    #[track_caller]
    pub(crate) fn proxy(&self) -> (u64, u64) {
        let status = self.proxy_status();
        assert_eq!(status["running"], true, "{status}");
        (status["pid"].as_u64().unwrap(), status["reloads"].as_u64().unwrap())
    }

    /// What `thon nginx status` says.
    #[track_caller]
    pub(crate) fn proxy_status(&self) -> Value {
        self.thon(&["--json", "nginx", "status"]).ok().json()
    }

    /// The words that the plan has for each user.
    #[track_caller]
    pub(crate) fn plan(&self, options: &[&str]) -> BTreeMap<String, String> {
        let said = self.thon(&[&["--json", "run", "--dry-run"], options].concat()).ok().json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let row = |row: &Value| {
            (format!("{}/{}", text(&row["group"]), text(&row["user"])), text(&row["action"]))
        };
        said.as_array().unwrap().iter().map(row).collect()
    }

    /// Everyone is healthy behind their URL, each has one container and one volume, and nothing of
    /// the node is beside them.
    #[track_caller]
    pub(crate) fn all_is_well(&self, users: &[&str]) {
        let all = self.instances();
        let names: Vec<String> =
            all.iter().map(|one| format!("{}/{}", one.group, one.user)).collect();
        assert_eq!(names, users);
        let web = self.web();
        for one in &all {
            assert_eq!(
                (one.state.as_str(), one.health.as_str()),
                ("Running", "healthy"),
                "{one:?}"
            );
            let answer = web.get(&format!("{}healthz", one.url()));
            assert_eq!(answer.status, 200, "{one:?}: {answer:?}");
        }
        let expected = |name: &dyn Fn(&str) -> String| {
            let mut names: Vec<String> = users.iter().map(|user| name(user)).collect();
            names.sort();
            names
        };
        let containers: Vec<String> = self.traces().into_keys().collect();
        assert_eq!(containers, expected(&|user| self.container_name(user)));
        let mut volumes = self.volumes();
        volumes.sort();
        assert_eq!(volumes, expected(&|user| self.volume_name(user)));
        let label = format!("label=thon.node={}", self.name);
        let networks = docker(&["network", "ls", "--filter", &label, "--format", "{{.Name}}"]);
        assert_eq!(networks, self.name);
        let plan = self.plan(&[]);
        assert!(plan.values().all(|action| action == "keep"), "{plan:?}");
    }
}

/// Changes a file in place.
pub(crate) fn edit(file: &Path, change: impl Fn(String) -> String) {
    let text = std::fs::read_to_string(file).unwrap();
    let changed = change(text.clone());
    assert_ne!(changed, text, "{} was not changed", file.display());
    std::fs::write(file, changed).unwrap();
}
