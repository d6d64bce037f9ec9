//! `thon init`: the file that everything begins with.

use std::os::unix::fs::PermissionsExt;

use crate::desk::{Desk, error_line, has, mode};

#[test]
fn the_file_is_private_valid_and_a_place_to_start_from() {
    let desk = Desk::new();
    let said = desk.thon(&["init", "--non-interactive"]).ok();
    let file = desk.thon_home().join("thon.yaml");
    assert_eq!(said.stdout, "");
    has(&said.stderr, &[file.to_str().unwrap(), "thon up"]);
    assert_eq!((mode(&file), mode(&desk.thon_home())), (0o600, 0o700));

    // Found again without being named, accepted, and with somebody in it.
    let said = desk.thon(&["config", "validate"]).ok();
    assert_eq!(said.stderr, "");
    has(&said.stdout, &[file.to_str().unwrap(), "valid: 1 group, 2 users"]);
    let shown = desk.thon(&["--json", "config", "show"]).ok().json();
    assert_eq!(shown["groups"], serde_json::json!({"alpha": ["alice", "bob"]}));
}

#[test]
fn a_demonstration_needs_no_groups() {
    let desk = Desk::new();
    desk.thon(&["init", "--yes", "--demo"]).ok();
    let shown = desk.thon(&["--json", "config", "show"]).ok().json();
    assert_eq!((&shown["demo"], &shown["groups"]), (&true.into(), &serde_json::json!({})));
}

#[test]
fn what_is_there_is_kept() {
    let desk = Desk::new();
    desk.file("event.yaml", "groups: {alpha: [ada]}\n");
    let before = desk.everything();
    let init = ["init", "--non-interactive", "--config", "event.yaml"];
    let line = error_line(&desk.thon(&init), 2);
    has(&line, &["event.yaml", "is kept", "--force"]);
    assert_eq!(desk.everything(), before);
}

#[test]
fn replacing_keeps_every_old_file() {
    let desk = Desk::new();
    let init = ["init", "--non-interactive", "--force", "--config", "event.yml"];
    let old = ["groups: {alpha: [ada]}\n", "groups: {beta: [bob]}\n"];
    for text in old {
        desk.file("event.yml", text);
        let loose = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(desk.work().join("event.yml"), loose).unwrap();
        desk.thon(&init).ok();
        desk.thon(&["config", "validate", "--config", "event.yml"]).ok();
    }
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(desk.work()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        if !path.ends_with("event.yml") {
            has(path.to_str().unwrap(), &["event.yml.bak"]);
            kept.push(std::fs::read_to_string(path).unwrap());
        }
    }
    kept.sort();
    assert_eq!(kept, old);
}

#[test]
fn folders_on_the_way_are_made() {
    let desk = Desk::new();
    desk.thon(&["init", "--non-interactive", "--config", "spring/day-1/thon.yaml"]).ok();
    assert_eq!(mode(&desk.work().join("spring/day-1/thon.yaml")), 0o600);
}

#[test]
fn a_folder_in_the_place_of_the_file_is_refused() {
    let desk = Desk::new();
    std::fs::create_dir(desk.work().join("event")).unwrap();
    for more in [[].as_slice(), &["--force"]] {
        let init = [["init", "--non-interactive", "--config", "event"].as_slice(), more].concat();
        let before = desk.everything();
        let said = desk.thon(&init).expect(2);
        has(&said.stderr, &["error: ", "event", "folder"]);
        assert_eq!(desk.everything(), before);
    }
}

#[test]
fn nobody_is_asked_where_nobody_can_answer() {
    let desk = Desk::new();
    let before = desk.everything();
    let line = error_line(&desk.thon(&["init"]), 2);
    has(&line, &["--non-interactive"]);
    assert_eq!(desk.everything(), before);
}

#[test]
fn a_program_learns_where_the_file_is() {
    let desk = Desk::new();
    let said = desk.thon(&["--json", "--quiet", "init", "--non-interactive"]).ok();
    assert_eq!(said.stderr, "");
    assert_eq!(said.json()["path"], desk.thon_home().join("thon.yaml").to_str().unwrap());
}
