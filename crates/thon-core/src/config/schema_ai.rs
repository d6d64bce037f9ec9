//! The keys of thon.yaml: models, the assistant and the gateway.
//!
//! For and not for: as [`super::schema`].

use std::path::PathBuf;

use super::choices::{
    CacheType, GatewayMode, LlamaBackend, RateLimitScope, RocmChannel, SplitMode,
};
use super::node::{Env, section};
use super::schema::port;
use super::types::{LlamaBinary, is_host, is_url};
use crate::endpoint::Port;
use crate::secret::Secret;

/// The tokens that a chat model sees at one time, unless its entry says otherwise.
const CONTEXT: u32 = 262_144;

section! {
    /// The local model server (Lemonade).
    pub struct LemonadeConfig {
        /// Set up and use a model server on this machine.
        pub enabled: bool = false;
        /// A model server that is there already, Lemonade or any other that speaks OpenAI's API, with
        /// the path of that, such as `http://10.0.0.5:13305/v1`: nothing is set up then. Empty for one
        /// on this machine.
        pub url: String = String::new(), env Env::PATH,
            must "an address such as http://10.0.0.5:13305/v1, or nothing" |text| text.is_empty() || is_url(text);
        /// The address that it listens on.
        pub host: String = "127.0.0.1".to_owned(), env Env::PATH.always(),
            must "an address or host name such as 127.0.0.1" |text| is_host(text);
        /// The port that it listens on.
        pub port: Port = port(13305), env Env::PATH.always();
        /// The chat model as `<repository>:<variant>`.
        pub model: String = "unsloth/gemma-4-31B-it-GGUF:Q8_K_XL".to_owned();
        /// The chat model's short name.
        pub model_name: String = "gemma-4-31b-it".to_owned();
        /// The file that lets the chat model see pictures.
        pub mmproj: String = "mmproj-BF16.gguf".to_owned();
        /// The tokens of context for each user.
        pub ctx_size_per_user: u32 = CONTEXT,
            must "a whole number from 512 to 16777216" |n| (512..=16_777_216).contains(n);
        /// The model that code search uses, as `<repository>:<variant>`.
        pub embedding_model: String =
            "SuperPauly/harrier-oss-v1-0.6b-gguf:harrier-oss-v1-0.6B-BF16".to_owned();
        /// The embedding model's short name.
        pub embedding_model_name: String = "harrier-oss-v1-0.6b".to_owned();
        /// The embedding model's tokens of context for each user.
        pub embedding_ctx_size_per_user: u32 = 32_768,
            must "a whole number from 128 to 16777216" |n| (128..=16_777_216).contains(n);
        /// The length of the embedding model's vectors; 0 where the model tells it.
        pub embedding_dimensions: u32 = 0, must "a whole number from 0 to 65536" |n| *n <= 65_536;
        /// What the models run on.
        pub llamacpp_backend: LlamaBackend = LlamaBackend::Auto;
        /// Use the `llama-server` program of this machine where there is one.
        pub prefer_system: bool = true;
        /// Which llama.cpp: `builtin`, `latest`, or the path of a program.
        pub llamacpp_bin: LlamaBinary = LlamaBinary::Builtin;
        /// Which builds for AMD's graphics cards.
        pub rocm_channel: RocmChannel = RocmChannel::Preview;
        /// Make keys for the model server where none are set.
        pub generate_keys: bool = true;
        /// The key that model requests need.
        pub api_key: Secret = Secret::default(), env Env::PATH;
        /// The key for loading and removing models; it never reaches a participant.
        pub admin_api_key: Secret = Secret::default(), env Env::PATH;
        /// How llama.cpp runs the models.
        pub llamacpp: LlamacppConfig = LlamacppConfig::default();
        /// The chat models that participants can choose.
        pub chat_models: Vec<ChatModel> = ChatModel::defaults();
    }
}

section! {
    /// How llama.cpp runs the models.
    pub struct LlamacppConfig {
        /// The number format of cached keys.
        pub ctk: CacheType = CacheType::Q8;
        /// The number format of cached values.
        pub ctv: CacheType = CacheType::Q8;
        /// Tokens worked on together.
        pub batch_size: u32 = 8192, must "a whole number from 1 to 1048576" |n| (1..=1_048_576).contains(n);
        /// Tokens worked on together in one step of the hardware.
        pub ubatch_size: u32 = 8192, must "a whole number from 1 to 1048576" |n| (1..=1_048_576).contains(n);
        /// How a model is spread over several graphics cards; empty as llama.cpp chooses.
        pub split_mode: SplitMode = SplitMode::Unset;
        /// The first graphics card, counted from 0; -1 as llama.cpp chooses.
        pub main_gpu: i32 = -1, must "a whole number from -1 to 255" |n| (-1..=255).contains(n);
        /// Keep a chat model's experts in main memory.
        pub cpu_moe: bool = false;
        /// Keep the experts of so many layers in main memory.
        pub n_cpu_moe: u32 = 0, must "a whole number from 0 to 1024" |n| *n <= 1024;
        /// Leave out words less likely than this share of the likeliest; 0 for llama.cpp's own value.
        pub min_p: f64 = 0.0, must "a number from 0 to 1" |n| (0.0..=1.0).contains(n);
        /// How much words that were used are avoided; 0 for not at all.
        pub presence_penalty: f64 = 0.0, must "a number from -2 to 2" |n| (-2.0..=2.0).contains(n);
    }
}

