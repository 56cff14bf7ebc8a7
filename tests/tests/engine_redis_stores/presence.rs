//! Who is there: nodes that die, answers that do not come, and a Redis that was emptied.

use std::time::Duration;

use tokensocket_server::{
    Change, Channel, Member, NodeId, PresenceStore, RawJson, Redis, RedisOptions, RedisPresenceStore,
    Timestamp,
};
use tokensocket_tests::engine::Redis as Engine;
use tokensocket_tests::limit::within;

use crate::node::{connected, dies};

#[tokio::test]
async fn members_of_a_dead_node_are_taken_off_once() {
    let engine = Engine::start().await;
    let url = engine.url();
    let channel = Channel::new("news").unwrap();
    let member = |client: &str, user: &str| Member {
        client: client.into(),
        user: Some(user.into()),
        info: RawJson::null(),
        since: Timestamp::now(),
    };
    let stores: Vec<RedisPresenceStore> = {
        let mut stores = Vec::new();
        for number in 0..2 {
            let store = connected(&url, "dead").await.presence_store();
            store.start(NodeId::from_number(number + 1)).unwrap();
            stores.push(store);
        }
        stores
    };
    let (theirs, ann) = (channel.clone(), member("1", "ann"));
    let bob = member("2", "bob");
    dies(async move || {
        let store = connected(&url, "dead").await.presence_store();
        store.start(NodeId::from_number(3)).unwrap();
        store.join(&theirs, ann, true).await.unwrap();
        store.join(&theirs, bob, true).await.unwrap();
        store
    });
    stores[0].join(&channel, member("3", "ann"), true).await.unwrap();
    let mut left = Vec::new();
    within("the end of its lease", async {
        while left.is_empty() {
            for store in &stores {
                left.extend(store.expire(Timestamp::now()).await.unwrap());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let left: Vec<_> = left.iter().map(|(channel, member)| (channel.as_str(), &*member.client)).collect();
    assert_eq!(left, [("news", "2")], "ann has a connection elsewhere");
    let counts = stores[1].counts(&channel).await.unwrap();
    assert_eq!((counts.clients, counts.users), (1, 1));
}

#[tokio::test]
async fn presence_is_put_back_after_redis_was_emptied() {
    let engine = Engine::start().await;
    let store = connected(&engine.url(), "empty").await.presence_store();
    store.start(NodeId::from_number(1)).unwrap();
    let channel = Channel::new("news").unwrap();
    let member = Member { client: "1".into(), user: None, info: RawJson::null(), since: Timestamp(5) };
    store.join(&channel, member, false).await.unwrap();
    engine.command(&["FLUSHALL"]).await;
    within("its member", async {
        while store.counts(&channel).await.unwrap().clients == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(store.members(&channel, None, 10, false).await.unwrap()[0].since, Timestamp(5));
}

/// Nodes 1, 2, … with a lease that nobody renews within a test, and one member each, `1`, `2`, …
async fn rosters(url: &str, namespace: &str, count: u64) -> Vec<RedisPresenceStore> {
    let mut stores = Vec::new();
    for number in 1..=count {
        let redis = Redis::connect(url, RedisOptions::new().lease(Duration::from_hours(1))).await.unwrap();
        let store = redis.namespace(namespace).unwrap().presence_store();
        store.start(NodeId::from_number(number)).unwrap();
        let user = Some(format!("user{number}").into());
        let client = number.to_string().into();
        let member = Member { client, user, info: RawJson::null(), since: Timestamp::now() };
        store.join(&Channel::new("news").unwrap(), member, true).await.unwrap();
        stores.push(store);
    }
    stores
}

/// The name of a key of presence.
fn presence_key(namespace: &str, name: &str) -> String {
    format!("ts:{namespace}:p:{{ts:{namespace}:p.0/1}}:{name}")
}

/// As if these nodes had said nothing for as long as their leases.
async fn leases_end(engine: &Engine, namespace: &str, nodes: &[u64]) {
    for node in nodes {
        let (key, now) = (presence_key(namespace, "n"), (Timestamp::now().0 - 1).to_string());
        engine.command(&["ZADD", &key, "XX", &now, &NodeId::from_number(*node).to_string()]).await;
    }
}

/// Whom a node finds to be gone.
async fn found_gone(store: &RedisPresenceStore) -> Vec<String> {
    let gone = store.expire(Timestamp::now()).await.unwrap();
    gone.iter().map(|(_, member)| member.client.to_string()).collect()
}

async fn at_last_gone(
    engine: &Engine,
    namespace: &str,
    store: &RedisPresenceStore,
    nodes: &[u64],
) -> Vec<String> {
    within("the end of a lease", async {
        loop {
            // Each node has something to say when it begins, which may come only now.
            leases_end(engine, namespace, nodes).await;
            engine.command(&["DEL", &presence_key(namespace, "w")]).await;
            let gone = found_gone(store).await;
            if !gone.is_empty() {
                return gone;
            }
        }
    })
    .await
}

#[tokio::test]
async fn nobody_is_gone_whose_lease_could_not_be_renewed_by_anybody() {
    let engine = Engine::start().await;
    let stores = rosters(&engine.url(), "outage", 2).await;
    let channel = Channel::new("news").unwrap();
    for _ in 0..5 {
        leases_end(&engine, "outage", &[1, 2]).await;
        assert!(found_gone(&stores[1]).await.is_empty(), "it was away itself");
        assert!(found_gone(&stores[1]).await.is_empty(), "the other has as long to come back");
    }
    assert_eq!(stores[1].counts(&channel).await.unwrap().clients, 2);
    assert_eq!(at_last_gone(&engine, "outage", &stores[1], &[1]).await, ["1"], "it does not come back");
}

#[tokio::test]
async fn whom_an_answer_named_that_did_not_come_is_named_again() {
    let engine = Engine::start().await;
    let stores = rosters(&engine.url(), "unheard", 5).await;
    let gone = at_last_gone(&engine, "unheard", &stores[3], &[1]).await;
    assert_eq!(gone, ["1"]);
    leases_end(&engine, "unheard", &[2]).await;
    drop(stores[3].expire(Timestamp::now()));
    assert_eq!(found_gone(&stores[3]).await, ["2"]);
    assert!(found_gone(&stores[3]).await.is_empty(), "it came");
    // Also by another, when the one who took them off is gone.
    leases_end(&engine, "unheard", &[3]).await;
    drop(stores[3].expire(Timestamp::now()));
    stores[3].counts(&Channel::new("news").unwrap()).await.unwrap();
    let mut gone = at_last_gone(&engine, "unheard", &stores[4], &[4]).await;
    gone.sort();
    assert_eq!(gone, ["3", "4"]);
}

#[tokio::test]
async fn a_join_without_an_answer_is_not_told_as_nothing() {
    const COUNT: usize = 300;
    let engine = Engine::start().await;
    let store = connected(&engine.url(), "unsure").await.presence_store();
    store.start(NodeId::from_number(1)).unwrap();
    let channel = Channel::new("news").unwrap();
    let mut unsure = 0;
    for round in 0..30 {
        within("its connection", async {
            while store.counts(&channel).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let joining = async {
            let mut told = Vec::new();
            for number in 0..COUNT {
                let client = format!("{round}-{number}").into();
                let member = Member { client, user: None, info: RawJson::null(), since: Timestamp(5) };
                told.push(store.join(&channel, member, false).await);
            }
            told
        };
        let cutting = engine.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let (joined, _) = tokio::join!(joining, cutting);
        for (number, joined) in joined.into_iter().enumerate() {
            match joined {
                Ok(Change::Joined(_)) => {}
                Ok(other) => panic!("{number} of round {round} is said to be there before: {other:?}"),
                Err(_) => unsure += 1,
            }
        }
    }
    assert!(unsure > 0, "nothing was cut");
}
