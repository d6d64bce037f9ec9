//! Reading what is stored.
//!
//! For: rows made into the core's types, each name checked again: whatever wrote the file.
//! Not for: writing.

use std::collections::BTreeMap;
use std::time::SystemTime;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use thon_core::adapter::{Failure, FailureKind};
use thon_core::instance::InstanceState;
use thon_core::limits::{ByteSize, Cpus};
use thon_core::name::UserId;
use thon_core::roster::GroupRules;
use thon_core::sandbox::SandboxId;
use thon_core::state::{
    Actor, AuditEntry, Change, ConfigFile, ConfigFileKey, ConfigFileVersion, EventRecord, Fact,
    GroupRecord, InstanceHistory, Page, Revision, Setting, SettingKey, Snapshot, StateEntry,
    StateStore, UserQuery, UserRecord,
};

use crate::apply::{Entry, write_audit};
use crate::open::{SqliteStore, millis, time};

/// A row whose columns are called like its fields.
macro_rules! row {
    ($(#[$doc:meta])* $visible:vis struct $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        $visible struct $name {
            $($visible $field: $type,)*
        }

        impl sqlx::FromRow<'_, sqlx::sqlite::SqliteRow> for $name {
            fn from_row(row: &sqlx::sqlite::SqliteRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?,)* })
            }
        }
    };
}

pub(crate) use row;

/// A group's rules as columns: internet, memory, thousandths of CPUs, processes, disk.
pub(crate) fn rules_of(rules: GroupRules) -> [Option<i64>; 5] {
    let size = |size: ByteSize| i64::try_from(size.bytes()).unwrap_or(i64::MAX);
    [
        rules.internet.map(i64::from),
        rules.memory.map(size),
        rules.cpus.map(|cpus| i64::from(cpus.milli())),
        rules.pids.map(i64::from),
        rules.disk.map(size),
    ]
}

row! {
    struct GroupRow {
        id: i64,
        name: String,
        title: Option<String>,
        event: Option<String>,
        internet: Option<i64>,
        memory: Option<i64>,
        cpus_milli: Option<i64>,
        pids: Option<i64>,
        disk: Option<i64>,
        revision: i64,
        created_at: i64,
        updated_at: i64,
    }
}

impl GroupRow {
    fn record(self) -> Result<GroupRecord, String> {
        let size = |bytes: i64| ByteSize::new(unsigned(bytes));
        let small = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(GroupRecord {
            id: unsigned(self.id),
            name: self.name.parse().map_err(|error| format!("{error}"))?,
            title: self.title,
            rules: GroupRules {
                internet: self.internet.map(|internet| internet != 0),
                memory: self.memory.map(size),
                cpus: self.cpus_milli.map(|milli| Cpus::from_milli(small(milli))),
                pids: self.pids.map(small),
                disk: self.disk.map(size),
            },
            event: self.event,
            revision: Revision(unsigned(self.revision)),
            created_at: time(self.created_at),
            updated_at: time(self.updated_at),
        })
    }
}

row! {
    struct UserRow {
        id: i64,
        group_name: String,
        name: String,
        display_name: Option<String>,
        email: Option<String>,
        revision: i64,
        created_at: i64,
        updated_at: i64,
    }
}

impl UserRow {
    fn record(self) -> Result<UserRecord, String> {
        Ok(UserRecord {
            id: unsigned(self.id),
            user: user_id(&self.group_name, &self.name)?,
            display: self.display_name,
            email: self.email,
            revision: Revision(unsigned(self.revision)),
            created_at: time(self.created_at),
            updated_at: time(self.updated_at),
        })
    }
}

fn user_id(group: &str, user: &str) -> Result<UserId, String> {
    let group = group.parse().map_err(|error| format!("{error}"))?;
    Ok(UserId::new(group, user.parse().map_err(|error| format!("{error}"))?))
}

/// A number that is never below zero.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

const USERS: &str = "SELECT users.id, groups.name AS group_name, users.name, users.display_name, \
                     users.email, users.revision, users.created_at, users.updated_at \
                     FROM users JOIN groups ON groups.id = users.group_id ORDER BY users.id";

const FOUND: &str = "SELECT users.id, groups.name AS group_name, users.name, users.display_name, \
                     users.email, users.revision, users.created_at, users.updated_at \
                     FROM users JOIN groups ON groups.id = users.group_id \
                     WHERE (?1 IS NULL OR groups.name = ?1) AND (?2 IS NULL \
                     OR users.name LIKE ?2 ESCAPE '\\' OR users.display_name LIKE ?2 ESCAPE '\\' \
                     OR users.email LIKE ?2 ESCAPE '\\') \
                     ORDER BY groups.name, users.name LIMIT ?3 OFFSET ?4";

