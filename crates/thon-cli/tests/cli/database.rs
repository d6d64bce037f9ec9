//! The roster in the database: changed by commands, imported, exported, checked and copied.

use std::path::Path;

use serde_json::Value;
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::desk::{Desk, error_line, has, mode};
use crate::stage::Stage;
use crate::support::{exec, write_file};

const DECLARED: &str = "groups:\n  alpha: [ada]\n";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("thon.yaml", DECLARED);
    desk
}

/// Everyone in the roster with where they come from.
#[track_caller]
fn users(desk: &Desk) -> Vec<String> {
    let list = desk.thon(&["--json", "user", "list"]).ok().json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let line = |user: &Value| {
        let [group, name, from] = ["group", "user", "from"].map(|key| text(&user[key]));
        format!("{group}/{name}: {from}")
    };
    list.as_array().unwrap().iter().map(line).collect()
}

/// What an import did, or would do.
#[track_caller]
fn changes(desk: &Desk, args: &[&str]) -> Vec<String> {
    let said = desk.thon(&[&["--json", "import"], args].concat()).ok().json();
    let line = |change: &Value| {
        format!("{} {}", change["action"].as_str().unwrap(), change["subject"].as_str().unwrap())
    };
    said["changes"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn the_roster_is_the_files_and_the_databases_and_the_files_part_is_left_to_the_file() {
    let desk = desk();
    assert_eq!(users(&desk), ["alpha/ada: thon.yaml"]);
    assert!(!desk.thon_home().exists(), "looking makes nothing");

    desk.thon(&["group", "add", "beta", "--title", "Team Beta", "--memory", "1g"]).ok();
    let said = desk.thon(&["user", "add", "beta/carol", "--email", "carol@example.org"]).ok();
    has(&said.stderr, &["added beta/carol; `thon run` makes it so"]);
    desk.thon(&["user", "add", "alpha/bob", "alpha/dave"]).ok();
    let all = ["alpha/ada: thon.yaml", "alpha/bob: database", "alpha/dave: database"];
    assert_eq!(users(&desk), [&all[..], &["beta/carol: database"]].concat());
    assert_eq!(mode(&desk.thon_home().join("thon.db")), 0o600);

    for (args, parts) in [
        (["user", "remove", "alpha/ada"].as_slice(), ["declared in thon.yaml", "edit that file"]),
        (&["user", "move", "alpha/ada", "beta"], ["declared in thon.yaml", "to move it"]),
        (&["user", "rename", "alpha/ada", "eve"], ["declared in thon.yaml", "to rename it"]),
        (&["group", "remove", "alpha"], ["group alpha is declared", "edit that file"]),
        (&["user", "add", "alpha/ada"], ["is there already", "thon.yaml"]),
        (&["user", "add", "beta/carol"], ["is there already", "the database"]),
        (&["user", "add", "gamma/x"], ["no group gamma", "`thon group add gamma` makes it"]),
        (&["user", "remove", "beta/carl"], ["no user beta/carl", "did you mean `beta/carol`?"]),
        (&["group", "add", "g", "--memory", "1m"], ["memory 1 MiB", "at least 64m"]),
        (&["user", "remove", "beta/carol"], ["nobody can be asked", "--yes"]),
    ] {
        let before = users(&desk);
        has(&error_line(&desk.thon(args), 2), &parts);
        assert_eq!(users(&desk), before, "{args:?}");
    }

    // Nobody of these ever had a sandbox, so that no files are left behind.
    desk.thon(&["user", "move", "beta/carol", "alpha"]).ok();
    desk.thon(&["user", "rename", "alpha/bob", "bobby"]).ok();
    desk.thon(&["group", "rename", "beta", "gamma"]).ok();
    let said = desk.thon(&["--yes", "user", "remove", "alpha/dave"]).ok();
    has(&said.stderr, &["removed alpha/dave", "workspaces stay"]);
    let all = ["alpha/ada: thon.yaml", "alpha/carol: database", "alpha/bobby: database"];
    assert_eq!(users(&desk), all);
    let groups = desk.thon(&["group", "list"]).ok().stdout;
    has(&groups, &["alpha  3      thon.yaml, database", "gamma  0      database", "Team Beta"]);

    let log = desk.with(&[("USER", "grace")], &["user", "add", "gamma/x"]).ok();
    assert_eq!(log.code, 0);
    has(
        &desk.thon(&["db", "log", "-n", "1"]).ok().stdout,
        &["grace", "add user", "gamma/x", "done"],
    );
}

const TABLE: &str = "\
Full name;E-mail;Team name
Ada Lovelace;ada@example.org;Rockets!
José Müller;jose@example.org;Rockets!
Ada Lovelace;second@example.org;Rockets!
";

#[test]
fn a_registration_sites_table_is_imported_after_a_preview_and_only_once() {
    let desk = desk();
    desk.file("people.csv", TABLE);
    let preview = desk.thon(&["import", "people.csv", "--dry-run"]).ok();
    has(
        &preview.stdout,
        &["rockets/jose-mueller    from \"José Müller\"", "rockets/ada-lovelace-2"],
    );
    has(&preview.stderr, &["email from \"E-mail\"", "Nothing was changed."]);
    assert_eq!(users(&desk).len(), 1);
    let refused = desk.thon(&["import", "people.csv"]).expect(2);
    has(&refused.stderr, &["nobody can be asked", "--yes"]);
    assert_eq!(users(&desk).len(), 1);
    // What is written over is shown with what it was.
    desk.thon(&["group", "add", "owls"]).ok();
    desk.thon(&["user", "add", "owls/zoe", "--display-name", "Zoe"]).ok();
    desk.file(
        "owls.yaml",
        "groups: {owls: {title: The Owls, users: [{name: zoe, display_name: Z.}]}}",
    );
    let preview = desk.thon(&["import", "owls.yaml", "--dry-run"]).ok().stdout;
    has(&preview, &["title \"The Owls\", was none", "name \"Z.\", was \"Zoe\""]);
    desk.thon(&["--yes", "group", "remove", "owls"]).ok();

    assert_eq!(changes(&desk, &["people.csv", "--yes"]).len(), 4);
    assert_eq!(changes(&desk, &["people.csv", "--yes"]), [""; 0]);
    desk.file("fewer.csv", TABLE.lines().take(2).map(|l| format!("{l}\n")).collect::<String>());
    assert_eq!(changes(&desk, &["fewer.csv", "--yes"]), [""; 0]);
    let removed = changes(&desk, &["fewer.csv", "--yes", "--remove-missing"]);
    assert_eq!(removed, ["remove user rockets/jose-mueller", "remove user rockets/ada-lovelace-2"]);
    desk.file("moved.csv", "name,email,team\nAda Lovelace,ada@example.org,planets\n");
    let moved = changes(&desk, &["moved.csv", "--yes"]);
    assert_eq!(
        moved,
        ["add group planets", "move user rockets/ada-lovelace to planets/ada-lovelace"]
    );

    // What is written is read again, as a table and as a groups file.
    for name in ["all.yaml", "all.csv"] {
        desk.thon(&["export", name]).ok();
        assert_eq!(mode(&desk.work().join(name)), 0o600);
        has(&error_line(&desk.thon(&["export", name]), 2), &["nothing is overwritten"]);
        let again = changes(&desk, &[name, "--yes"]);
        assert!(!again.iter().any(|change| change.contains("planets")), "{name}: {again:?}");
    }
    let line = error_line(&desk.thon(&["import", "people.csv", "--map", "email=Mail"]), 2);
    has(&line, &["people.csv:1: no column \"Mail\" for email", "\"Full name\""]);
    desk.file("bad.csv", "name,team\nAda,a\n🦀,a\n");
    has(&error_line(&desk.thon(&["import", "bad.csv", "--yes"]), 2), &["bad.csv:3: ", "🦀"]);
}

#[test]
fn the_database_is_checked_copied_and_its_loss_stops_nobody_of_the_file() {
    let desk = desk();
    has(&error_line(&desk.thon(&["db", "check"]), 2), &["there is no database", "thon group add"]);
    desk.thon(&["group", "add", "beta"]).ok();
    has(&desk.thon(&["db", "check"]).ok().stdout, &["sound: 1 group, 0 users"]);
    desk.thon(&["db", "backup", "copy.db"]).ok();
    assert_eq!(mode(&desk.work().join("copy.db")), 0o600);
    let line = error_line(&desk.thon(&["db", "backup", "copy.db"]), 1);
    has(&line, &["copy.db", "nothing is overwritten"]);
    let path = desk.thon(&["--json", "db", "backup"]).ok().json()["path"].clone();
    assert_eq!(mode(Path::new(path.as_str().unwrap())), 0o600);

    let file = desk.thon_home().join("thon.db");
    std::fs::write(&file, "not a database, and long enough to be taken for one at first sight")
        .unwrap();
    for args in
        [["db", "check"].as_slice(), &["group", "list"], &["run", "--prune"], &["run", "--from-db"]]
    {
        let line = error_line(&desk.thon(args), 1);
        has(&line, &["it is damaged", "copy a backup to"]);
    }
    // There is no Docker here, which is all that hinders a run of thon.yaml's users.
    let said = desk.thon(&["run"]).expect(1);
    has(&said.stderr, &["warning: ", "only thon.yaml's users are known", "Docker"]);
    std::fs::copy(desk.work().join("copy.db"), &file).unwrap();
    has(&desk.thon(&["db", "check"]).ok().stdout, &["sound: 1 group"]);
}

#[test]
fn commands_that_change_it_at_the_same_time_lose_nothing() {
    let desk = desk();
    desk.thon(&["group", "add", "beta"]).ok();
    let started: Vec<_> = (0..10)
        .map(|number| {
            let user = format!("beta/u{number}");
            let mut command = desk.command(&["user", "add", &user]);
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in started {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(users(&desk).len(), 11);
    has(&desk.thon(&["db", "check"]).ok().stdout, &["sound: 1 group, 10 users"]);
}

fn ancestor(path: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        let sql = include_str!("../../../thon-store/tests/data/ancestor.sql");
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn the_ancestors_database_is_taken_over_and_no_name_is_changed_unasked() {
    let desk = desk();
    std::fs::create_dir_all(desk.thon_home()).unwrap();
    // Where the ancestor left it: in the place of ours.
    ancestor(&desk.thon_home().join("thon.db"));
    let line = error_line(&desk.thon(&["group", "add", "beta"]), 1);
    has(&line, &["Python ancestor", "thon db import-ancestor"]);
    std::fs::rename(desk.thon_home().join("thon.db"), desk.work().join("old.db")).unwrap();

    let import = ["db", "import-ancestor", "old.db", "--yes"];
    let said = desk.thon(&import).ok();
    has(&said.stdout, &["add user", "alpha/ada", "set setting", "external_ip"]);
    let proposal = "user alpha/José: it has capital letters; left out, --use-proposed-names takes \
                    it as `jose`";
    has(&said.stderr, &[proposal, "group Team B", "`team-b`", "setting config_kilo_json"]);
    assert!(!format!("{}{}", said.stdout, said.stderr).contains("hunter2"), "{said:?}");
    assert_eq!(users(&desk), ["alpha/ada: thon.yaml, database"]);
    has(&desk.thon(&import).ok().stderr, &["Nothing was changed."]);
    desk.thon(&[&import[..], &["--use-proposed-names"]].concat()).ok();
    assert_eq!(users(&desk), ["alpha/ada: thon.yaml, database", "alpha/jose: database"]);
    has(&desk.thon(&["db", "check"]).ok().stdout, &["sound: 2 groups, 2 users"]);
}

#[test]
fn a_run_takes_both_rosters_and_whoever_is_moved_takes_their_files_along() {
    let stage = Stage::new("alpha: [ada]");
    stage.thon(&["group", "add", "beta"]).ok();
    stage.thon(&["user", "add", "beta/bob"]).ok();
    let plan = stage.thon(&["run", "--dry-run"]).ok().stdout;
    has(&plan, &["alpha/ada  create  thon.yaml", "beta/bob   create  database"]);
    let alone = stage.thon(&["--json", "run", "--dry-run", "--from-db"]).ok().json();
    assert_eq!(alone.as_array().unwrap().len(), 1, "{alone}");
    assert_eq!((&alone[0]["user"], &alone[0]["from"]), (&"bob".into(), &"database".into()));

    stage.run_with(&["--yes", "--from-db"]).ok();
    let bob = stage.instance("beta", "bob");
    assert_eq!(bob.health, "healthy");
    write_file(bob.container(), "/workspace/notes.txt", "of bob");
    let refused = error_line(&stage.thon(&["group", "rename", "beta", "gamma"]), 2);
    has(&refused, &["user beta/bob has files in the workspace", "keep the name"]);
    let rename = ["user", "rename", "beta/bob", "bobby"];
    let asked = error_line(&stage.thon(&rename), 2);
    has(&asked, &["Move beta/bob to beta/bobby?", "Files move along", "--yes"]);
    assert_eq!(stage.instance("beta", "bob"), bob, "nothing happened unasked");

    // Whatever was noted of the new name: files that are there already are nobody's to throw away.
    stage.thon(&["user", "add", "beta/bobby"]).ok();
    stage.run_with(&["--yes", "--from-db", "beta/bobby"]).ok();
    let other = stage.instance("beta", "bobby");
    write_file(other.container(), "/workspace/old.txt", "of another");
    stage.thon(&["--yes", "user", "remove", "beta/bobby"]).ok();
    stage.run_with(&["--yes", "--from-db", "--prune"]).ok();
    let notes = stage.thon_home().join("imports");
    std::fs::create_dir_all(&notes).unwrap();
    std::fs::write(notes.join("beta_bobby"), "move of beta/carl\n").unwrap();
    let refused = stage.thon(&[&["--yes"], &rename[..]].concat()).expect(1);
    has(&refused.stderr, &["files", "of beta/bobby already"]);
    assert!(stage.volumes().contains(&stage.volume_name("beta/bobby")), "they are gone");
    stage.thon(&["--yes", "workspace", "remove", "beta/bobby"]).ok();

    let moved = stage.thon(&[&["--yes"], &rename[..]].concat()).ok();
    has(&moved.stderr, &["beta/bob is beta/bobby from now on, files included"]);
    stage.run_with(&["--yes", "--from-db"]).ok();
    let bobby = stage.instance("beta", "bobby");
    assert_eq!((bobby.url(), bobby.password()), (bob.url(), bob.password()), "the seat is theirs");
    let owned = exec(bobby.container(), &["stat", "--format", "%U", "notes.txt"]);
    assert_eq!(
        (exec(bobby.container(), &["cat", "notes.txt"]), owned),
        ("of bob".into(), "vscode".into())
    );
    let beta = stage.instances().iter().filter(|one| one.group == "beta").count();
    assert_eq!(beta, 1, "nobody is left under the old name");
    // Out of the roster: left alone until --prune, which also has to know the database.
    stage.thon(&["--yes", "user", "remove", "beta/bobby"]).ok();
    let plan = stage.thon(&["run", "--dry-run", "--prune"]).ok().stdout;
    has(&plan, &["beta/bobby", "stop", "not in the roster"]);
}
