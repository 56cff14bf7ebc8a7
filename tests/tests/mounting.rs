//! The ways to mount a server, each with both of its WebSockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokensocket_server::{Actions, Data, RawJson, RemoteAddress, RpcError, Server, Socket};
use tokensocket_tests::http;
use tokensocket_tests::node::{Node, builder, listen};
use tokensocket_tests::wire::{Client, Framing};
use warp::Filter;

fn server() -> Server {
    let actions = Actions::new()
        .action("echo", async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value))
        .action("address", async |socket: Socket| {
            Ok::<_, RpcError>(socket.remote_address().map(|address| address.to_string()))
        });
    builder().actions(actions).build().unwrap()
}

async fn serves_both_websockets(node: &Node) {
    for framing in Framing::ALL {
        let mut client = Client::ready(node, framing).await;
        assert_eq!(client.call("echo", json!({ "n": 1 })).await["resp"], json!({ "n": 1 }));
        let address = client.socket.get_ref().local_addr().unwrap().to_string();
        assert_eq!(client.call("address", json!(null)).await["resp"], json!(address));
        client.subscribe("news").await;
        client.start("_publish", json!({ "channel": "news", "data": [1] })).await;
        let published = client.find("the publication", |message| message["channel"] == "news").await;
        assert_eq!(published, json!({ "channel": "news", "message": [1] }));
    }
    let info = http::get(node.address, "/sockets/info").await;
    assert_eq!(info.json()["websocket"], true);
    let greeting = http::get(node.address, "/sockets").await;
    assert_eq!((greeting.status, &*greeting.body), (200, "Welcome to SockJS!\n"));
}

#[tokio::test]
async fn serves_on_its_own() {
    let node = Node::serve(server()).await;
    serves_both_websockets(&node).await;
}

#[tokio::test]
async fn serves_inside_a_warp_application_and_leaves_its_routes_alone() {
    let node = Node::in_warp(server()).await;
    serves_both_websockets(&node).await;
    let own = http::get(node.address, "/application").await;
    assert_eq!((own.status, &*own.body), (200, "the application's own"));
    assert_eq!(http::get(node.address, "/elsewhere").await.status, 404);
}

#[tokio::test]
async fn serves_with_a_service_for_all_other_paths() {
    let (listener, address) = listen().await;
    let server = server();
    let others = warp::service(warp::path!("application").map(|| "the application's own"));
    let serving = server.clone();
    let task = tokio::spawn(async move { serving.serve_with(listener, others).await.unwrap() });
    let mut node = Node::mounted(server, address, task);
    serves_both_websockets(&node).await;
    let own = http::get(address, "/application").await;
    assert_eq!((own.status, &*own.body), (200, "the application's own"));
    assert_eq!(http::get(address, "/elsewhere").await.status, 404);
    node.server.shutdown().await;
    node.ended().await;
}

#[tokio::test]
async fn serves_as_a_tower_service() {
    let (listener, address) = listen().await;
    let server = server();
    let service = server.clone().into_service();
    let task = tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let service = service.clone();
            let service = hyper::service::service_fn(move |mut request: hyper::Request<_>| {
                request.extensions_mut().insert(RemoteAddress(peer));
                let service = TowerToHyperService::new(service.clone());
                async move { hyper::service::Service::call(&service, request).await }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection.with_upgrades());
        }
    });
    let node = Node::mounted(server, address, task);
    serves_both_websockets(&node).await;
    assert_eq!(http::get(address, "/elsewhere").await.status, 404);
}

#[tokio::test]
async fn serves_at_paths_of_your_own() {
    let server = builder().token_path("/t").socket_prefix("/deep/s").build().unwrap();
    let node = Node::serve(server).await;
    assert!(http::get(node.address, "/t").await.json()["token"].is_string());
    assert_eq!(http::get(node.address, "/deep/s/info").await.status, 200);
    assert_eq!(http::get(node.address, "/socket/token").await.status, 404);
    assert_eq!(http::get(node.address, "/sockets/info").await.status, 404);
}

#[tokio::test]
async fn a_plain_sockjs_service_needs_no_token() {
    let server = builder()
        .sockjs("/echo", |mut socket| async move {
            while let Some(message) = socket.recv().await {
                if message == "bye" {
                    return socket.close(3001, "as you wish");
                }
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        })
        .build()
        .unwrap();
    let node = Node::serve(server).await;
    for path in ["/echo/websocket", "/echo/1/2/websocket"] {
        let sockjs = path.contains("/1/");
        let framed = |text: &str| if sockjs { format!("a[{text:?}]") } else { text.to_owned() };
        let stream = tokio::net::TcpStream::connect(node.address).await.unwrap();
        let url = format!("ws://{}{path}", node.address);
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let mut frames = Vec::new();
        if sockjs {
            frames.push("o".to_owned());
        }
        for text in ["one", "two", "bye"] {
            let text = if sockjs { json!([text]).to_string() } else { text.to_owned() };
            futures_util::SinkExt::send(&mut socket, text.into()).await.unwrap();
        }
        frames.extend([framed("one"), framed("two")]);
        if sockjs {
            frames.push("c[3001,\"as you wish\"]".to_owned());
        }
        for expected in frames {
            let frame = futures_util::StreamExt::next(&mut socket).await.unwrap().unwrap();
            assert_eq!(frame.into_text().unwrap().as_str(), expected);
        }
        let close = futures_util::StreamExt::next(&mut socket).await.unwrap().unwrap();
        assert!(close.is_close(), "{close:?}");
    }
}
