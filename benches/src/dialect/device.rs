//! A device of a user on the TokenSocket wire: deliveries that want an acknowledgement.

use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::Value;

use super::{
    AUTHENTICATION, Acknowledging, Dialect, Incoming, Mark, after, leading_number, refused,
    tokensocket::{Tokensocket, Uuid, push, read_message},
};
use crate::socket::template::FIRST_ID;

/// The event of every delivery; its first argument is the number of its request.
pub(crate) const EVENT: &str = "update";

/// Speaks as the device of one user, whose name goes with the request for a token as `?user=`.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    wire: Tokensocket,
    token_path: String,
}

impl Device {
    /// Of the first user.
    pub(crate) fn new(wire: Tokensocket) -> Self {
        Self { token_path: wire.token_path.clone(), wire }.for_follower(0)
    }

    /// The user of the `index`th device.
    pub(crate) fn user_of(index: usize) -> String {
        format!("bench-{index}")
    }
}

/// What a server tells a device begins with this, a command and a quote.
const TOLD: &[u8] = br#"{"internal":true,"command":""#;

static ARGUMENTS: Mark = Mark::new(|| Finder::new(r#""args":["#));
static DATA: Mark = Mark::new(|| Finder::new(r#""data":{"id":"#));

/// What concerns a device's queue; none for all else.
fn read_told(text: &[u8]) -> Option<Incoming> {
    let told = text.strip_prefix(TOLD)?;
    if told.starts_with(b"deliver\"") {
        let data = after(told, &DATA)?;
        return Some(Incoming::Delivery {
            id: leading_number(data)?,
            number: leading_number(after(data, &ARGUMENTS)?)?,
        });
    }
    if told.starts_with(b"batch\"") {
        return batch(text);
    }
    // Something was lost.
    told.starts_with(b"resync\"").then(|| refused(text))
}

fn batch(text: &[u8]) -> Option<Incoming> {
    #[derive(Deserialize)]
    struct Told {
        data: Batch,
    }
    #[derive(Deserialize)]
    struct Batch {
        id: u64,
        items: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        args: Vec<Value>,
    }
    let Batch { id, items } = serde_json::from_slice::<Told>(text).ok()?.data;
    let numbers = items.iter().filter_map(|item| item.args.first()?.as_u64()).collect();
    Some(Incoming::Batch { id, numbers })
}

impl Dialect for Device {
    fn for_follower(&self, index: usize) -> Self {
        let wire = self.wire.clone();
        Self { token_path: format!("{}?user={}", wire.token_path, Self::user_of(index)), wire }
    }

    fn path(&self) -> String {
        self.wire.path()
    }

    fn token_path(&self) -> Option<&str> {
        Some(&self.token_path)
    }

    fn authenticate(&self, token: Option<&str>, out: &mut String) -> bool {
        let token = token.unwrap_or_default();
        let client = r#"{"name":"bench","version":"1","features":["delivery"],"device":"bench"}"#;
        let uuid = Uuid(AUTHENTICATION);
        push(out, format_args!(r#"{{"rpc":"auth","token":"{token}","client":{client},"uuid":"{uuid}"}}"#));
        true
    }

    fn call(&self, id: u64, data: &str, out: &mut String) {
        self.wire.call(id, data, out);
    }

    fn subscribe(&self, id: u64, channel: &str, out: &mut String) {
        self.wire.subscribe(id, channel, out);
    }

    fn publish(&self, id: u64, channel: &str, data: &str, out: &mut String) {
        self.wire.publish(id, channel, data, out);
    }

    fn read(&self, text: &[u8], each: &mut dyn FnMut(Incoming)) {
        each(read_told(text).unwrap_or_else(|| read_message(text)));
    }
}

impl Acknowledging for Device {
    fn acknowledge(&self, id: u64) -> String {
        acknowledgement("id", id)
    }

    fn acknowledge_batch(&self, id: u64) -> String {
        acknowledgement("batch", id)
    }
}

fn acknowledgement(what: &str, id: u64) -> String {
    format!(r#"{{"rpc":"_ack","req":{{"{what}":{id}}},"uuid":"{}"}}"#, Uuid(FIRST_ID + id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::read_all;

    fn device() -> Device {
        Device::new(Tokensocket {
            token_path: "/socket/token".into(),
            socket_prefix: "/sockets".into(),
            action: "echo".into(),
        })
    }

    #[test]
    fn tells_deliveries_from_the_rest() {
        let device = device();
        let read = |text: &str| read_all(&device, text);
        let told =
            |command: &str, data: &str| format!(r#"{{"internal":true,"command":"{command}","data":{data}}}"#);
        let delivery = told("deliver", r#"{"id":17,"event":"update","args":[100000000042,"x"]}"#);
        assert_eq!(read(&delivery), [Incoming::Delivery { id: 17, number: 100_000_000_042 }]);
        let items = r#"[{"id":2,"event":"update","args":[1,"x"]},{"id":3,"event":"update","args":[2,"x"]}]"#;
        let batch = told("batch", &format!(r#"{{"id":3,"items":{items}}}"#));
        assert_eq!(read(&batch), [Incoming::Batch { id: 3, numbers: vec![1, 2] }]);
        let settings = told("settings", r#"{"device_ttl":3600,"device":"d","epoch":"e","resumed":false}"#);
        assert_eq!(read(&settings), [Incoming::Other]);
        assert!(matches!(
            read(&told("resync", r#"{"id":1,"reason":"overflow"}"#))[..],
            [Incoming::Refused(_)]
        ));
        let answer = format!(r#"{{"rpc":"auth","uuid":"{}","resp":"success"}}"#, Uuid(AUTHENTICATION));
        assert_eq!(read(&answer), [Incoming::Answer(AUTHENTICATION)]);
    }

    #[test]
    fn acknowledges_by_number_and_asks_as_its_user() {
        let other = device().for_follower(3).for_follower(7);
        assert_eq!(other.token_path(), Some("/socket/token?user=bench-7"));
        assert!(
            other.acknowledge(5).starts_with(r#"{"rpc":"_ack","req":{"id":5},"#),
            "{}",
            other.acknowledge(5)
        );
        assert!(other.acknowledge_batch(5).contains(r#"{"batch":5}"#));
    }
}
