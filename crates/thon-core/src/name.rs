//! The names of groups, users and nodes, and every name that is derived from them.
//!
//! For: checking a name once, where it enters, and mapping a user one-to-one to the volume, the
//! container, the gateway consumer and the folder that belong to them.
//! Not for: display names and e-mail addresses, which are free text and live in the roster.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// The longest slug, in characters. Two of them, a separator and a prefix stay within the 63
/// characters of a DNS label's neighbourhood and far within Docker's limit for names.
pub const MAX_LENGTH: usize = 32;

/// Stands between group and user in derived names. A slug can't contain it, so that group `a-b`
/// with user `c` and group `a` with user `b-c` never meet.
pub const SEPARATOR: char = '_';

/// What a name may look like, in the words of every error message.
pub const ALLOWED: &str =
    "lower-case letters a-z, digits and inner hyphens, 1 to 32 characters, such as `ada-lovelace`";

/// A name that was refused, and what could stand in its place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} {} is refused: {problem}; allowed are {ALLOWED}{}", quoted(.value), hint(.suggestion.as_deref()))]
pub struct NameError {
    /// What the name was meant for: `group name`, `user name`, `node name`.
    pub what: &'static str,
    /// The text as it was given.
    pub value: String,
    /// What is wrong with it.
    pub problem: &'static str,
    /// A slug made from the text, where one can be made.
    pub suggestion: Option<String>,
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |slug| format!("; try `{slug}`"))
}

/// A value quoted for an error line: control characters escaped, long texts cut.
#[must_use]
pub fn quoted(value: &str) -> String {
    const SHOWN: usize = 48;
    let mut text: String = value.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    let total = value.chars().count();
    if total > SHOWN {
        text.push('…');
        return format!("\"{text}\" ({total} characters)");
    }
    format!("\"{text}\"")
}

/// Makes a slug of any text: accents dropped, everything else that isn't allowed becomes a hyphen.
/// Nothing where no letter or digit is left.
#[must_use]
pub fn slugify(text: &str) -> Option<String> {
    let local = text.split_once('@').map_or(text, |(local, _)| local);
    let mut slug = String::new();
    for character in local.chars().flat_map(char::to_lowercase) {
        match plain(character) {
            Some(plain) => slug.push_str(plain),
            None if character.is_ascii_lowercase() || character.is_ascii_digit() => {
                slug.push(character);
            }
            None if slug.ends_with('-') || slug.is_empty() => {}
            None => slug.push('-'),
        }
    }
    let slug: String = slug.chars().take(MAX_LENGTH).collect();
    let slug = slug.trim_matches('-');
    (!slug.is_empty()).then(|| slug.to_owned())
}

/// The plain form of the Latin letters that people's names carry most.
fn plain(character: char) -> Option<&'static str> {
    Some(match character {
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'ä' | 'æ' => "ae",
        'ç' | 'ć' | 'č' | 'ĉ' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' => "e",
        'ğ' | 'ģ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'į' | 'ı' => "i",
        'ķ' => "k",
        'ł' | 'ľ' | 'ļ' => "l",
        'ñ' | 'ń' | 'ň' | 'ņ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ō' | 'ő' => "o",
        'ö' | 'ø' | 'œ' => "oe",
        'ř' => "r",
        'ś' | 'š' | 'ş' | 'ș' => "s",
        'ß' => "ss",
        'ť' | 'ţ' | 'ț' => "t",
        'þ' => "th",
        'ù' | 'ú' | 'û' | 'ū' | 'ů' | 'ű' | 'ų' => "u",
        'ü' => "ue",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    })
}

fn check(what: &'static str, value: &str) -> Result<(), NameError> {
    let problem = if value.is_empty() {
        "it is empty"
    } else if value.chars().count() > MAX_LENGTH {
        "it is longer than 32 characters"
    } else if value.starts_with('-') || value.ends_with('-') {
        "it starts or ends with a hyphen"
    } else if value.chars().any(|c| c.is_ascii_uppercase()) {
        "it has capital letters"
    } else if !value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        "it has characters that a URL, a volume or a host name can't carry"
    } else {
        return Ok(());
    };
    // Of `<group>/<user>`, where the user alone is asked for, the user is meant.
    let meant = match value.split_once('/') {
        Some((group, user))
            if !user.contains('/') && check(what, group).is_ok() && check(what, user).is_ok() =>
        {
            user
        }
        _ => value,
    };
    Err(NameError { what, value: value.to_owned(), problem, suggestion: slugify(meant) })
}

macro_rules! slug_type {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// Checks and wraps a name.
            pub fn new(value: impl Into<String>) -> Result<Self, NameError> {
                let value = value.into();
                check($what, &value)?;
                Ok(Self(value))
            }

            /// The slug.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(value: &str) -> Result<Self, NameError> {
                Self::new(value)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            // Through a visitor of its own, so that a YAML error carries the line of this very name.
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(SlugVisitor::<$type>(std::marker::PhantomData))
            }
        }

        impl Slug for $type {
            const WHAT: &'static str = $what;

            fn parse(value: &str) -> Result<Self, NameError> {
                Self::new(value)
            }
        }
    };
}

/// What the visitor needs to know of a slug type.
trait Slug: Sized {
    const WHAT: &'static str;
    fn parse(value: &str) -> Result<Self, NameError>;
}