const COUNTED: &str = "SELECT count(*) FROM users JOIN groups ON groups.id = users.group_id \
                       WHERE (?1 IS NULL OR groups.name = ?1) AND (?2 IS NULL \
                       OR users.name LIKE ?2 ESCAPE '\\' OR users.display_name LIKE ?2 ESCAPE '\\' \
                       OR users.email LIKE ?2 ESCAPE '\\')";

const GROUPS: &str = "SELECT groups.id, groups.name, groups.title, events.event_id AS event, \
                      groups.internet, groups.memory, groups.cpus_milli, groups.pids, \
                      groups.disk, groups.revision, groups.created_at, groups.updated_at \
                      FROM groups LEFT JOIN events ON events.id = groups.event ORDER BY groups.id";

/// Groups, users and events as rows.
type Rows = (Vec<GroupRow>, Vec<UserRow>, Vec<(String, Option<String>)>);

impl SqliteStore {
    /// A row that no rule of ours would have let in.
    pub(crate) fn foreign(&self, problem: &str) -> Failure {
        Failure::new(
            FailureKind::Other,
            format!("reading {}", self.path.display()),
            format!("another program wrote into it: {problem}"),
            crate::error::restore(&self.path),
        )
    }

    async fn rows(&self) -> Result<Rows, sqlx::Error> {
        // One transaction, so that all of it is of one moment.
        let mut transaction = self.pool.begin().await?;
        let groups = sqlx::query_as(GROUPS).fetch_all(&mut *transaction).await?;
        let users = sqlx::query_as(USERS).fetch_all(&mut *transaction).await?;
        let events = sqlx::query_as("SELECT event_id, title FROM events ORDER BY id")
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok((groups, users, events))
    }

    async fn found(&self, query: &UserQuery) -> Result<(Vec<UserRow>, i64), sqlx::Error> {
        let group = query.group.as_ref().map(ToString::to_string);
        let text = query.text.as_deref().map(pattern);
        let limit = if query.limit == 0 { -1 } else { i64::from(query.limit) };
        let mut transaction = self.pool.begin().await?;
        let rows = sqlx::query_as(FOUND).bind(&group).bind(&text).bind(limit);
        let rows = rows.bind(i64::from(query.offset)).fetch_all(&mut *transaction).await?;
        let total = sqlx::query_scalar(COUNTED).bind(&group).bind(&text);
        let total = total.fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok((rows, total))
    }
}

/// A pattern for texts that contain `text`, in which nothing is a wildcard.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

row! {
    struct StateRow {
        sandbox: String,
        group_name: String,
        user_name: String,
        image: Option<String>,
        at: i64,
        state: String,
        reason: String,
    }
}

async fn states(
    connection: &mut SqliteConnection,
    user: Option<&UserId>,
) -> Result<Vec<StateRow>, sqlx::Error> {
    let sql = "SELECT sandbox, group_name, user_name, image, at, state, reason FROM instances \
               JOIN instance_states ON instance_id = id \
               WHERE ?1 IS NULL OR (group_name = ?1 AND user_name = ?2) \
               ORDER BY id DESC, at, state";
    sqlx::query_as(sql)
        .bind(user.map(|user| user.group.as_str()))
        .bind(user.map(|user| user.user.as_str()))
        .fetch_all(&mut *connection)
        .await
}

#[async_trait]
impl StateStore for SqliteStore {
    async fn snapshot(&self) -> Result<Snapshot, Failure> {
        let said = |error| self.failure("reading the roster", &error);
        let (groups, users, events) = self.rows().await.map_err(said)?;
        let groups = groups.into_iter().map(GroupRow::record).collect::<Result<_, _>>();
        let users = users.into_iter().map(UserRow::record).collect::<Result<_, _>>();
        Ok(Snapshot {
            events: events.into_iter().map(|(id, title)| EventRecord { id, title }).collect(),
            groups: groups.map_err(|problem| self.foreign(&problem))?,
            users: users.map_err(|problem| self.foreign(&problem))?,
        })
    }

