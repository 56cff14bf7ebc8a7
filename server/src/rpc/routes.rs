//! A warp filter as actions: the call's data becomes a request, the reply's JSON the answer.
//!
//! `a.b` is `POST /a/b` with the data as query and JSON body, or `GET` where the filter says that POST is
//! the wrong method. An answer that is an object also carries `_code` and `_headers`, as the original's
//! express routes did; a status of 300 or more is an error.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde_json::{Map, Value, json};
use tokensocket_protocol::action::{ActionFuture, Call};
use tokensocket_protocol::{ErrorCode, RawJson, RpcError};
use tower_service::Service;
use warp::Filter;

use crate::socket::Socket;

/// The largest body of a reply, in bytes.
const MAX_BODY: usize = 16 << 20;

/// The longest URI, in bytes: what the `http` crate reads, with some room.
const MAX_URI: usize = 60 * 1024;

type Respond = Arc<dyn Fn(Request<Full<Bytes>>) -> BoxFuture<'static, Result<Reply, RpcError>> + Send + Sync>;

/// Routes that answer calls for which there is no action.
#[derive(Clone)]
pub(crate) struct Routes(Respond);

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Routes {
    pub(crate) fn new<F>(filter: F) -> Self
    where
        F: Filter<Error = warp::Rejection> + Clone + Send + Sync + 'static,
        F::Extract: warp::Reply + Send,
    {
        let service = warp::service(filter);
        Self(Arc::new(move |request| {
            let mut service = service.clone();
            async move {
                let response: Response<_> = match service.call(request).await {
                    Ok(response) => response,
                    Err(infallible) => match infallible {},
                };
                let (parts, body) = response.into_parts();
                let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
                    if error.is::<LengthLimitError>() {
                        RpcError::text("the route's reply is too large").with_code(ErrorCode::TooLarge)
                    } else {
                        RpcError::text(format!("the route's reply broke off: {error}"))
                    }
                })?;
                Ok(Reply { status: parts.status, headers: parts.headers, body: body.to_bytes() })
            }
            .boxed()
        }))
    }

    pub(crate) fn call(&self, path: &str, call: &Call<'_, Socket>) -> ActionFuture {
        let respond = Arc::clone(&self.0);
        let path = format!("/{}", path.replace('.', "/"));
        let data = call.data.to_raw();
        async move {
            let query = query(&data);
            let reply = respond(request(Method::POST, &path, &query, data.clone())?).await?;
            let reply = if reply.status == StatusCode::METHOD_NOT_ALLOWED {
                respond(request(Method::GET, &path, &query, data)?).await?
            } else {
                reply
            };
            reply.into_answer()
        }
        .boxed()
    }
}

impl Reply {
    fn into_answer(self) -> Result<RawJson, RpcError> {
        if self.status == StatusCode::NOT_FOUND {
            return Err(RpcError::not_found());
        }
        let body = if self.body.is_empty() {
            Value::Object(Map::new())
        } else {
            serde_json::from_slice(&self.body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&self.body).into_owned()))
        };
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
            .collect();
        let mut answer = body;
        if let Value::Object(fields) = &mut answer {
            fields.insert("_headers".to_owned(), Value::Object(headers));
            fields.insert("_code".to_owned(), json!(self.status.as_u16()));
        }
        if self.status.as_u16() < 300 {
            return RawJson::new(&answer).map_err(|error| RpcError::new(error.to_string()));
        }
        let error = match answer.get("error") {
            Some(error) if !error.is_null() => error.clone(),
            _ => answer,
        };
        Err(RpcError::value(error).with_code(code(self.status)))
    }
}

fn code(status: StatusCode) -> ErrorCode {
    match status.as_u16() {
        400 | 405 | 415 | 422 => ErrorCode::BadRequest,
        401 => ErrorCode::Unauthenticated,
        403 => ErrorCode::Forbidden,
        408 | 504 => ErrorCode::Timeout,
        413 => ErrorCode::TooLarge,
        429 => ErrorCode::RateLimited,
        503 => ErrorCode::Overloaded,
        _ => ErrorCode::Internal,
    }
}

fn request(method: Method, path: &str, query: &str, data: RawJson) -> Result<Request<Full<Bytes>>, RpcError> {
    if path.contains(['?', '#']) {
        // The path of no route; what stands behind is not for the caller to choose.
        return Err(RpcError::not_found());
    }
    // A body that is too large for a query comes as the body alone.
    let uri = if query.is_empty() || path.len() + query.len() > MAX_URI {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    };
    Request::builder()
        .method(method)
        .uri(uri)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_LENGTH, data.as_bytes().len())
        .body(Full::new(data.into_bytes()))
        // A path that is no URI is the path of no route.
        .map_err(|_| RpcError::not_found())
}

/// The data's own fields as a query; texts stand for themselves, everything else is JSON.
fn query(data: &RawJson) -> String {
    let Ok(fields) = data.parse::<Map<String, Value>>() else { return String::new() };
    let pairs = fields.into_iter().map(|(name, value)| match value {
        Value::String(text) => (name, text),
        other => (name, other.to_string()),
    });
    serde_urlencoded::to_string(pairs.collect::<Vec<_>>()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_too_large_for_a_query_comes_as_the_body_alone() {
        let data = RawJson::new(&json!({ "text": "x".repeat(100_000) })).unwrap_or_default();
        let request = request(Method::POST, "/a", &query(&data), data.clone());
        let uri = request.as_ref().ok().map(|request| request.uri().to_string());
        assert_eq!(uri.as_deref(), Some("/a"));
    }
}
