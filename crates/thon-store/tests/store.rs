//! The database as a file: its contract, its versions, its privacy, and many who use it at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use thon_core::access::{AccessStore, Holder, Role, SessionStore};
use thon_core::adapter::{Clock, Failure, FailureKind};
use thon_core::instance::InstanceState;
use thon_core::operation::OperationStore;
use thon_core::state::{
    Actor, Change, ConfigFileKey, Renaming, SettingKey, StateStore, UserQuery, import_ancestor,
};
use thon_core::testing::{FixedClock, contract};
use thon_store::{LATEST, SqliteStore, read_ancestor};

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn db(&self) -> PathBuf {
        self.path("thon.db")
    }

    async fn open(&self) -> Result<SqliteStore, Failure> {
        SqliteStore::open(&self.db(), clock()).await
    }

    /// A file that another program filled.
    async fn fill(&self, name: &str, sql: &str) -> PathBuf {
        let path = self.path(name);
        run(&path, sql).await;
        path
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(FixedClock::default())
}

async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.disable_statement_logging().connect().await.unwrap()
}

async fn run(path: &Path, sql: &str) {
    let mut connection = connect(path).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn actor() -> Actor {
    Actor::new("test")
}

fn add_group(name: &str) -> Change {
    Change::AddGroup {
        name: name.parse().unwrap(),
        title: None,
        rules: thon_core::roster::GroupRules::default(),
    }
}

fn add_user(user: &str) -> Change {
    Change::AddUser { user: user.parse().unwrap(), display: None, email: None }
}

#[tokio::test]
async fn it_keeps_the_contract_and_what_it_keeps_is_there_the_next_time() {
    let place = Place::new();
    let store = place.open().await.unwrap();
    contract::state(&store).await;
    contract::operations(&store).await;
    contract::access(&store).await;
    contract::sessions(&store, clock().now()).await;
    assert_eq!(store.check().await.unwrap(), [""; 0]);
    let before = store.snapshot().await.unwrap();
    store.close().await;
    assert_eq!(place.open().await.unwrap().snapshot().await.unwrap(), before);
}

#[tokio::test]
async fn everything_of_it_is_private_and_nothing_is_left_beside_it() {
    let place = Place::new();
    let store = place.open().await.unwrap();
    store.apply(&actor(), &[add_group("a")]).await.unwrap();
    assert_eq!(place.names(), ["thon.db", "thon.db-shm", "thon.db-wal"]);
    for name in place.names() {
        assert_eq!(mode(&place.path(&name)), 0o600, "{name}");
    }
    store.close().await;
    assert_eq!(place.names(), ["thon.db"]);
    // One that was copied back with the wrong mode is made private.
    std::fs::set_permissions(place.db(), std::fs::Permissions::from_mode(0o644)).unwrap();
    place.open().await.unwrap();
    assert_eq!(mode(&place.db()), 0o600);
}

#[tokio::test]
async fn a_link_is_never_followed() {
    for name in ["thon.db", "thon.db-wal", "thon.db-shm"] {
        let place = Place::new();
        place.open().await.unwrap().close().await;
        let elsewhere = place.path("elsewhere");
        std::fs::write(&elsewhere, "precious").unwrap();
        drop(std::fs::remove_file(place.path(name)));
        std::os::unix::fs::symlink(&elsewhere, place.path(name)).unwrap();
        let failure = place.open().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Denied, "{failure}");
        assert!(failure.to_string().contains("symbolic link"), "{failure}");
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "precious");
    }
}

