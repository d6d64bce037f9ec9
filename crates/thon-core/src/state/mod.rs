//! The node's state: what is remembered beside thon.yaml, and how it is changed.
//!
//! For: groups and users that commands added, settings, configuration files with their versions,
//! what became of every sandbox, and who changed what; the trait that a database implements.
//! Not for: seats, see [`crate::adapter::Store`]; not for what runs, the runtime knows that.

mod ancestor;
mod change;
mod config_file;
mod diff;
mod edit;
pub(crate) mod jsonc;
mod people;
mod reconcile;
mod setting;
mod slug;
mod wanted;

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use serde::Serialize;

pub use ancestor::{
    Ancestor, AncestorGroup, AncestorImport, AncestorSandbox, AncestorUser, Refused, Renaming,
    import_ancestor,
};
pub use change::{Change, Fact, exists, missing, stale};
pub use config_file::{ConfigFile, ConfigFileKey, ConfigFileVersion, MAX_CONFIG_FILE};
pub use diff::{Difference, Missing, difference, overwritten};
pub use edit::{EditError, Editor};
pub use people::{Column, ColumnNames, People, Sheet, people};
pub use reconcile::{Known, Seen, facts, known, learn};
pub use setting::{Setting, SettingKey, complete};
pub use wanted::{Source, Wanted, groups_file, wanted};

use crate::adapter::Failure;
use crate::instance::InstanceState;
use crate::name::{GroupName, UserId};
use crate::roster::{GroupRules, Roster, User};
use crate::sandbox::SandboxId;

/// How often a row was changed. Whoever changes one names the revision that they saw, and is
/// refused where it is no longer the present one: nobody's change is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Revision(pub u64);

/// A group as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupRecord {
    /// Stays the same whatever the group is called.
    pub id: u64,
    /// Its name.
    pub name: GroupName,
    /// The name that people read.
    pub title: Option<String>,
    /// What holds for its sandboxes in the place of the node's own settings.
    #[serde(skip)]
    pub rules: GroupRules,
    /// The id of the event that it belongs to.
    pub event: Option<String>,
    /// How often it was changed.
    pub revision: Revision,
    /// When it was added.
    #[serde(skip)]
    pub created_at: SystemTime,
    /// When it was changed last.
    #[serde(skip)]
    pub updated_at: SystemTime,
}

/// A user as they are remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserRecord {
    /// Stays the same whatever they are called and wherever they move.
    pub id: u64,
    /// Their names.
    #[serde(flatten)]
    pub user: UserId,
    /// The name that people read.
    pub display: Option<String>,
    /// Their e-mail address.
    pub email: Option<String>,
    /// How often they were changed.
    pub revision: Revision,
    /// When they were added.
    #[serde(skip)]
    pub created_at: SystemTime,
    /// When they were changed last.
    #[serde(skip)]
    pub updated_at: SystemTime,
}

/// An event as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventRecord {
    /// Its id, as in a groups file's `event_id`.
    pub id: String,
    /// Its title.
    pub title: Option<String>,
}

/// Everything of the roster at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The events.
    pub events: Vec<EventRecord>,
    /// The groups, in the order in which they were added.
    pub groups: Vec<GroupRecord>,
    /// The users, in the order in which they were added.
    pub users: Vec<UserRecord>,
}

impl Snapshot {
    /// The roster that is remembered.
    #[must_use]
    pub fn roster(&self) -> Roster {
        let mut roster = Roster::new();
        let mut members: BTreeMap<&GroupName, Vec<User>> = BTreeMap::new();
        for record in &self.users {
            members.entry(&record.user.group).or_default().push(User {
                name: record.user.user.clone(),
                display: record.display.clone(),
                email: record.email.clone(),
            });
        }
        for record in &self.groups {
            let group = roster.add_group(record.name.clone(), record.title.clone());
            group.rules = record.rules;
            group.users = members.remove(&record.name).unwrap_or_default();
        }
        roster
    }

    /// The group of that name.
    #[must_use]
    pub fn group(&self, name: &GroupName) -> Option<&GroupRecord> {
        self.groups.iter().find(|group| group.name == *name)
    }

