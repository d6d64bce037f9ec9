//! An event with its participants, from the organizer's `thon run` to the browsers.
//!
//! For: putting a node, a participant's machine and browsers together, and taking them apart in
//! the right order.
//! Not for: what is looked at; the tests know that.

use std::path::PathBuf;

use tokio::sync::{Mutex, MutexGuard};

use crate::chromium::Browser;
use crate::machine::Machine;
use crate::support::{Instance, Node};

/// One event at a time: a browser and a VS Code keep two cores busy.
static TURN: Mutex<()> = Mutex::const_new(());

/// A running node and a machine from which it is reached. Browsers have to go before it.
pub(crate) struct Venue {
    // In this order: what hangs on something goes before it.
    pub(crate) machine: Machine,
    pub(crate) node: Node,
    /// The root certificate, as `thon tls ca` gives it.
    pub(crate) root: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Venue {
    /// Starts a node with these groups and returns everyone in it.
    pub(crate) async fn open(groups: &str) -> (Self, Vec<Instance>) {
        let turn = TURN.lock().await;
        let (machine, node) = Machine::and_node(groups);
        let everyone = node.run();
        let root = node.root_certificate();
        (Self { machine, node, root, _turn: turn }, everyone)
    }

    /// A node that nobody has anything on yet, and a machine from which it is reached.
    pub(crate) async fn without_anybody() -> Self {
        let turn = TURN.lock().await;
        let (machine, node) = Machine::and_node("");
        node.thon(&["tls", "issue"]).ok();
        let root = node.root_certificate();
        Self { machine, node, root, _turn: turn }
    }

    /// Moves the node, with these groups, to another layout and returns everyone in it.
    pub(crate) fn lay_out(&self, layout: &str, groups: &str) -> Vec<Instance> {
        self.node.write_config(&self.node.laid_out(groups, "bridge", layout));
        self.node.run()
    }

    /// A browser of someone who has imported the root certificate.
    pub(crate) async fn browser(&self) -> Browser {
        Browser::start(&self.machine, Some(&self.root)).await
    }
}
