//! Reading, writing and refusing configurations, as a person with a text editor meets it.

#![allow(clippy::format_collect, reason = "texts for a test may be built the short way")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test may fail")]

use thon_core::config::{Config, ConfigError, ShowSecrets};
use thon_core::name::quoted;
use thon_core::roster::Roster;

const ANCESTOR: &str = include_str!("data/ancestor.yaml");

fn parse(text: &str) -> Config {
    Config::parse(text, "thon.yaml").unwrap_or_else(|error| panic!("{error}")).config
}

#[test]
fn an_empty_file_means_the_defaults() {
    for text in [
        "",
        "\n",
        "# nothing yet\n",
        "---\n",
        "~",
        "groups:\nnginx:\nsandbox:\n",
        "\u{FEFF}demo: no",
    ] {
        assert_eq!(parse(text), Config::default(), "{text:?}");
    }
    let config = Config::default();
    assert_eq!(config.node.as_str(), "thon");
    assert!(config.vscode.secure, "passwords are on");
    assert_eq!(config.dashboard.host, "127.0.0.1");
    assert_eq!(config.lemonade.host, "127.0.0.1");
    assert_eq!(config.sandbox.starting_port.get(), 8443);
    assert_eq!(config.sandbox.host_ports.to_string(), "20000-29999");
    assert_eq!(config.sandbox.limits().to_string(), "2 GiB memory, 2 CPUs, 1024 processes");
    assert_eq!((config.nginx.https_port.get(), config.nginx.http_port.get()), (443, 80));
}

#[test]
fn the_file_of_an_earlier_version_loads_and_its_old_keys_are_explained() {
    let loaded = Config::parse(ANCESTOR, "thon.yaml").unwrap();
    assert_eq!(loaded.config.groups.user_count(), 3);
    assert!(!loaded.config.vscode.secure, "what the file says counts");
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].starts_with("thon.yaml: sandbox.domain: ")
            && warnings[0].contains("DOCKER_HOST")
    );
    assert!(warnings[1].starts_with("thon.yaml: sandbox.api_key: "));
    assert!(!warnings.join("").contains("opensandbox-key-0001"));

    // Whatever stands behind an old key, it is as if the line weren't there.
    assert_eq!(parse("sandbox: {domain: [1, {a: b}]}"), Config::default());
    let old = "gateway: {rate_limit: 500, time_window: 60}\nsandbox: {python_version: 3.12}";
    let warnings = Config::parse(old, "thon.yaml").unwrap().warnings;
    let text: String = warnings.iter().map(|warning| format!("{warning}\n")).collect();
    for part in
        ["gateway.token_limit", "gateway.token_window", "sandbox.python_version", "sandbox.image"]
    {
        assert!(text.contains(part), "{text} lacks {part}");
    }
}

