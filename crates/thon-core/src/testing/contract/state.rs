//! The contract of [`StateStore`].

use std::time::{Duration, SystemTime};

use crate::adapter::{Failure, FailureKind};
use crate::instance::InstanceState;
use crate::name::UserId;
use crate::roster::{GroupRules, Roster};
use crate::sandbox::SandboxId;
use crate::state::{
    Actor, Change, ConfigFile, ConfigFileKey, Fact, Missing, Revision, Setting, SettingKey,
    Snapshot, StateStore, UserQuery, difference,
};

const FILE: &str = "
groups:
  alpha: {title: Team Alpha, internet: false, memory: 512m, cpus: 0.5, pids: 128, disk: 1g,
          users: [{name: ada, display_name: Ada Lovelace, email: ada@example.org}, bob]}
  beta: [carol]
  empty: []
";

fn actor() -> Actor {
    Actor::new("test")
}

fn id(text: &str) -> UserId {
    match text.parse() {
        Ok(id) => id,
        Err(error) => panic!("{error}"),
    }
}

fn ok<T>(result: Result<T, Failure>) -> T {
    match result {
        Ok(value) => value,
        Err(failure) => panic!("{failure}"),
    }
}

async fn refused(store: &dyn StateStore, kind: FailureKind, changes: &[Change]) -> Failure {
    let before = ok(store.snapshot().await);
    match store.apply(&actor(), changes).await {
        Ok(()) => panic!("{changes:?} was taken"),
        Err(failure) => {
            assert_eq!(failure.kind, kind, "{failure}");
            assert_eq!(ok(store.snapshot().await), before, "a refused change changes nothing");
            failure
        }
    }
}

async fn make(store: &dyn StateStore, changes: &[Change]) {
    ok(store.apply(&actor(), changes).await);
}

fn revision(snapshot: &Snapshot, user: &UserId) -> Option<Revision> {
    snapshot.user(user).map(|record| record.revision)
}

/// An empty store takes a roster and gives it back; changes are whole, checked against what was
/// seen, and written down; settings, files and history are kept.
pub async fn state(store: &dyn StateStore) {
    assert_eq!(ok(store.snapshot().await), Snapshot::default(), "a new store is empty");
    roster(store).await;
    changes(store).await;
    queries(store).await;
    settings(store).await;
    files(store).await;
    history(store).await;
    audit(store).await;
}

async fn roster(store: &dyn StateStore) {
    let Ok(file) = Roster::parse_groups_file(FILE, "file") else { panic!("the file is good") };
    let event = Some(("spring", Some("Spring")));
    let first = difference(&Snapshot::default(), &file.roster, event, Missing::Kept);
    make(store, &first.changes).await;
    let snapshot = ok(store.snapshot().await);
    assert_eq!(snapshot.roster(), file.roster, "what was stored is what is read");
    assert!(snapshot.groups.iter().all(|group| group.event.as_deref() == Some("spring")));
    assert_eq!(snapshot.events[0].title.as_deref(), Some("Spring"));
    let again = difference(&snapshot, &file.roster, event, Missing::Removed);
    assert_eq!(again.changes, [], "a second time changes nothing");
    assert_eq!(again.unchanged, 6);
}

