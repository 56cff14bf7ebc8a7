//! What was accepted comes back.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::broker::Key;
use crate::delivery::QueueLimits;
use crate::embedded::Durability;

#[tokio::test]
async fn queues_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (store, report) = open(folder.path());
    assert!(report.is_whole());
    let arrived = arrive(&store, "ann", "phone").await.unwrap();
    arrive(&store, "bob", "phone").await.unwrap();
    append(&store, To::user("ann"), "[1]").await.unwrap();
    append(&store, To::everyone(), "[2]").await.unwrap();
    append(&store, To::room("all"), "[3]").await.unwrap();
    acknowledge(&store, "ann", "phone", 1).await;
    close(store);

    let (store, report) = open(folder.path());
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.devices, report.entries), (2, 4));
    let both = [(2, "[2]".to_owned()), (3, "[3]".to_owned())];
    assert_eq!(queue(&store, "ann", "phone").await, both);
    let again = arrive(&store, "ann", "phone").await.unwrap();
    assert_eq!((again.epoch, again.resumed, again.last), (arrived.epoch, true, 3));
    assert!(again.resyncs.is_empty());
    append(&store, To::user("ann"), "[4]").await.unwrap();
    assert_eq!(queue(&store, "ann", "phone").await.last(), Some(&(4, "[4]".to_owned())));
    assert_eq!(queue(&store, "bob", "phone").await.len(), 2);
}

#[tokio::test]
async fn histories_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let _handler = Handler::of(&store);
    let epoch = page(&store, "empty", HistoryQuery::default()).await.position.epoch;
    for n in 1..=5 {
        let published = store.broker().publish(publication("news", &n.to_string())).await.unwrap();
        assert_eq!(published.position.unwrap().offset, n);
    }
    let before = page(&store, "news", HistoryQuery::default()).await.position;
    close(store);

    let (store, report) = open(folder.path());
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.channels, report.publications), (2, 5));
    assert_eq!(page(&store, "news", HistoryQuery::default()).await.position, before);
    assert_eq!(published(&store, "news").await.len(), 5);
    assert_eq!(page(&store, "empty", HistoryQuery::default()).await.position.epoch, epoch);
    let next = store.broker().publish(publication("news", "6")).await.unwrap();
    assert_eq!(next.position.unwrap().offset, 6);
}

#[tokio::test]
async fn an_emptied_history_goes_on_counting() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    for _ in 0..3 {
        store.broker().publish(publication("news", "1")).await.unwrap();
    }
    store.broker().expire(now().after(TTL + Duration::from_secs(1)));
    let position = page(&store, "news", HistoryQuery::default()).await.position;
    assert_eq!(published(&store, "news").await, []);
    close(store);
    let (store, report) = open(folder.path());
    assert_eq!(report.publications, 0);
    assert_eq!(page(&store, "news", HistoryQuery::default()).await.position, position);
    assert_eq!(position.offset, 3);
}

#[tokio::test]
async fn keys_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let _handler = Handler::of(&store);
    arrive(&store, "ann", "phone").await.unwrap();
    let keyed = || Message { key: Some("k".into()), ..message("e", "[1]") };
    let window = Duration::from_mins(5);
    let publish = || Publish { key: Some(Key { text: "k".into(), window }), ..publication("news", "1") };
    assert!(!store.devices().append(To::everyone(), keyed(), now()).await.unwrap().duplicate);
    let first = store.broker().publish(publish()).await.unwrap();
    close(store);
    let (store, _) = open(folder.path());
    assert!(store.devices().append(To::everyone(), keyed(), now()).await.unwrap().duplicate);
    let again = store.broker().publish(publish()).await.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.position, first.position);
    assert_eq!(queue(&store, "ann", "phone").await.len(), 1);
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let _handler = Handler::of(&store);
    arrive(&store, "ann", "phone").await.unwrap();
    for n in 0..300 {
        append(&store, To::user("ann"), &format!("[{n}]")).await.unwrap();
        store.broker().publish(publication("news", &n.to_string())).await.unwrap();
    }
    // What the disk has while the store is still open is what a killed process leaves.
    let killed = tempfile::tempdir().unwrap();
    copy(folder.path(), killed.path());
    let (store, report) = open(killed.path());
    assert!(report.is_whole(), "{report:?}");
    let expected: Vec<_> = (0..300).map(|n| (n + 1, format!("[{n}]"))).collect();
    assert_eq!(queue(&store, "ann", "phone").await, expected);
    assert_eq!(published(&store, "news").await.len(), 300);
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let refused = EmbeddedStore::open(folder.path(), options());
    assert!(matches!(refused, Err(super::super::EmbeddedError::InUse(_))), "{refused:?}");
    close(store);
    assert!(EmbeddedStore::open(folder.path(), options()).is_ok());
}