#[test]
fn what_is_written_reads_back() {
    let text = "\
node: blue
external_ip: 2001:db8::7
log_level: warning
groups:
  alpha: [alice, '123', {name: ada, display_name: 'Ada Löwe: #1', email: ada@example.org}]
  beta: {title: 'Team \"Beta\"', users: [no, bob]}
  gamma: []
sandbox: {memory: 512m, cpus: 0.5, host_ports: 21000-22000, network_mode: host, launch_concurrency: 3,
  subnet: 10.201.0.0/20, base_image: 'debian:bookworm', ca_bundle: /etc/ca.crt, timeout_minutes: 90}
nginx: {domain: Hack.Example.org, ssl_provider: certbot, certbot_email: ada@example.org, mode: managed}
lemonade: {llamacpp_bin: /opt/llama-server, llamacpp: {split_mode: row, min_p: 0.05, main_gpu: 1}, api_key: 'k: #1',
  chat_models: [{name: a, checkpoint: 'x:y'}]}
gateway: {model_concurrency: [{model: a, priority: -1}], admin_key: '007'}
auth: {github: {client_secret: \"true\"}}
";
    for config in [parse(text), parse(ANCESTOR), Config::default()] {
        assert_eq!(parse(&config.to_yaml(ShowSecrets::Revealed)), config);
    }
    for milli in ["0.01", "0.1", "0.3", "1.001", "3.999", "1024"] {
        let config = parse(&format!("sandbox: {{cpus: {milli}}}"));
        assert_eq!(config.sandbox.cpus.to_string(), milli);
        assert_eq!(parse(&config.to_yaml(ShowSecrets::Revealed)), config);
    }
    let config = parse(text);
    assert_eq!(config.nginx.domain.as_ref().unwrap().as_str(), "hack.example.org");
    assert_eq!(config.gateway.admin_key.reveal(), "007");

    let mut env = Vec::new();
    for line in config.to_env(ShowSecrets::Revealed).lines() {
        let (name, value) = line.split_once('=').unwrap();
        env.push((name.to_owned(), value.trim_matches('\'').to_owned()));
    }
    let from_env = Config::default().with_env(env).unwrap();
    assert_eq!(from_env.to_env(ShowSecrets::Revealed), config.to_env(ShowSecrets::Revealed));
}

#[test]
fn a_shown_configuration_holds_no_secret_and_its_mask_is_not_taken_for_one() {
    let config = parse("auth: {session_secret: hunter2}\nlemonade: {admin_api_key: hunter2}\n");
    let shown = format!(
        "{}{}{:?}",
        config.to_yaml(ShowSecrets::Masked),
        serde_json::to_string(&config).unwrap(),
        config
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(config.to_yaml(ShowSecrets::Revealed).contains("hunter2"));
    let masked = Config::parse(&config.to_yaml(ShowSecrets::Masked), "thon.yaml");
    let error = masked.unwrap_err().to_string();
    assert!(error.contains("lemonade.admin_api_key") && error.contains("mask"), "{error}");
}

#[test]
fn values_are_read_as_people_write_them() {
    let config = parse(
        "vscode: {secure: off}\ndashboard: {port: '9000'}\nsandbox: {pids: \"256\", memory: 2147483648}",
    );
    assert!(!config.vscode.secure);
    assert_eq!(config.dashboard.port.get(), 9000);
    assert_eq!(config.sandbox.limits().to_string(), "2 GiB memory, 2 CPUs, 256 processes");
    assert_eq!(parse("lemonade: {model: 1.10}").lemonade.model, "1.10");
}

#[test]
fn rosters_are_read_in_every_form_wherever_they_stand() {
    let groups = "\
groups:
  alpha: [alice, 123, no, {name: ada, display_name: Ada Lovelace, email: ada@example.org}]
  beta:
    title: Team Beta
    users:
    - username: bob
      display: Bob
    - \"007\"
  gamma:
  delta: {users: }
  2026: [alice]
";
    let from_config = Config::parse(groups, "thon.yaml").unwrap();
    let file =
        Roster::parse_groups_file(&format!("event_id: ev-1\ntitle: 2026\n{groups}"), "groups.yaml")
            .unwrap();
    assert_eq!(from_config.config.groups, file.roster);
    assert_eq!((file.event_id.as_deref(), file.title.as_deref()), (Some("ev-1"), Some("2026")));

    let names: Vec<String> = file.roster.users().map(|(id, _)| id.to_string()).collect();
    let expected =
        ["alpha/alice", "alpha/123", "alpha/no", "alpha/ada", "beta/bob", "beta/007", "2026/alice"];
    assert_eq!(names, expected);
    let ada = file.roster.user(&"alpha/ada".parse().unwrap()).unwrap();
    assert_eq!((ada.shown(), ada.email.as_deref()), ("Ada Lovelace", Some("ada@example.org")));
    assert_eq!(file.roster.groups()[1].title.as_deref(), Some("Team Beta"));
    let warnings: Vec<String> = file.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "groups.yaml: groups.gamma: this group has no users yet",
            "groups.yaml: groups.delta: this group has no users yet"
        ]
    );
}

#[test]
fn the_table_of_keys_is_complete_and_every_variable_stands_for_one_key() {
    let keys = Config::keys();
    let mut variables: Vec<&str> = keys.iter().filter_map(|key| key.env.as_deref()).collect();
    variables.sort_unstable();
    let count = variables.len();
    variables.dedup();
    assert_eq!(variables.len(), count, "two keys share a variable");
    for variable in [
        "EXTERNAL_IP",
        "THON_LOG_LEVEL",
        "THON_NODE",
        "SANDBOX_IMAGE",
        "THON_SECURE",
        "THON_VSCODE_SETTINGS",
        "THON_DOMAIN",
        "THON_SSL_PROVIDER",
        "THON_CERTBOT_EMAIL",
        "THON_WORKSPACE_DIR",
        "LEMONADE_HOST",
        "LEMONADE_PORT",
        "LEMONADE_API_KEY",
        "LEMONADE_ADMIN_API_KEY",
        "THON_KILO_CONFIG",
        "GATEWAY_ENABLED",
        "GATEWAY_MODE",
        "GATEWAY_RATE_LIMIT_SCOPE",
        "GATEWAY_ADMIN_KEY",
        "GATEWAY_REDIS_HOST",
        "GATEWAY_REDIS_PORT",
        "GATEWAY_CONCURRENCY_LIMIT",
        "GATEWAY_TOKEN_LIMIT",
        "GATEWAY_TOKEN_WINDOW",
        "LANGFUSE_ENABLED",
        "LANGFUSE_PUBLIC_KEY",
        "LANGFUSE_SECRET_KEY",
        "LANGFUSE_BASEURL",
        "DASHBOARD_HOST",
        "DASHBOARD_PORT",
        "DASHBOARD_DEBUG",
        "AUTH_ENABLED",
        "AUTH_SESSION_SECRET",
        "AUTH_GITHUB_CLIENT_ID",
        "AUTH_LINKEDIN_CLIENT_SECRET",
    ] {
        assert!(variables.contains(&variable), "{variable}");
    }
    let key =
        |path: &str| keys.iter().find(|key| key.path == path).unwrap_or_else(|| panic!("{path}"));
    assert_eq!(key("sandbox.memory").default, "2 GiB");
    assert_eq!(key("sandbox.memory").allowed, "at least 64m");
    assert!(key("auth.gitlab.client_secret").secret && !key("auth.gitlab.client_id").secret);
    assert_eq!(key("lemonade.chat_models[].context").default, "262144");
    assert_eq!(key("groups").meaning, "The participants by group.");
    assert!(keys.iter().all(|key| key.meaning.ends_with('.') && !key.allowed.is_empty()));
}

#[test]
fn ten_thousand_users_are_read_whole_and_in_order() {
    let users: String = (0..10_000)
        .map(|number| format!("  - {{name: user-{number}, email: user-{number}@example.org}}\n"))
        .collect();
    let roster = Roster::parse_groups_file(&format!("groups:\n  all:\n{users}"), "groups.yaml")
        .unwrap()
        .roster;
    assert_eq!(roster.user_count(), 10_000);
    assert_eq!(roster.users().nth(9_999).unwrap().0.to_string(), "all/user-9999");
    let everybody: Vec<String> = roster.users().map(|(id, _)| id.to_string()).collect();
    assert_eq!(roster.select::<&str, _>(&[], &everybody).unwrap(), roster);
}

#[test]
fn every_refusal_is_bad_input_of_its_own_kind() {
    assert!(matches!(Config::parse("x: 1", "t"), Err(ConfigError::File { position: Some(_), .. })));
    let env = [("THON_NODE".to_owned(), "A".to_owned())];
    assert!(matches!(Config::default().with_env(env), Err(ConfigError::Variable { .. })));
    let nobody = Roster::demo().select::<_, &str>(&["x"], &[]);
    assert!(matches!(nobody, Err(ConfigError::Unknown { what: "group", .. })));
}

mod properties {
    use proptest::prelude::*;
    use thon_core::name::UserId;
    use thon_core::roster::User;

    use super::*;

    /// Slugs, and among them everything that YAML would rather take for something else.
    fn slug() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?",
            1 => prop::sample::select(vec!["true", "null", "no", "1e3", "0x10", "007", "0o17", "123", "y"])
                .prop_map(str::to_owned),
        ]
    }

    fn user() -> impl Strategy<Value = (String, Option<String>, Option<String>)> {
        let display = proptest::option::of(
            "[ -~à-ÿ]{1,30}".prop_filter("blank", |text| !text.trim().is_empty()),
        );
        (slug(), display, proptest::option::of("[a-z.+]{1,8}@[a-z]{1,8}\\.org"))
    }

    proptest! {
        #[test]
        fn a_roster_that_is_written_reads_back(entries in prop::collection::vec((slug(), user()), 0..20)) {
            let mut config = Config::default();
            for (group, (name, display, email)) in entries {
                let id: UserId = format!("{group}/{name}").parse().unwrap();
                let display = display.map(|text| text.trim().to_owned());
                let _twice = config.groups.add(id.group, User { name: id.user, display, email });
            }
            let text = config.to_yaml(ShowSecrets::Masked);
            prop_assert_eq!(&parse(&text).groups, &config.groups, "{}", text);
            prop_assert_eq!(&parse(&config.to_template()).groups, &config.groups);
        }

        #[test]
        fn whatever_is_read_answers_in_one_line(text in "[ -~\\n\\t\\r\u{0}\u{85}\u{2028}é🦀]{0,80}") {
            for text in [text.clone(), format!("groups:\n  a: [{text}]"), format!("nginx: {{domain: {text}}}")] {
                if let Err(error) = Config::parse(&text, "thon.yaml") {
                    let line = error.to_string();
                    prop_assert!(!line.chars().any(|c| c.is_control() || c == '\u{2028}'), "{:?}", line);
                }
            }
        }

        #[test]
        fn a_user_name_is_kept_as_written_or_refused(text in "[ -~é🦀]{1,40}") {
            let yaml = format!("groups: {{a: ['{}']}}", text.replace('\'', "''"));
            match Config::parse(&yaml, "thon.yaml") {
                Ok(loaded) => prop_assert_eq!(loaded.config.groups.users().next().unwrap().1.name.as_str(), text),
                Err(error) => prop_assert!(error.to_string().contains(&quoted(&text)), "{}", error),
            }
        }
    }
}
