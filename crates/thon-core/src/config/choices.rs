//! The enumerations of the configuration.
//!
//! For: words that stand for a choice: read in any case, written in one.
//! Not for: keys, defaults and meanings; see [`super::schema`].

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::leaf::Leaf;
use super::types::{ValueError, serialize_as_text};

/// Declares an enumeration with the words for its values; the first value is the default, the first
/// word is the one that is written, capitals don't matter.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        pub enum $name:ident {
            $( $(#[doc = $doc:literal])+ $value:ident = $word:literal $(| $other:literal)*, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[doc = $doc])+ $value, )+
        }

        impl $name {
            /// All values, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The word that is written for the value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$value => $word, )+ }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::ALL[0]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                $(
                    if [$word $(, $other)*].iter().any(|word| word.eq_ignore_ascii_case(text)) {
                        return Ok(Self::$value);
                    }
                )+
                Err(ValueError::new(text, &Self::allowed()))
            }
        }

        serialize_as_text!($name);

        impl Leaf for $name {
            fn allowed() -> String {
                let word = |value: &Self| match value.as_str() {
                    "" => "\"\"".to_owned(),
                    word => word.to_owned(),
                };
                format!("one of {}", Self::ALL.iter().map(word).collect::<Vec<_>>().join(", "))
            }

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error: ValueError| error.to_string())
            }

            fn text(&self) -> String {
                self.as_str().to_owned()
            }
        }
    };
}

choice! {
    /// How instances are laid out in public.
    pub enum Layout {
        /// One server on one port, one path per instance.
        Path = "path",
        /// One TLS port per instance.
        Port = "port",
        /// One name per instance, `<user>.<group>.<domain>`.
        Subdomain = "subdomain",
    }
}

impl Layout {
    /// True if all participants' editors are of one origin to browsers.
    #[must_use]
    pub const fn shares_origin(self) -> bool {
        matches!(self, Self::Path)
    }
}

choice! {
    /// What becomes of an instance that nobody uses.
    pub enum IdleAction {
        /// It is reported and runs on.
        Ignore = "ignore",
        /// It is frozen: its memory is kept, it takes no CPU time.
        Pause = "pause",
        /// It is stopped: its memory is free for others.
        Stop = "stop",
    }
}

choice! {
    /// How much is logged.
    pub enum LogLevel {
        /// What happened.
        Info = "INFO",
        /// Every step.
        Trace = "TRACE",
        /// Every decision.
        Debug = "DEBUG",
        /// What may become a problem.
        Warn = "WARNING" | "WARN",
        /// What failed.
        Error = "ERROR" | "CRITICAL",
    }
}

choice! {
    /// Whose nginx serves the instances.
    pub enum NginxMode {
        /// The system's where its service runs, else one of our own.
        Auto = "auto",
        /// The system's service.
        System = "system",
        /// A process of our own.
        Managed = "managed",
    }
}

choice! {
    /// Where certificates come from.
    pub enum SslProvider {
        /// mkcert, else certbot when a domain is set, else the embedded authority.
        Auto = "auto",
        /// The mkcert program.
        Mkcert = "mkcert",
        /// The openssl program.
        Openssl = "openssl",
        /// An authority inside THON.
        Embedded = "embedded",
        /// Let's Encrypt through the certbot program.
        Certbot = "certbot",
    }
}

choice! {
    /// As what somebody comes in. Beside a participant each may do what the ones before may.
    pub enum Role {
        /// Their own instance, and nothing else.
        Participant = "participant",
        /// See everything but passwords and keys.
        Viewer = "viewer",
        /// Launch, pause, restart, stop; see instances' passwords and logs.
        Operator = "operator",
        /// Everything.
        Admin = "admin",
    }
}

choice! {
    /// Who vouches for an account.
    pub enum ProviderKind {
        /// GitHub.
        Github = "github",
        /// GitLab.
        Gitlab = "gitlab",
        /// LinkedIn.
        Linkedin = "linkedin",
        /// Another one, over OpenID Connect.
        Oidc = "oidc",
    }
}

choice! {
    /// What llama.cpp computes on.
    pub enum LlamaBackend {
        /// What the machine offers.
        Auto = "auto",
        /// The CPU.
        Cpu = "cpu",
        /// Any GPU with a Vulkan driver.
        Vulkan = "vulkan",
        /// AMD's graphics cards.
        Rocm = "rocm",
        /// Apple's Metal.
        Metal = "metal",
        /// Whatever the system's own llama.cpp was built for.
        System = "system",
    }
}

choice! {
    /// Which builds of llama.cpp for AMD's graphics cards are used.
    pub enum RocmChannel {
        /// Early builds.
        Preview = "preview",
        /// Releases.
        Stable = "stable",
        /// Last night's build.
        Nightly = "nightly",
    }
}

choice! {
    /// The number format of llama.cpp's key and value cache.
    pub enum CacheType {
        /// 8 bits.
        Q8 = "q8_0",
        /// 32-bit floats.
        F32 = "f32",
        /// 16-bit floats.
        F16 = "f16",
        /// 16-bit brain floats.
        Bf16 = "bf16",
        /// 4 bits.
        Q4 = "q4_0",
        /// 4 bits with an offset.
        Q4Offset = "q4_1",
        /// 4 bits, not linear.
        Iq4 = "iq4_nl",
        /// 5 bits.
        Q5 = "q5_0",
        /// 5 bits with an offset.
        Q5Offset = "q5_1",
    }
}

choice! {
    /// How a model is spread over several GPUs.
    pub enum SplitMode {
        /// As llama.cpp chooses.
        Unset = "",
        /// Not at all.
        None = "none",
        /// By layers.
        Layer = "layer",
        /// By rows.
        Row = "row",
        /// By tensors.
        Tensor = "tensor",
    }
}

choice! {
    /// Who shares a gateway identity.
    pub enum GatewayMode {
        /// Everybody has their own.
        PerUser = "per-user",
        /// A group shares one.
        PerGroup = "per-group",
    }
}

choice! {
    /// What a rate limit counts.
    pub enum RateLimitScope {
        /// All of a consumer's requests together.
        PerUser = "per-user",
        /// Each model's requests for themselves.
        PerModel = "per-model",
    }
}
