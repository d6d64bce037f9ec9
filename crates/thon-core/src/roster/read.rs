//! Reading rosters in all the forms that people write them.
//!
//! A user is `alice`, or `{name: alice, display_name: …, email: …}` (`username` and `display` are
//! understood too). A group is a list of users, or `{title: …, users: […]}` with rules of its own
//! (`internet`, `memory`, `cpus`, `pids`, `disk`), or nothing yet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::Value;

use super::{Group, GroupRules, GroupsFile, Roster, User};
use crate::config::node::{Found, Meta, Node, NodeSeed, Rule, ShowSecrets, section, unknown_key};
use crate::config::read::{KeySeed, Reader, Scalar, Step};
use crate::config::types::is_email;
use crate::config::{ConfigError, error::unprintable};
use crate::limits::{ByteSize, Cpus, Limits};
use crate::name::{ALLOWED, GroupName, NameError, Username, quoted};

/// The most users of a roster: far beyond one machine, and few enough to fit in its memory.
const MAX_USERS: usize = 100_000;

/// The longest free text about somebody, in characters.
const MAX_FREE_TEXT: usize = 200;

section! {
    /// A groups file as it stands.
    struct File {
        /// The id of the event.
        event_id: Option<FreeText> = None;
        /// The title of the event.
        title: Option<FreeText> = None;
        /// The participants by group.
        groups: Roster = Roster::default();
    }
}

/// A line of text that people read: no control characters, nothing that turns the direction of
/// writing, not endless.
#[derive(Debug, Clone, PartialEq)]
struct FreeText(String);

