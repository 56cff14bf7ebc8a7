//! What the tests of others rely on.

use std::time::Duration;

use async_nats::ConnectOptions;

use super::cluster::FILLERS;
use super::*;

#[tokio::test]
async fn a_redis_keeps_what_it_was_told_to_over_a_restart() {
    let settings = Settings::new().keep(Keep::Always).password("secret").storage(8 << 20);
    let mut redis = Redis::with(settings).await;
    let (url, pid) = (redis.url(), redis.pid());
    assert_eq!(redis.command(&["SET", "a", "1"]).await, "OK");
    redis.kill();
    redis.start_again().await;
    assert_eq!(redis.command(&["GET", "a"]).await, "1");
    redis.stop().await;
    redis.start_again().await;
    assert_eq!(redis.command(&["GET", "a"]).await, "1");
    assert!(redis.url() == url && redis.pid() != pid);

    redis.fill().await;
    assert!(redis.command(&["SET", "a", "2"]).await.starts_with("OOM"));
    redis.empty().await;
    assert_eq!(redis.command(&["SET", "a", "2"]).await, "OK");

    redis.pause();
    let answer = tokio::time::timeout(Duration::from_millis(200), redis.command(&["GET", "a"]));
    assert!(answer.await.is_err(), "one that is paused answers nothing");
    redis.unpause();
    assert_eq!(redis.command(&["GET", "a"]).await, "2");

    let mut forgetful = Redis::start().await;
    forgetful.command(&["SET", "a", "1"]).await;
    forgetful.stop().await;
    forgetful.start_again().await;
    assert_eq!(forgetful.command(&["GET", "a"]).await, "");
    // Without a limit of its own it gets one.
    forgetful.fill().await;
    assert!(forgetful.command(&["SET", "a", "1"]).await.starts_with("OOM"));
    forgetful.empty().await;
    assert_eq!(forgetful.command(&["SET", "a", "1"]).await, "OK");
}

#[tokio::test]
async fn a_redis_speaks_tls_only() {
    let redis = Redis::with(Settings::new().tls()).await;
    assert!(redis.url().starts_with("rediss://"));
    assert_eq!(redis.command(&["PING"]).await, "PONG");
    assert!(redis.certificate.as_ref().is_some_and(|certificate| certificate.pem.starts_with("-----BEGIN")));
}

#[tokio::test]
async fn a_cluster_serves_every_slot() {
    let mut cluster = RedisCluster::with(Settings::new().storage(8 << 20)).await;
    for (at, key) in FILLERS.into_iter().enumerate() {
        let slot = cluster.nodes[0].command(&["CLUSTER", "KEYSLOT", key]).await;
        let slot: usize = slot.parse().expect("a number");
        let owner = slot * 3 / 16_384;
        assert_eq!(cluster.nodes[owner].command(&["SET", key, "1"]).await, "OK");
        assert!(
            cluster.nodes[(owner + 1) % 3].command(&["SET", key, "1"]).await.starts_with("MOVED"),
            "{at}"
        );
    }
    cluster.fill().await;
    for (node, key) in cluster.nodes.iter().zip(FILLERS) {
        assert!(node.command(&["SETRANGE", key, "0", "1"]).await.starts_with("OOM"));
    }
    cluster.empty().await;
    assert_eq!(cluster.nodes[0].command(&["SET", FILLERS[0], "1"]).await, "OK");
    cluster.nodes[1].kill();
    cluster.nodes[1].start_again().await;
    cluster.is_whole().await;
    assert!(cluster.url().starts_with("redis+cluster://127.0.0.1:"));
}

#[tokio::test]
async fn sentinels_put_the_replica_in_the_place_of_a_primary_that_died() {
    let mut redis = RedisSentinel::start().await;
    assert_eq!(redis.primary().await, 0);
    assert_eq!(redis.kill_primary().await, 0);
    assert_eq!(redis.primary().await, 1);
    assert!(redis.servers[1].command(&["INFO", "replication"]).await.contains("role:master"));
}

#[tokio::test]
async fn a_nats_keeps_its_streams_over_a_restart_until_it_is_full() {
    let mut nats = Nats::with(Settings::new().storage(8 << 20)).await;
    let config = async_nats::jetstream::stream::Config {
        name: "kept".to_owned(),
        subjects: vec!["kept".to_owned()],
        ..async_nats::jetstream::stream::Config::default()
    };
    let publish = async |nats: &Nats| {
        let client = async_nats::connect(nats.url()).await.expect("it takes connections");
        let jetstream = async_nats::jetstream::new(client);
        let stream = jetstream.get_or_create_stream(config.clone()).await.expect("a stream can be made");
        drop(stream);
        let sent = jetstream.publish("kept", "1".into()).await.expect("it can be sent");
        sent.await.map(|acknowledged| acknowledged.sequence)
    };
    assert_eq!(publish(&nats).await.expect("it is kept"), 1);
    nats.kill();
    nats.start_again().await;
    assert_eq!(publish(&nats).await.expect("it is kept"), 2);
    nats.fill().await;
    let refused = publish(&nats).await.expect_err("it is full");
    println!("{refused}");
    nats.empty().await;
    assert_eq!(publish(&nats).await.expect("it is kept"), 3);
}

#[tokio::test]
async fn a_nats_asks_for_its_password_over_tls() {
    let nats = Nats::with(Settings::new().tls().password("secret")).await;
    let certificate = nats.certificate.as_ref().expect("it speaks TLS");
    let connect = async |password: &str| {
        let options = ConnectOptions::with_user_and_password("tests".to_owned(), password.to_owned());
        options.add_root_certificates(certificate.path.clone()).connect(nats.url()).await
    };
    connect("secret").await.expect("it takes who knows the password");
    assert!(connect("wrong").await.is_err());
}
