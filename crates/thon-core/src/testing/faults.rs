//! Making in-memory adapters fail on demand.
//!
//! For: one failure at one operation, for one user or for all, or a halt at the n-th operation, as
//! if the process had been killed there.
//! Not for: random failures; tests are deterministic.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::adapter::{Failure, FailureKind};

/// What an in-memory adapter was asked to do, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The method: `create`, `apply`.
    pub name: &'static str,
    /// On what: a user, a sandbox, or nothing.
    pub on: String,
}

#[derive(Debug)]
struct Rule {
    name: &'static str,
    on: Option<String>,
    kind: FailureKind,
    times: usize,
}

/// The faults of one set of adapters, and the record of what they were asked. Shared by all of
/// them, so that operations can be counted across traits.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
    record: Mutex<Vec<Operation>>,
    halt_at: AtomicUsize,
}

impl Faults {
    /// Lets the next `times` calls of `name` fail; with `on` only those on that user or sandbox.
    pub fn fail(&self, name: &'static str, on: Option<&str>, kind: FailureKind, times: usize) {
        let rule = Rule { name, on: on.map(ToOwned::to_owned), kind, times };
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
    }

    /// Lets the `number`-th operation from the beginning, and all after it, never return: whoever
    /// drives the orchestrator drops it then. 0 lets everything through.
    pub fn halt_at(&self, number: usize) {
        self.halt_at.store(number, Ordering::SeqCst);
    }

    /// True once an operation has been halted.
    #[must_use]
    pub fn halted(&self) -> bool {
        let halt_at = self.halt_at.load(Ordering::SeqCst);
        halt_at > 0 && self.count() >= halt_at
    }

    /// Waits until an operation has been halted.
    pub async fn until_halted(&self) {
        while !self.halted() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How many operations there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Everything that was asked for, in order.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the operations named `name` were about, in order.
    #[must_use]
    pub fn calls(&self, name: &str) -> Vec<String> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.iter().filter(|op| op.name == name).map(|op| op.on.clone()).collect()
    }

    /// Writes an operation down and fails it if a rule says so.
    pub(super) async fn check(&self, name: &'static str, on: &str) -> Result<(), Failure> {
        self.record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Operation { name, on: on.to_owned() });
        if self.halted() {
            std::future::pending::<()>().await;
        }
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |rule: &&mut Rule| {
            rule.name == name
                && rule.times > 0
                && rule.on.as_deref().is_none_or(|wanted| wanted == on)
        };
        let Some(rule) = rules.iter_mut().find(fits) else { return Ok(()) };
        rule.times -= 1;
        let advice = "it was asked to fail";
        Err(Failure::new(rule.kind, format!("{name} {on}"), "injected fault", advice))
    }
}
