//! The database: fjall, with a keyspace for entries that stand together with their messages, which come and go in
//! the order of time, and one for all other records.
//!
//! In: batches of writes. Out: that they are kept, and what was kept. Knows keys and values, not what they mean.
//! Every error of the engine, and every panic of it while it reads damaged files, ends here.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fjall::config::FilterPolicy;
use fjall::{Database as Fjall, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::options::{Durability, EmbeddedOptions};
use super::record::{self, Write};
use crate::store::StoreError;

/// The keyspaces' names, in the order in which they are made.
const NAMES: [&str; 2] = ["records", "lone"];
/// A batch of the database is no larger than this, as far as operations allow.
pub(super) const BATCH: usize = 8 << 20;

/// An open database.
pub(super) struct Database {
    /// Dropped before the engine.
    keyspaces: Keyspaces,
    engine: Fjall,
    mode: PersistMode,
    /// Counts the writes.
    number: u64,
}

/// Where the records are.
#[derive(Clone)]
pub(super) struct Keyspaces {
    records: Keyspace,
    lone: Keyspace,
}

impl Keyspaces {
    fn of(&self, key: &[u8]) -> &Keyspace {
        if key.first() == Some(&record::LONE_ENTRY) { &self.lone } else { &self.records }
    }

    /// The value at a key, by whichever way it can be read.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let keyspace = self.of(key);
        match guarded(|| keyspace.get(key)) {
            Ok(value) => Ok(value.map(|value| value.to_vec())),
            // What helps to find a key quickly may be what is damaged.
            Err(_) => guarded(|| {
                let found = keyspace.range(key..=key).next().map(fjall::Guard::into_inner).transpose()?;
                Ok(found.map(|(_, value)| value.to_vec()))
            }),
        }
    }
}

/// The number that the engine gives the keyspace of a key.
pub(super) fn keyspace_number(key: &[u8]) -> u64 {
    if key.first() == Some(&record::LONE_ENTRY) { 2 } else { 1 }
}

/// Why the engine did not do something.
#[derive(Debug)]
pub(super) enum Failure {
    /// Its files are not what they should be.
    Damaged(String),
    /// The operating system says no.
    Io(io::Error),
    /// It wants to be opened again.
    Poisoned,
}

impl From<fjall::Error> for Failure {
    fn from(error: fjall::Error) -> Self {
        let text = format!("{error:?}");
        match error {
            fjall::Error::Poisoned => Self::Poisoned,
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))
                if is_of_the_system(&error) =>
            {
                Self::Io(error)
            }
            _ => Self::Damaged(text),
        }
    }
}

/// Whether it is the disk, the rights or the limits of the process, and not what stands in a file.
pub(super) fn is_of_the_system(error: &io::Error) -> bool {
    match error.kind() {
        ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::PermissionDenied
        | ErrorKind::ResourceBusy
        | ErrorKind::OutOfMemory
        | ErrorKind::Interrupted
        | ErrorKind::TimedOut => true,
        // EIO, EMFILE, ENFILE
        _ => matches!(error.raw_os_error(), Some(5 | 23 | 24)),
    }
}

/// What a sender is told of an error of the operating system.
pub(super) fn store_error(error: &io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::DiskFull,
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            StoreError::ReadOnly(error.to_string())
        }
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// Runs what may stumble over damaged files.
fn guarded<T>(run: impl FnOnce() -> Result<T, fjall::Error>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done.map_err(Failure::from),
        Err(_) => Err(Failure::Damaged("the engine stumbled over a file".to_owned())),
    }
}

/// What a scan gives for each record: its key and its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// A part of the keys that could not be read: behind the one key and before the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) from: Option<Vec<u8>>,
    pub(super) to: Option<Vec<u8>>,
}

impl Gap {
    /// Whether a key lies in it.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.from.as_deref().is_none_or(|from| key > from) && self.to.as_deref().is_none_or(|to| key < to)
    }
}

impl Database {
    /// Opens or makes the database in a folder.
    pub(super) fn open(folder: &Path, options: &EmbeddedOptions) -> Result<Self, Failure> {
        let (engine, keyspaces) = guarded(|| {
            let engine = Fjall::builder(folder)
                .cache_size(options.cache)
                .worker_threads(1)
                .max_journaling_size((4 * options.write_buffer).max(64 << 20))
                .open()?;
            // What is looked for is there, as a rule.
            let settings = || {
                KeyspaceCreateOptions::default()
                    .max_memtable_size(options.write_buffer)
                    .filter_policy(FilterPolicy::disabled())
            };
            let [records, lone] = NAMES.map(|name| engine.keyspace(name, settings));
            let keyspaces = Keyspaces { records: records?, lone: lone? };
            Ok((engine, keyspaces))
        })?;
        let mode = match options.durability {
            Durability::Synced => PersistMode::SyncData,
            Durability::Written => PersistMode::Buffer,
        };
        Ok(Self { keyspaces, engine, mode, number: 0 })
    }

    /// Goes on counting writes behind this one.
    pub(super) fn count_from(&mut self, number: u64) {
        self.number = self.number.max(number);
    }

    /// What reads values besides the writer.
    pub(super) fn keyspaces(&self) -> Keyspaces {
        self.keyspaces.clone()
    }

