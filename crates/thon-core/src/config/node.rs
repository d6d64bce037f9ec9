//! The tree of a configuration: sections, lists and what every key of them has.
//!
//! For: declaring a section once (name, type, default, environment variable, meaning) and having
//! from that one declaration the struct, its defaults, reading, writing, the table of keys and the
//! overrides from the environment.
//! Not for: the keys themselves; see [`super::schema`].

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_yaml::Value;

use super::read::{KeySeed, Reader, Step};
use super::suggest;
use crate::name::quoted;

/// The most entries of a list in the configuration.
const MAX_LIST: usize = 256;

/// Whether secrets are written in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShowSecrets {
    /// A mask stands in the place of each.
    #[default]
    Masked,
    /// In clear: for a file that only its owner can read, or for a person who asked.
    Revealed,
}

/// A condition on the value of one key.
pub(crate) struct Rule<T> {
    pub(crate) allowed: &'static str,
    pub(crate) holds: fn(&T) -> bool,
}

impl<T> Clone for Rule<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Rule<T> {}

/// The environment variable of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variable {
    None,
    /// The path in capitals, `sandbox.image` → `SANDBOX_IMAGE`.
    OfPath,
    Named(&'static str),
}

/// The environment variable of a key, and when it is exported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Env {
    pub(crate) variable: Variable,
    /// Exported even where the value is the default.
    pub(crate) always: bool,
}

impl Env {
    pub(crate) const NONE: Self = Self { variable: Variable::None, always: false };
    pub(crate) const PATH: Self = Self { variable: Variable::OfPath, always: false };

    pub(crate) const fn named(name: &'static str) -> Self {
        Self { variable: Variable::Named(name), always: false }
    }

    pub(crate) const fn always(self) -> Self {
        Self { always: true, ..self }
    }
}

/// What is known of a key beside its value.
pub(crate) struct Meta {
    pub(crate) meaning: &'static str,
    pub(crate) env: Env,
    /// The words of the key's rule.
    pub(crate) allowed: Option<&'static str>,
}

impl Meta {
    /// For values that are not below any key.
    pub(crate) const ROOT: Self = Self { meaning: "", env: Env::NONE, allowed: None };
}

/// A leaf met on a walk.
pub(crate) struct Found<'a> {
    pub(crate) path: &'a str,
    pub(crate) meta: &'a Meta,
    pub(crate) allowed: String,
    pub(crate) secret: bool,
    /// The value in clear.
    pub(crate) text: String,
}

impl Found<'_> {
    /// The environment variable that stands for this key.
    pub(crate) fn variable(&self) -> Option<String> {
        match self.meta.env.variable {
            Variable::None => None,
            Variable::OfPath => Some(self.path.replace('.', "_").to_ascii_uppercase()),
            Variable::Named(name) => Some(name.to_owned()),
        }
    }
}

/// Anything that can stand behind a key.
pub(crate) trait Node: Sized {
    /// Reads it from YAML.
    fn read<'de, D: Deserializer<'de>>(
        reader: &Reader<'_>,
        rule: Option<Rule<Self>>,
        deserializer: D,
    ) -> Result<Self, D::Error>;

    /// Writes it as YAML.
    fn yaml(&self, show: ShowSecrets) -> Value;

    /// Shows every leaf in or below it.
    fn walk(&self, path: &str, meta: &Meta, visit: &mut dyn FnMut(Found<'_>));

    /// Sets the leaf at `path` below it from text; false where there is none.
    fn assign(
        &mut self,
        path: &[&str],
        rule: Option<Rule<Self>>,
        text: &str,
    ) -> Result<bool, String>;
}

/// The value of a key as a seed.
pub(crate) struct NodeSeed<'r, 't, T> {
    pub(crate) reader: &'r Reader<'t>,
    pub(crate) rule: Option<Rule<T>>,
}

impl<'de, T: Node> DeserializeSeed<'de> for NodeSeed<'_, '_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(self.reader, self.rule, deserializer)
    }
}

/// A mapping with known keys; [`section`] implements it.
pub(crate) trait Section: Default {
    /// The keys.
    const KEYS: &'static [&'static str];
    /// Keys of earlier versions, and what a person is told who still has them.
    const OBSOLETE: &'static [(&'static str, &'static str)];
    /// Keys that must be given.
    const REQUIRED: &'static [&'static str];

    /// Reads the value of the key with this index.
    fn read_key<'de, A: MapAccess<'de>>(
        &mut self,
        key: usize,
        reader: &Reader<'_>,
        map: &mut A,
    ) -> Result<(), A::Error>;
}

