//! What a command may change, and what only thon.yaml may.
//!
//! For: turning "add", "rename", "move" and "remove" into changes, or refusing them in words.
//! Whoever thon.yaml declares can't be renamed, moved or removed here: the file would bring them
//! back with the next run.
//! Not for: making the changes; and not for users' files, which the caller looks after first.

use thiserror::Error;

use super::{Change, Snapshot, UserRecord};
use crate::config::error::unprintable;
use crate::config::suggest;
use crate::config::types::is_email;
use crate::limits::{ByteSize, Limits};
use crate::name::{GroupName, UserId, quoted};
use crate::roster::{GroupRules, Roster};

/// Why a command can't change what it was asked to. Always one line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// thon.yaml declares it.
    #[error("{what} is declared in {origin}: edit that file to {verb} it")]
    Declared {
        /// `group alpha` or `user alpha/alice`.
        what: String,
        /// The file.
        origin: String,
        /// What was to be done: `rename`, `move`, `remove`.
        verb: &'static str,
    },
    /// It is there already.
    #[error("{what} is there already, in {place}; choose another name")]
    Exists {
        /// `group alpha` or `user alpha/alice`.
        what: String,
        /// The file, or the database.
        place: String,
    },
    /// It isn't there.
    #[error("there is no {what}{hint}")]
    Unknown {
        /// `group alpha` or `user alpha/alice`.
        what: String,
        /// What was probably meant, and what to do.
        hint: String,
    },
    /// A value that can't be used.
    #[error("{what} {value} is not allowed: {allowed}")]
    Value {
        /// What it was meant for.
        what: &'static str,
        /// The value, quoted.
        value: String,
        /// What may stand there.
        allowed: &'static str,
    },
}

impl EditError {
    /// The refusal of a user who is none of `known`.
    #[must_use]
    pub fn unknown_user(user: &UserId, known: &[UserId]) -> Self {
        let names: Vec<String> = known.iter().map(ToString::to_string).collect();
        let hint = suggest::hint(&user.to_string(), names.iter().map(String::as_str));
        Self::Unknown { what: format!("user {user}"), hint }
    }
}

/// What there is: the database, and what thon.yaml declares.
#[derive(Debug, Clone, Copy)]
pub struct Editor<'a> {
    /// The database.
    pub stored: &'a Snapshot,
    /// What thon.yaml declares.
    pub declared: &'a Roster,
    /// What that file is called.
    pub origin: &'a str,
}

const DATABASE: &str = "the database";

