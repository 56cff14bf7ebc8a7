//! A server that speaks TLS by itself: calls, publications and large messages over it, and peers that do
//! not get through the handshake.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;

use futures_util::StreamExt;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::json;
use tokensocket_client::TokenSocket;
use tokensocket_server::{Actions, Data, Listener, RawJson, RpcError, Server};
use tokensocket_tests::limit::within;
use tokensocket_tests::native::connected;
use tokensocket_tests::node::{Node, builder, listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server with a certificate of its own, and a client's view of it.
async fn start() -> (Node, tokensocket_client::Builder) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let server_config = ServerConfig::builder_with_provider(Arc::clone(&ring))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client_config = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let echo = async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value);
    let server: Server = builder().actions(Actions::new().action("echo", echo)).build().unwrap();
    let (listener, address) = listen().await;
    let serving = server.clone();
    let task = tokio::spawn(async move {
        serving.serve(Listener::tls(listener, Arc::new(server_config))).await.unwrap();
    });
    let client =
        TokenSocket::builder(format!("https://localhost:{}", address.port())).tls(Arc::new(client_config));
    (Node::mounted(server, address, task), client)
}

#[tokio::test]
async fn calls_and_publications_work_over_tls() {
    let (node, client) = start().await;
    let socket = connected(client).await;
    let large = "x".repeat(700_000);
    for value in [json!({ "a": 1 }), json!(large)] {
        let answer: serde_json::Value =
            within("an answer", socket.rpc("echo", &value).into_future()).await.unwrap();
        assert_eq!(answer, value);
    }
    let mut news = within("the subscription", socket.subscribe("news")).await.unwrap();
    for n in 0..200 {
        node.server.publish("news", n).await.unwrap();
    }
    for n in 0..200 {
        let message = within("a publication", news.next()).await.unwrap().unwrap();
        assert_eq!(message.parse::<u32>().unwrap(), n);
    }
    within("the end", socket.end()).await;
}

#[tokio::test]
async fn many_calls_at_once_are_all_answered() {
    let (_node, client) = start().await;
    let socket = connected(client).await;
    let calls = (0..500).map(|n| {
        let socket = socket.clone();
        async move { socket.rpc::<u32>("echo", &n).await.unwrap() == n }
    });
    let answered = within("all answers", futures_util::future::join_all(calls)).await;
    assert!(answered.into_iter().all(|right| right));
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_dropped_and_holds_up_nothing() {
    let (node, client) = start().await;
    let mut plain = TcpStream::connect(node.address).await.unwrap();
    plain.write_all(b"GET /socket/token HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    // What it hears is a TLS alert or nothing, and then the end.
    let _ = within("the end", plain.read_to_end(&mut heard)).await;
    assert!(!heard.starts_with(b"HTTP"));
    let silent = TcpStream::connect(node.address).await.unwrap();
    let socket = connected(client).await;
    assert_eq!(socket.rpc::<u32>("echo", &1).await.unwrap(), 1);
    within("the shutdown, whatever a half-done handshake does", node.server.shutdown()).await;
    drop(silent);
}
