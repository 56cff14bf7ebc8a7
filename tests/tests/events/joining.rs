//! Who gets in, and what hooks are told of it.

use std::time::Duration;

use futures_util::future;
use serde_json::json;
use tokensocket_server::events::EventMode;
use tokensocket_server::{AllowedOrigins, AuthenticateError, Close, Identity, RpcError, Server};
use tokensocket_tests::http;
use tokensocket_tests::limit::within;
use tokensocket_tests::node::Node;
use tokio::sync::mpsc;

use super::{ask, ask_from, builder, connect, options, token, user, with_tokens, works};

#[tokio::test]
async fn a_token_lets_one_connection_in() {
    let node = Node::start(with_tokens()).await;
    let token = token(&node, "user=ann").await;
    let mut client = connect(&node, &format!("/events?token={token}")).await;
    works(&mut client).await;
    for path in ["/events", "/events?token=", "/events?token=nonsense", &format!("/events?token={token}")] {
        let answer = ask(&node, path).await;
        assert_eq!(answer.status, 401, "{path}: {}", answer.body);
    }
    let sockets = node.server.sockets();
    assert_eq!(sockets.len(), 1);
    assert_eq!(sockets[0].identity().user_id().map(|user| &**user), Some("ann"));
}

#[tokio::test]
async fn a_request_that_becomes_no_connection_uses_up_no_token() {
    let node = Node::start(with_tokens()).await;
    let token = token(&node, "user=ann").await;
    assert_eq!(http::get(node.address, &format!("/events?token={token}")).await.status, 400);
    works(&mut connect(&node, &format!("/events?token={token}")).await).await;
}

#[tokio::test]
async fn an_open_endpoint_takes_everybody_but_a_bad_token() {
    let options = options(EventMode::Both).open();
    let node = Node::start(tokensocket_tests::device::builder().events("/events", options)).await;
    works(&mut connect(&node, "/events").await).await;
    let token = token(&node, "user=ann").await;
    works(&mut connect(&node, &format!("/events?token={token}")).await).await;
    assert_eq!(ask(&node, &format!("/events?token={token}")).await.status, 401);
}

#[tokio::test]
async fn an_authenticator_of_its_own_decides_who_connects() {
    let options = options(EventMode::Both).authenticate(|request| async move {
        match request.query("token").as_deref() {
            Some("good") => Ok(Identity::new("yes").user("ann")),
            Some("forbidden") => Err(AuthenticateError::Forbidden),
            Some("panic") => panic!("an authenticator that panics"),
            Some(_) => Err(AuthenticateError::Refused("Authentication failed".to_owned())),
            None => Err(AuthenticateError::Failed("the database is asleep".to_owned())),
        }
    });
    let node = Node::start(Server::builder().events("/events", options)).await;
    works(&mut connect(&node, "/events?token=good").await).await;
    for (path, status, error) in [
        ("/events?token=bad", 401, "Authentication failed"),
        ("/events?token=forbidden", 403, "Forbidden"),
        ("/events?token=panic", 500, "Internal error"),
        ("/events", 500, "the database is asleep"),
    ] {
        let answer = ask(&node, path).await;
        assert_eq!((answer.status, answer.json()), (status, json!({ "error": error })), "{path}");
    }
}

#[tokio::test]
async fn an_authenticator_that_hangs_is_given_up_on() {
    let hanging = options(EventMode::Both).authenticate(|_| future::pending());
    let server = Server::builder().auth_timeout(Some(Duration::from_millis(20))).events("/events", hanging);
    let node = Node::start(server).await;
    let answer = ask(&node, "/events?token=x").await;
    assert_eq!((answer.status, answer.json()), (500, json!({ "error": "Authentication timeout" })));
}

#[tokio::test]
async fn pages_of_other_origins_cannot_connect_where_origins_are_named() {
    let node = Node::start(builder().allowed_origins(AllowedOrigins::named(["https://good.example"]))).await;
    let own = format!("http://{}", node.address);
    for origin in
        ["https://evil.example", "http://good.example", "null", "", "https://good.example.evil.example"]
    {
        let answer = ask_from(&node, "/both", Some(origin)).await;
        assert_eq!(answer.status, 403, "{origin}");
    }
    for origin in [None, Some("https://good.example"), Some(&own)] {
        assert_eq!(ask_from(&node, "/both", origin).await.status, 101, "{origin:?}");
    }
    let node = Node::start(builder()).await;
    assert_eq!(ask_from(&node, "/both", Some("https://any.example")).await.status, 101);
}

#[tokio::test]
async fn hooks_are_asked_before_anything_is_heard_and_told_of_the_end() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let builder = with_tokens()
        .on_authenticate(|socket| async move {
            if socket.identity().user_id().is_some_and(|user| &**user == "eve") {
                return Err(RpcError::text("not eve"));
            }
            Ok(())
        })
        .on_disconnect(move |socket, close: Close| {
            tell.send((socket.identity().user_id().cloned(), close.code)).unwrap();
            async {}
        });
    let node = Node::start(builder).await;
    let eve = token(&node, "user=eve").await;
    let mut eve = connect(&node, &format!("/events?token={eve}")).await;
    assert_eq!(eve.closed().await.0, Close::FORBIDDEN.code);
    let mut ann = user(&node, "user=ann", "").await;
    works(&mut ann).await;
    ann.socket.close(None).await.unwrap();
    let (user, code) = within("the end", told.recv()).await.unwrap();
    assert_eq!((user.as_deref(), code), (Some("ann"), 1005));
}
