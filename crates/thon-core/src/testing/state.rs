//! The node's state in memory.
//!
//! For: tests and simulations that need a roster which commands change.
//! Not for: anything that has to be there tomorrow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use super::Faults;
use crate::access::{Session, StoredPassword, Token};
use crate::adapter::{Clock, Failure};
use crate::name::{GroupName, UserId};
use crate::operation::Operation;
use crate::state::{
    Actor, AuditEntry, Change, ConfigFile, ConfigFileKey, ConfigFileVersion, EventRecord, Fact,
    GroupRecord, InstanceHistory, Page, Revision, Setting, SettingKey, Snapshot, StateEntry,
    StateStore, UserQuery, UserRecord, exists, missing, stale,
};

/// State in memory.
pub struct MemoryState {
    pub(super) faults: Arc<Faults>,
    pub(super) clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    roster: Snapshot,
    ids: u64,
    settings: BTreeMap<SettingKey, Setting>,
    files: Vec<ConfigFileVersion>,
    instances: Vec<InstanceHistory>,
    pub(super) audit: Vec<AuditEntry>,
    pub(super) operations: Vec<Operation>,
    /// With their hashes.
    pub(super) tokens: Vec<(String, Token)>,
    pub(super) password: Option<StoredPassword>,
    pub(super) sealing_secret: Option<crate::secret::Secret>,
    /// With their hashes.
    pub(super) sessions: Vec<(String, Session)>,
    /// How many sessions ever began.
    pub(super) begun: u64,
}

impl std::fmt::Debug for MemoryState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryState").finish_non_exhaustive()
    }
}

impl MemoryState {
    /// A state in which nobody is.
    #[must_use]
    pub fn new(faults: Arc<Faults>, clock: Arc<dyn Clock>) -> Self {
        Self { faults, clock, tables: Mutex::default() }
    }

    pub(super) fn tables(&self) -> std::sync::MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn expected(
    change: &Change,
    what: &str,
    expect: Option<Revision>,
    present: Revision,
) -> Result<(), Failure> {
    match expect {
        Some(seen) if seen != present => Err(stale(change, what)),
        _ => Ok(()),
    }
}

impl Tables {
    fn group(&mut self, change: &Change, name: &GroupName) -> Result<&mut GroupRecord, Failure> {
        let found = self.roster.groups.iter_mut().find(|group| group.name == *name);
        found.ok_or_else(|| missing(change, &format!("group {name}")))
    }

    fn user(&mut self, change: &Change, id: &UserId) -> Result<&mut UserRecord, Failure> {
        let found = self.roster.users.iter_mut().find(|user| user.user == *id);
        found.ok_or_else(|| missing(change, &format!("user {id}")))
    }

    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn make(&mut self, actor: &Actor, change: &Change, now: SystemTime) -> Result<(), Failure> {
        match change {
            Change::SetEvent { id, title } => {
                let events = &mut self.roster.events;
                match events.iter_mut().find(|event| event.id == *id) {
                    Some(event) => event.title.clone_from(title),
                    None => events.push(EventRecord { id: id.clone(), title: title.clone() }),
                }
                for group in self.roster.groups.iter_mut().filter(|group| group.event.is_none()) {
                    group.event = Some(id.clone());
                }
                Ok(())
            }
            Change::AddGroup { .. }
            | Change::EditGroup { .. }
            | Change::RenameGroup { .. }
            | Change::RemoveGroup { .. } => self.change_group(change, now),
            Change::AddUser { .. }
            | Change::EditUser { .. }
            | Change::MoveUser { .. }
            | Change::RemoveUser { .. } => self.change_user(change, now),
            Change::SetSetting { setting } => {
                self.settings.insert(setting.key(), setting.clone());
                Ok(())
            }
            Change::ClearSetting { key } => {
                self.settings.remove(key);
                Ok(())
            }
            Change::PutConfigFile { file, expect } => {
                let present = self.version(file.key());
                if expect.is_some_and(|seen| seen != present) {
                    return Err(stale(change, file.key().as_str()));
                }
                self.put(actor, file.clone(), now);
                Ok(())
            }
            Change::RemoveConfigFile { key, expect } => {
                let present = self.version(*key);
                let there = self.files.iter().rev().find(|file| file.file.key() == *key);
                if there.is_none_or(|file| file.file.is_removed()) {
                    return Err(missing(change, key.as_str()));
                }
                if expect.is_some_and(|seen| seen != present) {
                    return Err(stale(change, key.as_str()));
                }
                self.put(actor, ConfigFile::removed(*key), now);
                Ok(())
            }
            Change::RestoreConfigFile { key, version } => {
                let wanted = self
                    .files
                    .iter()
                    .find(|file| file.file.key() == *key && file.version == *version)
                    .map(|file| file.file.clone());
                let what = format!("version {version} of {key}");
                let file = wanted.ok_or_else(|| missing(change, &what))?;
                self.put(actor, file, now);
                Ok(())
            }
        }
    }

