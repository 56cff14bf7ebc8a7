//! The store at its public face, on real folders, and on disks that fail.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at what it does not expect")]

mod damage;
mod duties;
mod faults;
mod kept;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokensocket_protocol::{Channel, RawJson};

use super::{EmbeddedOptions, EmbeddedStore, OpenReport};
use crate::broker::{Broker, Publish};
use crate::delivery::{Acknowledge, Appended, Arrival, Arrived, Device, DeviceStore, Entry, Message, To};
use crate::history::{History, HistoryPage, HistoryQuery};
use crate::node_id::NodeId;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

const TTL: Duration = Duration::from_hours(1);

/// A moment close to now: a store asks the system's clock when it is opened.
fn now() -> Timestamp {
    Timestamp::now()
}

fn open(path: &Path) -> (EmbeddedStore, OpenReport) {
    EmbeddedStore::open(path, options()).unwrap()
}

/// Small tables, so that a test has several.
fn options() -> EmbeddedOptions {
    EmbeddedOptions::new().write_buffer(64 << 10).reserve(0)
}

fn device(user: &str, id: &str) -> Device {
    Device { user: user.into(), id: id.into() }
}

async fn arrive(store: &EmbeddedStore, user: &str, id: &str) -> Result<Arrived, StoreError> {
    let arrival = Arrival { device: device(user, id), rooms: vec!["all".into()], ttl: TTL };
    store.devices().arrive(arrival, now()).await
}

fn message(event: &str, args: &str) -> Message {
    let args = RawJson::from_text(args.to_owned()).unwrap();
    Message { event: event.into(), args, resync: false, key: None }
}

async fn append(store: &EmbeddedStore, to: To, args: &str) -> Result<Appended, StoreError> {
    store.devices().append(to, message("e", args), now()).await
}

async fn entries(store: &EmbeddedStore, user: &str, id: &str) -> Vec<Entry> {
    store.devices().read(device(user, id), 0, usize::MAX, now()).await.unwrap()
}

/// What stands in a device's queue: the place and the arguments of each entry.
async fn queue(store: &EmbeddedStore, user: &str, id: &str) -> Vec<(u64, String)> {
    entries(store, user, id)
        .await
        .into_iter()
        .map(|entry| (entry.seq, entry.message.args.to_string()))
        .collect()
}

async fn acknowledge(store: &EmbeddedStore, user: &str, id: &str, seq: u64) {
    store.devices().acknowledge(device(user, id), Acknowledge::One(seq), now()).await.unwrap();
}

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

fn history() -> History {
    History::new(1000, TTL)
}

fn publication(name: &str, message: &str) -> Publish {
    Publish {
        channel: channel(name),
        message: RawJson::from_text(message.to_owned()).unwrap(),
        history: Some(history()),
        key: None,
        at: now(),
    }
}

async fn page(store: &EmbeddedStore, name: &str, query: HistoryQuery) -> HistoryPage {
    store.broker().history(&channel(name), &history(), query, now()).await.unwrap()
}

/// What a channel keeps: the place and the text of each publication.
async fn published(store: &EmbeddedStore, name: &str) -> Vec<(u64, String)> {
    let page = page(store, name, HistoryQuery::default()).await;
    page.publications.into_iter().map(|kept| (kept.offset, kept.message.to_string())).collect()
}

/// Closes a store and leaves nothing of it open.
fn close(store: EmbeddedStore) {
    store.close();
    drop(store);
}

/// Collects what a node would be given.
#[derive(Default)]
struct Handler(parking_lot::Mutex<Vec<crate::broker::Publication>>);

impl crate::broker::BrokerHandler for Handler {
    fn handle_publication(&self, publication: &crate::broker::Publication) {
        self.0.lock().push(publication.clone());
    }

    fn handle_broadcast(&self, _: &RawJson) {}

    fn handle_control(&self, _: crate::broker::Control) {}
}

impl Handler {
    fn of(store: &EmbeddedStore) -> Arc<Self> {
        let handler = Arc::new(Self::default());
        let weak: std::sync::Weak<Self> = Arc::downgrade(&handler);
        store.broker().start(NodeId::from_number(1), weak).unwrap();
        handler
    }

    fn offsets(&self) -> Vec<u64> {
        self.0.lock().iter().filter_map(|publication| Some(publication.position.as_ref()?.offset)).collect()
    }
}
