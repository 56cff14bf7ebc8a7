//! The folder of a store: who has it open, and how it is opened whatever state it is in.
//!
//! ```text
//! DIR/lock            held while the store is open
//! DIR/records/        the database
//! DIR/records.new/    one that is being made out of what could be read of a damaged one
//! DIR/damaged/N/      what was damaged, as it was
//! DIR/unsynced        there while something may be missing that nobody was told of: the disk may be behind what was
//!                     confirmed (then it names the machine's boot), or damage was mended
//! ```
//!
//! In: a path. Out: an open database, what is in it, what was damaged. Knows files and records, not what they mean.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::contents::Contents;
use super::database::{Database, Failure, Gap, Pair, is_of_the_system};
use super::journal;
use super::manifest;
use super::options::{EmbeddedError, EmbeddedOptions};
use super::record;
use super::report::Damage;

/// What stands in the mark when damage was mended.
const MENDED: &str = "mended";
/// So many bytes of records are copied at a time.
const COPY: usize = 4 << 20;

/// A store's folder, which no other process has open.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Unlocked when it is dropped.
    _lock: File,
}

/// What opening gave.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) contents: Contents,
    pub(super) damage: Vec<Damage>,
}

impl Folder {
    /// Takes the folder for this process.
    pub(super) fn take(path: &Path) -> Result<Self, EmbeddedError> {
        let error = |source| EmbeddedError::Io { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(error)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(error)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(EmbeddedError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(error(source)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn records(&self) -> PathBuf {
        self.path.join("records")
    }

    fn new_records(&self) -> PathBuf {
        self.path.join("records.new")
    }

    /// Opens the database, and puts right what is damaged.
    pub(super) fn open(&self, options: &EmbeddedOptions) -> Result<Opened, EmbeddedError> {
        let error = |failure| match failure {
            Failure::Io(source) => EmbeddedError::Io { path: self.path.clone(), source },
            Failure::Damaged(reason) => EmbeddedError::Database { path: self.path.clone(), reason },
            Failure::Poisoned => EmbeddedError::Database {
                path: self.path.clone(),
                reason: "it failed while opening".to_owned(),
            },
        };
        self.open_or_mend(options).map_err(error)
    }

    fn open_or_mend(&self, options: &EmbeddedOptions) -> Result<Opened, Failure> {
        let (records, new) = (self.records(), self.new_records());
        if new.exists() {
            // Made whole before the old one was moved away, or else not to be used.
            if records.exists() {
                fs::remove_dir_all(&new).map_err(Failure::Io)?;
            } else {
                fs::rename(&new, &records).map_err(Failure::Io)?;
            }
        }
        let mut contents = Contents::default();
        let mut damage = Vec::new();
        // Before anything is mended, which leaves the same mark.
        if let Some(what) = self.missing()? {
            contents.loss.unknown = true;
            damage.push(Damage { file: records.clone(), what: what.to_owned(), kept_as: None });
        }
        if records.exists() {
            self.mend_journals(&mut contents, &mut damage)?;
        }
        let checked = match manifest::damaged(&records).map_err(Failure::Io)? {
            Some(file) => Err(Failure::Damaged(format!("{} is damaged", file.display()))),
            None => Ok(()),
        };
        let opened = checked.and_then(|()| Database::open(&records, options)).and_then(|database| {
            let mut found = Contents::default();
            let gaps = database.scan(|key, value| {
                found.take(key, value);
                Ok(())
            })?;
            Ok((database, found, gaps))
        });
        let mut database = match opened {
            Ok((database, found, gaps)) => {
                let loss = std::mem::take(&mut contents.loss);
                let is_whole = gaps.is_empty() && found.loss.records == 0;
                if is_whole {
                    contents = found;
                    contents.loss.merge(loss);
                    database
                } else {
                    for gap in &gaps {
                        contents.loss.add_between(gap.from.as_deref(), gap.to.as_deref());
                    }
                    contents.loss.merge(loss);
                    contents.loss.merge(found.loss);
                    let what = format!("{} parts of the tables cannot be read", gaps.len());
                    self.rebuild(Some(database), &gaps, options, &what, &mut contents, &mut damage)?
                }
            }
            Err(Failure::Damaged(reason)) => {
                contents.loss.unknown = true;
                let all = [Gap { from: None, to: None }];
                let what = format!("the database cannot be opened: {reason}");
                self.rebuild(None, &all, options, &what, &mut contents, &mut damage)?
            }
            Err(failure) => return Err(failure),
        };
        database.count_from(contents.number);
        Ok(Opened { database, contents, damage })
    }

    fn mend_journals(&self, contents: &mut Contents, damage: &mut Vec<Damage>) -> Result<(), Failure> {
        let aside = self.aside();
        let found = journal::repair(&self.records(), &aside, || self.begin_mending()).map_err(Failure::Io)?;
        for (file, findings) in found {
            for key in &findings.lost {
                contents.loss.add(key);
            }
            contents.loss.unknown |= findings.unknown;
            let places: Vec<String> =
                findings.damaged.iter().map(|range| format!("{}..{}", range.start, range.end)).collect();
            let kept_as = file.file_name().map(|name| aside.join(name));
            let what = format!("journal damaged in bytes {}", places.join(", "));
            damage.push(Damage { file, what, kept_as });
        }
        Ok(())
    }

    /// Where damaged files go now.
    fn aside(&self) -> PathBuf {
        let damaged = self.path.join("damaged");
        let free = |number: &u64| !damaged.join(number.to_string()).exists();
        let number = (1..=u64::from(u32::MAX)).find(free).unwrap_or_default();
        damaged.join(number.to_string())
    }

    fn mark(&self) -> PathBuf {
        self.path.join("unsynced")
    }

    /// Notes that the disk is going to be behind what is confirmed.
    pub(super) fn begin_unsynced(&self) -> io::Result<()> {
        self.write_mark(&boot().unwrap_or_default())
    }

    /// Notes that damage is going to be mended: until whoever it concerns is told, and that is written, it must not
    /// be forgotten.
    fn begin_mending(&self) -> io::Result<()> {
        self.write_mark(MENDED)
    }

    fn write_mark(&self, text: &str) -> io::Result<()> {
        let mut file = File::create(self.mark())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        sync_folder(&self.path)
    }

    /// Notes that all that is confirmed is on the disk, and everybody told.
    pub(super) fn end_unsynced(&self) -> io::Result<()> {
        match fs::remove_file(self.mark()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => sync_folder(&self.path),
        }
    }

    /// Why something may be missing of which there is no trace: the machine has stopped while the disk was behind,
    /// or damage was mended and not told.
    fn missing(&self) -> Result<Option<&'static str>, Failure> {
        const STOPPED: &str = "the machine stopped while the disk was behind (Durability::Written): the last \
                               messages may be missing";
        match fs::read_to_string(self.mark()) {
            Ok(text) if text == MENDED => {
                Ok(Some("damage was mended, and nobody told before the store ended"))
            }
            Ok(then) => Ok(boot().is_none_or(|now| now != then).then_some(STOPPED)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if is_of_the_system(&error) => Err(Failure::Io(error)),
            Err(_) => Ok(Some(STOPPED)),
        }
    }

    /// Makes a database of what can be read of a damaged one, and of the records in its files that belong where it
    /// cannot be read. Among those may be some that had been deleted.
    fn rebuild(
        &self,
        old: Option<Database>,
        gaps: &[Gap],
        options: &EmbeddedOptions,
        what: &str,
        contents: &mut Contents,
        damage: &mut Vec<Damage>,
    ) -> Result<Database, Failure> {
        let mut copy = Copy::begin(&self.new_records(), options)?;
        if let Some(old) = old {
            old.scan(|key, value| {
                if record::unseal(value).is_some() { copy.put(key.to_vec(), value.to_vec()) } else { Ok(()) }
            })?;
        }
        let mut newest: HashMap<Vec<u8>, u64> = HashMap::new();
        let missing =
            if gaps.is_empty() { Vec::new() } else { files(&self.records()).map_err(Failure::Io)? };
        for file in missing {
            let bytes = fs::read(&file).map_err(Failure::Io)?;
            let mut at = 0;
            while let Some(found) = memchr::memmem::find(&bytes[at..], record::MARK) {
                at += found;
                let Some((key, value)) = journal::sealed(&bytes[at..]) else {
                    at += 1;
                    continue;
                };
                at += value.len();
                if !gaps.iter().any(|gap| gap.has(&key)) {
                    continue;
                }
                let number = record::unseal(&value).map_or(0, |(number, _)| number);
                let known = newest.entry(key.clone()).or_default();
                if number >= *known {
                    *known = number;
                    copy.put(key, value)?;
                }
            }
        }
        copy.finish()?;
        let database = self.replace(options, what, damage)?;
        database.scan(|key, value| {
            contents.take(key, value);
            Ok(())
        })?;
        Ok(database)
    }

    /// Puts the new database in the place of the old one.
    fn replace(
        &self,
        options: &EmbeddedOptions,
        what: &str,
        damage: &mut Vec<Damage>,
    ) -> Result<Database, Failure> {
        let (records, aside) = (self.records(), self.aside());
        self.begin_mending().map_err(Failure::Io)?;
        fs::create_dir_all(&aside).map_err(Failure::Io)?;
        let kept_as = aside.join("records");
        fs::rename(&records, &kept_as).map_err(Failure::Io)?;
        fs::rename(self.new_records(), &records).map_err(Failure::Io)?;
        sync_folder(&self.path).map_err(Failure::Io)?;
        damage.push(Damage { file: records.clone(), what: what.to_owned(), kept_as: Some(kept_as) });
        Database::open(&records, options)
    }
}

/// A database that is being filled.
struct Copy {
    database: Database,
    waiting: Vec<Pair>,
    bytes: usize,
}

impl Copy {
    fn begin(folder: &Path, options: &EmbeddedOptions) -> Result<Self, Failure> {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(Failure::Io)?;
        }
        Ok(Self { database: Database::open(folder, options)?, waiting: Vec::new(), bytes: 0 })
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), Failure> {
        self.bytes += key.len() + value.len();
        self.waiting.push((key, value));
        if self.bytes > COPY { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.bytes = 0;
        // A key that comes twice is the later one.
        let pairs: HashMap<_, _> = self.waiting.drain(..).collect();
        self.database.put_all(&pairs.into_iter().collect::<Vec<_>>())
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.flush()?;
        self.database.sync()
    }
}

/// All files in a folder and in those below it.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort_unstable();
    Ok(found)
}

/// Names this run of the machine, where the system does.
fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if is_of_the_system(&error) && cfg!(unix) => Err(error),
        // Not all systems can do it.
        _ => Ok(()),
    }
}
