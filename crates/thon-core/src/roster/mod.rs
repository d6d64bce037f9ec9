//! Who takes part: groups and their users, in the order of the file.
//!
//! For: the one form that every roster is read into, from thon.yaml's `groups` or from a groups
//! file; choosing some of its users; adding to it.
//! Not for: what belongs to a user (volume, ports, password); that follows from their
//! [`UserId`], see [`crate::name`] and [`crate::seat`].

mod read;

use std::collections::HashSet;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_yaml::Value;

use crate::config::suggest;
use crate::config::{ConfigError, Warning};
use crate::limits::{ByteSize, Cpus, Limits};
use crate::name::{GroupName, UserId, Username, quoted};

/// A participant within their group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct User {
    /// The name that everything of theirs is named from.
    pub name: Username,
    /// The name that people read.
    pub display: Option<String>,
    /// Their e-mail address.
    pub email: Option<String>,
}

impl User {
    /// A user of whom only the name is known.
    #[must_use]
    pub fn new(name: Username) -> Self {
        Self { name, display: None, email: None }
    }

    /// The name to show: the display name, else the name.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.display.as_deref().unwrap_or(self.name.as_str())
    }

    /// Whether the bare name says everything.
    fn is_plain(&self) -> bool {
        self.display.is_none() && self.email.is_none()
    }
}

/// What holds for the sandboxes of one group in the place of the node's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct GroupRules {
    /// Whether they reach the internet, in the place of `sandbox.internet`.
    pub internet: Option<bool>,
    /// In the place of `sandbox.memory`.
    pub memory: Option<ByteSize>,
    /// In the place of `sandbox.cpus`.
    pub cpus: Option<Cpus>,
    /// In the place of `sandbox.pids`.
    pub pids: Option<u32>,
    /// In the place of `sandbox.disk`.
    pub disk: Option<ByteSize>,
}

impl GroupRules {
    /// The limits of this group's sandboxes on a node whose own are `node`.
    #[must_use]
    pub fn limits(&self, node: &Limits) -> Limits {
        Limits {
            memory: self.memory.unwrap_or(node.memory),
            cpus: self.cpus.unwrap_or(node.cpus),
            pids: self.pids.unwrap_or(node.pids),
            disk: self.disk.or(node.disk),
        }
    }
}

/// A group and its users.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    /// The name that everything of the group is named from.
    pub name: GroupName,
    /// The name that people read.
    pub title: Option<String>,
    /// What holds for its sandboxes in the place of the node's own settings.
    pub rules: GroupRules,
    /// The users; no name occurs twice.
    pub users: Vec<User>,
}

/// All participants. No group occurs twice, and no user twice in one group. The same user name in
/// two groups means two users.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roster {
    groups: Vec<Group>,
}

/// What a groups file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupsFile {
    /// The id of the event that the groups belong to.
    pub event_id: Option<String>,
    /// The event's title.
    pub title: Option<String>,
    /// The participants.
    pub roster: Roster,
    /// What was accepted and should be looked at.
    pub warnings: Vec<Warning>,
}

impl Roster {
    /// A roster without anybody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The roster of a demonstration: user `workspace` of group `default`.
    #[must_use]
    pub fn demo() -> Self {
        // Both are slugs, so the result is one user; a test holds it.
        "default/workspace".parse::<UserId>().into_iter().collect()
    }

    /// Reads a groups file; `origin` is what the file is called in errors. Groups and users may be
    /// written in all the forms that thon.yaml's `groups` takes, and `groups` may stand beside
    /// `event_id` and `title`.
    pub fn parse_groups_file(text: &str, origin: &str) -> Result<GroupsFile, ConfigError> {
        read::groups_file(text, origin)
    }

    /// The groups, in the order of the file.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// All users with the names that are theirs alone, group by group.
    pub fn users(&self) -> impl Iterator<Item = (UserId, &User)> {
        self.groups.iter().flat_map(|group| {
            group
                .users
                .iter()
                .map(|user| (UserId::new(group.name.clone(), user.name.clone()), user))
        })
    }

