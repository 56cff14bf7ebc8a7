//! Damaged files: found, reported, and the rest is kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::kept::{copy, used};
use super::*;
use crate::delivery::ResyncReason;
use crate::embedded::Durability;
use crate::embedded::disk::DatabaseDisk;

const DEVICES: u64 = 8;
const CHANNELS: u64 = 4;

/// What a store was given, and still owes.
struct Owed {
    epochs: BTreeMap<u64, tokensocket_protocol::Epoch>,
    /// By device: seq and arguments of what was not acknowledged.
    entries: BTreeMap<u64, Vec<(u64, String)>>,
    last: BTreeMap<u64, u64>,
    positions: BTreeMap<u64, tokensocket_protocol::Position>,
    publications: BTreeMap<u64, Vec<(u64, String)>>,
}

fn user(device: u64) -> String {
    format!("user{device}")
}

fn name(channel: u64) -> String {
    format!("channel{channel}")
}

/// Fills a store, part of which is in tables and part in a journal, and leaves it in `folder` as a killed process would.
async fn fill(folder: &Path) -> Owed {
    let original = tempfile::tempdir().unwrap();
    let (store, _) = open(original.path());
    let _handler = Handler::of(&store);
    let mut owed = Owed {
        epochs: BTreeMap::new(),
        entries: BTreeMap::new(),
        last: BTreeMap::new(),
        positions: BTreeMap::new(),
        publications: BTreeMap::new(),
    };
    for device in 0..DEVICES {
        owed.epochs.insert(device, arrive(&store, &user(device), "phone").await.unwrap().epoch);
    }
    let padding = "x".repeat(200);
    for n in 0..120_u64 {
        for device in 0..DEVICES {
            let args = format!("[{n},{device},\"{padding}\"]");
            append(&store, To::user(user(device)), &args).await.unwrap();
            owed.entries.entry(device).or_default().push((n + 1, args));
            owed.last.insert(device, n + 1);
            if n % 3 == 0 {
                acknowledge(&store, &user(device), "phone", n + 1).await;
                owed.entries.entry(device).or_default().pop();
            }
        }
        for channel in 0..CHANNELS {
            let text = format!("{{\"n\":{n},\"c\":{channel},\"p\":\"{padding}\"}}");
            let published = store.broker().publish(publication(&name(channel), &text)).await.unwrap();
            owed.positions.insert(channel, published.position.unwrap());
            owed.publications.entry(channel).or_default().push((n + 1, text));
        }
    }
    append(&store, To::everyone(), "[\"all\"]").await.unwrap();
    for device in 0..DEVICES {
        let seq = owed.last[&device] + 1;
        owed.last.insert(device, seq);
        owed.entries.entry(device).or_default().push((seq, "[\"all\"]".to_owned()));
    }
    copy(original.path(), folder);
    close(store);
    owed
}

/// Opens a damaged copy and checks that nothing is missing in silence. Returns how much was kept.
async fn check(folder: &Path, owed: &Owed, what: &str) -> (usize, OpenReport) {
    let (kept, is_missing, report) = look(folder, owed, what).await;
    assert!(!is_missing || !report.is_whole(), "{what}: something is missing, and the report is whole");
    (kept, report)
}

