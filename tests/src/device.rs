//! Users with rooms, and the wire of a client that takes deliveries.
//!
//! In: a node whose identities have users. Out: clients that were greeted as devices.

use serde_json::{Value, json};
use tokensocket_server::{Identity, Server, ServerBuilder, TokenRequest};

use crate::http;
use crate::node::Node;
use crate::wire::{Client, Framing};

/// A builder whose identities have the user, the rooms (with `+` between) and the public part of the query.
pub fn builder() -> ServerBuilder {
    Server::builder().authenticate(|request: TokenRequest| async move {
        let mut identity = Identity::new(json!({ "of": request.query("user") }));
        if let Some(user) = request.query("user") {
            identity = identity.user(user);
        }
        if let Some(rooms) = request.query("rooms") {
            identity = identity.rooms(rooms.split('+').map(str::to_owned).collect::<Vec<_>>());
        }
        if let Some(name) = request.query("name") {
            identity = identity.public(json!({ "name": name }));
        }
        Ok(identity)
    })
}

/// Connects a client that understands `features`, as `device` if it names one, and authenticates it.
pub async fn connect_with(node: &Node, query: &str, device: Option<&str>, features: &[&str]) -> Client {
    let answer = http::get(node.address, &format!("/socket/token?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let token = answer.json()["token"].clone();
    let mut client = Client::connect(node, Framing::Raw).await;
    let mut hello = json!({ "name": "tests", "version": "1", "features": features });
    if let Some(device) = device {
        hello["device"] = json!(device);
    }
    client.send(json!({ "rpc": "auth", "token": token, "uuid": "a", "client": hello })).await;
    let answer = client.answer("a").await;
    assert_eq!(answer["resp"], "success", "{answer}");
    client
}

/// Connects a device and takes its settings, which are the first that comes.
pub async fn connect(node: &Node, query: &str, device: Option<&str>) -> (Client, Value) {
    let mut client = connect_with(node, query, device, &["delivery"]).await;
    let settings = internal(&mut client, "settings").await;
    (client, settings)
}

/// The data of the next message, which must be an internal one of this command.
pub async fn internal(client: &mut Client, command: &str) -> Value {
    let message = client.next().await;
    assert_eq!((&message["internal"], &message["command"]), (&json!(true), &json!(command)), "{message}");
    message["data"].clone()
}

/// The ids in a batch.
pub fn ids(batch: &Value) -> Vec<u64> {
    let items = batch["items"].as_array().expect("a batch has items");
    items.iter().map(|item| item["id"].as_u64().expect("an id is a number")).collect()
}
