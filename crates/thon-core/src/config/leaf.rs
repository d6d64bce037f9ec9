//! Single values of a configuration.
//!
//! For: reading each kind of value from text, wherever the text comes from (YAML, environment,
//! wizard), and writing it so that it reads back.
//! Not for: which keys there are; that is the schema's.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserializer;
use serde_yaml::Value;

use super::error::unprintable;
use super::node::{Found, Meta, Node, Rule, ShowSecrets};
use super::read::{self, Reader};
use crate::endpoint::{NetworkMode, Port};
use crate::image::ImageRef;
use crate::limits::{ByteSize, Cpus};
use crate::name::{NodeName, UserId, quoted};
use crate::secret::{MASK, Secret};

/// The longest single text, in characters. The longest that anybody needs is a path.
const MAX_CHARACTERS: usize = 4096;

/// A value that is one scalar.
pub(crate) trait Leaf: Sized + PartialEq {
    /// Whether it must not be seen.
    const SECRET: bool = false;

    /// What is allowed, for the end of a sentence that begins with "expected".
    fn allowed() -> String;

    /// Reads it; the error is a whole sentence with the value (unless it is a secret) and what is
    /// allowed. The empty text stands for a value that isn't given.
    fn parse(text: &str) -> Result<Self, String>;

    /// Writes it, as [`Self::parse`] reads it. A secret is written in clear.
    fn text(&self) -> String;

    /// Writes it as YAML.
    fn yaml(&self) -> Value {
        Value::String(self.text())
    }
}

/// The sentence for a value that isn't allowed.
pub(crate) fn refused(text: &str, allowed: &str) -> String {
    if text.is_empty() {
        return format!("nothing is given: expected {allowed}");
    }
    format!("{} is not allowed: expected {allowed}", quoted(text))
}

impl<T: Leaf> Node for T {
    fn read<'de, D: Deserializer<'de>>(
        reader: &Reader<'_>,
        rule: Option<Rule<Self>>,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        let expected = rule.map_or_else(T::allowed, |rule| rule.allowed.to_owned());
        read::scalar(reader, &expected, deserializer, |scalar| {
            accept(if scalar.is_null() { "" } else { scalar.text }, rule)
        })
    }

    fn yaml(&self, show: ShowSecrets) -> Value {
        if T::SECRET && show == ShowSecrets::Masked && !self.text().is_empty() {
            return Value::String(MASK.to_owned());
        }
        Leaf::yaml(self)
    }

    fn walk(&self, path: &str, meta: &Meta, visit: &mut dyn FnMut(Found<'_>)) {
        let allowed = meta.allowed.map_or_else(T::allowed, ToOwned::to_owned);
        visit(Found { path, meta, allowed, secret: T::SECRET, text: self.text() });
    }

    fn assign(
        &mut self,
        path: &[&str],
        rule: Option<Rule<Self>>,
        text: &str,
    ) -> Result<bool, String> {
        if !path.is_empty() {
            return Ok(false);
        }
        *self = accept(text, rule)?;
        Ok(true)
    }
}

/// Reads a value and holds it against the rule of its key.
fn accept<T: Leaf>(text: &str, rule: Option<Rule<T>>) -> Result<T, String> {
    let value = match T::parse(text) {
        Err(_) if text.is_empty() => Err(refused("", &T::allowed())),
        result => result,
    }?;
    match rule {
        Some(rule) if !(rule.holds)(&value) => {
            let shown = if T::SECRET { MASK } else { text };
            Err(refused(shown, rule.allowed))
        }
        _ => Ok(value),
    }
}

impl Leaf for bool {
    fn allowed() -> String {
        "true or false".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        // `yes` and `on` are truth values to YAML 1.1, and so to many people.
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(refused(text, &Self::allowed())),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn yaml(&self) -> Value {
        Value::Bool(*self)
    }
}

macro_rules! number_leaf {
    ($($type:ty: $allowed:literal),*) => {$(
        impl Leaf for $type {
            fn allowed() -> String {
                $allowed.to_owned()
            }

            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| refused(text, $allowed))
            }

            fn text(&self) -> String {
                self.to_string()
            }

            fn yaml(&self) -> Value {
                Value::Number((*self).into())
            }
        }
    )*};
}

