//! The commands.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokensocket_client::{Actions, Data, RpcError, TokenSocket};

use super::{Gateway, ready, soon};

#[tokio::test]
async fn publishes_once_for_each_key() {
    let gateway = Gateway::start().await;
    let socket = gateway.client("newsite", "ann", "").connect().unwrap();
    ready(&socket).await;
    let mut channel = soon(socket.subscribe("kept.news")).await.unwrap();
    let body = json!({ "channel": "kept.news", "data": { "n": 1 }, "key": "k1" });
    let first = gateway.command("publish", &body).await.json();
    assert_eq!((&first["position"]["offset"], &first["duplicate"]), (&json!(1), &json!(false)));
    let again = gateway.command("publish", &body).await.json();
    assert_eq!((&again["position"], &again["duplicate"]), (&first["position"], &json!(true)));
    let by_header = || {
        let body = json!({ "channel": "kept.news", "data": { "n": 2 } });
        let request = gateway.post("/api/v1/publish?site=newsite", &body).bearer("54321");
        request.header("idempotency-key", "k2").send()
    };
    assert_eq!(by_header().await.json()["duplicate"], false);
    assert_eq!(by_header().await.json()["duplicate"], true);
    let plain = gateway.command("publish", &json!({ "channel": "plain", "data": null })).await.json();
    assert_eq!(plain, json!({ "position": null, "duplicate": false }));
    gateway.command("broadcast", &json!({ "data": "to all" })).await.json();
    for expected in [json!({ "n": 1 }), json!({ "n": 2 }), json!("to all")] {
        let item = soon(channel.next()).await.unwrap().unwrap();
        assert_eq!(item.parse::<Value>().unwrap(), expected);
    }
}

#[tokio::test]
async fn delivers_to_users_rooms_and_everyone() {
    let gateway = Gateway::start().await;
    let mut ann = gateway.device("newsite", "ann", "user_ann,staff", "phone", "e").await;
    let mut ben = gateway.device("newsite", "ben", "user_ben,staff", "phone", "e").await;
    let deliver = async |body: Value| gateway.command("deliver", &body).await.json();
    for (to, devices) in [
        (json!({ "users": "ann" }), 1),
        (json!({ "users": ["ann", "ben", "nobody"] }), 2),
        (json!({ "rooms": "STAFF" }), 2),
        (json!({ "rooms": ["staff", "user_ann"] }), 2),
        (json!({ "everyone": true }), 2),
    ] {
        let mut body = to.clone();
        body["event"] = json!("e");
        body["args"] = to.clone();
        assert_eq!(deliver(body).await, json!({ "devices": devices, "duplicate": false }));
        assert_eq!(ann.next().await, json!([to]));
        if devices == 2 {
            assert_eq!(ben.next().await, json!([to]));
        }
    }
    let keyed = json!({ "users": "ann", "event": "e", "args": [7], "key": "k" });
    assert_eq!(deliver(keyed.clone()).await, json!({ "devices": 1, "duplicate": false }));
    assert_eq!(deliver(keyed).await, json!({ "devices": 0, "duplicate": true }));
    assert_eq!(ann.next().await, json!([7]));
    assert!(ann.is_quiet() && ben.is_quiet());
    for wrong in [
        json!({ "event": "e" }),
        json!({ "users": "a", "everyone": true, "event": "e" }),
        json!({ "users": "a", "event": "" }),
        json!({ "users": "a", "event": "connect" }),
        json!({ "users": "a", "event": "e", "key": "" }),
        json!({ "users": "a", "event": "e", "resnyc": true }),
    ] {
        let refused = gateway.command("deliver", &wrong).await;
        assert_eq!(refused.problem(), (400, "bad-request".to_owned()), "{wrong}");
    }
    let large = json!({ "users": "ann", "event": "e", "args": "x".repeat(5_000) });
    assert_eq!(gateway.command("deliver", &large).await.problem(), (413, "too-large".to_owned()));
}

#[tokio::test]
async fn emits_to_who_is_there() {
    let gateway = Gateway::start().await;
    let ann = gateway.client("newsite", "ann", "").connect().unwrap();
    let (hand, mut messages) = tokio::sync::mpsc::unbounded_channel();
    ann.on_message(move |channel, message| {
        let _ = hand.send((channel.to_string(), message.parse::<Value>().unwrap()));
    });
    ready(&ann).await;
    gateway.command("emit", &json!({ "users": ["ann"], "channel": "a", "data": 1 })).await.json();
    gateway.command("emit", &json!({ "users": "ben", "channel": "a", "data": 2 })).await.json();
    gateway.command("emit", &json!({ "everyone": true, "channel": "b", "data": 3 })).await.json();
    assert_eq!(soon(messages.recv()).await, Some(("a".to_owned(), json!(1))));
    assert_eq!(soon(messages.recv()).await, Some(("b".to_owned(), json!(3))));
    let nobody = gateway.command("emit", &json!({ "channel": "b", "data": 3 })).await;
    assert_eq!(nobody.problem().0, 400);
}

async fn double(Data(number): Data<i64>) -> Result<i64, RpcError> {
    number.checked_mul(2).ok_or_else(|| RpcError::new("too large"))
}

async fn never() -> Result<(), RpcError> {
    std::future::pending().await
}

