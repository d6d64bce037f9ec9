//! `thon config`: the configuration as it is used.

use crate::desk::{Desk, error_line, has, mode};

const EVENT: &str = "\
node: spring
groups:
  alpha: [ada, bob]
  beta: [carol]
nginx:
  domain: file.example.org
lemonade:
  api_key: key-in-the-file
";

/// One value of `thon config show`, found by its path.
#[track_caller]
fn shown(desk: &Desk, env: &[(&str, &str)], args: &[&str], pointer: &str) -> serde_json::Value {
    let said = desk.with(env, &[&["--json", "config", "show"], args].concat()).ok();
    assert_eq!(said.stderr, "");
    said.json().pointer(pointer).unwrap_or_else(|| panic!("{pointer}: {said:?}")).clone()
}

#[test]
fn the_file_the_environment_and_the_defaults_come_together_in_this_order() {
    let desk = Desk::new();
    let args = ["--config", desk.file("event.yaml", EVENT)];
    for (pointer, env, expected) in [
        // The default, where nothing else is given.
        ("/sandbox/image", "", "waterpistol/thon:latest"),
        ("/sandbox/image", "SANDBOX_IMAGE=example/thon:7", "example/thon:7"),
        // The file before the default, the environment before the file.
        ("/nginx/domain", "", "file.example.org"),
        ("/nginx/domain", "THON_DOMAIN=env.example.org", "env.example.org"),
        ("/node", "THON_NODE=autumn", "autumn"),
        // An empty variable counts as none.
        ("/node", "THON_NODE=", "spring"),
    ] {
        let env: Vec<_> = env.split_once('=').into_iter().collect();
        assert_eq!(shown(&desk, &env, &args, pointer), expected, "{pointer} {env:?}");
    }
}

#[test]
fn files_are_looked_for_in_order() {
    let desk = Desk::new();
    for (folder, node) in [("work", "here"), ("thon", "folder"), ("home/.thon", "usual")] {
        let folder = desk.work().parent().unwrap().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("thon.yaml"), format!("node: {node}\n")).unwrap();
    }
    desk.file("named.yaml", "node: named\n");
    desk.file("option.yaml", "node: option\n");

    let named = ("THON_CONFIG", "named.yaml");
    assert_eq!(shown(&desk, &[named], &["--config", "option.yaml"], "/node"), "option");
    assert_eq!(shown(&desk, &[named], &[], "/node"), "named");
    assert_eq!(shown(&desk, &[], &[], "/node"), "folder");
    assert_eq!(shown(&desk, &[("THON_HOME", "")], &[], "/node"), "usual");
    assert_eq!(shown(&desk, &[("THON_HOME", "/nowhere")], &[], "/node"), "here");

    let path = |env: &[(&str, &str)]| desk.with(env, &["config", "path"]).ok().stdout;
    assert_eq!(path(&[named]), "named.yaml\n");
    assert_eq!(path(&[]), format!("{}\n", desk.thon_home().join("thon.yaml").display()));
    assert_eq!(path(&[("THON_HOME", "/nowhere")]), "thon.yaml\n");
}

#[test]
fn where_there_is_no_file_the_way_to_one_is_said() {
    let desk = Desk::new();
    let line = error_line(&desk.thon(&["config", "path"]), 2);
    has(&line, &[desk.thon_home().join("thon.yaml").to_str().unwrap(), "thon init"]);
    let line = error_line(&desk.thon(&["config", "show", "--config", "lost.yaml"]), 2);
    has(&line, &["--config \"lost.yaml\"", "thon init"]);
}

#[test]
fn a_file_may_come_through_a_pipe() {
    let desk = Desk::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, EVENT.as_bytes()).unwrap();
    drop(writer);
    let mut command = desk.command(&["config", "validate", "--config", "/dev/stdin"]);
    let said = crate::desk::finish(command.stdin(reader)).ok();
    has(&said.stdout, &["valid: 2 groups, 3 users"]);
}

#[test]
fn secrets_are_shown_only_when_asked_for() {
    let desk = Desk::new();
    desk.file("event.yaml", EVENT);
    let env = [("THON_CONFIG", "event.yaml"), ("AUTH_SESSION_SECRET", "key-in-the-environment")];
    let keys = ["key-in-the-file", "key-in-the-environment"];
    for args in [
        ["config", "show"].as_slice(),
        &["--json", "config", "show"],
        &["config", "env"],
        &["-vv", "config", "validate"],
        &["--json", "config", "validate"],
    ] {
        let masked = desk.with(&env, args);
        for key in keys {
            let said = format!("{}{}", masked.stdout, masked.stderr);
            assert!(!said.contains(key), "{args:?}: {said}");
        }
    }
    for args in [["config", "show"].as_slice(), &["--json", "config", "show"], &["config", "env"]] {
        let args = [args, &["--show-secrets"]].concat();
        has(&desk.with(&env, &args).ok().stdout, &keys);
    }
}

