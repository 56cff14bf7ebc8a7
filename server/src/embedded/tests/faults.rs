//! Disks that are full, that cannot be written, or that take their time.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::time::timeout;

use super::*;
use crate::broker::BrokerError;
use crate::delivery::ResyncReason;
use crate::embedded::contents::Contents;
use crate::embedded::disk::{Disk, Fetch};
use crate::embedded::record::{self, Write};
use crate::embedded::report::Damage;

const SOON: Duration = Duration::from_secs(10);

/// A disk whose faults are set from outside.
#[derive(Clone, Default)]
struct FakeDisk(Arc<Fake>);

#[derive(Default)]
struct Fake {
    state: Mutex<FakeState>,
    change: Condvar,
}

#[derive(Default)]
struct FakeState {
    kept: BTreeMap<Vec<u8>, Vec<u8>>,
    fails: Option<StoreError>,
    is_full: bool,
    is_stuck: bool,
    /// How many writes were begun.
    begun: usize,
}

impl FakeDisk {
    fn set(&self, change: impl FnOnce(&mut FakeState)) {
        change(&mut self.0.state.lock());
        self.0.change.notify_all();
    }

    /// A store on this disk.
    fn open(&self, options: &EmbeddedOptions) -> EmbeddedStore {
        let (contents, _) = self.clone().reopen().unwrap();
        EmbeddedStore::build(self.clone(), Arc::new(self.clone()), contents, options)
            .unwrap_or_else(|_| panic!("it could not be built"))
            .0
    }

    /// Waits until the writer has begun another write.
    async fn until_begun(&self, writes: usize) {
        let disk = self.clone();
        let wait = tokio::task::spawn_blocking(move || {
            let mut state = disk.0.state.lock();
            while state.begun < writes {
                disk.0.change.wait(&mut state);
            }
        });
        timeout(SOON, wait).await.unwrap().unwrap();
    }
}

