//! What the gateway answers over HTTP beside the server's own paths.
//!
//! In: a request that is not the server's. Out: at `/` the console for browsers and a text that says what
//! this is for everybody else, the console's files, `ok` at `/healthcheck`, at `/readiness` whether clients should be
//! sent here, and for everything else an error that says why.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::reject::MethodNotAllowed;
use warp::reply::{self, Reply, Response};
use warp::{Filter, Rejection};

use crate::console;
use crate::engine::Engine;

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
    GET /readiness          ready, or why it takes no connections

`tokensocket --help` says how to use it from a terminal.
"
);

/// Whether clients should be sent here. Cloning gives another handle to the same.
#[derive(Clone, Default)]
pub(crate) struct Readiness {
    engine: Option<Engine>,
    is_ending: Arc<AtomicBool>,
}

impl Readiness {
    /// `engine`: what nodes share, if there are others.
    pub(crate) fn new(engine: Option<Engine>) -> Self {
        Self { engine, is_ending: Arc::default() }
    }

    /// The end begins.
    pub(crate) fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// Why nobody should be sent here, if so.
    fn objection(&self) -> Option<String> {
        if self.is_ending.load(Ordering::Relaxed) {
            return Some("draining: this gateway is about to end".to_owned());
        }
        let status = self.engine.as_ref()?.status();
        let away = Duration::from_secs(status.away?.as_secs());
        let away = humantime::format_duration(away);
        // Anybody may ask, and where it is is nobody's business.
        Some(format!("{} has not been reached for {away}", status.name))
    }

    fn respond(&self) -> Response {
        match self.objection() {
            None => "ready".into_response(),
            Some(why) => {
                let reply = reply::with_status(why, StatusCode::SERVICE_UNAVAILABLE);
                reply::with_header(reply, header::RETRY_AFTER, "1").into_response()
            }
        }
    }
}

/// The gateway's pages. Never rejects, so it must be the last of the routes.
pub(crate) fn routes(
    readiness: Readiness,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let read = warp::get().or(warp::head()).unify();
    let asked = read.and(warp::header::headers_cloned());
    let front = warp::path::end().and(asked).map(|headers| front(&headers));
    let file = warp::path!("console" / String)
        .and(asked)
        .and_then(|name: String, headers| async move { console::file(&name, &headers) });
    let healthcheck = warp::path!("healthcheck").and(read).map(|| "ok");
    let readiness = warp::path!("readiness").and(read).map(move || readiness.respond());
    front.or(file).or(healthcheck).or(readiness).recover(refuse).map(|reply| {
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
