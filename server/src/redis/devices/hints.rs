//! What other nodes did for devices that are connected here.
//!
//! In: what they published on this node's topics: a line of JSON, and the message's arguments. Out: calls of the
//! node's handler. May come late, twice, or not at all.

use bytes::Bytes;
use serde::Deserialize;
use tokensocket_protocol::RawJson;

use super::Devices;
use super::answers::resync_from;
use crate::delivery::{Device, Message, Queued, Resync, ResyncReason};
use crate::redis::link::Listener;

/// Numbers are text: Lua would round them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hint {
    /// A message's event, whether it resyncs, its key.
    e: String,
    s: String,
    k: String,
    /// Appended: user, id, seq.
    q: Vec<(String, String, String)>,
    /// Overflowed: user, id, the last seq, the resync's number.
    o: Vec<(String, String, String, String)>,
    /// To be told: user, id, number, event, reason.
    r: Vec<(String, String, String, String, String)>,
}

fn device(user: &str, id: &str) -> Device {
    Device { user: user.into(), id: id.into() }
}

impl Listener for Devices {
    fn heard(&self, topic: &str, payload: Bytes) {
        let (Some(shard), Some(handler)) = (self.shards.of_topic(topic), self.handler()) else { return };
        let end = payload.iter().position(|&byte| byte == b'\n').unwrap_or(payload.len());
        let Ok(hint) = serde_json::from_slice::<Hint>(payload.get(..end).unwrap_or_default()) else {
            tracing::debug!(topic, "a hint of a version that is not known");
            return handler.handle_gap();
        };
        let args = payload.slice((end + 1).min(payload.len())..);
        let message = RawJson::from_text(args).ok().map(|args| Message {
            event: hint.e.as_str().into(),
            args,
            resync: hint.s == "1",
            key: hint.k.strip_prefix('=').map(Into::into),
        });
        let number = |text: &str| text.parse::<u64>().unwrap_or_default();
        for (user, id, seq) in &hint.q {
            let (device, seq) = (device(user, id), number(seq));
            self.is_at(shard, &device, seq);
            handler.handle_queued(&device, &Queued::At(seq), message.as_ref());
        }
        for (user, id, last, told) in &hint.o {
            let (device, last) = (device(user, id), number(last));
            self.is_at(shard, &device, last);
            let resync = Resync { number: number(told), event: None, reason: ResyncReason::Overflow };
            handler.handle_queued(&device, &Queued::Overflowed { last, resync }, None);
        }
        for (user, id, told, event, reason) in &hint.r {
            handler.handle_resync(&device(user, id), &resync_from(number(told), event, reason));
        }
    }

    fn gap(&self) {
        self.missed();
    }
}

impl Devices {
    fn is_at(&self, shard: usize, device: &Device, seq: u64) {
        if let Ok(lane) = self.lane(shard) {
            lane.notes().is_at(device, seq);
        }
    }
}