#[tokio::test]
async fn looking_makes_no_file() {
    let place = Place::new();
    assert!(SqliteStore::open_existing(&place.db(), clock()).await.unwrap().is_none());
    assert_eq!(place.names(), [""; 0]);
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_as_it_is() {
    let ancestor = include_str!("data/ancestor.sql");
    for (sql, words) in [
        ("CREATE TABLE x (y)".to_owned(), ["another program", "copy a backup"]),
        (ancestor.to_owned(), ["Python ancestor", "thon db import-ancestor"]),
    ] {
        let place = Place::new();
        place.fill("thon.db", &sql).await;
        let before = std::fs::read(place.db()).unwrap();
        let failure = place.open().await.unwrap_err().to_string();
        assert!(words.iter().all(|word| failure.contains(word)), "{failure}");
        assert!(!failure.contains('\n'));
        assert_eq!(std::fs::read(place.db()).unwrap(), before);
    }
    let place = Place::new();
    std::fs::write(place.db(), "").unwrap();
    assert!(place.open().await.unwrap_err().to_string().contains("it is empty"));
}

#[tokio::test]
async fn a_newer_database_is_refused_with_one_clear_line() {
    let place = Place::new();
    place.open().await.unwrap().close().await;
    run(&place.db(), &format!("PRAGMA user_version = {}", LATEST + 1)).await;
    let failure = place.open().await.unwrap_err().to_string();
    let expected = format!("version {}, this one knows {LATEST}", LATEST + 1);
    assert!(failure.contains("a newer THON") && failure.contains(&expected), "{failure}");
}

#[tokio::test]
async fn a_damaged_one_is_refused_and_the_way_back_is_said() {
    let place = Place::new();
    let store = place.open().await.unwrap();
    let users = (0..500).map(|n| add_user(&format!("a/u{n}")));
    let changes: Vec<Change> = std::iter::once(add_group("a")).chain(users).collect();
    store.apply(&actor(), &changes).await.unwrap();
    store.close().await;
    let whole = std::fs::read(place.db()).unwrap();
    let mut torn = whole.clone();
    let middle = whole.len() / 2;
    torn[middle - 2048..middle + 6144].fill(0xa5);
    let text = b"no database at all, though long enough to look like one".to_vec();
    for damage in [torn, whole[..whole.len() / 2].to_vec(), text] {
        std::fs::write(place.db(), damage).unwrap();
        let failure = place.open().await.unwrap_err().to_string();
        assert!(
            failure.contains("it is damaged") && failure.contains("copy a backup"),
            "{failure}"
        );
        assert!(!failure.contains('\n'), "{failure}");
    }
}

/// The schema as SQLite tells it.
async fn schema(path: &Path) -> Vec<(String, Option<String>)> {
    let mut connection = connect(path).await;
    let sql = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name";
    let found = sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found
}

/// What a release of that version left behind: its schema, with data in every table.
fn release(version: u32) -> String {
    let migrations = [
        include_str!("../migrations/1_roster.sql"),
        include_str!("../migrations/2_history.sql"),
        include_str!("../migrations/3_settings.sql"),
        include_str!("../migrations/4_operations.sql"),
        include_str!("../migrations/5_access.sql"),
        include_str!("../migrations/6_sessions.sql"),
        include_str!("../migrations/7_target.sql"),
        include_str!("../migrations/8_accounts.sql"),
    ];
    let data = [
        include_str!("data/v1.sql"),
        include_str!("data/v2.sql"),
        include_str!("data/v3.sql"),
        include_str!("data/v4.sql"),
        include_str!("data/v5.sql"),
        include_str!("data/v6.sql"),
        include_str!("data/v7.sql"),
        include_str!("data/v8.sql"),
    ];
    assert_eq!(migrations.len(), LATEST as usize, "a new version needs data of its own here");
    let mut sql = String::new();
    for step in 0..version as usize {
        sql.push_str(migrations[step]);
        sql.push_str(data[step]);
    }
    sql + &format!("PRAGMA user_version = {version}; PRAGMA application_id = 1414025038;")
}

#[tokio::test]
async fn every_older_version_comes_forward_with_all_that_is_in_it() {
    let fresh = Place::new();
    fresh.open().await.unwrap().close().await;
    for version in 1..=LATEST {
        let place = Place::new();
        place.fill("thon.db", &release(version)).await;
        let store = place.open().await.unwrap();
        assert_eq!(store.check().await.unwrap(), [""; 0], "version {version}");
        let snapshot = store.snapshot().await.unwrap();
        assert_eq!(snapshot.events[0].title.as_deref(), Some("Spring"));
        let ada = snapshot.user(&"alpha/ada".parse().unwrap()).unwrap();
        assert_eq!((ada.id, ada.revision.0, ada.email.as_deref()), (1, 5, Some("ada@example.org")));
        let rules = snapshot.groups[0].rules;
        assert_eq!((rules.internet, rules.pids), (Some(false), Some(128)));
        if version >= 2 {
            let history = store.history(None).await.unwrap();
            assert_eq!(history[0].states[1].state, InstanceState::Failed);
            assert_eq!(store.audit(9).await.unwrap()[0].actor, "root");
        }
        if version >= 3 {
            let settings = store.settings().await.unwrap();
            assert_eq!(settings[&SettingKey::ExternalIp].reveal(), "203.0.113.7");
            let files = store.config_file(ConfigFileKey::VscodeSettings).await.unwrap();
            assert_eq!(files[0].file.content(), "{}");
        }
        if version >= 4 {
            let waiting = store.unfinished().await.unwrap();
            assert_eq!(waiting[0].task.subject(), "alpha/ada");
        }
        if version >= 5 {
            assert_eq!(store.find_token("abcd").await.unwrap().unwrap().name, "ci");
        }
        if version >= 6 {
            let password = store.password().await.unwrap().unwrap();
            assert!(password.hash.reveal().starts_with("$argon2id$"));
            let session = store.find_session("beef").await.unwrap().unwrap();
            assert_eq!((session.number, session.role), (7, Role::Admin));
            assert_eq!(session.holder, Holder::Password, "there was nothing else then");
        }
        if version >= 8 {
            let session = store.find_session("f00d").await.unwrap().unwrap();
            assert_eq!(session.holder.account().unwrap().id(), "github:583231");
        }
        store.apply(&actor(), &[add_group("new"), add_user("new/x")]).await.unwrap();
        store.close().await;
        assert_eq!(schema(&place.db()).await, schema(&fresh.db()).await, "version {version}");
    }
}

#[tokio::test]
async fn a_backup_is_whole_private_and_overwrites_nothing() {
    let place = Place::new();
    let store = place.open().await.unwrap();
    store.apply(&actor(), &[add_group("a"), add_user("a/x")]).await.unwrap();
    let copy = place.path("copy's.db");
    store.backup(&copy).await.unwrap();
    assert_eq!(mode(&copy), 0o600);
    let failure = store.backup(&copy).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict, "{failure}");
    assert!(failure.to_string().contains("nothing is overwritten"), "{failure}");
    let before = store.snapshot().await.unwrap();
    store.apply(&actor(), &[add_user("a/y")]).await.unwrap();
    store.close().await;
    // Restored as the error messages say.
    std::fs::copy(&copy, place.db()).unwrap();
    let store = place.open().await.unwrap();
    assert_eq!(store.snapshot().await.unwrap(), before);
    store.apply(&actor(), &[add_user("a/y")]).await.unwrap();
}