struct SlugVisitor<T>(std::marker::PhantomData<T>);

impl<T: Slug> de::Visitor<'_> for SlugVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}: {ALLOWED}", T::WHAT)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<T, E> {
        T::parse(value).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }
}

slug_type!(
    /// The name of a group (a team, a class).
    GroupName,
    "group name"
);
slug_type!(
    /// The name of a user within their group.
    Username,
    "user name"
);
slug_type!(
    /// The name of a node: what keeps two THON installations on one Docker daemon apart.
    NodeName,
    "node name"
);

impl Default for NodeName {
    fn default() -> Self {
        Self("thon".to_owned())
    }
}

/// A participant: user `user` of group `group`. Everything that belongs to them is named from this.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserId {
    /// The group.
    pub group: GroupName,
    /// The user within the group.
    pub user: Username,
}

impl UserId {
    /// Puts the two names together.
    #[must_use]
    pub fn new(group: GroupName, user: Username) -> Self {
        Self { group, user }
    }

    /// The gateway identity, `<group>_<user>`: the alphabet that Apache APISIX allows.
    #[must_use]
    pub fn consumer_name(&self) -> String {
        self.key()
    }

    /// Both names as one, `<group>_<user>`: the id under which interfaces know them.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}{SEPARATOR}{}", self.group, self.user)
    }

    /// The user whose [`Self::key`] this is.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        let (group, user) = key.split_once(SEPARATOR)?;
        Some(Self::new(group.parse().ok()?, user.parse().ok()?))
    }

    /// The named volume that holds the workspace, `thon-workspace-<group>_<user>` on the default node.
    #[must_use]
    pub fn volume_name(&self, node: &NodeName) -> String {
        format!("{node}-workspace-{}{SEPARATOR}{}", self.group, self.user)
    }

    /// The sandbox's container name, `thon-sandbox-<group>_<user>` on the default node.
    #[must_use]
    pub fn container_name(&self, node: &NodeName) -> String {
        format!("{node}-sandbox-{}{SEPARATOR}{}", self.group, self.user)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.group, self.user))
    }
}

impl FromStr for UserId {
    type Err = NameError;

    /// Reads `<group>/<user>`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let Some((group, user)) = text.split_once('/') else {
            return Err(NameError {
                what: "user",
                value: text.to_owned(),
                problem: "it is not of the form <group>/<user>",
                suggestion: None,
            });
        };
        Ok(Self::new(group.parse()?, user.parse()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(group: &str, user: &str) -> UserId {
        UserId::new(group.parse().unwrap(), user.parse().unwrap())
    }

    #[test]
    fn names_that_a_person_would_try() {
        for good in ["a", "alice", "team-7", "0", "a--b", &"x".repeat(32)] {
            assert!(Username::new(good).is_ok(), "{good}");
        }
        for bad in
            ["", "-a", "a-", "Alice", "a b", "a_b", "a.b", "../x", "$(id)", "a\nb", "é", "🦀"]
        {
            assert!(Username::new(bad).is_err(), "{bad}");
        }
        assert!(Username::new("x".repeat(33)).is_err());
    }

    #[test]
    fn a_refusal_suggests_a_slug() {
        let suggestion = |text: &str| Username::new(text).unwrap_err().suggestion;
        assert_eq!(suggestion("Ada Lovelace").as_deref(), Some("ada-lovelace"));
        assert_eq!(suggestion("José Müller").as_deref(), Some("jose-mueller"));
        assert_eq!(suggestion("beta/bob").as_deref(), Some("bob"));
        assert!(suggestion(&"a/".repeat(1_000_000)).is_some(), "however often");
        assert_eq!(suggestion("grace.hopper@navy.mil").as_deref(), Some("grace-hopper"));
        assert_eq!(suggestion("../../etc").as_deref(), Some("etc"));
        assert_eq!(suggestion("🦀"), None);
    }

    #[test]
    fn a_refusal_is_one_line_however_long_and_hostile_the_name() {
        let error = Username::new(format!("a\nb{}", "x".repeat(300))).unwrap_err().to_string();
        assert!(!error.contains('\n') && error.len() < 320, "{error}");
        assert!(error.contains("303 characters"), "{error}");
    }

    #[test]
    fn hyphens_never_make_two_users_meet() {
        let (one, other) = (id("a-b", "c"), id("a", "b-c"));
        let node = NodeName::default();
        assert_ne!(one.volume_name(&node), other.volume_name(&node));
        assert_ne!(one.container_name(&node), other.container_name(&node));
        assert_ne!(one.consumer_name(), other.consumer_name());
        assert_eq!(one.volume_name(&node), "thon-workspace-a-b_c");
    }

    proptest! {
        #[test]
        fn derived_names_are_one_to_one(
            a in "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", b in "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?",
            c in "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", d in "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?",
        ) {
            let (one, other) = (id(&a, &b), id(&c, &d));
            prop_assert_eq!(one == other, one.consumer_name() == other.consumer_name());
        }

        #[test]
        fn every_suggestion_is_accepted(text in "\\PC{0,60}") {
            if let Some(slug) = slugify(&text) {
                prop_assert!(Username::new(slug).is_ok());
            }
        }
    }
}