    fn change_group(&mut self, change: &Change, now: SystemTime) -> Result<(), Failure> {
        match change {
            Change::AddGroup { name, title, rules } => {
                if self.roster.group(name).is_some() {
                    return Err(exists(change, &format!("group {name}")));
                }
                let id = self.next_id();
                self.roster.groups.push(GroupRecord {
                    id,
                    name: name.clone(),
                    title: title.clone(),
                    rules: *rules,
                    event: None,
                    revision: Revision(1),
                    created_at: now,
                    updated_at: now,
                });
            }
            Change::EditGroup { name, expect, title, rules } => {
                let group = self.group(change, name)?;
                expected(change, &format!("group {name}"), *expect, group.revision)?;
                group.title.clone_from(title);
                group.rules = *rules;
                group.revision.0 += 1;
                group.updated_at = now;
            }
            Change::RenameGroup { name, expect, to } => {
                let revision = self.group(change, name)?.revision;
                expected(change, &format!("group {name}"), *expect, revision)?;
                if name != to && self.roster.group(to).is_some() {
                    return Err(exists(change, &format!("group {to}")));
                }
                let group = self.group(change, name)?;
                group.name = to.clone();
                group.revision.0 += 1;
                group.updated_at = now;
                for user in self.roster.users.iter_mut().filter(|user| user.user.group == *name) {
                    user.user.group = to.clone();
                }
            }
            Change::RemoveGroup { name, expect } => {
                let revision = self.group(change, name)?.revision;
                expected(change, &format!("group {name}"), *expect, revision)?;
                self.roster.groups.retain(|group| group.name != *name);
                self.roster.users.retain(|user| user.user.group != *name);
            }
            _ => {}
        }
        Ok(())
    }

    fn change_user(&mut self, change: &Change, now: SystemTime) -> Result<(), Failure> {
        match change {
            Change::AddUser { user, display, email } => {
                self.group(change, &user.group)?;
                if self.roster.user(user).is_some() {
                    return Err(exists(change, &format!("user {user}")));
                }
                let id = self.next_id();
                self.roster.users.push(UserRecord {
                    id,
                    user: user.clone(),
                    display: display.clone(),
                    email: email.clone(),
                    revision: Revision(1),
                    created_at: now,
                    updated_at: now,
                });
            }
            Change::EditUser { user, expect, display, email } => {
                let record = self.user(change, user)?;
                expected(change, &format!("user {user}"), *expect, record.revision)?;
                record.display.clone_from(display);
                record.email.clone_from(email);
                record.revision.0 += 1;
                record.updated_at = now;
            }
            Change::MoveUser { user, expect, to } => {
                let revision = self.user(change, user)?.revision;
                expected(change, &format!("user {user}"), *expect, revision)?;
                self.group(change, &to.group)?;
                if user != to && self.roster.user(to).is_some() {
                    return Err(exists(change, &format!("user {to}")));
                }
                let record = self.user(change, user)?;
                record.user = to.clone();
                record.revision.0 += 1;
                record.updated_at = now;
            }
            Change::RemoveUser { user, expect } => {
                let revision = self.user(change, user)?.revision;
                expected(change, &format!("user {user}"), *expect, revision)?;
                self.roster.users.retain(|record| record.user != *user);
            }
            _ => {}
        }
        Ok(())
    }

    fn version(&self, key: ConfigFileKey) -> u64 {
        let versions = self.files.iter().filter(|file| file.file.key() == key);
        versions.map(|file| file.version).max().unwrap_or_default()
    }

    fn put(&mut self, actor: &Actor, file: ConfigFile, at: SystemTime) {
        let version = self.version(file.key()) + 1;
        self.files.push(ConfigFileVersion { file, version, actor: actor.to_string(), at });
    }
}

#[async_trait]
impl StateStore for MemoryState {
    async fn snapshot(&self) -> Result<Snapshot, Failure> {
        self.faults.check("snapshot", "").await?;
        Ok(self.tables().roster.clone())
    }

