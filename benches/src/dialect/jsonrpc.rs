//! JSON-RPC 2.0 as crate `jsonrpsee` speaks it: methods for calls, a
//! subscription for a channel.

use std::fmt::{Arguments, Write};

use memchr::memmem::Finder;

use super::{Dialect, Incoming, Mark, after, leading_number, refused};

/// Speaks to `/`, without tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jsonrpc;

impl Dialect for Jsonrpc {
    fn path(&self) -> String {
        "/".to_owned()
    }

    fn call(&self, id: u64, data: &str, out: &mut String) {
        request(out, id, "echo", format_args!("{data}"));
    }

    fn subscribe(&self, id: u64, channel: &str, out: &mut String) {
        request(out, id, "subscribe", format_args!("\"{channel}\""));
    }

    fn publish(&self, id: u64, channel: &str, data: &str, out: &mut String) {
        request(out, id, "publish", format_args!("\"{channel}\",{data}"));
    }

    fn read(&self, text: &[u8], each: &mut dyn FnMut(Incoming)) {
        each(if after(text, &METHOD).is_some() {
            Incoming::Publication
        } else if after(text, &ERROR).is_some() {
            refused(text)
        } else {
            after(text, &ID).and_then(leading_number).map_or(Incoming::Other, Incoming::Answer)
        });
    }
}

static ERROR: Mark = Mark::new(|| Finder::new("\"error\""));
static ID: Mark = Mark::new(|| Finder::new("\"id\":"));
static METHOD: Mark = Mark::new(|| Finder::new("\"method\""));

fn request(out: &mut String, id: u64, method: &str, params: Arguments<'_>) {
    let _ = write!(out, r#"{{"jsonrpc":"2.0","method":"{method}","params":[{params}],"id":{id}}}"#);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{CALLS, read_all};

    #[test]
    fn tells_the_kinds_of_messages_apart() {
        let read = |text: &str| read_all(&Jsonrpc, text);
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":100000000016,"result":"x"}"#), [Incoming::Answer(CALLS)]);
        assert_eq!(
            read(r#"{"jsonrpc":"2.0","method":"message","params":{"subscription":1,"result":"x"}}"#),
            [Incoming::Publication]
        );
        assert!(matches!(
            read(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}"#)[..],
            [Incoming::Refused(_)]
        ));
    }
}
