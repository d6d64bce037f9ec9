//! Addresses of web services that secrets travel to.
//!
//! For: reading them once, so that what travels is always sealed by TLS or stays on this machine.
//! Not for: addresses that may be anything; [`super::types`] has those.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::leaf::{Leaf, text_leaf};
use super::types::{ValueError, is_host, is_loopback, serialize_as_text};

/// What such an address looks like.
const WEB: &str = "an address such as https://hack.example.org:8502, without user, query and fragment; http:// \
                   only on this machine's loopback";

/// The address of a web service over TLS, or on this machine's loopback.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WebUrl {
    text: String,
    /// Where the path begins.
    path: usize,
}

impl WebUrl {
    /// The address, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address without a slash at its end, for a path to follow.
    #[must_use]
    pub fn base(&self) -> &str {
        self.text.trim_end_matches('/')
    }

    /// Whether it is one over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https://")
    }

    /// Host and port, as a browser names them in `Host`.
    #[must_use]
    pub fn authority(&self) -> &str {
        let after = self.text.split_once("://").map_or("", |(_, rest)| rest);
        let authority = after.split('/').next().unwrap_or_default();
        let usual = if self.is_https() { ":443" } else { ":80" };
        authority.strip_suffix(usual).unwrap_or(authority)
    }

    /// The host alone.
    #[must_use]
    pub fn host(&self) -> &str {
        split(self.authority()).map_or("", |(host, _)| host)
    }

    /// Whether nothing follows the host.
    #[must_use]
    pub fn is_origin(&self) -> bool {
        matches!(&self.text[self.path..], "" | "/")
    }
}

/// Host, without the brackets of version 6, and port.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        return host.contains(':').then_some((host, port));
    }
    Some(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))))
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for WebUrl {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refused = || ValueError::new(text, WEB);
        let (scheme, rest) = text.split_once("://").ok_or_else(refused)?;
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = split(authority).ok_or_else(refused)?;
        let number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let port_fits =
            port.is_none_or(|port| number(port) && port.parse::<u16>().is_ok_and(|port| port > 0));
        let legal = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&()*+,;=:@/[]".contains(c);
        let sealed = scheme == "https" || (scheme == "http" && is_loopback(host));
        if !sealed || !is_host(host) || !port_fits || !rest.chars().all(legal) {
            return Err(refused());
        }
        Ok(Self { text: text.to_owned(), path: scheme.len() + "://".len() + authority.len() })
    }
}

serialize_as_text!(WebUrl);

text_leaf! {
    WebUrl: "an address such as https://hack.example.org:8502",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_secrets_travel_to_is_sealed_or_here() {
        for text in [
            "https://hack.example.org",
            "https://hack.example.org:8502/",
            "https://login.example.org/realms/thon",
            "https://203.0.113.7:8502",
            "https://[2001:db8::7]:8502/x",
            "http://127.0.0.1:8501",
            "http://localhost:3000/oidc",
            "http://[::1]:8501",
        ] {
            assert_eq!(text.parse::<WebUrl>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "hack.example.org",
            "http://hack.example.org",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "https://user@hack.example.org",
            "https://hack.example.org?x=1",
            "https://hack.example.org/#x",
            "https://hack.example.org:0",
            "https://hack.example.org:99999",
            "https://hack.example.org:+1",
            "https://",
            "https:///x",
            "https://a b",
            "https://[::1",
            "ftp://127.0.0.1",
        ] {
            let error = text.parse::<WebUrl>().unwrap_err().to_string();
            assert!(error.contains("https://hack.example.org:8502"), "{text}: {error}");
        }
    }

    #[test]
    fn its_parts_are_what_a_browser_says() {
        let url = |text: &str| text.parse::<WebUrl>().unwrap();
        assert_eq!(url("https://a.example:443/x").authority(), "a.example");
        assert_eq!(url("https://a.example:80").authority(), "a.example:80");
        assert_eq!(url("http://[::1]:8501/").authority(), "[::1]:8501");
        assert_eq!(url("http://[::1]:8501/").host(), "::1");
        assert_eq!(url("https://a.example/x/").base(), "https://a.example/x");
        assert!(url("https://a.example/").is_origin() && url("https://a.example").is_origin());
        assert!(!url("https://a.example/x").is_origin());
    }
}
