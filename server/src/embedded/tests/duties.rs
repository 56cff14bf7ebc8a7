//! The duties that every broker and every store of device queues has.

use parking_lot::Mutex;

use super::*;
use crate::conformance;
use crate::delivery::QueueLimits;

#[tokio::test(flavor = "multi_thread")]
async fn does_the_duties_of_a_broker() {
    let folders = Mutex::new(Vec::new());
    conformance::broker(|| {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = open(folder.path());
        folders.lock().push(folder);
        store.broker()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn does_the_duties_of_a_device_store() {
    let folders = Mutex::new(Vec::new());
    conformance::devices(async |limits: QueueLimits| {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = EmbeddedStore::open(folder.path(), options().queues(limits)).unwrap();
        folders.lock().push(folder);
        store.devices()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn does_the_duties_of_a_durable_device_store() {
    let folder = tempfile::tempdir().unwrap();
    conformance::devices_kept(async |limits: QueueLimits| {
        EmbeddedStore::open(folder.path(), options().queues(limits)).unwrap().0.devices()
    })
    .await;
}
