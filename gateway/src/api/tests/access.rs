//! Who may ask what.

use serde_json::{Value, json};

use super::Gateway;
use crate::config::SiteConfig;

#[tokio::test]
async fn asks_for_a_key_of_the_very_site() {
    let gateway = Gateway::start().await;
    let body = json!({ "channel": "c", "data": 1 });
    let unauthenticated = (401, "unauthenticated".to_owned());
    let request = |site: &str| gateway.post(&format!("/api/v1/publish?site={site}"), &body);
    assert_eq!(request("newsite").send().await.problem(), unauthenticated);
    assert_eq!(request("newsite").bearer("secret").send().await.problem(), unauthenticated);
    assert_eq!(request("nowhere").bearer("54321").send().await.problem(), unauthenticated);
    assert_eq!(request("other").bearer("secret").send().await.status, 200);
    assert_eq!(request("newsite&apiKey=54321").send().await.status, 200);
    let refused = request("newsite").send().await;
    assert_eq!(refused.header("www-authenticate"), Some("bearer"));
    // With several sites, one has to be named.
    let unnamed = gateway.post("/api/v1/publish", &body).bearer("54321").send().await;
    assert_eq!(unnamed.problem(), (400, "bad-request".to_owned()));
}

#[tokio::test]
async fn keeps_sites_apart() {
    let gateway = Gateway::start().await;
    let socket = gateway.client("other", "ann", "").connect().unwrap();
    super::ready(&socket).await;
    let mut channel = super::soon(socket.subscribe("c")).await.unwrap();
    let of_newsite = gateway.ask("channels").await.json();
    let nodes = json!({ "answered": 1, "asked": 1 });
    assert_eq!(of_newsite, json!({ "items": [], "next": null, "nodes": nodes }));
    assert_eq!(gateway.ask("sockets").await.json()["items"], json!([]));
    gateway.command("publish", &json!({ "channel": "c", "data": "of newsite" })).await.json();
    let of_other = gateway.post("/api/v1/publish?site=other", &json!({ "channel": "c", "data": "of other" }));
    of_other.bearer("secret").send().await.json();
    let first = super::soon(futures_util::StreamExt::next(&mut channel)).await.unwrap().unwrap();
    assert_eq!(first.parse::<Value>().unwrap(), json!("of other"));
}

#[tokio::test]
async fn the_only_site_need_not_be_named_and_an_open_one_asks_for_no_key() {
    let gateway = Gateway::with([SiteConfig::open("default")]).await;
    let body = json!({ "channel": "c", "data": 1 });
    assert_eq!(gateway.post("/api/v1/publish", &body).send().await.status, 200);
    let sent = json!({ "rooms": "a", "event": "e", "args": [] });
    assert_eq!(gateway.post("/send?site=default", &sent).send().await.said(), (200, "OK"));
    // A page that is open in a browser on the machine is not the machine's user.
    for target in ["/api/v1/publish", "/send?site=default"] {
        let foreign = gateway.post(target, &body).header("origin", "https://elsewhere.example");
        assert_eq!(foreign.send().await.status, 403, "{target}");
    }
    let own = format!("http://{}", gateway.address);
    assert_eq!(gateway.post("/api/v1/publish", &body).header("origin", &own).send().await.status, 200);
}

#[tokio::test]
async fn a_key_that_is_configured_is_asked_for_also_where_clients_prove_nothing() {
    let keys = vec![crate::config::Secret::new("k")];
    let gateway = Gateway::with([SiteConfig { api_keys: keys, ..SiteConfig::open("default") }]).await;
    let body = json!({ "channel": "c", "data": 1 });
    assert_eq!(gateway.post("/api/v1/publish", &body).send().await.problem().0, 401);
    assert_eq!(gateway.post("/api/v1/publish", &body).bearer("k").send().await.status, 200);
    let sent = json!({ "rooms": "a", "event": "e", "args": [] });
    assert_eq!(gateway.post("/send?site=default", &sent).send().await.status, 400);
    assert_eq!(gateway.post("/send?site=default&apiKey=x", &sent).send().await.status, 401);
}

#[tokio::test]
async fn bodies_for_one_site_hold_up_no_other() {
    let gateway = Gateway::start().await;
    // As many as a site may have, each of which says that it is long, and never comes.
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let head = "POST /api/v1/batch?site=newsite&apiKey=54321 HTTP/1.1\r\nhost: test\r\n\
                    content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 8388608\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        super::soon(tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100", "it is being read");
        waiting.push(stream);
    }
    let body = json!({ "rooms": "a", "event": "e", "args": [] });
    let mut own = Box::pin(gateway.post("/send?site=newsite&apiKey=54321", &body).send());
    let other = gateway.post("/send?site=other&apiKey=secret", &body).send();
    let other = tokio::select! {
        _ = &mut own => panic!("there was room"),
        other = other => other,
    };
    assert_eq!(other.said(), (200, "OK"));
    drop(waiting);
    assert_eq!(own.await.said(), (200, "OK"));
}

#[tokio::test]
async fn names_each_request_and_takes_a_name_that_it_has() {
    let gateway = Gateway::start().await;
    let named =
        gateway.get("/api/v1/status?site=newsite").bearer("54321").header("x-request-id", "abc-1").send();
    assert_eq!(named.await.header("x-request-id"), Some("abc-1"));
    for unfit in ["with space", "quote\"", &"x".repeat(129)] {
        let asked = gateway.get("/api/v1/nothing").header("x-request-id", unfit).send().await;
        assert_eq!(asked.problem().0, 404);
        assert_eq!(asked.header("x-request-id").unwrap().len(), 32, "{unfit}");
    }
}

#[tokio::test]
async fn says_what_there_is() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.get("/api/v1").send().await.problem(), (404, "not-found".to_owned()));
    let wrong = gateway.get("/api/v1/publish").send().await;
    assert_eq!(wrong.problem(), (405, "method-not-allowed".to_owned()));
    assert_eq!(wrong.header("allow"), Some("post"));
    assert_eq!(gateway.get("/api/v12").send().await.status, 404);
    assert_eq!(gateway.get("/healthcheck").send().await.said(), (200, "ok"));
    let form = super::Request::new(gateway.address, "POST", "/api/v1/publish?site=newsite");
    let form = form.bearer("54321").form("channel=c&data=1").send().await;
    assert_eq!(form.problem(), (415, "unsupported-media-type".to_owned()));
}
