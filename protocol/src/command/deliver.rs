//! What is kept for a device, on its way to it. Only to clients with the feature `delivery`.
//!
//! ```text
//! {"internal":true,"command":"settings","data":{"device_ttl":SECONDS,"device":D,"epoch":E,"resumed":BOOL}}
//! {"internal":true,"command":"resync","data":{"id":N,"event":EV,"reason":"order"|"overflow"|"expired"|"lost"}}
//! {"internal":true,"command":"batch","data":{"id":SEQ,"items":[{"id":SEQ,"event":EV,"args":[…]},…]}}
//! {"internal":true,"command":"deliver","data":{"id":SEQ,"event":EV,"args":[…]}}
//! ```
//!
//! The first three, in this order, follow the answer to `auth`. The client says [`super::acknowledge`] for each
//! batch and for each delivery by itself.

use std::time::Duration;

use crate::answer::write_string;
use crate::message::ResyncReason;
use crate::position::Epoch;
use crate::raw_json::RawJson;

/// One entry of a device's queue.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Its place in the queue.
    pub seq: u64,
    /// The event's name.
    pub event: &'a str,
    /// Its arguments, a JSON array.
    pub args: &'a RawJson,
}

impl Delivery<'_> {
    fn push(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        super::push_number(out, self.seq);
        out.extend_from_slice(b",\"event\":");
        write_string(out, self.event);
        out.extend_from_slice(b",\"args\":");
        out.extend_from_slice(self.args.as_bytes());
        out.push(b'}');
    }
}

/// Greets a device: which one it is, for how long it is remembered without a connection, which run its `seq`s
/// are of, and whether it was known.
pub fn settings(ttl: Duration, device: &str, epoch: &Epoch, resumed: bool) -> Vec<u8> {
    let mut data = b"{\"device_ttl\":".to_vec();
    super::push_number(&mut data, ttl.as_secs());
    data.extend_from_slice(b",\"device\":");
    write_string(&mut data, device);
    data.extend_from_slice(b",\"epoch\":");
    write_string(&mut data, epoch.as_str());
    data.extend_from_slice(b",\"resumed\":");
    data.extend_from_slice(if resumed { b"true}" } else { b"false}" });
    super::internal("settings", &[&data])
}

/// Everything that was kept, in order. `last` is the `seq` of the last one.
pub fn batch<'a>(last: u64, items: impl IntoIterator<Item = Delivery<'a>>) -> Vec<u8> {
    let mut data = b"{\"id\":".to_vec();
    super::push_number(&mut data, last);
    data.extend_from_slice(b",\"items\":");
    super::push_array(&mut data, items, |out, item| item.push(out));
    data.push(b'}');
    super::internal("batch", &[&data])
}

/// One entry, live.
pub fn deliver(delivery: Delivery<'_>) -> Vec<u8> {
    let mut data = Vec::new();
    delivery.push(&mut data);
    super::internal("deliver", &[&data])
}

/// The device has to fetch the whole state of an event, or of all. `number` grows within the queue's epoch.
pub fn resync(number: u64, event: Option<&str>, reason: ResyncReason) -> Vec<u8> {
    let mut data = b"{\"id\":".to_vec();
    super::push_number(&mut data, number);
    if let Some(event) = event {
        data.extend_from_slice(b",\"event\":");
        write_string(&mut data, event);
    }
    data.extend_from_slice(b",\"reason\":\"");
    data.extend_from_slice(reason.as_str().as_bytes());
    data.extend_from_slice(b"\"}");
    super::internal("resync", &[&data])
}