    async fn users(&self, query: &UserQuery) -> Result<Page<UserRecord>, Failure> {
        let said = |error| self.failure("reading the users", &error);
        let (rows, total) = self.found(query).await.map_err(said)?;
        let items = rows.into_iter().map(UserRow::record).collect::<Result<_, _>>();
        let items = items.map_err(|problem| self.foreign(&problem))?;
        Ok(Page { items, total: unsigned(total) })
    }

    async fn apply(&self, actor: &Actor, changes: &[Change]) -> Result<(), Failure> {
        self.make_all(actor, changes).await
    }

    async fn record(&self, facts: &[Fact]) -> Result<(), Failure> {
        self.record_all(facts).await
    }

    async fn settings(&self) -> Result<BTreeMap<SettingKey, Setting>, Failure> {
        let said = |error| self.failure("reading the settings", &error);
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT key, value FROM settings")
            .fetch_all(&self.pool)
            .await
            .map_err(said)?;
        let read = |(key, value): (String, String)| {
            let setting = Setting::new(key.parse()?, &value)?;
            Ok((setting.key(), setting))
        };
        rows.into_iter()
            .map(read)
            .collect::<Result<_, String>>()
            .map_err(|problem| self.foreign(&problem))
    }

    async fn config_file(&self, key: ConfigFileKey) -> Result<Vec<ConfigFileVersion>, Failure> {
        let said = |error| self.failure("reading the configuration files", &error);
        let sql = "SELECT version, content, actor, at FROM config_files WHERE key = ? \
                   ORDER BY version DESC";
        let rows: Vec<(i64, String, String, i64)> =
            sqlx::query_as(sql).bind(key.as_str()).fetch_all(&self.pool).await.map_err(said)?;
        rows.into_iter()
            .map(|(version, content, actor, at)| {
                let file = ConfigFile::stored(key, content)?;
                Ok(ConfigFileVersion { file, version: unsigned(version), actor, at: time(at) })
            })
            .collect::<Result<_, String>>()
            .map_err(|problem| self.foreign(&problem))
    }

    async fn history(&self, user: Option<&UserId>) -> Result<Vec<InstanceHistory>, Failure> {
        let said = |error| self.failure("reading the history", &error);
        let mut connection = self.pool.acquire().await.map_err(said)?;
        let rows = states(&mut connection, user).await.map_err(said)?;
        let mut found: Vec<InstanceHistory> = Vec::new();
        for row in rows {
            let named = |state: &InstanceState| state.to_string() == row.state;
            let state = InstanceState::ALL.into_iter().find(named);
            let state = state.ok_or_else(|| self.foreign("a state that isn't known"))?;
            let entry = StateEntry { state, at: time(row.at), reason: row.reason };
            match found.last_mut().filter(|last| last.sandbox.0 == row.sandbox) {
                Some(last) => last.states.push(entry),
                None => found.push(InstanceHistory {
                    user: user_id(&row.group_name, &row.user_name)
                        .map_err(|problem| self.foreign(&problem))?,
                    sandbox: SandboxId(row.sandbox),
                    image: row.image,
                    states: vec![entry],
                }),
            }
        }
        Ok(found)
    }

    async fn generation(&self) -> Result<u64, Failure> {
        let said = |error| self.failure("reading the audit log", &error);
        // Every change leaves a line there.
        let query = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM audit");
        Ok(unsigned(query.fetch_one(&self.pool).await.map_err(said)?))
    }

    async fn note(
        &self,
        actor: &Actor,
        action: &str,
        subject: &str,
        result: &str,
    ) -> Result<(), Failure> {
        let _turn = self.writing.lock().await;
        let said = |error| self.failure("writing into the audit log", &error);
        let (at, actor) = (millis(self.clock.now()), actor.to_string());
        let entry = Entry { at, actor: &actor, action, subject, result };
        let mut connection = self.pool.acquire().await.map_err(said)?;
        write_audit(&mut connection, &entry).await.map_err(said)
    }

    async fn audit(&self, limit: u32) -> Result<Vec<AuditEntry>, Failure> {
        let said = |error| self.failure("reading the audit log", &error);
        let sql = "SELECT at, actor, action, subject, result FROM audit ORDER BY id DESC LIMIT ?";
        let rows: Vec<(i64, String, String, String, String)> =
            sqlx::query_as(sql).bind(limit).fetch_all(&self.pool).await.map_err(said)?;
        let entry = |(at, actor, action, subject, result)| {
            let at: SystemTime = time(at);
            AuditEntry { at, actor, action, subject, result }
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}
