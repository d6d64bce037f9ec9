//! What every command says of itself.

use crate::desk::Desk;

/// The commands that `help` lists, without `help` itself.
fn listed(help: &str) -> Vec<String> {
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    commands
        .take_while(|line| !line.is_empty())
        // A name stands two columns in; what is further in goes on with a description.
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|rest| rest.split(' ').next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn walk(desk: &Desk, path: &[&str]) {
    let help = desk.thon(&[path, &["--help"]].concat()).ok();
    assert_eq!(help.stderr, "");
    let name = if path.is_empty() { "thon".to_owned() } else { path.join("-") };
    insta::assert_snapshot!(name, help.stdout);
    for command in listed(&help.stdout) {
        walk(desk, &[path, &[&command]].concat());
    }
}

#[test]
fn every_command_explains_itself() {
    walk(&Desk::new(), &[]);
}

#[test]
fn the_version_is_printed() {
    let said = Desk::new().thon(&["--version"]).ok();
    assert_eq!(said.stdout, format!("thon {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_a_command_the_way_to_an_event_is_shown() {
    let said = Desk::new().thon(&[]).expect(2);
    crate::desk::has(&said.stderr, &["thon init", "thon up", "thon status", "thon down"]);
}

#[test]
fn a_mistyped_command_or_option_is_answered_with_the_likely_one() {
    let desk = Desk::new();
    let said = desk.thon(&["stats"]).expect(2);
    crate::desk::has(&said.stderr, &["error: ", "'stats'", "'status'"]);
    let said = desk.thon(&["run", "--froeground"]).expect(2);
    crate::desk::has(&said.stderr, &["error: ", "'--froeground'", "'--foreground'"]);
    let said = desk.thon(&["run", "--timeout", "0"]).expect(2);
    crate::desk::has(&said.stderr, &["error: ", "'0'", "1..=525600"]);
}

#[test]
fn whoever_closes_the_pipe_is_not_answered_with_a_panic() {
    let desk = Desk::new();
    for args in
        [["--help"].as_slice(), &["--version"], &["config", "show"], &["completions", "zsh"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let said = crate::desk::finish_into(desk.command(args), writer);
        assert_eq!(said, "", "{args:?}");
    }
}
