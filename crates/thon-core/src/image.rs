//! References to container images.
//!
//! For: telling a usable reference from a typing error before Docker is asked.
//! Not for: pulling or building; that is the runtime's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::name::quoted;

/// The longest reference that registries accept, in characters.
const MAX_LENGTH: usize = 255;

/// A text that is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{} is no image reference: expected [registry/]name[:tag], such as `waterpistol/thon:latest`",
    quoted(.value)
)]
pub struct ImageRefError {
    /// The text as given.
    pub value: String,
}

/// An image reference, `[registry[:port]/]name[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef(String);

impl ImageRef {
    /// The reference as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The reference split in name and tag; `latest` where none is written.
    #[must_use]
    pub fn name_and_tag(&self) -> (&str, &str) {
        let name = self.0.split_once('@').map_or(self.0.as_str(), |(name, _)| name);
        match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (name, "latest"),
        }
    }
}

impl Default for ImageRef {
    fn default() -> Self {
        Self("waterpistol/thon:latest".to_owned())
    }
}

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        let legal =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | '@');
        let name_start = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        let ends_well = text.chars().last().is_some_and(|c| c.is_ascii_alphanumeric());
        if !name_start
            || !ends_well
            || text.len() > MAX_LENGTH
            || !text.chars().all(legal)
            || text.contains("//")
        {
            return Err(ImageRefError { value: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ImageRef {
    type Error = ImageRefError;

    fn try_from(text: String) -> Result<Self, ImageRefError> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.0
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_tag_are_told_apart_from_a_registry_port() {
        let split = |text: &str| {
            let image: ImageRef = text.parse().unwrap();
            let (name, tag) = image.name_and_tag();
            format!("{name} {tag}")
        };
        assert_eq!(split("waterpistol/thon"), "waterpistol/thon latest");
        assert_eq!(split("reg.example:5000/thon"), "reg.example:5000/thon latest");
        assert_eq!(split("reg.example:5000/thon:7"), "reg.example:5000/thon 7");
    }

    #[test]
    fn typing_errors_are_refused() {
        for text in ["", " thon", "thon:", "-thon", "a//b", "thon latest", "a;b"] {
            assert!(text.parse::<ImageRef>().is_err(), "{text}");
        }
    }
}
