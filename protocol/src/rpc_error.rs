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
pub struct RpcError {
    code: ErrorCode,
    error: Value,
    details: Option<RawJson>,
}

impl RpcError {
    /// An error object, `{"message": message}`, with the code `internal`.
    pub fn new(message: impl Into<String>) -> Self {
        let mut error = serde_json::Map::new();
        error.insert("message".to_owned(), Value::String(message.into()));
        Self { code: ErrorCode::Internal, error: Value::Object(error), details: None }
    }

    /// A plain text, with the code `internal`.
    pub fn text(text: impl Into<String>) -> Self {
        Self { code: ErrorCode::Internal, error: Value::String(text.into()), details: None }
    }

    /// Any JSON value as the `error` field, as the original servers allowed. The code is `internal`.
    pub fn value(error: Value) -> Self {
        Self { code: ErrorCode::Internal, error, details: None }
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
        let details = RawJson::new(&serde_json::json!({ "expected": expected.into() })).ok();
        Self { details, ..Self::text("Invalid request").with_code(ErrorCode::BadRequest) }
    }

    /// Sets the code.
    #[must_use]
    pub fn with_code(mut self, code: ErrorCode) -> Self {
        self.code = code;
        self
    }

    /// Adds details. What cannot be serialized is left out.
    #[must_use]
    pub fn with_details<T: Serialize + ?Sized>(mut self, details: &T) -> Self {
        self.details = RawJson::new(details).ok();
        self
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The text for people: the error itself when it is a text, else its `message`, else empty.
    pub fn message(&self) -> &str {
        match &self.error {
            Value::String(text) => text,
            other => other.get("message").and_then(Value::as_str).unwrap_or_default(),
        }
    }

    /// The `error` field.
    pub fn error(&self) -> &Value {
        &self.error
    }

    /// The `details` field.
    pub fn details(&self) -> Option<&RawJson> {
        self.details.as_ref()
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message(), self.code)
    }
}

impl std::error::Error for RpcError {}
