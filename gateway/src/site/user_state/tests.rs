#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokensocket_server::{
    Change, Channel, Counts, Member, MemoryPresenceStore, PresenceStore, StoreError, Timestamp,
};

use super::*;
use crate::site::stub::{Answer, Stub};

const PATIENCE: Duration = Duration::from_secs(20);

fn states(url: &str) -> UserStates {
    let states = UserStates::new("newsite", SiteClient::new(false).unwrap(), None);
    states.tell_at(Some(url));
    states
}

fn user(id: &str) -> Arc<str> {
    Arc::from(id)
}

/// What was told, as `user: what`.
fn told(stub: &Stub) -> Vec<String> {
    let tell = |body: Value| {
        let (what, _) = body["user"].as_object().unwrap().iter().next().unwrap();
        format!("{}: {what}", body["id"].as_str().unwrap())
    };
    stub.requests().iter().map(|asked| tell(serde_json::from_str(&asked.body).unwrap())).collect()
}

#[tokio::test]
async fn the_site_is_told_as_it_always_was() {
    let stub = Stub::start(|_| Answer::new(200, "")).await;
    let states = states(&stub.url("/users/:id"));
    states.came(&user("8"), Some(HeaderValue::from_static("Bearer 12345")));
    states.settle(PATIENCE).await;
    let asked = stub.requests().remove(0);
    assert_eq!((&*asked.method, &*asked.path), ("PUT", "/users/8"));
    assert_eq!(asked.header("authorization"), Some("Bearer 12345"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body["id"], "8");
    let at = body["user"]["last_connected"].as_str().unwrap();
    assert!(at.len() == "2015-05-06T07:49:29.196Z".len() && at.ends_with('Z'), "{at}");
}

#[tokio::test]
async fn several_tabs_are_one_user() {
    let stub = Stub::start(|_| Answer::new(200, "")).await;
    let states = states(&stub.url("/users/:id"));
    let ann = user("a_b");
    for _ in 0..3 {
        states.came(&ann, None);
    }
    for _ in 0..3 {
        states.went(&ann, None);
    }
    states.went(&ann, None);
    states.settle(PATIENCE).await;
    assert_eq!(told(&stub), ["a_b: last_connected", "a_b: last_disconnected"]);
}

#[tokio::test]
async fn an_id_cannot_lead_elsewhere() {
    let stub = Stub::start(|_| Answer::new(200, "")).await;
    let states = states(&stub.url("/users/:id"));
    states.came(&user("../a?b#c d"), None);
    states.settle(PATIENCE).await;
    assert_eq!(stub.requests()[0].path, "/users/..%2Fa%3Fb%23c%20d");
}

#[tokio::test]
async fn what_fails_is_told_again_before_what_came_after() {
    let stub = Stub::start(|number| Answer::new(if number < 2 { 503 } else { 204 }, "")).await;
    let states = states(&stub.url("/users/:id"));
    states.came(&user("1"), None);
    states.went(&user("1"), None);
    states.settle(PATIENCE).await;
    let expected = ["1: last_connected", "1: last_connected", "1: last_connected", "1: last_disconnected"];
    assert_eq!(told(&stub), expected);
}

#[tokio::test]
async fn a_refusal_stands() {
    let stub = Stub::start(|_| Answer::new(404, "")).await;
    let states = states(&stub.url("/users/:id"));
    states.came(&user("1"), None);
    states.settle(PATIENCE).await;
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn a_user_whose_site_hangs_holds_up_nobody_else_and_no_end() {
    let stub = Stub::start(|number| if number == 0 { Answer::never() } else { Answer::new(200, "") }).await;
    let states = states(&stub.url("/users/:id"));
    states.came(&user("1"), None);
    stub.asked(1).await;
    states.came(&user("2"), None);
    stub.asked(2).await;
    assert_eq!(told(&stub)[1], "2: last_connected");
    let ending = states.settle(Duration::from_millis(50));
    tokio::time::timeout(PATIENCE, ending).await.unwrap();
}

#[tokio::test]
async fn without_an_address_nobody_is_told() {
    let states = UserStates::new("newsite", SiteClient::new(false).unwrap(), None);
    states.came(&user("1"), None);
    states.settle(PATIENCE).await;
}

/// A store of presence that several nodes have, which fails as often as it is told to.
#[derive(Clone, Default)]
struct Shared {
    store: Arc<MemoryPresenceStore>,
    failures: Arc<AtomicUsize>,
    /// Who is lost when it is asked next.
    lost: Arc<Mutex<Vec<(Channel, Member)>>>,
}

impl Shared {
    fn states(&self, stub: &Stub) -> UserStates {
        let elsewhere = Elsewhere::new(Box::new(self.clone())).unwrap();
        let states = UserStates::new("newsite", SiteClient::new(false).unwrap(), Some(elsewhere));
        states.tell_at(Some(&stub.url("/users/:id")));
        states
    }

    /// Does something, and fails all the same.
    fn done<T: Send + 'static>(
        &self,
        doing: BoxFuture<'static, Result<T, StoreError>>,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let less = |left: usize| left.checked_sub(1);
        let fails = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        async move { doing.await.and_then(|done| if fails { Err(StoreError::Timeout) } else { Ok(done) }) }
            .boxed()
    }
}

impl PresenceStore for Shared {
    fn join(
        &self,
        channel: &Channel,
        member: Member,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        self.done(self.store.join(channel, member, per_user))
    }

    fn leave(
        &self,
        channel: &Channel,
        client: &str,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        self.done(self.store.leave(channel, client, per_user))
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

    fn expire(&self, _: Timestamp) -> BoxFuture<'static, Result<Vec<(Channel, Member)>, StoreError>> {
        ready(Ok(std::mem::take(&mut *self.lost.lock()))).boxed()
    }
}

#[tokio::test]
async fn a_user_is_connected_until_the_last_node_has_no_tab_of_it() {
    let stub = Stub::start(|_| Answer::new(200, "")).await;
    let shared = Shared::default();
    let (one, other) = (shared.states(&stub), shared.states(&stub));
    let ann = user("ann");
    one.came(&ann, None);
    stub.asked(1).await;
    other.came(&ann, None);
    other.came(&ann, None);
    one.went(&ann, None);
    one.settle(PATIENCE).await;
    other.went(&ann, None);
    assert_eq!(told(&stub), ["ann: last_connected"]);
    other.went(&ann, None);
    other.settle(PATIENCE).await;
    assert_eq!(told(&stub), ["ann: last_connected", "ann: last_disconnected"]);
}

#[tokio::test]
async fn what_a_store_did_without_an_answer_is_told_all_the_same() {
    let stub = Stub::start(|_| Answer::new(200, "")).await;
    let shared = Shared::default();
    let states = shared.states(&stub);
    for (failures, what) in [(1, "connected"), (1, "disconnected"), (2, "connected"), (3, "disconnected")] {
        let before = told(&stub).len();
        shared.failures.store(failures, Ordering::Relaxed);
        match what {
            "connected" => states.came(&user("ann"), None),
            _ => states.went(&user("ann"), None),
        }
        stub.asked(before + 1).await;
        assert_eq!(told(&stub).last(), Some(&format!("ann: last_{what}")), "{failures}");
    }
    states.settle(PATIENCE).await;
    assert_eq!(told(&stub).len(), 4);
}

#[tokio::test]
async fn a_user_whose_node_died_is_told_with_its_own_authorization() {
    let stub = Stub::start(|_| Answer::new(200, "")).await;
    let shared = Shared::default();
    let (one, other) = (shared.states(&stub), shared.states(&stub));
    one.came(&user("ann"), Some(HeaderValue::from_static("Bearer 12345")));
    stub.asked(1).await;
    let users = Channel::new("users").unwrap();
    let members = shared.store.members(&users, None, 10, true).await.unwrap();
    shared.lost.lock().push((users, members[0].clone()));
    stub.asked(2).await;
    assert_eq!(told(&stub), ["ann: last_connected", "ann: last_disconnected"]);
    assert_eq!(stub.requests()[1].header("authorization"), Some("Bearer 12345"));
    // Whoever ends does not wait for the next look.
    tokio::join!(one.settle(PATIENCE), other.settle(PATIENCE));
}

#[tokio::test]
async fn two_nodes_that_come_at_once_to_a_store_without_answers_do_not_both_leave_it_to_the_other() {
    let stub = Stub::start(|_| Answer::new(200, "")).await;
    let shared = Shared::default();
    let (one, other) = (shared.states(&stub), shared.states(&stub));
    let ann = user("ann");
    // Each is done, and neither knows.
    shared.failures.store(2, Ordering::Relaxed);
    one.came(&ann, None);
    other.came(&ann, None);
    stub.asked(1).await;
    assert_eq!(told(&stub)[0], "ann: last_connected");
    tokio::join!(one.settle(PATIENCE), other.settle(PATIENCE));
}

#[tokio::test]
async fn users_of_a_node_that_was_cut_off_are_told_again_with_their_own_authorization() {
    let stub = Stub::start(|_| Answer::new(200, "")).await;
    let shared = Shared::default();
    let (states, ann) = (shared.states(&stub), user("ann"));
    states.came(&ann, Some(HeaderValue::from_static("Bearer 12345")));
    states.came(&ann, Some(HeaderValue::from_static("Bearer 67890")));
    states.came(&user("bob"), None);
    states.went(&user("bob"), None);
    stub.asked(3).await;
    // Until all was answered: then one task looks, and no other is there.
    while states.0.tasks.len() > 1 {
        tokio::task::yield_now().await;
    }
    // Nobody looked for so long.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(21)).await;
    tokio::time::resume();
    stub.asked(4).await;
    assert_eq!(told(&stub)[3], "ann: last_connected");
    assert_eq!(stub.requests()[3].header("authorization"), Some("Bearer 12345"));
    states.settle(PATIENCE).await;
    assert_eq!(told(&stub).len(), 4, "whoever is gone is not told of");
}

#[tokio::test]
async fn other_nodes_know_of_users_also_while_the_site_is_told_nothing() {
    let stub = Stub::start(|_| Answer::new(200, "")).await;
    let shared = Shared::default();
    let (states, ann, bob) = (shared.states(&stub), user("ann"), user("bob"));
    states.came(&ann, None);
    stub.asked(1).await;
    states.tell_at(None);
    states.went(&ann, None);
    states.came(&bob, None);
    let here = async || {
        let members = shared.store.members(&Channel::new("users").unwrap(), None, 10, true).await.unwrap();
        members.iter().map(|member| member.user.as_deref().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let noted = async {
        while here().await != ["bob"] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, noted).await.unwrap();
    // She is new again, when there is somebody to tell.
    states.tell_at(Some(&stub.url("/users/:id")));
    states.came(&ann, None);
    stub.asked(2).await;
    states.settle(PATIENCE).await;
    assert_eq!(told(&stub), ["ann: last_connected"; 2]);
}

#[tokio::test]
async fn users_that_were_never_opened_to_anybody_leave_nothing_behind() {
    let shared = Shared::default();
    let elsewhere = Elsewhere::new(Box::new(shared.clone())).unwrap();
    drop(UserStates::new("newsite", SiteClient::new(false).unwrap(), Some(elsewhere)));
    assert_eq!(Arc::strong_count(&shared.store), 1);
}