/// Reads a section; nothing at all (`nginx:` with every line below commented out) is its default.
pub(crate) fn read_section<'de, T: Section, D: Deserializer<'de>>(
    reader: &Reader<'_>,
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(SectionVisitor { reader, section: PhantomData })
}

struct SectionVisitor<'r, 't, T> {
    reader: &'r Reader<'t>,
    section: PhantomData<T>,
}

/// A key of a section.
enum Key {
    Known(usize),
    Obsolete(usize),
}

impl<'de, T: Section> Visitor<'de> for SectionVisitor<'_, '_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys with values, such as `{}: …`", T::KEYS[0])
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<T, E> {
        if let Some(key) = T::REQUIRED.first() {
            return Err(self.reader.refuse(format!("`{key}` is missing")));
        }
        Ok(T::default())
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<T, E> {
        self.visit_unit()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let reader = self.reader;
        let mut section = T::default();
        let mut seen: Vec<Option<Option<usize>>> = vec![None; T::KEYS.len()];
        loop {
            let key = map.next_key_seed(KeySeed {
                reader,
                expected: "the name of a key",
                take: |scalar: &super::read::Scalar<'_>| {
                    find::<T>(scalar.text).and_then(|key| match key {
                        Key::Known(index) => match seen[index].replace(scalar.offset) {
                            Some(first) => Err(format!(
                                "key `{}` is given twice, {}",
                                T::KEYS[index],
                                reader.first(first)
                            )),
                            None => Ok(key),
                        },
                        Key::Obsolete(_) => Ok(key),
                    })
                },
            })?;
            match key {
                None => break,
                Some(Key::Known(index)) => reader
                    .at(Step::Key(T::KEYS[index].to_owned()), || {
                        section.read_key(index, reader, &mut map)
                    })?,
                Some(Key::Obsolete(index)) => {
                    let (name, instead) = T::OBSOLETE[index];
                    reader.at(Step::Key(name.to_owned()), || {
                        reader.warn(format!("this key has no effect any more: {instead}"));
                        map.next_value::<IgnoredAny>()
                    })?;
                }
            }
        }
        let given = |name: &str| {
            T::KEYS.iter().zip(&seen).any(|(key, seen)| *key == name && seen.is_some())
        };
        match T::REQUIRED.iter().find(|name| !given(name)) {
            Some(missing) => Err(reader.refuse(format!("`{missing}` is missing"))),
            None => Ok(section),
        }
    }
}

/// Finds a key by its name.
fn find<T: Section>(name: &str) -> Result<Key, String> {
    if let Some(index) = T::KEYS.iter().position(|key| *key == name) {
        return Ok(Key::Known(index));
    }
    if let Some(index) = T::OBSOLETE.iter().position(|(key, _)| *key == name) {
        return Ok(Key::Obsolete(index));
    }
    Err(unknown_key(name, T::KEYS))
}

/// The sentence for a key that nothing knows.
pub(crate) fn unknown_key(name: &str, known: &[&str]) -> String {
    format!("unknown key {}{}", quoted(name), suggest::hint(name, known.iter().copied()))
}

/// A list of sections.
impl<T: Section + Node> Node for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(
        reader: &Reader<'_>,
        _rule: Option<Rule<Self>>,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor { reader, entry: PhantomData })
    }

    fn yaml(&self, show: ShowSecrets) -> Value {
        Value::Sequence(self.iter().map(|entry| entry.yaml(show)).collect())
    }

    fn walk(&self, path: &str, meta: &Meta, visit: &mut dyn FnMut(Found<'_>)) {
        for (index, entry) in self.iter().enumerate() {
            entry.walk(&format!("{path}[{index}]"), meta, visit);
        }
    }

    fn assign(&mut self, _: &[&str], _: Option<Rule<Self>>, _: &str) -> Result<bool, String> {
        Ok(false)
    }
}

struct ListVisitor<'r, 't, T> {
    reader: &'r Reader<'t>,
    entry: PhantomData<T>,
}