#[test]
fn a_file_for_the_environment_is_private_and_gives_the_same_configuration() {
    let desk = Desk::new();
    desk.file("event.yaml", EVENT.replace("key-in-the-file", "'it''s $HOME \"`id`\" \\'"));
    let config = ["--config", "event.yaml"];
    let write = ["config", "env", "--output", "event.env"];
    let said = desk.thon(&[write.as_slice(), &config].concat()).ok();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", "wrote event.env\n"));
    assert_eq!(mode(&desk.work().join("event.env")), 0o600);

    // What a shell reads from the file, in the place of the configuration; all but the roster, which
    // no variable can hold.
    let show = "set -a; . ./event.env; \"$0\" --json config show --show-secrets";
    let mut shell = desk.command(&[]);
    let mut command = std::process::Command::new("sh");
    command.env_clear().envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(desk.work()).arg("-c").arg(show).arg(shell.get_program());
    let from_env = crate::desk::finish(&mut command).ok().json();
    shell.args(config).args(["--json", "config", "show", "--show-secrets"]);
    let mut from_file = crate::desk::finish(&mut shell).ok().json();
    assert_eq!(from_file["groups"]["beta"], serde_json::json!(["carol"]));
    from_file["groups"] = serde_json::json!({});
    assert_eq!(from_env, from_file);
}

#[test]
fn an_unknown_key_is_answered_with_the_likely_one() {
    let desk = Desk::new();
    for (text, parts) in [
        ("sanbox: {}\n", ["event.yaml:1:1: ", "\"sanbox\"", "did you mean `sandbox`?"]),
        (
            "sandbox:\n  imge: a\n",
            ["event.yaml:2:3: sandbox: ", "\"imge\"", "did you mean `image`?"],
        ),
        (
            "nginx: {htps_port: 1}\n",
            ["event.yaml:1:9: nginx: ", "\"htps_port\"", "did you mean `https_port`?"],
        ),
        ("nginx: {zzz: 1}\n", ["event.yaml:1:9: nginx: ", "\"zzz\"", "known are `enabled`"]),
    ] {
        desk.file("event.yaml", text);
        for command in [["config", "show"], ["config", "validate"], ["config", "env"]] {
            let said = desk.thon(&[command.as_slice(), &["--config", "event.yaml"]].concat());
            has(&error_line(&said, 2), &parts);
        }
    }
}

#[test]
fn an_older_file_loads_and_what_changed_is_said() {
    let desk = Desk::new();
    desk.file("old.yaml", "sandbox: {domain: localhost:8080, api_key: hush}\ngroups: {a: [b]}\n");
    let validate = ["config", "validate", "--config", "old.yaml"];
    let said = desk.thon(&validate).ok();
    let warnings: Vec<&str> = said.stderr.lines().collect();
    assert_eq!(warnings.len(), 2, "{said:?}");
    has(warnings[0], &["warning: ", "old.yaml: sandbox.domain", "DOCKER_HOST"]);
    has(warnings[1], &["warning: ", "old.yaml: sandbox.api_key", "remove the line"]);
    assert!(!said.stderr.contains("hush"), "{said:?}");

    assert_eq!(desk.thon(&[&["--quiet"], validate.as_slice()].concat()).ok().stderr, "");
    let json = desk.thon(&[&["--json", "--quiet"], validate.as_slice()].concat()).ok().json();
    assert_eq!((&json["valid"], json["warnings"].as_array().unwrap().len()), (&true.into(), 2));
}

#[test]
fn a_value_that_is_not_allowed_is_refused_wherever_it_comes_from() {
    let desk = Desk::new();
    desk.file("event.yaml", "dashboard:\n  port: 70000\n");
    let line = error_line(&desk.thon(&["config", "show", "--config", "event.yaml"]), 2);
    has(&line, &["event.yaml:2:9: dashboard.port: ", "\"70000\"", "1 to 65535"]);
    let line = error_line(&desk.with(&[("DASHBOARD_PORT", "70000")], &["config", "show"]), 2);
    has(&line, &["DASHBOARD_PORT", "dashboard.port", "\"70000\"", "1 to 65535"]);
}

#[test]
fn keys_that_contradict_each_other_are_found() {
    let desk = Desk::new();
    desk.file("event.yaml", "groups: {a: [b]}\nworkspace: {dir: /srv/work, ephemeral: true}\n");
    let validate = ["config", "validate", "--config", "event.yaml"];
    has(&error_line(&desk.thon(&validate), 2), &["workspace.ephemeral", "remove one of the two"]);
    let json = desk.thon(&[&["--json"], validate.as_slice()].concat()).expect(2).json();
    assert_eq!(json["valid"], false);
    assert_eq!(json["problems"][0]["key"], "workspace.ephemeral");
    // What is asked for on the command line counts as well.
    desk.file("event.yaml", "groups: {a: [b]}\nworkspace: {ephemeral: true}\n");
    let said = desk.thon(&["run", "--config", "event.yaml", "--workspace-dir", "/srv/work"]);
    has(&error_line(&said, 2), &["workspace.ephemeral"]);
}

#[test]
fn a_file_that_cannot_be_written_is_a_failure_of_the_world() {
    let desk = Desk::new();
    let line = error_line(&desk.thon(&["config", "env", "--output", "nowhere/x.env"]), 1);
    has(&line, &["nowhere/x.env", "make the folder first"]);
}
