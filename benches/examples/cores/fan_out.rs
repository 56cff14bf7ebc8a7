//! Fan-out: how long it takes until the last of many followers has a publication.
//!
//! Followers are served in the order they came, in each part of a channel and
//! on each node. So the last ones to come tell when all are served, and nobody
//! else reads meanwhile. That every follower has every publication is checked
//! when the clock has stopped.

use std::error::Error;
use std::time::{Duration, Instant};

use tokensocket_benches::{FanOut, Report};

use crate::client::{Client, payload};
use crate::shape::Service;
use crate::watch::Watch;

const CHANNEL: &str = "bench";

/// Publications before all followers read.
const BATCH: usize = 20;

/// How many of the last followers read at once: enough to find the last of each part and of each node.
const LAST: usize = 32;

pub(crate) fn run(
    service: &Service,
    fan_out: &FanOut,
    warm_up: Duration,
    seconds: Duration,
) -> Result<Report, Box<dyn Error>> {
    let mut clients = Vec::with_capacity(fan_out.subscribers);
    for _ in 0..fan_out.subscribers {
        let mut client = Client::open(service)?;
        client.follow(CHANNEL)?;
        clients.push(client);
    }
    let shares: Vec<_> = service.nodes.iter().map(|node| node.server.sockets().len().to_string()).collect();
    eprintln!("followers on each node: {}", shares.join(", "));
    let node = service.nodes.first().ok_or("there is no node")?;
    let data = payload(fan_out.payload);
    let data: serde_json::Value = serde_json::from_str(&data)?;
    let publish = || {
        let (server, data) = (node.server.clone(), data.clone());
        // One that fails is found by who waits for it.
        drop(node.runtime.spawn(async move { server.publish(CHANNEL, data).await }));
    };
    publish();
    let mut length = 0;
    for client in &mut clients {
        length = client.receive()?.len();
    }
    let first_of_last = clients.len().saturating_sub(LAST);
    let mut round = |watch: &mut Watch| -> Result<(), Box<dyn Error>> {
        let (others, last) = clients.split_at_mut(first_of_last);
        for _ in 0..BATCH {
            watch.time(fan_out.subscribers, || -> Result<Instant, Box<dyn Error>> {
                publish();
                last.iter_mut().try_for_each(|client| client.wait_for(length))?;
                Ok(Instant::now())
            })?;
        }
        last.iter_mut().try_for_each(|client| client.drain(0))?;
        others.iter_mut().try_for_each(|client| client.drain(BATCH * length))
    };
    let start = Instant::now();
    while start.elapsed() < warm_up {
        round(&mut Watch::default())?;
    }
    let mut watch = Watch::default();
    while watch.wall() < seconds {
        round(&mut watch)?;
    }
    Ok(watch.report("deliveries"))
}