impl<'de, T: Section + Node> Visitor<'de> for ListVisitor<'_, '_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list, each entry with keys such as `{}: …`", T::KEYS[0])
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        loop {
            let entry = self.reader.at(Step::Index(list.len()), || {
                if list.len() == MAX_LIST {
                    return Err(self
                        .reader
                        .refuse(format!("at most {MAX_LIST} entries are allowed")));
                }
                seq.next_element_seed(NodeSeed::<T> { reader: self.reader, rule: None })
            })?;
            match entry {
                Some(entry) => list.push(entry),
                None => return Ok(list),
            }
        }
    }
}

/// Declares a section: for each key its meaning (the doc comment), name, type and default, and
/// where there are any its environment variable (`, env …`) and the condition that its value meets
/// (`, must "<what is allowed>" <closure>`).
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field_vis:vis $field:ident: $type:ty = $default:expr
                    $(, env $env:expr)? $(, must $allowed:literal $holds:expr)?;
            )+
        }
        $(obsolete { $($old:literal => $instead:literal;)+ })?
        $(required { $($required:literal)+ })?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $( $(#[doc = $doc])+ $field_vis $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::config::node::Section for $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($field)),+];
            const OBSOLETE: &'static [(&'static str, &'static str)] = &[$($(($old, $instead)),+)?];
            const REQUIRED: &'static [&'static str] = &[$($($required),+)?];

            fn read_key<'de, A: serde::de::MapAccess<'de>>(
                &mut self,
                key: usize,
                reader: &$crate::config::read::Reader<'_>,
                map: &mut A,
            ) -> Result<(), A::Error> {
                $(
                    if Self::KEYS[key] == stringify!($field) {
                        let rule = $crate::config::node::section!(@rule $type $(, $allowed $holds)?);
                        let seed = $crate::config::node::NodeSeed::<$type> { reader, rule };
                        self.$field = map.next_value_seed(seed)?;
                        return Ok(());
                    }
                )+
                Ok(())
            }
        }

        impl $crate::config::node::Node for $name {
            fn read<'de, D: serde::Deserializer<'de>>(
                reader: &$crate::config::read::Reader<'_>,
                _rule: Option<$crate::config::node::Rule<Self>>,
                deserializer: D,
            ) -> Result<Self, D::Error> {
                $crate::config::node::read_section(reader, deserializer)
            }

            fn yaml(&self, show: $crate::config::node::ShowSecrets) -> serde_yaml::Value {
                let mut mapping = serde_yaml::Mapping::new();
                $(
                    let value = $crate::config::node::Node::yaml(&self.$field, show);
                    mapping.insert(stringify!($field).into(), value);
                )+
                serde_yaml::Value::Mapping(mapping)
            }

            fn walk(
                &self,
                path: &str,
                _meta: &$crate::config::node::Meta,
                visit: &mut dyn FnMut($crate::config::node::Found<'_>),
            ) {
                $(
                    let below = if path.is_empty() {
                        stringify!($field).to_owned()
                    } else {
                        format!("{path}.{}", stringify!($field))
                    };
                    let meta = $crate::config::node::Meta {
                        meaning: concat!($($doc),+),
                        env: $crate::config::node::section!(@env $($env)?),
                        allowed: $crate::config::node::section!(@allowed $($allowed)?),
                    };
                    $crate::config::node::Node::walk(&self.$field, &below, &meta, visit);
                )+
            }

            fn assign(
                &mut self,
                path: &[&str],
                _rule: Option<$crate::config::node::Rule<Self>>,
                text: &str,
            ) -> Result<bool, String> {
                let Some((key, rest)) = path.split_first() else { return Ok(false) };
                $(
                    if *key == stringify!($field) {
                        let rule = $crate::config::node::section!(@rule $type $(, $allowed $holds)?);
                        return $crate::config::node::Node::assign(&mut self.$field, rest, rule, text);
                    }
                )+
                Ok(false)
            }
        }
    };
    (@rule $type:ty) => { None };
    (@rule $type:ty, $allowed:literal $holds:expr) => {
        Some($crate::config::node::Rule::<$type> { allowed: $allowed, holds: $holds })
    };
    (@env) => { $crate::config::node::Env::NONE };
    (@env $env:expr) => { $env };
    (@allowed) => { None };
    (@allowed $allowed:literal) => { Some($allowed) };
}
pub(crate) use section;
