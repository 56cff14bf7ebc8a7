//! The database's journals, looked through before the database opens them.
//!
//! In: journal files as a process left them. Out: journals that the database takes, and what was damaged in
//! them. Knows the format of the journals and the marks of our records, nothing of what they mean.
//!
//! The database by itself refuses a journal with a wrong checksum, and cuts one off without a word at a length
//! that makes no sense. Here a damaged batch is taken out; the records in it that are whole are put back, since
//! each has a checksum of its own, and of the others it is said what is known. What a crash left half written at
//! the very end was never confirmed to anybody and is no damage.
//!
//! ```text
//! batch: 1 · items, u32 · seqno, u64      item: 2 · type · compression · keyspace, u64 · lengths u16 u32 u32 · key · value
//!        items                            end:  3 · xxh3 of the items, u64 · "FJL" 3
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::bytes::Parser;
use super::database;
use super::record::{self, Place};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const MAGIC: &[u8] = b"FJL\x03";
/// Tag, count, seqno; and as long: tag, checksum, magic.
const EDGE: usize = 13;
/// An item without its key and value.
const ITEM_HEAD: usize = 21;
/// Seqnos of neighbours are closer than this.
const NEAR: u64 = 1 << 20;
/// What a disk writes as one.
const SECTOR: usize = 512;

/// What was found in one journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Places in the file, in bytes.
    pub(super) damaged: Vec<Range<usize>>,
    /// Records that were damaged, as far as their keys could be read.
    pub(super) lost: Vec<Vec<u8>>,
    /// More may have been lost, and nothing is known of it.
    pub(super) unknown: bool,
}

/// Repairs the journals in the database's folder; a copy of each that was damaged goes to `aside`. `announce` is called
/// before a damaged one is replaced.
pub(super) fn repair(
    database: &Path,
    aside: &Path,
    mut announce: impl FnMut() -> io::Result<()>,
) -> io::Result<Vec<(PathBuf, Findings)>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(database)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| is_journal) {
            files.insert(number, path);
        }
    }
    let mut found = Vec::new();
    let mut before = None;
    for path in files.into_values() {
        let bytes = fs::read(&path)?;
        let Inspected { journal, is_changed, findings } = inspect(&bytes, &mut before);
        if !is_changed {
            continue;
        }
        if findings.damaged.is_empty() {
            trim(&path, &journal)?;
            continue;
        }
        fs::create_dir_all(aside)?;
        fs::copy(&path, aside.join(path.file_name().unwrap_or_default()))?;
        announce()?;
        if let Err(error) = replace(&path, &journal) {
            // It may be what fills the disk.
            let _ = fs::remove_file(path.with_extension("new"));
            return Err(error);
        }
        File::open(database)?.sync_all()?;
        found.push((path, findings));
    }
    Ok(found)
}

/// Cuts a journal off where it is not whole any more, and gives its first batch the right number: in its place, since
/// there may be no room for another one.
fn trim(path: &Path, journal: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    file.write_all(&journal[..journal.len().min(EDGE)])?;
    file.set_len(journal.len() as u64)?;
    file.sync_all()
}

