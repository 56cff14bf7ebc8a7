//! One delivery reaches native, Socket.IO and event clients of a user at once; so do emits, and so does the end.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::collections::HashMap;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokensocket_client::{Event, TokenSocket};
use tokensocket_tests::gateway::{Gateway, sites};
use tokensocket_tests::http;
use tokensocket_tests::limit::within;
use tokensocket_tests::native::{Events, connected};
use tokensocket_tests::scenarios::run_asked;
use tokensocket_tests::site::Site;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// The other clients of a user.
struct Others {
    _native: TokenSocket,
    heard: Events,
    handed: UnboundedReceiver<(String, Value)>,
    events: WebSocketStream<TcpStream>,
}

impl Others {
    async fn of(gateway: &Gateway, user: &str, token: &str) -> Self {
        let native = TokenSocket::builder(gateway.url())
            .token_path("/newsite/socket/token")
            .socket_prefix("/newsite/sockets")
            .authentication(&json!({ "token": token }))
            .reconnect(false)
            .device("native");
        let native = connected(native).await;
        let heard = Events::of(&native);
        let (hand, handed) = unbounded_channel();
        // It stays as long as the client does.
        let _ = native.on_delivery("order", move |arguments: (String, Value)| {
            let hand = hand.clone();
            async move { hand.send(arguments).map_err(|error| error.to_string()) }
        });
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let url = format!("ws://{}/newsite/events?token={token}&deviceId=events", gateway.address);
        let (events, _) = within("an upgrade", client_async(url, stream)).await.unwrap();
        // The request is answered before the connection has become a device.
        let is_device = async {
            let path = format!("/api/v1/sockets?site=newsite&apiKey=54321&user={user}");
            let is_there = |sockets: &Value| {
                let devices = sockets["items"].as_array().unwrap().iter();
                devices
                    .filter(|socket| socket["authenticated"] == true)
                    .any(|socket| socket["device"] == "events")
            };
            while !is_there(&http::get(gateway.address, &path).await.json()) {}
        };
        within("the event client to be a device", is_device).await;
        Self { _native: native, heard, handed, events }
    }

    /// The next event of the event client.
    async fn event(&mut self) -> Value {
        loop {
            let message = within("an event", self.events.next()).await.expect("the connection is open");
            if let Message::Text(text) = message.expect("the connection is whole") {
                return serde_json::from_str(&text).expect("events are JSON");
            }
        }
    }

    /// Waits until the native client has this publication, on `news`.
    async fn hears(&mut self, wanted: &Value) {
        loop {
            if let Event::Message { channel, data } = self.heard.next().await {
                assert_eq!(&*channel, "news");
                let message: Value = serde_json::from_str(data.as_str()).unwrap();
                if &message == wanted {
                    return;
                }
            }
        }
    }
}

async fn post(gateway: &Gateway, path: &str, body: Value) {
    let answer = gateway.post(&format!("/api/v1/{path}?site=newsite&apiKey=54321"), &body).await;
    assert_eq!(answer.status / 100, 2, "{path}: {} {}", answer.status, answer.body);
}

#[tokio::test]
async fn a_delivery_reaches_whatever_a_user_speaks() {
    let site = Site::start().await;
    let gateway = Gateway::start(&sites(&site)).await;
    let (url, stub) = (gateway.url(), site.url());
    let mut others: HashMap<String, Others> = HashMap::new();

    let arguments =
        ["one_delivery_reaches_every_kind", "--transports", "polling,websocket,upgrade", "--parallel", "1"];
    let outcome = run_asked(&url, &stub, &arguments, async |question| {
        let words: Vec<&str> = question.split(' ').collect();
        let user = words[1];
        match words[0] {
            "deliver" => {
                let mut clients = Others::of(&gateway, user, words[2]).await;
                let args = json!([user, { "n": 1, "text": "ü" }]);
                let reaches_all = async {
                    gateway.send("newsite", "54321", &[&format!("user_{user}")], "order", args.clone()).await;
                    let handed = within("the native client's handler", clients.handed.recv()).await.unwrap();
                    assert_eq!(json!([handed.0, handed.1]), args);
                    assert_eq!(clients.event().await, json!({ "event": "order", "args": args }));
                };
                reaches_all.await;
                others.insert(user.to_owned(), clients);
            }
            "emit" => {
                let clients = others.get_mut(user).unwrap();
                let data = json!({ "a": [1, null] });
                post(&gateway, "emit", json!({ "users": [user], "channel": "news", "data": data })).await;
                clients.hears(&data).await;
                assert_eq!(clients.event().await, json!({ "event": "news", "data": data }));
            }
            "everyone" => {
                let clients = others.get_mut(user).unwrap();
                post(&gateway, "emit", json!({ "everyone": true, "channel": "news", "data": user })).await;
                clients.hears(&json!(user)).await;
                while clients.event().await != json!({ "event": "news", "data": user }) {}
            }
            "disconnect" => {
                let mut clients = others.remove(user).unwrap();
                post(&gateway, "disconnect", json!({ "users": [user] })).await;
                let ended = async {
                    while let Some(Ok(message)) = clients.events.next().await {
                        if message.is_close() {
                            break;
                        }
                    }
                };
                within("the event client to end", ended).await;
            }
            other => panic!("{other}"),
        }
    });

    outcome.await.expect(7);
}