    async fn users(&self, query: &UserQuery) -> Result<Page<UserRecord>, Failure> {
        self.faults.check("users", "").await?;
        let text = query.text.as_deref().map(str::to_lowercase);
        let within = |field: Option<&str>, text: &str| {
            field.is_some_and(|field| field.to_lowercase().contains(text))
        };
        let fits = |user: &&UserRecord| {
            query.group.as_ref().is_none_or(|group| user.user.group == *group)
                && text.as_deref().is_none_or(|text| {
                    [Some(user.user.user.as_str()), user.display.as_deref(), user.email.as_deref()]
                        .into_iter()
                        .any(|field| within(field, text))
                })
        };
        let tables = self.tables();
        let mut found: Vec<UserRecord> = tables.roster.users.iter().filter(fits).cloned().collect();
        found.sort_by(|one, other| one.user.cmp(&other.user));
        let total = found.len() as u64;
        let limit = if query.limit == 0 { usize::MAX } else { query.limit as usize };
        let items = found.into_iter().skip(query.offset as usize).take(limit).collect();
        Ok(Page { items, total })
    }

    async fn apply(&self, actor: &Actor, changes: &[Change]) -> Result<(), Failure> {
        self.faults.check("apply", "").await?;
        let now = self.clock.now();
        let mut tables = self.tables();
        let mut next = tables.clone();
        let line = |change: &Change, result: String| AuditEntry {
            at: now,
            actor: actor.to_string(),
            action: change.action().to_owned(),
            subject: change.subject(),
            result,
        };
        for change in changes {
            if let Err(failure) = next.make(actor, change, now) {
                tables.audit.push(line(change, failure.cause.clone()));
                return Err(failure);
            }
            next.audit.push(line(change, "done".to_owned()));
        }
        *tables = next;
        Ok(())
    }

    async fn record(&self, facts: &[Fact]) -> Result<(), Failure> {
        self.faults.check("record", "").await?;
        let instances = &mut self.tables().instances;
        for fact in facts {
            let entry = StateEntry { state: fact.state, at: fact.at, reason: fact.reason.clone() };
            let known = instances.iter_mut().find(|known| known.sandbox == fact.sandbox);
            let Some(known) = known else {
                instances.push(InstanceHistory {
                    sandbox: fact.sandbox.clone(),
                    user: fact.user.clone(),
                    image: fact.image.clone(),
                    states: vec![entry],
                });
                continue;
            };
            let same = |present: &StateEntry| present.state == fact.state && present.at == fact.at;
            if !known.states.iter().any(same) {
                known.states.push(entry);
                known.states.sort_by_key(|state| state.at);
            }
        }
        Ok(())
    }

    async fn settings(&self) -> Result<BTreeMap<SettingKey, Setting>, Failure> {
        self.faults.check("settings", "").await?;
        Ok(self.tables().settings.clone())
    }

    async fn config_file(&self, key: ConfigFileKey) -> Result<Vec<ConfigFileVersion>, Failure> {
        self.faults.check("config_file", key.as_str()).await?;
        let tables = self.tables();
        let versions = tables.files.iter().rev().filter(|file| file.file.key() == key);
        Ok(versions.cloned().collect())
    }

    async fn history(&self, user: Option<&UserId>) -> Result<Vec<InstanceHistory>, Failure> {
        self.faults.check("history", "").await?;
        let tables = self.tables();
        let theirs = |known: &&InstanceHistory| user.is_none_or(|user| known.user == *user);
        Ok(tables.instances.iter().rev().filter(theirs).cloned().collect())
    }

    async fn generation(&self) -> Result<u64, Failure> {
        self.faults.check("generation", "").await?;
        Ok(self.tables().audit.len() as u64)
    }

    async fn note(
        &self,
        actor: &Actor,
        action: &str,
        subject: &str,
        result: &str,
    ) -> Result<(), Failure> {
        self.faults.check("note", subject).await?;
        self.write_down(actor, action, subject, result);
        Ok(())
    }

    async fn audit(&self, limit: u32) -> Result<Vec<AuditEntry>, Failure> {
        self.faults.check("audit", "").await?;
        Ok(self.tables().audit.iter().rev().take(limit as usize).cloned().collect())
    }
}