async fn changes(store: &dyn StateStore) {
    let ada = id("alpha/ada");
    let before = ok(store.snapshot().await);
    let seen = revision(&before, &ada);
    let email = |text: &str| Change::EditUser {
        user: ada.clone(),
        expect: seen,
        display: None,
        email: Some(text.to_owned()),
    };
    make(store, &[email("one@example.org")]).await;
    let failure = refused(store, FailureKind::Stale, &[email("two@example.org")]).await;
    assert!(failure.cause.contains("meanwhile"), "{failure}");

    let add = |user: &str| Change::AddUser { user: id(user), display: None, email: None };
    refused(store, FailureKind::Conflict, &[add("beta/dave"), add("beta/carol")]).await;
    refused(store, FailureKind::Missing, &[add("nowhere/dave")]).await;
    let rename = |from: &UserId, to: &str| Change::RenameGroup {
        name: from.group.clone(),
        expect: None,
        to: id(to).group,
    };
    refused(store, FailureKind::Conflict, &[rename(&ada, "beta/x")]).await;
    let go = |from: &str, to: &str| Change::MoveUser { user: id(from), expect: None, to: id(to) };
    refused(store, FailureKind::Missing, &[go("alpha/bob", "nowhere/bob")]).await;
    refused(store, FailureKind::Conflict, &[go("alpha/bob", "beta/carol")]).await;
    refused(store, FailureKind::Missing, &[go("alpha/nobody", "beta/nobody")]).await;

    make(store, &[rename(&ada, "omega/x"), go("omega/bob", "beta/bobby"), add("omega/erin")]).await;
    let after = ok(store.snapshot().await);
    let names: Vec<String> = after.roster().users().map(|(id, _)| id.to_string()).collect();
    assert_eq!(names, ["omega/ada", "omega/erin", "beta/bobby", "beta/carol"]);
    let same = |one: &str, other: &str| {
        let found = |snapshot: &Snapshot, name| snapshot.user(&id(name)).map(|user| user.id);
        assert_eq!(found(&before, one), found(&after, other), "{one} is still the same person");
    };
    same("alpha/ada", "omega/ada");
    same("alpha/bob", "beta/bobby");

    let gone = |name: &str| Change::RemoveUser { user: id(name), expect: None };
    make(store, &[gone("omega/erin")]).await;
    refused(store, FailureKind::Missing, &[gone("omega/erin")]).await;
    let group = |name: &str| Change::RemoveGroup { name: id(name).group, expect: None };
    make(store, &[group("omega/x"), group("empty/x")]).await;
    let left = ok(store.snapshot().await);
    assert_eq!(left.users.len(), 2, "the users of a group go with it");
    make(
        store,
        &[Change::AddGroup {
            name: id("omega/x").group,
            title: None,
            rules: GroupRules::default(),
        }],
    )
    .await;
    let Some(anew) = ok(store.snapshot().await).groups.pop() else { panic!("it was added") };
    assert!(before.groups.iter().all(|group| group.id != anew.id), "no id is given twice");
}

async fn queries(store: &dyn StateStore) {
    let found = |query: UserQuery| async move {
        let page = ok(store.users(&query).await);
        let names: Vec<String> = page.items.iter().map(|user| user.user.to_string()).collect();
        (names.join(" "), page.total)
    };
    let all = UserQuery::default();
    assert_eq!(found(all.clone()).await, ("beta/bobby beta/carol".to_owned(), 2));
    let text = |text: &str| UserQuery { text: Some(text.to_owned()), ..UserQuery::default() };
    assert_eq!(found(text("CAR")).await, ("beta/carol".to_owned(), 1));
    assert_eq!(found(text("%")).await, (String::new(), 0), "nothing is a wildcard");
    assert_eq!(found(text("_")).await, (String::new(), 0));
    let second = UserQuery { offset: 1, limit: 1, ..all.clone() };
    assert_eq!(found(second).await, ("beta/carol".to_owned(), 2));
    let nobody = UserQuery { group: Some(id("omega/x").group), ..all };
    assert_eq!(found(nobody).await, (String::new(), 0));
}

async fn settings(store: &dyn StateStore) {
    assert!(ok(store.settings().await).is_empty());
    let Ok(setting) = Setting::new(SettingKey::GatewayAdminKey, "hunter2") else {
        panic!("it fits")
    };
    make(store, &[Change::SetSetting { setting: setting.clone() }]).await;
    make(store, &[Change::SetSetting { setting }]).await;
    let found = ok(store.settings().await);
    assert_eq!(found.get(&SettingKey::GatewayAdminKey).map(Setting::reveal), Some("hunter2"));
    make(store, &[Change::ClearSetting { key: SettingKey::GatewayAdminKey }]).await;
    assert!(ok(store.settings().await).is_empty());
}

