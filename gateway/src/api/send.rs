//! `POST /send?site=S&apiKey=K&resync=BOOL`: an event for everybody in some rooms.
//!
//! In: JSON or a form with `rooms`, `event` and `args`. Out: `OK`, once it is kept for each device; every error as a
//! plain text. Made for applications that know nothing of this gateway but this.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;
use tokensocket_server::{DeliverOptions, RawJson, To};
use warp::reply::Response;

use super::body::{self, Length};
use super::form::{self, Branch};
use super::problem::{Kind, Problem};
use super::query::Query;
use super::request_id::RequestId;
use super::{Api, Pieces, access, operation};
use crate::site::Site;

/// The most rooms of one request.
const MOST_ROOMS: usize = 1_024;

const MISSING: &str = "Missing query param 'site' or 'apiKey'.";
const INVALID: &str = "ApiKey invalid.";

/// What is to be sent.
#[derive(Debug, Deserialize)]
struct Sending {
    rooms: Rooms,
    event: String,
    #[serde(default)]
    args: RawJson,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`rooms` is the name of a room, or a list of names")]
enum Rooms {
    One(String),
    Several(Vec<String>),
}

/// A status and a text.
type Refusal = (StatusCode, String);

/// Answers a request for `/send`.
pub(super) async fn respond(
    api: &Api,
    id: &RequestId,
    method: &Method,
    query: &Query,
    headers: &HeaderMap,
    body: impl Pieces,
) -> Response {
    let answer = send(api, id, method, query, headers, body).await;
    let (status, said) = answer.unwrap_or_else(|(status, why)| {
        super::refused(status, &why);
        (status, why)
    });
    let mut response = super::text(status, said);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

async fn send(
    api: &Api,
    id: &RequestId,
    method: &Method,
    query: &Query,
    headers: &HeaderMap,
    body: impl Pieces,
) -> Result<Refusal, Refusal> {
    if method != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "use POST".to_owned()));
    }
    let missing = || (StatusCode::BAD_REQUEST, MISSING.to_owned());
    let name = query.get("site").filter(|name| !name.is_empty()).ok_or_else(missing)?;
    let site = api.sites.get(name);
    let key = access::key(query, headers);
    let site = match (site, key) {
        (Some(site), _) if site.is_open() && access::is_foreign(headers) => {
            return Err(text(&access::foreign()));
        }
        (Some(site), _) if site.is_open() => site,
        (_, None) => return Err(missing()),
        (Some(site), Some(key)) if site.accepts_key(&key) => site,
        _ => return Err((StatusCode::UNAUTHORIZED, INVALID.to_owned())),
    };
    let media_type = body::media_type(headers);
    let read = match media_type.as_deref() {
        Some("application/json") => of_json,
        Some("application/x-www-form-urlencoded") => of_form,
        _ => {
            let say = "send application/json or application/x-www-form-urlencoded";
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, say.to_owned()));
        }
    };
    let body = api.budgets.of(&site).read(headers, body, body::COMMAND, Length::Outage).await;
    let body = body.map_err(|problem| text(&problem))?;
    let forgets = || text(&operation::forgets());
    if site.forgets() {
        return Err(forgets());
    }
    let sending = read(&body.bytes).map_err(|why| (StatusCode::BAD_REQUEST, why))?;
    let resync = query.get("resync").is_some_and(is_yes);
    deliver(&site, id, sending, resync).await.map_err(|problem| text(&problem))?;
    // What was kept while the site began to begin anew is thrown away with the rest.
    if site.forgets() {
        return Err(forgets());
    }
    Ok((StatusCode::OK, "OK".to_owned()))
}

async fn deliver(site: &Site, id: &RequestId, sending: Sending, resync: bool) -> Result<(), Problem> {
    let rooms = match sending.rooms {
        Rooms::One(room) => vec![room],
        Rooms::Several(rooms) => rooms,
    };
    if rooms.len() > MOST_ROOMS {
        return Err(Problem::new(Kind::TooLarge, format!("one request names at most {MOST_ROOMS} rooms")));
    }
    super::commands::check_event(&sending.event)?;
    let count = rooms.len();
    let to = To::rooms(rooms.iter().map(|room| site.room(room)));
    let options = DeliverOptions::new().resync(resync).request(id.as_str());
    let args = arguments(sending.args);
    let delivered = site.server().deliver(to, &sending.event, &args, options).await?;
    let devices = delivered.devices;
    tracing::debug!(site = site.name(), rooms = count, event = sending.event, devices, resync, "sent");
    Ok(())
}

/// The arguments as the event's handlers get them: those of a list, else the one. Who names none sends a `null`, as
/// always.
fn arguments(args: RawJson) -> RawJson {
    if args.as_bytes() == b"null" { RawJson::from_text("[null]").unwrap_or_default() } else { args }
}

fn of_json(bytes: &Bytes) -> Result<Sending, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("the body cannot be understood: {error}"))
}

fn of_form(bytes: &Bytes) -> Result<Sending, String> {
    let mut form: Branch = form::parse(bytes).map_err(|error| error.to_string())?;
    let rooms = form.take("rooms").ok_or("`rooms` is missing")?;
    let rooms = rooms.into_texts().ok_or("`rooms` is the name of a room, or a list of names")?;
    let event = form.take("event").and_then(form::Value::into_text).ok_or("`event` is missing")?;
    let args = form.take("args").map(|args| RawJson::new(&args)).transpose();
    let args = args.map_err(|error| error.to_string())?.unwrap_or_default();
    Ok(Sending { rooms: Rooms::Several(rooms), event, args })
}

/// Whether a choice in a query is made.
fn is_yes(text: &str) -> bool {
    !["", "0", "false", "no", "off"].contains(&&*text.to_ascii_lowercase())
}

fn text(problem: &Problem) -> Refusal {
    (problem.status(), problem.detail().to_owned())
}
