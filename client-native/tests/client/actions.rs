//! The server's calls of the client's actions.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_client::{Actions, Data, Deadline, RpcError, State, TokenSocket};
use tokio::sync::mpsc;

use crate::peer::{Connection, Peer, soon};

async fn add(Data((a, b)): Data<(i64, i64)>, State(offset): State<i64>) -> Result<i64, RpcError> {
    Ok(a + b + *offset)
}

async fn call_back(socket: TokenSocket, Data(data): Data<Value>) -> Result<Value, RpcError> {
    socket.rpc("back", &data).await.map_err(|error| RpcError::new(error.to_string()))
}

async fn remaining(deadline: Deadline) -> Result<bool, RpcError> {
    Ok(deadline.remaining().is_some_and(|left| left > Duration::ZERO))
}

async fn panics() -> Result<(), RpcError> {
    panic!("as the test wants")
}

async fn pair(peer: &mut Peer, actions: Actions) -> (TokenSocket, Connection) {
    let socket = peer.builder().actions(actions).state(100_i64).connect().unwrap();
    let connection = peer.let_in().await;
    (socket, connection)
}

async fn answer(connection: &mut Connection, path: &str, args: &Value) -> Value {
    connection.call("f", path, args).await;
    let answer = connection.receive().await;
    assert_eq!((&answer["rpc"], &answer["fid"]), (&json!("_rpc"), &json!("f")));
    answer["resp"].clone()
}

#[tokio::test]
async fn nested_actions_with_extractors_answer_the_server() {
    let mut peer = Peer::start().await;
    let actions = Actions::new()
        .nest("math", Actions::new().action("add", add))
        .action("panics", panics)
        .action("fails", async || Err::<(), _>(RpcError::text("no")));
    let (_socket, mut connection) = pair(&mut peer, actions).await;
    assert_eq!(answer(&mut connection, "math.add", &json!([1, 2])).await, json!({ "data": 103 }));
    let fails = json!({ "error": "no", "code": "internal" });
    assert_eq!(answer(&mut connection, "fails", &json!(1)).await, fails);
    let missing = answer(&mut connection, "toString", &json!(1)).await;
    assert_eq!(missing, json!({ "error": "Function not found", "code": "not_found" }));
    assert_eq!(answer(&mut connection, "math.add", &json!("x")).await["code"], "bad_request");
    assert_eq!(answer(&mut connection, "panics", &json!(1)).await["code"], "internal");
    assert_eq!(answer(&mut connection, "math.add", &json!([1, 2])).await, json!({ "data": 103 }));
}

#[tokio::test]
async fn an_action_can_call_the_server_back() {
    let mut peer = Peer::start().await;
    let actions = Actions::new().action("there", call_back);
    let (_socket, mut connection) = pair(&mut peer, actions).await;
    connection.call("f", "there", &json!("x")).await;
    let call = connection.receive().await;
    assert_eq!((&call["rpc"], &call["req"]), (&json!("back"), &json!("x")));
    connection.answer(&call, &json!({ "resp": "and back" })).await;
    assert_eq!(connection.receive().await["resp"], json!({ "data": "and back" }));
}

#[tokio::test]
async fn an_action_sees_the_servers_deadline() {
    let mut peer = Peer::start().await;
    let (_socket, mut connection) = pair(&mut peer, Actions::new().action("remaining", remaining)).await;
    let data = json!({ "fid": "f", "command": "remaining", "timeout_ms": 5000 });
    connection.send(&json!({ "internal": true, "command": "rpc", "data": data })).await;
    assert_eq!(connection.receive().await["resp"], json!({ "data": true }));
    assert_eq!(answer(&mut connection, "remaining", &json!(null)).await, json!({ "data": false }));
}

#[tokio::test]
async fn a_cancelled_action_is_dropped() {
    let mut peer = Peer::start().await;
    let (started, mut starts) = mpsc::channel(1);
    let (held, mut gone) = mpsc::channel::<()>(1);
    let held = Arc::new(parking_lot::Mutex::new(Some(held)));
    let actions = Actions::new().action("hang", move || {
        let (started, held) = (started.clone(), held.lock().take());
        async move {
            let _held = held;
            let _ = started.send(()).await;
            std::future::pending::<Result<(), RpcError>>().await
        }
    });
    let (_socket, mut connection) = pair(&mut peer, actions).await;
    connection.call("f", "hang", &json!(null)).await;
    soon(starts.recv()).await.unwrap();
    connection.send(&json!({ "internal": true, "command": "cancel", "data": { "fid": "f" } })).await;
    assert!(soon(gone.recv()).await.is_none(), "what the action held is gone");
    assert_eq!(connection.receive().await["resp"]["code"], "cancelled");
}

#[tokio::test]
async fn actions_can_be_replaced_while_running() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = pair(&mut peer, Actions::new()).await;
    assert_eq!(answer(&mut connection, "new", &json!(1)).await["code"], "not_found");
    socket.register(Actions::new().action("new", async || Ok::<_, RpcError>("here"))).unwrap();
    assert_eq!(answer(&mut connection, "new", &json!(1)).await, json!({ "data": "here" }));
    assert!(socket.register(Actions::new().action("_x", async || Ok::<_, RpcError>(()))).is_err());
}