    /// How many users there are.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.groups.iter().map(|group| group.users.len()).sum()
    }

    /// True where no user is in any group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.users.is_empty())
    }

    /// The group of that name.
    #[must_use]
    pub fn group(&self, name: &GroupName) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == *name)
    }

    /// The user of that name; looks through the group, so it is not for loops over all users.
    #[must_use]
    pub fn user(&self, id: &UserId) -> Option<&User> {
        self.group(&id.group)?.users.iter().find(|user| user.name == id.user)
    }

    /// Adds a group without users, or finds the one that is there; a title replaces its title.
    pub fn add_group(&mut self, name: GroupName, title: Option<String>) -> &mut Group {
        let index = self.groups.iter().position(|group| group.name == name).unwrap_or_else(|| {
            let rules = GroupRules::default();
            self.groups.push(Group { name, title: None, rules, users: Vec::new() });
            self.groups.len() - 1
        });
        let group = &mut self.groups[index];
        if title.is_some() {
            group.title = title;
        }
        group
    }

    /// Adds a user, and their group where it is new. Refuses a user who is there already.
    pub fn add(&mut self, group: GroupName, user: User) -> Result<(), ConfigError> {
        let id = UserId::new(group.clone(), user.name.clone());
        if self.user(&id).is_some() {
            return Err(ConfigError::Duplicate { user: id });
        }
        self.add_group(group, None).users.push(user);
        Ok(())
    }

    /// The part of the roster in these groups and with these users, each list meaning all where it
    /// is empty. A user is given as `alice`, in whichever of the groups, or as `alpha/alice`. A name
    /// that nobody has is refused, with what was probably meant. Groups without users left drop out.
    pub fn select<G: AsRef<str>, U: AsRef<str>>(
        &self,
        groups: &[G],
        users: &[U],
    ) -> Result<Self, ConfigError> {
        for name in groups.iter().map(AsRef::as_ref) {
            if !self.groups.iter().any(|group| group.name.as_str() == name) {
                return Err(self.no_group(name));
            }
        }
        let in_groups = |group: &Group| {
            groups.is_empty() || groups.iter().any(|name| name.as_ref() == group.name.as_str())
        };
        let chosen: Vec<&Group> = self.groups.iter().filter(|group| in_groups(group)).collect();
        // Sets, so that a selection of everybody by name doesn't take the square of their number.
        let mut wanted: HashSet<&str> = users.iter().map(AsRef::as_ref).collect();
        let mut met: HashSet<&str> = HashSet::new();
        let mut selected = Self::new();
        for group in &chosen {
            let mut kept = Vec::new();
            for user in &group.users {
                let full = format!("{}/{}", group.name, user.name);
                let names = [wanted.get(user.name.as_str()), wanted.get(full.as_str())];
                if users.is_empty() || names.iter().any(Option::is_some) {
                    kept.push(user.clone());
                }
                met.extend(names.into_iter().flatten());
            }
            if !kept.is_empty() || (users.is_empty() && group.users.is_empty()) {
                selected.groups.push(Group { users: kept, ..(*group).clone() });
            }
        }
        wanted.retain(|name| !met.contains(name));
        match users.iter().map(AsRef::as_ref).find(|name| wanted.contains(name)) {
            Some(name) => Err(Self::no_user(&chosen, name)),
            None => Ok(selected),
        }
    }

    /// The error for a group that is not there.
    fn no_group(&self, name: &str) -> ConfigError {
        let hint = suggest::hint(name, self.groups.iter().map(|group| group.name.as_str()));
        ConfigError::Unknown { what: "group", name: quoted(name), hint }
    }

    /// The error for a user who is in none of these groups.
    fn no_user(groups: &[&Group], name: &str) -> ConfigError {
        let known: Vec<String> = groups
            .iter()
            .flat_map(|group| group.users.iter().map(move |user| (group, user)))
            .map(|(group, user)| {
                if name.contains('/') {
                    format!("{}/{}", group.name, user.name)
                } else {
                    user.name.to_string()
                }
            })
            .collect();
        let hint = suggest::hint(name, known.iter().map(String::as_str));
        ConfigError::Unknown { what: "user", name: quoted(name), hint }
    }

    /// The roster as the value of thon.yaml's `groups`: each group in its shortest form.
    pub(crate) fn to_value(&self) -> Value {
        // Nothing in a roster fails to serialise: texts, lists and mappings with text keys.
        serde_yaml::to_value(self).unwrap_or_default()
    }
}

/// Users of whom only the names are known. A user who comes twice is there once.
impl FromIterator<UserId> for Roster {
    fn from_iter<I: IntoIterator<Item = UserId>>(ids: I) -> Self {
        let mut roster = Self::new();
        let mut seen = HashSet::new();
        for id in ids {
            if seen.insert(id.clone()) {
                roster.add_group(id.group, None).users.push(User::new(id.user));
            }
        }
        roster
    }
}

/// Group names with their users, in the forms that [`Roster::parse_groups_file`] reads.
impl Serialize for Roster {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.groups.iter().map(|group| (&group.name, group)))
    }
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.title.is_none() && self.rules == GroupRules::default() {
            let mut list = serializer.serialize_seq(Some(self.users.len()))?;
            self.users.iter().try_for_each(|user| list.serialize_element(user))?;
            return list.end();
        }
        let GroupRules { internet, memory, cpus, pids, disk } = &self.rules;
        let mut mapping = serializer.serialize_map(None)?;
        if let Some(title) = &self.title {
            mapping.serialize_entry("title", title)?;
        }
        if let Some(internet) = internet {
            mapping.serialize_entry("internet", internet)?;
        }
        // Sizes and CPUs as people write them.
        let texts = [
            ("memory", memory.map(|size| size.to_string())),
            ("cpus", cpus.map(|cpus| cpus.to_string())),
            ("disk", disk.map(|size| size.to_string())),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                mapping.serialize_entry(key, &text)?;
            }
        }
        if let Some(pids) = pids {
            mapping.serialize_entry("pids", pids)?;
        }
        mapping.serialize_entry("users", &self.users)?;
        mapping.end()
    }
}

impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_plain() {
            return self.name.serialize(serializer);
        }
        let mut mapping = serializer.serialize_map(None)?;
        mapping.serialize_entry("name", &self.name)?;
        if let Some(display) = &self.display {
            mapping.serialize_entry("display_name", display)?;
        }
        if let Some(email) = &self.email {
            mapping.serialize_entry("email", email)?;
        }
        mapping.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(text: &str) -> Roster {
        Roster::parse_groups_file(text, "groups.yaml").unwrap().roster
    }

    fn names(roster: &Roster) -> Vec<String> {
        roster.users().map(|(id, _)| id.to_string()).collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn a_selection_keeps_the_order_of_the_file_and_the_groups_apart() {
        let all = roster("groups: {beta: [bob, alice], alpha: [alice, carol]}");
        assert_eq!(names(&all), ["beta/bob", "beta/alice", "alpha/alice", "alpha/carol"]);
        let pick = |groups: &[&str], users: &[&str]| names(&all.select(groups, users).unwrap());
        assert_eq!(pick(&[], &["alice"]), ["beta/alice", "alpha/alice"]);
        assert_eq!(pick(&["alpha"], &["alice"]), ["alpha/alice"]);
        assert_eq!(pick(&[], &["beta/alice", "carol"]), ["beta/alice", "alpha/carol"]);
        assert_eq!(pick(&[], &[]).len(), 4);
    }

    #[test]
    fn who_is_not_there_is_named_with_who_was_meant() {
        let all = roster("groups: {alpha: [alice], beta: [bob]}");
        let line = |error: ConfigError| error.to_string();
        assert_eq!(
            line(all.select(&["aplha"], &NONE).unwrap_err()),
            "no group \"aplha\" in the roster; did you mean `alpha`?"
        );
        assert_eq!(
            line(all.select(&NONE, &["alise"]).unwrap_err()),
            "no user \"alise\" in the roster; did you mean `alice`?"
        );
        // Bob exists, though not in the group that was asked for.
        assert_eq!(
            line(all.select(&["alpha"], &["bob"]).unwrap_err()),
            "no user \"bob\" in the roster; known are `alice`"
        );
        assert!(!line(all.select(&NONE, &["a\nb"]).unwrap_err()).contains('\n'));
    }

    #[test]
    fn a_groups_own_rules_stand_in_the_place_of_the_nodes_and_are_written_back() {
        let text = "groups: {a: [x], b: {internet: false, memory: 512m, cpus: 0.5, users: [y]}}";
        let all = roster(text);
        let rules = |name: &str| all.group(&name.parse().unwrap()).unwrap().rules;
        assert_eq!(rules("a").limits(&Limits::default()), Limits::default());
        let limits = rules("b").limits(&Limits::default());
        assert_eq!((limits.memory, limits.cpus.milli()), (ByteSize::mib(512), 500));
        assert_eq!(limits.pids, Limits::default().pids);
        assert_eq!(rules("b").internet, Some(false));

        let file = serde_yaml::Mapping::from_iter([("groups".into(), all.to_value())]);
        let written = serde_yaml::to_string(&file).unwrap();
        assert_eq!(roster(&written), all, "{written}");
    }

    #[test]
    fn a_rule_that_no_sandbox_could_live_with_is_refused_in_its_place() {
        let refused = |text: &str| {
            Roster::parse_groups_file(&format!("groups: {{a: {{{text}, users: [x]}}}}"), "g.yaml")
                .unwrap_err()
                .to_string()
        };
        for (text, parts) in [
            ("disk: 1m", ["groups.a.disk", "at least 64m"]),
            ("memory: 1m", ["groups.a.memory", "at least 64m"]),
            ("cpus: none", ["groups.a.cpus", "none"]),
            ("pids: 3", ["groups.a.pids", "64"]),
            ("internet: maybe", ["groups.a.internet", "true or false"]),
            ("disc: 1g", ["groups.a", "disk"]),
        ] {
            let line = refused(text);
            assert!(parts.iter().all(|part| line.contains(part)), "{text}: {line}");
        }
    }

    #[test]
    fn the_demonstration_has_one_user() {
        assert_eq!(names(&Roster::demo()), ["default/workspace"]);
    }

    #[test]
    fn a_user_is_added_once() {
        let mut all = Roster::demo();
        let group = GroupName::new("default").unwrap();
        assert!(all.add(group.clone(), User::new("eve".parse().unwrap())).is_ok());
        let twice = all.add(group, User::new("eve".parse().unwrap())).unwrap_err();
        assert!(twice.to_string().contains("default/eve"), "{twice}");
        assert_eq!(all.user_count(), 2);
    }
}