#[tokio::test]
async fn many_callers_at_once_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let handler = Handler::of(&store);
    arrive(&store, "ann", "phone").await.unwrap();
    let mut waiting = Vec::new();
    for n in 0..500 {
        // Called in this order, resolved in whatever.
        waiting.push(store.devices().append(To::user("ann"), message("e", &format!("[{n}]")), now()));
    }
    futures_util::future::try_join_all(waiting).await.unwrap();
    let expected: Vec<_> = (0..500).map(|n| (n + 1, format!("[{n}]"))).collect();
    assert_eq!(queue(&store, "ann", "phone").await, expected);

    let broker = store.broker();
    let publishing = (0..500).map(|n| broker.publish(publication("news", &n.to_string())));
    futures_util::future::try_join_all(publishing).await.unwrap();
    assert_eq!(handler.offsets(), (1..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_publication_is_kept_before_anybody_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let handler = Handler::of(&store);
    let broker = store.broker();
    // Begun and given up: it was called, so it is done.
    drop(broker.publish(publication("news", "1")));
    let position = page(&store, "news", HistoryQuery::default()).await.position;
    assert_eq!(position.offset, 1);
    broker.publish(publication("news", "2")).await.unwrap();
    assert_eq!(handler.offsets(), [1, 2]);
}

#[tokio::test]
async fn what_was_only_written_is_doubted_when_the_machine_has_stopped() {
    let written = || options().durability(Durability::Written);
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = EmbeddedStore::open(folder.path(), written()).unwrap();
    let epoch = arrive(&store, "ann", "phone").await.unwrap().epoch;
    append(&store, To::everyone(), "[1]").await.unwrap();
    let (killed, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy(folder.path(), killed.path());
    copy(folder.path(), stopped.path());
    close(store);

    for (path, what) in [(folder.path(), "closed"), (killed.path(), "killed")] {
        let (store, report) = EmbeddedStore::open(path, written()).unwrap();
        assert!(report.is_whole(), "{what}: {report:?}");
        assert_eq!(arrive(&store, "ann", "phone").await.unwrap().epoch, epoch, "{what}");
    }
    std::fs::write(stopped.path().join("unsynced"), "another boot").unwrap();
    let (store, report) = open(stopped.path());
    assert!(report.lost.unknown && report.damage.len() == 1, "{report:?}");
    assert_eq!(queue(&store, "ann", "phone").await.len(), 1);
    assert_ne!(arrive(&store, "ann", "phone").await.unwrap().epoch, epoch);
    close(store);
    let (_, report) = open(stopped.path());
    assert!(report.is_whole(), "it is told once: {report:?}");
}

#[tokio::test]
async fn long_names_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let user: Arc<str> = "ü".repeat(40_000).into();
    arrive(&store, &user, "phone").await.unwrap();
    append(&store, To::user(Arc::clone(&user)), "[1]").await.unwrap();
    close(store);
    let (store, report) = open(folder.path());
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(queue(&store, &user, "phone").await, [(1, "[1]".to_owned())]);
}

#[tokio::test]
async fn what_expired_or_overflowed_is_gone_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let limits = QueueLimits { count: 3, ..QueueLimits::default() };
    let (store, _) = EmbeddedStore::open(folder.path(), options().queues(limits.clone())).unwrap();
    arrive(&store, "ann", "phone").await.unwrap();
    for n in 0..4 {
        append(&store, To::user("ann"), &format!("[{n}]")).await.unwrap();
    }
    close(store);
    let (store, report) = EmbeddedStore::open(folder.path(), options().queues(limits)).unwrap();
    assert_eq!(report.entries, 0);
    let arrived = arrive(&store, "ann", "phone").await.unwrap();
    assert_eq!(arrived.resyncs.len(), 1);
    assert_eq!(arrived.last, 3);
}

/// How many bytes of a file were written.
pub(super) fn used(bytes: &[u8]) -> usize {
    let (head, tail) = bytes.as_chunks::<4096>();
    let whole = head.iter().rposition(|chunk| *chunk != [0; 4096]).map_or(0, |last| last + 1);
    let end = if tail.iter().any(|&byte| byte != 0) { bytes.len() } else { whole * 4096 };
    bytes[..end].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// Copies a folder with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            // Behind what was written, a journal has room for a lot more.
            let mut bytes = std::fs::read(entry.path()).unwrap();
            bytes.truncate(used(&bytes) + 4096);
            std::fs::write(target, bytes).unwrap();
        }
    }
}
