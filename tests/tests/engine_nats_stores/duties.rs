//! What every store must do, done by those over NATS.

use tokensocket_server::{
    NatsDeviceStore, NatsPresenceStore, NatsReplicaOptions, NatsTokenStore, conformance,
};
use tokensocket_tests::engine;
use tokensocket_tests::limit::within;

use crate::node::connect;

#[tokio::test(flavor = "multi_thread")]
async fn device_queues_do_what_they_must() {
    let server = engine::Nats::start().await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    conformance::devices(async |limits| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let nats = connect(&server, &format!("site{number}")).await;
        NatsDeviceStore::with(&nats, limits, NatsReplicaOptions::new())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_queues_are_kept() {
    let server = engine::Nats::start().await;
    let before = tokio::sync::Mutex::new(None);
    conformance::devices_kept(async |limits| {
        let mut before = before.lock().await;
        if let Some(ended) = before.take() {
            within::<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>("the store before to end", ended)
                .await;
        }
        let store = NatsDeviceStore::with(
            &connect(&server, "site").await,
            limits,
            NatsReplicaOptions::new().image_every(5, 1 << 20),
        );
        *before = Some(Box::pin(store.ended()));
        store
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_does_what_it_must() {
    let server = engine::Nats::start().await;
    conformance::presence(async || NatsPresenceStore::new(&connect(&server, "site").await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_do_what_they_must() {
    let server = engine::Nats::start().await;
    let nats = connect(&server, "site").await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    let next = || {
        nats.clone().namespace(&format!("site{}", count.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
    };
    conformance::tokens(|capacity| NatsTokenStore::with_capacity(&next(), capacity)).await;
    conformance::tokens_shared(|capacity| {
        let site = next();
        [NatsTokenStore::with_capacity(&site, capacity), NatsTokenStore::with_capacity(&site, capacity)]
    })
    .await;
}
