//! A store of presence that answers too late, or never.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokensocket_server::{
    Change, Channel, ChannelOptions, Counts, Member, MemoryPresenceStore, Presence, PresenceStore, StoreError,
};
use tokensocket_tests::device;
use tokensocket_tests::limit::until;
use tokensocket_tests::node::Node;
use tokio::sync::Notify;

#[tokio::test]
async fn who_came_while_the_store_was_slow_is_announced_at_last_and_once() {
    for per_user in [false, true] {
        let presence = Presence::new().announce();
        let presence = if per_user { presence.per_user() } else { presence };
        let store = LateStore::default();
        let builder = device::builder()
            .channels("room", ChannelOptions::new().presence(presence))
            .presence_store(store.clone())
            .store_timeout(Duration::from_millis(100));
        let node = Node::start(builder).await;
        let mut ann = device::connect_with(&node, "user=1&name=ann", None, &["presence"]).await;
        ann.start("_subscribe", json!({ "channel": "room", "presence": true })).await;
        ann.find("the subscription", |message| message["command"] == "subscribe").await;
        // The store does what it is told, and answers too late.
        store.is_late.store(1, Ordering::Relaxed);
        let mut bob = device::connect_with(&node, "user=2&name=bob", None, &["presence"]).await;
        bob.subscribe("room").await;
        let came = ann.find("bob", |message| message["command"] == "join").await;
        assert_eq!(came["data"]["member"]["info"]["name"], "bob");
        store.is_late.store(1, Ordering::Relaxed);
        bob.call("_unsubscribe", json!({ "channel": "room" })).await;
        let left = ann.find("bob's leaving", |message| message["command"] == "leave").await;
        assert_eq!(left["data"]["member"]["info"]["name"], "bob");
        // One who comes and goes before the store is asked again was never there for the others.
        store.is_late.store(1, Ordering::Relaxed);
        bob.subscribe("room").await;
        until("the store to be asked", || store.is_late.load(Ordering::Relaxed) == 0).await;
        bob.call("_unsubscribe", json!({ "channel": "room" })).await;
        // The next one to come is the next that is told, behind whatever else was to be told.
        let mut cat = device::connect_with(&node, "user=3&name=cat", None, &["presence"]).await;
        cat.subscribe("room").await;
        let came = ann.next().await;
        assert_eq!(came["data"]["member"]["info"]["name"], "cat", "{came}");
        let Counts { clients, .. } = node.server.presence_counts("room").await.unwrap();
        assert_eq!(clients, 2);
    }
}

#[tokio::test]
async fn so_many_changes_of_presence_wait_for_a_store_that_hangs_and_the_rest_is_told_later() {
    const MOST: usize = 65_536;
    for announces in [false, true] {
        let presence = if announces { Presence::new().announce() } else { Presence::new() };
        let store = LateStore::default();
        store.is_late.store(MOST * 2, Ordering::Relaxed);
        let builder = device::builder()
            .channels("room", ChannelOptions::new().presence(presence))
            .presence_store(store.clone())
            .outbox(1 << 20, 1 << 30);
        let node = Node::start(builder).await;
        let _client = device::connect_with(&node, "user=1", None, &["presence"]).await;
        let socket = node.server.sockets().remove(0);
        for n in 0..MOST * 3 / 4 {
            socket.subscribe("room").await.unwrap();
            socket.unsubscribe("room").unwrap();
            if n % 512 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let calls = MOST * 2 - store.is_late.load(Ordering::Relaxed);
        assert_eq!(calls, MOST, "announces: {announces}");
    }
}

/// Does at once what it is told, and answers some calls too late.
#[derive(Clone, Default)]
struct LateStore {
    store: Arc<MemoryPresenceStore>,
    /// How many of the next calls.
    is_late: Arc<AtomicUsize>,
    never: Arc<Notify>,
}

impl LateStore {
    fn answer(
        &self,
        change: BoxFuture<'static, Result<Change, StoreError>>,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        let late = self.is_late.fetch_update(Ordering::AcqRel, Ordering::Acquire, |late| late.checked_sub(1));
        if late.is_err() {
            return change;
        }
        let never = Arc::clone(&self.never);
        async move {
            never.notified().await;
            change.await
        }
        .boxed()
    }
}

impl PresenceStore for LateStore {
    fn join(
        &self,
        channel: &Channel,
        member: Member,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        self.answer(self.store.join(channel, member, per_user))
    }

    fn leave(
        &self,
        channel: &Channel,
        client: &str,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        self.answer(self.store.leave(channel, client, per_user))
    }

    fn members(
        &self,
        channel: &Channel,
        after: Option<&str>,
        limit: usize,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Vec<Member>, StoreError>> {
        self.store.members(channel, after, limit, per_user)
    }

    fn counts(&self, channel: &Channel) -> BoxFuture<'static, Result<Counts, StoreError>> {
        self.store.counts(channel)
    }
}