impl crate::config::leaf::Leaf for FreeText {
    fn allowed() -> String {
        "one line of text of at most 200 characters".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let fits = !trimmed.is_empty() && trimmed.chars().count() <= MAX_FREE_TEXT;
        if !fits || trimmed.chars().any(unprintable) {
            return Err(crate::config::leaf::refused(text, &Self::allowed()));
        }
        Ok(Self(trimmed.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

pub(super) fn groups_file(text: &str, origin: &str) -> Result<GroupsFile, ConfigError> {
    let (file, warnings) =
        Reader::run(text, origin, |reader, yaml| File::read(reader, None, yaml))?;
    Ok(GroupsFile {
        event_id: file.event_id.map(|text| text.0),
        title: file.title.map(|text| text.0),
        roster: file.groups,
        warnings,
    })
}

impl Node for Roster {
    fn read<'de, D: Deserializer<'de>>(
        reader: &Reader<'_>,
        _rule: Option<Rule<Self>>,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GroupsVisitor(reader))
    }

    fn yaml(&self, _show: ShowSecrets) -> Value {
        self.to_value()
    }

    fn walk(&self, path: &str, meta: &Meta, visit: &mut dyn FnMut(Found<'_>)) {
        let allowed = "groups, each with a list of users".to_owned();
        visit(Found { path, meta, allowed, secret: false, text: String::new() });
    }

    fn assign(&mut self, _: &[&str], _: Option<Rule<Self>>, _: &str) -> Result<bool, String> {
        Ok(false)
    }
}

/// Reads a name as it is written, and refuses what only looks like one to a person.
fn name<T>(
    scalar: &Scalar<'_>,
    what: &str,
    make: fn(&str) -> Result<T, NameError>,
) -> Result<T, String> {
    if scalar.is_null() {
        return Err(format!("a {what} is missing here; allowed are {ALLOWED}"));
    }
    if scalar.is_bool() {
        return Err(format!(
            "{what} {} is a truth value to YAML, not a name: quote it, as in \"{}\"",
            quoted(scalar.text),
            scalar.text.to_lowercase()
        ));
    }
    make(scalar.text).map_err(|error| error.to_string())
}

/// The groups of a roster.
struct GroupsVisitor<'r, 't>(&'r Reader<'t>);

impl<'de> Visitor<'de> for GroupsVisitor<'_, '_> {
    type Value = Roster;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("groups with their users, such as `alpha: [alice, bob]`")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Roster, E> {
        Ok(Roster::default())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Roster, E> {
        Err(not_groups(self.0, text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Roster, A::Error> {
        let reader = self.0;
        let mut groups: Vec<Group> = Vec::new();
        let mut seen: HashMap<GroupName, Option<usize>> = HashMap::new();
        let mut users = 0;
        loop {
            let key = map.next_key_seed(KeySeed {
                reader,
                expected: "the name of a group",
                take: |scalar: &Scalar<'_>| {
                    let group = name(scalar, "group name", |text| GroupName::new(text))?;
                    match seen.entry(group.clone()) {
                        Entry::Occupied(first) => Err(format!(
                            "group {} is given twice, {}",
                            quoted(group.as_str()),
                            reader.first(*first.get())
                        )),
                        Entry::Vacant(entry) => {
                            entry.insert(scalar.offset);
                            Ok(group)
                        }
                    }
                },
            })?;
            let Some(group) = key else { return Ok(Roster { groups }) };
            let content = reader.at(Step::Key(group.to_string()), || {
                let content = map.next_value_seed(GroupSeed { reader, taken: users })?;
                if content.users.is_empty() {
                    reader.warn("this group has no users yet");
                }
                Ok(content)
            })?;
            users += content.users.len();
            let Content { title, rules, users: members } = content;
            groups.push(Group { name: group, title, rules, users: members });
        }
    }
}

/// The refusal of a text where groups should stand.
fn not_groups<E: de::Error>(reader: &Reader<'_>, text: &str) -> E {
    reader.refuse(format!(
        "{} is not allowed: expected groups with their users, such as `alpha: [alice, bob]`",
        quoted(text)
    ))
}

/// Everything of a group but its name.
#[derive(Default)]
struct Content {
    title: Option<String>,
    rules: GroupRules,
    users: Vec<User>,
}

/// Reads a group's content. `taken` users are in the roster already.
struct GroupSeed<'r, 't> {
    reader: &'r Reader<'t>,
    taken: usize,
}

impl<'de> DeserializeSeed<'de> for GroupSeed<'_, '_> {
    type Value = Content;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for GroupSeed<'_, '_> {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of users, such as `[alice, bob]`, or `title` and `users`")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Content::default())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Err(self.reader.refuse(format!(
            "{} is not allowed: expected a list of users, such as `[alice, bob]`",
            quoted(text)
        )))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        let users = UsersSeed { reader: self.reader, taken: self.taken }.visit_seq(seq)?;
        Ok(Content { users, ..Content::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        const KNOWN: [&str; 7] = ["title", "users", "internet", "memory", "cpus", "pids", "disk"];
        let reader = self.reader;
        let mut content = Content::default();
        let mut keys = Keys::default();
        while let Some(key) = keys.next(reader, &mut map, &KNOWN)? {
            reader.at(Step::Key(key.to_owned()), || {
                let rules = &mut content.rules;
                match key {
                    "title" => content.title = free_text(reader, &mut map)?,
                    "internet" => rules.internet = value(reader, &mut map, None)?,
                    "memory" => rules.memory = value(reader, &mut map, Some(MEMORY))?,
                    "cpus" => rules.cpus = value(reader, &mut map, Some(CPUS))?,
                    "pids" => rules.pids = value(reader, &mut map, Some(PIDS))?,
                    "disk" => rules.disk = value(reader, &mut map, Some(DISK))?,
                    _ => {
                        let seed = UsersSeed { reader, taken: self.taken };
                        content.users = map.next_value_seed(seed)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(content)
    }
}

/// The bounds are those of the node's own settings.
const MEMORY: Rule<Option<ByteSize>> =
    Rule { allowed: "at least 64m", holds: |size| size.is_none_or(ByteSize::is_memory) };
const DISK: Rule<Option<ByteSize>> =
    Rule { allowed: "at least 64m", holds: |size| size.is_none_or(ByteSize::is_disk) };
const CPUS: Rule<Option<Cpus>> =
    Rule { allowed: "a number from 0.01 to 1024", holds: |cpus| cpus.is_none_or(Limits::is_cpus) };
const PIDS: Rule<Option<u32>> = Rule {
    allowed: "a whole number from 64 to 4194304",
    holds: |pids| pids.is_none_or(Limits::is_pids),
};

/// Reads the value of a key as the configuration's own keys are read.
fn value<'de, T: Node, A: MapAccess<'de>>(
    reader: &Reader<'_>,
    map: &mut A,
    rule: Option<Rule<T>>,
) -> Result<T, A::Error> {
    map.next_value_seed(NodeSeed::<T> { reader, rule })
}

/// The users of a group.
struct UsersSeed<'r, 't> {
    reader: &'r Reader<'t>,
    taken: usize,
}

impl<'de> DeserializeSeed<'de> for UsersSeed<'_, '_> {
    type Value = Vec<User>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UsersSeed<'_, '_> {
    type Value = Vec<User>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of users, such as `[alice, bob]`")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Vec<User>, E> {
        Ok(Vec::new())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<User>, E> {
        GroupSeed { reader: self.reader, taken: 0 }.visit_str(text).map(|content| content.users)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<User>, A::Error> {
        let reader = self.reader;
        let mut users: Vec<User> = Vec::new();
        let mut seen = Seen::default();
        loop {
            let user = reader.at(Step::Index(users.len()), || {
                if self.taken + users.len() > MAX_USERS {
                    return Err(reader
                        .refuse(format!("more than {MAX_USERS} users are too many for a roster")));
                }
                seq.next_element_seed(UserSeed { reader, seen: &mut seen })
            })?;
            match user {
                Some(user) => users.push(user),
                None => return Ok(users),
            }
        }
    }
}

/// The names of a group so far: the place of each in the list and in the text.
#[derive(Default)]
struct Seen(HashMap<Username, (usize, Option<usize>)>);

impl Seen {
    /// Reads a name and refuses one that is taken, while the parser still knows where it stands.
    fn take(&mut self, reader: &Reader<'_>, scalar: &Scalar<'_>) -> Result<Username, String> {
        let user = name(scalar, "user name", |text| Username::new(text))?;
        let index = self.0.len();
        match self.0.entry(user.clone()) {
            Entry::Occupied(first) => {
                let (index, offset) = *first.get();
                Err(format!(
                    "user {} is in this group twice, {} as user [{index}]",
                    quoted(user.as_str()),
                    reader.first(offset)
                ))
            }
            Entry::Vacant(entry) => {
                entry.insert((index, scalar.offset));
                Ok(user)
            }
        }
    }
}

/// A user.
struct UserSeed<'r, 't> {
    reader: &'r Reader<'t>,
    seen: &'r mut Seen,
}

impl UserSeed<'_, '_> {
    /// A user of whom the name alone is given.
    fn named<E: de::Error>(self, scalar: &Scalar<'_>) -> Result<User, E> {
        self.reader.count(scalar.text.len())?;
        let name = self.seen.take(self.reader, scalar);
        name.map(User::new).map_err(|problem| self.reader.refuse(problem))
    }

    /// The refusal of a number that may not read as it was written.
    fn number<E: de::Error>(&self, number: impl fmt::Display) -> E {
        self.reader.refuse(format!(
            "user name {number} is a number to YAML: quote it if it is meant as a name"
        ))
    }
}

impl<'de> DeserializeSeed<'de> for UserSeed<'_, '_> {
    type Value = User;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<User, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UserSeed<'_, '_> {
    type Value = User;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a user name, or `name` with `display_name` and `email`")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<User, E> {
        let scalar = self.reader.borrowed(text);
        self.named(&scalar)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<User, E> {
        self.named(&Scalar { text, plain: false, offset: None })
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<User, E> {
        self.visit_u128(number.into())
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<User, E> {
        if self.reader.has_odd_numbers() {
            return Err(self.number(number));
        }
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<User, E> {
        Err(self.number(number))
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<User, E> {
        Err(self.number(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<User, E> {
        Err(self.number(number))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<User, E> {
        let text = value.to_string();
        self.named(&Scalar { text: &text, plain: true, offset: None })
    }

    fn visit_unit<E: de::Error>(self) -> Result<User, E> {
        self.named(&Scalar { text: "", plain: true, offset: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<User, A::Error> {
        const KNOWN: [&str; 5] = ["name", "username", "display_name", "display", "email"];
        let Self { reader, seen } = self;
        let (mut user, mut display, mut email) = (None, None, None);
        let mut keys = Keys::default();
        while let Some(key) = keys.next(reader, &mut map, &KNOWN)? {
            reader.at(Step::Key(key.to_owned()), || {
                match key {
                    "name" | "username" => {
                        if user.is_some() {
                            return Err(reader
                                .refuse("`name` and `username` are the same: give one of them"));
                        }
                        let take = |scalar: &Scalar<'_>| seen.take(reader, scalar);
                        user = Some(map.next_value_seed(KeySeed {
                            reader,
                            expected: "a user name",
                            take,
                        })?);
                    }
                    "email" => email = self::email(reader, &mut map)?,
                    _ if display.is_some() => {
                        return Err(reader.refuse(
                            "`display_name` and `display` are the same: give one of them",
                        ));
                    }
                    _ => display = free_text(reader, &mut map)?,
                }
                Ok(())
            })?;
        }
        match user {
            Some(name) => Ok(User { name, display, email }),
            None => Err(reader.refuse("`name` is missing")),
        }
    }
}

/// Reads a free text, or nothing.
fn free_text<'de, A: MapAccess<'de>>(
    reader: &Reader<'_>,
    map: &mut A,
) -> Result<Option<String>, A::Error> {
    let text = map.next_value_seed(NodeSeed::<Option<FreeText>> { reader, rule: None })?;
    Ok(text.map(|text| text.0))
}

/// Reads an e-mail address, or nothing.
fn email<'de, A: MapAccess<'de>>(
    reader: &Reader<'_>,
    map: &mut A,
) -> Result<Option<String>, A::Error> {
    let take = |scalar: &Scalar<'_>| match scalar.text {
        _ if scalar.is_null() => Ok(None),
        "" => Ok(None),
        text if is_email(text) => Ok(Some(text.to_owned())),
        text => Err(format!(
            "{} is no e-mail address: expected one such as ada@example.org",
            quoted(text)
        )),
    };
    map.next_value_seed(KeySeed { reader, expected: "an e-mail address", take })
}

/// The keys of a small mapping that have come so far.
#[derive(Default)]
struct Keys(Vec<&'static str>);

impl Keys {
    /// The next key, one of `known` and not given before.
    fn next<'de, A: MapAccess<'de>>(
        &mut self,
        reader: &Reader<'_>,
        map: &mut A,
        known: &[&'static str],
    ) -> Result<Option<&'static str>, A::Error> {
        let take = |scalar: &Scalar<'_>| {
            let key = known.iter().find(|key| **key == scalar.text).copied();
            let key = key.ok_or_else(|| unknown_key(scalar.text, known))?;
            if self.0.contains(&key) {
                return Err(format!("key `{key}` is given twice"));
            }
            self.0.push(key);
            Ok(key)
        };
        map.next_key_seed(KeySeed { reader, expected: "the name of a key", take })
    }
}