impl Disk for FakeDisk {
    fn write(&mut self, writes: &mut [Write]) -> Result<(), StoreError> {
        let mut state = self.0.state.lock();
        state.begun += 1;
        self.0.change.notify_all();
        while state.is_stuck {
            self.0.change.wait(&mut state);
        }
        if let Some(error) = &state.fails {
            return Err(error.clone());
        }
        for Write { key, value } in writes {
            match value {
                Some(value) => {
                    record::seal(1, value);
                    state.kept.insert(key.clone(), value.clone())
                }
                None => state.kept.remove(key),
            };
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(Contents, Vec<Damage>), StoreError> {
        let state = self.0.state.lock();
        if let Some(error) = &state.fails {
            return Err(error.clone());
        }
        let mut contents = Contents::default();
        for (key, value) in &state.kept {
            contents.take(key, value);
        }
        Ok((contents, Vec::new()))
    }

    fn has_room(&self) -> bool {
        !self.0.state.lock().is_full
    }
}

impl Fetch for FakeDisk {
    fn args(&self, key: &[u8]) -> Result<Option<RawJson>, StoreError> {
        let state = self.0.state.lock();
        Ok(state.kept.get(key).and_then(|value| record::read_args(value)))
    }
}

/// Tries until it is accepted again.
async fn eventually<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(
    mut try_it: impl FnMut() -> F,
) -> T {
    let begun = Instant::now();
    loop {
        match try_it().await {
            Ok(done) => return done,
            Err(error) if begun.elapsed() > SOON => panic!("still {error:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_messages_and_takes_acknowledgements() {
    let disk = FakeDisk::default();
    let store = disk.open(&EmbeddedOptions::new());
    arrive(&store, "ann", "phone").await.unwrap();
    append(&store, To::everyone(), "[1]").await.unwrap();
    disk.set(|state| state.is_full = true);
    let refused = async {
        loop {
            match append(&store, To::everyone(), "[2]").await {
                Err(error) => return error,
                Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    assert_eq!(timeout(SOON, refused).await.unwrap(), StoreError::DiskFull);
    let history = store.broker().publish(publication("news", "1")).await;
    assert!(matches!(history, Err(BrokerError::Store(StoreError::DiskFull))), "{history:?}");
    arrive(&store, "ann", "phone").await.unwrap();
    let before = queue(&store, "ann", "phone").await.len();
    acknowledge(&store, "ann", "phone", 1).await;
    assert_eq!(queue(&store, "ann", "phone").await.len(), before - 1);
    disk.set(|state| state.is_full = false);
    eventually(|| append(&store, To::everyone(), "[3]")).await;
}

#[tokio::test]
async fn what_a_disk_refuses_did_not_happen() {
    let disk = FakeDisk::default();
    let store = disk.open(&EmbeddedOptions::new());
    let handler = Handler::of(&store);
    // Without a time to live, it is there only because it is connected.
    let arrival = Arrival { device: device("ann", "tab"), rooms: vec![], ttl: Duration::ZERO };
    let arrived = store.devices().arrive(arrival, now()).await.unwrap();
    append(&store, To::everyone(), "[1]").await.unwrap();
    store.broker().publish(publication("news", "1")).await.unwrap();

    let error = StoreError::ReadOnly("mounted so".to_owned());
    disk.set(|state| state.fails = Some(error.clone()));
    assert_eq!(append(&store, To::everyone(), "[2]").await.unwrap_err(), error);
    assert_eq!(append(&store, To::everyone(), "[3]").await.unwrap_err(), error, "still");
    assert!(store.broker().publish(publication("news", "2")).await.is_err());
    assert!(arrive(&store, "bob", "phone").await.is_err());
    assert!(store.devices().depart(device("ann", "tab"), now()).await.is_err());
    // What needs no disk goes on.
    let unkept = Publish { history: None, ..publication("chat", "\"hi\"") };
    store.broker().publish(unkept).await.unwrap();

    disk.set(|state| state.fails = None);
    let appended = eventually(|| append(&store, To::everyone(), "[4]")).await;
    assert_eq!(appended.queued, [(device("ann", "tab"), crate::delivery::Queued::At(2))], "bob never came");
    assert_eq!(queue(&store, "ann", "tab").await, [(1, "[1]".to_owned()), (2, "[4]".to_owned())]);
    let published = store.broker().publish(publication("news", "4")).await.unwrap();
    assert_eq!(published.position.unwrap().offset, 2);
    assert_eq!(handler.offsets(), [1, 2]);
    assert_eq!(arrive(&store, "ann", "tab").await.unwrap().epoch, arrived.epoch);
}

#[tokio::test]
async fn all_that_waits_fails_together() {
    let disk = FakeDisk::default();
    let store = disk.open(&EmbeddedOptions::new());
    arrive(&store, "ann", "phone").await.unwrap();
    let begun = disk.0.state.lock().begun;
    disk.set(|state| state.is_stuck = true);
    let mut waiting: Vec<_> = vec![store.devices().append(To::everyone(), message("e", "[0]"), now())];
    disk.until_begun(begun + 1).await;
    waiting.extend((1..10).map(|_| store.devices().append(To::everyone(), message("e", "[1]"), now())));
    disk.set(|state| {
        state.fails = Some(StoreError::DiskFull);
        state.is_stuck = false;
    });
    for outcome in futures_util::future::join_all(waiting).await {
        assert_eq!(outcome.unwrap_err(), StoreError::DiskFull);
    }
    disk.set(|state| state.fails = None);
    eventually(|| append(&store, To::everyone(), "[2]")).await;
    assert_eq!(queue(&store, "ann", "phone").await, [(1, "[2]".to_owned())]);
}

#[tokio::test]
async fn a_slow_disk_refuses_more_than_may_wait() {
    let disk = FakeDisk::default();
    let store = disk.open(&EmbeddedOptions::new().max_pending(5));
    arrive(&store, "ann", "phone").await.unwrap();
    disk.set(|state| state.is_stuck = true);
    let waiting: Vec<_> =
        (0..5).map(|_| store.devices().append(To::everyone(), message("e", "[1]"), now())).collect();
    assert_eq!(append(&store, To::everyone(), "[2]").await.unwrap_err(), StoreError::Overloaded);
    let unkept = Publish { history: None, ..publication("chat", "\"hi\"") };
    store.broker().publish(unkept).await.unwrap();
    disk.set(|state| state.is_stuck = false);
    futures_util::future::try_join_all(waiting).await.unwrap();
    assert_eq!(queue(&store, "ann", "phone").await.len(), 5);
}

#[tokio::test]
async fn nothing_is_read_that_is_not_kept() {
    let disk = FakeDisk::default();
    let store = disk.open(&EmbeddedOptions::new());
    arrive(&store, "ann", "phone").await.unwrap();
    disk.set(|state| state.is_stuck = true);
    drop(store.devices().append(To::everyone(), message("e", "[1]"), now()));
    drop(store.broker().publish(publication("news", "1")));
    let (entries, kept) = (entries(&store, "ann", "phone"), published(&store, "news"));
    tokio::pin!(entries, kept);
    assert!(futures_util::poll!(&mut entries).is_pending());
    assert!(futures_util::poll!(&mut kept).is_pending());
    disk.set(|state| state.is_stuck = false);
    assert_eq!(entries.await.len(), 1);
    assert_eq!(kept.await.len(), 1);
}

#[tokio::test]
async fn nothing_is_read_that_the_disk_refuses() {
    let disk = FakeDisk::default();
    let store = disk.open(&EmbeddedOptions::new());
    let broker = store.broker();
    broker.publish(publication("news", "1")).await.unwrap();
    for _ in 0..20 {
        let begun = disk.0.state.lock().begun;
        disk.set(|state| state.is_stuck = true);
        let publishing = tokio::spawn({
            let broker = broker.clone();
            async move { broker.publish(publication("news", "2")).await }
        });
        disk.until_begun(begun + 1).await;
        disk.set(|state| {
            state.fails = Some(StoreError::DiskFull);
            state.is_stuck = false;
        });
        // Asked all the time while it fails, and until it has.
        let reading = async {
            loop {
                let query = HistoryQuery::default();
                match broker.history(&channel("news"), &history(), query, now()).await {
                    Ok(page) => assert_eq!(page.position.offset, 1),
                    Err(_) => break,
                }
            }
        };
        timeout(SOON, reading).await.unwrap();
        assert!(publishing.await.unwrap().is_err());
        disk.set(|state| state.fails = None);
        let (query, kept) = (HistoryQuery::default, history());
        let page = eventually(|| broker.history(&channel("news"), &kept, query(), now())).await;
        assert_eq!(page.position.offset, 1);
    }
}

#[tokio::test]
async fn who_lost_an_entry_while_it_reads_is_told() {
    let disk = FakeDisk::default();
    let store = disk.open(&EmbeddedOptions::new());
    arrive(&store, "ann", "phone").await.unwrap();
    append(&store, To::everyone(), "[1]").await.unwrap();
    append(&store, To::everyone(), "[2]").await.unwrap();
    disk.set(|state| {
        let is_first = |value: &Vec<u8>| record::read_args(value).is_some_and(|args| args.as_str() == "[1]");
        state.kept.retain(|_, value| !is_first(value));
    });
    assert_eq!(queue(&store, "ann", "phone").await, [(2, "[2]".to_owned())]);
    let expired = store.devices().expire(now()).await.unwrap();
    let [(whom, resync)] = &expired.resyncs[..] else { panic!("{expired:?}") };
    assert_eq!((whom, resync.reason), (&device("ann", "phone"), ResyncReason::Lost));
    assert!(store.devices().expire(now()).await.unwrap().resyncs.is_empty(), "once");
}

#[tokio::test]
async fn closing_writes_what_waits() {
    let disk = FakeDisk::default();
    let store = disk.open(&EmbeddedOptions::new());
    arrive(&store, "ann", "phone").await.unwrap();
    let waiting: Vec<_> =
        (0..100).map(|_| store.devices().append(To::everyone(), message("e", "[1]"), now())).collect();
    store.close();
    futures_util::future::try_join_all(waiting).await.unwrap();
    assert_eq!(append(&store, To::everyone(), "[2]").await.unwrap_err(), StoreError::Closed);
}

/// A file system of its own and so many bytes, if this process may make one.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={bytes}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("skipped: this process may not mount");
        }
        is_mounted.then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let done = Command::new("mount").args(["-o", &options]).arg(self.path()).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_loses_nothing_and_is_used_again() {
    let Some(mount) = Mount::new(12 << 20) else { return };
    let ballast = mount.path().join("ballast");
    std::fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    let (store, _) = open(&mount.path().join("data"));
    arrive(&store, "ann", "phone").await.unwrap();
    let padding = format!("[\"{}\"]", "x".repeat(40_000));
    let mut accepted = Vec::new();
    let error = loop {
        let device = format!("device{}", accepted.len());
        arrive(&store, "bob", &device).await.ok();
        match append(&store, To::users(["ann"]), &padding).await {
            Ok(appended) if accepted.len() < 400 => accepted.extend(appended.queued),
            Ok(_) => panic!("the disk never filled up"),
            Err(error) => break error,
        }
        // Each device's queue holds a megabyte: the newest is what counts here.
        if accepted.len() % 20 == 19 {
            acknowledge_all(&store).await;
        }
    };
    assert_eq!(error, StoreError::DiskFull);
    std::fs::remove_file(&ballast).unwrap();
    eventually(|| append(&store, To::users(["ann"]), "[\"again\"]")).await;
    let before = queue(&store, "ann", "phone").await;
    assert_eq!(before.last().unwrap().1, "[\"again\"]");
    close(store);
    let (store, report) = open(&mount.path().join("data"));
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(queue(&store, "ann", "phone").await, before);
}

async fn acknowledge_all(store: &EmbeddedStore) {
    let through = Acknowledge::Through(u64::MAX >> 1);
    let _ = store.devices().acknowledge(device("ann", "phone"), through, now()).await;
}

#[tokio::test]
async fn a_disk_that_becomes_read_only_is_told_and_used_again() {
    let Some(mount) = Mount::new(64 << 20) else { return };
    let path = mount.path().join("data");
    let (store, _) = open(&path);
    arrive(&store, "ann", "phone").await.unwrap();
    append(&store, To::everyone(), "[1]").await.unwrap();
    close(store);
    mount.remount("ro");
    let refused = EmbeddedStore::open(&path, options()).unwrap_err();
    assert!(refused.to_string().contains("Read-only"), "{refused}");
    mount.remount("rw");
    let (store, report) = open(&path);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(queue(&store, "ann", "phone").await.len(), 1);
}
