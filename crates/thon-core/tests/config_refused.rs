//! What is refused, and the one line that says so.

#![allow(clippy::format_collect, reason = "texts for a test may be built the short way")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test may fail")]

use thon_core::config::Config;
use thon_core::name::quoted;

fn refusal(text: &str) -> String {
    let error = Config::parse(text, "thon.yaml").expect_err(text);
    let line = error.to_string();
    assert!(!line.chars().any(char::is_control), "not one line: {line:?}");
    assert!(line.starts_with("thon.yaml:"), "the file is not named: {line}");
    assert!(line.len() < 1000, "too long: {line}");
    line
}

/// Each text with the place of the refusal and what its line must name: the value and what is
/// allowed.
const REFUSED: &[(&str, &str, &[&str])] = &[
    // Keys.
    ("sanbox: {}", ":1:1: ", &["unknown key \"sanbox\"", "did you mean `sandbox`?"]),
    ("sandbox:\n  imge: x", ":2:3: sandbox: ", &["\"imge\"", "did you mean `image`?"]),
    ("nginx: {kubernetes: 1}", ":1:9: nginx: ", &["\"kubernetes\"", "`enabled`"]),
    ("\"a\\nb\": 1", ":1:1: ", &["unknown key \"a\\nb\""]),
    ("demo: true\ndemo: false", ":2:1: ", &["key `demo` is given twice, first in line 1"]),
    (
        "auth:\n  github: {client_id: a, client_id: b}",
        ":2:26: auth.github: ",
        &["`client_id` is given twice, first in line 2"],
    ),
    (
        "lemonade: {chat_models: [{name: a}]}",
        ":1:26: lemonade.chat_models[0]: ",
        &["`checkpoint` is missing"],
    ),
    // Values.
    ("dashboard:\n  port: 70000", ":2:9: dashboard.port: ", &["\"70000\"", "1 to 65535"]),
    ("dashboard: {port: 0}", "dashboard.port", &["\"0\"", "1 to 65535"]),
    ("dashboard: {port: eighty}", "dashboard.port", &["\"eighty\"", "1 to 65535"]),
    ("dashboard: {port: }", "dashboard.port", &["nothing is given", "1 to 65535"]),
    ("dashboard: {host: 'a b'}", "dashboard.host", &["\"a b\"", "host name"]),
    ("demo: maybe", ":1:7: demo: ", &["\"maybe\"", "true or false"]),
    ("demo: [true]", "demo: ", &["a list is not allowed", "true or false"]),
    ("log_level: LOUD", "log_level: ", &["\"LOUD\"", "INFO", "DEBUG"]),
    ("external_ip: 1.2.3", "external_ip: ", &["\"1.2.3\"", "IP address"]),
    ("node: My Node", "node: ", &["\"My Node\"", "lower-case", "try `my-node`"]),
    ("nginx: {mode: apache}", "nginx.mode", &["\"apache\"", "auto, system, managed"]),
    ("nginx: {layout: tree}", "nginx.layout", &["\"tree\"", "path, port, subdomain"]),
    ("nginx: {domain: 'x; return 200'}", "nginx.domain", &["\"x; return 200\"", "DNS name"]),
    ("nginx: {domain: 203.0.113.7}", "nginx.domain", &["\"203.0.113.7\"", "external_ip"]),
    ("nginx: {certbot_email: ada}", "nginx.certbot_email", &["\"ada\"", "e-mail"]),
    ("nginx: {ssl_dir: \"/a\\nb\"}", "nginx.ssl_dir", &["\"/a\\nb\"", "line breaks"]),
    ("nginx: yes please", "nginx: ", &["a text is not allowed", "keys"]),
    ("nginx: 5", ":1:8: nginx: ", &["integer `5`", "keys"]),
    ("nginx: [a]", ":1:8: nginx: ", &["a list", "keys"]),
    ("sandbox: {image: 'x y'}", "sandbox.image", &["\"x y\"", "image reference"]),
    ("sandbox: {host_ports: 20000}", "sandbox.host_ports", &["\"20000\"", "20000-29999"]),
    ("sandbox: {host_ports: 300-200}", "sandbox.host_ports", &["\"300-200\"", "lower one first"]),
    ("sandbox: {memory: lots}", "sandbox.memory", &["\"lots\"", "2GiB"]),
    ("sandbox: {disk: 1m}", "sandbox.disk", &["\"1m\"", "at least 64m"]),
    ("sandbox: {memory: 1k}", "sandbox.memory", &["\"1k\"", "at least 64m"]),
    ("sandbox: {cpus: -1}", "sandbox.cpus", &["\"-1\"", "0.5"]),
    ("sandbox: {cpus: 0}", "sandbox.cpus", &["\"0\"", "0.01 to 1024"]),
    ("sandbox: {pids: 1}", "sandbox.pids", &["\"1\"", "64 to 4194304"]),
    ("sandbox: {timeout_minutes: -5}", "sandbox.timeout_minutes", &["\"-5\"", "whole number"]),
    (
        "sandbox: {ready_timeout_seconds: 0}",
        "sandbox.ready_timeout_seconds",
        &["\"0\"", "1 to 3600"],
    ),
    ("sandbox: {subnet: 10.0.0.1/20}", "sandbox.subnet", &["\"10.0.0.1/20\"", "10.0.0.0/20"]),
    ("sandbox: {subnet: 10.0.0.0/31}", "sandbox.subnet", &["\"10.0.0.0/31\"", "/8 to /29"]),
    ("sandbox: {launch_concurrency: many}", "sandbox.launch_concurrency", &["\"many\"", "auto"]),
    ("sandbox: {network_mode: none}", "sandbox.network_mode", &["\"none\"", "bridge, host"]),
    ("gateway: {concurrency_limit: -1}", "gateway.concurrency_limit", &["\"-1\"", "whole number"]),
    ("gateway: {model_concurrency: {a: 1}}", "gateway.model_concurrency", &["a mapping", "a list"]),
    ("lemonade: {llamacpp: {ctk: q9}}", "lemonade.llamacpp.ctk", &["\"q9\"", "q8_0"]),
    ("lemonade: {llamacpp: {min_p: 2}}", "lemonade.llamacpp.min_p", &["\"2\"", "0 to 1"]),
    ("lemonade: {llamacpp: {min_p: .nan}}", "lemonade.llamacpp.min_p", &["\".nan\"", "number"]),
    ("langfuse: {base_url: 'javascript:x'}", "langfuse.base_url", &["\"javascript:x\"", "https"]),
    // The text as a whole.
    ("log_level: INFO: x", ":1:", &["no valid YAML"]),
    ("groups:\n\talpha: [a]", ":2:1: ", &["no valid YAML", "tab"]),
    ("demo: \"\0\"", ":1:8: ", &["control character", "u{0}", "remove it"]),
    ("groups:\n  a: [b\u{1b}c]", ":2:8: ", &["control character", "u{1b}"]),
    ("- a\n- b", ":1:1: ", &["a list is not allowed"]),
    ("hello", ":1:1: ", &["a text is not allowed"]),
    ("demo: true\n---\ndemo: false", "", &["more than one document"]),
    ("demo: !!python/object:os.system x", "", &["\"x\"", "true or false"]),
    ("demo: *nowhere", ":1:", &["unknown anchor"]),
    // Rosters.
    ("groups: [alice]", ":1:9: groups: ", &["a list is not allowed", "alpha: [alice, bob]"]),
    ("groups: alice", ":1:9: groups: ", &["\"alice\"", "alpha: [alice, bob]"]),
    ("groups: {alpha: alice}", ":1:17: groups.alpha: ", &["\"alice\"", "[alice, bob]"]),
    ("groups: {alpha: 5}", ":1:17: groups.alpha: ", &["integer `5`", "[alice, bob]"]),
    ("groups: {alpha: {users: alice}}", "groups.alpha.users: ", &["\"alice\"", "[alice, bob]"]),
    (
        "groups: {alpha: {user: [alice]}}",
        "groups.alpha",
        &["unknown key \"user\"", "did you mean `users`?"],
    ),
    ("groups: {alpha: [[alice]]}", "groups.alpha[0]: ", &["a list is not allowed", "a user name"]),
    (
        "groups:\n  alpha:\n  - alice\n  - ../etc",
        ":4:5: groups.alpha[1]: ",
        &["\"../etc\"", "a-z", "try `etc`"],
    ),
    (
        "groups: {alpha: [alice, $(id)]}",
        ":1:25: groups.alpha[1]: ",
        &["\"$(id)\"", "a-z", "try `id`"],
    ),
    ("groups: {alpha: ['`id`']}", "groups.alpha[0]: ", &["\"`id`\"", "a-z"]),
    (
        "groups: {alpha: [\"o'brien\\\"\"]}",
        "groups.alpha[0]: ",
        &["\"o\\'brien\\\"\"", "try `o-brien`"],
    ),
    ("groups: {alpha: [\"a\\nb\"]}", "groups.alpha[0]: ", &["\"a\\nb\"", "try `a-b`"]),
    ("groups: {alpha: [|\n  x]}", ":", &["no valid YAML"]),
    (
        "groups:\n  alpha:\n    - |\n      a\n      b\n",
        ":3:7: groups.alpha[0]: ",
        &["\"a\\nb\\n\""],
    ),
    ("groups: {alpha: [🦀]}", "groups.alpha[0]: ", &["\"🦀\"", "a-z"]),
    ("groups: {alpha: [\"a\\u202Eb\"]}", "groups.alpha[0]: ", &["\"a\\u{202e}b\"", "a-z"]),
    ("groups: {alpha: [Alice]}", "groups.alpha[0]: ", &["\"Alice\"", "try `alice`"]),
    (
        "groups: {alpha: [Ada Lovelace]}",
        "groups.alpha[0]: ",
        &["\"Ada Lovelace\"", "try `ada-lovelace`"],
    ),
    ("groups: {alpha: ['']}", "groups.alpha[0]: ", &["\"\"", "empty"]),
    ("groups: {alpha: [true]}", "groups.alpha[0]: ", &["\"true\"", "quote it"]),
    ("groups: {alpha: [~]}", "groups.alpha[0]: ", &["missing", "a-z"]),
    ("groups: {alpha: [alice, ]}\ngroups: {}", ":2:1: ", &["key `groups` is given twice"]),
    ("groups: {alpha: [-5]}", "groups.alpha[0]: ", &["-5", "quote it"]),
    ("groups: {alpha: [1.5]}", "groups.alpha[0]: ", &["1.5", "quote it"]),
    ("groups: {alpha: [0x10]}", "groups.alpha[0]: ", &["16", "quote it"]),
    ("groups: {true: [a]}", ":1:10: groups: ", &["\"true\"", "quote it"]),
    ("groups: {A Team: [a]}", ":1:10: groups: ", &["\"A Team\"", "try `a-team`"]),
    ("groups: {? [a] : [b]}", "groups: ", &["a list is not allowed", "name of a group"]),
    ("groups:\n  alpha: [alice]\n  alpha: [bob]", ":3:3: groups: ", &["\"alpha\"", "in line 2"]),
    (
        "groups:\n  alpha:\n  - alice\n  - name: alice",
        ":4:11: groups.alpha[1].name: ",
        &["\"alice\"", "twice", "in line 3", "[0]"],
    ),
    ("groups: {alpha: [7, 7]}", "groups.alpha[1]: ", &["\"7\"", "twice", "[0]"]),
    ("groups: {alpha: [{email: a@b.c}]}", ":1:18: groups.alpha[0]: ", &["`name` is missing"]),
    (
        "groups: {alpha: [{name: Ada Lovelace}]}",
        ":1:25: groups.alpha[0].name: ",
        &["\"Ada Lovelace\"", "try `ada-lovelace`"],
    ),
    ("groups: {alpha: [{name: a, username: b}]}", "groups.alpha[0].username: ", &["the same"]),
    ("groups: {alpha: [{name: a, name: b}]}", "groups.alpha[0]: ", &["given twice"]),
    (
        "groups: {alpha: [{name: a, emial: x@y}]}",
        "groups.alpha[0]: ",
        &["\"emial\"", "did you mean `email`?"],
    ),
    (
        "groups: {alpha: [{name: a, email: 'a b@c'}]}",
        "groups.alpha[0].email: ",
        &["\"a b@c\"", "e-mail"],
    ),
    (
        "groups: {alpha: [{name: a, email: \"a@b\\r\\nBcc: x\"}]}",
        "groups.alpha[0].email: ",
        &["\\r\\n", "e-mail"],
    ),
    (
        "groups: {alpha: [{name: a, display_name: \"A\\e[31m\"}]}",
        "groups.alpha[0].display_name: ",
        &["\\u{1b}", "one line of text"],
    ),
    ("groups: {alpha: &a [*a]}", "groups.alpha[0]", &["a list is not allowed", "user name"]),
];

