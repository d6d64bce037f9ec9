//! The database of THON's Python ancestor, made into ours.
//!
//! For: deciding what of it is taken, what is refused and under which name it could be taken.
//! Not for: reading its file; the store does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::Serialize;

use super::slug::candidates;
use super::{
    Change, ConfigFile, ConfigFileKey, ConfigFileVersion, Difference, Fact, Missing, Setting,
    SettingKey, Snapshot, difference,
};
use crate::instance::InstanceState;
use crate::name::{GroupName, UserId, Username, quoted, slugify};
use crate::roster::{Roster, User};
use crate::sandbox::SandboxId;

/// What stands in the ancestor's tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ancestor {
    /// Its events: id and title.
    pub events: Vec<(String, Option<String>)>,
    /// Its groups.
    pub groups: Vec<AncestorGroup>,
    /// Its users.
    pub users: Vec<AncestorUser>,
    /// Its sandboxes, present and past.
    pub sandboxes: Vec<AncestorSandbox>,
    /// Its settings.
    pub settings: Vec<(String, String)>,
}

/// A row of its `group_records`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AncestorGroup {
    /// The row's id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The title.
    pub title: Option<String>,
}

/// A row of its `user_records`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AncestorUser {
    /// The id of the group's row.
    pub group_id: String,
    /// The name.
    pub username: String,
    /// The e-mail address.
    pub email: Option<String>,
}

/// A row of its `sandbox_records`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AncestorSandbox {
    /// The sandbox.
    pub sandbox: String,
    /// The group's name.
    pub group: String,
    /// The user's name.
    pub username: String,
    /// The image.
    pub image: Option<String>,
    /// When it was made.
    pub created_at: Option<SystemTime>,
    /// When it ended.
    pub terminated_at: Option<SystemTime>,
}

/// Whether names that are refused are taken in the form that is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renaming {
    /// They are left out, and said.
    Refused,
    /// They are taken under the proposed name, and said.
    Proposed,
}

/// Something that can't be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// What it is: `group`, `user`, `setting`.
    pub what: &'static str,
    /// What it is called.
    pub name: String,
    /// Why not.
    pub problem: String,
    /// The name under which it could be taken.
    pub proposal: Option<String>,
}

/// What an import would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AncestorImport {
    /// The changes, in an order in which they can be made.
    pub changes: Vec<Change>,
    /// What became of sandboxes that have ended.
    pub history: Vec<Fact>,
    /// What is refused, or taken under the proposed name.
    pub refused: Vec<Refused>,
    /// Sandboxes that had not ended: they are the ancestor's and stay so.
    pub still_running: usize,
}

/// Compares the ancestor's tables with what there is. A second import changes nothing.
#[must_use]
pub fn import_ancestor(
    ancestor: &Ancestor,
    present: &Snapshot,
    settings: &BTreeMap<SettingKey, Setting>,
    files: &[ConfigFileVersion],
    known: &BTreeSet<SandboxId>,
    renaming: Renaming,
) -> AncestorImport {
    let mut import = AncestorImport::default();
    let (roster, renamed) = roster(ancestor, renaming, &mut import.refused);
    let event = ancestor.events.first().map(|(id, title)| (id.as_str(), title.as_deref()));
    let Difference { changes, .. } = difference(present, &roster, event, Missing::Kept);
    import.changes = changes;
    for (key, value) in &ancestor.settings {
        match setting(key, value) {
            Ok(Taken::Setting(setting)) if settings.get(&setting.key()) != Some(&setting) => {
                import.changes.push(Change::SetSetting { setting });
            }
            // A version that was stored once is known, even if another is the present one now.
            Ok(Taken::File(file)) if files.iter().all(|version| version.file != file) => {
                import.changes.push(Change::PutConfigFile { file, expect: None });
            }
            Ok(_) => {}
            Err(problem) => import.refused.push(Refused {
                what: "setting",
                name: key.clone(),
                problem,
                proposal: None,
            }),
        }
    }
    history(ancestor, &renamed, known, &mut import);
    import
}

enum Taken {
    Setting(Setting),
    File(ConfigFile),
}

fn setting(key: &str, value: &str) -> Result<Taken, String> {
    let file = match key {
        "config_groups_yaml" => Some(ConfigFileKey::GroupsYaml),
        "config_kilo_json" => Some(ConfigFileKey::KiloJsonc),
        "config_vscode_settings" => Some(ConfigFileKey::VscodeSettings),
        _ => None,
    };
    if let Some(file) = file {
        return ConfigFile::new(file, value).map(Taken::File);
    }
    // The ancestor wrote one name and read another.
    let key = if key == "gateway_rate_limit_window" { "gateway_time_window" } else { key };
    let key: SettingKey = key.parse()?;
    let lower = value.to_ascii_lowercase();
    let value = if matches!(lower.as_str(), "true" | "false") { lower.as_str() } else { value };
    Setting::new(key, value).map(Taken::Setting)
}

