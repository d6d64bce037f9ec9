//! Everything that an organizer decides, in one typed value.
//!
//! For: reading thon.yaml with errors that name the place, defaults for everything that isn't
//! given, overrides from the environment, writing all of it back, and finding keys that don't go
//! together. The order is: command line, environment, file, default; the first that is given wins.
//! Not for: files and the environment themselves. Texts and variables come in as arguments.

mod choices;
mod dashboard;
mod env;
pub(crate) mod error;
pub(crate) mod leaf;
pub(crate) mod node;
mod open;
mod ports;
pub(crate) mod read;
mod schema;
mod schema_access;
mod schema_ai;
pub(crate) mod suggest;
pub(crate) mod types;
mod validate;
mod validate_access;
mod validate_layout;
mod web;
mod write;

pub use choices::{
    CacheType, GatewayMode, IdleAction, Layout, LlamaBackend, LogLevel, NginxMode, ProviderKind,
    RateLimitScope, RocmChannel, Role, SplitMode, SslProvider,
};
pub use env::quote as quote_env;
pub use error::{ConfigError, Position, Problem, Severity, Warning};
pub use node::ShowSecrets;
pub use ports::PortList;
pub use schema::{Config, NginxConfig, SandboxConfig, VscodeConfig, WorkspaceConfig};
pub use schema_access::{
    AllowRule, AuthConfig, DashboardConfig, LinkedinConfig, OidcConfig, ProviderConfig,
};
pub use schema_ai::{
    ChatModel, GatewayConfig, KiloConfig, LangfuseConfig, LemonadeConfig, LlamacppConfig,
    ModelConcurrency,
};
pub use types::{DnsName, LaunchConcurrency, LlamaBinary, PortRange, Subnet, ValueError};
pub use web::WebUrl;

use serde::{Serialize, Serializer};

use node::{Meta, Node};
use read::Reader;

/// A configuration that was read, and what was noticed on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What was accepted and should be looked at.
    pub warnings: Vec<Warning>,
}

/// A key of thon.yaml.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// The dotted path, `sandbox.image`; entries of a list as `lemonade.chat_models[].name`.
    pub path: String,
    /// What is allowed, in words.
    pub allowed: String,
    /// The default as text; empty where there is none.
    pub default: String,
    /// The environment variable that overrides it.
    pub env: Option<String>,
    /// What it is for, in words.
    pub meaning: String,
    /// Whether its value is hidden.
    pub secret: bool,
}

impl Config {
    /// Reads the text of a thon.yaml; `origin` is what the file is called in errors. What the text
    /// doesn't give has its default; the empty text gives nothing.
    pub fn parse(text: &str, origin: &str) -> Result<Loaded, ConfigError> {
        let (config, warnings) =
            Reader::run(text, origin, |reader, yaml| Self::read(reader, None, yaml))?;
        Ok(Loaded { config, warnings })
    }

    /// Every key with what is known of it, in the order of the schema.
    #[must_use]
    pub fn keys() -> Vec<Key> {
        let mut keys = Vec::new();
        let defaults = Self {
            auth: AuthConfig { allow: vec![AllowRule::default()], ..AuthConfig::default() },
            gateway: GatewayConfig {
                model_concurrency: vec![ModelConcurrency::default()],
                ..GatewayConfig::default()
            },
            lemonade: LemonadeConfig {
                chat_models: vec![ChatModel::default()],
                ..LemonadeConfig::default()
            },
            ..Self::default()
        };
        defaults.walk("", &Meta::ROOT, &mut |found| {
            keys.push(Key {
                path: found.path.replace("[0]", "[]"),
                env: found.variable(),
                meaning: meaning(found.meta),
                allowed: found.allowed,
                secret: found.secret,
                default: found.text,
            });
        });
        keys
    }
}

/// The doc comment of a key as running text.
pub(crate) fn meaning(meta: &Meta) -> String {
    meta.meaning.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Secrets are masked.
impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.yaml(ShowSecrets::Masked).serialize(serializer)
    }
}