#[test]
fn each_mistake_is_refused_in_one_line_with_place_value_and_what_is_allowed() {
    let mut misses = Vec::new();
    for (text, place, parts) in REFUSED {
        let line = refusal(text);
        for part in [place].into_iter().chain(*parts) {
            if !line.contains(part) {
                misses.push(format!("{text:?}\n  says  {line}\n  lacks {part}"));
            }
        }
    }
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn endless_names_are_cut_in_the_error() {
    let name = "x".repeat(300);
    let line = refusal(&format!("groups: {{alpha: [{name}]}}"));
    assert!(line.contains("(300 characters)") && line.contains("1 to 32 characters"), "{line}");
    let line = refusal(&format!("{name}: 1"));
    assert!(line.contains(&quoted(&name)), "{line}");
    refusal(&format!("nginx: {{ssl_dir: /{}}}", "x".repeat(5000)));
}

#[test]
fn texts_made_to_hurt_are_refused_at_once() {
    let laughs: String = (1..10)
        .map(|level| {
            format!("  g{level}: &l{level} [{}]\n", vec![format!("*l{}", level - 1); 9].join(", "))
        })
        .collect();
    let many: Vec<String> = (0..9_000).map(|number| format!("u{number}")).collect();
    let shared: String = (0..9_000).map(|number| format!("  h{number}: *g\n")).collect();
    let named: Vec<String> =
        (0..100).map(|number| format!("{{name: u{number}, display: *d}}")).collect();
    let named = format!("{{title: &d {}, users: [{}]}}", "x".repeat(200), named.join(", "));
    let copies: String = (0..900).map(|number| format!("  h{number}: *g\n")).collect();
    let long = "x".repeat(500_000);
    let repeated = vec!["{name: a, checkpoint: *x}"; 200].join(", ");
    let bombs = [
        (
            "billion laughs",
            "groups.g1[0]: a list",
            format!("groups:\n  g0: &l0 [a, b, c]\n{laughs}"),
        ),
        (
            "one group for many",
            "100000 users are too many",
            format!("groups:\n  g: &g [{}]\n{shared}", many.join(", ")),
        ),
        (
            "one display name for many",
            "aliases multiply",
            format!("groups:\n  g: &g {named}\n{copies}"),
        ),
        (
            "one text many times",
            "kilo.chat_model",
            format!("kilo: {{chat_model: &x {long}}}\nlemonade: {{chat_models: [{repeated}]}}"),
        ),
        ("deep list", "too many brackets", "[".repeat(1 << 20)),
        ("deep mapping", "too many brackets", "{a: ".repeat(200_000)),
        ("deep mapping behind quotes", "too many brackets", "{\"a\": \"\n}\", b: ".repeat(60_000)),
        ("deep block", "a list is not allowed", "- ".repeat(500_000)),
        ("too large", "1048578 bytes are too many", format!("# {}", "x".repeat(1 << 20))),
        (
            "too many chat models",
            "at most 256",
            format!("lemonade: {{chat_models: [{}]}}", "{name: a, checkpoint: b}, ".repeat(300)),
        ),
    ];
    for (what, reason, text) in bombs {
        let line = refusal(&text);
        assert!(line.contains(reason), "{what}: {line}");
    }
}

#[test]
fn a_secret_never_reaches_an_error() {
    for text in [
        "auth: {session_secret: \"hunter2\\n\"}",
        "lemonade: {api_key: [hunter2]}",
        "gateway: hunter2",
        "gateway: {admin_key: hunter2, admin_key: hunter2}",
        "langfuse: {secret_key: {a: hunter2}}",
    ] {
        let line = refusal(text);
        assert!(!line.contains("hunter2"), "{line}");
    }
}

#[test]
fn the_file_name_in_an_error_stays_on_its_line() {
    let error = Config::parse("x: 1", "a\nb.yaml").unwrap_err().to_string();
    assert!(error.starts_with("a\\nb.yaml:1:1: "), "{error}");
}
