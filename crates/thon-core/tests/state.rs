//! The rules of the node's state: imports, names made from tables, and what the ancestor left.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use thon_core::adapter::Clock;
use thon_core::roster::Roster;
use thon_core::state::{
    Actor, Ancestor, AncestorGroup, AncestorSandbox, AncestorUser, Change, Column, ColumnNames,
    Missing, People, Renaming, Sheet, Snapshot, StateStore, difference, import_ancestor, people,
};
use thon_core::testing::{Faults, FixedClock, MemoryState, contract};

fn memory() -> MemoryState {
    MemoryState::new(Arc::new(Faults::default()), Arc::new(FixedClock::default()))
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract::state(&memory()).await;
    contract::operations(&memory()).await;
    contract::access(&memory()).await;
    contract::sessions(&memory(), FixedClock::default().now()).await;
}

/// A store with this roster.
async fn stored(text: &str) -> (MemoryState, Snapshot) {
    let store = memory();
    let roster = Roster::parse_groups_file(text, "x").unwrap().roster;
    let changes = difference(&Snapshot::default(), &roster, None, Missing::Kept).changes;
    store.apply(&Actor::new("t"), &changes).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    (store, snapshot)
}

fn said(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| format!("{} {}", change.action(), change.subject())).collect()
}

fn roster(text: &str) -> Roster {
    Roster::parse_groups_file(text, "x").unwrap().roster
}

#[tokio::test]
async fn a_file_that_says_less_takes_nothing_away() {
    let (_, present) =
        stored("groups: {a: {title: A, memory: 1g, users: [{name: x, email: x@e.org}, y]}}").await;
    let less = difference(&present, &roster("groups: {a: [x]}"), None, Missing::Kept);
    assert_eq!(said(&less.changes), [""; 0]);
    assert_eq!(less.kept.len(), 1);
    let removed = difference(&present, &roster("groups: {a: [x]}"), None, Missing::Removed);
    assert_eq!(said(&removed.changes), ["remove user a/y"]);
}

#[tokio::test]
async fn who_changes_their_team_moves_and_is_not_made_twice() {
    let (store, present) = stored("groups: {a: [{name: x, email: X@e.org}], b: []}").await;
    let wanted = roster("groups: {a: [], b: [{name: xenia, email: x@e.org, display_name: Xenia}]}");
    let found = difference(&present, &wanted, None, Missing::Removed);
    assert_eq!(said(&found.changes), ["move user a/x to b/xenia", "edit user b/xenia"]);
    store.apply(&Actor::new("t"), &found.changes).await.unwrap();
    let after = store.snapshot().await.unwrap();
    assert_eq!(after.users.len(), 1);
    assert_eq!(after.users[0].id, present.users[0].id);
    assert_eq!(said(&difference(&after, &wanted, None, Missing::Removed).changes), [""; 0]);
}

fn sheet(text: &str) -> Sheet {
    let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    let mut lines = text.lines().map(cells);
    Sheet {
        origin: "people.csv".to_owned(),
        headings: lines.next().unwrap(),
        rows: lines.enumerate().map(|(at, cells)| (at as u64 + 2, cells)).collect(),
    }
}

fn read(text: &str, present: &Snapshot) -> People {
    people(&sheet(text), &ColumnNames::default(), present).unwrap()
}

fn refusal(text: &str) -> String {
    let error = people(&sheet(text), &ColumnNames::default(), &Snapshot::default());
    error.unwrap_err().to_string()
}

fn names(people: &People) -> Vec<String> {
    people.roster.users().map(|(id, _)| id.to_string()).collect()
}

const REGISTRATIONS: &str = "\
Timestamp,First Name,Last name,E-Mail Address,Team Name
1,Ada,Lovelace,ada@example.org,Team Ä
2,José,Müller,jose@example.org,Team Ä
3,Ada,Lovelace,other-ada@example.org,Team Ä
4,,,grace.hopper@navy.mil,rockets
,,,,
";

