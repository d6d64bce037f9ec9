//! A Docker engine of the test's own, in a network of its own.
//!
//! For: restarting Docker, and doing to a machine's packet filter what must not be done to this one's.
//! Not for: sandboxes; the engine has no image.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::until;
use crate::support::{Node, Output, try_docker};

/// Ended, with its network, when it is dropped.
pub(crate) struct Engine {
    folder: PathBuf,
    network: String,
    daemon: Child,
}

impl Engine {
    /// Starts one in the folder of `node`.
    #[track_caller]
    pub(crate) fn start(node: &Node) -> Self {
        let network = format!("thon-eng-{}", node.ports.slot());
        // What a test that was killed has left.
        drop(Command::new("ip").args(["netns", "del", &network]).output());
        let added = Command::new("ip").args(["netns", "add", &network]).output().unwrap();
        assert!(added.status.success(), "{added:?}");
        let folder = node.folder().join("engine");
        std::fs::create_dir(&folder).unwrap();
        let daemon = spawn(&folder, &network);
        let engine = Self { folder, network, daemon };
        engine.wait();
        engine
    }

    /// What the command takes for `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.folder.join("docker.sock").display())
    }

    /// Ends it as a service manager does, and starts it again.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.end();
        self.daemon = spawn(&self.folder, &self.network);
        self.wait();
    }

    /// Runs `thon` on the machine that the engine takes this one for.
    pub(crate) fn thon(&self, node: &Node, args: &[&str]) -> Output {
        let inner = node.command(args);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.network]).arg(inner.get_program());
        command.args(inner.get_args()).env_clear().stdin(Stdio::null());
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("DOCKER_HOST", self.host()).current_dir(node.folder());
        command.output().unwrap().into()
    }

    /// Runs another program there.
    pub(crate) fn program(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.network, program]).args(args);
        command.output().unwrap().into()
    }

    #[track_caller]
    fn wait(&self) {
        let host = self.host();
        until("the engine", || (try_docker(&["--host", &host, "version"]).code == 0).then_some(()));
    }

    fn end(&mut self) {
        let pid = Pid::from_raw(self.daemon.id().cast_signed());
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        drop(self.daemon.wait());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
        drop(Command::new("ip").args(["netns", "del", &self.network]).output());
    }
}

fn spawn(folder: &std::path::Path, network: &str) -> Child {
    let at = |name: &str| folder.join(name).display().to_string();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    // `ip netns exec` would take the control groups away.
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{network}")).arg("dockerd");
    command.args(["--data-root", &at("data"), "--exec-root", &at("exec")]);
    command.args(["--pidfile", &at("pid"), "--host", &format!("unix://{}", at("docker.sock"))]);
    command.args(["--bip", "172.30.250.1/24"]).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(log).spawn().unwrap()
}
