//! The HTTP API: what applications ask of the gateway.
//!
//! ```text
//! POST /send                      send          as socket.io-webservice has it: texts
//! GET /user/sockettoken           token         the site's own /socket/token, asked by a page
//! /api/v1/…                       operation     the table of all operations: JSON, NDJSON, problem details
//!                                 openapi       the same table, described
//!         ──▶ access (site, key) ──▶ body ──▶ commands/… ──▶ answer
//! ```
//!
//! In: requests, with a key of the site that they are for. Out: what the site's server was asked to do, done. It must
//! not know how a site is configured, nor what its clients speak. Nothing here can reach two sites at once.

mod access;
mod answer;
mod body;
mod commands;
mod form;
mod openapi;
mod operation;
mod problem;
mod query;
mod request_id;
mod send;
#[cfg(test)]
mod tests;
mod token;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Buf;
use futures_util::Stream;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use tokensocket_server::RemoteAddress;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::{Reply, Response};
use warp::{Filter, reject};

use crate::engine::Engine;
use crate::site::Sites;
use access::site;
use body::Budgets;
use operation::{Caller, Parameter, Source, Table};
use problem::{Kind, Problem};
use query::Query;
use request_id::RequestId;

/// Where the API is.
const PREFIX: &str = "/api/v1";

/// A body as it comes.
trait Pieces: Stream<Item = Result<Self::Piece, Self::Error>> + Send {
    type Piece: Buf + Send;
    type Error;
}

impl<S, B, E> Pieces for S
where
    S: Stream<Item = Result<B, E>> + Send,
    B: Buf + Send,
{
    type Piece = B;
    type Error = E;
}

/// What all requests share.
struct Api {
    sites: Sites,
    table: Table,
    budgets: Budgets,
    began: Instant,
    /// What nodes share, if there are others.
    engine: Option<Engine>,
}

/// Which part of the API a path belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Send,
    Token,
    Operations,
}

fn part(path: &str) -> Option<Part> {
    match path {
        "/send" | "/send/" => Some(Part::Send),
        "/user/sockettoken" | "/api/v1/user/sockettoken" => Some(Part::Token),
        _ => {
            let below = path.strip_prefix(PREFIX)?;
            (below.is_empty() || below.starts_with('/')).then_some(Part::Operations)
        }
    }
}

/// What applications ask over HTTP. Rejects paths that are not the API's with "not found". `waiting`: counts the requests
/// that may be worked at for as long as an engine is away.
pub(crate) fn routes(
    sites: &Sites,
    engine: Option<&Engine>,
    waiting: &TaskTracker,
) -> BoxedFilter<(Response,)> {
    let api = Arc::new(Api {
        sites: sites.clone(),
        table: commands::table(),
        budgets: Budgets::new(waiting.clone()),
        began: Instant::now(),
        engine: engine.cloned(),
    });
    let query = warp::query::raw().or_else(|_| async { Ok::<_, Infallible>((String::new(),)) });
    warp::path::full()
        .and_then(|path: FullPath| async move {
            let part = part(path.as_str()).ok_or_else(reject::not_found)?;
            Ok::<_, reject::Rejection>((part, path.as_str().to_owned()))
        })
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<RemoteAddress>())
        .and(warp::body::stream())
        .then(move |(part, path): (Part, String), method, query: String, headers, peer, body| {
            let api = Arc::clone(&api);
            async move { api.respond(part, &path, method, &query, headers, peer, body).await }
        })
        .boxed()
}

impl Api {
    #[allow(clippy::too_many_arguments, reason = "a request has that many parts")]
    async fn respond(
        self: Arc<Self>,
        part: Part,
        path: &str,
        method: Method,
        query: &str,
        headers: HeaderMap,
        peer: Option<RemoteAddress>,
        body: impl Pieces,
    ) -> Response {
        let id = RequestId::of(&headers);
        let span = tracing::info_span!("request", request = id.as_str(), %method, path);
        let fields = Query::parse(query);
        let answering = async {
            match part {
                Part::Send => send::respond(&self, &id, &method, &fields, &headers, body).await,
                Part::Token => token::respond(&self.sites, &id, method, query, &fields, headers, peer).await,
                Part::Operations => {
                    let answer = self.operate(&id, path, &method, fields, &headers, body).await;
                    answer.unwrap_or_else(|problem| {
                        refused(problem.status(), problem.detail());
                        problem.respond(&id)
                    })
                }
            }
        };
        let mut response = answering.instrument(span).await;
        let headers = response.headers_mut();
        headers.insert(request_id::HEADER, id.to_header());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }

    /// Does one of the table's operations.
    async fn operate(
        self: &Arc<Self>,
        id: &RequestId,
        path: &str,
        method: &Method,
        mut query: Query,
        headers: &HeaderMap,
        body: impl Pieces,
    ) -> Result<Response, Problem> {
        let path = path.strip_prefix(PREFIX).unwrap_or_default();
        if path == openapi::PATH {
            return match *method {
                Method::GET | Method::HEAD => Ok(openapi::respond(&self.table)),
                _ => Ok(not_allowed(id, "GET, HEAD")),
            };
        }
        let found = self.table.find(method, path);
        let operation = match found {
            Ok((operation, parameter)) => {
                if let Parameter::Named(name, value) = parameter {
                    query.push(name, value);
                }
                operation
            }
            Err(None) => {
                let say = format!(
                    "there is nothing at this path; GET {PREFIX}{} says what there is",
                    openapi::PATH
                );
                return Err(Problem::new(Kind::NotFound, say));
            }
            Err(Some(allowed)) => return Ok(not_allowed(id, &allowed)),
        };
        let site = site(&self.sites, &query, headers)?;
        let budget = self.budgets.of(&site);
        let caller = Caller::new(Arc::clone(self), site, id.clone(), headers);
        let part;
        let source = if operation.has_body() {
            let limit = operation.check_media_type(headers)?;
            part = budget.read(headers, body, limit, operation.length()).await?;
            Source::Body(if body::is_lines(headers) {
                commands::of_lines(&part.bytes)
            } else {
                part.bytes.clone()
            })
        } else {
            Source::Query(query)
        };
        let answer = operation.run(caller, source).await?;
        Ok(answer.respond(id))
    }
}

fn not_allowed(id: &RequestId, allowed: &str) -> Response {
    let problem = Problem::new(Kind::MethodNotAllowed, format!("this path has {allowed}"));
    let mut response = problem.respond(id);
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// A response whose body is this text.
fn text(status: StatusCode, text: String) -> Response {
    warp::reply::with_status(text, status).into_response()
}

/// Notes that a request was not done. What is wrong here, and not with the request, is for whoever runs the gateway.
fn refused(status: StatusCode, why: &str) {
    let status_code = status.as_u16();
    if status.is_server_error() {
        tracing::warn!(status = status_code, why, "not done");
    } else {
        tracing::debug!(status = status_code, why, "refused");
    }
}