fn replace(path: &Path, journal: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(journal)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// A part of a journal that ends where it should, or does not.
enum Part {
    Whole { range: Range<usize>, seqno: u64 },
    Damaged(Range<usize>),
}

/// A journal without its damage, and the damage.
#[derive(Debug, Default)]
struct Inspected {
    journal: Vec<u8>,
    is_changed: bool,
    findings: Findings,
}

impl Part {
    fn end(&self) -> usize {
        match self {
            Self::Whole { range, .. } | Self::Damaged(range) => range.end,
        }
    }
}

/// Looks through one journal. `before` is the last seqno of the journal before it.
fn inspect(bytes: &[u8], before: &mut Option<u64>) -> Inspected {
    let used = used(bytes);
    let parts = split(bytes, used);
    let Inspected { mut journal, mut is_changed, mut findings } = Inspected::default();
    // What a crash left half written is cut off here: the database stumbles over it at times.
    is_changed |= parts.last().map_or(0, Part::end) < used;
    for (at, part) in parts.iter().enumerate() {
        let after = parts[at + 1..].iter().find_map(|part| match part {
            Part::Whole { seqno, .. } => Some(*seqno),
            Part::Damaged(_) => None,
        });
        let next =
            before.map(|before| before + 1).or(after.map(|after| after.saturating_sub(1))).unwrap_or(1);
        let seqno = match part {
            Part::Whole { range, seqno } => {
                let is_next = before.is_none_or(|before| *seqno > before && *seqno - before < NEAR);
                let is_before = after.is_none_or(|after| *seqno < after && after - *seqno < NEAR);
                let fits_without = match (*before, after) {
                    (Some(before), Some(after)) => before < after,
                    _ => true,
                };
                // No checksum covers a batch's own seqno. One that stands between its neighbours is as good as
                // the right one; but the first may be taken for one whose records are in a table already, so it
                // is moved to where it cannot be.
                let is_low = before.is_none() && after.is_some_and(|after| *seqno + 1 < after);
                if !fits_without || (is_next && is_before && !is_low) {
                    journal.extend_from_slice(&bytes[range.clone()]);
                    *seqno
                } else {
                    is_changed = true;
                    if !is_next || !is_before {
                        findings.damaged.push(range.start..range.start + EDGE);
                    }
                    journal.extend_from_slice(&bytes[range.start..range.start + 5]);
                    journal.extend_from_slice(&next.to_le_bytes());
                    journal.extend_from_slice(&bytes[range.start + EDGE..range.end]);
                    next
                }
            }
            Part::Damaged(range) => {
                is_changed = true;
                findings.damaged.push(range.clone());
                let items = salvage(&bytes[range.clone()], &mut findings);
                write_batch(&mut journal, next, &items);
                next
            }
        };
        *before = Some(seqno);
    }
    Inspected { journal, is_changed, findings }
}

/// How much of a journal was written: behind that it has room for more.
fn used(bytes: &[u8]) -> usize {
    let zeros = [0; SECTOR];
    let mut end = bytes.len();
    while end >= SECTOR && bytes[end - SECTOR..end] == zeros {
        end -= SECTOR;
    }
    bytes[..end].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// The parts of a journal, but for what a crash left half written at its end.
fn split(bytes: &[u8], used: usize) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < used {
        if let Some((length, seqno)) = whole_batch(&bytes[at..]) {
            parts.push(Part::Whole { range: at..at + length, seqno });
            at += length;
            continue;
        }
        let next = (at + 1..used)
            .filter(|&from| bytes[from] == START && bytes.get(from + EDGE) == Some(&ITEM))
            .find(|&from| whole_batch(&bytes[from..]).is_some());
        let end = next.unwrap_or(used);
        if next.is_some() || was_written(bytes, at..end) {
            parts.push(Part::Damaged(at..end));
        }
        at = end;
    }
    parts
}

/// Whether the last batch, which is not whole, was once: then it has its end, and no sector of it is missing.
fn was_written(bytes: &[u8], range: Range<usize>) -> bool {
    let sectors = range.start.next_multiple_of(SECTOR)..range.end;
    let is_torn = sectors
        .step_by(SECTOR)
        .filter_map(|at| bytes.get(at..at + SECTOR))
        .any(|sector| sector.iter().all(|&byte| byte == 0));
    let last = &bytes[range];
    // One byte of the end itself may be what is damaged.
    let end = last.len().checked_sub(MAGIC.len()).map(|at| &last[at..]);
    let same = end.map_or(0, |end| end.iter().zip(MAGIC).filter(|(a, b)| a == b).count());
    !is_torn && same + 1 >= MAGIC.len()
}

/// The length and the seqno of the batch that begins here, if it is whole.
fn whole_batch(bytes: &[u8]) -> Option<(usize, u64)> {
    let mut parser = Parser(bytes);
    if parser.u8()? != START {
        return None;
    }
    let (count, seqno) = (parser.u32()?, parser.u64()?);
    let mut at = EDGE;
    let mut hash = Xxh3::default();
    for _ in 0..count {
        let item = Item::parse(&bytes[at..])?;
        hash.update(&bytes[at..at + item.length]);
        at += item.length;
    }
    let mut parser = Parser(&bytes[at..]);
    let is_end = parser.u8()? == END && parser.u64()? == hash.finish() && parser.take(MAGIC.len())? == MAGIC;
    is_end.then_some((at + EDGE, seqno))
}

/// One item as it stands in a journal.
struct Item<'a> {
    is_value: bool,
    key: &'a [u8],
    value: &'a [u8],
    length: usize,
}