/// The same for one that was opened before, and has said so then.
async fn look(folder: &Path, owed: &Owed, what: &str) -> (usize, bool, OpenReport) {
    let (store, report) =
        EmbeddedStore::open(folder, options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut kept = 0;
    let mut is_missing = false;
    for device in 0..DEVICES {
        let found = queue(&store, &user(device), "phone").await;
        let arrived = arrive(&store, &user(device), "phone").await.unwrap();
        let is_told = arrived.epoch != owed.epochs[&device]
            && (!arrived.resumed
                || arrived
                    .resyncs
                    .iter()
                    .any(|resync| resync.event.is_none() && resync.reason == ResyncReason::Lost));
        assert!(is_told || arrived.epoch == owed.epochs[&device], "{what}: a new epoch without a reason");
        if !is_told {
            assert!(arrived.last >= owed.last[&device], "{what}: device {device} would use a seq again");
        }
        assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{what}: out of order");
        for entry in &owed.entries[&device] {
            let is_there = found.contains(entry);
            kept += usize::from(is_there);
            is_missing |= !is_there;
            assert!(is_there || is_told, "{what}: device {device} misses {} in silence\n{report:?}", entry.0);
        }
    }
    for channel in 0..CHANNELS {
        let position = page(&store, &name(channel), HistoryQuery::default()).await.position;
        let found = published(&store, &name(channel)).await;
        let is_same = position.epoch == owed.positions[&channel].epoch;
        if is_same {
            assert_eq!(position, owed.positions[&channel], "{what}: channel {channel}");
            assert_eq!(found, owed.publications[&channel], "{what}: channel {channel}");
        }
        kept += owed.publications[&channel]
            .iter()
            .filter(|(_, text)| found.iter().any(|(_, other)| other == text))
            .count();
        is_missing |= !is_same;
    }
    close(store);
    (kept, is_missing, report)
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if std::fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
}

#[tokio::test]
async fn any_flipped_bit_is_found_and_the_rest_kept() {
    let original = tempfile::tempdir().unwrap();
    let owed = fill(original.path()).await;
    let (all, report) = {
        let copied = tempfile::tempdir().unwrap();
        copy(original.path(), copied.path());
        check(copied.path(), &owed, "untouched").await
    };
    assert!(report.is_whole(), "{report:?}");
    let mut paths = Vec::new();
    files(original.path(), &mut paths);
    assert!(paths.iter().any(|path| path.to_string_lossy().contains("tables")), "{paths:?}");
    // More by hand: TOKENSOCKET_FLIPS=5000.
    let flips: usize =
        std::env::var("TOKENSOCKET_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below
    };
    let (mut damaged, mut least) = (0, all);
    for flip in 0..flips {
        let path = &paths[flip % paths.len()];
        let mut bytes = std::fs::read(path).unwrap();
        let (at, bit) = (draw(used(&bytes).max(1)), draw(8));
        bytes[at] ^= 1 << bit;
        let copied = tempfile::tempdir().unwrap();
        copy(original.path(), copied.path());
        let name = path.strip_prefix(original.path()).unwrap();
        std::fs::write(copied.path().join(name), bytes).unwrap();
        let what = format!("bit {bit} of byte {at} of {}", name.display());
        let (kept, report) = check(copied.path(), &owed, &what).await;
        damaged += usize::from(!report.is_whole());
        least = least.min(kept);
        assert!(kept + 60 > all, "{what}: only {kept} of {all} kept\n{report:?}");
        // Opened once more it is whole: what was damaged has been put aside.
        let (again, _, second) = look(copied.path(), &owed, &format!("{what}, again")).await;
        assert!(second.is_whole(), "{what}: {second:?}");
        assert_eq!(again, kept, "{what}");
    }
    assert!(damaged > flips / 4, "{damaged} of {flips} were noticed");
    println!("{flips} flips, {damaged} of them damage, at least {least} of {all} kept");
}

#[tokio::test]
async fn damage_that_was_mended_is_told_even_if_the_process_ends_in_between() {
    let original = tempfile::tempdir().unwrap();
    let (store, _) = open(original.path());
    let epoch = arrive(&store, "ann", "phone").await.unwrap().epoch;
    append(&store, To::user("ann"), "[\"lost\"]").await.unwrap();
    append(&store, To::user("ann"), "[2]").await.unwrap();
    for (what, name) in [("a journal", "0.jnl"), ("the list of tables", "keyspaces/1/current")] {
        let copied = tempfile::tempdir().unwrap();
        copy(original.path(), copied.path());
        let file = copied.path().join("records").join(name);
        let mut bytes = std::fs::read(&file).unwrap();
        let at = memchr::memmem::find(&bytes, b"lost").unwrap_or(10);
        bytes[at] ^= 4;
        std::fs::write(&file, bytes).unwrap();
        for durability in [Durability::Written, Durability::Synced] {
            // Mended, and ended before anybody was restored.
            let (disk, contents, damage) =
                DatabaseDisk::open(copied.path(), options().durability(durability)).unwrap();
            assert!(!damage.is_empty(), "{what}");
            drop((disk, contents));
        }
        let (store, report) = open(copied.path());
        assert!(!report.is_whole() && report.lost.devices == 1, "{what}: {report:?}");
        let told = arrive(&store, "ann", "phone").await.unwrap();
        assert_ne!(told.epoch, epoch, "{what}");
        assert_eq!(told.resyncs[0].reason, ResyncReason::Lost, "{what}");
        close(store);
        let (_, report) = open(copied.path());
        assert!(report.is_whole(), "{what}: {report:?}");
    }
    close(store);
}

#[tokio::test]
async fn a_torn_end_is_no_damage() {
    let original = tempfile::tempdir().unwrap();
    let (store, _) = open(original.path());
    arrive(&store, "ann", "phone").await.unwrap();
    for n in 0..20 {
        append(&store, To::user("ann"), &format!("[{n}]")).await.unwrap();
    }
    let before = tempfile::tempdir().unwrap();
    copy(original.path(), before.path());
    append(&store, To::user("ann"), "[20]").await.unwrap();
    let after = tempfile::tempdir().unwrap();
    copy(original.path(), after.path());
    close(store);

    let mut paths = Vec::new();
    files(&after.path().join("records"), &mut paths);
    let journal = paths.iter().find(|path| path.extension().is_some_and(|name| name == "jnl")).unwrap();
    let name = journal.strip_prefix(after.path()).unwrap();
    let (from, whole) =
        (used(&std::fs::read(before.path().join(name)).unwrap()), std::fs::read(journal).unwrap());
    for end in (from + 1..used(&whole)).step_by(7) {
        let copied = tempfile::tempdir().unwrap();
        copy(after.path(), copied.path());
        let mut torn = whole.clone();
        torn[end..].fill(0);
        std::fs::write(copied.path().join(name), &torn).unwrap();
        let (store, report) = open(copied.path());
        assert!(report.is_whole(), "torn at {end}: {report:?}");
        assert_eq!(queue(&store, "ann", "phone").await.len(), 20, "torn at {end}");
        append(&store, To::user("ann"), "[\"again\"]").await.unwrap();
        close(store);
        let (store, _) = open(copied.path());
        assert_eq!(queue(&store, "ann", "phone").await.len(), 21, "torn at {end}");
    }
}

#[tokio::test]
async fn a_lost_entry_concerns_its_device_alone() {
    let original = tempfile::tempdir().unwrap();
    let (store, _) = open(original.path());
    for user in ["ann", "bob"] {
        arrive(&store, user, "phone").await.unwrap();
        append(&store, To::user(user), &format!("[\"{user}'s own\"]")).await.unwrap();
    }
    let copied = tempfile::tempdir().unwrap();
    copy(original.path(), copied.path());
    close(store);
    let mut paths = Vec::new();
    files(&copied.path().join("records"), &mut paths);
    let journal = paths.iter().find(|path| path.extension().is_some_and(|name| name == "jnl")).unwrap();
    let mut bytes = std::fs::read(journal).unwrap();
    let at = memchr::memmem::find(&bytes, b"ann's own").unwrap();
    bytes[at] = b'A';
    std::fs::write(journal, bytes).unwrap();

    let (store, report) = open(copied.path());
    assert_eq!((report.lost.records, report.lost.devices, report.lost.unknown), (1, 1, false), "{report:?}");
    let damage = &report.damage[0];
    assert!(damage.kept_as.as_ref().unwrap().exists(), "{damage:?}");
    assert_eq!(queue(&store, "bob", "phone").await.len(), 1);
    assert!(arrive(&store, "bob", "phone").await.unwrap().resyncs.is_empty());
    assert_eq!(queue(&store, "ann", "phone").await, []);
    let told = arrive(&store, "ann", "phone").await.unwrap();
    assert_eq!(told.resyncs[0].reason, ResyncReason::Lost);
}