    /// The user of that name.
    #[must_use]
    pub fn user(&self, id: &UserId) -> Option<&UserRecord> {
        self.users.iter().find(|user| user.user == *id)
    }
}

/// Which users are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserQuery {
    /// Only those of this group.
    pub group: Option<GroupName>,
    /// Only those in whose name, display name or e-mail address this occurs, in either case.
    pub text: Option<String>,
    /// How many are passed over.
    pub offset: u32,
    /// How many at most; 0 for all.
    pub limit: u32,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The part that was asked for.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: u64,
}

/// Who changes something: the person or the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor(String);

impl Actor {
    /// The longest name that is kept.
    const LONGEST: usize = 200;

    /// Someone of that name; what can't stand in a line of text is left out.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let plain = name.chars().filter(|character| !crate::config::error::unprintable(*character));
        Self(plain.take(Self::LONGEST).collect())
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The longest text of a line of the audit log, in characters.
const LONGEST_AUDIT: usize = 300;

/// A text as it stands in the audit log: one line, without anything that a terminal would obey, and
/// no longer than anybody reads. Whoever is refused chooses the words of some of them.
#[must_use]
pub fn audit_text(text: &str) -> String {
    let line = crate::log::harmless(&crate::config::error::one_line(text));
    if line.chars().count() <= LONGEST_AUDIT {
        return line;
    }
    line.chars().take(LONGEST_AUDIT - 1).chain(['\u{2026}']).collect()
}

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: SystemTime,
    /// Who.
    pub actor: String,
    /// What was done: `add user`.
    pub action: String,
    /// To what: `alpha/alice`.
    pub subject: String,
    /// What came of it: `done`, or why it was refused.
    pub result: String,
}

/// What becomes of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceHistory {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// Whose it was, under the names of that time.
    pub user: UserId,
    /// The image that it was made from, where that is known.
    pub image: Option<String>,
    /// The states that it went through, the first one first.
    pub states: Vec<StateEntry>,
}

/// A state that an instance came into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateEntry {
    /// The state.
    pub state: InstanceState,
    /// When.
    pub at: SystemTime,
    /// Why.
    pub reason: String,
}

/// Remembers the node's state: a database, or memory.
///
/// Several processes may use one at the same time. A change is there as a whole or not at all,
/// and is seen by whoever reads afterwards.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Everything of the roster, as of one moment.
    async fn snapshot(&self) -> Result<Snapshot, Failure>;

    /// Some of the users, by group and name.
    async fn users(&self, query: &UserQuery) -> Result<Page<UserRecord>, Failure>;

    /// Makes all of `changes`, in their order, or none of them. The first one that can't be made
    /// is the failure: [`FailureKind::Missing`](crate::adapter::FailureKind) for what isn't there,
    /// [`FailureKind::Conflict`](crate::adapter::FailureKind) for what is there already or was
    /// changed meanwhile. Both the done and the refused are in the audit log.
    async fn apply(&self, actor: &Actor, changes: &[Change]) -> Result<(), Failure>;

    /// Writes down what became of sandboxes. What is known already is passed over, so that it may
    /// be said twice.
    async fn record(&self, facts: &[Fact]) -> Result<(), Failure>;

    /// The settings that are set.
    async fn settings(&self) -> Result<BTreeMap<SettingKey, Setting>, Failure>;

    /// The versions of a configuration file, the present one first.
    async fn config_file(&self, key: ConfigFileKey) -> Result<Vec<ConfigFileVersion>, Failure>;

    /// What became of a user's sandboxes, or of everyone's; the latest sandbox first.
    async fn history(&self, user: Option<&UserId>) -> Result<Vec<InstanceHistory>, Failure>;

    /// A number that is another one after every change of the roster, the settings or the
    /// configuration files, whichever process made it.
    async fn generation(&self) -> Result<u64, Failure>;

    /// Writes into the audit log what was done to something that isn't in the store: `delete
    /// workspace` to `alpha/ada`, and what came of it.
    async fn note(
        &self,
        actor: &Actor,
        action: &str,
        subject: &str,
        result: &str,
    ) -> Result<(), Failure>;

    /// The last `limit` lines of the audit log, the latest first.
    async fn audit(&self, limit: u32) -> Result<Vec<AuditEntry>, Failure>;
}