impl Editor<'_> {
    /// Adds a group.
    pub fn add_group(
        &self,
        name: &GroupName,
        title: Option<&str>,
        rules: GroupRules,
    ) -> Result<Vec<Change>, EditError> {
        self.free_group(name)?;
        let title = text("title", title)?;
        Ok(vec![Change::AddGroup { name: name.clone(), title, rules: checked(rules)? }])
    }

    /// Replaces a group's title and rules.
    pub fn edit_group(
        &self,
        name: &GroupName,
        title: Option<&str>,
        rules: GroupRules,
    ) -> Result<Vec<Change>, EditError> {
        let expect = Some(self.group(name, "change")?);
        let (title, rules) = (text("title", title)?, checked(rules)?);
        Ok(vec![Change::EditGroup { name: name.clone(), expect, title, rules }])
    }

    /// Replaces a user's display name and e-mail address.
    pub fn edit_user(
        &self,
        user: &UserId,
        display: Option<&str>,
        email: Option<&str>,
    ) -> Result<Vec<Change>, EditError> {
        let expect = Some(self.user(user, "change")?.revision);
        let (display, email) = (text("display name", display)?, address(email)?);
        Ok(vec![Change::EditUser { user: user.clone(), expect, display, email }])
    }

    /// Gives a group another name.
    pub fn rename_group(&self, name: &GroupName, to: &GroupName) -> Result<Vec<Change>, EditError> {
        let expect = self.group(name, "rename")?;
        self.free_group(to)?;
        Ok(vec![Change::RenameGroup { name: name.clone(), expect: Some(expect), to: to.clone() }])
    }

    /// Removes a group with its users.
    pub fn remove_group(&self, name: &GroupName) -> Result<Vec<Change>, EditError> {
        let expect = self.group(name, "remove")?;
        Ok(vec![Change::RemoveGroup { name: name.clone(), expect: Some(expect) }])
    }

    /// Adds a user to a group that the database or thon.yaml has.
    pub fn add_user(
        &self,
        user: &UserId,
        display: Option<&str>,
        email: Option<&str>,
    ) -> Result<Vec<Change>, EditError> {
        self.free_user(user)?;
        let display = text("display name", display)?;
        let email = address(email)?;
        let mut changes = self.group_for(&user.group)?;
        changes.push(Change::AddUser { user: user.clone(), display, email });
        Ok(changes)
    }

    /// Gives a user another name or another group.
    pub fn move_user(&self, user: &UserId, to: &UserId) -> Result<Vec<Change>, EditError> {
        let verb = if user.group == to.group { "rename" } else { "move" };
        let expect = self.user(user, verb)?.revision;
        self.free_user(to)?;
        let mut changes = self.group_for(&to.group)?;
        let (user, to) = (user.clone(), to.clone());
        changes.push(Change::MoveUser { user, expect: Some(expect), to });
        Ok(changes)
    }

    /// Removes a user.
    pub fn remove_user(&self, user: &UserId) -> Result<Vec<Change>, EditError> {
        let expect = self.user(user, "remove")?.revision;
        Ok(vec![Change::RemoveUser { user: user.clone(), expect: Some(expect) }])
    }

    /// Whether an import may make this change: it renames, moves and removes nobody whom thon.yaml
    /// declares.
    #[must_use]
    pub fn may(&self, change: &Change) -> bool {
        match change {
            Change::RemoveGroup { name, .. } | Change::RenameGroup { name, .. } => {
                self.declared.group(name).is_none()
            }
            Change::RemoveUser { user, .. } | Change::MoveUser { user, .. } => {
                self.declared.user(user).is_none()
            }
            _ => true,
        }
    }

    /// The revision of a group that commands may change.
    fn group(&self, name: &GroupName, verb: &'static str) -> Result<super::Revision, EditError> {
        if self.declared.group(name).is_some() {
            return Err(self.declares(format!("group {name}"), verb));
        }
        let found = self.stored.group(name).map(|group| group.revision);
        found.ok_or_else(|| {
            let known = self.stored.groups.iter().map(|group| group.name.as_str());
            let hint = suggest::hint(name.as_str(), known);
            EditError::Unknown { what: format!("group {name}"), hint }
        })
    }

    fn user(&self, id: &UserId, verb: &'static str) -> Result<&UserRecord, EditError> {
        if self.declared.user(id).is_some() {
            return Err(self.declares(format!("user {id}"), verb));
        }
        self.stored.user(id).ok_or_else(|| {
            let known: Vec<String> =
                self.stored.users.iter().map(|user| user.user.to_string()).collect();
            let hint = suggest::hint(&id.to_string(), known.iter().map(String::as_str));
            EditError::Unknown { what: format!("user {id}"), hint }
        })
    }

    fn declares(&self, what: String, verb: &'static str) -> EditError {
        EditError::Declared { what, origin: self.origin.to_owned(), verb }
    }

    fn free_group(&self, name: &GroupName) -> Result<(), EditError> {
        let place = match (self.declared.group(name), self.stored.group(name)) {
            (Some(_), _) => self.origin,
            (None, Some(_)) => DATABASE,
            (None, None) => return Ok(()),
        };
        Err(EditError::Exists { what: format!("group {name}"), place: place.to_owned() })
    }

    fn free_user(&self, id: &UserId) -> Result<(), EditError> {
        let place = match (self.declared.user(id), self.stored.user(id)) {
            (Some(_), _) => self.origin,
            (None, Some(_)) => DATABASE,
            (None, None) => return Ok(()),
        };
        Err(EditError::Exists { what: format!("user {id}"), place: place.to_owned() })
    }

    /// What makes the database have this group: nothing where it does, a row of its own where only
    /// thon.yaml has it, so far.
    fn group_for(&self, name: &GroupName) -> Result<Vec<Change>, EditError> {
        if self.stored.group(name).is_some() {
            return Ok(Vec::new());
        }
        if self.declared.group(name).is_some() {
            let (name, rules) = (name.clone(), GroupRules::default());
            return Ok(vec![Change::AddGroup { name, title: None, rules }]);
        }
        let declared = self.declared.groups().iter().map(|group| group.name.as_str());
        let stored = self.stored.groups.iter().map(|group| group.name.as_str());
        let known: Vec<&str> = declared.chain(stored).collect();
        let hint = suggest::hint(name.as_str(), known);
        let glue = if hint.ends_with('?') { " else" } else { ";" };
        let hint = format!("{hint}{glue} `thon group add {name}` makes it");
        Err(EditError::Unknown { what: format!("group {name}"), hint })
    }
}

fn address(email: Option<&str>) -> Result<Option<String>, EditError> {
    if let Some(email) = email.filter(|email| !is_email(email)) {
        let (what, allowed) = ("e-mail address", "an address such as ada@example.org");
        return Err(EditError::Value { what, value: quoted(email), allowed });
    }
    Ok(email.map(ToOwned::to_owned))
}

fn text(what: &'static str, value: Option<&str>) -> Result<Option<String>, EditError> {
    let Some(value) = value.map(str::trim) else { return Ok(None) };
    let fits = (1..=200).contains(&value.chars().count()) && !value.chars().any(unprintable);
    if !fits {
        let allowed = "one line of text of at most 200 characters";
        return Err(EditError::Value { what, value: quoted(value), allowed });
    }
    Ok(Some(value.to_owned()))
}

