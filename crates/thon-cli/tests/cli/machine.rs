//! This machine with something wrong in it, for one command alone.
//!
//! For: `thon` in a mount and network namespace of its own, where a disk is small, a value of the
//! kernel low or a name leads elsewhere, while nobody else on the machine notices.
//! Not for: Docker in another state; a test that needs it starts a stand-in or a `Stage`.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::desk::sane;
use crate::support::{Node, Output};

/// A node, and what is changed in the machine that its commands see.
pub(crate) struct Machine {
    pub(crate) node: Node,
    /// Lines of a shell that make the changes.
    changes: Vec<String>,
    /// Where Docker is, unless it is where it usually is.
    docker_host: Option<String>,
    own_network: bool,
}

impl Machine {
    /// The machine as it is.
    pub(crate) fn new(groups: &str) -> Self {
        Self { node: Node::new(groups), changes: Vec::new(), docker_host: None, own_network: false }
    }

    /// Another configuration: the usual one, changed.
    pub(crate) fn configure(&self, groups: &str, change: impl FnOnce(String) -> String) {
        self.node.write_config(&change(self.node.config_text(groups)));
    }

    /// A disk of `kib` KiB that is full to the last byte, where `folder` is.
    pub(crate) fn full_disk(&mut self, folder: &Path, kib: u32) {
        let folder = folder.display();
        self.change(format!("mkdir -p {folder}"));
        self.change(format!("mount -t tmpfs -o size={kib}k tmpfs {folder}"));
        self.change(format!("! head -c {} /dev/zero 2>&- >{folder}/filling", (kib + 1) * 1024));
    }

    /// A folder with nothing in it.
    pub(crate) fn empty(&mut self, folder: &str) {
        self.change(format!("mount -t tmpfs tmpfs {folder}"));
    }

    /// A file that says something else.
    pub(crate) fn says(&mut self, file: &str, text: &str) {
        let ours = self.node.folder().join(file.replace('/', "_"));
        std::fs::write(&ours, text).unwrap();
        self.change(format!("mount --bind {} {file}", ours.display()));
    }

    /// Another Docker.
    pub(crate) fn docker_at(&mut self, socket: &Path) {
        self.docker_host = Some(format!("unix://{}", socket.display()));
    }

    /// A network of its own, with nothing in it, and a change in what its kernel allows.
    pub(crate) fn kernel_says(&mut self, key: &str, value: u64) {
        self.own_network = true;
        self.change(format!("echo {value} >/proc/sys/{}", key.replace('.', "/")));
    }

    pub(crate) fn change(&mut self, line: String) {
        self.changes.push(line);
    }

    /// `thon` with these arguments on this machine.
    #[track_caller]
    pub(crate) fn thon(&self, args: &[&str]) -> Output {
        self.shell("exec \"$@\"", args)
    }

    /// A shell on this machine, in which `"$@"` is `thon` with these arguments.
    #[track_caller]
    pub(crate) fn shell(&self, script: &str, args: &[&str]) -> Output {
        let output = Output::from(self.command(script, args).output().unwrap());
        sane(&output);
        output
    }

    fn command(&self, script: &str, args: &[&str]) -> Command {
        let inner = self.node.command(args);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        if self.own_network {
            command.arg("--net");
        }
        if !geteuid().is_root() {
            command.arg("--map-root-user");
        }
        let script = format!("{}\n{script}", self.changes.join("\n"));
        command.args(["sh", "-ec", &script, "sh"]);
        command.arg(inner.get_program()).args(inner.get_args());
        command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.envs(self.docker_host.iter().map(|host| ("DOCKER_HOST", host)));
        command.current_dir(self.node.folder()).stdin(Stdio::null());
        command
    }
}
