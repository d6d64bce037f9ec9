//! Text that must not be seen: passwords and keys.
//!
//! For: carrying a secret through the program without it ever reaching a log or an error message.
//! Not for: encryption. Whoever needs the text calls [`Secret::reveal`], which is easy to search for.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands in the place of a secret wherever one would be printed.
pub const MASK: &str = "********";

/// A secret text. `Debug`, `Display` and `Serialize` show [`MASK`], never the text.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that hands it to its reader.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True where no secret was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { MASK })
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { MASK })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_printing_shows_the_text() {
        let secret = Secret::new("hunter2");
        let shown = format!("{secret:?} {secret} {}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn an_absent_secret_reads_as_absent() {
        assert_eq!(format!("{:?}", Secret::default()), "\"\"");
        assert!(Secret::default().is_empty());
    }
}
