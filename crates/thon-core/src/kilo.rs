//! Kilo Code's configuration in a sandbox.
//!
//! For: what an organizer gives everyone, with each user's own name, address and folder in it.
//! Not for: where the organizer's text comes from, and not for placing it.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::config::Config;
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

    /// What everyone's Kilo is told by a configuration: what an organizer gives, and over it the model
    /// server that is there already. Nothing where there is neither.
    #[must_use]
    pub fn of(config: &Config, given: Option<Self>) -> Option<Self> {
        let Some(server) = model_server(config) else { return given };
        let mut value = given.map_or_else(|| Value::Object(Map::new()), |given| given.0);
        merge(&mut value, server);
        Some(Self(value))
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

/// The name of the model server in Kilo's configuration.
const PROVIDER: &str = "lemonade";

/// The most tokens of an answer of the one model that has no entry of its own.
const OUTPUT: u32 = 4096;

/// What Lemonade puts before the names of models that were added to it; it knows them without, too,
/// and nobody else does.
const ADDED: &str = "user.";

fn bare(model: &str) -> &str {
    model.strip_prefix(ADDED).unwrap_or(model)
}

/// The part of Kilo's configuration that leads to the model server, if there is one.
fn model_server(config: &Config) -> Option<Value> {
    let lemonade = &config.lemonade;
    if !lemonade.enabled || lemonade.url.is_empty() || config.gateway.enabled {
        return None;
    }
    let mut models = Map::new();
    models.insert(
        bare(&lemonade.model_name).to_owned(),
        json!({ "limit": { "context": lemonade.ctx_size_per_user, "output": OUTPUT } }),
    );
    for model in &lemonade.chat_models {
        let limit = json!({ "limit": { "context": model.context, "output": model.output } });
        models.insert(bare(&model.name).to_owned(), limit);
    }
    // Never the key of the server's administration: it would let everyone remove models.
    let key = if lemonade.api_key.is_empty() { "none" } else { lemonade.api_key.reveal() };
    let url = lemonade.url.trim_end_matches('/');
    // `lemonade/user.x`, `user.x` and `x` are one model.
    let known = |model: &str| {
        let name = model.strip_prefix(PROVIDER).and_then(|rest| rest.strip_prefix('/'));
        format!("{PROVIDER}/{}", bare(name.unwrap_or(model)))
    };
    let mut value = json!({
        "model": known(&config.kilo.chat_model),
        "provider": { PROVIDER: {
            "models": models,
            // A model that is busy with others answers late, and that is no failure.
            "options": { "baseURL": url, "apiKey": key, "timeout": false },
        } },
    });
    if !config.kilo.small_model.is_empty() {
        value["small_model"] = json!(known(&config.kilo.small_model));
    }
    if !lemonade.embedding_model_name.is_empty() {
        value["indexing"] = json!({
            "enabled": true,
            "provider": "openai-compatible",
            "vectorStore": "lancedb",
            "model": bare(&lemonade.embedding_model_name),
            "openai-compatible": { "baseUrl": url, "apiKey": key },
        });
        if lemonade.embedding_dimensions > 0 {
            value["indexing"]["dimension"] = json!(lemonade.embedding_dimensions);
        }
    }
    Some(value)
}

/// Puts `over` over `value`: objects key by key, everything else as a whole.
fn merge(value: &mut Value, over: Value) {
    match (value, over) {
        (Value::Object(map), Value::Object(over)) => {
            for (key, inner) in over {
                merge(map.entry(key).or_insert(Value::Null), inner);
            }
        }
        (value, over) => *value = over,
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

    fn told(text: &str, given: Option<&str>) -> Option<Value> {
        let config = Config::parse(text, "thon.yaml").unwrap().config;
        let given = given.map(|given| KiloTemplate::parse(given).unwrap());
        KiloTemplate::of(&config, given).map(|template| template.0)
    }

    #[test]
    fn everyone_is_led_to_the_server_that_is_there_over_what_an_organizer_gives() {
        let config = "lemonade: {enabled: true, url: 'http://10.0.0.5:13305/v1/', api_key: k, \
                      admin_api_key: a, model_name: tiny, ctx_size_per_user: 8192, \
                      chat_models: [{name: user.large, checkpoint: x, context: 4096, output: 64}], \
                      embedding_model_name: small, embedding_dimensions: 64}\n\
                      kilo: {chat_model: lemonade/user.large, small_model: tiny}";
        let given =
            r#"{"share": "disabled", "provider": {"other": {}, "lemonade": {"name": "Ours"}}}"#;
        let value = told(config, Some(given)).unwrap();
        assert_eq!(
            (&value["model"], &value["small_model"]),
            (&json!("lemonade/large"), &json!("lemonade/tiny"))
        );
        let provider = &value["provider"]["lemonade"];
        let options =
            json!({"baseURL": "http://10.0.0.5:13305/v1", "apiKey": "k", "timeout": false});
        assert_eq!(provider["options"], options);
        assert_eq!(provider["models"]["tiny"]["limit"], json!({"context": 8192, "output": 4096}));
        assert_eq!(provider["models"]["large"]["limit"], json!({"context": 4096, "output": 64}));
        assert_eq!((&provider["name"], &value["share"]), (&json!("Ours"), &json!("disabled")));
        assert!(value["provider"]["other"].is_object());
        let indexing = &value["indexing"];
        assert_eq!((&indexing["model"], &indexing["dimension"]), (&json!("small"), &json!(64)));
        assert!(!value.to_string().contains("\"a\""), "the key of the administration is in it");
        let unknown =
            told(&config.replace("embedding_dimensions: 64", "embedding_dimensions: 0"), None);
        assert!(unknown.unwrap()["indexing"].get("dimension").is_none(), "nobody guesses it");
    }

    #[test]
    fn without_a_server_there_is_what_an_organizer_gives_and_nothing_else() {
        assert_eq!(told("lemonade: {enabled: true}", None), None);
        assert_eq!(told("lemonade: {url: 'http://10.0.0.5/v1'}", Some("{}")), Some(json!({})));
        let gateway =
            "lemonade: {enabled: true, url: 'http://10.0.0.5/v1'}\ngateway: {enabled: true}";
        assert_eq!(told(gateway, None), None, "there would be a way around its limits");
    }

    #[test]
    fn what_is_no_configuration_is_refused_and_never_shown() {
        assert!(KiloTemplate::parse("{\"key\": \"hunter2\"").unwrap_err().contains("line 1"));
        assert!(KiloTemplate::parse("[]").unwrap_err().contains("no object"));
        let template = KiloTemplate::parse("{\"key\": \"hunter2\"}").unwrap();
        assert!(!format!("{template:?}").contains("hunter2"));
    }
}