    /// Keeps writes, in few batches, each of them whole or not at all.
    pub(super) fn write(&mut self, writes: &mut [Write]) -> Result<(), Failure> {
        let mut rest = writes;
        while !rest.is_empty() {
            let mut bytes = 0;
            let end = rest.iter().position(|write| {
                bytes += write.bytes();
                bytes > BATCH
            });
            let end = end.unwrap_or(rest.len()).max(1);
            let (now, later) = std::mem::take(&mut rest).split_at_mut(end);
            self.write_batch(now)?;
            rest = later;
        }
        Ok(())
    }

    fn write_batch(&mut self, writes: &mut [Write]) -> Result<(), Failure> {
        // Within a batch the engine does not tell an earlier write of a key from a later one.
        let mut seen: HashSet<&[u8]> = HashSet::with_capacity(writes.len());
        let mut batch = self.engine.batch().durability(Some(self.mode));
        for Write { key, value } in writes.iter_mut().rev() {
            if !seen.insert(key) {
                continue;
            }
            match value {
                Some(value) => {
                    self.number += 1;
                    record::seal(self.number, value);
                    batch.insert(self.keyspaces.of(key), &**key, &**value);
                }
                None => batch.remove(self.keyspaces.of(key), &**key),
            }
        }
        guarded(|| batch.commit())
    }

    /// Puts values as they are, sealed already.
    pub(super) fn put_all(&mut self, pairs: &[Pair]) -> Result<(), Failure> {
        let mut batch = self.engine.batch().durability(Some(PersistMode::Buffer));
        for (key, value) in pairs {
            batch.insert(self.keyspaces.of(key), &**key, &**value);
        }
        guarded(|| batch.commit())
    }

    /// Makes sure that all is on the disk.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        guarded(|| self.engine.persist(PersistMode::SyncAll))
    }

    /// Gives every record that can be read to `each`, in the order of their keys; returns what cannot be read.
    pub(super) fn scan(
        &self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Failure>,
    ) -> Result<Vec<Gap>, Failure> {
        let border = Some(vec![record::LONE_ENTRY]);
        let Keyspaces { records, lone } = &self.keyspaces;
        let mut gaps = Vec::new();
        for (keyspace, first, end) in [(records, None, &border), (lone, border.clone(), &None)] {
            let mut from = Bound::Unbounded;
            let mut last = first;
            loop {
                match scan_from(keyspace, from, &mut last, &mut each) {
                    Ok(()) => break,
                    Err(Failure::Damaged(_)) => {
                        let to = next_readable(keyspace, last.as_deref().unwrap_or_default());
                        gaps.push(Gap { from: last.clone(), to: to.clone().or_else(|| end.clone()) });
                        let Some(to) = to else { break };
                        from = Bound::Included(to.clone());
                        last = Some(to);
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(gaps)
    }
}

fn scan_from(
    keyspace: &Keyspace,
    from: Bound<Vec<u8>>,
    last: &mut Option<Vec<u8>>,
    each: &mut impl FnMut(&[u8], &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut records = guarded(|| Ok(keyspace.range::<Vec<u8>, _>((from, Bound::Unbounded))))?;
    while let Some((key, value)) = guarded(|| records.next().map(fjall::Guard::into_inner).transpose())? {
        each(&key, &value)?;
        *last = Some(key.to_vec());
    }
    Ok(())
}

/// The first key behind `last` from where on it can be read again.
fn next_readable(keyspace: &Keyspace, last: &[u8]) -> Option<Vec<u8>> {
    // `None`: not readable. `Some(None)`: nothing is there.
    let first_from = |key: &[u8]| -> Option<Option<Vec<u8>>> {
        guarded(|| {
            let mut records = keyspace.range::<&[u8], _>(key..);
            Ok(records.next().map(fjall::Guard::into_inner).transpose()?.map(|(key, _)| key.to_vec()))
        })
        .ok()
    };
    // Ever larger steps until one leads behind what is damaged; then halves between the last two.
    let mut low = [last, &[0]].concat();
    low.resize(low.len().max(24), 0);
    let mut high = None;
    for at in (0..low.len()).rev() {
        let mut next = low[..=at].to_vec();
        if next[at] == u8::MAX {
            continue;
        }
        next[at] += 1;
        next.resize(low.len(), 0);
        if first_from(&next).is_some() {
            high = Some(next);
            break;
        }
        low = next;
    }
    let mut high = high?;
    while let Some(middle) = halfway(&low, &high) {
        if first_from(&middle).is_some() { high = middle } else { low = middle }
    }
    first_from(&high)?
}

/// The number between two, both as many bytes; `None` when they are neighbours.
fn halfway(low: &[u8], high: &[u8]) -> Option<Vec<u8>> {
    let mut sum: Vec<u8> = Vec::with_capacity(low.len());
    let mut carry = 0;
    for (a, b) in low.iter().zip(high).rev() {
        let digits = u16::from(*a) + u16::from(*b) + carry;
        sum.push(u8::try_from(digits & 0xff).unwrap_or_default());
        carry = digits >> 8;
    }
    let mut middle = Vec::with_capacity(sum.len());
    for digits in sum.into_iter().rev() {
        let number = carry << 8 | u16::from(digits);
        middle.push(u8::try_from(number / 2).unwrap_or_default());
        carry = number % 2;
    }
    (middle != low).then_some(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_between_two_numbers() {
        assert_eq!(halfway(&[0, 0], &[1, 0]), Some(vec![0, 128]));
        assert_eq!(halfway(&[255, 0], &[255, 255]), Some(vec![255, 127]));
        assert_eq!(halfway(&[3, 7], &[3, 8]), None);
    }
}
