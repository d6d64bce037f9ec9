//! The names of archives, and the file with their checksums.
//!
//! For: which file holds whose workspace, and reading and writing `SHA256SUMS` in the form that
//! `sha256sum` knows.
//! Not for: computing a checksum.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::name::{GroupName, NameError, SEPARATOR, UserId, Username};

/// What the name of an archive ends with.
pub const ARCHIVE_SUFFIX: &str = ".tar.zst";

/// The file beside archives that holds their checksums.
pub const SUMS_FILE: &str = "SHA256SUMS";

/// The archive of a user's workspace: `<group>_<user>.tar.zst`.
#[must_use]
pub fn archive_name(user: &UserId) -> String {
    format!("{}{SEPARATOR}{}{ARCHIVE_SUFFIX}", user.group, user.user)
}

/// Whose workspace is in the archive of this name; nothing where the name doesn't tell.
#[must_use]
pub fn archive_user(name: &str) -> Option<Result<UserId, NameError>> {
    let (group, user) = name.strip_suffix(ARCHIVE_SUFFIX)?.split_once(SEPARATOR)?;
    Some(GroupName::new(group).and_then(|group| Ok(UserId::new(group, Username::new(user)?))))
}

/// The lines of a `SHA256SUMS`, by the names of the files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checksums(BTreeMap<String, String>);

/// A line that is none of `sha256sum`'s.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} is no checksum and name of a file, as `sha256sum` writes them")]
pub struct SumsError {
    /// The line, from 1.
    pub line: usize,
}

impl Checksums {
    /// Notes the checksum of a file, in the place of an older one.
    pub fn set(&mut self, name: impl Into<String>, sum: impl Into<String>) {
        self.0.insert(name.into(), sum.into());
    }

    /// Forgets the checksum of a file. Says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// The checksum of a file: 64 hexadecimal digits in small letters.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl FromStr for Checksums {
    type Err = SumsError;

    fn from_str(text: &str) -> Result<Self, SumsError> {
        let mut sums = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let error = SumsError { line: index + 1 };
            // Two spaces, or a space and a star for a file that was read as binary.
            let (sum, name) = line.split_at_checked(64).ok_or(error.clone())?;
            let name = name.strip_prefix("  ").or_else(|| name.strip_prefix(" *"));
            let name = name.filter(|name| !name.is_empty()).ok_or(error.clone())?;
            if !sum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(error);
            }
            sums.set(name.strip_prefix("./").unwrap_or(name), sum.to_ascii_lowercase());
        }
        Ok(sums)
    }
}

impl fmt::Display for Checksums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, sum)| writeln!(f, "{sum}  {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_named_after_its_user_and_read_back() {
        let user: UserId = "a-b/c".parse().unwrap();
        assert_eq!(archive_name(&user), "a-b_c.tar.zst");
        assert_eq!(archive_user("a-b_c.tar.zst").unwrap().unwrap(), user);
        for name in ["notes.tar.zst", "a_b.zip", "a_b"] {
            assert!(archive_user(name).is_none(), "{name}");
        }
        for name in ["_.tar.zst", "A_b.tar.zst", "a_b_c.tar.zst", "a_...tar.zst"] {
            assert!(archive_user(name).unwrap().is_err(), "{name}");
        }
    }

    #[test]
    fn the_checksums_that_sha256sum_writes_are_read_and_written() {
        let one = "0123456789abcdef".repeat(4);
        let text = format!("{one}  b.tar.zst\n\n{} *./a.tar.zst\n", one.to_ascii_uppercase());
        let mut sums: Checksums = text.parse().unwrap();
        assert_eq!(sums.get("a.tar.zst"), Some(&*one));
        sums.set("b.tar.zst", "f".repeat(64));
        assert_eq!(sums.to_string(), format!("{one}  a.tar.zst\n{}  b.tar.zst\n", "f".repeat(64)));
        assert_eq!(sums.to_string().parse(), Ok(sums));
        for bad in ["x", &format!("{one} a"), &format!("{one}  "), &"é".repeat(70)] {
            assert_eq!(bad.parse::<Checksums>(), Err(SumsError { line: 1 }), "{bad}");
        }
    }
}
