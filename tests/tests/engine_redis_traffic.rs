//! What nodes ask of a Redis: one subscription for each node and channel that it follows, one message for each node.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use serde_json::json;
use tokensocket_server::{Redis, RedisOptions};
use tokensocket_tests::device::{builder, connect_with};
use tokensocket_tests::engine::{self, RedisCluster};
use tokensocket_tests::limit::within;
use tokensocket_tests::node::Node;
use tokensocket_tests::wire::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The followers of two nodes.
const FOLLOWERS: usize = 50;
const TOPIC: &str = "ts:traffic:c:{news}";

async fn node(url: &str) -> Node {
    let redis = Redis::connect(url, RedisOptions::new()).await.unwrap();
    Node::start(builder().engine(&redis.namespace("traffic").unwrap())).await
}

async fn client(node: &Node) -> Client {
    connect_with(node, "user=ann", None, &[]).await
}

/// How many follow a topic, on all of these.
async fn followers(servers: &[engine::Redis], asked: &str) -> usize {
    let mut count = 0;
    for server in servers {
        let answer = server.command(&["PUBSUB", asked, TOPIC]).await;
        count += answer.lines().nth(1).unwrap().parse::<usize>().unwrap();
    }
    count
}

/// Hears what is published on the topic, as any client of Redis does, until so many messages came.
async fn hear(server: &engine::Redis, verb: &str, count: usize) -> impl Future<Output = String> + use<> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(format!("{verb} {TOPIC}\r\n").as_bytes()).await.unwrap();
    let mut heard = vec![0; 1 << 16];
    let mut length = within("a subscription", stream.read(&mut heard)).await.unwrap();
    async move {
        loop {
            let text = String::from_utf8_lossy(&heard[..length]).into_owned();
            if text.matches("message\r\n").count() >= count {
                return text;
            }
            length += within("a message", stream.read(&mut heard[length..])).await.unwrap();
        }
    }
}

async fn asks_as_little_as_it_can(url: &str, servers: &[engine::Redis], is_cluster: bool) {
    let (numbers, topics, publish, subscribe) = if is_cluster {
        ("SHARDNUMSUB", "SHARDCHANNELS", "SPUBLISH", "SSUBSCRIBE")
    } else {
        ("NUMSUB", "CHANNELS", "PUBLISH", "SUBSCRIBE")
    };
    let nodes = [node(url).await, node(url).await, node(url).await];
    let idle = client(&nodes[2]).await;
    assert_eq!(followers(servers, numbers).await, 0);
    for server in servers {
        let channels = server.command(&["PUBSUB", topics, "ts:traffic:c:*"]).await;
        assert_eq!(channels.trim(), "", "a node without followers follows nothing");
    }
    let mut clients = Vec::new();
    for n in 0..FOLLOWERS {
        let mut one = client(&nodes[n % 2]).await;
        one.subscribe("news").await;
        clients.push(one);
    }
    assert_eq!(followers(servers, numbers).await, 2, "one of each node that has followers");
    // Redis itself says how many a message reaches.
    let mut owner = None;
    for server in servers {
        let answer = server.command(&[publish, TOPIC, "p 1\n1"]).await;
        if !answer.starts_with("MOVED") {
            assert_eq!(answer, "2");
            assert!(owner.replace(server).is_none(), "one has the channel");
        }
    }
    let hearing = hear(owner.unwrap(), subscribe, 3).await;
    for (node, number) in nodes.iter().zip(2..) {
        node.server.publish("news", number).await.unwrap();
    }
    let heard = hearing.await;
    for number in 2..=4 {
        assert_eq!(heard.matches(&format!("p 1\n{number}\r\n")).count(), 1, "each once: {heard}");
    }
    for one in &mut clients {
        for n in 1..=4 {
            one.expect(json!({ "channel": "news", "message": n })).await;
        }
    }
    within("the listener to be gone", async { while followers(servers, numbers).await != 2 {} }).await;
    // The last of a node's followers ends its subscription.
    let leaving = clients.iter_mut().skip(1).step_by(2).collect::<Vec<_>>();
    let last = leaving.len() - 1;
    for (n, one) in leaving.into_iter().enumerate() {
        one.call("_unsubscribe", json!({ "channel": "news" })).await;
        if n < last {
            assert_eq!(followers(servers, numbers).await, 2, "others of its node follow");
        }
    }
    within("one to be left", async { while followers(servers, numbers).await != 1 {} }).await;
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_follows_a_channel_once_whatever_the_number_of_its_followers() {
    let redis = engine::Redis::start().await;
    asks_as_little_as_it_can(&redis.url(), std::slice::from_ref(&redis), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_of_a_cluster_follows_a_channel_once() {
    let cluster = RedisCluster::start().await;
    asks_as_little_as_it_can(&cluster.url(), &cluster.nodes, true).await;
}
