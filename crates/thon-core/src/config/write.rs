//! Writing configurations: in full, and as the short file that a person goes on editing.
//!
//! For: `thon config show`, saving, and the thon.yaml that `thon init` makes.
//! Not for: files; texts are handed back.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_yaml::{Mapping, Value};

use super::meaning;
use super::node::{Meta, Node, ShowSecrets};
use super::schema::Config;

impl Config {
    /// All keys with their values as YAML. With secrets revealed, [`Config::parse`] reads the same
    /// configuration back; the text then belongs into a file that only its owner can read.
    #[must_use]
    pub fn to_yaml(&self, show: ShowSecrets) -> String {
        dump(&self.yaml(show))
    }

    /// A short thon.yaml with comments: the groups, and only those keys that differ from their
    /// defaults. Secrets are left out; they belong into the environment.
    #[must_use]
    pub fn to_template(&self) -> String {
        let mut notes = Notes::default();
        Self::default().walk("", &Meta::ROOT, &mut |found| {
            notes.meanings.insert(found.path.to_owned(), meaning(found.meta));
            if found.secret {
                notes.secrets.push(found.path.to_owned());
            }
        });
        let mut text = String::from(HEADER);
        if self.groups.groups().is_empty() {
            text.push_str(EXAMPLE_GROUPS);
        } else {
            let mut groups = Mapping::new();
            groups.insert("groups".into(), self.groups.to_value());
            text.push_str(&dump(&Value::Mapping(groups)));
        }
        let (Value::Mapping(mine), Value::Mapping(defaults)) =
            (self.yaml(ShowSecrets::Revealed), Self::default().yaml(ShowSecrets::Revealed))
        else {
            return text;
        };
        for (key, value) in &mine {
            if key.as_str() == Some("groups") {
                continue;
            }
            let part = notes.differing(key, value, defaults.get(key), "", 0);
            if !part.is_empty() {
                text.push('\n');
                text.push_str(&part);
            }
        }
        text
    }
}

/// The head of a new thon.yaml.
const HEADER: &str = "\
# THON: who takes part and how this machine serves them.
#
# 1. List your groups and users below.
# 2. `thon config validate` checks this file, `thon config show` shows every key with its value.
# 3. `thon up` starts a VS Code for every user and prints where each of them finds it.
#    After a change here, run it again: it starts what is new and leaves the rest alone.
#
# Names are lower-case letters, digits and hyphens. What people read may stand beside them:
#   - {name: ada, display_name: Ada Lovelace, email: ada@example.org}

";

/// What stands in the place of groups where there are none yet.
const EXAMPLE_GROUPS: &str = "\
groups:
#  alpha: [alice, bob]
#  beta:
#    title: Team Beta
#    users: [carol]
";

/// What the comments of a template are made from.
#[derive(Default)]
struct Notes {
    meanings: BTreeMap<String, String>,
    secrets: Vec<String>,
}

impl Notes {
    /// The lines of a key and those below it, where they differ from the default.
    fn differing(
        &self,
        key: &Value,
        value: &Value,
        default: Option<&Value>,
        above: &str,
        depth: usize,
    ) -> String {
        let name = key.as_str().unwrap_or_default();
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        let indent = "  ".repeat(depth);
        if Some(value) == default || self.secrets.contains(&path) {
            return String::new();
        }
        if let (Value::Mapping(mine), Some(Value::Mapping(default))) = (value, default) {
            let below: String = mine
                .iter()
                .map(|(key, value)| self.differing(key, value, default.get(key), &path, depth + 1))
                .collect();
            return if below.is_empty() { below } else { format!("{indent}{name}:\n{below}") };
        }
        let mut text = String::new();
        if let Some(meaning) = self.meanings.get(&path) {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{indent}# {meaning}");
        }
        let mut entry = Mapping::new();
        entry.insert(key.clone(), value.clone());
        for line in dump(&Value::Mapping(entry)).lines() {
            let _ = writeln!(text, "{indent}{line}");
        }
        text
    }
}

/// The text of a value made of texts, numbers, truth values, lists and mappings with text keys,
/// which can always be written.
fn dump(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn the_template_holds_what_was_chosen_and_reads_back() {
        let text = "groups: {alpha: [alice, {name: bob, email: bob@example.org}]}\n\
                    nginx: {domain: hack.example.org}\nsandbox: {memory: 4g}\n\
                    lemonade: {llamacpp: {ctk: f16}}";
        let config = Config::parse(text, "thon.yaml").unwrap().config;
        let template = config.to_template();
        assert_eq!(Config::parse(&template, "thon.yaml").unwrap().config, config, "{template}");
        assert!(template.contains("  # The memory of each sandbox; a program that needs more is killed.\n  memory: 4 GiB\n"), "{template}");
        assert!(!template.contains("starting_port") && template.lines().count() < 40, "{template}");
    }

    #[test]
    fn the_template_of_nothing_reads_as_nothing_and_no_secret_is_in_any() {
        let mut config = Config::default();
        config.auth.github.client_secret = Secret::new("hunter2");
        config.gateway.admin_key = Secret::new("hunter2");
        let template = config.to_template();
        assert!(!template.contains("hunter2") && !template.contains("auth"), "{template}");
        assert_eq!(Config::parse(&template, "thon.yaml").unwrap().config, Config::default());
        let begun = template.replace("#  alpha", "  alpha");
        assert_eq!(Config::parse(&begun, "thon.yaml").unwrap().config.groups.user_count(), 2);
    }
}
