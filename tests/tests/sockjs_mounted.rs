//! SockJS over HTTP, however the server is mounted: chunks, ends and cuts are the same.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokensocket_server::{Server, SockJsOptions};
use tokensocket_tests::limit::within;
use tokensocket_tests::node::{Node, builder, listen};
use tokensocket_tests::sockjs::{
    GO_AWAY, Hixie, Receiver, Request, SECOND_RECEIVER, Services, check_not_found, check_preflight, echo,
    go_away,
};
use tokio::io::AsyncReadExt;

fn server() -> Server {
    let options = || SockJsOptions::new().response_limit(4096);
    let builder = builder().max_message_bytes(10_000);
    let builder = builder.sockjs_with("/echo", options(), echo).sockjs_with("/close", options(), go_away);
    builder.build().unwrap()
}

async fn serves_every_transport(node: Node) {
    let services = Services { address: node.address, node: Some(node) };
    for receiver in Receiver::ALL {
        let session = services.session("/echo");
        let mut attached = receiver.open(&session).await;
        let mut second = receiver.attach(&session).await;
        second.expect(SECOND_RECEIVER).await;
        second.expect_end().await;
        let large = "x".repeat(5000);
        session.send(&format!("[\"{large}\"]")).await;
        attached.expect(&format!("a[\"{large}\"]")).await;
        // By its limit, or because it was a poll.
        attached.expect_end().await;
        drop(receiver.attach_waiting(&session).await);
        let mut anew = receiver.attach(&session).await;
        assert_eq!(anew.frame().await, "o", "{receiver:?}");
        let mut refused = session.post(format!("[\"{}\"]", "x".repeat(10_001))).await;
        assert_eq!((refused.status, refused.text().await.is_empty()), (413, false));

        let closed = services.session("/close");
        assert_eq!(Receiver::Xhr.poll(&closed).await, "o");
        for _ in 0..2 {
            let mut attached = receiver.attach(&closed).await;
            attached.expect(GO_AWAY).await;
            attached.expect_end().await;
        }
    }
    let session = services.session("/echo");
    let mut preflight = services.send(session.request("OPTIONS", "xhr")).await;
    check_preflight(&mut preflight, "OPTIONS, POST", None).await;
    for path in ["//", "/a./a/xhr", "//xhr"] {
        check_not_found(&mut services.send(Request::post(format!("/echo{path}"))).await, path).await;
    }
    let stream = services.session("/close").request("POST", "xhr_streaming").http_1_0();
    let mut stream = stream.begin(services.address).await;
    let mut all = String::new();
    within("the end of the stream", stream.read_to_string(&mut all)).await.unwrap();
    assert!(all.ends_with(&format!("h\no\n{GO_AWAY}\n")), "{all}");

    let path = format!("{}/websocket", session.url);
    for connected in [
        Hixie::connect(services.address, &path).await,
        Hixie::connect_through_haproxy(services.address, &path).await,
    ] {
        let mut socket = connected;
        socket.expect("o").await;
        socket.send(r#"["a"]"#).await;
        socket.expect(r#"a["a"]"#).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inside_a_warp_application() {
    serves_every_transport(Node::in_warp(server()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_service_for_all_other_paths() {
    let (listener, address) = listen().await;
    let server = server();
    let others = warp::service(warp::Filter::map(warp::any(), || "the application's own"));
    let serving = server.clone();
    let task = tokio::spawn(async move { serving.serve_with(listener, others).await.unwrap() });
    serves_every_transport(Node::mounted(server, address, task)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_tower_service() {
    let (listener, address) = listen().await;
    let server = server();
    let service = server.clone().into_service();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection.with_upgrades());
        }
    });
    serves_every_transport(Node::mounted(server, address, task)).await;
}

#[tokio::test]
async fn by_itself_without_tokens_or_sockets() {
    let services = Services::of(Server::builder().sockjs("/echo", echo)).await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    session.send("[\"a\"]").await;
    assert_eq!(Receiver::Xhr.poll(&session).await, "a[\"a\"]");
    for path in ["/socket/token", "/sockets/info", "/sockets"] {
        assert_eq!(services.send(Request::get(path)).await.status, 404, "{path}");
    }
}
