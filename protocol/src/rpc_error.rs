//! The error an action or a hook answers, as its caller will see it.
//!
//! In: a message, a code, details. Out: the `error`, `code` and `details` fields of an answer.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::error::ErrorCode;
use crate::raw_json::RawJson;

/// An error that travels to the caller.
///
/// On the wire it is `"error"` (an object with a `message`, or a plain text), `"code"` and, when given,
/// `"details"`.
///
/// ```
/// use tokensocket_protocol::{ErrorCode, RpcError};
///
/// let error = RpcError::new("no such order").with_code(ErrorCode::NotFound);
/// assert_eq!(error.message(), "no such order");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError(Box<Fields>);

/// In memory of their own, since every call's result is moved about as if it had them.
#[derive(Debug, Clone, PartialEq)]
struct Fields {
    code: ErrorCode,
    error: Value,
    details: Option<RawJson>,
}

impl RpcError {
    fn of(error: Value) -> Self {
        Self(Box::new(Fields { code: ErrorCode::Internal, error, details: None }))
    }

    /// An error object, `{"message": message}`, with the code `internal`.
    pub fn new(message: impl Into<String>) -> Self {
        let mut error = serde_json::Map::new();
        error.insert("message".to_owned(), Value::String(message.into()));
        Self::of(Value::Object(error))
    }

    /// A plain text, with the code `internal`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::of(Value::String(text.into()))
    }

    /// Any JSON value as the `error` field, as the original servers allowed. The code is `internal`.
    pub fn value(error: Value) -> Self {
        Self::of(error)
    }

    /// The original's `"Forbidden"`.
    pub fn forbidden() -> Self {
        Self::text("Forbidden").with_code(ErrorCode::Forbidden)
    }

    /// The original's `"Function not found"`.
    pub fn not_found() -> Self {
        Self::text("Function not found").with_code(ErrorCode::NotFound)
    }

    /// The original's `"Invalid request"`; `expected` tells newer clients what was expected.
    pub fn bad_request(expected: impl Into<String>) -> Self {
        Self::text("Invalid request")
            .with_code(ErrorCode::BadRequest)
            .with_details(&serde_json::json!({ "expected": expected.into() }))
    }

    /// Sets the code.
    #[must_use]
    pub fn with_code(mut self, code: ErrorCode) -> Self {
        self.0.code = code;
        self
    }

    /// Adds details. What cannot be serialized is left out.
    #[must_use]
    pub fn with_details<T: Serialize + ?Sized>(mut self, details: &T) -> Self {
        self.0.details = RawJson::new(details).ok();
        self
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The text for people: the error itself when it is a text, else its `message`, else empty.
    pub fn message(&self) -> &str {
        match &self.0.error {
            Value::String(text) => text,
            other => other.get("message").and_then(Value::as_str).unwrap_or_default(),
        }
    }

    /// The `error` field.
    pub fn error(&self) -> &Value {
        &self.0.error
    }

    /// The `details` field.
    pub fn details(&self) -> Option<&RawJson> {
        self.0.details.as_ref()
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message(), self.code())
    }
}

impl std::error::Error for RpcError {}
