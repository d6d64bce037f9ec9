//! The settings that can be stored.
//!
//! For: a fixed list of keys with what each may hold; which of them are secret.
//! Not for: thon.yaml's keys, see [`crate::config`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;

use crate::config::Config;
use crate::name::quoted;
use crate::secret::Secret;

macro_rules! settings {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $kind:ident, $secret:literal;)*) => {
        /// A setting. There are these and no others.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SettingKey {
            $($(#[$doc])* $variant,)*
        }

        impl SettingKey {
            /// All settings.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name under which it is stored.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// True if its value must not be shown.
            #[must_use]
            pub const fn is_secret(self) -> bool {
                match self { $(Self::$variant => $secret,)* }
            }

            const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }
        }
    };
}

settings! {
    /// The address under which participants reach this machine.
    ExternalIp = "external_ip", Address, false;
    /// The domain of the machine.
    NginxDomain = "nginx_domain", Text, false;
    /// Whether the gateway is used.
    GatewayEnabled = "gateway_enabled", Truth, false;
    /// Whose the gateway's keys are.
    GatewayMode = "gateway_mode", Text, false;
    /// How many requests the gateway lets through in a window.
    GatewayRateLimit = "gateway_rate_limit", Number, false;
    /// How long that window is, in seconds.
    GatewayTimeWindow = "gateway_time_window", Number, false;
    /// The host of the gateway's Redis.
    GatewayRedisHost = "gateway_redis_host", Text, false;
    /// The port of the gateway's Redis.
    GatewayRedisPort = "gateway_redis_port", Port, false;
    /// Where the gateway is administered.
    GatewayAdminUrl = "gateway_admin_url", Text, false;
    /// The key for administering the gateway.
    GatewayAdminKey = "gateway_admin_key", Text, true;
    /// The port that the gateway serves.
    GatewayProxyPort = "gateway_proxy_port", Port, false;
}

/// What a setting may hold.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Address,
    Truth,
    Number,
    Port,
    Text,
}

impl Kind {
    const fn allowed(self) -> &'static str {
        match self {
            Self::Address => "an IP address",
            Self::Truth => "true or false",
            Self::Number => "a whole number",
            Self::Port => "a port from 1 to 65535",
            Self::Text => "one line of at most 500 characters",
        }
    }

    fn fits(self, text: &str) -> bool {
        match self {
            Self::Address => text.parse::<IpAddr>().is_ok(),
            Self::Truth => matches!(text, "true" | "false"),
            Self::Number => text.parse::<u32>().is_ok(),
            Self::Port => text.parse::<u16>().is_ok_and(|port| port > 0),
            Self::Text => {
                (1..=500).contains(&text.chars().count())
                    && !text.chars().any(crate::config::error::unprintable)
            }
        }
    }
}

impl fmt::Display for SettingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SettingKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|key| key.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("setting {} is not known; known are {known}", quoted(text))
        })
    }
}

impl Serialize for SettingKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A setting with a value that fits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    key: SettingKey,
    value: Secret,
}

impl Setting {
    /// Checks the value. The refusal of a secret doesn't quote it.
    pub fn new(key: SettingKey, value: &str) -> Result<Self, String> {
        let value = value.trim();
        if !key.kind().fits(value) {
            let shown = if key.is_secret() { "its value".to_owned() } else { quoted(value) };
            return Err(format!("{key}: {shown} is not allowed: {}", key.kind().allowed()));
        }
        Ok(Self { key, value: Secret::new(value) })
    }

    /// Which one.
    #[must_use]
    pub const fn key(&self) -> SettingKey {
        self.key
    }

    /// The value itself, for whoever uses it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.value.reveal()
    }

    /// The value as it may be shown.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.key.is_secret() { self.value.to_string() } else { self.value.reveal().to_owned() }
    }
}

/// Completes what thon.yaml leaves open with what is stored: the file's word counts where it says
/// something.
pub fn complete(config: &mut Config, settings: &BTreeMap<SettingKey, Setting>) {
    let value = |key: SettingKey| settings.get(&key).map(Setting::reveal);
    if config.external_ip.is_none() {
        // Checked before it was stored.
        config.external_ip = value(SettingKey::ExternalIp).and_then(|text| text.parse().ok());
    }
    if config.nginx.domain.is_none() {
        config.nginx.domain = value(SettingKey::NginxDomain).and_then(|text| text.parse().ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_secrets_never_quoted() {
        assert!(Setting::new(SettingKey::ExternalIp, "203.0.113.7").is_ok());
        let refused = Setting::new(SettingKey::ExternalIp, "here").unwrap_err();
        assert_eq!(refused, "external_ip: \"here\" is not allowed: an IP address");
        let refused = Setting::new(SettingKey::GatewayAdminKey, "hun\nter2").unwrap_err();
        assert!(!refused.contains("hun"), "{refused}");
        let key = Setting::new(SettingKey::GatewayAdminKey, "hunter2").unwrap();
        assert!(!format!("{key:?} {}", key.shown()).contains("hunter2"));
        assert_eq!(key.reveal(), "hunter2");
    }

    #[test]
    fn every_key_is_found_by_its_name_and_no_other_is() {
        for key in SettingKey::ALL {
            assert_eq!(key.as_str().parse(), Ok(key));
        }
        assert!("config_groups_yaml".parse::<SettingKey>().unwrap_err().contains("external_ip"));
    }

    #[test]
    fn what_thon_yaml_leaves_open_is_completed_and_what_it_says_counts() {
        let stored = |key, text| (key, Setting::new(key, text).unwrap());
        let settings = BTreeMap::from([
            stored(SettingKey::ExternalIp, "203.0.113.7"),
            stored(SettingKey::NginxDomain, "hack.example.org"),
        ]);
        let read = |text| {
            let mut config = Config::parse(text, "thon.yaml").unwrap().config;
            complete(&mut config, &settings);
            (config.external_ip.unwrap().to_string(), config.nginx.domain.unwrap().to_string())
        };
        assert_eq!(read("{}"), ("203.0.113.7".to_owned(), "hack.example.org".to_owned()));
        let said = read("{external_ip: 192.0.2.1, nginx: {domain: other.example.org}}");
        assert_eq!(said, ("192.0.2.1".to_owned(), "other.example.org".to_owned()));
    }
}
