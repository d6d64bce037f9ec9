//! Secrets stay where they are.
//!
//! For: every key that is one, in every output that doesn't say in so many words that it shows them.
//! Not for: participants' passwords; they are drawn where sandboxes are.

use crate::desk::Desk;

const MARK: &str = "hunter2";

/// Every key of the configuration that holds a secret, as YAML and as a variable.
const SECRETS: &[(&str, &str)] = &[
    ("lemonade: {api_key: X}", "LEMONADE_API_KEY"),
    ("lemonade: {admin_api_key: X}", "LEMONADE_ADMIN_API_KEY"),
    ("gateway: {admin_key: X}", "GATEWAY_ADMIN_KEY"),
    ("langfuse: {secret_key: X}", "LANGFUSE_SECRET_KEY"),
    ("auth: {session_secret: X}", "AUTH_SESSION_SECRET"),
    ("auth: {github: {client_secret: X}}", "AUTH_GITHUB_CLIENT_SECRET"),
    ("auth: {gitlab: {client_secret: X}}", "AUTH_GITLAB_CLIENT_SECRET"),
    ("auth: {linkedin: {client_secret: X}}", "AUTH_LINKEDIN_CLIENT_SECRET"),
];

/// What an organizer may type without wanting to see a secret.
const COMMANDS: &[&[&str]] = &[
    &["config", "show"],
    &["config", "show", "--json"],
    &["config", "env"],
    &["config", "validate", "-vv"],
    &["config", "validate", "--json"],
    &["run", "-vv"],
    &["run", "--json", "--dry-run"],
    &["status", "-vv"],
    &["status", "--show-passwords"],
    &["tls", "status", "-vv"],
    &["nginx", "status", "-vv"],
    &["image", "status", "-vv"],
];

fn silent(desk: &Desk, env: &[(&str, &str)], what: &str) {
    for command in COMMANDS {
        let said = desk.with(env, command);
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(!all.contains(MARK), "{what}, {command:?}: {all}");
    }
}

#[test]
fn no_command_shows_a_secret_that_it_was_not_asked_for() {
    let desk = Desk::new();
    for (yaml, variable) in SECRETS {
        let text = format!("groups: {{alpha: [ada]}}\n{}\n", yaml.replace('X', MARK));
        desk.file("thon.yaml", &text);
        // It arrives there, or its absence elsewhere would mean nothing.
        assert!(desk.thon(&["config", "show", "--show-secrets"]).ok().stdout.contains(MARK));
        silent(&desk, &[], yaml);

        desk.file("thon.yaml", "groups: {alpha: [ada]}\n");
        let env = [(*variable, MARK)];
        assert!(desk.with(&env, &["config", "show", "--show-secrets"]).ok().stdout.contains(MARK));
        silent(&desk, &env, variable);
    }
}

#[test]
fn no_refusal_quotes_a_secret() {
    let desk = Desk::new();
    for (yaml, variable) in SECRETS {
        for value in
            ["[X]", "{a: X}", "\"X\\n\"", "X: Y", "\"X", "|\n  X", "!!x X", "*X", "\"X\\q\""]
        {
            let value = value.replace('X', MARK);
            let text = format!("groups: {{alpha: [ada]}}\n{}\n", yaml.replace('X', &value));
            desk.file("thon.yaml", &text);
            silent(&desk, &[], &text);
        }
        desk.file("thon.yaml", "groups: {alpha: [ada]}\n");
        silent(&desk, &[(*variable, &format!("{MARK}\n{MARK}"))], variable);
    }
}
