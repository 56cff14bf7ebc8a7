//! The native client's life against the server: let in, refused, heard of, ended.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokensocket_client::{ConnectionError, ConnectionState, Error, Event, TokenSocket};
use tokensocket_server::{
    Actions, Auth, AuthenticateError, Data, ErrorCode, Identity, RpcError, Server, TokenRequest,
};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::native::{Events, becomes_ready, connected, ends, native, ready};
use tokensocket_tests::node::{Node, builder};
use tokio::sync::oneshot;

fn whoami() -> Actions {
    Actions::new().action("whoami", async |Auth(identity): Auth<Value>| Ok::<_, RpcError>(identity))
}

// Let in.

#[tokio::test]
async fn a_client_becomes_ready_once_and_is_who_it_says() {
    let node = Node::start(builder().actions(whoami())).await;
    let socket = native(node.address).authentication(&json!({ "user": "zoë & co" })).connect().unwrap();
    let mut events = Events::of(&socket);
    assert_eq!(events.next().await, Event::Ready(Ok(())));
    assert_eq!(within("ready", socket.ready()).await, Ok(()));
    assert_eq!(socket.state(), ConnectionState::Ready);
    let who: Value = within("an answer", socket.rpc("whoami", &()).into_future()).await.unwrap();
    assert_eq!(who, json!({ "user": "zoë & co" }));
    assert_eq!(node.server.sockets().len(), 1);
    assert_eq!(events.rest(), []);
}

#[tokio::test]
async fn nested_authentication_and_headers_reach_the_authenticator() {
    let server = Server::builder().actions(whoami()).authenticate(|request: TokenRequest| async move {
        let fields = (request.query("team[name]"), request.query("team[tags][1]"));
        Ok(Identity::new(json!([fields.0, fields.1, request.header("x-key")])))
    });
    let node = Node::start(server.token_path("/let/me/in").socket_prefix("/live")).await;
    let builder = TokenSocket::builder(format!("ws://{}", node.address))
        .authentication(&json!({ "team": { "name": "a=b", "tags": ["x", "y&z"] } }))
        .header("x-key", "secret")
        .token_path("/let/me/in")
        .socket_prefix("/live");
    let socket = connected(builder).await;
    let who: Value = within("an answer", socket.rpc("whoami", &()).into_future()).await.unwrap();
    assert_eq!(who, json!(["a=b", "y&z", "secret"]));
}

#[tokio::test]
async fn requests_made_before_ready_wait_for_it() {
    let node = Node::start(builder().actions(whoami())).await;
    let socket = native(node.address).connect().unwrap();
    assert_ne!(socket.state(), ConnectionState::Ready);
    let who: Value = within("an answer", socket.rpc("whoami", &()).into_future()).await.unwrap();
    assert_eq!(who, json!({ "user": "ann" }));
}

// Refused.

#[tokio::test]
async fn a_refused_token_request_ends_the_client_and_what_waits() {
    let node = Node::start(builder().actions(whoami())).await;
    let socket = native(node.address).authentication(&json!({ "deny": 1 })).connect().unwrap();
    let waiting = socket.rpc::<Value>("whoami", &()).into_future();
    let (outcome, waited) = within("the refusal", async { tokio::join!(socket.ready(), waiting) }).await;
    assert_eq!(outcome, Err(ConnectionError::Refused("Forbidden".to_owned())));
    assert!(matches!(waited, Err(Error::Ended)), "{waited:?}");
    ends(&socket).await;
    let late = within("an error", socket.rpc::<Value>("whoami", &()).into_future()).await;
    assert!(matches!(late, Err(Error::Ended)), "{late:?}");
}

#[tokio::test]
async fn a_failing_authenticator_is_asked_again_until_it_works() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Server::builder().authenticate(move |_| {
        let times = count.fetch_add(1, Ordering::SeqCst);
        async move {
            if times < 2 {
                return Err(AuthenticateError::Failed("the database is asleep".to_owned()));
            }
            Ok(Identity::anonymous())
        }
    });
    let node = Node::start(server).await;
    let socket = native(node.address).connect().unwrap();
    let mut events = Events::of(&socket);
    let failure = ConnectionError::Token("500 Internal Server Error: the database is asleep".to_owned());
    assert_eq!(events.next().await, Event::Ready(Err(failure.clone())));
    assert_eq!(events.next().await, Event::Reconnect(Err(failure.clone())));
    assert_eq!(events.next().await, Event::Reconnect(Ok(())));
    assert_eq!(socket.ready().await, Err(failure), "ready tells of the first attempt for good");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_hook_that_refuses_the_identity_is_not_asked_twice() {
    for (error, code) in [
        (RpcError::forbidden(), ErrorCode::Forbidden),
        (RpcError::new("banned").with_code(ErrorCode::RateLimited), ErrorCode::RateLimited),
    ] {
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, message) = (Arc::clone(&asked), error.message().to_owned());
        let node = Node::start(builder().on_authenticate(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let error = error.clone();
            async move { Err(error) }
        }))
        .await;
        let socket = native(node.address).connect().unwrap();
        let outcome = within("the refusal", socket.ready()).await;
        assert_eq!(outcome, Err(ConnectionError::Auth { message, code: Some(code) }));
        ends(&socket).await;
        // An ended client has no task left that could try again.
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        until("the socket to go", || node.server.sockets().is_empty()).await;
    }
}

