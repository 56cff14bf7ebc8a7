//! A publication with a key that nothing is kept of.
//!
//! ```text
//! room for the key? ──▶ key taken ──▶ said ──▶ key noted
//!                         │ not known   │ refused
//!                         └─────────────┴──▶ key given back
//! ```
//!
//! In: one publication, in its place. Out: what became of it, and its key as it is to be found by the next. Holds no broker,
//! so that it ends with it.

use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use tokensocket_protocol::Channel;
use tokio::sync::oneshot;

use super::frame::EntryKey;
use super::keys::{Keys, NotTaken};
use super::outbox::{Outbox, Said};
use super::pending::Place;
use super::{NO_ROOM_FOR_KEYS, Shared, unkept};
use crate::broker::{BrokerError, Published};
use crate::nats::link::Link;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// What it needs of its broker, and its key.
pub(super) struct Once {
    pub(super) broker: Weak<Shared>,
    pub(super) link: Arc<Link>,
    pub(super) keys: Arc<Keys>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) channel: Channel,
    pub(super) subject: String,
    pub(super) key: EntryKey,
    pub(super) at: Timestamp,
    /// Whether it waits for NATS.
    pub(super) waits: bool,
}

impl Once {
    /// Publishes it, if nobody has with this key. It has its place until it is known what becomes of it, and no longer.
    pub(super) async fn publish(
        self,
        said: Said,
        place: Place,
        told: oneshot::Sender<Result<Published, BrokerError>>,
    ) {
        let Self { broker, link, keys, outbox, channel, subject, key, at, waits } = self;
        if waits {
            link.returned().await;
        }
        let room = match keys.room(1).await {
            Ok(Some(room)) => Ok(room),
            // One that is remembered needs none.
            Ok(None) => Err(match keys.is_published(&channel, &key, at).await {
                Ok(true) => Ok(Published { position: None, duplicate: true }),
                Ok(false) => Err(NO_ROOM_FOR_KEYS),
                Err(error) => Err(error.into()),
            }),
            Err(error) => Err(Err(error.into())),
        };
        let room = match room {
            Ok(room) => room,
            Err(outcome) => {
                drop(place);
                let _ = told.send(outcome);
                return;
            }
        };
        // Never that of a record that is nobody's.
        let owner = rand::random::<u64>().max(1);
        match keys.take(&channel, &key, at, owner, waits).await {
            Ok(true) => room.be_used(),
            Ok(false) => {
                drop((place, room));
                let _ = told.send(Ok(Published { position: None, duplicate: true }));
                return;
            }
            Err(NotTaken { error, may_stand }) => {
                drop((place, room));
                let _ = told.send(Err(error.into()));
                if may_stand {
                    // Nothing was published, so whoever tries again is to be let through.
                    keys.release(&channel, &key, owner).await;
                }
                return;
            }
        }
        let said = outbox.say(subject, said, place).map(|outcome| outcome.map_err(unkept));
        let outcome = said.await;
        let is_known = !matches!(&outcome, Err(BrokerError::Store(StoreError::Timeout)));
        let is_published = outcome.is_ok();
        // Who is told may drop the broker: it is noted before that, if that can be done at once.
        let broker = broker.upgrade();
        let _ = told.send(outcome.map(|()| Published::default()));
        // What may be published stays as it is: whoever tries again is told that it is not known.
        if is_published {
            let noted = keys.note(&channel, &key).await;
            drop(broker);
            if let Err(error) = noted {
                keys.note_later(&channel, &key, error).await;
            }
        } else if is_known {
            drop(broker);
            keys.release(&channel, &key, owner).await;
        }
    }
}
