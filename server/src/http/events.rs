//! Requests for the WebSocket of event clients.
//!
//! In: a request for an endpoint's path. Out: a connection that goes on as one of its clients, or a refusal that says
//! why.

use std::sync::Arc;

use http::{HeaderValue, Method, Response, StatusCode, header};

use super::body::ResponseBody;
use super::upgrade::{Framing, Refusal, Upgrade};
use super::{Head, Http, allow, refuse};
use crate::access::TokenRequest;
use crate::events::Endpoint;
use crate::events::driver::EventClient;
use crate::token::endpoint::refusal;

pub(super) async fn respond(
    http: &Http,
    endpoint: &Arc<Endpoint>,
    head: &mut Head,
) -> Response<ResponseBody> {
    if !endpoint.is_on() {
        return refuse(StatusCode::NOT_FOUND, "there is nothing at this path");
    }
    if head.method != Method::GET {
        return allow(refuse(StatusCode::METHOD_NOT_ALLOWED, "ask for a WebSocket with GET"), "GET");
    }
    match connect(http, endpoint, head).await {
        Ok(response) | Err(response) => response,
    }
}

async fn connect(
    http: &Http,
    endpoint: &Arc<Endpoint>,
    head: &mut Head,
) -> Result<Response<ResponseBody>, Response<ResponseBody>> {
    if !http.origins.allows_page(head) {
        return Err(refuse(StatusCode::FORBIDDEN, "pages of this origin are not allowed"));
    }
    // A token is used up by who asks for it, so that comes last.
    let upgrade = Upgrade::check(head, Framing::Either).map_err(no_websocket)?;
    let admission = http.admit(head).map_err(no_websocket)?;
    let request = TokenRequest {
        headers: std::mem::take(&mut head.headers),
        query: std::mem::take(&mut head.query),
        remote_address: head.remote_address,
    };
    let visitor = endpoint
        .admit(&http.shared.node, request)
        .await
        .map_err(|error| refuse(refusal(&error), &error.to_string()))?;
    let client = EventClient {
        shared: Arc::clone(&http.shared),
        endpoint: Arc::clone(endpoint),
        visitor,
        remote_address: head.remote_address,
        admission,
    };
    Ok(upgrade.accept(&http.shared.node.tasks, http.shared.node.config.max_message_bytes, client))
}

fn no_websocket(Refusal(status, why): Refusal) -> Response<ResponseBody> {
    let mut response = refuse(status, why);
    if status == StatusCode::UPGRADE_REQUIRED {
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}
