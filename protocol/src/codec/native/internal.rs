//! What a server says with `"internal":true`.
//!
//! In: the command's name and its data, raw. Out: a [`ServerMessage`], or nothing where this version knows no
//! such command or its data are of another shape.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{read, read_object};
use crate::message::{Delivery, Joined, ResyncReason, ServerMessage, Settings};
use crate::position::{Epoch, Position};
use crate::raw_json::RawJson;

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    channel: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uuid: Option<&'a RawValue>,
    #[serde(borrow, default)]
    fid: Option<&'a RawValue>,
    #[serde(borrow, default)]
    command: Option<&'a RawValue>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timeout_ms: Option<&'a RawValue>,
    #[serde(borrow, default)]
    after_ms: Option<&'a RawValue>,
    #[serde(borrow, default)]
    epoch: Option<&'a RawValue>,
    #[serde(borrow, default)]
    offset: Option<&'a RawValue>,
    #[serde(borrow, default)]
    recovered: Option<&'a RawValue>,
    #[serde(borrow, default)]
    publications: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pattern: Option<&'a RawValue>,
    #[serde(borrow, default)]
    member: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(borrow, default)]
    items: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    device: Option<&'a RawValue>,
    #[serde(borrow, default)]
    device_ttl: Option<&'a RawValue>,
    #[serde(borrow, default)]
    resumed: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Past<'a> {
    offset: u64,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    id: u64,
    event: String,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

/// Reads an internal command. `payload` keeps a part of the text.
pub(super) fn decode(
    command: Option<&RawValue>,
    data: Option<&RawValue>,
    payload: impl Fn(&RawValue) -> RawJson,
) -> Option<ServerMessage<RawJson>> {
    let data: Data<'_> = read_object(data?.get().as_bytes())?;
    let payload = |raw: Option<&RawValue>| raw.map_or_else(RawJson::null, &payload);
    Some(match read::<String>(command)?.as_str() {
        "subscribe" => ServerMessage::Subscribed {
            channel: read(data.channel)?,
            uuid: read(data.uuid),
            joined: data.joined(payload),
        },
        "unsubscribe" => ServerMessage::Unsubscribed { channel: read(data.channel)? },
        "rpc" => ServerMessage::Call {
            fid: read(data.fid)?,
            path: read(data.command)?,
            args: payload(data.args),
            timeout_ms: read(data.timeout_ms),
        },
        "cancel" => ServerMessage::Cancel { fid: read(data.fid)? },
        "reconnect" => ServerMessage::ReconnectHint { after_ms: read(data.after_ms)? },
        command @ ("join" | "leave") => ServerMessage::Member {
            channel: read(data.channel)?,
            member: payload(Some(data.member?)),
            joined: command == "join",
        },
        "settings" => ServerMessage::Settings(Settings {
            device_ttl: read(data.device_ttl)?,
            device: read(data.device)?,
            epoch: read(data.epoch)?,
            resumed: read(data.resumed).unwrap_or_default(),
        }),
        "batch" => {
            let items: Vec<Item<'_>> = serde_json::from_str(data.items?.get()).ok()?;
            let delivery = |Item { id, event, args }| Delivery { id, event, args: payload(args) };
            ServerMessage::Batch { id: read(data.id)?, items: items.into_iter().map(delivery).collect() }
        }
        "deliver" => ServerMessage::Deliver(Delivery {
            id: read(data.id)?,
            event: read(data.event)?,
            args: payload(data.args),
        }),
        "resync" => ServerMessage::Resync {
            id: read(data.id)?,
            event: read(data.event),
            // What to do is the same, whatever reasons a later version has.
            reason: read::<String>(data.reason)
                .and_then(|reason| ResyncReason::parse(&reason))
                .unwrap_or(ResyncReason::Lost),
        },
        _ => return None,
    })
}

impl Data<'_> {
    fn joined(&self, payload: impl Fn(Option<&RawValue>) -> RawJson) -> Joined<RawJson> {
        let epoch = read::<Epoch>(self.epoch);
        let past = |Past { offset, message }: Past<'_>| (offset, payload(message));
        let publications = self.publications.and_then(|raw| serde_json::from_str::<Vec<_>>(raw.get()).ok());
        Joined {
            position: epoch
                .zip(read(self.offset))
                .and_then(|(epoch, offset)| Position::new(epoch, offset).ok()),
            // Publications that cannot be read are not all that were missed.
            recovered: read(self.recovered).map(|recovered| recovered && publications.is_some()),
            publications: publications.unwrap_or_default().into_iter().map(past).collect(),
            pattern: read(self.pattern).unwrap_or_default(),
        }
    }
}
