//! What an organizer gives everyone: Kilo Code's configuration and VS Code's settings, in real
//! sandboxes.

use serde_json::{Value, json};

use crate::api::serve;
use crate::desk::{Desk, error_line, has};
use crate::stage::Stage;
use crate::support::{docker, exec, exec_as_user};

/// A configuration that names a model, and each user.
const KILO: &str = r#"{
    // for everyone
    "model": "lemonade/user.tiny",
    "provider": {"lemonade": {
        "models": {"user.tiny": {"limit": {"context": 8192, "output": 128}}},
        "options": {"baseURL": "http://models.example:13305/v1", "apiKey": "hunter2-of-everyone"},
    }},
    "username": "$THON_USERNAME <$THON_USER_EMAIL> in $WORKSPACE",
}"#;

const PLACE: &str = "/home/vscode/.config/kilo/config.json";

/// What Kilo itself makes of its configuration, run by the participant.
fn resolved(container: &str) -> Value {
    let said = exec_as_user(container, &["kilo", "debug", "config"]).ok().stdout;
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn kilo_finds_what_thon_yaml_names_with_each_user_s_own_in_it() {
    let groups = "alpha: [{name: ada, email: ada@example.org}, bob]";
    let stage = Stage::new(groups);
    let file = stage.folder().join("kilo.jsonc");
    std::fs::write(&file, KILO).unwrap();
    let text = stage.config_text(groups);
    stage.write_config(&format!("{text}kilo:\n  config_file: {}\n", file.display()));
    let all = stage.run();
    for (user, words) in [
        ("ada", "ada <ada@example.org> in /workspace"),
        ("bob", "bob <bob@thon.local> in /workspace"),
    ] {
        let one = all.iter().find(|one| one.user == user).unwrap();
        let config = resolved(one.container());
        assert_eq!(config["username"], words);
        assert_eq!(config["model"], "lemonade/user.tiny");
        let options = &config["provider"]["lemonade"]["options"];
        assert_eq!(options["baseURL"], "http://models.example:13305/v1");
        let rights = exec(one.container(), &["stat", "--format", "%a %U", PLACE]);
        assert_eq!(rights, "600 vscode", "a key is in it");
        let inspected = docker(&["container", "inspect", one.container()]);
        assert!(
            !inspected.contains("hunter2"),
            "a key is where everyone who may ask Docker sees it"
        );
    }
    assert!(!stage.thon(&["status", "--json"]).ok().stdout.contains("hunter2"));
}

#[test]
fn kilo_is_led_to_a_model_server_that_is_there_already() {
    let groups = "alpha: [ada]";
    let stage = Stage::new(groups);
    let text = stage.config_text(groups);
    stage.write_config(&format!(
        "{text}lemonade:\n  enabled: true\n  url: http://192.0.2.7:13305/v1\n  api_key: hunter2-of-all\n  \
         model_name: tiny\n  ctx_size_per_user: 8192\n  chat_models: []\n  \
         embedding_model_name: small\n  embedding_dimensions: 64\nkilo:\n  chat_model: tiny\n"
    ));
    let ada = &stage.run()[0];
    let config = resolved(ada.container());
    assert_eq!(config["model"], "lemonade/tiny");
    let provider = &config["provider"]["lemonade"];
    assert_eq!(provider["options"]["baseURL"], "http://192.0.2.7:13305/v1");
    assert_eq!(provider["models"]["tiny"]["limit"]["context"], 8192);
    let indexing = &config["indexing"];
    assert_eq!((&indexing["model"], &indexing["dimension"]), (&json!("small"), &json!(64)));
}

#[test]
fn what_is_stored_over_the_api_is_in_the_sandboxes_that_are_made_then() {
    let stage = Stage::new("alpha: [ada]");
    let served = serve(&stage);
    let put = |key: &str, content: &str| {
        let path = format!("/api/config-files/{key}");
        served.call("PUT", &path, &json!({ "content": content })).expect(200);
    };
    put("kilo_jsonc", KILO);
    put("vscode_settings", "{\"editor.fontSize\": 19, // larger\n}");
    let launch = json!({"instance_ids": ["alpha_ada"]});
    served.work("POST", "/api/instances/bulk/launch", &launch);
    let ada = stage.instance("alpha", "ada");
    assert_eq!(resolved(ada.container())["model"], "lemonade/user.tiny");
    let settings = "/home/vscode/.local/share/code-server/User/settings.json";
    has(&exec(ada.container(), &["cat", settings]), &["editor.fontSize", "19"]);

    // The command line goes by the same files.
    served.work("DELETE", "/api/instances/alpha_ada", &json!({}));
    put("kilo_jsonc", &KILO.replace("user.tiny", "user.other"));
    let ada = &stage.run()[0];
    assert_eq!(resolved(ada.container())["model"], "lemonade/user.other");
}

#[test]
fn a_file_that_is_not_there_or_none_is_named() {
    let desk = Desk::new();
    desk.file("thon.yaml", "groups: {alpha: [ada]}\nkilo: {config_file: kilo.jsonc}\n");
    let missing = error_line(&desk.thon(&["run", "--dry-run"]), 2);
    has(&missing, &["kilo.config_file kilo.jsonc", "No such file"]);
    desk.file("kilo.jsonc", "{\"apiKey\": \"hunter2\"");
    let broken = error_line(&desk.thon(&["run", "--dry-run"]), 2);
    has(&broken, &["kilo.config_file kilo.jsonc", "line 1"]);
    assert!(!broken.contains("hunter2"));
}
