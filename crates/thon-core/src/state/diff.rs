//! What has to change so that the database has a given roster.
//!
//! For: importing a file more than once, with a preview before anything changes.
//! Not for: reading the file.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Snapshot, UserRecord};
use crate::limits::ByteSize;
use crate::name::{GroupName, UserId, quoted};
use crate::roster::{Group, GroupRules, Roster, User};

/// What becomes of those whom the new roster doesn't have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// They stay.
    Kept,
    /// They are removed.
    Removed,
}

/// The way from what there is to what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// The changes, in an order in which they can be made.
    pub changes: Vec<Change>,
    /// How many groups and users are as they should be.
    pub unchanged: usize,
    /// Who is there and not in the wanted roster, and stays.
    pub kept: Vec<UserId>,
}

/// What `change` writes over in `present`, field by field, in words: `title "Owls", was "Team 1"`.
#[must_use]
pub fn overwritten(present: &Snapshot, change: &Change) -> Vec<String> {
    let mut words = Vec::new();
    let mut compare = |what: &str, old: Option<String>, new: Option<String>| {
        if old != new {
            let say = |value: Option<String>| value.map_or("none".to_owned(), |text| quoted(&text));
            words.push(format!("{what} {}, was {}", say(new), say(old)));
        }
    };
    match change {
        Change::EditGroup { name, title, rules, .. } => {
            let Some(old) = present.groups.iter().find(|group| group.name == *name) else {
                return words;
            };
            compare("title", old.title.clone(), title.clone());
            let (was, is) = (&old.rules, rules);
            let size = |value: Option<ByteSize>| value.map(|size| size.to_string());
            compare("memory", size(was.memory), size(is.memory));
            compare("disk", size(was.disk), size(is.disk));
            compare("cpus", was.cpus.map(|n| n.to_string()), is.cpus.map(|n| n.to_string()));
            compare("pids", was.pids.map(|n| n.to_string()), is.pids.map(|n| n.to_string()));
            let truth = |value: Option<bool>| value.map(|value| value.to_string());
            compare("internet", truth(was.internet), truth(is.internet));
        }
        Change::EditUser { user, display, email, .. } => {
            let Some(old) = present.users.iter().find(|known| known.user == *user) else {
                return words;
            };
            compare("name", old.display.clone(), display.clone());
            compare("e-mail", old.email.clone(), email.clone());
        }
        _ => {}
    }
    words
}

/// Compares. What the wanted roster doesn't say about somebody stays as it is. Whoever is wanted
/// in another group under the same e-mail address, and no longer in their own, moves there.
/// `event` is the event of a groups file: its id and title.
#[must_use]
pub fn difference(
    present: &Snapshot,
    wanted: &Roster,
    event: Option<(&str, Option<&str>)>,
    missing: Missing,
) -> Difference {
    let mut found = Difference::default();
    let groups: BTreeMap<&GroupName, _> = present.groups.iter().map(|g| (&g.name, g)).collect();
    let users: BTreeMap<&UserId, &UserRecord> =
        present.users.iter().map(|u| (&u.user, u)).collect();
    let ids: BTreeSet<UserId> = wanted.users().map(|(id, _)| id).collect();
    // Those who may be meant by a new name in another group: known by their e-mail address alone.
    let mut leaving: BTreeMap<String, &UserRecord> = BTreeMap::new();
    for record in present.users.iter().filter(|record| !ids.contains(&record.user)) {
        if let Some(email) = &record.email {
            leaving.insert(email.to_lowercase(), record);
        }
    }
    for group in wanted.groups() {
        match groups.get(&group.name) {
            None => found.changes.push(Change::AddGroup {
                name: group.name.clone(),
                title: group.title.clone(),
                rules: group.rules,
            }),
            Some(record) => {
                let title = group.title.clone().or_else(|| record.title.clone());
                let rules = over(group, record.rules);
                if title == record.title && rules == record.rules {
                    found.unchanged += 1;
                } else {
                    let (name, expect) = (group.name.clone(), Some(record.revision));
                    found.changes.push(Change::EditGroup { name, expect, title, rules });
                }
            }
        }
    }
    let mut moved = BTreeSet::new();
    for (id, user) in wanted.users() {
        if let Some(record) = users.get(&id) {
            found.edit(record, record.user.clone(), record.revision, user);
            continue;
        }
        let email = user.email.as_deref().map(str::to_lowercase);
        let came = email.and_then(|email| leaving.remove(&email));
        // Within one group it is another name for the same person, which would cost them their
        // workspace; only a command that says so renames.
        if let Some(record) = came.filter(|record| record.user.group != id.group) {
            moved.insert(record.user.clone());
            let (from, expect) = (record.user.clone(), Some(record.revision));
            found.changes.push(Change::MoveUser { user: from, expect, to: id.clone() });
            let next = super::Revision(record.revision.0 + 1);
            found.edit(record, id, next, user);
        } else {
            found.changes.push(Change::AddUser {
                user: id,
                display: user.display.clone(),
                email: user.email.clone(),
            });
        }
    }
    found.leave(present, wanted, &ids, &moved, missing);
    found.set_event(present, event);
    found
}

impl Difference {
    /// Changes what is said of a user and isn't so.
    fn edit(&mut self, record: &UserRecord, id: UserId, seen: super::Revision, user: &User) {
        let display = user.display.clone().or_else(|| record.display.clone());
        let email = user.email.clone().or_else(|| record.email.clone());
        if display == record.display && email == record.email {
            self.unchanged += usize::from(id == record.user);
        } else {
            self.changes.push(Change::EditUser { user: id, expect: Some(seen), display, email });
        }
    }

    fn leave(
        &mut self,
        present: &Snapshot,
        wanted: &Roster,
        ids: &BTreeSet<UserId>,
        moved: &BTreeSet<UserId>,
        missing: Missing,
    ) {
        let gone =
            |record: &&UserRecord| !ids.contains(&record.user) && !moved.contains(&record.user);
        let gone = present.users.iter().filter(gone);
        if missing == Missing::Kept {
            self.kept.extend(gone.map(|record| record.user.clone()));
            return;
        }
        self.changes.extend(gone.map(|record| Change::RemoveUser {
            user: record.user.clone(),
            expect: Some(record.revision),
        }));
        let empty = present.groups.iter().filter(|group| wanted.group(&group.name).is_none());
        self.changes.extend(empty.map(|group| Change::RemoveGroup {
            name: group.name.clone(),
            expect: Some(group.revision),
        }));
    }

    /// Last, so that it holds for the groups that are new too.
    fn set_event(&mut self, present: &Snapshot, event: Option<(&str, Option<&str>)>) {
        let Some((id, title)) = event else { return };
        let known = present.events.iter().find(|event| event.id == id);
        let title = title.or_else(|| known.and_then(|event| event.title.as_deref()));
        let same = known.is_some_and(|event| event.title.as_deref() == title);
        let adds = self.changes.iter().any(|change| matches!(change, Change::AddGroup { .. }));
        if !same || adds || present.groups.iter().any(|group| group.event.is_none()) {
            let title = title.map(ToOwned::to_owned);
            self.changes.push(Change::SetEvent { id: id.to_owned(), title });
        }
    }
}

/// What a file says of a group's rules, over those that are there.
fn over(group: &Group, present: GroupRules) -> GroupRules {
    let said = group.rules;
    GroupRules {
        internet: said.internet.or(present.internet),
        memory: said.memory.or(present.memory),
        cpus: said.cpus.or(present.cpus),
        pids: said.pids.or(present.pids),
        disk: said.disk.or(present.disk),
    }
}