#[test]
fn many_stores_that_write_at_once_lose_nothing_and_never_find_it_locked() {
    const WRITERS: usize = 8;
    const EACH: usize = 12;
    let place = Arc::new(Place::new());
    // Each with a runtime and a store of its own, as processes have; the first to come makes it.
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let place = Arc::clone(&place);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let store = place.open().await.unwrap();
                    store.apply(&actor(), &[add_group(&format!("g{writer}"))]).await.unwrap();
                    for number in 0..EACH {
                        let user = format!("g{writer}/u{number}");
                        store.apply(&actor(), &[add_user(&user)]).await.unwrap();
                        store.users(&UserQuery::default()).await.unwrap();
                        bump(&store).await;
                    }
                    store.close().await;
                });
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = place.open().await.unwrap();
        let snapshot = store.snapshot().await.unwrap();
        assert_eq!(snapshot.users.len(), WRITERS * EACH);
        let shared = snapshot.groups.iter().find(|group| group.name.as_str() == "g0").unwrap();
        let counted: usize = shared.title.as_deref().unwrap().parse().unwrap();
        assert_eq!(counted, WRITERS * EACH, "every change that was reported is there");
        assert_eq!(store.check().await.unwrap(), [""; 0]);
    });
}

/// Counts one up in the title of group g0, over and over until nobody was faster.
async fn bump(store: &SqliteStore) {
    loop {
        let snapshot = store.snapshot().await.unwrap();
        let Some(group) = snapshot.groups.iter().find(|group| group.name.as_str() == "g0") else {
            tokio::task::yield_now().await;
            continue;
        };
        let count: usize = group.title.as_deref().map_or(0, |title| title.parse().unwrap());
        let change = Change::EditGroup {
            name: group.name.clone(),
            expect: Some(group.revision),
            title: Some((count + 1).to_string()),
            rules: group.rules,
        };
        match store.apply(&actor(), &[change]).await {
            Ok(()) => return,
            Err(failure) => assert_eq!(failure.kind, FailureKind::Stale, "{failure}"),
        }
    }
}

#[tokio::test]
async fn the_ancestors_database_is_read_and_never_written_to() {
    let place = Place::new();
    let path = place.fill("old.db", include_str!("data/ancestor.sql")).await;
    let before = std::fs::read(&path).unwrap();
    let ancestor = read_ancestor(&path).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), before);
    // 2026-03-01 10:00:00.25 UTC.
    let made = SystemTime::UNIX_EPOCH + Duration::from_millis(1_772_359_200_250);
    assert_eq!(ancestor.sandboxes[0].created_at, Some(made));
    assert_eq!(ancestor.sandboxes[1].terminated_at, None);
    let store = place.open().await.unwrap();
    let empty = store.snapshot().await.unwrap();
    let import = import_ancestor(
        &ancestor,
        &empty,
        &store.settings().await.unwrap(),
        &[],
        &std::collections::BTreeSet::new(),
        Renaming::Proposed,
    );
    assert!(!format!("{:?}", import.refused).contains("hunter2"), "{:?}", import.refused);
    store.apply(&actor(), &import.changes).await.unwrap();
    store.record(&import.history).await.unwrap();
    let names: Vec<String> =
        store.snapshot().await.unwrap().roster().users().map(|(id, _)| id.to_string()).collect();
    assert_eq!(names, ["alpha/ada", "alpha/jose"]);
    let settings = store.settings().await.unwrap();
    assert_eq!(settings[&SettingKey::GatewayEnabled].reveal(), "true");
    assert_eq!(store.config_file(ConfigFileKey::VscodeSettings).await.unwrap().len(), 1);
    let history = store.history(None).await.unwrap();
    assert_eq!(history[0].states.last().unwrap().state, InstanceState::Terminated);

    for (name, words) in [("nowhere.db", "No such file"), ("thon.db", "none of the ancestor's")] {
        let failure = read_ancestor(&place.path(name)).await.unwrap_err().to_string();
        assert!(failure.contains(words), "{failure}");
    }
}