async fn files(store: &dyn StateStore) {
    let key = ConfigFileKey::VscodeSettings;
    assert_eq!(ok(store.config_file(key).await), []);
    let put = |text: &str, expect| {
        let Ok(file) = ConfigFile::new(key, text) else { panic!("it is good") };
        Change::PutConfigFile { file, expect }
    };
    make(store, &[put("{\"a\": 1}", Some(0))]).await;
    refused(store, FailureKind::Stale, &[put("{\"a\": 2}", Some(0))]).await;
    make(store, &[put("{\"a\": 3}", Some(1))]).await;
    make(store, &[Change::RestoreConfigFile { key, version: 1 }]).await;
    refused(store, FailureKind::Missing, &[Change::RestoreConfigFile { key, version: 9 }]).await;
    let versions = ok(store.config_file(key).await);
    let seen: Vec<(u64, &str)> =
        versions.iter().map(|version| (version.version, version.file.content())).collect();
    assert_eq!(seen, [(3, "{\"a\": 1}"), (2, "{\"a\": 3}"), (1, "{\"a\": 1}")]);
    assert_eq!(versions[0].actor, "test");

    let remove = |expect| Change::RemoveConfigFile { key, expect };
    refused(store, FailureKind::Stale, &[remove(Some(2))]).await;
    make(store, &[remove(Some(3))]).await;
    assert!(ok(store.config_file(key).await)[0].file.is_removed());
    refused(store, FailureKind::Missing, &[remove(None)]).await;
    make(store, &[Change::RestoreConfigFile { key, version: 2 }]).await;
    assert_eq!(ok(store.config_file(key).await)[0].file.content(), "{\"a\": 3}");
}

async fn history(store: &dyn StateStore) {
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7);
    let fact = |sandbox: &str, user: &str, state, seconds| Fact {
        sandbox: SandboxId(sandbox.to_owned()),
        user: id(user),
        image: Some("image".to_owned()),
        state,
        at: at(seconds),
        reason: "because".to_owned(),
    };
    let facts = [
        fact("s1", "beta/carol", InstanceState::Pending, 10),
        fact("s1", "beta/carol", InstanceState::Failed, 30),
        fact("s1", "beta/carol", InstanceState::Running, 20),
        fact("s2", "gone/nobody", InstanceState::Terminated, 40),
    ];
    ok(store.record(&facts).await);
    ok(store.record(&facts).await);
    let all = ok(store.history(None).await);
    let names: Vec<&str> = all.iter().map(|known| known.sandbox.0.as_str()).collect();
    assert_eq!(names, ["s2", "s1"], "the latest first, each once");
    let carol = ok(store.history(Some(&id("beta/carol"))).await);
    assert_eq!(carol.len(), 1);
    let states: Vec<_> = carol[0].states.iter().map(|entry| (entry.state, entry.at)).collect();
    let expected = [
        (InstanceState::Pending, at(10)),
        (InstanceState::Running, at(20)),
        (InstanceState::Failed, at(30)),
    ];
    assert_eq!(states, expected);
    assert_eq!(carol[0].states[0].reason, "because");
}

async fn audit(store: &dyn StateStore) {
    let lines = ok(store.audit(1000).await);
    let said = |action: &str, subject: &str, result: &str| {
        lines.iter().any(|line| {
            line.action == action && line.subject == subject && line.result.contains(result)
        })
    };
    assert!(said("add user", "alpha/ada", "done"), "{lines:?}");
    assert!(said("edit user", "alpha/ada", "meanwhile"), "{lines:?}");
    assert!(said("move user", "omega/bob to beta/bobby", "done"), "{lines:?}");
    assert!(!said("add user", "beta/dave", "done"), "a batch that was refused isn't done");
    assert!(lines.iter().all(|line| line.actor == "test"));
    assert!(!format!("{lines:?}").contains("hunter2"));
    let latest = ok(store.audit(1).await);
    assert_eq!(latest, lines[..1]);
}
