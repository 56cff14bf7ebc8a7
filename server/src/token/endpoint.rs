//! `GET /socket/token`: who asks, and the token for the connection that follows.
//!
//! In: a request's head. Out: `{"token":T}`, or `{"error":…}` with 401, 403 or 500; the same as JSONP when the
//! query has a `callback`.

use std::borrow::Cow;

use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;

use super::TokenStoreError;
use crate::access::{AuthenticateError, TokenRequest};
use crate::error::IssueError;
use crate::http::body::ResponseBody;
use crate::http::cors::AllowedOrigins;
use crate::http::{Head, NEVER_CACHED, allow, empty, json_text, refuse};
use crate::node::Node;

/// The longest name of a JSONP callback, in bytes.
const MAX_CALLBACK: usize = 256;

pub(crate) async fn respond(node: &Node, origins: &AllowedOrigins, head: &Head) -> Response<ResponseBody> {
    let mut response = match head.method {
        Method::GET => issue(node, origins, head).await,
        Method::OPTIONS => allow(empty(StatusCode::NO_CONTENT), "GET, OPTIONS"),
        _ => allow(refuse(StatusCode::METHOD_NOT_ALLOWED, "ask for a token with GET"), "GET, OPTIONS"),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, NEVER_CACHED);
    origins.apply(head, response.headers_mut());
    response
}

async fn issue(node: &Node, origins: &AllowedOrigins, head: &Head) -> Response<ResponseBody> {
    let callback = match callback(&head.query) {
        Ok(None) => None,
        Ok(Some(callback)) if origins.allows_script(head) => Some(callback),
        Ok(Some(_)) => return refuse(StatusCode::FORBIDDEN, "JSONP is not allowed from this page"),
        Err(why) => return refuse(StatusCode::BAD_REQUEST, why),
    };
    let request = TokenRequest {
        headers: head.headers.clone(),
        query: head.query.clone(),
        remote_address: head.remote_address,
    };
    let (status, body) = match node.access.authenticate(request).await {
        Ok(identity) => match node.issue(identity).await {
            Ok(token) => (StatusCode::OK, json!({ "token": token.to_string() })),
            Err(error) => (status(&error), json!({ "error": error.to_string() })),
        },
        Err(AuthenticateError::Denied(why)) if callback.is_some() => {
            (StatusCode::FORBIDDEN, json!({ "error": "Forbidden", "message": why }))
        }
        Err(error) => (refusal(&error), json!({ "error": error.to_string() })),
    };
    let mut response = match callback {
        None => json_text(status, body.to_string()),
        Some(callback) => jsonp(status, &callback, &body.to_string()),
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The status of a request that was not authenticated.
pub(crate) fn refusal(error: &AuthenticateError) -> StatusCode {
    match error {
        AuthenticateError::Refused(_) => StatusCode::UNAUTHORIZED,
        AuthenticateError::Forbidden | AuthenticateError::Denied(_) => StatusCode::FORBIDDEN,
        AuthenticateError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn status(error: &IssueError) -> StatusCode {
    match error {
        IssueError::ShuttingDown
        | IssueError::Store(TokenStoreError::Full | TokenStoreError::Unavailable(_)) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        IssueError::Identity(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The JSONP callback that the query names.
fn callback(query: &str) -> Result<Option<String>, &'static str> {
    let pairs: Vec<(Cow<'_, str>, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let Some((_, name)) = pairs.into_iter().find(|(key, _)| key == "callback") else { return Ok(None) };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_$.[]".contains(&byte);
    if name.is_empty() || name.len() > MAX_CALLBACK || !name.bytes().all(allowed) {
        return Err("the callback's name may have letters, digits and _ $ . [ ]");
    }
    Ok(Some(name))
}

fn jsonp(status: StatusCode, callback: &str, body: &str) -> Response<ResponseBody> {
    // Both are fine in JSON, but ended a line in scripts before ECMAScript 2019.
    let body = body.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    let script = format!("/**/ typeof {callback} === 'function' && {callback}({body});");
    let mut response = json_text(status, script);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/javascript; charset=UTF-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_callbacks_that_are_names_only() {
        assert_eq!(callback("callback=a.b%5B0%5D&x=1"), Ok(Some("a.b[0]".to_owned())));
        assert_eq!(callback("x=1"), Ok(None));
        assert!(callback("callback=alert(1)").is_err());
        assert!(callback("callback=").is_err());
    }
}
