//! What the gateway answers over HTTP beside the server's own paths.
//!
//! In: a request that is not the server's. Out: at `/` the console for browsers and a text that says what
//! this is for everybody else, the console's files, `ok` at `/healthcheck`, and for everything else an
//! error that says why.

use std::convert::Infallible;

use serde_json::json;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::reject::MethodNotAllowed;
use warp::reply::{self, Reply, Response};
use warp::{Filter, Rejection};

use crate::console;

const WELCOME: &str = concat!(
    "TokenSocket ",
    env!("CARGO_PKG_VERSION"),
    "

This is a TokenSocket server: calls in both directions, publish and subscribe, deliveries that are kept.

    GET /                   in a browser: a console to try everything with
    GET /socket/token       a token, good for one connection
    GET /sockets/websocket  the connection, as a WebSocket
    /sockets                the same for SockJS clients
    GET /healthcheck        ok

`tokensocket --help` says how to use it from a terminal.
"
);

/// The gateway's pages. Never rejects, so it must be the last of the routes.
pub(crate) fn routes() -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let read = warp::get().or(warp::head()).unify();
    let asked = read.and(warp::header::headers_cloned());
    let front = warp::path::end().and(asked).map(|headers| front(&headers));
    let file = warp::path!("console" / String)
        .and(asked)
        .and_then(|name: String, headers| async move { console::file(&name, &headers) });
    let healthcheck = warp::path!("healthcheck").and(read).map(|| "ok");
    front.or(file).or(healthcheck).recover(refuse).map(|reply| {
        // What is served says what it is; no browser shall guess.
        reply::with_header(reply, header::X_CONTENT_TYPE_OPTIONS, "nosniff")
    })
}

/// What is at `/`.
fn front(headers: &HeaderMap) -> Response {
    if console::is_wanted(headers) {
        return console::page(headers);
    }
    let mut welcome = WELCOME.into_response();
    welcome.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    welcome
}

async fn refuse(rejection: Rejection) -> Result<Response, Infallible> {
    let (status, why) = if rejection.is_not_found() {
        (StatusCode::NOT_FOUND, "there is nothing at this path; GET / says what there is")
    } else if rejection.find::<MethodNotAllowed>().is_some() {
        (StatusCode::METHOD_NOT_ALLOWED, "use GET")
    } else {
        tracing::debug!(?rejection, "a request was refused");
        (StatusCode::BAD_REQUEST, "this request cannot be understood")
    };
    let body = reply::json(&json!({ "error": why }));
    let reply = reply::with_status(body, status);
    Ok(if status == StatusCode::METHOD_NOT_ALLOWED {
        reply::with_header(reply, header::ALLOW, "GET, HEAD").into_response()
    } else {
        reply.into_response()
    })
}
