//! What nodes ask of a NATS: one subscription for each node and channel that it follows, one message for each node.

use std::collections::HashMap;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokensocket_server::Broker;
use tokensocket_tests::engine;
use tokensocket_tests::limit::within;

use crate::node::{Node, channel, kept, numbers, publish};

/// How many publications are counted.
const COUNT: u64 = 50;
/// Where those of channel `news` go.
const SUBJECT: &str = "ts.default.p.news";

/// What a NATS says of itself to those who run it.
struct Looks {
    server: engine::Nats,
    client: async_nats::Client,
}

/// How many messages came from a node, and went to it.
#[derive(Debug, Clone, Copy)]
struct Traffic {
    from: u64,
    to: u64,
}

impl Looks {
    async fn start() -> Self {
        let server = engine::Nats::with(engine::Settings::new().more([
            "accounts {",
            "  SYSTEM: { users: [{ user: system, password: system }] }",
            "  NODES: { jetstream: enabled, users: [{ user: nodes, password: nodes }] }",
            "}",
            "system_account: SYSTEM",
            "no_auth_user: nodes",
        ]));
        let server = server.await;
        let system = async_nats::ConnectOptions::with_user_and_password("system".into(), "system".into());
        Self { client: system.connect(server.url()).await.unwrap(), server }
    }

    async fn ask(&self, what: &str, question: Value) -> Value {
        let subject = format!("$SYS.REQ.SERVER.PING.{what}");
        let asking = self.client.request(subject, question.to_string().into());
        let answer = within("an answer of the server", asking).await.unwrap();
        serde_json::from_slice::<Value>(&answer.payload).unwrap()["data"].take()
    }

    /// How many subscriptions would get this.
    async fn followers(&self, subject: &str) -> usize {
        let question = json!({ "subscriptions": true, "test": subject, "account": "NODES" });
        let answer = self.ask("SUBSZ", question).await;
        answer["subscriptions_list"].as_array().map_or(0, Vec::len)
    }

    /// What each node said and heard so far, in the order in which they were connected.
    async fn traffic(&self) -> Vec<Traffic> {
        let answer = self.ask("CONNZ", json!({ "sort": "cid" })).await;
        let connections = answer["connections"].as_array().unwrap().iter();
        let nodes = connections.filter(|connection| connection["name"] == "tokensocket");
        let count = |node: &Value, what: &str| node[what].as_u64().unwrap();
        nodes.map(|node| Traffic { from: count(node, "in_msgs"), to: count(node, "out_msgs") }).collect()
    }
}

async fn one_message_for_each_node(is_kept: bool) {
    let looks = Looks::start().await;
    let url = looks.server.url();
    let [publisher, one, two, idle] =
        [Node::new(&url).await, Node::new(&url).await, Node::new(&url).await, Node::new(&url).await];
    let history = is_kept.then(kept);
    assert_eq!(looks.followers(SUBJECT).await, 0);
    for node in [&one, &two] {
        node.follow("news").await;
        // Followed already.
        node.follow("news").await;
    }
    assert_eq!(looks.followers(SUBJECT).await, 2, "one of each node that has followers");
    // Once for what is asked at first alone.
    publisher.broker.publish(publish("news", 0, history.clone())).await.unwrap();
    for node in [&one, &two] {
        node.came(1).await;
    }
    let listener = async_nats::connect(url).await.unwrap();
    let mut said = listener.subscribe("ts.default.>").await.unwrap();
    listener.flush().await.unwrap();
    let before = looks.traffic().await;
    assert_eq!(before.len(), 4);
    for n in 1..=COUNT {
        publisher.broker.publish(publish("news", n, history.clone())).await.unwrap();
    }
    let all = usize::try_from(COUNT).unwrap() + 1;
    for node in [&one, &two] {
        assert_eq!(numbers(&node.came(all).await), (0..=COUNT).collect::<Vec<_>>());
    }
    let after = looks.traffic().await;
    let new: Vec<_> = before
        .iter()
        .zip(&after)
        .map(|(before, after)| (after.from - before.from, after.to - before.to))
        .collect();
    assert_eq!(
        new[1..],
        [(0, COUNT), (0, COUNT), (0, 0)],
        "one each to those that follow, and none to the other"
    );
    let (from, to) = new[0];
    if is_kept {
        // Now and then it looks whether the stream is there still.
        assert!(from == to && (COUNT..COUNT + 10).contains(&from), "one message and its answer: {new:?}");
    } else {
        // By the answer to the question behind it is known that the server has it: that nobody is there, which is not counted.
        assert_eq!((from, to), (2 * COUNT, 0), "one message and one question");
    }
    let mut subjects = HashMap::new();
    for _ in 0..if is_kept { 2 * COUNT } else { COUNT } {
        let message = within("a message", said.next()).await.unwrap();
        *subjects.entry(message.subject.to_string()).or_insert(0) += 1;
    }
    let mut wanted = HashMap::from([(SUBJECT.to_owned(), COUNT)]);
    if is_kept {
        // To be kept, and once it is.
        wanted.insert("ts.default.h0.news".to_owned(), COUNT);
    }
    assert_eq!(subjects, wanted);
    drop((listener, said));
    two.broker.unsubscribe(&channel("news")).await.unwrap();
    within("one to be left", async { while looks.followers(SUBJECT).await != 1 {} }).await;
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_is_one_message_for_each_node_that_follows() {
    one_message_for_each_node(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_kept_is_one_message_for_each_node_that_follows() {
    one_message_for_each_node(true).await;
}