/// The name that could stand in the place of one that is refused: no other of `taken`.
fn proposal(name: &str, taken: &BTreeSet<String>) -> Option<String> {
    let base = slugify(name)?;
    candidates(&base).take(1000).find(|candidate| !taken.contains(candidate))
}

/// Old names with the names that they are taken under.
type Renamed = BTreeMap<(String, String), UserId>;

fn roster(
    ancestor: &Ancestor,
    renaming: Renaming,
    refused: &mut Vec<Refused>,
) -> (Roster, Renamed) {
    let mut roster = Roster::new();
    let mut groups: BTreeMap<&str, GroupName> = BTreeMap::new();
    let mut taken: BTreeSet<String> = ancestor.groups.iter().map(|g| g.name.clone()).collect();
    for group in &ancestor.groups {
        let name = match GroupName::new(group.name.as_str()) {
            Ok(name) => Some(name),
            Err(error) => {
                let proposal = proposal(&group.name, &taken);
                taken.extend(proposal.clone());
                let name = proposal.as_deref().and_then(|name| GroupName::new(name).ok());
                refused.push(Refused {
                    what: "group",
                    name: group.name.clone(),
                    problem: error.problem.to_owned(),
                    proposal,
                });
                name.filter(|_| renaming == Renaming::Proposed)
            }
        };
        if let Some(name) = name {
            let made = name.as_str() != group.name;
            let title =
                clean(group.title.as_deref()).or_else(|| clean(made.then_some(&group.name)));
            roster.add_group(name.clone(), title);
            groups.insert(&group.id, name);
        }
    }
    let names: BTreeMap<&str, &str> =
        ancestor.groups.iter().map(|group| (group.id.as_str(), group.name.as_str())).collect();
    let mut taken: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for user in &ancestor.users {
        taken.entry(&user.group_id).or_default().insert(user.username.clone());
    }
    let mut renamed = Renamed::new();
    for user in &ancestor.users {
        let shown = |group: &str| format!("{group}/{}", user.username);
        let Some(old_group) = names.get(user.group_id.as_str()) else {
            refused.push(Refused {
                what: "user",
                name: shown("?"),
                problem: "it belongs to no group".to_owned(),
                proposal: None,
            });
            continue;
        };
        let name = match Username::new(user.username.as_str()) {
            Ok(name) => Some(name),
            Err(error) => {
                let taken = taken.entry(&user.group_id).or_default();
                let proposal = proposal(&user.username, taken);
                taken.extend(proposal.clone());
                let name = proposal.as_deref().and_then(|name| Username::new(name).ok());
                refused.push(Refused {
                    what: "user",
                    name: shown(old_group),
                    problem: error.problem.to_owned(),
                    proposal,
                });
                name.filter(|_| renaming == Renaming::Proposed)
            }
        };
        // The users of a refused group are refused with it; the group's line says so once.
        let (Some(name), Some(group)) = (name, groups.get(user.group_id.as_str())) else {
            continue;
        };
        let made = name.as_str() != user.username;
        let email = clean(user.email.as_deref()).filter(|e| crate::config::types::is_email(e));
        let display = clean(made.then_some(&user.username));
        renamed.insert(
            ((*old_group).to_owned(), user.username.clone()),
            UserId::new(group.clone(), name.clone()),
        );
        // Two rows for one user can't be: the ancestor's table has them unique.
        drop(roster.add(group.clone(), User { name, display, email }));
    }
    (roster, renamed)
}

/// A free text that can stand in a line.
fn clean<T: AsRef<str> + ?Sized>(text: Option<&T>) -> Option<String> {
    let text = text?.as_ref().trim();
    let fits = !text.is_empty() && text.chars().count() <= 200;
    (fits && !text.chars().any(crate::config::error::unprintable)).then(|| text.to_owned())
}

fn history(
    ancestor: &Ancestor,
    renamed: &Renamed,
    known: &BTreeSet<SandboxId>,
    import: &mut AncestorImport,
) {
    for row in &ancestor.sandboxes {
        let Some(ended) = row.terminated_at else {
            import.still_running += 1;
            continue;
        };
        let sandbox = SandboxId(row.sandbox.clone());
        if known.contains(&sandbox) {
            continue;
        }
        let key = (row.group.clone(), row.username.clone());
        let plain = || format!("{}/{}", row.group, row.username).parse::<UserId>();
        let Some(user) = renamed.get(&key).cloned().or_else(|| plain().ok()) else {
            import.refused.push(Refused {
                what: "sandbox",
                name: row.sandbox.clone(),
                problem: format!(
                    "it is of {}, which is no name of a user",
                    quoted(&format!("{}/{}", row.group, row.username))
                ),
                proposal: None,
            });
            continue;
        };
        let fact = |state, at, reason: &str| Fact {
            sandbox: sandbox.clone(),
            user: user.clone(),
            image: row.image.clone(),
            state,
            at,
            reason: reason.to_owned(),
        };
        let made = "made by the ancestor";
        import.history.extend(row.created_at.map(|at| fact(InstanceState::Pending, at, made)));
        import.history.push(fact(InstanceState::Terminated, ended, "ended under the ancestor"));
    }
}
