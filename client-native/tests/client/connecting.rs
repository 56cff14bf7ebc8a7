//! The token request, coming back, and the end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::SinkExt;
use serde_json::json;
use tokensocket_client::{
    Actions, BuildError, ConnectionError, ConnectionState, Data, Error, Event, RpcError, TokenSocket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use crate::peer::{Peer, soon};

#[tokio::test]
async fn the_token_request_carries_authentication_and_headers_and_the_socket_the_headers() {
    let mut peer = Peer::start().await;
    let socket = peer
        .builder()
        .authentication(&json!({ "user": "a b", "deep": { "x": [1] } }))
        .header("X-Key", "secret")
        .headers([("Cookie", "a=1")])
        .connect()
        .unwrap();
    let mut connection = peer.connection().await;
    assert_eq!(connection.receive().await["client"]["name"], "tokensocket-client");
    let requests = peer.requests.lock().clone();
    assert!(requests[0].starts_with("GET /socket/token?deep%5Bx%5D%5B0%5D=1&user=a+b HTTP/1.1\r\n"));
    for request in &requests {
        let request = request.to_lowercase();
        assert!(request.contains("x-key: secret\r\n") && request.contains("cookie: a=1\r\n"), "{request}");
    }
    drop(socket);
}

#[tokio::test]
async fn a_refused_first_token_request_ends_the_client_and_its_calls() {
    let peer = Peer::start().await;
    *peer.token_answer.lock() = ("403 Forbidden", r#"{"error":"Forbidden"}"#);
    let socket = peer.builder().connect().unwrap();
    let call = socket.rpc::<()>("a", &1);
    let outcome = soon(async { tokio::join!(call.into_future(), socket.ready()) }).await;
    assert!(matches!(outcome.0, Err(Error::Ended)));
    assert_eq!(outcome.1, Err(ConnectionError::Refused("Forbidden".to_owned())));
    assert_eq!(socket.state(), ConnectionState::Ended);
    assert!(matches!(soon(socket.publish("c", &1)).await, Err(Error::Ended)));
    assert!(soon(socket.channels()).await.is_empty());
    soon(socket.end()).await;
}

#[tokio::test]
async fn a_failing_authenticator_is_tried_again() {
    let mut peer = Peer::start().await;
    *peer.token_answer.lock() = ("500 Internal Server Error", r#"{"error":"boom"}"#);
    let socket = peer.builder().connect().unwrap();
    let Err(ConnectionError::Token(text)) = soon(socket.ready()).await else { panic!("no error") };
    assert!(text.contains("500") && text.contains("boom"), "{text}");
    *peer.token_answer.lock() = ("200 OK", r#"{"token":"opaque"}"#);
    let (outcomes, mut outcome) = mpsc::unbounded_channel();
    let _ = socket.on_reconnect(move |outcome| drop(outcomes.send(outcome.clone())));
    let _connection = peer.let_in().await;
    while soon(outcome.recv()).await.unwrap().is_err() {}
    assert_eq!(socket.state(), ConnectionState::Ready);
}

#[tokio::test]
async fn comes_back_follows_its_channels_again_and_then_sends_what_waited() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let (events, mut heard) = mpsc::unbounded_channel();
    let sender = events.clone();
    let _ = socket.on("disconnect", move |event| drop(sender.send(event.clone()))).unwrap();
    let _ = socket.on("reconnect", move |event| drop(events.send(event.clone()))).unwrap();
    let (subscription, _) =
        soon(async { tokio::join!(socket.subscribe("news"), connection.confirm_subscribe()) }).await;
    let _subscription = subscription.unwrap();
    drop(connection);
    assert!(matches!(soon(heard.recv()).await, Some(Event::Disconnect(_))));
    let handle = socket.clone();
    let waiting = tokio::spawn(async move { handle.rpc::<u32>("late", &1).await });
    let mut connection = peer.let_in().await;
    assert_eq!(connection.confirm_subscribe().await, "news");
    let call = connection.receive().await;
    assert_eq!(call["rpc"], "late");
    connection.answer(&call, &json!({ "resp": 7 })).await;
    assert_eq!(soon(waiting).await.unwrap().unwrap(), 7);
    assert_eq!(soon(heard.recv()).await, Some(Event::Reconnect(Ok(()))));
    let tokens = peer.requests.lock().iter().filter(|head| head.starts_with("GET /socket/token")).count();
    assert_eq!(tokens, 2, "each attempt asks for a token");
}

#[tokio::test]
async fn a_silent_peer_is_left() {
    let mut peer = Peer::start().await;
    let socket = peer
        .builder()
        .ping(Duration::from_millis(20))
        .pong_timeout(Duration::from_millis(50))
        .connect()
        .unwrap();
    let mut first = peer.let_in().await;
    let ping = first.receive().await;
    assert_eq!(ping["rpc"], "_ping");
    assert_eq!(first.closed().await, Some(4408));
    let _second = peer.let_in().await;
    soon(socket.end()).await;
}

/// A kept one could be as dead as the socket that was left, and would cost a whole connect timeout.
#[tokio::test]
async fn the_connection_of_a_token_request_is_not_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _socket = TokenSocket::builder(format!("http://{address}")).connect().unwrap();
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"token\":\"opaque\"}";
    stream.write_all(answer).await.unwrap();
    let mut request = Vec::new();
    soon(stream.read_to_end(&mut request)).await.unwrap();
    assert!(request.starts_with(b"GET /socket/token "));
}

#[tokio::test]
async fn what_a_peer_says_wrongly_is_survived() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    for text in ["", "not json", "null", "{\"rpc\":5,\"uuid\":[]}", "{\"internal\":true,\"command\":9}"] {
        connection.0.send(Message::text(text)).await.unwrap();
    }
    connection.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    let (answer, ()) = soon(async {
        tokio::join!(socket.rpc::<u8>("a", &1).into_future(), async {
            let call = connection.receive().await;
            connection.answer(&call, &json!({ "resp": 1 })).await;
        })
    })
    .await;
    assert_eq!(answer.unwrap(), 1);
}

#[tokio::test]
async fn a_message_over_the_limit_breaks_the_connection() {
    let mut peer = Peer::start().await;
    let socket = peer.builder().max_message_bytes(1000).connect().unwrap();
    let mut connection = peer.let_in().await;
    connection.publish("c", &json!("x".repeat(2000))).await;
    let _second = peer.let_in().await;
    drop(socket);
}

#[tokio::test]
async fn ending_sends_what_was_sent_before_closes_and_leaves_nothing() {
    let mut peer = Peer::start().await;
    let (started, mut starts) = mpsc::channel(1);
    let (held, mut gone) = mpsc::channel::<()>(1);
    let held = Arc::new(parking_lot::Mutex::new(Some(held)));
    let actions = Actions::new().action("hang", move |Data(()): Data<()>| {
        let (started, held) = (started.clone(), held.lock().take());
        async move {
            let _held = held;
            let _ = started.send(()).await;
            std::future::pending::<Result<(), RpcError>>().await
        }
    });
    let socket = peer.builder().actions(actions).connect().unwrap();
    let mut connection = peer.let_in().await;
    connection.call("f", "hang", &json!(null)).await;
    soon(starts.recv()).await.unwrap();
    let handle = socket.clone();
    let waiting = tokio::spawn(async move { handle.rpc::<()>("slow", &1).await });
    assert_eq!(connection.receive().await["rpc"], "slow");
    let ((), code) = soon(async { tokio::join!(socket.end(), connection.closed()) }).await;
    assert_eq!(code, Some(1000));
    assert!(matches!(soon(waiting).await.unwrap(), Err(Error::Ended)));
    assert_eq!(gone.try_recv(), Err(TryRecvError::Disconnected), "running actions are gone");
    assert_eq!(socket.state(), ConnectionState::Ended);
    soon(socket.end()).await;
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_connection() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let other = socket.clone();
    drop(socket);
    assert_eq!(other.state(), ConnectionState::Ready);
    drop(other);
    assert_eq!(connection.closed().await, Some(1000));
}

#[tokio::test]
async fn ending_while_connecting_ends_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let socket = TokenSocket::builder(address).connect().unwrap();
    let _half_open = soon(listener.accept()).await.unwrap();
    soon(socket.end()).await;
    assert_eq!(soon(socket.ready()).await, Err(ConnectionError::Ended));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_that_says_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let socket = TokenSocket::builder(address).reconnect(false).connect().unwrap();
    let Err(ConnectionError::Token(text)) = soon(socket.ready()).await else { panic!("no error") };
    assert!(text.contains("refused"), "{text}");
    assert_eq!(socket.state(), ConnectionState::Ended);
}

#[tokio::test]
async fn speaks_tls() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let mut peer = Peer::with_tls(Some(TlsAcceptor::from(Arc::new(server)))).await;
    let stranger = peer.builder().reconnect(false).connect().unwrap();
    assert!(matches!(soon(stranger.ready()).await, Err(ConnectionError::Token(_))), "not trusted");
    let socket = peer.builder().tls(Arc::new(client)).connect().unwrap();
    let _connection = peer.let_in().await;
    soon(socket.ready()).await.unwrap();
}

#[tokio::test]
async fn a_wrong_description_is_refused() {
    let build = |address: &str| TokenSocket::builder(address);
    assert!(matches!(build("localhost").connect(), Err(BuildError::Address { .. })));
    let wrong = build("http://h").authentication("text").connect();
    assert!(matches!(wrong, Err(BuildError::Authentication(_))));
    let wrong = build("http://h").header("a b", "c").connect();
    assert!(matches!(wrong, Err(BuildError::Header(_))));
    let reserved = Actions::new().action("_ping", async || Ok::<_, RpcError>(()));
    assert!(matches!(build("http://h").actions(reserved).connect(), Err(BuildError::Action(_))));
}
