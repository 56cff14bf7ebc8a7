//! How a server is reached, and what it is said not to have.

use std::path::Path;
use std::time::Duration;

use futures_util::{FutureExt, TryStreamExt};
use tokensocket_server::{Broker, BrokerError, HistoryQuery, Nats, NatsOptions, Timestamp};
use tokensocket_tests::engine::{self, Fate, NatsWay};
use tokio::time::timeout;

use crate::node::{Node, channel, kept, numbers, offset, publish, until, with_key};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn credentials_and_own_certificates_are_used() {
    let server = engine::Nats::with(engine::Settings::new().tls().password("p@ss,w/rd:1")).await;
    let certificate = server.certificate.as_ref().unwrap().path.clone();
    let address = format!("tls://{}", server.address);
    let options = || NatsOptions::new().certificate_authority(&certificate);
    let node = Node::with(&address, options().user_and_password("tests", "p@ss,w/rd:1")).await;
    node.publish("a", 1).await.unwrap();
    let in_address = format!("tls://tests:p%40ss%2Cw%2Frd%3A1@{}", server.address);
    assert!(Nats::connect(&in_address, options()).await.unwrap().status().address.ends_with(&address));
    for (options, address) in [
        (options().user_and_password("tests", "wrong"), address.as_str()),
        (options(), &address),
        (NatsOptions::new(), &in_address),
        (options().credentials_file(Path::new("nowhere.creds")), &address),
    ] {
        let error = Nats::connect(address, options).await.expect_err("nobody else is let in").to_string();
        assert!(!error.contains("p@ss") && !error.contains("p%40ss"), "{error}");
    }
    let token =
        engine::Nats::with(engine::Settings::new().more(["authorization { token: \"s3cret\" }"])).await;
    let address = token.address;
    assert!(Nats::connect(&format!("nats://s3cret@{address}"), NatsOptions::new()).await.is_ok());
    assert!(Nats::connect(&format!("nats://{address}"), NatsOptions::new().token("s3cret")).await.is_ok());
    assert!(Nats::connect(&format!("nats://{address}"), NatsOptions::new()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_asks_for_certificates_is_shown_ours() {
    let own = engine::Nats::with(engine::Settings::new().tls()).await;
    let known = own.certificate.as_ref().unwrap();
    let server = engine::Nats::with(engine::Settings::new().tls().clients(&known.path)).await;
    let options = || NatsOptions::new().certificate_authority(&server.certificate.as_ref().unwrap().path);
    let node = Node::with(&server.url(), options().client_certificate(&known.path, &known.key)).await;
    node.publish("a", 1).await.unwrap();
    assert!(Nats::connect(&server.url(), options()).await.is_err(), "nobody else is let in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn says_what_a_server_without_jetstream_cannot_do() {
    let server = engine::Nats::with(engine::Settings::new().more(["jetstream: disabled"])).await;
    let (one, two) = (Node::new(&server.url()).await, Node::new(&server.url()).await);
    let lacks = one.nats.status().lacks.join(" ");
    assert!(lacks.contains("JetStream") && lacks.contains("histories"), "{lacks}");
    two.follow("a").await;
    one.broker.publish(publish("a", 7, None)).await.unwrap();
    assert_eq!(numbers(&two.came(1).await), [7], "what needs no JetStream works");
    let refused = one.publish("a", 1).await;
    assert!(matches!(refused, Err(BrokerError::Unsupported(_))), "{refused:?}");
    let refused = one.broker.history(&channel("a"), &kept(), HistoryQuery::default(), Timestamp::now()).await;
    assert!(matches!(refused, Err(BrokerError::Unsupported(_))), "{refused:?}");
    let refused = one.broker.publish(with_key(publish("a", 1, None), "k")).await;
    assert!(matches!(refused, Err(BrokerError::Unsupported(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jetstream_that_begins_late_is_found() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    way.plan("$JS.API.INFO", Fate::Lost, usize::MAX);
    let options = NatsOptions::new().timeout(Duration::from_millis(500));
    let node = Node::with(&format!("nats://{}", way.address), options).await;
    let lacks = |node: &Node| node.nats.status().lacks.iter().any(|lack| lack.contains("JetStream"));
    assert!(lacks(&node), "it does not answer yet");
    let refused = node.publish("a", 1).await;
    assert!(matches!(refused, Err(BrokerError::Unsupported(_))), "{refused:?}");
    way.clear();
    until("JetStream", || !lacks(&node)).await;
    assert_eq!(offset(&node.publish("a", 1).await.unwrap()), 1);
    assert!(node.heard.gaps.lock().unwrap().is_empty(), "over the same connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_seen_that_a_server_is_away_whose_abilities_are_looked_at() {
    let mut server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let node = Node::with(&format!("nats://{}", way.address), NatsOptions::new()).await;
    way.plan("$JS.API.INFO", Fate::Lost, usize::MAX);
    way.cut();
    way.happened(1).await;
    server.kill();
    let seen = async {
        while node.is_there() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(3), seen).await.expect("before the answer would be too late");
    let refused = node.publish("a", 1).now_or_never().expect("at once");
    assert!(matches!(refused, Err(BrokerError::Unavailable(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_that_were_tried_by_nodes_that_died_are_gone_with_the_next_try() {
    let server = engine::Nats::start().await;
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for (prefix, when) in [("ts", now - 600), ("ts", now - 1), ("other", now - 600)] {
        let config = async_nats::jetstream::stream::Config {
            name: format!("{prefix}_=replicas-{when:x}-7"),
            subjects: vec![format!("{prefix}.=replicas.{when:x}-7")],
            ..Default::default()
        };
        jetstream.create_stream(config).await.unwrap();
    }
    Nats::connect(&server.url(), NatsOptions::new().replicas(3)).await.unwrap();
    let mut left: Vec<_> = jetstream.stream_names().try_collect().await.unwrap();
    left.sort_unstable();
    assert_eq!(left, [format!("other_=replicas-{:x}-7", now - 600), format!("ts_=replicas-{:x}-7", now - 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn says_that_a_server_alone_keeps_no_replicas() {
    let server = engine::Nats::start().await;
    let one = Node::with(&server.url(), NatsOptions::new().replicas(3)).await;
    let lacks = one.nats.status().lacks.join(" ");
    assert!(lacks.contains("on 3 servers") && lacks.contains("histories"), "{lacks}");
    let refused = one.publish("a", 1).await;
    assert!(refused.is_err(), "as it was said: {refused:?}");
    let two = Node::new(&server.url()).await;
    let lacks = two.nats.status().lacks.join(" ");
    assert!(!lacks.contains("on 1 servers"), "{lacks}");
    two.publish("a", 1).await.expect("on one server it is kept");
}
