//! Errors as callers of `/api/v1` see them: problem details (RFC 9457).
//!
//! In: errors of the server, mistakes of callers. Out: a status and a body that says what is wrong and what to do.

use http::header::{self, HeaderValue};
use http::{Response as HttpResponse, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokensocket_server::{
    BrokerError, CallError, DeliverError, HistoryError, IssueError, PresenceError, PublishError, ReachError,
    StoreError,
};
use warp::reply::Response;

use super::request_id::RequestId;

/// The media type of problem details.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// When to come back, in seconds, to what is overloaded.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request was not done.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    error: Option<Box<ClientError>>,
}

/// What a client's action answered in place of a result.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct ClientError {
    /// The code, such as `internal`.
    code: String,
    /// The error itself: a text, or an object with a `message`.
    error: Value,
}

macro_rules! kinds {
    ($($kind:ident: $name:literal, $status:ident;)*) => {
        /// The kinds of problems.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Kind { $($kind,)* }

        impl Kind {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The end of its `type`.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }
        }
    };
}

kinds! {
    BadRequest: "bad-request", BAD_REQUEST;
    Unauthenticated: "unauthenticated", UNAUTHORIZED;
    Forbidden: "forbidden", FORBIDDEN;
    NotFound: "not-found", NOT_FOUND;
    NotKept: "not-kept", NOT_FOUND;
    MethodNotAllowed: "method-not-allowed", METHOD_NOT_ALLOWED;
    Gone: "gone", GONE;
    TooLarge: "too-large", PAYLOAD_TOO_LARGE;
    UnsupportedMediaType: "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE;
    CallFailed: "call-failed", BAD_GATEWAY;
    Unsupported: "unsupported", NOT_IMPLEMENTED;
    Overloaded: "overloaded", SERVICE_UNAVAILABLE;
    BodyTimeout: "body-timeout", REQUEST_TIMEOUT;
    Timeout: "timeout", GATEWAY_TIMEOUT;
    Internal: "internal", INTERNAL_SERVER_ERROR;
}

/// Problem details.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Details {
    /// What kind of problem this is: `urn:tokensocket:problem:` and a name such as `too-large`.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: &'static str,
    /// The response's status.
    status: u16,
    /// What is wrong with this request, and what to do.
    detail: String,
    /// Names this request in the gateway's log.
    request_id: String,
    /// What the client's action answered, where that was an error.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    error: Option<Box<ClientError>>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), error: None }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.kind.status()
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn details(&self, id: &RequestId) -> Details {
        let status = self.status();
        Details {
            kind: format!("urn:tokensocket:problem:{}", self.kind.name()),
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            request_id: id.to_string(),
            error: self.error.clone(),
        }
    }

    pub(super) fn respond(&self, id: &RequestId) -> Response {
        let body = serde_json::to_vec(&self.details(id)).unwrap_or_default();
        let mut response = HttpResponse::new(body.into());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        self.mark(headers);
        response
    }

    /// The headers that go with the status.
    pub(super) fn mark(&self, headers: &mut http::HeaderMap) {
        match self.kind {
            Kind::Overloaded => headers.insert(header::RETRY_AFTER, RETRY_AFTER),
            Kind::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            _ => None,
        };
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::TooLarge { .. } => Kind::TooLarge,
            StoreError::Timeout => Kind::Timeout,
            StoreError::Gone(_) => Kind::Gone,
            _ => Kind::Overloaded,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<BrokerError> for Problem {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Store(error) => error.into(),
            BrokerError::Unsupported(_) => Self::new(Kind::Unsupported, error.to_string()),
            _ => Self::new(Kind::Overloaded, error.to_string()),
        }
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Broker(error) => error.into(),
            wrong => Self::bad_request(wrong.to_string()),
        }
    }
}

impl From<DeliverError> for Problem {
    fn from(error: DeliverError) -> Self {
        match error {
            DeliverError::Store(error) => error.into(),
            wrong => Self::bad_request(wrong.to_string()),
        }
    }
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Broker(error) => error.into(),
            HistoryError::NotKept => Self::new(Kind::NotKept, error.to_string()),
            wrong => Self::bad_request(wrong.to_string()),
        }
    }
}

impl From<PresenceError> for Problem {
    fn from(error: PresenceError) -> Self {
        match error {
            PresenceError::Store(error) => error.into(),
            PresenceError::NotKept => Self::new(Kind::NotKept, error.to_string()),
            wrong => Self::bad_request(wrong.to_string()),
        }
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        let kind = match error {
            IssueError::Identity(_) => Kind::BadRequest,
            _ => Kind::Overloaded,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ReachError> for Problem {
    fn from(error: ReachError) -> Self {
        let kind = match error {
            ReachError::NoSuchSocket => Kind::NotFound,
            ReachError::NodeGone => Kind::Gone,
            ReachError::Timeout => Kind::Timeout,
            ReachError::Overloaded => Kind::Overloaded,
            ReachError::Broker(error) => return error.into(),
            _ => Kind::CallFailed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        if let CallError::Reach(error) = error {
            return error.into();
        }
        let kind = match &error {
            CallError::Timeout => Kind::Timeout,
            CallError::Closed => Kind::Gone,
            CallError::TooManyCalls => Kind::Overloaded,
            _ => Kind::CallFailed,
        };
        let detail = error.to_string();
        let said = match error {
            CallError::Remote(error) => {
                Some(Box::new(ClientError { code: error.code().to_string(), error: error.error().clone() }))
            }
            _ => None,
        };
        Self { kind, detail, error: said }
    }
}
