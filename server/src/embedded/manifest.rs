//! The list of the tables that a database consists of, checked before it opens them.
//!
//! ```text
//! keyspaces/N/current:  number of the list, u64 · xxh3 of its file, u128 · 0
//! keyspaces/N/v…        the list
//! ```
//!
//! In: the database's folder. Out: which list is damaged. The database writes that checksum and does not look at it:
//! with a wrong list it opens without some of its tables, or with some in a wrong order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::bytes::Parser;

/// A list that is not the one that was written, if there is one.
pub(super) fn damaged(database: &Path) -> io::Result<Option<PathBuf>> {
    let keyspaces = match fs::read_dir(database.join("keyspaces")) {
        Ok(keyspaces) => keyspaces,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for keyspace in keyspaces {
        let folder = keyspace?.path();
        let current = folder.join("current");
        // One that was not made to its end has none.
        let Ok(pointer) = fs::read(&current) else { continue };
        if !is_whole(&folder, &pointer)? {
            return Ok(Some(current));
        }
    }
    Ok(None)
}

fn is_whole(folder: &Path, pointer: &[u8]) -> io::Result<bool> {
    let mut parser = Parser(pointer);
    let (Some(number), Some(checksum)) = (parser.u64(), parser.take(16)) else { return Ok(false) };
    match fs::read(folder.join(format!("v{number}"))) {
        Ok(list) => Ok(xxh3_128(&list).to_le_bytes() == checksum),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
