//! Kilo Code's configuration in a sandbox.
//!
//! For: what an organizer gives everyone, with each user's own name, address and folder in it.
//! Not for: where the organizer's text comes from, and not for placing it.

use std::fmt;

use serde_json::Value;

use crate::name::UserId;
use crate::sandbox::{HOME, InjectedFile};
use crate::state::jsonc;
use crate::workspace::MOUNT_POINT;

/// Where Kilo looks for it, below the user's home.
const PLACE: &str = ".config/kilo/config.json";

/// The domain of users whose address nobody knows; nobody's mail goes there (RFC 6762 keeps `local` to
/// a network of one's own).
const NO_DOMAIN: &str = "thon.local";

/// A configuration for everyone. In its texts `$THON_USERNAME`, `$THON_USER_EMAIL` and `$WORKSPACE`
/// stand for what is each user's own.
#[derive(Clone, PartialEq)]
pub struct KiloTemplate(Value);

/// Never the contents: they may hold keys.
impl fmt::Debug for KiloTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KiloTemplate")
    }
}

impl KiloTemplate {
    /// Reads JSON with comments. The refusal names line and column and quotes nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value = jsonc::parse(text)?;
        if value.is_object() {
            Ok(Self(value))
        } else {
            Err("it is no object: `{ … }`".to_owned())
        }
    }

    /// The file of one user; `email` is theirs, if it is known.
    #[must_use]
    pub fn file(&self, user: &UserId, email: Option<&str>) -> InjectedFile {
        let nobodys = format!("{}@{NO_DOMAIN}", user.user);
        let own = [
            ("$WORKSPACE", MOUNT_POINT),
            ("$THON_USERNAME", user.user.as_str()),
            // Last: nothing that somebody calls themselves is looked through again.
            ("$THON_USER_EMAIL", email.unwrap_or(&nobodys)),
        ];
        let mut value = self.0.clone();
        fill(&mut value, &own);
        InjectedFile {
            path: format!("{HOME}/{PLACE}"),
            mode: 0o600,
            contents: format!("{value:#}\n").into_bytes(),
        }
    }
}

/// Puts what is a user's own into every text; names of keys stay.
fn fill(value: &mut Value, own: &[(&str, &str)]) {
    match value {
        Value::String(text) => {
            for (name, word) in own {
                if text.contains(name) {
                    *text = text.replace(name, word);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| fill(inner, own)),
        Value::Object(map) => map.values_mut().for_each(|inner| fill(inner, own)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, email: Option<&str>) -> Value {
        let file = KiloTemplate::parse(text).unwrap().file(&"alpha/ada".parse().unwrap(), email);
        assert_eq!(
            (file.path.as_str(), file.mode),
            ("/home/vscode/.config/kilo/config.json", 0o600)
        );
        serde_json::from_slice(&file.contents).unwrap()
    }

    #[test]
    fn each_user_finds_their_own_name_address_and_folder() {
        let text = r#"{ // for everyone
            "$schema": "https://app.kilo.ai/config.json",
            "mcp": {"git": {"environment": {"GIT_USERNAME": "$THON_USERNAME",
                "GIT_EMAIL": "$THON_USER_EMAIL", "LOGS": "$WORKSPACE/.logs"}, "command": ["npx", "$WORKSPACE"]}},
        }"#;
        let config = filled(text, Some("ada@example.org"));
        let environment = &config["mcp"]["git"]["environment"];
        assert_eq!(environment["GIT_USERNAME"], "ada");
        assert_eq!(environment["GIT_EMAIL"], "ada@example.org");
        assert_eq!(environment["LOGS"], "/workspace/.logs");
        assert_eq!(config["mcp"]["git"]["command"][1], "/workspace");
        assert_eq!(config["$schema"], "https://app.kilo.ai/config.json");
        let unknown = filled(r#"{"a": "$THON_USER_EMAIL"}"#, None);
        assert_eq!(unknown["a"], "ada@thon.local");
    }

    #[test]
    fn what_is_put_in_stays_text_whatever_it_holds() {
        let odd = "a\"},\"b\":{\"$WORKSPACE\":\"@example.org";
        let config = filled(r#"{"a": "<$THON_USER_EMAIL>"}"#, Some(odd));
        assert_eq!(config.as_object().unwrap().len(), 1);
        assert_eq!(config["a"], format!("<{odd}>"));
    }

    #[test]
    fn what_is_no_configuration_is_refused_and_never_shown() {
        assert!(KiloTemplate::parse("{\"key\": \"hunter2\"").unwrap_err().contains("line 1"));
        assert!(KiloTemplate::parse("[]").unwrap_err().contains("no object"));
        let template = KiloTemplate::parse("{\"key\": \"hunter2\"}").unwrap();
        assert!(!format!("{template:?}").contains("hunter2"));
    }
}
