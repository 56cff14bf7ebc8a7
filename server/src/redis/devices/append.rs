//! One message on its way to all the queues that it is for.
//!
//! ```text
//! Append ─▶ a part for each shard ─▶ chunks of names ─▶ pages of devices: one script each
//! ```
//!
//! In: a message, and whom it is for. Out: where it stands in each queue. The first page of each part is sent at the call;
//! a part that may have several keeps its lane until the last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use redis::Value;

use super::here::{Notes, sorted};
use super::lease::salt;
use super::{Again, Devices, WORK, flag, millis, number, scripts, text};
use crate::delivery::{Appended, Device, Message, Queued, Resync, ResyncReason, To};
use crate::redis::link::LinkError;
use crate::redis::shards::{Answer, Sending, Turn};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// So many names are looked up by one call.
const NAMES: usize = 256;
/// About so many bytes stand around a message.
const AROUND: usize = 256;

/// A message whose first pages are sent.
pub(super) struct Append {
    parts: Vec<BoxFuture<'static, Result<Appended, Partly>>>,
}

/// What one shard has of a message.
struct Part {
    devices: Arc<Devices>,
    shard: usize,
    /// What all pages begin with, and where they differ.
    head: Vec<Bytes>,
    kind: &'static str,
    chunks: Vec<Vec<Arc<str>>>,
    /// Its share of what the message is.
    bytes: usize,
    again: Again,
    /// Something of it was sent, and no answer came.
    is_doubted: Arc<AtomicBool>,
}

/// How far a part is.
#[derive(Debug, Default)]
struct Place {
    chunk: usize,
    message: String,
    user: u64,
    device: u64,
    last_user: String,
}

/// Why a part is not done.
struct Partly {
    error: StoreError,
    /// Nothing of it is.
    nothing: bool,
}

/// Whom a message is for: the shard, and names in it.
fn parts(devices: &Devices, to: To, is_keyed: bool) -> (&'static str, BTreeMap<usize, Vec<Arc<str>>>) {
    let everywhere =
        |names: Vec<Arc<str>>| (0..devices.shards.count()).map(|shard| (shard, names.clone())).collect();
    match to {
        To::Everyone => ("e", everywhere(Vec::new())),
        To::Room(room) => ("r", everywhere(vec![room])),
        To::Rooms(rooms) if !rooms.is_empty() || is_keyed => ("r", everywhere(sorted(&rooms))),
        To::Rooms(_) => ("r", BTreeMap::new()),
        To::Users(users) => {
            let mut parts: BTreeMap<usize, Vec<Arc<str>>> = BTreeMap::new();
            if users.is_empty() && is_keyed {
                parts.insert(0, Vec::new());
            }
            for user in sorted(&users) {
                parts.entry(devices.shards.of(&user)).or_default().push(user);
            }
            ("u", parts)
        }
    }
}

impl Append {
    /// Sends the first page of each part.
    pub(super) fn new(
        devices: &Arc<Devices>,
        to: To,
        message: Message,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let Message { event, args, resync, key } = message;
        let (bytes, limit) = (event.len() + args.as_bytes().len(), devices.limits.bytes);
        if bytes > limit {
            return Err(StoreError::TooLarge { bytes, limit });
        }
        let (kind, parts) = parts(devices, to, key.is_some());
        let share = bytes.div_ceil(parts.len().max(1)) + AROUND;
        let again = if key.is_some() { Again::Safe } else { Again::Never };
        let head = vec![
            number(now.0),
            devices.node(),
            devices.link.publishes_by().into(),
            number(devices.limits.count),
            number(limit),
            text(&event),
            args.into_bytes(),
            flag(resync),
            key.map_or_else(Bytes::new, |key| format!("={key}").into()),
            number(bytes),
            millis(devices.limits.key_window),
        ];
        let begin = |(shard, names): (usize, Vec<Arc<str>>)| {
            let mut chunks: Vec<Vec<Arc<str>>> = match kind {
                "u" => names.chunks(NAMES).map(<[_]>::to_vec).collect(),
                _ => vec![names],
            };
            if chunks.is_empty() {
                chunks.push(Vec::new());
            }
            let (devices, head) = (Arc::clone(devices), head.clone());
            let is_doubted = Arc::default();
            Part { devices, shard, head, kind, chunks, bytes: share, again, is_doubted }.begin()
        };
        Ok(Self { parts: parts.into_iter().map(begin).collect::<Result<_, _>>()? })
    }

    /// Resolves when all is done.
    pub(super) async fn begin(self) -> Result<Appended, StoreError> {
        let (mut all, mut duplicates, mut done, mut failed) = (Appended::default(), 0, 0, Vec::new());
        for part in join_all(self.parts).await {
            match part {
                Ok(appended) => {
                    done += 1;
                    duplicates += usize::from(appended.duplicate);
                    all.queued.extend(appended.queued);
                }
                Err(partly) => failed.push(partly),
            }
        }
        if let Some(partly) = failed.first() {
            let nothing = done == 0 && failed.iter().all(|partly| partly.nothing);
            return Err(if nothing { partly.error.clone() } else { StoreError::Timeout });
        }
        all.duplicate = done > 0 && duplicates == done;
        Ok(all)
    }
}

