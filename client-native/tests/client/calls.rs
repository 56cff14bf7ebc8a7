//! The user's calls.

use std::time::Duration;

use serde_json::json;
use tokensocket_client::{Error, ErrorCode, RawJson};

use crate::peer::{Peer, soon};

#[tokio::test]
async fn calls_are_typed_on_both_sides() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let serve = async {
        let call = connection.receive().await;
        assert_eq!((&call["rpc"], &call["req"]), (&json!("math.add"), &json!([1, 2])));
        connection.answer(&call, &json!({ "resp": { "sum": 3 } })).await;
    };
    let (answer, ()) = soon(async {
        tokio::join!(
            socket.rpc::<std::collections::BTreeMap<String, i64>>("math.add", &(1, 2)).into_future(),
            serve
        )
    })
    .await;
    assert_eq!(answer.unwrap()["sum"], 3);
}

#[tokio::test]
async fn errors_keep_their_text_code_and_details() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let serve = async {
        let call = connection.receive().await;
        let error = json!({ "error": { "message": "boom" }, "code": "too_large", "details": [1] });
        connection.answer(&call, &error).await;
        let call = connection.receive().await;
        connection.answer(&call, &json!({ "error": "plain" })).await;
        let call = connection.receive().await;
        connection.answer(&call, &json!({ "resp": "text" })).await;
    };
    let calls = async {
        let Err(Error::Server(error)) = socket.rpc::<()>("a", &1).await else { panic!("no error") };
        assert_eq!((error.message(), error.code()), ("boom", ErrorCode::TooLarge));
        assert_eq!(error.details().map(RawJson::as_str), Some("[1]"));
        let Err(Error::Server(error)) = socket.rpc::<()>("a", &1).await else { panic!("no error") };
        assert_eq!((error.message(), error.code()), ("plain", ErrorCode::Internal));
        assert!(matches!(socket.rpc::<u8>("a", &1).await, Err(Error::Decode(_))));
    };
    soon(async { tokio::join!(calls, serve) }).await;
}

#[tokio::test]
async fn a_call_that_takes_too_long_times_out_and_is_cancelled_on_the_server() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    // Time enough to be sent.
    let call = socket.rpc::<()>("slow", &1).timeout(Duration::from_millis(300)).into_future();
    let (outcome, sent) = soon(async { tokio::join!(call, connection.receive()) }).await;
    assert!(matches!(outcome, Err(Error::Timeout)));
    assert!(sent["timeout_ms"].as_u64().unwrap() <= 300);
    let cancel = connection.receive().await;
    assert_eq!((&cancel["rpc"], &cancel["req"]["uuid"]), (&json!("_cancel"), &sent["uuid"]));
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_on_the_server() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let sent = tokio::select! {
        _ = socket.rpc::<()>("slow", &1).into_future() => panic!("nobody answers"),
        sent = connection.receive() => sent,
    };
    let cancel = connection.receive().await;
    assert_eq!((&cancel["rpc"], &cancel["req"]["uuid"]), (&json!("_cancel"), &sent["uuid"]));
}

#[tokio::test]
async fn many_calls_at_once_find_their_answers() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let calls = futures_util::future::join_all((0..500_u32).map(|number| {
        let socket = socket.clone();
        async move { (number, socket.rpc::<u32>("echo", &number).await) }
    }));
    let serve = async {
        let mut received = Vec::new();
        for _ in 0..500 {
            received.push(connection.receive().await);
        }
        for call in received.iter().rev() {
            connection.answer(call, &json!({ "resp": call["req"] })).await;
        }
    };
    let (answers, ()) = soon(async { tokio::join!(calls, serve) }).await;
    for (number, answer) in answers {
        assert_eq!(answer.unwrap(), number);
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_makes_requests_wait_and_nothing_grow() {
    let mut peer = Peer::start().await;
    let socket = peer.builder().call_timeout(Duration::from_millis(500)).connect().unwrap();
    let mut connection = peer.connection().await;
    let auth = connection.receive().await;
    // As an original server does: publications are done when they are handed over.
    connection.answer(&auth, &json!({ "resp": "success" })).await;
    soon(socket.ready()).await.unwrap();
    let large = "x".repeat(256 * 1024);
    let mut sent = 0;
    while socket.publish("c", &large).await.is_ok() {
        sent += 1;
        assert!(sent < 1000, "nothing holds the publisher back");
    }
}
