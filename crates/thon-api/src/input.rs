//! What a request carries, read with a refusal that names the part that can't be used.
//!
//! For: bodies, queries, path segments and revisions, checked once, here.
//! Not for: what is done with them.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thon::core::name::UserId;
use thon::core::state::Revision;
use utoipa::ToSchema;

use crate::problem::{Code, Problem};

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        // A form of another origin can send many types without being asked, and never this one.
        if !kind.eq_ignore_ascii_case("application/json") {
            let detail = "the body is not `application/json`";
            let hint = "send it with `content-type: application/json`";
            return Err(Problem::new(Code::UnsupportedMedia, detail).hint(hint));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|error| unread(&error))?;
        parse(&bytes).map(Self)
    }
}

fn unread(error: &BytesRejection) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(Code::TooLarge, "the body is larger than 2 MiB");
    }
    Problem::new(Code::BadInput, "the body ended before it was whole")
}

/// Reads JSON.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let inner = error.inner();
        if !inner.is_data() {
            return Problem::input("body", format!("it is no JSON: {inner}"));
        }
        let field = error.path().to_string();
        let field = if field == "." { "body".to_owned() } else { field };
        Problem::input(field, inner.to_string())
    })?;
    reader.end().map_err(|error| Problem::input("body", error.to_string()))?;
    Ok(value)
}

/// An object within a body: what serde makes of a structure also reads a list of its fields.
pub(crate) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
}

/// The query, in which a key may stand several times: its values are a list then.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let pairs: axum::extract::Query<Vec<(String, String)>> =
            axum::extract::Query::try_from_uri(&parts.uri)
                .map_err(|_| Problem::input("query", "it is not URL-encoded text"))?;
        for (key, value) in pairs.0 {
            values.entry(key).or_default().push(value);
        }
        let values = values.into_iter().map(|(key, values)| (key, values.join(",")));
        let reader = serde::de::value::MapDeserializer::<_, serde::de::value::Error>::new(
            values.map(|(key, value)| (key, Text(value))),
        );
        let value = serde_path_to_error::deserialize(reader).map_err(|error| {
            let field = error.path().to_string();
            let field = if field == "." { "query".to_owned() } else { field };
            Problem::input(field, error.inner().to_string())
        })?;
        Ok(Self(value))
    }
}

/// A value of a query: text, which may be meant as a number or a truth.
struct Text(String);

impl IntoDeserializer<'_, serde::de::value::Error> for Text {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> serde::Deserializer<'de> for Text {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_u64<V: serde::de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0.parse() {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => visitor.visit_string(self.0),
        }
    }

    fn deserialize_u32<V: serde::de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_bool<V: serde::de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0.parse() {
            Ok(truth) => visitor.visit_bool(truth),
            Err(_) => visitor.visit_string(self.0),
        }
    }

    fn deserialize_option<V: serde::de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: serde::de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let parts: Vec<Self> = self
            .0
            .split(',')
            .filter(|part| !part.is_empty())
            .map(|part| Self(part.to_owned()))
            .collect();
        visitor.visit_seq(serde::de::value::SeqDeserializer::new(parts.into_iter()))
    }

    fn deserialize_enum<V: serde::de::Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        serde::de::value::StringDeserializer::new(self.0).deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct tuple tuple_struct map struct identifier ignored_any
    }
}

/// A part of the path.
pub(crate) struct InPath<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // What can't be a name of anything is the name of nothing that there is.
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(value)| Self(value))
            .map_err(|_| Problem::new(Code::NotFound, "there is nothing of that name"))
    }
}

pub(crate) const fn first() -> u32 {
    1
}

pub(crate) const fn usual() -> u32 {
    50
}

/// A checked page of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    pub(crate) page: u32,
    pub(crate) size: u32,
}

impl Slice {
    pub(crate) fn new(page: u32, size: u32) -> Result<Self, Problem> {
        if page == 0 {
            return Err(Problem::input("page", "0 is not allowed: a number from 1"));
        }
        if !(1..=200).contains(&size) {
            let detail = format!("{size} is not allowed: a number from 1 to 200");
            return Err(Problem::input("page_size", detail));
        }
        Ok(Self { page, size })
    }

    /// How many are passed over.
    pub(crate) const fn offset(self) -> u32 {
        (self.page - 1).saturating_mul(self.size)
    }

    /// The items of this page.
    pub(crate) fn of<T>(self, items: impl Iterator<Item = T>) -> Vec<T> {
        items.skip(self.offset() as usize).take(self.size as usize).collect()
    }
}

/// The user whose id is `<group>_<user>`, as in paths.
pub(crate) fn user(key: &str) -> Result<UserId, Problem> {
    UserId::from_key(key).ok_or_else(|| {
        Problem::missing(format!("user {}", thon::core::name::quoted(key)))
            .hint("an id is `<group>_<user>`")
    })
}

/// The revision that a change was decided on, as `If-Match` names it; nothing for any.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<Revision>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    number.and_then(|number| number.parse().ok()).map(|number| Some(Revision(number))).ok_or_else(
        || {
            Problem::input(
                "If-Match",
                "allowed is the `ETag` of an answer, such as `\"3\"`, or `*`",
            )
        },
    )
}

/// A body of ids.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ids {
    /// The ids of instances: `<group>_<user>`.
    #[schema(min_items = 1, max_items = 2000)]
    pub(crate) instance_ids: Vec<String>,
}

impl Ids {
    pub(crate) fn users(&self) -> Result<Vec<UserId>, Problem> {
        const MOST: usize = 2000;
        if !(1..=MOST).contains(&self.instance_ids.len()) {
            let detail = format!("{} ids: allowed are 1 to {MOST}", self.instance_ids.len());
            return Err(Problem::input("instance_ids", detail));
        }
        self.instance_ids.iter().map(|id| user(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[serde(default)]
        state: Vec<String>,
        page: Option<u32>,
        q: Option<String>,
        deep: Option<bool>,
    }

    async fn read(query: &str) -> Result<Wanted, Problem> {
        let request = Request::get(format!("/x?{query}")).body(axum::body::Body::empty()).unwrap();
        let (mut parts, _) = request.into_parts();
        Params::<Wanted>::from_request_parts(&mut parts, &()).await.map(|Params(value)| value)
    }

    #[tokio::test]
    async fn a_query_is_read_with_lists_numbers_and_truths() {
        let found = read("state=a&state=b&page=3&q=1&deep=true").await.unwrap();
        let state = vec!["a".to_owned(), "b".to_owned()];
        let q = Some("1".to_owned());
        assert_eq!(found, Wanted { state, page: Some(3), q, deep: Some(true) });
        assert_eq!(read("state=a,b").await.unwrap().state.len(), 2);
        assert_eq!(read("").await.unwrap().page, None);
    }

    #[tokio::test]
    async fn what_cannot_be_used_in_a_query_is_named() {
        for (query, field) in [("page=x", "page"), ("deep=perhaps", "deep"), ("pgae=1", "pgae")] {
            let problem = read(query).await.unwrap_err();
            let shown = serde_json::to_value(&problem).unwrap();
            assert_eq!(shown["status"], 400);
            let told = format!("{} {}", shown["field"], shown["detail"]);
            assert!(told.contains(field), "{told}");
        }
    }
}
