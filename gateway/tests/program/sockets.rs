//! `sockets.*`: clients that the server calls for themselves or for others.

use std::future::IntoFuture;
use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_client::{Actions, Data, Error, RpcError, TokenSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::program::Gateway;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn in_time<T>(work: impl IntoFuture<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("an outcome in time")
}

/// A client that has the actions `greet` and `secret`.
async fn client(gateway: &Gateway, user: &str) -> TokenSocket {
    let actions = Actions::new()
        .action("greet", |Data(name): Data<String>| async move { Ok::<_, RpcError>(format!("hello {name}")) })
        .action("secret", async || Ok::<_, RpcError>("secret"));
    let socket = TokenSocket::builder(&gateway.url)
        .authentication(&json!({ "user": user }))
        .actions(actions)
        .connect()
        .unwrap();
    in_time(socket.ready()).await.unwrap();
    socket
}

async fn id(socket: &TokenSocket) -> String {
    let who: Value = in_time(socket.rpc("whoami", &())).await.unwrap();
    who["socket"].as_str().unwrap().to_owned()
}

async fn call(socket: &TokenSocket, data: Value) -> Result<Value, Error> {
    in_time(socket.rpc("sockets.call", &data)).await
}

/// The code of the server's refusal.
fn code(outcome: Result<Value, Error>) -> String {
    match outcome {
        Err(Error::Server(error)) => error.code().to_string(),
        other => panic!("no refusal: {other:?}"),
    }
}

#[tokio::test]
async fn a_client_has_itself_called() {
    let gateway = Gateway::start().await;
    let ann = client(&gateway, "ann").await;
    let greeting = call(&ann, json!({ "action": "greet", "data": "ann" })).await.unwrap();
    assert_eq!(greeting, "hello ann");
    let own = id(&ann).await;
    let secret = call(&ann, json!({ "socket": own, "action": "secret" })).await.unwrap();
    assert_eq!(secret, "secret");
    assert_eq!(code(call(&ann, json!({ "action": "nonsense" })).await), "not_found");
}

#[tokio::test]
async fn nobody_calls_a_client_that_offers_nothing() {
    let gateway = Gateway::start().await;
    let (ann, ben) = (client(&gateway, "ann").await, client(&gateway, "ben").await);
    let bens = id(&ben).await;
    let refused = call(&ann, json!({ "socket": bens, "action": "greet", "data": "ben" })).await;
    assert_eq!(code(refused), "not_found");
}

#[tokio::test]
async fn others_call_what_a_client_offers_and_nothing_else() {
    let gateway = Gateway::start().await;
    let (ann, ben) = (client(&gateway, "ann").await, client(&gateway, "ben").await);
    let () = in_time(ben.rpc("sockets.offer", &json!({ "actions": ["greet"] }))).await.unwrap();
    let bens = id(&ben).await;

    let list: Value = in_time(ann.rpc("sockets.list", &())).await.unwrap();
    assert_eq!(list, json!([{ "socket": bens, "user": "ben", "actions": ["greet"], "you": false }]));
    let greeting = call(&ann, json!({ "socket": bens, "action": "greet", "data": "ben" })).await.unwrap();
    assert_eq!(greeting, "hello ben");
    assert_eq!(code(call(&ann, json!({ "socket": bens, "action": "secret" })).await), "forbidden");

    let () = in_time(ben.rpc("sockets.offer", &json!({ "actions": [] }))).await.unwrap();
    let refused = call(&ann, json!({ "socket": bens, "action": "greet", "data": "ben" })).await;
    assert_eq!(code(refused), "not_found");
}

#[tokio::test]
async fn those_who_offer_are_told_when_others_come_and_go() {
    let gateway = Gateway::start().await;
    let (ann, ben) = (client(&gateway, "ann").await, client(&gateway, "ben").await);
    let (tell, mut told) = mpsc::unbounded_channel();
    let _listener = ann.on_message(move |channel, _| {
        let _ = tell.send(channel.to_owned());
    });
    let offer = json!({ "actions": ["greet"] });
    let () = in_time(ann.rpc("sockets.offer", &offer)).await.unwrap();
    let () = in_time(ben.rpc("sockets.offer", &offer)).await.unwrap();
    assert_eq!(in_time(told.recv()).await.as_deref(), Some("sockets"));
    in_time(ben.end()).await;
    assert_eq!(in_time(told.recv()).await.as_deref(), Some("sockets"));
    let list: Value = in_time(ann.rpc("sockets.list", &())).await.unwrap();
    let users: Vec<&Value> = list.as_array().unwrap().iter().map(|entry| &entry["user"]).collect();
    assert_eq!(users, ["ann"]);
}

#[tokio::test]
async fn a_call_that_takes_too_long_ends_in_time() {
    let gateway = Gateway::start().await;
    let actions =
        Actions::new().action("never", async || std::future::pending::<Result<(), RpcError>>().await);
    let socket = TokenSocket::builder(&gateway.url).actions(actions).connect().unwrap();
    in_time(socket.ready()).await.unwrap();
    assert_eq!(code(call(&socket, json!({ "action": "never", "timeout_ms": 50 })).await), "timeout");
}

#[tokio::test]
async fn an_offer_without_bounds_is_refused() {
    let gateway = Gateway::start().await;
    let ann = client(&gateway, "ann").await;
    let many: Vec<String> = (0..33).map(|number| number.to_string()).collect();
    for actions in [json!(many), json!(["x".repeat(129)]), json!("greet")] {
        let refused = in_time(ann.rpc::<Value>("sockets.offer", &json!({ "actions": actions }))).await;
        assert_eq!(code(refused), "bad_request");
    }
}

#[tokio::test]
async fn a_client_learns_what_it_may_call() {
    let gateway = Gateway::start().await;
    let ann = client(&gateway, "ann").await;
    let names: Vec<String> = in_time(ann.rpc("actions", &())).await.unwrap();
    for name in ["actions", "echo", "sockets.call", "sockets.list", "sockets.offer", "time", "whoami"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
}