/// Rules within the bounds of thon.yaml's own keys.
fn checked(rules: GroupRules) -> Result<GroupRules, EditError> {
    let refused = |what, value: String, allowed| Err(EditError::Value { what, value, allowed });
    if let Some(memory) = rules.memory.filter(|memory| !ByteSize::is_memory(*memory)) {
        return refused("memory", memory.to_string(), "at least 64m");
    }
    if let Some(cpus) = rules.cpus.filter(|cpus| !Limits::is_cpus(*cpus)) {
        return refused("cpus", cpus.to_string(), "a number from 0.01 to 1024");
    }
    if let Some(pids) = rules.pids.filter(|pids| !Limits::is_pids(*pids)) {
        return refused("pids", pids.to_string(), "a whole number from 64 to 4194304");
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::state::{GroupRecord, Revision};

    fn id(text: &str) -> UserId {
        text.parse().unwrap()
    }

    fn stored(groups: &[&str], users: &[&str]) -> Snapshot {
        let now = SystemTime::UNIX_EPOCH;
        let group = |name: &&str| GroupRecord {
            id: 1,
            name: name.parse().unwrap(),
            title: None,
            rules: GroupRules::default(),
            event: None,
            revision: Revision(7),
            created_at: now,
            updated_at: now,
        };
        let user = |name: &&str| UserRecord {
            id: 1,
            user: id(name),
            display: None,
            email: None,
            revision: Revision(7),
            created_at: now,
            updated_at: now,
        };
        Snapshot {
            events: Vec::new(),
            groups: groups.iter().map(group).collect(),
            users: users.iter().map(user).collect(),
        }
    }

    #[test]
    fn what_thon_yaml_declares_is_left_to_it_and_the_file_is_named() {
        let declared: Roster = [id("alpha/ada")].into_iter().collect();
        let stored = stored(&["alpha", "beta"], &["alpha/bob", "alpha/ada", "beta/carol"]);
        let editor = Editor { stored: &stored, declared: &declared, origin: "~/.thon/thon.yaml" };
        let line = |result: Result<Vec<Change>, EditError>| result.unwrap_err().to_string();
        assert_eq!(
            line(editor.move_user(&id("alpha/ada"), &id("beta/ada"))),
            "user alpha/ada is declared in ~/.thon/thon.yaml: edit that file to move it"
        );
        assert!(line(editor.remove_user(&id("alpha/ada"))).contains("to remove it"));
        let alpha = &id("alpha/x").group;
        assert!(line(editor.rename_group(alpha, &id("omega/x").group)).contains("to rename it"));
        assert!(line(editor.remove_group(alpha)).contains("group alpha is declared in"));
        assert!(
            line(editor.add_user(&id("alpha/ada"), None, None)).contains("in ~/.thon/thon.yaml")
        );
        assert!(editor.move_user(&id("alpha/bob"), &id("beta/bob")).is_ok());
        assert!(!editor.may(&Change::RemoveUser { user: id("alpha/ada"), expect: None }));
    }

    #[test]
    fn who_is_not_there_is_named_with_who_was_meant() {
        let declared: Roster = [id("alpha/ada")].into_iter().collect();
        let stored = stored(&["beta"], &["beta/carol"]);
        let editor = Editor { stored: &stored, declared: &declared, origin: "thon.yaml" };
        let line = |result: Result<Vec<Change>, EditError>| result.unwrap_err().to_string();
        assert_eq!(
            line(editor.remove_user(&id("beta/carl"))),
            "there is no user beta/carl; did you mean `beta/carol`?"
        );
        let missing = line(editor.add_user(&id("gamma/x"), None, None));
        assert!(missing.ends_with("`thon group add gamma` makes it"), "{missing}");
        let mail = line(editor.add_user(&id("beta/x"), None, Some("nope")));
        assert_eq!(
            mail,
            "e-mail address \"nope\" is not allowed: an address such as ada@example.org"
        );
        let rules = GroupRules { memory: Some(ByteSize::mib(1)), ..GroupRules::default() };
        let small = line(editor.add_group(&id("g/x").group, None, rules));
        assert_eq!(small, "memory 1 MiB is not allowed: at least 64m");
    }

    #[test]
    fn a_late_comer_joins_a_group_that_only_the_file_has() {
        let declared: Roster = [id("alpha/ada")].into_iter().collect();
        let stored = Snapshot::default();
        let editor = Editor { stored: &stored, declared: &declared, origin: "thon.yaml" };
        let changes = editor.add_user(&id("alpha/bob"), Some("Bob"), None).unwrap();
        assert!(matches!(changes[0], Change::AddGroup { .. }));
        assert!(matches!(changes[1], Change::AddUser { .. }));
    }
}
