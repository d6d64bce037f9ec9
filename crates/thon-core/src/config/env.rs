//! The environment: what overrides the file, and the `.env` form of a configuration.
//!
//! For: `THON_DOMAIN=…` and its like, table-driven from the schema.
//! Not for: reading the process environment; the caller passes it in.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::node::{Meta, Node, ShowSecrets};
use super::schema::Config;
use crate::secret::MASK;

impl Config {
    /// The configuration with every value replaced for which `env` has a variable. An empty variable
    /// counts as none. [`Config::keys`] tells which variable stands for which key.
    pub fn with_env(
        mut self,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let given: BTreeMap<String, String> =
            env.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        let mut overrides = Vec::new();
        self.walk("", &Meta::ROOT, &mut |found| {
            if let Some((variable, text)) =
                found.variable().and_then(|name| given.get_key_value(&name))
            {
                overrides.push((found.path.to_owned(), variable, text));
            }
        });
        for (key, variable, text) in overrides {
            let path: Vec<&str> = key.split('.').collect();
            if let Err(problem) = self.assign(&path, None, text) {
                return Err(ConfigError::Variable { variable: variable.clone(), key, problem });
            }
        }
        Ok(self)
    }

    /// The configuration as the text of a `.env` file: sorted lines `NAME=value` for every key that
    /// has a variable and isn't empty, unless it is a default that goes without saying. Read over
    /// the defaults by [`Config::with_env`], it gives the same values again.
    #[must_use]
    pub fn to_env(&self, show: ShowSecrets) -> String {
        let mut defaults = BTreeMap::new();
        Self::default().walk("", &Meta::ROOT, &mut |found| {
            defaults.insert(found.path.to_owned(), found.text);
        });
        let mut lines = BTreeMap::new();
        self.walk("", &Meta::ROOT, &mut |found| {
            let same = defaults.get(found.path) == Some(&found.text);
            if found.text.is_empty() || (same && !found.meta.env.always) {
                return;
            }
            if let Some(variable) = found.variable() {
                let hidden = found.secret && show == ShowSecrets::Masked;
                lines.insert(variable, quote(if hidden { MASK } else { &found.text }));
            }
        });
        lines
            .into_iter()
            .fold(String::new(), |text, (variable, value)| text + &variable + "=" + &value + "\n")
    }
}

/// A value as a POSIX shell and the usual readers of `.env` files take it: bare where nothing in it
/// means anything to them, in single quotes where it holds none, else in double quotes with
/// backslashes.
#[must_use]
pub fn quote(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    if text.chars().all(bare) {
        return text.to_owned();
    }
    if !text.contains('\'') {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        if matches!(character, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_environment_wins_over_the_file_and_an_empty_variable_is_none() {
        let file =
            Config::parse("nginx: {domain: file.example.org}\nlog_level: DEBUG", "thon.yaml")
                .unwrap();
        let env =
            pairs(&[("THON_DOMAIN", "env.example.org"), ("THON_LOG_LEVEL", ""), ("HOME", "/root")]);
        let config = file.config.with_env(env).unwrap();
        assert_eq!(config.nginx.domain.unwrap().as_str(), "env.example.org");
        assert_eq!(config.log_level.as_str(), "DEBUG");
    }

    #[test]
    fn every_kind_of_value_can_come_from_the_environment() {
        let env = pairs(&[
            ("THON_NODE", "blue"),
            ("EXTERNAL_IP", "203.0.113.7"),
            ("SANDBOX_IMAGE", "example/thon:7"),
            ("THON_SECURE", "no"),
            ("DASHBOARD_PORT", "9100"),
            ("GATEWAY_ENABLED", "yes"),
            ("GATEWAY_MODE", "per-group"),
            ("GATEWAY_TOKEN_LIMIT", "5000"),
            ("AUTH_GITHUB_CLIENT_SECRET", "hush"),
            ("LANGFUSE_BASEURL", "http://traces.lan:3000"),
            ("THON_WORKSPACE_DIR", "/srv/work"),
        ]);
        let config = Config::default().with_env(env).unwrap();
        assert_eq!(config.node.as_str(), "blue");
        assert_eq!(config.external_ip.unwrap().to_string(), "203.0.113.7");
        assert_eq!(config.sandbox.image.as_str(), "example/thon:7");
        assert!(!config.vscode.secure && config.gateway.enabled);
        assert_eq!(config.dashboard.port.get(), 9100);
        assert_eq!(config.gateway.mode.as_str(), "per-group");
        assert_eq!(config.gateway.token_limit, 5000);
        assert_eq!(config.auth.github.client_secret.reveal(), "hush");
        assert_eq!(config.langfuse.base_url, "http://traces.lan:3000");
        assert_eq!(config.workspace.dir.unwrap().to_str(), Some("/srv/work"));
    }

    #[test]
    fn a_bad_variable_is_named_with_its_value_and_what_is_allowed() {
        for (name, text, key, allowed) in [
            ("DASHBOARD_PORT", "70000", "dashboard.port", "1 to 65535"),
            ("GATEWAY_MODE", "per\nuser", "gateway.mode", "per-user, per-group"),
            ("THON_SECURE", "maybe", "vscode.secure", "true or false"),
            ("GATEWAY_TOKEN_WINDOW", "0", "gateway.token_window", "from 1 to 86400"),
            ("EXTERNAL_IP", "localhost", "external_ip", "IP address"),
        ] {
            let error = Config::default().with_env(pairs(&[(name, text)])).unwrap_err().to_string();
            let value = crate::name::quoted(text);
            for part in [name, key, allowed, value.as_str()] {
                assert!(error.contains(part), "{error} lacks {part}");
            }
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_default_exports_what_goes_without_saying_for_nobody() {
        assert_eq!(
            Config::default().to_env(ShowSecrets::Masked),
            "DASHBOARD_HOST=127.0.0.1\nDASHBOARD_PORT=8100\nGATEWAY_CONCURRENCY_LIMIT=1\n\
             GATEWAY_MODE=per-user\nLEMONADE_HOST=127.0.0.1\nLEMONADE_PORT=13305\n\
             SANDBOX_IMAGE=waterpistol/thon:latest\n"
        );
    }

    #[test]
    fn secrets_leave_only_when_asked_for() {
        let env = pairs(&[("GATEWAY_ADMIN_KEY", "top $ecret"), ("AUTH_SESSION_SECRET", "hush")]);
        let config = Config::default().with_env(env).unwrap();
        let masked = config.to_env(ShowSecrets::Masked);
        assert!(!masked.contains("ecret") && !masked.contains("hush"), "{masked}");
        assert!(config.to_env(ShowSecrets::Revealed).contains("GATEWAY_ADMIN_KEY='top $ecret'\n"));
    }

    #[test]
    fn quoting_leaves_nothing_for_a_shell_to_act_on() {
        assert_eq!(quote("plain-1.0/x:y"), "plain-1.0/x:y");
        assert_eq!(quote("two words # no comment"), "'two words # no comment'");
        assert_eq!(quote("$(id) `id` \"x\" \\"), "'$(id) `id` \"x\" \\'");
        assert_eq!(quote("it's $HOME `id` \"\\"), "\"it's \\$HOME \\`id\\` \\\"\\\\\"");
        assert_eq!(quote("a\nb"), "'a\nb'");
    }
}
