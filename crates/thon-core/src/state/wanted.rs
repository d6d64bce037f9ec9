//! Who is wanted: thon.yaml and the database together.
//!
//! For: the one rule of what holds where both say something. Both rosters together are wanted, and
//! where both say something about the same group or user, field by field thon.yaml's word holds.
//! Not for: a run that takes its roster from one place alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::name::UserId;
use crate::roster::{GroupRules, Roster};

use super::EventRecord;

/// Where a user is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// thon.yaml declares them.
    Declared,
    /// The database has them.
    Stored,
    /// Both.
    Both,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Declared => "thon.yaml",
            Self::Stored => "database",
            Self::Both => "thon.yaml, database",
        })
    }
}

/// A roster whose users are known from two places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Everyone: those of thon.yaml in its order, then those whom only the database has.
    pub roster: Roster,
    /// Where each is known from.
    pub sources: BTreeMap<UserId, Source>,
}

impl Wanted {
    /// Takes `roster` in the place of the present one. Whoever is new in it is declared: `demo: true`
    /// is a word of thon.yaml as well.
    pub fn declare(&mut self, roster: &Roster) {
        for (id, _) in roster.users() {
            self.sources.entry(id).or_insert(Source::Declared);
        }
        self.roster.clone_from(roster);
    }
}

/// Puts what thon.yaml declares and what the database has together.
#[must_use]
pub fn wanted(declared: &Roster, stored: &Roster) -> Wanted {
    let ids = |roster: &Roster| roster.users().map(|(id, _)| id).collect::<BTreeSet<_>>();
    let (by_file, by_database) = (ids(declared), ids(stored));
    let sources = by_file.union(&by_database).map(|id| {
        let source = match (by_file.contains(id), by_database.contains(id)) {
            (true, true) => Source::Both,
            (true, false) => Source::Declared,
            (false, _) => Source::Stored,
        };
        (id.clone(), source)
    });
    let sources = sources.collect();

    let mut roster = declared.clone();
    for group in stored.groups() {
        let title = roster.group(&group.name).and_then(|present| present.title.clone());
        let present = roster.add_group(group.name.clone(), title.or_else(|| group.title.clone()));
        present.rules = either(present.rules, group.rules);
        let places: BTreeMap<_, _> =
            present.users.iter().enumerate().map(|(at, user)| (user.name.clone(), at)).collect();
        for user in &group.users {
            let Some(user_there) = places.get(&user.name).and_then(|at| present.users.get_mut(*at))
            else {
                present.users.push(user.clone());
                continue;
            };
            user_there.display = user_there.display.take().or_else(|| user.display.clone());
            user_there.email = user_there.email.take().or_else(|| user.email.clone());
        }
    }
    Wanted { roster, sources }
}

/// The text of a groups file with this roster.
#[must_use]
pub fn groups_file(event: Option<&EventRecord>, roster: &Roster) -> String {
    #[derive(Serialize)]
    struct File<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        event_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        groups: &'a Roster,
    }
    let event_id = event.map(|event| event.id.as_str());
    let title = event.and_then(|event| event.title.as_deref());
    // Nothing in it fails to serialise: texts, lists and mappings with text keys.
    serde_yaml::to_string(&File { event_id, title, groups: roster }).unwrap_or_default()
}

/// The first one's rules, and the other's where it has none.
fn either(first: GroupRules, other: GroupRules) -> GroupRules {
    GroupRules {
        internet: first.internet.or(other.internet),
        memory: first.memory.or(other.memory),
        cpus: first.cpus.or(other.cpus),
        pids: first.pids.or(other.pids),
        disk: first.disk.or(other.disk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(text: &str) -> Roster {
        Roster::parse_groups_file(text, "groups.yaml").unwrap().roster
    }

    #[test]
    fn both_are_wanted_and_the_files_word_holds_field_by_field() {
        let declared = roster(
            "groups: {a: {title: From the file, memory: 512m, users: [{name: x, display_name: X}]}}",
        );
        let stored = roster(
            "groups:
               b: [z]
               a: {title: Not this, memory: 1g, pids: 200,
                   users: [{name: x, display_name: Other, email: x@example.org}, y]}",
        );
        let Wanted { roster: both, sources } = wanted(&declared, &stored);
        let expected = roster(
            "groups:
               a: {title: From the file, memory: 512m, pids: 200,
                   users: [{name: x, display_name: X, email: x@example.org}, y]}
               b: [z]",
        );
        assert_eq!(both, expected);
        let from: Vec<String> = sources.iter().map(|(id, from)| format!("{id}: {from}")).collect();
        assert_eq!(from, ["a/x: thon.yaml, database", "a/y: database", "b/z: database"]);
    }

    #[test]
    fn a_roster_that_is_written_is_read_back() {
        let text = "event_id: spring
title: Spring
groups: {a: {title: A, disk: 2g, users: [x, {name: y, email: y@example.org}]}, b: []}";
        let file = Roster::parse_groups_file(text, "x").unwrap();
        let event = EventRecord { id: "spring".to_owned(), title: Some("Spring".to_owned()) };
        let written = groups_file(Some(&event), &file.roster);
        let again = Roster::parse_groups_file(&written, "y").unwrap();
        assert_eq!(
            (again.roster, again.event_id, again.title),
            (file.roster, file.event_id, file.title)
        );
    }

    #[test]
    fn without_a_database_the_file_is_the_roster() {
        let declared = roster("groups: {a: [x], b: []}");
        assert_eq!(wanted(&declared, &Roster::new()).roster, declared);
        assert_eq!(wanted(&Roster::new(), &declared).roster, declared);
    }
}
