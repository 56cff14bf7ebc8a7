//! A device of a push service on Socket.IO: a site's namespace, deliveries that
//! want an acknowledgement.

use serde_json::Value;

use super::{AUTHENTICATION, Acknowledging, Dialect, Incoming, leading_number, refused};

/// The event of every delivery; its first argument is the number of its request.
pub(crate) const EVENT: &str = "update_store";

/// Speaks to a site over Engine.IO 4's WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    site: String,
    token: String,
}

impl Push {
    /// To `site`; each follower has a token of its own.
    pub(crate) fn to(site: &str) -> Self {
        Self { site: site.to_owned(), token: Self::token_of(0) }
    }

    /// The token of the `index`th device, which is also its user's name.
    pub(crate) fn token_of(index: usize) -> String {
        format!("bench-{index}")
    }

    /// What stands behind the namespace, if it is ours.
    fn inner<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        text.strip_prefix(b"/")?.strip_prefix(self.site.as_bytes())?.strip_prefix(b",")
    }

    /// What an event is, unless it is of no interest.
    fn event(&self, text: &[u8]) -> Option<Incoming> {
        let inner = self.inner(text)?;
        let (id, arguments) = inner.split_at(inner.iter().position(|byte| *byte == b'[')?);
        let id = leading_number(id)?;
        let named = arguments.strip_prefix(b"[\"")?;
        if named.starts_with(b"_batch") {
            return Some(Incoming::Batch { id, numbers: numbers_in(arguments)? });
        }
        let number = leading_number(named.strip_prefix(EVENT.as_bytes())?)?;
        Some(Incoming::Delivery { id, number })
    }
}

/// The numbers of the requests in a batch.
fn numbers_in(batch: &[u8]) -> Option<Vec<u64>> {
    let (_, events): (&str, Vec<Vec<Value>>) = serde_json::from_slice(batch).ok()?;
    Some(events.iter().filter_map(|event| event.get(1)?.as_u64()).collect())
}

impl Dialect for Push {
    fn for_follower(&self, index: usize) -> Self {
        Self { token: Self::token_of(index), ..self.clone() }
    }

    fn path(&self) -> String {
        format!("/socket.io/?EIO=4&transport=websocket&token={}&deviceId=bench", self.token)
    }

    fn is_greeted(&self) -> bool {
        true
    }

    fn authenticate(&self, _token: Option<&str>, out: &mut String) -> bool {
        out.push_str("40/");
        out.push_str(&self.site);
        out.push(',');
        true
    }

    fn call(&self, _id: u64, _data: &str, _out: &mut String) {}

    fn subscribe(&self, _id: u64, _channel: &str, _out: &mut String) {}

    fn publish(&self, _id: u64, _channel: &str, _data: &str, _out: &mut String) {}

    fn read(&self, text: &[u8], each: &mut dyn FnMut(Incoming)) {
        each(match text {
            [b'0', ..] => Incoming::Greeting,
            [b'2', ..] => Incoming::Heartbeat("3"),
            [b'4', b'0', rest @ ..] if self.inner(rest).is_some() => Incoming::Answer(AUTHENTICATION),
            [b'4', b'2', rest @ ..] => self.event(rest).unwrap_or(Incoming::Other),
            [b'1', ..] | [b'4', b'1' | b'4', ..] => refused(text),
            _ => Incoming::Other,
        });
    }
}

impl Acknowledging for Push {
    fn acknowledge(&self, id: u64) -> String {
        format!("43/{},{id}[]", self.site)
    }

    fn acknowledge_batch(&self, id: u64) -> String {
        self.acknowledge(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::read_all;

    #[test]
    fn tells_deliveries_from_the_rest() {
        let push = Push::to("newsite");
        let read = |text: &str| read_all(&push, text);
        assert_eq!(read(r#"0{"sid":"1"}"#), [Incoming::Greeting]);
        assert_eq!(read(r#"40/newsite,{"sid":"1"}"#), [Incoming::Answer(AUTHENTICATION)]);
        assert_eq!(read(r#"42/newsite,["_settings",{"device_ttl":3600}]"#), [Incoming::Other]);
        assert_eq!(
            read(r#"42/newsite,17["update_store",100000000042,"x"]"#),
            [Incoming::Delivery { id: 17, number: 100_000_000_042 }]
        );
        let batch = r#"42/newsite,3["_batch",[["update_store",1,"x"],["update_store",2,"x"]]]"#;
        assert_eq!(read(batch), [Incoming::Batch { id: 3, numbers: vec![1, 2] }]);
        assert_eq!(read(r#"42/other,17["update_store",1]"#), [Incoming::Other]);
        assert!(matches!(read(r#"44/newsite,{"message":"no"}"#)[..], [Incoming::Refused(_)]));
        assert_eq!(push.acknowledge(17), "43/newsite,17[]");
    }
}
