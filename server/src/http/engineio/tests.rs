use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use tokensocket_protocol::engineio::{Outgoing, Payload, encode_payload};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::transport::Transport as Carrier;
use crate::transport::engineio::table::Entry;

/// Sessions that say one thing at once.
#[derive(Default)]
struct Opener(Mutex<Option<Arc<Table>>>, Mutex<Vec<Entry>>);

struct Nobody;

impl Accept for Nobody {
    async fn run<T: Carrier>(self, _: T) {}
}

impl Opens for Opener {
    fn open(&self, _: &Head, version: Version) -> Result<Arc<Exchange>, (StatusCode, &'static str)> {
        let table = self.0.lock().clone();
        let full = (StatusCode::SERVICE_UNAVAILABLE, "full");
        let (exchange, entry) = table.and_then(|table| table.open(1000).ok()).ok_or(full)?;
        let answering = Arc::clone(&exchange);
        let open = format!("{} {}", version.number(), entry.sid());
        tokio::spawn(async move {
            let packets = [Outgoing::message(open.as_bytes())];
            answering.answer(encode_payload(version, true, &packets));
        });
        self.1.lock().push(entry);
        Ok(exchange)
    }

    fn accept(&self, _: &Head, _: Version) -> Result<impl Accept, (StatusCode, &'static str)> {
        Ok(Nobody)
    }
}

