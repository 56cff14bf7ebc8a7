//! Publications from one node of a service to followers on the others.

use std::rc::Rc;

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{
    Bench, at_least_one,
    fan_out::{Flight, Publisher, follow},
    measure::{Board, measure},
    open_all, payload, while_running,
};
use crate::{
    dialect::{Dialect, PUBLICATIONS},
    error::BenchError,
    report::Report,
    socket::{Connection, Template},
};

/// Publishers and followers of many channels.
///
/// The `n`th publisher is on the `n`th node, in turn, and the followers of its
/// channel are on the nodes behind it; with one node all are on that.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Relay {
    /// Channels, each with one publisher.
    #[arg(long, default_value_t = 16)]
    pub channels: usize,
    /// Followers of each channel.
    #[arg(long, default_value_t = 1)]
    pub followers: usize,
    /// Publications of each publisher under way at once: the next is sent when
    /// the oldest has reached every follower.
    #[arg(long, default_value_t = 4)]
    pub in_flight: usize,
    /// Bytes of each publication's message, a JSON string.
    #[arg(long, default_value_t = 128)]
    pub payload: usize,
    /// What the channels' names begin with; a point and a number follow.
    #[arg(long, default_value = "bench")]
    pub channel: String,
}

impl Default for Relay {
    fn default() -> Self {
        Self { channels: 16, followers: 1, in_flight: 4, payload: 128, channel: "bench".to_owned() }
    }
}

pub(crate) async fn run<D: Dialect>(relay: &Relay, bench: &Bench<'_, D>) -> Result<Report, BenchError> {
    let channels = at_least_one("the number of channels", relay.channels)?;
    let followers = at_least_one("the number of followers", relay.followers)?;
    at_least_one("the number of publications in flight", relay.in_flight)?;
    let (board, data) = (Board::new()?, payload(relay.payload));
    let flights: Vec<_> = (0..channels).map(|_| Rc::new(Flight::new(followers))).collect();
    let name = |channel: usize| format!("{}.{channel}", relay.channel);
    let mut tasks = JoinSet::new();
    let open = |index: usize| {
        let (channel, follower) = (index / followers, index % followers);
        let (dialect, address) = (bench.dialect.clone(), bench.node(channel + 1 + follower).clone());
        let name = name(channel);
        async move {
            let mut connection = Connection::open(dialect, &address).await?;
            connection.subscribe(&name).await?;
            Ok((channel, connection))
        }
    };
    for (channel, connection) in open_all(channels * followers, open).await? {
        tasks.spawn_local(follow(connection, Rc::clone(&flights[channel]), Rc::clone(&board)));
    }
    for (channel, flight) in flights.iter().enumerate() {
        let connection = Connection::open(bench.dialect.clone(), bench.node(channel)).await?;
        let name = name(channel);
        let template = Template::new(bench.dialect.opcode(), |id, out| {
            bench.dialect.publish(id, &name, &data, out);
        });
        let publisher = Publisher { connection, template, flight: Rc::clone(flight), next: PUBLICATIONS };
        tasks.spawn_local(publisher.keep(relay.in_flight));
    }
    let report =
        while_running(&mut tasks, measure("deliveries", &board, bench.target, bench.options)).await?;
    for flight in &flights {
        while_running(&mut tasks, flight.finish()).await?;
    }
    Ok(report)
}