section! {
    /// A chat model that participants can choose.
    pub struct ChatModel {
        /// Its short name.
        pub name: String = String::new(), must "a name" |text| !text.is_empty();
        /// The model as `<repository>:<variant>`.
        pub checkpoint: String = String::new(), must "a model such as unsloth/Qwen3.6-27B-GGUF:Q8_K_XL"
            |text| !text.is_empty();
        /// The tokens of context for each user.
        pub context: u32 = CONTEXT, must "a whole number from 512 to 16777216" |n| (512..=16_777_216).contains(n);
        /// The most tokens of one answer.
        pub output: u32 = 4096, must "a whole number from 1 to 16777216" |n| (1..=16_777_216).contains(n);
    }
    required { "name" "checkpoint" }
}

impl ChatModel {
    fn defaults() -> Vec<Self> {
        let model = |name: &str, checkpoint: &str| Self {
            name: name.to_owned(),
            checkpoint: checkpoint.to_owned(),
            ..Self::default()
        };
        vec![
            model("gemma-4-31b-it", "unsloth/gemma-4-31B-it-GGUF:Q8_K_XL"),
            model("qwen3.6-27b", "unsloth/Qwen3.6-27B-GGUF:Q8_K_XL"),
        ]
    }
}

section! {
    /// The Kilo Code assistant.
    pub struct KiloConfig {
        /// The configuration that every user starts with; empty for the one that THON generates.
        pub config_file: Option<PathBuf> = None, env Env::named("THON_KILO_CONFIG");
        /// The file that the generated configuration is based on.
        pub skeleton_file: Option<PathBuf> = Some(PathBuf::from("config/kilo.jsonc.skeleton"));
        /// The model that Kilo chats with.
        pub chat_model: String = "lemonade/user.gemma-4-31b-it".to_owned();
        /// The model for titles and summaries; empty for the chat model.
        pub small_model: String = String::new();
    }
}

section! {
    /// The gateway between participants and models: who may ask how much.
    pub struct GatewayConfig {
        /// Put the gateway between participants and models.
        pub enabled: bool = false, env Env::PATH;
        /// Who shares a gateway identity.
        pub mode: GatewayMode = GatewayMode::PerUser, env Env::PATH.always();
        /// What the limits count.
        pub rate_limit_scope: RateLimitScope = RateLimitScope::PerUser, env Env::PATH;
        /// The key of the gateway's own administration.
        pub admin_key: Secret = Secret::default(), env Env::PATH;
        /// The Redis server that several gateways count in; empty where each counts for itself.
        pub redis_host: String = String::new(), env Env::PATH,
            must "a host name or address, or nothing" |text| text.is_empty() || is_host(text);
        /// The Redis server's port.
        pub redis_port: Port = port(6379), env Env::PATH;
        /// Requests of a consumer at one time; 0 for no limit.
        pub concurrency_limit: u32 = 1, env Env::PATH.always(),
            must "a whole number from 0 to 65535" |n| *n <= 65_535;
        /// Tokens of a consumer per window; 0 for no limit.
        pub token_limit: u32 = 0, env Env::PATH;
        /// The window of the token limit, in seconds.
        pub token_window: u32 = 60, env Env::PATH,
            must "a whole number from 1 to 86400" |n| (1..=86_400).contains(n);
        /// Limits of single models.
        pub model_concurrency: Vec<ModelConcurrency> = Vec::new();
    }
    obsolete {
        "rate_limit" => "use gateway.token_limit";
        "time_window" => "use gateway.token_window";
    }
}

section! {
    /// The limits of one model at the gateway.
    pub struct ModelConcurrency {
        /// The model's short name.
        pub model: String = String::new();
        /// Requests of a consumer at one time; 0 for no limit.
        pub concurrency_limit: u32 = 1, must "a whole number from 0 to 65535" |n| *n <= 65_535;
        /// Tokens of a consumer per window; 0 for no limit.
        pub token_limit: u32 = 0;
        /// The window of the token limit, in seconds.
        pub token_window: u32 = 60, must "a whole number from 1 to 86400" |n| (1..=86_400).contains(n);
        /// Which model is tried first; the higher one.
        pub priority: i32 = 0;
    }
}

impl ModelConcurrency {
    /// The name under which participants ask for the model.
    #[must_use]
    pub fn route_name(&self) -> String {
        format!("user.{}", self.model)
    }

    /// The name of the model's instance at the gateway.
    #[must_use]
    pub fn instance_name(&self) -> String {
        format!("{}-instance", self.model)
    }
}

section! {
    /// Traces of what the models are asked (Langfuse).
    pub struct LangfuseConfig {
        /// Send traces.
        pub enabled: bool = false, env Env::PATH;
        /// The project's public key.
        pub public_key: String = String::new(), env Env::PATH;
        /// The project's secret key.
        pub secret_key: Secret = Secret::default(), env Env::PATH;
        /// The address of the Langfuse server.
        pub base_url: String = "https://cloud.langfuse.com".to_owned(), env Env::named("LANGFUSE_BASEURL"),
            must "an address such as https://cloud.langfuse.com" |text| is_url(text);
    }
}