fn endpoint() -> (Endpoint, Opener) {
    let tasks = TaskTracker::new();
    let table = Table::new(2, Duration::from_secs(5), tasks.clone(), CancellationToken::new());
    let opener = Opener(Mutex::new(Some(Arc::clone(&table))), Mutex::default());
    (Endpoint { table, max_payload: 100, origins: AllowedOrigins::any(), tasks }, opener)
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

async fn ask(
    (endpoint, opener): &(Endpoint, Opener),
    method: Method,
    query: &str,
    headers: &[(HeaderName, &'static str)],
    body: &str,
) -> Answer {
    let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
    let mut head = Head {
        method,
        path: "/engine.io/".to_owned(),
        query: query.to_owned(),
        headers: headers.collect(),
        remote_address: None,
        on_upgrade: None,
    };
    let body = Full::new(Bytes::from(body.to_owned()));
    let response = respond(endpoint, &mut head, body, opener).await;
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await;
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

async fn get(at: &(Endpoint, Opener), query: &str) -> (u16, String) {
    let Answer { status, body, .. } = ask(at, Method::GET, query, &[], "").await;
    (status, body)
}

async fn open(at: &(Endpoint, Opener)) -> (String, Arc<Exchange>) {
    let (status, body) = get(at, "EIO=4&transport=polling").await;
    assert_eq!(status, 200, "{body}");
    let sid = body.strip_prefix("44 ").unwrap_or_else(|| panic!("{body}")).to_owned();
    let exchange = at.0.table.find(&sid).unwrap_or_else(|| panic!("{sid}"));
    (sid, exchange)
}

fn error(code: u8, message: &str) -> (u16, String) {
    let status = if code == 4 { 403 } else { 400 };
    (status, format!(r#"{{"code":{code},"message":"{message}"}}"#))
}

#[tokio::test]
async fn refuses_as_the_npm_server_does() {
    let at = endpoint();
    let (sid, _) = open(&at).await;
    let unknown = error(1, "Session ID unknown");
    let bad = error(3, "Bad request");
    for (query, expected) in [
        ("", error(0, "Transport unknown")),
        ("EIO=4", error(0, "Transport unknown")),
        ("EIO=4&transport=tobi", error(0, "Transport unknown")),
        ("EIO=5&transport=polling", error(5, "Unsupported protocol version")),
        ("EIO=4&transport=polling&sid=x", unknown.clone()),
        ("EIO=4&transport=websocket&sid=x", unknown.clone()),
        ("EIO=4&transport=websocket", bad.clone()),
        (&format!("EIO=4&transport=websocket&sid={sid}"), bad.clone()),
    ] {
        assert_eq!(get(&at, query).await, expected, "{query}");
    }
    for (method, query, expected) in [
        (Method::POST, "EIO=4&transport=polling", error(2, "Bad handshake method")),
        (Method::PUT, "EIO=4&transport=polling", error(2, "Bad handshake method")),
        (Method::POST, "EIO=4&transport=websocket", error(2, "Bad handshake method")),
        (Method::POST, "EIO=4&transport=polling&sid=x", unknown),
        (Method::PUT, &format!("EIO=4&transport=polling&sid={sid}"), bad),
    ] {
        let Answer { status, body, .. } = ask(&at, method.clone(), query, &[], "").await;
        assert_eq!((status, body), expected, "{method} {query}");
    }
    let Answer { status, .. } =
        ask(&at, Method::GET, "EIO=4&transport=websocket", &[(header::UPGRADE, "tobi")], "").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn polls_and_posts_reach_their_session() {
    let at = endpoint();
    let (sid, exchange) = open(&at).await;
    let query = format!("EIO=4&transport=polling&sid={sid}&t=abc");
    let answering = async {
        while exchange.poll_waits().is_none() {
            tokio::task::yield_now().await;
        }
        exchange.answer(Payload { body: b"4hello".to_vec(), is_binary: false });
    };
    let (answer, ()) = tokio::join!(ask(&at, Method::GET, &query, &[], ""), answering);
    assert_eq!((answer.status, &*answer.body), (200, "4hello"));
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/plain; charset=UTF-8");
    assert!(answer.headers[header::CACHE_CONTROL].as_bytes().starts_with(b"no-store"));

    let answer = ask(&at, Method::POST, &query, &[(header::CONTENT_TYPE, "text/plain")], "4a").await;
    assert_eq!((answer.status, &*answer.body), (200, "ok"));
    let taken = exchange.take_body().map(|body| (body.bytes, body.is_binary));
    assert_eq!(taken, Some((Bytes::from_static(b"4a"), false)));
    let bytes = &[(header::CONTENT_TYPE, "application/octet-stream; x")];
    assert_eq!(ask(&at, Method::POST, &query, bytes, "4b").await.status, 200);
    assert_eq!(exchange.take_body().map(|body| body.is_binary), Some(true));

    assert_eq!(ask(&at, Method::POST, &query, &[], &"x".repeat(101)).await.status, 413);
    exchange.close(None);
    assert_eq!(ask(&at, Method::POST, &query, &[], "4a").await.status, 400);
    assert_eq!(get(&at, &query).await, error(1, "Session ID unknown"));
}

#[tokio::test]
async fn a_second_poll_is_refused() {
    let at = endpoint();
    let (sid, exchange) = open(&at).await;
    let query = format!("EIO=4&transport=polling&sid={sid}");
    let second = async {
        while exchange.poll_waits().is_none() {
            tokio::task::yield_now().await;
        }
        let second = get(&at, &query).await;
        exchange.close(None);
        second
    };
    let (first, second) = tokio::join!(get(&at, &query), second);
    assert_eq!(second, error(3, "Bad request"));
    assert_eq!(first, error(1, "Session ID unknown"));
}

#[tokio::test]
async fn scripts_and_forms_carry_the_same() {
    let at = endpoint();
    let (status, script) = get(&at, "EIO=3&transport=polling&j=7").await;
    assert_eq!(status, 200);
    let packets = script.strip_prefix("___eio[7](\"25:43 ").and_then(|rest| rest.strip_suffix("\");"));
    let sid = packets.unwrap_or_else(|| panic!("{script}")).to_owned();
    let exchange = at.0.table.find(&sid).unwrap_or_else(|| panic!("{sid}"));
    let query = format!("EIO=3&transport=polling&j=7&sid={sid}");
    let form = &[(header::CONTENT_TYPE, "application/x-www-form-urlencoded")];
    assert_eq!(ask(&at, Method::POST, &query, form, "d=4%3A4%5Cna%26").await.body, "ok");
    assert_eq!(exchange.take_body().map(|body| body.bytes), Some(Bytes::from_static(b"4:4\na&")));
    assert_eq!(ask(&at, Method::POST, &query, form, "e=1").await.status, 400);
    let named = (Endpoint { origins: AllowedOrigins::named(["https://a.example"]), ..at.0 }, at.1);
    let script = |referer| ask_script(&named, referer);
    assert_eq!(script("https://b.example/").await, error(4, "Forbidden"));
    assert_eq!(script("https://a.example/").await.0, 200);
}

async fn ask_script(at: &(Endpoint, Opener), referer: &'static str) -> (u16, String) {
    let headers = &[(header::REFERER, referer)];
    let Answer { status, body, .. } = ask(at, Method::GET, "EIO=3&transport=polling&j=7", headers, "").await;
    (status, body)
}

#[tokio::test]
async fn pages_of_other_origins_may_ask_with_credentials() {
    let at = endpoint();
    let page = (header::ORIGIN, "https://a.example");
    let asked = (header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type");
    let answer = ask(&at, Method::OPTIONS, "EIO=3&transport=polling", &[page.clone(), asked], "").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_HEADERS], "content-type");
    assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_METHODS], "GET, POST, OPTIONS");
    for query in ["EIO=3&transport=polling", "EIO=3&transport=polling&sid=x"] {
        let answer = ask(&at, Method::GET, query, std::slice::from_ref(&page), "").await;
        assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example", "{query}");
        assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true", "{query}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_gets_no_websocket() {
    let at = endpoint();
    let at = (Endpoint { origins: AllowedOrigins::named(["https://a.example"]), ..at.0 }, at.1);
    let from = async |origin| {
        let query = "EIO=4&transport=websocket";
        ask(&at, Method::GET, query, &[(header::ORIGIN, origin)], "").await.status
    };
    assert_eq!(from("https://b.example").await, 403);
    // It is no upgrade.
    assert_eq!(from("https://a.example").await, 400);
}

#[tokio::test]
async fn a_full_endpoint_says_so() {
    let at = endpoint();
    drop((open(&at).await, open(&at).await));
    assert_eq!(get(&at, "EIO=4&transport=polling").await.0, 503);
}