impl Part {
    fn begin(self) -> Result<BoxFuture<'static, Result<Appended, Partly>>, StoreError> {
        let lane = Arc::clone(self.devices.lane(self.shard)?);
        let known = self.devices.counts.get(self.shard).map_or(0, |counts| counts.0.load(Ordering::Relaxed));
        let is_long = self.chunks.len() > 1 || (self.kind != "u" && known > WORK);
        let names = self.chunks.iter().flatten().map(|name| name.len()).sum::<usize>();
        let bytes = names + self.bytes;
        let part = Arc::new(self);
        let sending = Arc::clone(&part);
        let send = move |_: &mut Notes| sending.send(&Place::default());
        Ok(if is_long {
            let calling = lane.call_alone(bytes, send);
            async move {
                let (first, turn) = calling.await;
                part.finish(first, Some(turn)).await
            }
            .boxed()
        } else {
            let calling = lane.call(bytes, send);
            async move { part.finish(calling.await, None).await }.boxed()
        })
    }

    fn send(&self, place: &Place) -> super::Calling {
        let names = self.chunks.get(place.chunk).map_or(&[][..], Vec::as_slice);
        let devices = &self.devices;
        let most_keys =
            devices.share(self.shard, devices.limits.keys, |counts| counts.1.load(Ordering::Relaxed));
        let mut args = self.head.clone();
        args.extend([
            number(most_keys),
            number(WORK),
            millis(devices.limits.age),
            place.message.clone().into(),
            number(place.chunk),
            number(place.user),
            number(place.device),
            place.last_user.clone().into(),
            flag(place.chunk + 1 >= self.chunks.len()),
            Bytes::from_static(self.kind.as_bytes()),
            Bytes::new(),
            flag(false),
            salt(),
        ]);
        let (run, lasting) = (args.len() - 3, args.len() - 2);
        args.extend(names.iter().map(text));
        let sending = Sending::new(&scripts::APPEND, devices.shards.route(self.shard), args, self.again);
        sending.run(run).lasting(lasting, &devices.link).noting(&self.is_doubted).send(&devices.link)
    }

    /// Goes from page to page.
    async fn finish(
        &self,
        first: Result<Value, LinkError>,
        _turn: Option<Turn<Notes>>,
    ) -> Result<Appended, Partly> {
        let mut appended = Appended::default();
        let (mut place, mut answered, mut is_first) = (Place::default(), first, true);
        loop {
            let page = match answered.map_err(StoreError::from).and_then(|value| self.page(value, &mut place))
            {
                Ok(page) => page,
                Err(error) => {
                    let nothing = is_first && error != StoreError::Timeout;
                    if !nothing {
                        // What it did, nobody here was told.
                        self.devices.missed();
                    }
                    return Err(Partly { error, nothing });
                }
            };
            let (state, queued) = page;
            appended.queued.extend(queued);
            match &*state {
                "duplicate" => {
                    appended.duplicate = appended.queued.is_empty();
                    self.done();
                    return Ok(appended);
                }
                "keys" => return Err(Partly { error: StoreError::TooMany("keys"), nothing: is_first }),
                "more" => {}
                // Done, or somebody else is through with this chunk.
                _ => {
                    place = Place {
                        chunk: place.chunk + 1,
                        message: place.message,
                        last_user: place.last_user,
                        ..Place::default()
                    };
                    if place.chunk >= self.chunks.len() {
                        self.done();
                        return Ok(appended);
                    }
                }
            }
            is_first = false;
            answered = self.send(&place).await;
        }
    }

    /// All of it is there.
    fn done(&self) {
        if self.is_doubted.load(Ordering::Relaxed) {
            // What was done by a call whose answer was lost nobody here was told.
            self.devices.missed();
        }
    }

    fn page(&self, value: Value, place: &mut Place) -> Result<(String, Vec<(Device, Queued)>), StoreError> {
        let mut answer = Answer::new(value)?;
        let state: String = answer.take()?;
        (place.message, place.user, place.device) = (answer.take()?, answer.take()?, answer.take()?);
        place.last_user = answer.take()?;
        self.devices.counted(self.shard, answer.take()?, Some(answer.take()?));
        let mut results = answer.take::<Vec<String>>()?.into_iter();
        let mut queued = Vec::with_capacity(results.len() / 4);
        while let (Some(user), Some(id), Some(last), Some(told)) =
            (results.next(), results.next(), results.next(), results.next())
        {
            let last = last.parse().unwrap_or_default();
            let at = told.parse().map_or(Queued::At(last), |number| Queued::Overflowed {
                last,
                resync: Resync { number, event: None, reason: ResyncReason::Overflow },
            });
            queued.push((Device { user: user.into(), id: id.into() }, at));
        }
        if let Ok(lane) = self.devices.lane(self.shard) {
            let mut notes = lane.notes();
            for (device, queued) in &queued {
                let (Queued::At(last) | Queued::Overflowed { last, .. }) = queued;
                notes.is_at(device, *last);
            }
        }
        Ok((state, queued))
    }
}