impl<'a> Item<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut parser = Parser(bytes);
        if parser.u8()? != ITEM {
            return None;
        }
        let (kind, compression, _) = (parser.u8()?, parser.u8()?, parser.u64()?);
        let (key_length, length, stored) = (parser.u16()?, parser.u32()?, parser.u32()?);
        if kind > 2 || compression != 0 || length != stored || key_length == 0 {
            return None;
        }
        let key = parser.take(usize::from(key_length))?;
        let value = parser.take(usize::try_from(stored).ok()?)?;
        let length = bytes.len() - parser.0.len();
        Some(Self { is_value: kind == 0, key, value, length })
    }

    /// Whether it is a record, whole, at its own key.
    fn is_whole(&self) -> bool {
        self.is_value
            && record::unseal(self.value)
                .and_then(|(_, body)| record::read(body))
                .is_some_and(|(key, _)| key == self.key)
    }
}

/// A record that is put back: key, value.
type Kept = (Vec<u8>, Vec<u8>);

/// What is whole in a damaged part. Deletions in it are not done: none of them has a checksum, and what should be
/// gone is better there once more than gone what should not be.
fn salvage(part: &[u8], findings: &mut Findings) -> Vec<Kept> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < part.len() {
        let rest = &part[at..];
        if let Some(item) = Item::parse(rest) {
            let follows = rest.get(item.length).is_none_or(|tag| [START, ITEM, END].contains(tag));
            if item.is_whole() {
                kept.push((item.key.to_vec(), item.value.to_vec()));
                at += item.length;
                continue;
            }
            if follows && !item.is_value && item.value.is_empty() {
                at += item.length;
                continue;
            }
            // A key that belongs to no record is itself what is damaged.
            if follows && Place::of(item.key).is_some() {
                // The value says whose it is, if it is whole and the key is not.
                match sealed(item.value) {
                    Some(whole) => kept.push(whole),
                    None => findings.lost.push(item.key.to_vec()),
                }
                at += item.length;
                continue;
            }
        } else if rest.len() >= EDGE && (rest[0] == START || rest[0] == END) {
            at += EDGE;
            continue;
        }
        let Some(skip) = find_value(rest) else {
            // What remains may be the end of the batch alone.
            findings.unknown |= rest.len() > EDGE;
            break;
        };
        let length = record::sealed_length(&rest[skip..]).unwrap_or_default();
        if let Some((key, value)) = sealed(&rest[skip..skip + length]) {
            findings.unknown |= skip > ITEM_HEAD + key.len();
            kept.push((key, value));
        }
        at += skip + length;
    }
    kept
}

/// Where the next whole value begins.
fn find_value(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len().saturating_sub(record::HEADER))
        .find(|&at| bytes[at] == record::MARK[0] && sealed(&bytes[at..]).is_some())
}

/// The key and the value of the whole value that begins here.
pub(super) fn sealed(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, body) = record::unseal(bytes)?;
    let (key, _) = record::read(body)?;
    let length = record::sealed_length(bytes)?;
    Some((key, bytes[..length].to_vec()))
}

fn write_batch(journal: &mut Vec<u8>, seqno: u64, items: &[Kept]) {
    if items.is_empty() {
        return;
    }
    journal.push(START);
    journal.extend_from_slice(&u32::try_from(items.len()).unwrap_or(u32::MAX).to_le_bytes());
    journal.extend_from_slice(&seqno.to_le_bytes());
    let from = journal.len();
    for (key, value) in items {
        journal.extend_from_slice(&[ITEM, 0, 0]);
        journal.extend_from_slice(&database::keyspace_number(key).to_le_bytes());
        journal.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes();
        journal.extend_from_slice(&length);
        journal.extend_from_slice(&length);
        journal.extend_from_slice(key);
        journal.extend_from_slice(value);
    }
    let mut hash = Xxh3::default();
    hash.update(&journal[from..]);
    journal.push(END);
    journal.extend_from_slice(&hash.finish().to_le_bytes());
    journal.extend_from_slice(MAGIC);
}