#[test]
fn a_registration_sites_table_is_understood() {
    let found = read(REGISTRATIONS, &Snapshot::default());
    assert_eq!(
        names(&found),
        [
            "team-ae/ada-lovelace",
            "team-ae/jose-mueller",
            "team-ae/ada-lovelace-2",
            "rockets/grace-hopper"
        ]
    );
    assert_eq!(found.columns[&Column::Email], "E-Mail Address");
    let group = &found.roster.groups()[0];
    assert_eq!(group.title.as_deref(), Some("Team Ä"));
    assert_eq!(group.users[1].display.as_deref(), Some("José Müller"));
    assert_eq!(found.made.len(), 4, "every name that was made is shown");
}

#[tokio::test]
async fn the_same_table_a_second_time_changes_nothing_even_in_another_order() {
    let found = read(REGISTRATIONS, &Snapshot::default());
    let store = memory();
    let first = difference(&Snapshot::default(), &found.roster, None, Missing::Kept);
    store.apply(&Actor::new("t"), &first.changes).await.unwrap();
    let present = store.snapshot().await.unwrap();
    let mut lines: Vec<&str> = REGISTRATIONS.lines().collect();
    lines[1..].reverse();
    for text in [REGISTRATIONS.to_owned(), lines.join("\n")] {
        let again = read(&text, &present);
        let changes = difference(&present, &again.roster, None, Missing::Removed).changes;
        assert_eq!(said(&changes), [""; 0], "{text}");
    }
}

