//! The token request: what it answers, to whom, and what a token is good for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};
use tokensocket_server::{
    AllowedOrigins, AuthenticateError, Identity, MemoryTokenStore, Server, TokenRequest,
};
use tokensocket_tests::http::{self, Answer};
use tokensocket_tests::limit::within;
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::wire::{Client, Framing};

async fn node() -> Node {
    Node::start(builder()).await
}

fn is_uuid_v4(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            14 => *byte == b'4',
            19 => b"89ab".contains(byte),
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
        })
}

#[tokio::test]
async fn issues_a_uuid_that_is_never_cached() {
    let node = node().await;
    let answer = http::get(node.address, "/socket/token?user=ann").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/json"));
    assert!(answer.header("cache-control").contains("no-store"));
    let body = answer.json();
    assert!(is_uuid_v4(body["token"].as_str().unwrap()), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 1);
    assert_ne!(body, http::get(node.address, "/socket/token").await.json());
}

#[tokio::test]
async fn says_no_with_403_and_fails_with_500() {
    let node = node().await;
    let refused = http::get(node.address, "/socket/token?deny=1").await;
    assert_eq!((refused.status, &*refused.body), (403, r#"{"error":"Forbidden"}"#));
    let failed = http::get(node.address, "/socket/token?error=1").await;
    assert_eq!((failed.status, &*failed.body), (500, r#"{"error":"the database is asleep"}"#));
}

#[tokio::test]
async fn an_authenticator_that_panics_fails_with_500_and_hurts_nobody_else() {
    let server = Server::builder().authenticate(|request: TokenRequest| async move {
        assert!(request.query("panic").is_none(), "the authenticator panics");
        Ok(Identity::anonymous())
    });
    let node = Node::start(server).await;
    let failed = http::get(node.address, "/socket/token?panic=1").await;
    assert_eq!((failed.status, &*failed.body), (500, r#"{"error":"Internal error"}"#));
    assert_eq!(http::get(node.address, "/socket/token").await.status, 200);
}

#[tokio::test]
async fn an_identity_that_is_no_json_fails_with_500() {
    let node = Node::start(
        Server::builder()
            .authenticate(|_| async { Ok(Identity::new(std::collections::HashMap::from([((1, 2), 3)]))) }),
    )
    .await;
    let failed = http::get(node.address, "/socket/token").await;
    assert_eq!(failed.status, 500);
    assert!(failed.json()["error"].as_str().unwrap().contains("not JSON"), "{}", failed.body);
}

#[tokio::test]
async fn answers_jsonp_with_the_status_of_the_answer() {
    let node = node().await;
    for (query, status, body) in [
        ("deny=1", 403, r#"/**/ typeof a.b === 'function' && a.b({"error":"Forbidden"});"#),
        ("error=1", 500, r#"/**/ typeof a.b === 'function' && a.b({"error":"the database is asleep"});"#),
    ] {
        let answer = http::get(node.address, &format!("/socket/token?callback=a.b&{query}")).await;
        assert_eq!((answer.status, &*answer.body), (status, body));
    }
    let answer = http::get(node.address, "/socket/token?callback=$cb_1%5B0%5D&user=ann").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/javascript"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let body = answer.body.strip_prefix("/**/ typeof $cb_1[0] === 'function' && $cb_1[0](");
    let body: Value = serde_json::from_str(body.unwrap().strip_suffix(");").unwrap()).unwrap();
    assert!(is_uuid_v4(body["token"].as_str().unwrap()));
}

#[tokio::test]
async fn refuses_a_callback_that_is_no_name() {
    let node = node().await;
    for name in ["alert(1)", "a;b", "a%20b", "%3Cscript%3E", "a-b", ""] {
        let answer = http::get(node.address, &format!("/socket/token?callback={name}")).await;
        assert_eq!(answer.status, 400, "{name}");
        assert!(answer.header("content-type").starts_with("application/json"), "{name}");
        assert!(answer.json()["error"].as_str().unwrap().contains("callback"), "{}", answer.body);
    }
}

async fn with_origin(node: &Node, method: Method, origin: &str) -> Answer {
    let headers = [("origin", origin), ("access-control-request-headers", "x-own")];
    http::request(node.address, method, "/socket/token", &headers).await
}

#[tokio::test]
async fn lets_any_origin_ask_without_credentials() {
    let node = node().await;
    for method in [Method::GET, Method::OPTIONS] {
        let answer = with_origin(&node, method, "https://anywhere.example").await;
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
}

#[tokio::test]
async fn lets_named_origins_ask_with_credentials_and_nobody_else() {
    let origins = AllowedOrigins::named(["https://app.example"]);
    let node = Node::start(builder().allowed_origins(origins)).await;
    let known = with_origin(&node, Method::GET, "https://app.example").await;
    assert_eq!(known.status, 200);
    assert_eq!(known.header("access-control-allow-origin"), "https://app.example");
    assert_eq!(known.header("access-control-allow-credentials"), "true");
    assert_eq!(known.header("vary"), "Origin");
    for stranger in ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"]
    {
        let answer = with_origin(&node, Method::GET, stranger).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{stranger}");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{stranger}");
        assert_eq!(answer.header("vary"), "Origin", "{stranger}");
    }
}

#[tokio::test]
async fn answers_a_preflight() {
    let origins = AllowedOrigins::named(["https://app.example"]);
    let node = Node::start(builder().allowed_origins(origins)).await;
    let known = with_origin(&node, Method::OPTIONS, "https://app.example").await;
    assert_eq!((known.status, &*known.body), (204, ""));
    assert!(known.header("access-control-allow-methods").contains("GET"));
    assert_eq!(known.header("access-control-allow-headers"), "x-own");
    let stranger = with_origin(&node, Method::OPTIONS, "https://evil.example").await;
    assert_eq!(stranger.header("access-control-allow-methods"), "");
}

#[tokio::test]
async fn with_named_origins_no_stranger_gets_a_token_by_jsonp() {
    let origins = AllowedOrigins::named(["https://app.example"]);
    let node = Node::start(builder().allowed_origins(origins)).await;
    let path = "/socket/token?callback=f";
    for (referer, status) in [
        ("https://app.example/page", 200),
        ("https://evil.example/https://app.example/", 403),
        ("https://app.example.evil.example/", 403),
    ] {
        let answer = http::request(node.address, Method::GET, path, &[("referer", referer)]).await;
        assert_eq!(answer.status, status, "{referer}");
    }
    assert_eq!(http::get(node.address, path).await.status, 403);
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let node = node().await;
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = http::request(node.address, method.clone(), "/socket/token", &[]).await;
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.header("allow").contains("GET"), "{method}");
        assert!(answer.json()["error"].as_str().unwrap().contains("GET"), "{}", answer.body);
    }
}

#[tokio::test]
async fn the_authenticator_sees_the_whole_request() {
    for in_warp in [false, true] {
        let (seen, mut sees) = tokio::sync::mpsc::unbounded_channel();
        let server = Server::builder()
            .authenticate(move |request: TokenRequest| {
                seen.send(request).unwrap();
                async { Err(AuthenticateError::Forbidden) }
            })
            .build()
            .unwrap();
        let node = if in_warp { Node::in_warp(server).await } else { Node::serve(server).await };
        let path = "/socket/token?user=an%20n&role%5Bname%5D=x&n=1";
        let headers = [("cookie", "a=1; session=s3cr3t"), ("x-api-key", "k")];
        http::request(node.address, Method::GET, path, &headers).await;
        let request = within("the request", sees.recv()).await.unwrap();
        assert_eq!(request.query("user").as_deref(), Some("an n"));
        assert_eq!(request.query("role[name]").as_deref(), Some("x"));
        assert_eq!(request.raw_query(), "user=an%20n&role%5Bname%5D=x&n=1");
        assert_eq!(request.cookie("session"), Some("s3cr3t"));
        assert_eq!(request.header("x-api-key"), Some("k"));
        let localhost: IpAddr = [127, 0, 0, 1].into();
        assert_eq!(request.remote_address().map(|address| address.ip()), Some(localhost), "warp: {in_warp}");
    }
}

#[tokio::test]
async fn a_redeemed_identity_is_the_sockets() {
    let node = node().await;
    let token = node.token_of("bob").await;
    let mut client = Client::connect(&node, Framing::Raw).await;
    client.auth(&token).await;
    let sockets = node.server.sockets();
    assert_eq!(sockets[0].identity().parse::<Value>().unwrap(), json!({ "user": "bob" }));
}

#[tokio::test]
async fn the_application_may_issue_a_token_itself() {
    let node = node().await;
    let token = node.server.issue_token(Identity::new("carol")).await.unwrap().to_string();
    let mut client = Client::connect(&node, Framing::SockJs).await;
    client.auth(&token).await;
    assert_eq!(node.server.sockets()[0].identity().parse::<String>().unwrap(), "carol");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_that_redeem_a_token_at_once_gets_it() {
    const RACERS: usize = 16;
    let node = node().await;
    for _ in 0..8 {
        let token = node.token().await;
        let clients = join_all((0..RACERS).map(|_| Client::connect(&node, Framing::Raw))).await;
        let start = std::sync::Arc::new(tokio::sync::Barrier::new(RACERS));
        let racing = clients.into_iter().map(|mut client| {
            let (token, start) = (token.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                client.send(json!({ "rpc": "auth", "token": token, "uuid": "a" })).await;
                let answer = client.answer("a").await;
                // The winner's connection lives until all have raced.
                (client, answer)
            })
        });
        let answers: Vec<_> = join_all(racing).await.into_iter().map(Result::unwrap).collect();
        let won = answers.iter().filter(|(_, answer)| answer["resp"] == "success").count();
        let lost = answers.iter().filter(|(_, answer)| answer["error"] == "Token not found").count();
        assert_eq!((won, lost), (1, RACERS - 1));
    }
}

#[tokio::test]
async fn a_token_expires() {
    let ttl = Duration::from_millis(100);
    let node = Node::start(builder().token_ttl(ttl)).await;
    // A store for one token takes the next one only when the first has expired.
    let clock = Node::start(builder().token_ttl(ttl).token_store(MemoryTokenStore::new(1))).await;
    let expired = node.token().await;
    let issued_later = clock.token().await;
    within("the expiry of the later one", async {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while http::get(clock.address, "/socket/token").await.status == 503 {
            looks.tick().await;
        }
    })
    .await;
    for (node, token) in [(&node, expired), (&clock, issued_later)] {
        let mut client = Client::connect(node, Framing::Raw).await;
        client.send(json!({ "rpc": "auth", "token": token, "uuid": "a" })).await;
        assert_eq!(client.answer("a").await["error"], "Token not found");
        assert_eq!(client.closed().await.0, 1000);
    }
}

#[tokio::test]
async fn ten_thousand_tokens_never_redeemed_fill_the_store_and_no_more() {
    let node = Node::start(builder().token_store(MemoryTokenStore::new(10_000))).await;
    for _ in 0..9_999 {
        node.server.issue_token(Identity::anonymous()).await.unwrap();
    }
    let last = node.token().await;
    let refused = http::get(node.address, "/socket/token").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.json()["error"].as_str().unwrap().contains("try again"), "{}", refused.body);
    // One that is redeemed makes room for one.
    let mut client = Client::connect(&node, Framing::Raw).await;
    client.auth(&last).await;
    assert_eq!(http::get(node.address, "/socket/token").await.status, 200);
    assert_eq!(http::get(node.address, "/socket/token").await.status, 503);
}

#[tokio::test]
async fn no_token_is_issued_after_shutdown() {
    let node = Node::in_warp(builder().build().unwrap()).await;
    let early = node.token().await;
    node.server.shutdown().await;
    let answer = http::get(node.address, "/socket/token").await;
    assert_eq!(answer.status, 503);
    assert!(answer.json()["error"].as_str().unwrap().contains("shutting down"), "{}", answer.body);
    assert!(node.server.issue_token(Identity::anonymous()).await.is_err());
    // A token from before is of no use either: no connection is accepted.
    let _ = early;
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = http::request(node.address, Method::GET, "/sockets/websocket", &headers).await;
    assert_eq!(answer.status, 503);
    assert!(answer.json()["error"].as_str().unwrap().contains("shutting down"), "{}", answer.body);
}
