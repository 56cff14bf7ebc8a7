//! Our server, by its own methods: no sockets in the way, as none are in the way of whoever embeds it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokensocket_server::{
    Arrival, Channel, ChannelOptions, DeliverOptions, Device, DeviceStore, EmbeddedOptions, EmbeddedStore,
    History, HistoryQuery, Identity, Member, MemoryPresenceStore, Position, PresenceStore, QueueLimits,
    RawJson, Server, Timestamp, To,
};

use super::load::{DEVICES, Failure, Figure, Target, message};

/// How many publications a client has missed that recovers.
const MISSED: u64 = 100;
/// How many are on the channel whose presence is measured.
const MEMBERS: usize = 100_000;
/// How many channels publications are spread over.
const CHANNELS: usize = 100;

/// Longer than any measurement.
const LONG: Duration = Duration::from_hours(24);

fn store(folder: &Path) -> Result<EmbeddedStore, Failure> {
    let queues = QueueLimits { count: usize::MAX, bytes: usize::MAX, age: LONG, ..QueueLimits::default() };
    Ok(EmbeddedStore::open(folder, EmbeddedOptions::new().queues(queues))?.0)
}

/// Messages to devices that are away.
#[derive(Clone)]
pub(crate) struct Deliveries {
    server: Server,
    users: Arc<Vec<Arc<str>>>,
    message: Arc<str>,
}

impl Deliveries {
    pub(crate) async fn open(folder: &Path) -> Result<Self, Failure> {
        let store = store(folder)?;
        let users: Vec<Arc<str>> = (0..DEVICES).map(|user| format!("user{user}").into()).collect();
        let devices = store.devices();
        for user in &users {
            let device = Device { user: Arc::clone(user), id: "phone".into() };
            let now = Timestamp::now();
            devices.arrive(Arrival { device: device.clone(), rooms: Vec::new(), ttl: LONG }, now).await?;
            devices.depart(device, now).await?;
        }
        let server = Server::builder()
            .authenticate(|_| async { Ok(Identity::new(())) })
            .broker(store.broker())
            .device_store(devices)
            .build()?;
        Ok(Self { server, users: Arc::new(users), message: message().into() })
    }
}

impl Target for Deliveries {
    const WHAT: &'static str = "deliver";

    async fn ask(&self, device: usize) -> Result<(), Failure> {
        let to = To::user(Arc::clone(&self.users[device]));
        let delivered = self.server.deliver(to, "e", &*self.message, DeliverOptions::new()).await?;
        if delivered.devices == 1 { Ok(()) } else { Err("it reached no device".into()) }
    }
}

/// Channels with history.
#[derive(Clone)]
pub(crate) struct Channels {
    server: Server,
    channels: Arc<Vec<Channel>>,
}

impl Channels {
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let server = Server::builder()
            .authenticate(|_| async { Ok(Identity::new(())) })
            .broker(store(folder)?.broker())
            .channels("news.>", ChannelOptions::new().history(History::new(1_000, LONG)))
            .build()?;
        let channels =
            (0..CHANNELS).map(|channel| Channel::new(format!("news.{channel}"))).collect::<Result<_, _>>()?;
        Ok(Self { server, channels: Arc::new(channels) })
    }

    pub(crate) fn publishing(&self) -> Publishing {
        Publishing { channels: self.clone(), message: message().into() }
    }

    /// Whoever missed the last publications of a channel.
    pub(crate) async fn recovering(&self) -> Result<Recovering, Failure> {
        let mut since = Vec::new();
        for channel in &*self.channels {
            for _ in 0..MISSED {
                self.server.publish(channel.as_str(), message()).await?;
            }
            let all = self.server.history(channel.as_str(), HistoryQuery::default()).await?;
            since.push(Position { offset: all.position.offset - MISSED, ..all.position });
        }
        Ok(Recovering { channels: self.clone(), since: Arc::new(since) })
    }
}

/// Publications that are kept.
#[derive(Clone)]
pub(crate) struct Publishing {
    channels: Channels,
    message: Arc<str>,
}

impl Target for Publishing {
    const WHAT: &'static str = "publish with history";

    async fn ask(&self, device: usize) -> Result<(), Failure> {
        let channel = &self.channels.channels[device % CHANNELS];
        self.channels.server.publish(channel.as_str(), &*self.message).await?;
        Ok(())
    }
}

/// Reads of what was missed.
#[derive(Clone)]
pub(crate) struct Recovering {
    channels: Channels,
    since: Arc<Vec<Position>>,
}

impl Target for Recovering {
    const WHAT: &'static str = "recover 100 publications";

    async fn ask(&self, device: usize) -> Result<(), Failure> {
        let at = device % CHANNELS;
        let query = HistoryQuery { since: Some(self.since[at].clone()), ..HistoryQuery::default() };
        let page = self.channels.server.history(self.channels.channels[at].as_str(), query).await?;
        if page.gap || page.publications.len() as u64 != MISSED {
            return Err("something was not recovered".into());
        }
        Ok(())
    }
}

/// One channel with very many members, in memory.
pub(crate) async fn presence() -> Result<Vec<Figure>, Failure> {
    let store = MemoryPresenceStore::default();
    let channel = Channel::new("everybody")?;
    let info = RawJson::from_text(r#"{"name":"somebody"}"#)?;
    let clients: Vec<Arc<str>> = (0..MEMBERS).map(|client| format!("client{client}").into()).collect();
    let member = |client: &Arc<str>| Member {
        client: Arc::clone(client),
        user: Some(Arc::clone(client)),
        info: info.clone(),
        since: Timestamp::now(),
    };
    let mut figures = Vec::new();
    let begun = Instant::now();
    for client in &clients {
        store.join(&channel, member(client), false).await?;
    }
    figures.push(figure("join, up to 100,000 members", MEMBERS, begun));
    let begun = Instant::now();
    for _ in 0..MEMBERS {
        if store.counts(&channel).await?.clients != MEMBERS {
            return Err("somebody is missing".into());
        }
    }
    figures.push(figure("count 100,000 members", MEMBERS, begun));
    let begun = Instant::now();
    let pages = MEMBERS / 100;
    let mut after: Option<Arc<str>> = None;
    for _ in 0..pages {
        let page = store.members(&channel, after.as_deref(), 100, false).await?;
        after = page.last().map(|member| Arc::clone(&member.client));
        if page.len() != 100 {
            return Err("a page is not full".into());
        }
    }
    figures.push(figure("page of 100 of 100,000 members", pages, begun));
    let begun = Instant::now();
    for client in &clients {
        store.leave(&channel, client, false).await?;
    }
    figures.push(figure("leave, of 100,000 members", MEMBERS, begun));
    Ok(figures)
}

fn figure(what: &str, count: usize, begun: Instant) -> Figure {
    let seconds = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "counts are small")]
    let per_second = count as f64 / seconds;
    Figure { what: what.to_owned(), callers: 1, per_second, p50_micros: 0, p99_micros: 0 }
}
