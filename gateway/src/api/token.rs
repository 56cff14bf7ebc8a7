//! `GET /user/sockettoken`: a token for whoever is signed in, asked by a page.
//!
//! In: a page's request, with what the site knows its users by. Out: what the site's own `/socket/token` answers: it
//! is the same thing under another name. An application that knows its users itself takes `POST /api/v1/tokens`.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Empty};
use tokensocket_server::RemoteAddress;
use tower_service::Service;
use warp::reply::Response;

use super::problem::{Kind, Problem};
use super::query::Query;
use super::request_id::RequestId;
use crate::open::TOKEN_PATH;
use crate::site::Sites;

/// Asks the site that the query names, or the only one.
pub(super) async fn respond(
    sites: &Sites,
    id: &RequestId,
    method: Method,
    query: &str,
    fields: &Query,
    headers: HeaderMap,
    peer: Option<RemoteAddress>,
) -> Response {
    let site = match fields.get("site").filter(|name| !name.is_empty()) {
        Some(name) => sites.get(name),
        None => sites.plain(),
    };
    let Some(site) = site else {
        return Problem::new(Kind::NotFound, "there is no such site: `?site=` names one").respond(id);
    };
    let target = if query.is_empty() { TOKEN_PATH.to_owned() } else { format!("{TOKEN_PATH}?{query}") };
    let Ok(uri) = Uri::try_from(target) else {
        return Problem::bad_request("the query cannot be understood").respond(id);
    };
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    let Ok(answer) = site.server().clone().into_service().call(request).await;
    let (parts, body) = answer.into_parts();
    let Ok(body) = body.collect().await;
    Response::from_parts(parts, body.to_bytes().into())
}
