//! A server that keeps deliveries and history on a disk, delivers and publishes by itself, and says what it has
//! promised: for tests that kill it.
//!
//! In: one argument, JSON: [`Orders`]. Out: on standard output, line by line, where
//! it listens, each `deliver` and each `publish` that has returned, and what its store said of damage. It ends when its
//! standard input does, or when it is killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's program stops at what it does not expect"
)]

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokensocket_server::{
    ChannelOptions, DeliverOptions, EmbeddedOptions, EmbeddedStore, History, QueueLimits, Server, To,
};
use tokensocket_tests::device::builder;
use tokensocket_tests::keeper::{CHANNEL, EVENT, Orders, user};
use tokio::io::{AsyncReadExt, stdin};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() {
    let orders: Orders = serde_json::from_str(&std::env::args().nth(1).expect("an argument")).unwrap();
    let limits = QueueLimits { count: 1 << 24, bytes: 1 << 30, ..QueueLimits::default() };
    let (store, report) =
        EmbeddedStore::open(&orders.folder, EmbeddedOptions::new().queues(limits)).expect("the store opens");
    if !report.is_whole() {
        say(&format!("damaged {:?} {:?}", report.damage, report.lost));
    }
    let history = History::new(1 << 24, Duration::from_hours(24)).bytes(1 << 30);
    let server = builder()
        .broker(store.broker())
        .device_store(store.devices())
        .channels(CHANNEL, ChannelOptions::new().history(history))
        .outbox(1 << 20, 1 << 31)
        .on_history(async |_, _| Ok(()))
        .build()
        .expect("the server can be built");
    let listener = TcpListener::bind(orders.address).await.expect("the port is free");
    say(&format!("listening on http://{}", orders.address));
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener).await.expect("it serves") });
    let next = Arc::new(AtomicU64::new(orders.first));
    for caller in 0..orders.callers {
        tokio::spawn(call(server.clone(), Arc::clone(&next), caller));
    }
    if let Some(every) = orders.publish_every_ms {
        tokio::spawn(publish(server.clone(), next, Duration::from_millis(every)));
    }
    // Whoever gives the orders may end, and with it this.
    let mut nothing = [0];
    while stdin().read(&mut nothing).await.is_ok_and(|count| count > 0) {}
    server.shutdown().await;
    store.close();
}

/// A line that is read even if this process is killed right behind it.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).expect("somebody reads");
}

/// Delivers and publishes in turn, one after the other.
async fn call(server: Server, next: Arc<AtomicU64>, caller: u64) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(2) {
            let options = DeliverOptions::new();
            server
                .deliver(To::user(user(number)), EVENT, (caller, number), options)
                .await
                .expect("it is kept");
            say(&format!("delivered {caller} {number}"));
        } else {
            let published = server.publish(CHANNEL, (caller, number)).await.expect("it is kept");
            let position = published.position.expect("a position");
            say(&format!("published {caller} {number} {position}"));
        }
    }
}

/// Publishes at a steady rate.
async fn publish(server: Server, next: Arc<AtomicU64>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        let number = next.fetch_add(1, Ordering::Relaxed);
        let published = server.publish(CHANNEL, (0, number)).await.expect("it is kept");
        say(&format!("published 0 {number} {}", published.position.expect("a position")));
    }
}
