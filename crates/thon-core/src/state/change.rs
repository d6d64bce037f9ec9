//! Every change of the state, and how one is refused.
//!
//! For: one form for what commands, an interface and an import do, so that each is whole, checked
//! against what it was decided on, and written into the audit log.
//! Not for: making the change; the store does.

use std::time::SystemTime;

use super::{ConfigFile, ConfigFileKey, Revision, Setting, SettingKey};
use crate::adapter::{Failure, FailureKind};
use crate::instance::InstanceState;
use crate::name::{GroupName, UserId};
use crate::roster::GroupRules;
use crate::sandbox::SandboxId;

/// A change. `expect` is the revision that it was decided on; nothing stands for whichever there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Adds an event, or changes the title of one; groups without an event belong to it from then on.
    SetEvent {
        /// The event.
        id: String,
        /// Its title.
        title: Option<String>,
    },
    /// Adds a group.
    AddGroup {
        /// Its name.
        name: GroupName,
        /// The name that people read.
        title: Option<String>,
        /// What holds for its sandboxes.
        rules: GroupRules,
    },
    /// Replaces everything of a group but its name and its users.
    EditGroup {
        /// Which one.
        name: GroupName,
        /// The revision that was seen.
        expect: Option<Revision>,
        /// The name that people read.
        title: Option<String>,
        /// What holds for its sandboxes.
        rules: GroupRules,
    },
    /// Gives a group another name. Its users are the same.
    RenameGroup {
        /// Which one.
        name: GroupName,
        /// The revision that was seen.
        expect: Option<Revision>,
        /// The new name.
        to: GroupName,
    },
    /// Removes a group and its users from the roster.
    RemoveGroup {
        /// Which one.
        name: GroupName,
        /// The revision that was seen.
        expect: Option<Revision>,
    },
    /// Adds a user to a group that is there.
    AddUser {
        /// Their names.
        user: UserId,
        /// The name that people read.
        display: Option<String>,
        /// Their e-mail address.
        email: Option<String>,
    },
    /// Replaces everything of a user but their names.
    EditUser {
        /// Who.
        user: UserId,
        /// The revision that was seen.
        expect: Option<Revision>,
        /// The name that people read.
        display: Option<String>,
        /// Their e-mail address.
        email: Option<String>,
    },
    /// Gives a user another name, or another group, or both.
    MoveUser {
        /// Who.
        user: UserId,
        /// The revision that was seen.
        expect: Option<Revision>,
        /// What they are called from then on; the group is there.
        to: UserId,
    },
    /// Removes a user from the roster.
    RemoveUser {
        /// Who.
        user: UserId,
        /// The revision that was seen.
        expect: Option<Revision>,
    },
    /// Sets a setting.
    SetSetting {
        /// The setting with its value.
        setting: Setting,
    },
    /// Takes a setting away, so that the default holds.
    ClearSetting {
        /// Which one.
        key: SettingKey,
    },
    /// Stores a new version of a configuration file.
    PutConfigFile {
        /// The file.
        file: ConfigFile,
        /// The version that was seen; 0 where there was none.
        expect: Option<u64>,
    },
    /// Takes a configuration file away. Its versions stay, and can be restored.
    RemoveConfigFile {
        /// Which file.
        key: ConfigFileKey,
        /// The version that was seen.
        expect: Option<u64>,
    },
    /// Stores an earlier version anew, as the present one.
    RestoreConfigFile {
        /// Which file.
        key: ConfigFileKey,
        /// The version to go back to.
        version: u64,
    },
}

impl Change {
    /// What is done, as the audit log says it.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        match self {
            Self::SetEvent { .. } => "set event",
            Self::AddGroup { .. } => "add group",
            Self::EditGroup { .. } => "edit group",
            Self::RenameGroup { .. } => "rename group",
            Self::RemoveGroup { .. } => "remove group",
            Self::AddUser { .. } => "add user",
            Self::EditUser { .. } => "edit user",
            Self::MoveUser { .. } => "move user",
            Self::RemoveUser { .. } => "remove user",
            Self::SetSetting { .. } => "set setting",
            Self::ClearSetting { .. } => "clear setting",
            Self::PutConfigFile { .. } => "put config file",
            Self::RemoveConfigFile { .. } => "remove config file",
            Self::RestoreConfigFile { .. } => "restore config file",
        }
    }

    /// What it is done to. Holds no secret.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::SetEvent { id, .. } => id.clone(),
            Self::AddGroup { name, .. }
            | Self::EditGroup { name, .. }
            | Self::RemoveGroup { name, .. } => name.to_string(),
            Self::RenameGroup { name, to, .. } => format!("{name} to {to}"),
            Self::AddUser { user, .. }
            | Self::EditUser { user, .. }
            | Self::RemoveUser { user, .. } => user.to_string(),
            Self::MoveUser { user, to, .. } => format!("{user} to {to}"),
            Self::SetSetting { setting } => setting.key().to_string(),
            Self::ClearSetting { key } => key.to_string(),
            Self::PutConfigFile { file, .. } => file.key().to_string(),
            Self::RemoveConfigFile { key, .. } => key.to_string(),
            Self::RestoreConfigFile { key, version } => format!("{key} version {version}"),
        }
    }

    /// What was tried, for a failure: `removing user alpha/alice` has the form `remove user …`.
    fn tried(&self) -> String {
        format!("{} {}", self.action(), self.subject())
    }
}

/// The refusal of a change that would make `what` (`user alpha/alice`) a second time.
#[must_use]
pub fn exists(change: &Change, what: &str) -> Failure {
    let cause = format!("{what} is there already");
    Failure::new(FailureKind::Conflict, change.tried(), cause, "choose another name")
}

/// The refusal of a change of `what`, which isn't there.
#[must_use]
pub fn missing(change: &Change, what: &str) -> Failure {
    let cause = format!("there is no {what} in the database");
    let advice = "look at what there is with `thon group list` and `thon user list`";
    Failure::new(FailureKind::Missing, change.tried(), cause, advice)
}

/// The refusal of a change of `what`, which someone else changed since it was looked at.
#[must_use]
pub fn stale(change: &Change, what: &str) -> Failure {
    let cause = format!("{what} was changed by someone else meanwhile");
    Failure::new(FailureKind::Stale, change.tried(), cause, "look at it again, then try again")
}

/// Something that became of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Which one.
    pub sandbox: SandboxId,
    /// Whose it is.
    pub user: UserId,
    /// The image that it was made from, where that is known.
    pub image: Option<String>,
    /// The state that it came into.
    pub state: InstanceState,
    /// When; in whole milliseconds.
    pub at: SystemTime,
    /// Why.
    pub reason: String,
}
