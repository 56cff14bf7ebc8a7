//! The duties of a [`PresenceStore`].

use std::sync::Arc;

use tokensocket_protocol::{Channel, RawJson};

use crate::presence::{Change, Counts, Member, PresenceStore};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

fn member(client: &str, user: Option<&str>, since: u64) -> Member {
    let info = RawJson::new(client).unwrap();
    Member { client: client.into(), user: user.map(Arc::from), info, since: Timestamp(since) }
}

/// What a change was, and of whom.
fn said(change: &Change) -> (&'static str, Option<&str>) {
    match change {
        Change::Joined(member) => ("joined", Some(&*member.client)),
        Change::Left(member) => ("left", Some(&*member.client)),
        Change::None => ("none", None),
    }
}

/// One channel of a store.
struct Bench<'a, S> {
    store: &'a S,
    channel: Channel,
    per_user: bool,
}

impl<S: PresenceStore> Bench<'_, S> {
    async fn join(&self, client: &str, user: Option<&str>, since: u64) -> Change {
        self.store.join(&self.channel, member(client, user, since), self.per_user).await.unwrap()
    }

    async fn leave(&self, client: &str) -> Change {
        self.store.leave(&self.channel, client, self.per_user).await.unwrap()
    }

    async fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        let members = self.store.members(&self.channel, after, limit, self.per_user).await?;
        Ok(members.iter().map(|member| member.client.to_string()).collect())
    }

    async fn counts(&self) -> (usize, usize) {
        let Counts { clients, users } = self.store.counts(&self.channel).await.unwrap();
        (clients, users)
    }
}

/// Checks every duty. `new` makes a store in which nobody is anywhere.
///
/// # Panics
///
/// When the store does not do one of its duties.
pub async fn presence<S: PresenceStore>(new: impl AsyncFn() -> S) {
    let store = new().await;
    let on = |name: &str, per_user| Bench { store: &store, channel: channel(name), per_user };
    counts_connections(&on("a", false)).await;
    counts_users(&on("b", true)).await;
    keeps_channels_apart(&on("c", false), &on("d", false)).await;
    sees_calls_in_their_order(&on("e", false)).await;
    gives_pages(&on("f", false)).await;
}

async fn counts_connections<S: PresenceStore>(bench: &Bench<'_, S>) {
    assert_eq!(bench.counts().await, (0, 0));
    assert!(bench.page(None, 10).await.unwrap().is_empty());
    assert_eq!(said(&bench.leave("1").await), ("none", None));
    assert_eq!(said(&bench.join("1", Some("ann"), 5).await), ("joined", Some("1")));
    assert_eq!(said(&bench.join("1", Some("ann"), 6).await), ("none", None), "joining twice");
    assert_eq!(said(&bench.join("2", Some("ann"), 6).await), ("joined", Some("2")));
    assert_eq!(said(&bench.join("3", None, 4).await), ("joined", Some("3")));
    assert_eq!(bench.counts().await, (3, 2));
    assert_eq!(bench.page(None, 10).await.unwrap(), ["3", "1", "2"], "by their time");
    let members = bench.store.members(&bench.channel, None, 2, false).await.unwrap();
    assert_eq!((members[1].user.as_deref(), members[1].info.as_str()), (Some("ann"), "\"1\""));
    assert_eq!(members[1].since, Timestamp(5));
    assert_eq!(said(&bench.leave("1").await), ("left", Some("1")));
    assert_eq!(said(&bench.leave("1").await), ("none", None));
    assert_eq!(bench.counts().await, (2, 2));
    bench.leave("2").await;
    bench.leave("3").await;
    assert_eq!(bench.counts().await, (0, 0));
}

async fn counts_users<S: PresenceStore>(bench: &Bench<'_, S>) {
    assert_eq!(said(&bench.join("1", Some("ann"), 1).await), ("joined", Some("1")));
    assert_eq!(said(&bench.join("2", Some("ann"), 2).await), ("none", None));
    assert_eq!(said(&bench.join("3", None, 3).await), ("joined", Some("3")));
    assert_eq!(said(&bench.join("4", None, 4).await), ("joined", Some("4")));
    assert_eq!(bench.counts().await, (4, 3));
    assert_eq!(said(&bench.leave("1").await), ("none", None), "the user has another connection");
    assert_eq!(said(&bench.leave("1").await), ("none", None));
    assert_eq!(bench.counts().await, (3, 3));
    assert_eq!(bench.page(None, 10).await.unwrap(), ["1", "3", "4"], "the member stays as it is");
    assert_eq!(bench.page(Some("1"), 10).await.unwrap(), ["3", "4"]);
    assert_eq!(said(&bench.join("5", Some("ann"), 5).await), ("none", None));
    assert_eq!(said(&bench.leave("2").await), ("none", None));
    assert_eq!(said(&bench.leave("5").await), ("left", Some("1")), "from the first to the last");
    assert_eq!(said(&bench.join("1", Some("ann"), 6).await), ("joined", Some("1")));
    assert_eq!(bench.page(None, 10).await.unwrap(), ["3", "4", "1"]);
    for client in ["1", "3", "4"] {
        assert_eq!(said(&bench.leave(client).await), ("left", Some(client)));
    }
    assert_eq!(bench.counts().await, (0, 0));
}

async fn keeps_channels_apart<S: PresenceStore>(one: &Bench<'_, S>, other: &Bench<'_, S>) {
    one.join("1", Some("ann"), 1).await;
    other.join("1", Some("ann"), 1).await;
    other.join("2", Some("bob"), 1).await;
    one.leave("1").await;
    one.leave("2").await;
    assert_eq!((one.counts().await, other.counts().await), ((0, 0), (2, 2)));
}

async fn sees_calls_in_their_order<S: PresenceStore>(bench: &Bench<'_, S>) {
    let Bench { store, channel, per_user } = bench;
    // Called one after the other, awaited the other way round, one not at all.
    drop(store.join(channel, member("1", None, 1), *per_user));
    let left = store.leave(channel, "1", *per_user);
    let joined = store.join(channel, member("1", None, 2), *per_user);
    let counts = store.counts(channel);
    assert_eq!(counts.await.unwrap().clients, 1);
    assert_eq!(said(&joined.await.unwrap()).0, "joined");
    assert_eq!(said(&left.await.unwrap()).0, "left");
}

async fn gives_pages<S: PresenceStore>(bench: &Bench<'_, S>) {
    for client in 0..25_u64 {
        bench.join(&client.to_string(), None, client / 10).await;
    }
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = bench.page(after.as_deref(), 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        seen.extend(page);
    }
    assert_eq!(seen, (0..25).map(|client: u64| client.to_string()).collect::<Vec<_>>());
    let gone = bench.page(Some("nobody"), 4).await;
    assert!(matches!(gone, Err(StoreError::Gone(_))), "{gone:?}");
}
