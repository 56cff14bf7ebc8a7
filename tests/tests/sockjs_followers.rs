//! The wire carried by requests: the same session as by WebSocket, for calls, channels and limits.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokensocket_server::ServerBuilder;
use tokensocket_tests::limit::within;
use tokensocket_tests::node::builder;
use tokensocket_tests::sockjs::{Attached, Receiver, Services, Session};
use tokensocket_tests::wire::{Client, Framing};

/// Speaks the wire by requests.
struct Carried {
    session: Session,
    receiver: Receiver,
    attached: Option<Attached>,
    inbox: VecDeque<Value>,
}

/// What a session says at its end.
#[derive(Debug, PartialEq)]
struct Closed(u16);

impl Carried {
    /// Connects and authenticates.
    async fn ready(services: &Services, receiver: Receiver) -> Self {
        let token = services.node.as_ref().unwrap().token().await;
        let session = services.session("/sockets");
        let mut attached = receiver.attach(&session).await;
        attached.expect("o").await;
        let attached = (!receiver.polls()).then_some(attached);
        let mut client = Self { session, receiver, attached, inbox: VecDeque::new() };
        client.send(&json!({ "rpc": "auth", "token": token, "uuid": "a" })).await;
        assert_eq!(client.next().await.unwrap()["resp"], "success");
        client
    }

    async fn send(&self, message: &Value) {
        self.session.send(&json!([message.to_string()]).to_string()).await;
    }

    async fn subscribe(&mut self, channel: &str) {
        self.send(&json!({ "rpc": "_subscribe", "req": { "channel": channel }, "uuid": "s" })).await;
        let confirmed = self.next().await.unwrap();
        assert_eq!(confirmed["command"], "subscribe", "{confirmed}");
    }

    /// The next message, over as many receivers as it takes.
    async fn next(&mut self) -> Result<Value, Closed> {
        while self.inbox.is_empty() {
            let mut attached = match self.attached.take() {
                Some(attached) => attached,
                None => self.receiver.attach(&self.session).await,
            };
            let Some(frame) = attached.frame_or_end().await else { continue };
            if !self.receiver.polls() {
                self.attached = Some(attached);
            }
            if let Some(close) = frame.strip_prefix('c') {
                let close: (u16, String) = serde_json::from_str(close).unwrap();
                return Err(Closed(close.0));
            }
            if let Some(messages) = frame.strip_prefix('a') {
                let messages: Vec<String> = serde_json::from_str(messages).unwrap();
                self.inbox.extend(messages.iter().map(|text| serde_json::from_str::<Value>(text).unwrap()));
            }
        }
        Ok(self.inbox.pop_front().unwrap())
    }

    async fn expect_publications(&mut self, count: usize) {
        for n in 0..count {
            assert_eq!(self.next().await, Ok(json!({ "channel": "news", "message": n })));
        }
    }
}

async fn services(builder: ServerBuilder) -> Services {
    Services::of(builder).await
}

async fn publish(services: &Services, count: usize) {
    for n in 0..count {
        services.node.as_ref().unwrap().server.publish("news", n).await.unwrap();
    }
}

const RECEIVERS: [Receiver; 5] =
    [Receiver::Xhr, Receiver::XhrStreaming, Receiver::EventSource, Receiver::HtmlFile, Receiver::Jsonp];

#[tokio::test]
async fn publications_reach_followers_of_every_transport_in_the_same_order() {
    const PUBLICATIONS: usize = 500;
    let services = services(builder()).await;
    let node = services.node.as_ref().unwrap();
    let mut sockets = Vec::new();
    for framing in [Framing::Raw, Framing::SockJs] {
        let mut client = Client::ready(node, framing).await;
        client.subscribe("news").await;
        sockets.push(client);
    }
    let mut carried = Vec::new();
    for receiver in RECEIVERS {
        let mut client = Carried::ready(&services, receiver).await;
        client.subscribe("news").await;
        carried.push(client);
    }
    let received = async {
        for client in &mut carried {
            client.expect_publications(PUBLICATIONS).await;
        }
        for client in &mut sockets {
            for n in 0..PUBLICATIONS {
                client.expect(json!({ "channel": "news", "message": n })).await;
            }
        }
    };
    within("everything to everybody", async { tokio::join!(publish(&services, PUBLICATIONS), received) })
        .await;
}

#[tokio::test]
async fn a_follower_that_is_between_two_polls_costs_the_others_nothing_and_misses_nothing() {
    let services = services(builder()).await;
    let mut away = Carried::ready(&services, Receiver::Xhr).await;
    away.subscribe("news").await;
    let mut present = Client::ready(services.node.as_ref().unwrap(), Framing::Raw).await;
    present.subscribe("news").await;
    publish(&services, 1_000).await;
    for n in 0..1_000 {
        present.expect(json!({ "channel": "news", "message": n })).await;
    }
    away.expect_publications(1_000).await;
}

#[tokio::test]
async fn a_follower_that_stays_away_too_long_is_a_slow_consumer() {
    let services = services(builder().outbox(100, 1 << 20)).await;
    let mut away = Carried::ready(&services, Receiver::Xhr).await;
    away.subscribe("news").await;
    publish(&services, 200).await;
    let closed = within("the end of a slow consumer", async {
        loop {
            if let Err(closed) = away.next().await {
                return closed;
            }
        }
    })
    .await;
    assert_eq!(closed, Closed(4409));
}

#[tokio::test]
async fn the_server_calls_a_client_that_requests_carry() {
    for receiver in RECEIVERS {
        let services = services(builder()).await;
        let mut client = Carried::ready(&services, receiver).await;
        let socket = services.node.as_ref().unwrap().server.sockets().pop().unwrap();
        let asked = tokio::spawn(async move { socket.rpc::<Value>("where", json!({ "who": "you" })).await });
        let call = client.next().await.unwrap();
        assert_eq!((&call["command"], &call["data"]["command"]), (&json!("rpc"), &json!("where")));
        let answer = json!({ "rpc": "_rpc", "fid": call["data"]["fid"], "resp": { "data": "here" } });
        client.send(&answer).await;
        assert_eq!(within("the answer", asked).await.unwrap().unwrap(), "here", "{receiver:?}");
    }
}

#[tokio::test]
async fn a_session_that_says_nothing_must_authenticate_in_time() {
    let services = services(builder().auth_timeout(Some(std::time::Duration::from_millis(50)))).await;
    let session = services.session("/sockets");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    assert_eq!(Receiver::Xhr.poll(&session).await, r#"c[1000,"Authentication timeout"]"#);
}