number_leaf!(u32: "a whole number from 0 to 4294967295", i32: "a whole number", f64: "a number");

/// Types that read themselves and whose errors already name the value and what is allowed.
macro_rules! text_leaf {
    ($($type:ty: $allowed:literal),* $(,)?) => {$(
        impl Leaf for $type {
            fn allowed() -> String {
                $allowed.to_owned()
            }

            fn parse(text: &str) -> Result<Self, String> {
                text.parse::<$type>().map_err(|error| error.to_string())
            }

            fn text(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
pub(crate) use text_leaf;

text_leaf! {
    NodeName: "a slug: lower-case letters, digits and inner hyphens",
    ImageRef: "an image reference such as `waterpistol/thon:latest`",
    ByteSize: "an amount of memory such as 512m or 2GiB",
    UserId: "a user of the roster, <group>/<user>",
}

impl Leaf for Port {
    fn allowed() -> String {
        "a port from 1 to 65535".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse::<Self>().map_err(|error| error.to_string())
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn yaml(&self) -> Value {
        Value::Number(self.get().into())
    }
}

impl Leaf for Cpus {
    fn allowed() -> String {
        "a number of CPUs such as 2 or 0.5".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse::<Self>().map_err(|error| error.to_string())
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn yaml(&self) -> Value {
        // Three decimals survive a double: it is written with the digits that tell it apart.
        Value::Number((f64::from(self.milli()) / 1000.0).into())
    }
}

impl Leaf for IpAddr {
    fn allowed() -> String {
        "an IP address such as 203.0.113.7 or 2001:db8::7".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| refused(text, &Self::allowed()))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Leaf for NetworkMode {
    fn allowed() -> String {
        "one of bridge, host".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "bridge" => Ok(Self::Bridge),
            "host" => Ok(Self::Host),
            _ => Err(refused(text, &Self::allowed())),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// Says what makes a text unfit for one line of a file, an environment or a screen.
fn fit(text: &str) -> Result<(), &'static str> {
    if text.chars().any(unprintable) {
        return Err("text without line breaks and control characters");
    }
    if text.chars().count() > MAX_CHARACTERS {
        return Err("text of at most 4096 characters");
    }
    Ok(())
}

impl Leaf for String {
    fn allowed() -> String {
        "a text".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        fit(text).map_err(|allowed| refused(text, allowed))?;
        Ok(text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }
}

impl Leaf for PathBuf {
    fn allowed() -> String {
        "the path of a file or folder".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        fit(text).map_err(|allowed| refused(text, allowed))?;
        if text.is_empty() {
            return Err(refused(text, &Self::allowed()));
        }
        Ok(Self::from(text))
    }

    fn text(&self) -> String {
        self.display().to_string()
    }
}

impl Leaf for Secret {
    const SECRET: bool = true;

    fn allowed() -> String {
        "a key or password".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        fit(text).map_err(|allowed| format!("this secret is not allowed: expected {allowed}"))?;
        // Whoever pastes a masked dump back would otherwise run with stars for keys.
        if text == MASK {
            return Err(
                "this is the mask of a secret, not the secret: write the key itself".to_owned()
            );
        }
        Ok(Self::new(text))
    }

    fn text(&self) -> String {
        self.reveal().to_owned()
    }
}

impl<T: Leaf> Leaf for Option<T> {
    const SECRET: bool = T::SECRET;

    fn allowed() -> String {
        format!("{}, or nothing", T::allowed())
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn text(&self) -> String {
        self.as_ref().map_or_else(String::new, Leaf::text)
    }

    fn yaml(&self) -> Value {
        self.as_ref().map_or_else(|| Value::String(String::new()), Leaf::yaml)
    }
}