#[tokio::test]
async fn calls_an_action_of_a_client_and_returns_its_answer() {
    let gateway = Gateway::start().await;
    let (wait, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    let actions = Actions::new().action("double", double).action("never", never).action("wait", move || {
        let _ = wait.send(());
        never()
    });
    let ann = gateway.client("newsite", "ann", "").actions(actions).connect().unwrap();
    ready(&ann).await;
    let by_user = json!({ "user": "ann", "action": "double", "data": 21 });
    let called = gateway.command("call", &by_user).await.json();
    assert_eq!(called["answer"], 42);
    let by_socket = json!({ "socket": called["socket"], "action": "double", "data": 4 });
    assert_eq!(gateway.command("call", &by_socket).await.json()["answer"], 8);

    let failed = json!({ "user": "ann", "action": "double", "data": i64::MAX });
    let failed = gateway.command("call", &failed).await;
    assert_eq!(failed.problem(), (502, "call-failed".to_owned()));
    let details: Value = serde_json::from_str(&failed.body).unwrap();
    assert_eq!((&details["error"]["message"], &details["code"]), (&json!("too large"), &json!("internal")));
    let late = json!({ "user": "ann", "action": "never", "timeout_ms": 20 });
    assert_eq!(gateway.command("call", &late).await.problem(), (504, "timeout".to_owned()));
    for nobody in [json!({ "user": "ben", "action": "double" }), json!({ "socket": "x", "action": "double" })]
    {
        assert_eq!(gateway.command("call", &nobody).await.problem(), (404, "not-found".to_owned()));
    }
    // Who leaves while he is asked is gone.
    let waits = json!({ "user": "ann", "action": "wait" });
    let (called, ()) = tokio::join!(gateway.command("call", &waits), async {
        soon(waiting.recv()).await.unwrap();
        soon(ann.end()).await;
    });
    assert_eq!(called.problem(), (410, "gone".to_owned()));
}

#[tokio::test]
async fn issues_tokens_for_users_and_their_pages() {
    let gateway = Gateway::start().await;
    let body = json!({ "user": "8", "rooms": ["Staff"], "public": { "name": "Ann" } });
    let issued = gateway.command("tokens", &body).await.json();
    let token = issued["token"].as_str().unwrap();
    let mut wire = http_upgrade(&gateway, "newsite").await;
    wire.authenticate(token).await;
    let sockets = gateway.ask("sockets?user=8").await.json();
    let socket = &sockets["items"][0];
    assert_eq!(socket["rooms"], json!(["staff", "user_8"]));
    assert_eq!(socket["info"], json!({ "name": "Ann" }));
    assert_eq!(gateway.command("tokens", &json!({ "user": "" })).await.problem().0, 400);

    for target in ["/user/sockettoken?site=newsite&user=9", "/api/v1/user/sockettoken?user=9&site=newsite"] {
        let answer = gateway.get(target).send().await.json();
        assert!(answer["token"].as_str().unwrap().len() > 30, "{answer}");
    }
    assert_eq!(gateway.get("/user/sockettoken?user=9").send().await.problem().0, 404, "of which site?");
    let preflight = super::Request::new(gateway.address, "OPTIONS", "/user/sockettoken?site=newsite");
    assert_eq!(preflight.send().await.status, 204);
}

#[tokio::test]
async fn disconnects_users_and_sockets() {
    let gateway = Gateway::start().await;
    let connect = async |user: &str| -> (TokenSocket, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let socket = gateway.client("newsite", user, "").reconnect(false).connect().unwrap();
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        socket.on_disconnect(move |why| drop(tell.send(why.to_string())));
        ready(&socket).await;
        (socket, told)
    };
    let ids = async |user: &str| {
        let sockets = gateway.ask(&format!("sockets?user={user}")).await.json();
        let items = sockets["items"].as_array().unwrap();
        items.iter().map(|socket| socket["socket"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (_ann, mut ann) = connect("ann").await;
    let (_ben, mut ben) = connect("ben").await;
    let (_cid, mut cid) = connect("cid").await;
    let body = json!({ "users": "ann", "code": 4500, "reason": "moved" });
    assert_eq!(gateway.command("disconnect", &body).await.json(), json!({ "sockets": null }));
    let why = soon(ann.recv()).await.unwrap();
    assert!(why.contains("moved") || why.contains("4500"), "{why}");
    let body = json!({ "sockets": [ids("ben").await[0], "ffff", "no id"] });
    assert_eq!(gateway.command("disconnect", &body).await.json(), json!({ "sockets": 1 }));
    soon(ben.recv()).await.unwrap();
    let target = format!("/api/v1/sockets/{}?site=newsite", ids("cid").await[0]);
    let close = || super::Request::new(gateway.address, "DELETE", &target).bearer("54321").send();
    assert_eq!(close().await.json(), json!({ "sockets": 1 }));
    soon(cid.recv()).await.unwrap();
    for wrong in [json!({}), json!({ "users": "a", "code": 1006 }), json!({ "users": "a", "sockets": "b" })] {
        assert_eq!(gateway.command("disconnect", &wrong).await.problem().0, 400);
    }
}

/// A WebSocket without a client around it.
pub(super) struct Wire(tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>);

pub(super) async fn http_upgrade(gateway: &Gateway, site: &str) -> Wire {
    let stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let url = format!("ws://{}/{site}/sockets/websocket", gateway.address);
    Wire(tokio_tungstenite::client_async(url, stream).await.unwrap().0)
}

impl Wire {
    pub(super) async fn authenticate(&mut self, token: &str) {
        self.say(&json!({ "rpc": "auth", "token": token, "uuid": "1" })).await;
        let answer = self.hear().await;
        assert!(answer.to_string().contains("success"), "{answer}");
    }

    pub(super) async fn say(&mut self, message: &Value) {
        self.0.send(message.to_string().into()).await.unwrap();
    }

    pub(super) async fn hear(&mut self) -> Value {
        let message = soon(self.0.next()).await.unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }
}
