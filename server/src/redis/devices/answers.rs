//! What scripts say of devices, as the words of [`delivery`](crate::delivery).

use std::sync::Arc;

use redis::Value;
use tokensocket_protocol::{Epoch, RawJson};

use crate::delivery::{Device, Entry, Message, Resync, ResyncReason};
use crate::redis::link::LinkError;
use crate::redis::shards::Answer;
use crate::timestamp::Timestamp;

/// An event's name is written with `=` before it, and no event without.
fn named(text: &str) -> Option<Arc<str>> {
    text.strip_prefix('=').map(Arc::from)
}

pub(super) fn resync_from(number: u64, event: &str, reason: &str) -> Resync {
    // One that this version does not know asks for the same.
    let reason = ResyncReason::parse(reason).unwrap_or(ResyncReason::Lost);
    Resync { number, event: named(event), reason }
}

pub(super) fn resync(value: Value) -> Result<Resync, LinkError> {
    let (number, event, reason): (u64, String, String) = Answer::read(value)?;
    Ok(resync_from(number, &event, &reason))
}

pub(super) fn resync_of(value: Value) -> Result<(Device, Resync), LinkError> {
    let (user, id, number, event, reason): (String, String, u64, String, String) = Answer::read(value)?;
    Ok((Device { user: user.into(), id: id.into() }, resync_from(number, &event, &reason)))
}

pub(super) fn entry(value: Value) -> Result<Entry, LinkError> {
    let mut answer = Answer::new(value)?;
    let (seq, event): (u64, String) = (answer.take()?, answer.take()?);
    let args: Vec<u8> = answer.take()?;
    let (resync, key, at): (bool, String, u64) = (answer.take()?, answer.take()?, answer.take()?);
    let args = RawJson::from_text(args).map_err(|error| LinkError::Refused(error.to_string()))?;
    Ok(Entry {
        seq,
        message: Message { event: event.into(), args, resync, key: named(&key) },
        at: Timestamp(at),
    })
}

/// The epoch that a device is told: its own, and what all have changed by since.
pub(super) fn epoch(own: &str, salt: &str) -> Epoch {
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap_or_default();
    Epoch::from_random(number(own) ^ number(salt))
}
