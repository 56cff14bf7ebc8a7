//! Which records the changes of the queues become.
//!
//! In: the changes of one operation. Out: writes. A message for one device is one record together with its entry,
//! which halves what most messages cost; one for several devices stands by itself, and their entries name it. Knows
//! neither queues nor disk.

use std::collections::BTreeMap;

use super::record::{self, Write};
use crate::delivery::queues::Change;

/// Where the messages stand that have a record together with their only entry: device and seq, by their ids. Ordered,
/// since ids ascend: nothing is ever moved to make room, for which a table of a million would have all callers wait.
#[derive(Debug, Default)]
pub(super) struct Layout(pub(super) BTreeMap<u64, (u64, u64)>);

impl Layout {
    /// What the changes of one operation write. `args` are those of the message that is put, if one is.
    pub(super) fn writes(&mut self, changes: &mut Vec<Change<()>>, args: &str) -> Vec<Write> {
        let entries = changes.iter().filter(|change| matches!(change, Change::PutEntry { .. })).count();
        let mut writes = Vec::with_capacity(changes.len());
        let mut lone = None;
        let mut changes = changes.drain(..).peekable();
        while let Some(change) = changes.next() {
            match change {
                Change::PutMessage(message) if entries == 1 => lone = Some(message),
                Change::PutEntry { device, seq, message } => match lone.take() {
                    Some(content) => {
                        self.0.insert(message, (device, seq));
                        writes.push(record::put_lone_entry(device, seq, &content, args));
                    }
                    None => writes.push(record::change(&change, args)),
                },
                Change::DeleteEntry { device, seq } => {
                    let is_lone = matches!(changes.peek(), Some(Change::DeleteMessage { id })
                        if self.0.get(id) == Some(&(device, seq)));
                    // It goes with its message.
                    if !is_lone {
                        writes.push(record::change(&change, args));
                    }
                }
                Change::DeleteMessage { id } => match self.0.remove(&id) {
                    Some((device, _)) => writes.push(record::delete_lone_entry(id, device)),
                    None => writes.push(record::change(&change, args)),
                },
                _ => writes.push(record::change(&change, args)),
            }
        }
        writes
    }

    /// The key at which a message's arguments are.
    pub(super) fn key(&self, message: u64) -> Vec<u8> {
        match self.0.get(&message) {
            Some(&(device, _)) => record::lone_entry_key(message, device),
            None => record::message_key(message),
        }
    }
}