#[test]
fn one_person_twice_is_one_user_and_is_said() {
    let text = "name,email,group\nAda,a@e.org,x\nAda L.,A@e.org,x\n";
    let found = read(text, &Snapshot::default());
    assert_eq!(names(&found), ["x/ada"]);
    assert_eq!(found.notes, ["people.csv:3: x/ada is in the table already"]);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_line() {
    for (text, line) in [
        ("name,age\nAda,3\n", "people.csv:1: no column for groups was found"),
        ("group,age\nx,3\n", "people.csv:1: no column for names"),
        ("name,group\nAda,\n", "people.csv:2: no group stands here"),
        ("name,group\n,x\n", "people.csv:2: neither a name nor an e-mail address"),
        ("name,group\n🦀,x\n", "people.csv:2: no name for a URL can be made of \"🦀\""),
        ("name,group,email\nAda,x,nope\n", "people.csv:2: \"nope\" is no e-mail address"),
        ("name,group\na,Team 1\nb,team-1!\n", "people.csv:3: groups \"Team 1\" and \"team-1!\""),
    ] {
        let refused = refusal(text);
        assert!(refused.starts_with(line), "{refused}");
        assert!(!refused.contains('\n'));
    }
}

#[test]
fn columns_can_be_named() {
    let mut columns = ColumnNames::default();
    columns.named.insert(Column::Name, "Wie heißt du?".to_owned());
    columns.group = Some("all".parse().unwrap());
    let text = "Name der Schule,Wie heißt du?\nx,Ada\n";
    let found = people(&sheet(text), &columns, &Snapshot::default()).unwrap();
    assert_eq!(names(&found), ["all/ada"]);
    columns.named.insert(Column::Email, "Mail?".to_owned());
    let error = people(&sheet(text), &columns, &Snapshot::default()).unwrap_err().to_string();
    assert!(
        error.contains("no column \"Mail?\" for email; there are \"Name der Schule\""),
        "{error}"
    );
}

fn ancestor() -> Ancestor {
    let group =
        |id: &str, name: &str| AncestorGroup { id: id.into(), name: name.into(), title: None };
    let user = |group: &str, name: &str| AncestorUser {
        group_id: group.into(),
        username: name.into(),
        email: Some(format!("{}@example.org", name.to_lowercase())),
    };
    let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let sandbox = |id: &str, user: &str, ended| AncestorSandbox {
        sandbox: id.into(),
        group: "alpha".into(),
        username: user.into(),
        image: None,
        created_at: at(1),
        terminated_at: ended,
    };
    Ancestor {
        events: vec![("spring".into(), Some("Spring".into()))],
        groups: vec![group("1", "alpha"), group("2", "Team B")],
        users: vec![user("1", "ada"), user("1", "Ada"), user("2", "bob"), user("9", "lost")],
        sandboxes: vec![
            sandbox("s1", "ada", at(2)),
            sandbox("s2", "Ada", at(3)),
            sandbox("s3", "ada", None),
        ],
        settings: vec![
            ("external_ip".into(), "203.0.113.7".into()),
            ("config_vscode_settings".into(), "{}".into()),
            ("config_kilo_json".into(), "{".into()),
            ("unknown".into(), "x".into()),
        ],
    }
}

#[tokio::test]
async fn the_ancestors_names_are_never_changed_silently() {
    let none = (BTreeMap::new(), BTreeSet::new());
    let import = |renaming| {
        import_ancestor(&ancestor(), &Snapshot::default(), &none.0, &[], &none.1, renaming)
    };
    let strict = import(Renaming::Refused);
    let refused: Vec<String> = strict
        .refused
        .iter()
        .map(|r| format!("{} {} -> {}", r.what, r.name, r.proposal.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(
        refused,
        [
            "group Team B -> team-b",
            "user alpha/Ada -> ada-2",
            "user ?/lost -> -",
            "setting config_kilo_json -> -",
            "setting unknown -> -",
            "sandbox s2 -> -",
        ]
    );
    assert_eq!(
        said(&strict.changes),
        [
            "add group alpha",
            "add user alpha/ada",
            "set event spring",
            "set setting external_ip",
            "put config file vscode_settings",
        ]
    );
    assert_eq!((strict.history.len(), strict.still_running), (2, 1));
    let lenient = import(Renaming::Proposed);
    assert!(said(&lenient.changes).contains(&"add user team-b/bob".to_owned()));
    assert!(said(&lenient.changes).contains(&"add user alpha/ada-2".to_owned()));
    assert_eq!(lenient.history.len(), 4);
}

#[tokio::test]
async fn a_second_import_of_the_ancestor_changes_nothing() {
    let store = memory();
    let mut counts = Vec::new();
    for _ in 0..2 {
        let present = store.snapshot().await.unwrap();
        let settings = store.settings().await.unwrap();
        let mut files = Vec::new();
        for key in thon_core::state::ConfigFileKey::ALL {
            files.extend(store.config_file(key).await.unwrap());
        }
        let known = store.history(None).await.unwrap().into_iter().map(|h| h.sandbox).collect();
        let import =
            import_ancestor(&ancestor(), &present, &settings, &files, &known, Renaming::Proposed);
        store.apply(&Actor::new("t"), &import.changes).await.unwrap();
        store.record(&import.history).await.unwrap();
        counts.push((import.changes.len(), import.history.len()));
    }
    assert_eq!(counts[1], (0, 0), "{counts:?}");
}

proptest! {
    /// Whatever stands in the cells: a refusal of one line, or users whose names are their own.
    #[test]
    fn any_table_gives_unique_names_and_twice_the_same(
        rows in proptest::collection::vec(("[a-cA-C é.'-]{0,4}", "([ab]@e\\.org)?", "[ab ]{0,2}"), 0..12)
    ) {
        let sheet = Sheet {
            origin: "t".into(),
            headings: ["name", "email", "group"].map(str::to_owned).to_vec(),
            rows: rows.into_iter().enumerate()
                .map(|(at, (name, email, group))| (at as u64 + 2, vec![name, email, group]))
                .collect(),
        };
        let columns = ColumnNames { group: Some("all".parse().unwrap()), ..ColumnNames::default() };
        if let Ok(found) = people(&sheet, &columns, &Snapshot::default()) {
            let ids: BTreeSet<_> = found.roster.users().map(|(id, _)| id).collect();
            prop_assert_eq!(ids.len(), found.roster.user_count());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let store = memory();
                let first = difference(&Snapshot::default(), &found.roster, None, Missing::Kept);
                store.apply(&Actor::new("t"), &first.changes).await.unwrap();
                let present = store.snapshot().await.unwrap();
                let again = people(&sheet, &columns, &present).unwrap();
                let changes = difference(&present, &again.roster, None, Missing::Removed).changes;
                assert!(changes.is_empty(), "{changes:?}");
            });
        }
    }
}
