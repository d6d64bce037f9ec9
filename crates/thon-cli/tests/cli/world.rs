//! The world not being as it should, before anything runs.

use crate::desk::{Desk, error_line, finish, has};

/// Everything that needs Docker.
const NEED_DOCKER: &[&[&str]] = &[
    &["run"],
    &["run", "--dry-run"],
    &["run", "--no-nginx", "--no-password"],
    &["status"],
    &["status", "--show-passwords"],
    &["stop", "--yes"],
    &["stop", "ada"],
    &["down", "--yes"],
    &["pause", "--yes"],
    &["resume"],
    &["restart", "ada"],
    &["shell", "ada"],
    &["shell", "ada", "--", "true"],
    &["logs", "ada"],
    &["logs", "-f"],
    &["workspace", "list"],
    &["workspace", "export", "ada"],
    &["workspace", "remove", "ada", "--yes"],
    &["image", "status"],
    &["image", "build"],
];

#[test]
fn without_docker_one_line_says_what_to_do() {
    let desk = Desk::new();
    desk.file("thon.yaml", "groups: {alpha: [ada]}\n");
    for command in NEED_DOCKER {
        let line = error_line(&desk.thon(command), 1);
        has(&line, &[&desk.docker_host(), "sudo systemctl start docker", "thon setup"]);
        let line = error_line(&desk.with(&[("DOCKER_HOST", "ssh://far")], command), 1);
        has(&line, &["ssh://far", "set DOCKER_HOST to unix:///path/to/docker.sock"]);
    }
}

#[test]
fn nothing_is_remembered_of_a_run_that_could_not_begin() {
    let desk = Desk::new();
    desk.file("thon.yaml", "groups: {alpha: [ada]}\n");
    desk.thon(&["run"]).expect(1);
    let left: Vec<_> = std::fs::read_dir(desk.thon_home()).unwrap().flatten().collect();
    let left: Vec<_> = left.iter().map(std::fs::DirEntry::file_name).collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn setup_starts_nothing_without_having_asked() {
    let desk = Desk::new();
    desk.file("thon.yaml", "groups: {alpha: [ada]}\n");
    for command in ["setup", "up"] {
        let said = desk.thon(&[command]).expect(2);
        has(&said.stderr, &["error: ", "nobody can be asked here", "--yes"]);
        assert!(!desk.thon_home().join("dockerd.log").exists());
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let desk = Desk::new();
    desk.file("thon.yaml", "groups: {alpha: [ada]}\n");
    desk.file("file", "");
    for home in ["file", "file/thon"] {
        let env = [("THON_HOME", home)];
        let before = desk.everything();
        for command in [
            ["run"].as_slice(),
            &["stop", "--yes"],
            &["down", "--yes"],
            &["image", "build"],
            &["tls", "issue"],
            &["nginx", "sync"],
        ] {
            let line = error_line(&desk.with(&env, command), 1);
            has(&line, &[desk.work().join(home).to_str().unwrap(), "THON_HOME"]);
        }
        let init = ["init", "--non-interactive", "--quiet"];
        let line = error_line(&desk.with(&env, &init), 1);
        has(&line, &[desk.work().join(home).to_str().unwrap(), "THON_HOME"]);
        assert_eq!(desk.everything(), before);
    }
}

#[test]
fn what_interrupts_everyone_needs_a_yes() {
    let desk = Desk::new();
    desk.file("thon.yaml", "groups: {alpha: [ada]}\n");
    let before = desk.everything();
    for command in [["stop"].as_slice(), &["down"], &["pause"], &["restart"], &["nginx", "cleanup"]]
    {
        has(&error_line(&desk.thon(command), 2), &["nobody can be asked here", "--yes"]);
    }
    assert_eq!(desk.everything(), before);
}

#[test]
fn a_program_gets_every_error_as_json() {
    let desk = Desk::new();
    desk.file("bad.yaml", "groups: {alpha: [../etc]}\n");
    desk.file("good.yaml", "groups: {alpha: [ada]}\n");
    for (code, args, part) in [
        (1, ["run", "--config", "good.yaml"].as_slice(), "Docker"),
        (1, &["status", "--config", "good.yaml"], "Docker"),
        (2, &["run", "--config", "bad.yaml"], "\"../etc\""),
        (2, &["run", "--groups", "bad.yaml"], "\"../etc\""),
        (2, &["config", "path", "--config", "lost.yaml"], "lost.yaml"),
        (2, &["run", "--froeground"], "--froeground"),
        (2, &["stats"], "stats"),
        (2, &["config"], "subcommand"),
    ] {
        for args in [[&["--json"], args].concat(), [args, &["--json"]].concat()] {
            let said = desk.thon(&args).expect(code);
            assert_eq!(said.stdout, "", "{args:?}");
            let error: serde_json::Value = serde_json::from_str(&said.stderr).unwrap();
            assert_eq!(error["exit_code"], code, "{args:?}");
            has(error["error"].as_str().unwrap(), &[part]);
            assert_eq!(said.stderr.lines().count(), 1, "{said:?}");
        }
    }
    // Help is no error, whatever else stands there.
    has(&desk.thon(&["--json", "run", "--help"]).ok().stdout, &["--dry-run"]);
}

#[test]
fn a_closed_standard_error_stops_nothing() {
    let desk = Desk::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = desk.command(&["init", "--non-interactive"]);
    finish(command.stderr(writer)).ok();
    assert!(desk.thon_home().join("thon.yaml").exists());
}
