//! A request that receives for its session: the session's frames are its response.
//!
//! In: a session's name, and a kind of receiver. Out: a response that goes on for as long as the kind wants.
//! A name that nobody has becomes a new session.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use tokensocket_protocol::sockjs::{self, Callback};

use super::Endpoint;
use super::headers;
use super::path::Transport;
use crate::http::body::{Kind, ResponseBody};
use crate::http::upgrade::{Accept, Refusal};
use crate::http::{Head, Http, empty, refuse};
use crate::transport::sockjs::exchange::{BUSY, Unattached};
use crate::transport::sockjs::receiving::Receiving;
use crate::transport::sockjs::receiving::eventsource::EventSource;
use crate::transport::sockjs::receiving::htmlfile::HtmlFile;
use crate::transport::sockjs::receiving::jsonp::Jsonp;
use crate::transport::sockjs::receiving::xhr::Xhr;
use crate::transport::sockjs::receiving::xhr_streaming::XhrStreaming;

/// How long a receiver that comes waits for the one before to be cut: that may be on its way.
const HANDOVER: Duration = Duration::from_millis(50);
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
/// The longest name of a JSONP callback, in bytes.
const MAX_CALLBACK: usize = 32;

/// Receives for the session called `name`.
pub(super) async fn respond<A: Accept>(
    http: &Http,
    endpoint: &Endpoint,
    name: &str,
    transport: Transport,
    head: &Head,
    accept: impl Fn(&Http, &Head) -> Result<A, Refusal>,
) -> Response<ResponseBody> {
    let mut response = match framing(transport, head) {
        Err(why) => super::failure(StatusCode::INTERNAL_SERVER_ERROR, &why),
        Ok(framing) => {
            let content_type = framing.content_type();
            match attach(http, endpoint, name, head, framing, accept).await {
                Err(Refusal(status, why)) => refuse(status, why),
                Ok(body) => {
                    let mut response = empty(StatusCode::OK);
                    *response.body_mut() = body;
                    headers::content_type(&mut response, content_type);
                    response
                }
            }
        }
    };
    let headers = response.headers_mut();
    headers::of_session(&endpoint.options, head, headers);
    match transport {
        Transport::Xhr | Transport::XhrStreaming => http.origins.apply_to_sockjs(head, headers),
        Transport::EventSource => http.origins.apply_to_events(head, headers),
        Transport::Jsonp => {
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        _ => {}
    }
    if matches!(transport, Transport::XhrStreaming | Transport::EventSource | Transport::HtmlFile) {
        // nginx passes on what comes as it comes.
        headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    }
    response
}

fn framing(transport: Transport, head: &Head) -> Result<Box<dyn Receiving>, String> {
    let callback =
        |most| Callback::parse(callback(&head.query).as_deref(), most).map_err(|bad| bad.to_string());
    Ok(match transport {
        Transport::Xhr => Box::new(Xhr),
        Transport::EventSource => Box::new(EventSource),
        Transport::HtmlFile => Box::new(HtmlFile(callback(None)?)),
        Transport::Jsonp => Box::new(Jsonp(callback(Some(MAX_CALLBACK))?)),
        _ => Box::new(XhrStreaming),
    })
}

/// The parameter `c`, or else `callback`.
fn callback(query: &str) -> Option<String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).ok()?;
    let named = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    named("c").or_else(|| named("callback"))
}

async fn attach<A: Accept>(
    http: &Http,
    endpoint: &Endpoint,
    name: &str,
    head: &Head,
    mut framing: Box<dyn Receiving>,
    accept: impl Fn(&Http, &Head) -> Result<A, Refusal>,
) -> Result<ResponseBody, Refusal> {
    let polls = framing.ends_after_one();
    loop {
        let (exchange, new) = endpoint
            .table
            .find_or_open(name)
            .map_err(|_| Refusal(StatusCode::SERVICE_UNAVAILABLE, "too many sessions: come again later"))?;
        if let Some(carrier) = new {
            http.shared.node.tasks.spawn(accept(http, head)?.run(carrier));
        }
        match exchange.attach(framing) {
            // A poll is answered in one piece, as soon as there is something to say.
            Ok(receiver) if polls => return Ok(receiver.whole().await.into()),
            Ok(receiver) => return Ok(ResponseBody(Kind::Frames(receiver))),
            Err((Unattached::Gone, unused)) => framing = unused,
            Err((Unattached::Busy, unused)) => {
                // A client that comes again without having lost a receiver is not waited for: it comes when
                // it has seen the end.
                exchange.cut(HANDOVER).await;
                if exchange.is_gone() {
                    framing = unused;
                    continue;
                }
                let frame = unused.frame(sockjs::close_frame(&BUSY).into());
                let pieces = unused.prelude().into_iter().chain([frame]).collect();
                return Ok(ResponseBody(Kind::Pieces(pieces)));
            }
        }
    }
}
