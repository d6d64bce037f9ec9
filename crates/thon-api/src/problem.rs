//! The one shape of an error: problem details (RFC 9457) with a stable code and a hint.
//!
//! For: what a caller is told when something can't be done, and which status it has.
//! Not for: deciding what can be done.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use thon::Error;
use thon::core::adapter::{Failure, FailureKind};
use thon::core::state::EditError;
use utoipa::openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// The media type of a problem.
const MEDIA_TYPE: &str = "application/problem+json";

/// What kind of problem it is. A code keeps its meaning for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    /// Something in the request can't be used; `field` says what.
    BadInput,
    /// Who asks has to say who they are.
    Unauthorized,
    /// Who asks may not do this.
    Forbidden,
    /// Whose account it is, is on no list of those who may come in.
    NotListed,
    /// There is no such thing.
    NotFound,
    /// There is such a path, with other methods.
    MethodNotAllowed,
    /// thon.yaml declares it, and only a change of that file changes it.
    Declared,
    /// There is one of that name already.
    Exists,
    /// It can't be done as things are.
    Conflict,
    /// It was changed since it was looked at.
    Stale,
    /// Too much of this came to nothing lately.
    TooMany,
    /// The body is larger than allowed.
    TooLarge,
    /// The body is of another type than is read here.
    UnsupportedMedia,
    /// Docker, nginx or something else outside failed at it.
    Failed,
    /// Docker, or something else that is needed, can't be reached.
    Unavailable,
    /// It took longer than it may.
    TimedOut,
    /// A fault in THON.
    Internal,
}

impl Code {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::BadInput => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::NotListed => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Declared | Self::Exists | Self::Conflict => StatusCode::CONFLICT,
            Self::Stale => StatusCode::PRECONDITION_FAILED,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Failed => StatusCode::BAD_GATEWAY,
            Self::Unavailable | Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BadInput => "The request can't be used",
            Self::Unauthorized => "A token or a login is needed",
            Self::Forbidden => "Not allowed",
            Self::NotListed => "Not on the list",
            Self::NotFound => "There is no such thing",
            Self::MethodNotAllowed => "Not with this method",
            Self::Declared => "thon.yaml declares it",
            Self::Exists => "There is one already",
            Self::Conflict => "Not as things are",
            Self::Stale => "Changed meanwhile",
            Self::TooMany => "Wait a moment",
            Self::TooLarge => "Too large",
            Self::UnsupportedMedia => "Another media type is needed",
            Self::Failed => "It failed",
            Self::Unavailable => "Not available now",
            Self::TimedOut => "It took too long",
            Self::Internal => "A fault in THON",
        }
    }
}

/// What went wrong, as problem details (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The same kind of problem in a few words.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What went wrong, in one line.
    detail: String,
    /// The kind of problem, for programs.
    code: Code,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The part of the request that can't be used: `email`, `instance_ids[3]`, `page`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl Problem {
    /// A problem.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            title: code.title(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
            hint: None,
            field: None,
        }
    }

    /// Something in the request that can't be used.
    pub(crate) fn input(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(Code::BadInput, detail) }
    }

    /// There is no `what`.
    pub(crate) fn missing(what: impl std::fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {what}"))
    }

    /// The kind of problem.
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// True if whoever asked isn't let in.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self.code, Code::Unauthorized | Code::Forbidden | Code::NotListed)
    }

    /// What went wrong, in one line.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// With what to do about it.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// With the part of the request that it is about, if it is bad input.
    #[must_use]
    pub(crate) fn about(self, field: &str) -> Self {
        let field = (self.code == Code::BadInput).then(|| field.to_owned()).or(self.field);
        Self { field, ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let code = self.code;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let code = match failure.kind {
            FailureKind::Unreachable => Code::Unavailable,
            FailureKind::Missing => Code::NotFound,
            FailureKind::PortTaken | FailureKind::Conflict => Code::Conflict,
            FailureKind::Stale => Code::Stale,
            FailureKind::TimedOut => Code::TimedOut,
            FailureKind::Denied | FailureKind::Died | FailureKind::Other => Code::Failed,
        };
        Self::new(code, format!("{}: {}", failure.tried, failure.cause)).hint(failure.advice)
    }
}

impl From<EditError> for Problem {
    fn from(error: EditError) -> Self {
        let text = error.to_string();
        match error {
            EditError::Declared { .. } => Self::new(Code::Declared, text),
            EditError::Exists { .. } => Self::new(Code::Exists, text),
            EditError::Unknown { .. } => Self::new(Code::NotFound, text),
            EditError::Value { what, .. } => Self::input(field(what), text),
        }
    }
}

/// The field of a request that is meant by the rules' name of a value.
fn field(what: &str) -> String {
    match what {
        "e-mail address" => "email".to_owned(),
        other => other.replace(' ', "_"),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::World(failure) => failure.into(),
            Error::Edit(error) => error.into(),
            Error::Ports(error) => Self::new(Code::Conflict, error.to_string()),
            other if other.is_bad_input() => Self::new(Code::BadInput, other.to_string()),
            other => Self::new(Code::Failed, other.to_string()),
        }
    }
}

/// The problems that an operation which changes nothing may answer with.
pub(crate) struct WhenRead;

/// The problems that whoever comes back from a provider may meet.
pub(crate) struct WhenComingBack;

/// The problems that an operation which changes something may answer with.
pub(crate) struct WhenChanged;

const READ: [StatusCode; 6] = [
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
];

const CAME_BACK: [StatusCode; 2] = [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS];

const CHANGED: [StatusCode; 4] = [
    StatusCode::CONFLICT,
    StatusCode::PRECONDITION_FAILED,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
];

type Responses = BTreeMap<String, RefOr<openapi::Response>>;

fn documented(statuses: impl IntoIterator<Item = StatusCode>) -> Responses {
    let response = |status: StatusCode| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new()
            .description(status.canonical_reason().unwrap_or_default())
            .content(MEDIA_TYPE, content)
            .build();
        (status.as_str().to_owned(), RefOr::T(response))
    };
    statuses.into_iter().map(response).collect()
}

impl IntoResponses for WhenRead {
    fn responses() -> Responses {
        documented(READ)
    }
}

impl IntoResponses for WhenComingBack {
    fn responses() -> Responses {
        documented(READ.into_iter().chain(CAME_BACK))
    }
}

impl IntoResponses for WhenChanged {
    fn responses() -> Responses {
        documented(READ.into_iter().chain(CHANGED))
    }
}