#[tokio::test]
async fn without_reconnecting_a_lost_connection_is_the_end() {
    let node = Node::start(builder()).await;
    let socket = connected(native(node.address).reconnect(false)).await;
    let mut events = Events::of(&socket);
    assert_eq!(events.next().await, Event::Ready(Ok(())));
    node.server.sockets()[0].disconnect();
    assert!(matches!(events.next().await, Event::Disconnect(ConnectionError::Closed(_))));
    ends(&socket).await;
}

// Heard of.

#[tokio::test]
async fn a_listener_that_was_removed_hears_nothing_more() {
    let node = Node::start(builder()).await;
    let socket = ready(node.address).await;
    let (mut removed, mut kept) = (Events::of(&socket), Events::of(&socket));
    assert_eq!(removed.next().await, Event::Ready(Ok(())));
    assert_eq!(kept.next().await, Event::Ready(Ok(())));
    removed.remove();
    node.server.sockets()[0].send("news", 1).unwrap();
    assert!(matches!(kept.next().await, Event::Message { .. }));
    node.server.sockets()[0].disconnect();
    assert!(matches!(kept.next().await, Event::Disconnect(_)));
    assert_eq!(kept.next().await, Event::Reconnect(Ok(())));
    assert_eq!(removed.rest(), []);
}

// Many, and their end.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_at_once_are_all_served_and_all_leave() {
    const CLIENTS: usize = 200;
    let echo = Actions::new().action("echo", async |Data(n): Data<usize>| Ok::<_, RpcError>(n));
    let node = Node::start(builder().actions(echo)).await;
    let clients = (0..CLIENTS).map(|number| {
        let address = node.address;
        tokio::spawn(async move {
            let socket = ready(address).await;
            for n in [number, number + 1] {
                assert_eq!(socket.rpc::<usize>("echo", &n).await.unwrap(), n);
            }
            socket
        })
    });
    let clients: Vec<TokenSocket> =
        join_all(clients).await.into_iter().collect::<Result<_, _>>().expect("every client is served");
    assert_eq!(node.server.sockets().len(), CLIENTS);
    within("all to end", join_all(clients.iter().map(TokenSocket::end))).await;
    until("the server to see it", || node.server.sockets().is_empty()).await;
}

#[tokio::test]
async fn ending_leaves_no_socket_and_no_task() {
    let node = Node::start(builder().actions(whoami())).await;
    let (address, (tell, told)) = (node.address, oneshot::channel());
    // In a runtime of its own, whose tasks are the client's alone.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (kept, left) = runtime.block_on(async {
            let socket = ready(address).await;
            let news = socket.subscribe("news").await.unwrap();
            let _: Value = socket.rpc("whoami", &()).await.unwrap();
            socket.end().await;
            socket.end().await;
            let metrics = tokio::runtime::Handle::current().metrics();
            until("the last task to go", || metrics.num_alive_tasks() == 0).await;
            (socket.state(), news.channel().to_string())
        });
        tell.send((kept, left)).unwrap();
    });
    let (state, channel) = within("the end", told).await.expect("the client did not panic");
    assert_eq!((state, &*channel), (ConnectionState::Ended, "news"));
    until("the socket to go", || node.server.sockets().is_empty()).await;
    assert_eq!(node.server.channels(), []);
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_connection() {
    let node = Node::start(builder()).await;
    let socket = ready(node.address).await;
    let other = socket.clone();
    drop(socket);
    becomes_ready(&other).await;
    let subscription = other.subscribe("news").await.unwrap();
    drop(other);
    assert_eq!(node.server.sockets().len(), 1, "a subscription keeps the client");
    drop(subscription);
    until("the socket to go", || node.server.sockets().is_empty()).await;
}
